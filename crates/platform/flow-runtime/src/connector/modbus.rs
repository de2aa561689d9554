//! Modbus (TG 10.3): one connection and one request at a time per TCP server or serial line.

mod endpoint;
mod serial;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use marram_flow::request::{ModbusCall, ModbusPdu};
use marram_flow::{Fault, Reply, Stage, fault};
use smol_str::SmolStr;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{Request, Response};

pub use endpoint::{EndpointError, ModbusEndpoint, Parity, SerialSettings};

use super::reach::{self, Reach};
use super::{Job, permitted};
use crate::port::{Authority, FlowAction};
use serial::SerialStream;

/// On a serial line unit 0 is everybody, and nobody answers.
const BROADCAST: u8 = 0;
/// How long everybody gets to carry out a broadcast before the next request (Modbus over Serial Line 1.02, 2.4.1).
const TURNAROUND: Duration = Duration::from_millis(100);

/// A server: its connection between two requests.
pub(crate) type Bus = tokio::sync::Mutex<Option<Line>>;

/// An open connection.
pub(crate) struct Line {
    context: Context,
    serial: Option<Pace>,
}

/// The beat of a serial line.
struct Pace {
    timeout: Duration,
    silence: Duration,
    /// When the next frame may begin.
    quiet_until: Instant,
}

pub(crate) struct ModbusConnector {
    buses: Mutex<HashMap<SmolStr, Weak<Bus>>>,
    on_core: bool,
}

impl ModbusConnector {
    /// Serial lines and the network around it belong to the machine: a core may use its own, a control plane reaches what is
    /// public or listed.
    pub fn new(on_core: bool) -> Self {
        Self { buses: Mutex::default(), on_core }
    }

    /// The bus of `endpoint`; its connection lives as long as somebody holds it.
    pub fn bus(&self, endpoint: &SmolStr) -> Arc<Bus> {
        let mut buses = self.buses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bus) = buses.get(endpoint).and_then(Weak::upgrade) {
            return bus;
        }
        buses.retain(|_, bus| bus.strong_count() > 0);
        let bus = Arc::new(Bus::default());
        buses.insert(endpoint.clone(), Arc::downgrade(&bus));
        bus
    }

    pub async fn perform(
        &self,
        workers: &Semaphore,
        authority: &dyn Authority,
        job: &Job,
        call: &ModbusCall,
    ) -> Result<Reply, Fault> {
        let action = if call.pdu.is_read() { FlowAction::ReadModbus } else { FlowAction::WriteModbus };
        permitted(authority, job, action(&call.thing))?;
        let bus = self.bus(&call.endpoint);
        let mut turn = bus.lock().await;
        let _worker = workers.acquire().await;
        (job.progress)(Stage::Started);
        // Out of the bus while it is used: a request given up halfway must not leave its answer to the next one.
        let mut line = match turn.take() {
            Some(line) => line,
            None => self.connect(&call.endpoint, &job.http_allow).await?,
        };
        line.context.set_slave(Slave(call.unit));
        if let Some(pace) = &line.serial {
            tokio::time::sleep_until(pace.quiet_until).await;
        }
        (job.progress)(Stage::Sent);
        let answer = line.ask(call).await;
        if let Some(pace) = &mut line.serial {
            pace.quiet_until = Instant::now() + pace.silence;
        }
        match answer {
            Ok(Ok(reply)) => {
                *turn = Some(line);
                Ok(reply)
            }
            Ok(Err(code)) => {
                *turn = Some(line);
                let message = format!("fc={} code={}", call.pdu.function_code(), u8::from(code));
                Err(Fault::new(fault::MODBUS_EXCEPTION, message))
            }
            Err(error) => Err(Fault::new(fault::MODBUS_IO, said(&error))),
        }
    }

    async fn connect(&self, endpoint: &SmolStr, allow: &[SmolStr]) -> Result<Line, Fault> {
        let io = |error: std::io::Error| Fault::new(fault::MODBUS_IO, format!("{endpoint}: {error}"));
        let settings = match endpoint.parse::<ModbusEndpoint>() {
            Ok(ModbusEndpoint::Rtu(settings)) if self.on_core => settings,
            Ok(ModbusEndpoint::Rtu(_)) => {
                return Err(Fault::new(fault::MODBUS_IO, "serial lines are not available on this target"));
            }
            Ok(ModbusEndpoint::Tcp(_)) => {
                let reach = if self.on_core { Reach::Anywhere } else { Reach::Public(allow) };
                return connect_tcp(endpoint, reach).await;
            }
            Err(error) => return Err(Fault::new(fault::MODBUS_IO, error.to_string())),
        };
        let stream = SerialStream::open(&settings).map_err(io)?;
        let silence = settings.silence();
        let pace = Pace { timeout: settings.timeout, silence, quiet_until: Instant::now() + silence };
        Ok(Line { context: rtu::attach(stream), serial: Some(pace) })
    }
}

/// What broke the exchange. A device that hangs up leaves an error without a cause behind.
fn said(error: &tokio_modbus::Error) -> String {
    match error {
        tokio_modbus::Error::Transport(io)
            if io.kind() == ErrorKind::UnexpectedEof || matches!(io.raw_os_error(), Some(0 | EINPROGRESS)) =>
        {
            "the device closed the connection".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Linux's number of an error that a library leaves in place of the one that happened.
const EINPROGRESS: i32 = 115;

async fn connect_tcp(endpoint: &SmolStr, reach: Reach<'_>) -> Result<Line, Fault> {
    let (host, port) = endpoint
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?)))
        .ok_or_else(|| Fault::new(fault::MODBUS_IO, format!("{endpoint}: not host:port")))?;
    match reach::connect(host, port, reach).await {
        Ok(stream) => Ok(Line { context: tcp::attach(stream), serial: None }),
        Err(refused) if refused.name == fault::PERMISSION => Err(refused),
        Err(failed) => Err(Fault::new(fault::MODBUS_IO, format!("{endpoint}: {}", failed.message))),
    }
}

impl Line {
    async fn ask(&mut self, call: &ModbusCall) -> Answer<Reply> {
        let Some(pace) = &self.serial else { return request(&mut self.context, &call.pdu).await };
        let timeout = pace.timeout;
        let error = |kind, text: String| Err(tokio_modbus::Error::Transport(std::io::Error::new(kind, text)));
        if call.unit != BROADCAST {
            let answered = tokio::time::timeout(timeout, request(&mut self.context, &call.pdu)).await;
            return answered.unwrap_or_else(|_| {
                let text = format!("unit {} did not answer within {} ms", call.unit, timeout.as_millis());
                error(ErrorKind::TimedOut, text)
            });
        }
        if is_read(&call.pdu) {
            return error(ErrorKind::InvalidInput, "unit 0 is everybody: nobody answers a read".to_owned());
        }
        // The frame is out at the first poll; what comes back is nobody's.
        match tokio::time::timeout(TURNAROUND, request(&mut self.context, &call.pdu)).await {
            Ok(Err(failed)) => Err(failed),
            Ok(Ok(_)) | Err(_) => Ok(Ok(Reply::Empty)),
        }
    }
}

/// Whether an answer is what the request is for.
fn is_read(pdu: &ModbusPdu) -> bool {
    matches!(
        pdu,
        ModbusPdu::ReadCoils(..)
            | ModbusPdu::ReadDiscreteInputs(..)
            | ModbusPdu::ReadHoldingRegisters(..)
            | ModbusPdu::ReadInputRegisters(..)
            | ModbusPdu::ReadWriteMultipleRegisters(..)
    )
}

type Answer<T> = tokio_modbus::Result<T>;

/// Asks, and takes only what answers the question: a server may send any number of values, and echo any address.
async fn request(context: &mut Context, pdu: &ModbusPdu) -> Answer<Reply> {
    let asked = match pdu {
        ModbusPdu::ReadCoils(address, count) => Request::ReadCoils(*address, *count),
        ModbusPdu::ReadDiscreteInputs(address, count) => Request::ReadDiscreteInputs(*address, *count),
        ModbusPdu::ReadHoldingRegisters(address, count) => Request::ReadHoldingRegisters(*address, *count),
        ModbusPdu::ReadInputRegisters(address, count) => Request::ReadInputRegisters(*address, *count),
        ModbusPdu::WriteSingleCoil(address, value) => Request::WriteSingleCoil(*address, *value),
        ModbusPdu::WriteSingleRegister(address, value) => Request::WriteSingleRegister(*address, *value),
        ModbusPdu::WriteMultipleCoils(address, values) => Request::WriteMultipleCoils(*address, values.into()),
        ModbusPdu::WriteMultipleRegisters(address, values) => Request::WriteMultipleRegisters(*address, values.into()),
        ModbusPdu::MaskWriteRegister(address, and_mask, or_mask) => {
            Request::MaskWriteRegister(*address, *and_mask, *or_mask)
        }
        ModbusPdu::ReadWriteMultipleRegisters(read_address, read_count, write_address, values) => {
            Request::ReadWriteMultipleRegisters(*read_address, *read_count, *write_address, values.into())
        }
    };
    match context.call(asked).await? {
        Err(code) => Ok(Err(code)),
        Ok(response) => {
            let other = || std::io::Error::new(ErrorKind::InvalidData, "the answer is not one to the request");
            Ok(Ok(read_response(pdu, response).ok_or_else(other)?))
        }
    }
}

/// What a response says; `None` when it belongs to another request.
fn read_response(pdu: &ModbusPdu, response: Response) -> Option<Reply> {
    let is_echo = |wanted: bool| wanted.then_some(Reply::Empty);
    match (pdu, response) {
        (ModbusPdu::ReadCoils(_, count), Response::ReadCoils(mut bits))
        | (ModbusPdu::ReadDiscreteInputs(_, count), Response::ReadDiscreteInputs(mut bits)) => {
            // They come in whole bytes.
            let count = usize::from(*count);
            (bits.len() >= count).then(|| {
                bits.truncate(count);
                Reply::Bits(bits)
            })
        }
        (ModbusPdu::ReadHoldingRegisters(_, count), Response::ReadHoldingRegisters(words))
        | (ModbusPdu::ReadInputRegisters(_, count), Response::ReadInputRegisters(words))
        | (ModbusPdu::ReadWriteMultipleRegisters(_, count, _, _), Response::ReadWriteMultipleRegisters(words)) => {
            (words.len() == usize::from(*count)).then_some(Reply::Registers(words))
        }
        (ModbusPdu::WriteSingleCoil(address, value), Response::WriteSingleCoil(at, echoed)) => {
            is_echo(at == *address && echoed == *value)
        }
        (ModbusPdu::WriteSingleRegister(address, value), Response::WriteSingleRegister(at, echoed)) => {
            is_echo(at == *address && echoed == *value)
        }
        (ModbusPdu::WriteMultipleCoils(address, values), Response::WriteMultipleCoils(at, count)) => {
            is_echo(at == *address && usize::from(count) == values.len())
        }
        (ModbusPdu::WriteMultipleRegisters(address, values), Response::WriteMultipleRegisters(at, count)) => {
            is_echo(at == *address && usize::from(count) == values.len())
        }
        (ModbusPdu::MaskWriteRegister(address, and_mask, or_mask), Response::MaskWriteRegister(at, and, or)) => {
            is_echo((at, and, or) == (*address, *and_mask, *or_mask))
        }
        _ => None,
    }
}

/// Entry of the fuzz target: the first byte chooses framing and request, the rest is what the peer sends before it hangs up.
pub async fn fuzz_modbus_answer(data: &[u8]) {
    let Some((choice, sent)) = data.split_first() else { return };
    let count = u16::from(choice >> 4) + 1;
    let pdu = match (choice >> 1) & 0x07 {
        0 => ModbusPdu::ReadCoils(0, count),
        1 => ModbusPdu::ReadDiscreteInputs(0, count),
        2 => ModbusPdu::ReadHoldingRegisters(0, count),
        3 => ModbusPdu::ReadInputRegisters(0, count),
        4 => ModbusPdu::WriteMultipleRegisters(0, vec![0; usize::from(count)]),
        5 => ModbusPdu::WriteMultipleCoils(0, vec![false; usize::from(count)]),
        6 => ModbusPdu::MaskWriteRegister(0, count, 0),
        _ => ModbusPdu::ReadWriteMultipleRegisters(0, count, 0, vec![0]),
    };
    let (own, mut peer) = tokio::io::duplex(sent.len().max(1024));
    if tokio::io::AsyncWriteExt::write_all(&mut peer, sent).await.is_err() {
        return;
    }
    // The request still fits; nothing comes behind what was sent.
    let _ = tokio::io::AsyncWriteExt::shutdown(&mut peer).await;
    let mut context = if choice & 1 == 0 { tcp::attach(own) } else { rtu::attach(own) };
    context.set_slave(Slave(1));
    if let Ok(Ok(reply)) = request(&mut context, &pdu).await {
        let answered = match reply {
            Reply::Bits(bits) => bits.len(),
            Reply::Registers(registers) => registers.len(),
            _ => return,
        };
        assert_eq!(answered, usize::from(count), "an answer of another length was taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 10.3: an answer of another length or to another address is none; coils come in whole bytes.
    #[test]
    fn only_answers_to_the_request_are_taken() {
        let registers = |words: &[u16]| Response::ReadHoldingRegisters(words.to_vec());
        let read = ModbusPdu::ReadHoldingRegisters(100, 2);
        let written = ModbusPdu::WriteMultipleRegisters(100, vec![1, 2]);
        for (pdu, response, is_taken) in [
            (&read, registers(&[1, 2]), true),
            (&read, registers(&[1]), false),
            (&read, registers(&[1, 2, 3]), false),
            (&read, Response::ReadInputRegisters(vec![1, 2]), false),
            (&written, Response::WriteMultipleRegisters(100, 2), true),
            (&written, Response::WriteMultipleRegisters(100, 1), false),
            (&written, Response::WriteMultipleRegisters(101, 2), false),
            (&ModbusPdu::ReadCoils(0, 9), Response::ReadCoils(vec![false; 8]), false),
        ] {
            assert_eq!(read_response(pdu, response.clone()).is_some(), is_taken, "{pdu:?} {response:?}");
        }
        let bits = read_response(&ModbusPdu::ReadCoils(0, 9), Response::ReadCoils(vec![true; 16]));
        assert!(matches!(bits, Some(Reply::Bits(bits)) if bits.len() == 9));
    }
}
