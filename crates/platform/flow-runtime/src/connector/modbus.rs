//! Modbus TCP (TG 10.3): one connection and one request at a time per server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use marram_flow::request::{ModbusCall, ModbusPdu};
use marram_flow::{Fault, Reply, Stage, fault};
use smol_str::SmolStr;
use tokio::sync::Semaphore;
use tokio_modbus::client::{Context, Reader as _, Writer as _, tcp};
use tokio_modbus::slave::{Slave, SlaveContext as _};

use super::Job;

/// A server: its connection between two requests.
pub(crate) type Bus = tokio::sync::Mutex<Option<Context>>;

#[derive(Default)]
pub(crate) struct ModbusConnector {
    buses: Mutex<HashMap<SmolStr, Weak<Bus>>>,
}

impl ModbusConnector {
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
        let mut context = match turn.take() {
            Some(context) => context,
            None => connect(&call.endpoint).await?,
        };
        context.set_slave(Slave(call.unit));
        (job.progress)(Stage::Sent);
        let answer = request(&mut context, &call.pdu).await;
        match answer {
            Ok(Ok(reply)) => {
                *turn = Some(context);
                Ok(reply)
            }
            Ok(Err(code)) => {
                *turn = Some(context);
                let message = format!("fc={} code={}", call.pdu.function_code(), u8::from(code));
                Err(Fault::new(fault::MODBUS_EXCEPTION, message))
            }
            Err(error) => Err(Fault::new(fault::MODBUS_IO, error.to_string())),
        }
    }
}

async fn connect(endpoint: &SmolStr) -> Result<Context, Fault> {
    let io = |error: std::io::Error| Fault::new(fault::MODBUS_IO, format!("{endpoint}: {error}"));
    let address: SocketAddr = tokio::net::lookup_host(endpoint.as_str())
        .await
        .map_err(io)?
        .next()
        .ok_or_else(|| Fault::new(fault::MODBUS_IO, format!("{endpoint}: no address")))?;
    let stream = tokio::net::TcpStream::connect(address).await.map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    Ok(tcp::attach(stream))
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
