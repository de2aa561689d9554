//! Modbus (TG 10.3): one connection and one request at a time per TCP server or serial line.

mod endpoint;
mod serial;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use marram_flow::request::{ModbusCall, ModbusPdu};
use marram_flow::{Fault, Reply, Stage, fault};
use smol_str::SmolStr;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_modbus::client::{Context, Reader as _, Writer as _, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext as _};

pub use endpoint::{EndpointError, ModbusEndpoint, Parity, SerialSettings};

use super::Job;
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
    has_serial_lines: bool,
}

impl ModbusConnector {
    /// Serial lines belong to the machine: only a core may use its own.
    pub fn new(has_serial_lines: bool) -> Self {
        Self { buses: Mutex::default(), has_serial_lines }
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

    pub async fn perform(&self, workers: &Semaphore, job: &Job, call: &ModbusCall) -> Result<Reply, Fault> {
        let bus = self.bus(&call.endpoint);
        let mut turn = bus.lock().await;
        let _worker = workers.acquire().await;
        (job.progress)(Stage::Started);
        // Out of the bus while it is used: a request given up halfway must not leave its answer to the next one.
        let mut line = match turn.take() {
            Some(line) => line,
            None => self.connect(&call.endpoint).await?,
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
            Err(error) => Err(Fault::new(fault::MODBUS_IO, error.to_string())),
        }
    }

    async fn connect(&self, endpoint: &SmolStr) -> Result<Line, Fault> {
        let io = |error: std::io::Error| Fault::new(fault::MODBUS_IO, format!("{endpoint}: {error}"));
        let settings = match endpoint.parse::<ModbusEndpoint>() {
            Ok(ModbusEndpoint::Rtu(settings)) if self.has_serial_lines => settings,
            Ok(ModbusEndpoint::Rtu(_)) => {
                return Err(Fault::new(fault::MODBUS_IO, "serial lines are not available on this target"));
            }
            Ok(ModbusEndpoint::Tcp(_)) => return connect_tcp(endpoint).await,
            Err(error) => return Err(Fault::new(fault::MODBUS_IO, error.to_string())),
        };
        let stream = SerialStream::open(&settings).map_err(io)?;
        let silence = settings.silence();
        let pace = Pace { timeout: settings.timeout, silence, quiet_until: Instant::now() + silence };
        Ok(Line { context: rtu::attach(stream), serial: Some(pace) })
    }
}

async fn connect_tcp(endpoint: &SmolStr) -> Result<Line, Fault> {
    let io = |error: std::io::Error| Fault::new(fault::MODBUS_IO, format!("{endpoint}: {error}"));
    let address: SocketAddr = tokio::net::lookup_host(endpoint.as_str())
        .await
        .map_err(io)?
        .next()
        .ok_or_else(|| Fault::new(fault::MODBUS_IO, format!("{endpoint}: no address")))?;
    let stream = tokio::net::TcpStream::connect(address).await.map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    Ok(Line { context: tcp::attach(stream), serial: None })
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
                error(std::io::ErrorKind::TimedOut, text)
            });
        }
        if is_read(&call.pdu) {
            return error(std::io::ErrorKind::InvalidInput, "unit 0 is everybody: nobody answers a read".to_owned());
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

async fn request(context: &mut Context, pdu: &ModbusPdu) -> Answer<Reply> {
    fn reply<T>(answer: Answer<T>, make: impl FnOnce(T) -> Reply) -> Answer<Reply> {
        answer.map(|inner| inner.map(make))
    }
    match pdu {
        ModbusPdu::ReadCoils(address, count) => reply(context.read_coils(*address, *count).await, Reply::Bits),
        ModbusPdu::ReadDiscreteInputs(address, count) => {
            reply(context.read_discrete_inputs(*address, *count).await, Reply::Bits)
        }
        ModbusPdu::ReadHoldingRegisters(address, count) => {
            reply(context.read_holding_registers(*address, *count).await, Reply::Registers)
        }
        ModbusPdu::ReadInputRegisters(address, count) => {
            reply(context.read_input_registers(*address, *count).await, Reply::Registers)
        }
        ModbusPdu::WriteSingleCoil(address, value) => {
            reply(context.write_single_coil(*address, *value).await, |()| Reply::Empty)
        }
        ModbusPdu::WriteSingleRegister(address, value) => {
            reply(context.write_single_register(*address, *value).await, |()| Reply::Empty)
        }
        ModbusPdu::WriteMultipleCoils(address, values) => {
            reply(context.write_multiple_coils(*address, values).await, |()| Reply::Empty)
        }
        ModbusPdu::WriteMultipleRegisters(address, values) => {
            reply(context.write_multiple_registers(*address, values).await, |()| Reply::Empty)
        }
        ModbusPdu::MaskWriteRegister(address, and_mask, or_mask) => {
            reply(context.masked_write_register(*address, *and_mask, *or_mask).await, |()| Reply::Empty)
        }
        ModbusPdu::ReadWriteMultipleRegisters(read_address, read_count, write_address, values) => {
            let answer =
                context.read_write_multiple_registers(*read_address, *read_count, *write_address, values).await;
            reply(answer, Reply::Registers)
        }
    }
}
