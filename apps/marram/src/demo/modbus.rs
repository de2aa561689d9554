//! `marram demo modbus`: a sprinkler controller that speaks Modbus TCP.
//!
//! | table | address | meaning |
//! | --- | --- | --- |
//! | input register | 0 | soil moisture, percent |
//! | coil | 0 | valve, 1 is open |
//! | input register | 1 | litres poured since start |
//!
//! The soil dries while the valve is closed and takes up water while it is open. One JSON line on standard output tells
//! the address it listens on, and each move of the valve is another.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

/// How fast the soil dries, in percent per second.
const DRYING: f64 = 0.6;

/// How fast the open valve wets it, in percent per second.
const WATERING: f64 = 3.0;

/// Litres per second through the open valve.
const LITRES: f64 = 0.5;

/// Moisture at start, in percent.
const START: f64 = 38.0;

/// The unit id it answers to; others are silent, as on a bus.
const UNIT: u8 = 1;

/// Input registers.
const MOISTURE: u16 = 0;
const POURED: u16 = 1;

/// Coils.
const VALVE: u16 = 0;

/// Flags of `marram demo modbus`.
#[derive(Debug, Args)]
pub struct Modbus {
    /// Where to listen. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Exit when standard input is closed, so that it does not outlive whoever started it.
    #[arg(long)]
    pub until_stdin_closes: bool,
}

/// Runs the simulator until it is stopped.
pub async fn run(flags: &Modbus) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(flags.listen).await.with_context(|| format!("cannot listen on {}", flags.listen))?;
    super::say(&json!({"event": "ready", "modbus": listener.local_addr()?.to_string()}));
    tokio::select! {
        served = serve(listener) => served.context("the Modbus listener failed"),
        () = super::stdin_closed(flags.until_stdin_closes) => Ok(()),
    }
}

/// Serves one controller to everybody who connects.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let controller = Controller::new();
    let connected = |stream: TcpStream, peer| {
        let controller = controller.clone();
        async move {
            stream.set_nodelay(true)?;
            accept_tcp_connection(stream, peer, move |_| Ok(Some(controller.clone())))
        }
    };
    let failed = |error: std::io::Error| tracing::debug!(%error, "modbus connection ended");
    Server::new(listener).serve(&connected, failed).await
}

/// The bed and its valve.
#[derive(Debug)]
struct Bed {
    moisture: f64,
    litres: f64,
    is_open: bool,
    seen: Instant,
}

impl Bed {
    /// Lets the time pass since it was last looked at.
    fn at(&mut self, now: Instant) -> &mut Self {
        let seconds = now.saturating_duration_since(self.seen).as_secs_f64();
        self.seen = now;
        let change = if self.is_open { WATERING } else { -DRYING };
        self.moisture = (self.moisture + change * seconds).clamp(0.0, 100.0);
        if self.is_open {
            self.litres += LITRES * seconds;
        }
        self
    }

    fn register(&self, address: u16) -> Option<u16> {
        match address {
            MOISTURE => Some(self.moisture.round() as u16),
            POURED => Some(self.litres.min(f64::from(u16::MAX)) as u16),
            _ => None,
        }
    }
}

/// The Modbus server of one bed.
#[derive(Debug, Clone)]
struct Controller {
    bed: Arc<Mutex<Bed>>,
}

impl Controller {
    fn new() -> Self {
        let bed = Bed { moisture: START, litres: 0.0, is_open: false, seen: Instant::now() };
        Self { bed: Arc::new(Mutex::new(bed)) }
    }

    fn answer(&self, request: &Request<'_>, now: Instant) -> Result<Response, ExceptionCode> {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        let bed = bed.at(now);
        match *request {
            Request::ReadInputRegisters(address, count) => (address..)
                .take(usize::from(count))
                .map(|address| bed.register(address))
                .collect::<Option<Vec<_>>>()
                .map(Response::ReadInputRegisters)
                .ok_or(ExceptionCode::IllegalDataAddress),
            Request::ReadCoils(VALVE, 1) => Ok(Response::ReadCoils(vec![bed.is_open])),
            Request::WriteSingleCoil(VALVE, open) => {
                if open != bed.is_open {
                    super::say(&json!({"event": "valve", "open": open, "moisture": bed.register(MOISTURE)}));
                }
                bed.is_open = open;
                Ok(Response::WriteSingleCoil(VALVE, open))
            }
            Request::ReadCoils(..) | Request::WriteSingleCoil(..) => Err(ExceptionCode::IllegalDataAddress),
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

impl Service for Controller {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Option<Response>, ExceptionCode>>;

    fn call(&self, request: SlaveRequest<'static>) -> Self::Future {
        if request.slave != UNIT {
            return ready(Ok(None));
        }
        ready(self.answer(&request.request, Instant::now()).map(Some))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_modbus::prelude::*;

    use super::*;

    /// The soil dries with the valve closed, takes up water with it open, and stays within its range.
    #[test]
    fn moisture_follows_the_valve() {
        let controller = Controller::new();
        let start = Instant::now();
        let moisture = |after: u64| match controller
            .answer(&Request::ReadInputRegisters(0, 1), start + Duration::from_secs(after))
        {
            Ok(Response::ReadInputRegisters(words)) => words[0],
            other => panic!("{other:?}"),
        };
        assert!(moisture(0) > moisture(10));
        let dry = moisture(20);
        controller.answer(&Request::WriteSingleCoil(0, true), start + Duration::from_secs(20)).unwrap();
        assert!(moisture(25) > dry);
        assert_eq!(moisture(1000), 100);
    }

    /// Over a socket, as a connector sees it: registers, the coil, exceptions for what is not there, silence for others.
    #[tokio::test]
    async fn a_client_reads_and_writes_over_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener));
        let mut client = tcp::connect_slave(address, Slave(1)).await.unwrap();
        let first = client.read_input_registers(0, 2).await.unwrap().unwrap();
        assert_eq!(first, [38, 0]);
        client.write_single_coil(0, true).await.unwrap().unwrap();
        assert_eq!(client.read_coils(0, 1).await.unwrap().unwrap(), [true]);
        assert_eq!(client.read_input_registers(7, 1).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
        assert_eq!(client.read_holding_registers(0, 1).await.unwrap(), Err(ExceptionCode::IllegalFunction));
        let mut other = tcp::connect_slave(address, Slave(2)).await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(100), other.read_coils(0, 1)).await;
        assert!(silence.is_err());
        server.abort();
    }
}
