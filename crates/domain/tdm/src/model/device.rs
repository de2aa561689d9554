//! Devices and services: how a capability is reached over a protocol (TG 3.8, 3.9, section 10).

use marram_expr::{Template, ValueExpr};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Urn;

/// An implementation of a device model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The model it implements.
    pub model: Urn,
    /// The model's capability.
    pub capability: Urn,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The `state` block.
    pub state: Vec<StateBinding>,
    /// One per action of the capability, in document order.
    pub actions: Vec<DeviceAction>,
    /// One per event of the capability, in document order.
    pub events: Vec<DeviceEvent>,
}

impl Device {
    /// The implementation of that action, ignoring case.
    pub fn action(&self, name: &str) -> Option<&DeviceAction> {
        self.actions.iter().find(|action| action.name.eq_ignore_ascii_case(name))
    }

    /// The implementation of that event, ignoring case.
    pub fn event(&self, name: &str) -> Option<&DeviceEvent> {
        self.events.iter().find(|event| event.name.eq_ignore_ascii_case(name))
    }
}

/// A device without model, state and events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// What it offers.
    pub capability: Urn,
    /// `Rest` or `AwsLambda`.
    pub protocol: Protocol,
    /// One per action of the capability, in document order.
    pub actions: Vec<DeviceAction>,
}

impl Service {
    /// The implementation of that action, ignoring case.
    pub fn action(&self, name: &str) -> Option<&DeviceAction> {
        self.actions.iter().find(|action| action.name.eq_ignore_ascii_case(name))
    }
}

/// The protocol block of a device or service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Device over MQTT.
    Mqtt,
    /// Device over Modbus.
    Modbus {
        /// Unit id, 0 to 247.
        server_id: u8,
    },
    /// Device over HTTP.
    Http,
    /// Service over HTTP.
    Rest,
    /// Service that is a function.
    AwsLambda,
}

/// One field of a device's `state` block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBinding {
    /// Field of the capability's state, as the state spells it.
    pub field: SmolStr,
    /// Device-side name; equal to `field` when the document leaves it empty.
    pub device_name: SmolStr,
    /// The field's property.
    pub property: Urn,
}

/// How one action is carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceAction {
    /// As the capability spells it.
    pub name: SmolStr,
    /// The action type.
    pub action: Urn,
    /// Names visible to the request, in the order of the action type.
    pub inputs: Vec<Input>,
    /// What is sent and expected.
    pub operation: Operation,
    /// What comes back; `None` when nothing is awaited.
    pub response: Option<Response>,
}

/// An input as a request sees it: `<name>.value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// As the action type spells it.
    pub name: SmolStr,
    /// The action type's property.
    pub property: Urn,
    /// A list of the property.
    #[serde(default)]
    pub is_list: bool,
}

/// How one event arrives; MQTT only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceEvent {
    /// As the capability spells it.
    pub name: SmolStr,
    /// The event type.
    pub event: Urn,
    /// Topic filter, `+` and a last `#` allowed.
    pub topic: Template,
    /// What a message is decoded as: the declared `responsePayload`, else the event's payload.
    pub payload: Option<Urn>,
}

/// What an operation answers with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Where the answer arrives; MQTT only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Template>,
    /// What the answer is decoded as; `None` when the document gives no `responsePayload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<Urn>,
}

/// The request of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// `Publish { Request(topic) }`.
    Publish {
        /// Where to.
        topic: Template,
        /// Members of the JSON object sent.
        params: Vec<RequestParam>,
    },
    /// A Modbus function.
    Modbus(ModbusRequest),
    /// `HttpGet` and its siblings.
    Http {
        /// The method.
        method: HttpMethod,
        /// Where to; the scheme is https.
        url: Template,
        /// Sign with SigV4 for this AWS service.
        sign_for: Option<SmolStr>,
        /// Signing region; default: the system's.
        region: Option<Template>,
        /// Headers in order.
        headers: Vec<RequestParam>,
        /// Query parameters in order.
        query: Vec<RequestParam>,
        /// Body members in order, or one with an empty name: the raw body.
        body: Vec<RequestParam>,
    },
    /// `InvokeCloudLambda` or `InvokeGreengrassLambda`.
    Function {
        /// Where the document wants it to run.
        host: FunctionHost,
        /// The function.
        arn: Template,
        /// Members of the JSON object sent.
        params: Vec<RequestParam>,
    },
}

/// A parameter of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestParam {
    /// Member name on the wire; may be empty.
    pub name: SmolStr,
    /// Drives serialisation only; the value is not checked against it (TG 3.9).
    pub property: Option<Urn>,
    /// What is sent; `None`: the input of the same name.
    pub value: Option<ValueExpr>,
}

/// Where a function was meant to run; the deployment's target decides (TG 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
pub enum FunctionHost {
    Cloud,
    Greengrass,
}

/// The methods of HTTP operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
pub enum HttpMethod {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A Modbus request (TG 10.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModbusRequest {
    /// The function.
    pub function: ModbusFunction,
    /// First address, zero-based; the read address of `ReadWriteMultipleRegisters`.
    pub address: u16,
    /// Registers or coils to read; `None`: the size of the response property.
    pub read_count: Option<u16>,
    /// Write address of `ReadWriteMultipleRegisters`.
    pub write_address: Option<u16>,
    /// Registers or coils to write; `None`: the size of the value.
    pub write_count: Option<u16>,
    /// The values written, or `and_mask` and `or_mask`.
    pub params: Vec<RequestParam>,
}

/// Modbus functions by block name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
pub enum ModbusFunction {
    ReadCoils,
    ReadDiscreteInputs,
    ReadHoldingRegisters,
    ReadInputRegisters,
    WriteSingleCoil,
    WriteSingleRegister,
    WriteMultipleCoils,
    WriteMultipleRegisters,
    MaskWriteRegister,
    ReadWriteMultipleRegisters,
}

impl ModbusFunction {
    const ALL: [(ModbusFunction, &'static str, u8); 10] = [
        (ModbusFunction::ReadCoils, "ReadCoils", 1),
        (ModbusFunction::ReadDiscreteInputs, "ReadDiscreteInputs", 2),
        (ModbusFunction::ReadHoldingRegisters, "ReadHoldingRegisters", 3),
        (ModbusFunction::ReadInputRegisters, "ReadInputRegisters", 4),
        (ModbusFunction::WriteSingleCoil, "WriteSingleCoil", 5),
        (ModbusFunction::WriteSingleRegister, "WriteSingleRegister", 6),
        (ModbusFunction::WriteMultipleCoils, "WriteMultipleCoils", 15),
        (ModbusFunction::WriteMultipleRegisters, "WriteMultipleRegisters", 16),
        (ModbusFunction::MaskWriteRegister, "MaskWriteRegister", 22),
        (ModbusFunction::ReadWriteMultipleRegisters, "ReadWriteMultipleRegisters", 23),
    ];

    /// The function a block names, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(function, ..)| *function)
    }

    /// The block's name.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The function code on the wire.
    pub fn code(self) -> u8 {
        Self::ALL[self as usize].2
    }

    /// Whether the answer carries values.
    pub fn is_read(self) -> bool {
        matches!(self.code(), 1..=4 | 23)
    }

    /// Whether it moves coils; otherwise registers.
    pub fn is_coil(self) -> bool {
        matches!(self.code(), 1 | 2 | 5 | 15)
    }
}
