//! What leaves for a device or service, and what comes back, in the engine's terms (TG 10).
//!
//! A request is complete: topic, bytes, register words are computed here, so a connector only moves them. A reply is
//! raw: decoding belongs to the engine, which keeps replays exact and connectors free of the type system.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use smol_str::SmolStr;

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Publish to a device.
    Publish(Publish),
    /// Ask a Modbus server.
    Modbus(ModbusCall),
    /// Ask a web service.
    Http(HttpCall),
    /// Invoke a function.
    Function(FunctionCall),
}

/// An MQTT publish and the topic its response arrives on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Thing addressed.
    pub thing: SmolStr,
    /// Action called.
    pub action: SmolStr,
    /// Topic, checked: no wildcards, no empty levels.
    pub topic: SmolStr,
    /// JSON.
    pub payload: Vec<u8>,
    /// The first message on this topic after the publish is the reply; `None`: none is expected.
    pub reply_topic: Option<SmolStr>,
}

/// A Modbus request in protocol terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModbusCall {
    /// Thing addressed.
    pub thing: SmolStr,
    /// Action called.
    pub action: SmolStr,
    /// `host:port` of the server.
    pub endpoint: SmolStr,
    /// Unit id.
    pub unit: u8,
    /// What is read or written.
    pub pdu: ModbusPdu,
}

/// The Modbus functions of TG 10.3 with their data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModbusPdu {
    /// fc 1: address, count
    ReadCoils(u16, u16),
    /// fc 2: address, count
    ReadDiscreteInputs(u16, u16),
    /// fc 3: address, count
    ReadHoldingRegisters(u16, u16),
    /// fc 4: address, count
    ReadInputRegisters(u16, u16),
    /// fc 5: address, value
    WriteSingleCoil(u16, bool),
    /// fc 6: address, value
    WriteSingleRegister(u16, u16),
    /// fc 15: address, values
    WriteMultipleCoils(u16, Vec<bool>),
    /// fc 16: address, values
    WriteMultipleRegisters(u16, Vec<u16>),
    /// fc 22: address, and mask, or mask
    MaskWriteRegister(u16, u16, u16),
    /// fc 23: read address, read count, write address, values
    ReadWriteMultipleRegisters(u16, u16, u16, Vec<u16>),
}

impl ModbusPdu {
    /// The function code.
    pub fn function_code(&self) -> u8 {
        match self {
            Self::ReadCoils(..) => 1,
            Self::ReadDiscreteInputs(..) => 2,
            Self::ReadHoldingRegisters(..) => 3,
            Self::ReadInputRegisters(..) => 4,
            Self::WriteSingleCoil(..) => 5,
            Self::WriteSingleRegister(..) => 6,
            Self::WriteMultipleCoils(..) => 15,
            Self::WriteMultipleRegisters(..) => 16,
            Self::MaskWriteRegister(..) => 22,
            Self::ReadWriteMultipleRegisters(..) => 23,
        }
    }

    /// Whether it changes nothing in the server.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Self::ReadCoils(..)
                | Self::ReadDiscreteInputs(..)
                | Self::ReadHoldingRegisters(..)
                | Self::ReadInputRegisters(..)
        )
    }

    /// The members of the adapter's `request` object (TG 10.3), without `device`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::ReadCoils(address, count) => {
                json!({"operation": "ReadCoilsRequest", "address": address, "count": count})
            }
            Self::ReadDiscreteInputs(address, count) => {
                json!({"operation": "ReadDiscreteInputsRequest", "address": address, "count": count})
            }
            Self::ReadHoldingRegisters(address, count) => {
                json!({"operation": "ReadHoldingRegistersRequest", "address": address, "count": count})
            }
            Self::ReadInputRegisters(address, count) => {
                json!({"operation": "ReadInputRegistersRequest", "address": address, "count": count})
            }
            Self::WriteSingleCoil(address, value) => {
                json!({"operation": "WriteSingleCoilRequest", "address": address, "value": u8::from(*value)})
            }
            Self::WriteSingleRegister(address, value) => {
                json!({"operation": "WriteSingleRegisterRequest", "address": address, "value": value})
            }
            Self::WriteMultipleCoils(address, values) => {
                let values: Vec<u8> = values.iter().copied().map(u8::from).collect();
                json!({"operation": "WriteMultipleCoilsRequest", "address": address, "values": values})
            }
            Self::WriteMultipleRegisters(address, values) => {
                json!({"operation": "WriteMultipleRegistersRequest", "address": address, "values": values})
            }
            Self::MaskWriteRegister(address, and_mask, or_mask) => json!({"operation": "MaskWriteRegisterRequest",
                "address": address, "and_mask": and_mask, "or_mask": or_mask}),
            Self::ReadWriteMultipleRegisters(read_address, read_count, write_address, values) => {
                json!({"operation": "ReadWriteMultipleRegistersRequest", "read_address": read_address,
                       "read_count": read_count, "write_address": write_address, "write_registers": values})
            }
        }
    }
}

/// An HTTP request, unsigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCall {
    /// URN of the service, or name of the thing.
    pub service: SmolStr,
    /// Action called.
    pub action: SmolStr,
    /// Method.
    pub method: SmolStr,
    /// Absolute URL with its query.
    pub url: String,
    /// Headers in order; none that the runtime sets itself.
    pub headers: Vec<(SmolStr, String)>,
    /// Body; empty for none.
    pub body: Vec<u8>,
    /// Sign for this service and region.
    pub sigv4: Option<(SmolStr, SmolStr)>,
}

/// A function invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// URN of the service.
    pub service: SmolStr,
    /// Action called.
    pub action: SmolStr,
    /// Function ARN.
    pub arn: SmolStr,
    /// JSON object.
    pub payload: Vec<u8>,
}

impl Request {
    /// Whether the attempt completes with a reply; otherwise it completes when the transport accepts it.
    pub fn expects_reply(&self) -> bool {
        match self {
            Self::Publish(publish) => publish.reply_topic.is_some(),
            Self::Modbus(_) | Self::Http(_) | Self::Function(_) => true,
        }
    }

    /// The request as the trace shows it: who, by which protocol, where, what.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Publish(publish) => json!({"thingName": publish.thing, "action": publish.action, "protocol": "MQTT",
                "topic": publish.topic, "request": body_json(&publish.payload)}),
            Self::Modbus(call) => json!({"thingName": call.thing, "action": call.action, "protocol": "Modbus",
                "address": call.endpoint, "unit": call.unit, "request": call.pdu.to_json()}),
            Self::Http(call) => json!({"service": call.service, "action": call.action, "protocol": "HTTP",
                "url": call.url, "method": call.method, "headers": call.headers, "request": body_json(&call.body)}),
            Self::Function(call) => json!({"service": call.service, "action": call.action, "protocol": "AwsLambda",
                "address": call.arn, "request": body_json(&call.payload)}),
        }
    }
}

/// A body as JSON when it is JSON, else as text.
fn body_json(body: &[u8]) -> Json {
    match body {
        [] => Json::Null,
        body => serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into()),
    }
}

/// What a device or service answered, as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing to decode: an acknowledged write.
    Empty,
    /// An MQTT or function payload.
    Payload(Vec<u8>),
    /// Coils or discrete inputs.
    Bits(Vec<bool>),
    /// Registers.
    Registers(Vec<u16>),
    /// An HTTP answer of any status.
    Http {
        /// Status code.
        status: u16,
        /// Body, at most 6 MiB.
        body: Vec<u8>,
    },
}
