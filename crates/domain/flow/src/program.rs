//! What the engine runs: a flow whose names are resolved, and the frozen world around it (TG 3.11, 7.6).
//!
//! A [`Flow`] refers to events, variables and services by index, so that a step costs no name lookups. A [`Site`] is
//! what one deployment froze: which thing plays which device, how each device's actions are spoken, what is allowed.
//! Both serialise; a deployment's snapshot is these two and its triggers. [`Program`] is a flow placed on its site.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_expr::{Expr, PropertyType, Template, Value, ValueExpr};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::convert::Conversion;
use crate::event::Join;

/// Timeout of one attempt of a DeviceActivity without `timeout` (TG 6.4).
pub const DEFAULT_DEVICE_TIMEOUT_MS: u64 = 60_000;
/// Timeout of one attempt of a WebServiceActivity without `timeout` (TG 6.4).
pub const DEFAULT_SERVICE_TIMEOUT_MS: u64 = 120_000;
/// How long an execution may run before it is aborted (TG 6.4).
pub const DEFAULT_EXECUTION_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1_000;

/// A flow on its site: what [`step`](crate::step) runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Program {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The world of its deployment.
    pub site: Arc<Site>,
    /// For every event, the (step, inlet) pairs that consume it, in document order.
    pub(crate) consumers: Arc<Vec<Vec<(u16, u16)>>>,
}

impl Program {
    /// Places `flow` on `site`.
    pub fn new(flow: Arc<Flow>, site: Arc<Site>) -> Self {
        let mut consumers = vec![Vec::new(); flow.events.len()];
        for (step, index) in flow.steps.iter().zip(0..) {
            for (event, inlet) in step.inlets.iter().zip(0..) {
                consumers[usize::from(*event)].push((index, inlet));
            }
        }
        Self { flow, site, consumers: Arc::new(consumers) }
    }
}

/// A checked flow (TG 3.11).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Canonical URN of the flow.
    pub id: SmolStr,
    /// Revision number, from 1.
    pub revision: i64,
    /// In order: startFlow passes by position.
    pub parameters: Vec<Parameter>,
    /// Declared variables and those an `out` declared.
    pub variables: Vec<Variable>,
    /// Event names; steps refer to them by index.
    pub events: Vec<SmolStr>,
    /// Steps in document order.
    pub steps: Vec<Step>,
}

/// A parameter of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name without `$`; compared ignoring ASCII case.
    pub name: SmolStr,
    /// What it holds.
    pub property: Arc<PropertyType>,
    /// Declared with `!`.
    pub is_required: bool,
    /// Value when none is passed.
    pub default: Option<Value>,
    /// Its value is redacted in messages (TG 11.5).
    pub is_secret: bool,
}

/// A variable of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// Name without `$`; compared ignoring ASCII case.
    pub name: SmolStr,
    /// What it holds.
    pub property: Arc<PropertyType>,
    /// Initial value, null unless declared.
    pub initial: Value,
    /// Its value is redacted in messages (TG 11.5).
    pub is_secret: bool,
}

/// A step of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique name.
    pub name: SmolStr,
    /// Events this step consumes; [`Join`] and token counters index this list.
    pub inlets: Vec<u16>,
    /// When it activates.
    pub join: Join,
    /// Events emitted when it succeeds.
    pub out_events: Vec<u16>,
    /// False or null: the step is skipped.
    pub condition: Option<Expr>,
    /// Timeout of one attempt, milliseconds.
    pub timeout_ms: Option<u64>,
    /// What it does.
    pub activity: Activity,
    /// `Retries`, in order.
    pub retries: Vec<Retry>,
    /// `Catches`, in order.
    pub catches: Vec<Catch>,
    /// `OnSuccess`, in order.
    pub checks: Vec<Check>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Activity {
    /// Calls an action of a thing.
    Device {
        /// URN of the model (or, tolerated, of the device) the thing must implement.
        model: SmolStr,
        /// URN of the device entity pinned by `@device(id)`.
        pinned: Option<SmolStr>,
        /// Yields the thing's name.
        thing: ValueExpr,
        /// The action.
        call: Call,
    },
    /// Calls an action of a service.
    Service {
        /// URN of the service.
        service: SmolStr,
        /// The action.
        call: Call,
    },
    /// Takes the first rule that holds.
    Choice {
        /// In order.
        rules: Vec<Rule>,
        /// When no rule holds.
        default: Vec<Act>,
    },
}

/// An action call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Action name.
    pub action: SmolStr,
    /// Arguments by input name (compared ignoring ASCII case).
    pub args: Vec<Argument>,
    /// Where the result goes.
    pub out: Option<Out>,
}

/// An argument of an action call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// Input name.
    pub name: SmolStr,
    /// Its value.
    pub value: ValueExpr,
    /// How the value becomes the input's property (TG 5.5).
    pub conversion: Conversion,
}

/// The variable an action's result is assigned to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Out {
    /// Index of the variable.
    pub variable: u16,
    /// How the action's return property becomes the variable's (TG 5.5).
    pub conversion: Conversion,
}

/// A rule of a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Optional name, for the trace.
    pub name: Option<SmolStr>,
    /// The rule is taken when this is true (TG 4.7).
    pub expr: Expr,
    /// What happens then.
    pub acts: Vec<Act>,
}

/// A statement: an assignment or the raising of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// `setEvent`, `raiseEvent`.
    Emit(u16),
    /// `$ev.IsTrue = expr`: emits when `expr` is true.
    EmitIf {
        /// The event.
        event: u16,
        /// Tested in Boolean context.
        condition: Expr,
    },
    /// `setVariable`, `stmt(expr: "x.y = ...")`.
    Assign {
        /// Index of the variable.
        variable: u16,
        /// Fields below it; empty for the whole variable.
        path: Vec<SmolStr>,
        /// The value.
        value: ValueExpr,
        /// How it becomes the variable's property when the path is empty.
        conversion: Conversion,
    },
}

/// Which failures a clause is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Selector {
    /// `errorEquals`.
    Errors(Vec<SmolStr>),
    /// `condition`, with `Error` and `ErrorMessage` bound.
    Condition(Expr),
}

/// A `Retry` clause (TG 6.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Optional name.
    pub name: Option<SmolStr>,
    /// When it applies.
    pub selector: Selector,
    /// Wait before the clause's first retry, milliseconds. Default 1 000.
    pub interval_ms: u64,
    /// Factor between waits, at least 1. Default 2.
    pub backoff_rate: f64,
    /// Retries the clause grants per activation; 0 is never. Default 3.
    pub max_attempts: u32,
}

/// A `Catch` clause (TG 6.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catch {
    /// Optional name.
    pub name: Option<SmolStr>,
    /// When it applies.
    pub selector: Selector,
    /// What it does: its `expr` first, then its `raiseEvent`.
    pub acts: Vec<Act>,
}

/// An `OnSuccess` check (TG 6.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Optional name.
    pub name: Option<SmolStr>,
    /// Tested in Boolean context.
    pub condition: Expr,
    /// When true.
    pub on_pass: Vec<Act>,
    /// When false.
    pub on_fail: Vec<Act>,
}

/// The world one deployment froze (TG 7.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Region of the account.
    pub region: SmolStr,
    /// Account id.
    pub account: SmolStr,
    /// Canonical URN of the deployment.
    pub deployment: SmolStr,
    /// Canonical URN of the system.
    pub system: SmolStr,
    /// Bound things by name.
    pub things: BTreeMap<SmolStr, Thing>,
    /// Device entities of the closure.
    pub devices: Vec<Device>,
    /// Service entities of the closure.
    pub services: Vec<Service>,
    /// Timeout of an attempt on a device, milliseconds.
    pub device_timeout_ms: u64,
    /// Timeout of an attempt on a service, milliseconds.
    pub service_timeout_ms: u64,
    /// Longest execution, milliseconds.
    pub execution_timeout_ms: u64,
    /// `http:` URLs are allowed (TG 10.4).
    pub allow_insecure_http: bool,
}

impl Site {
    /// A site without things, with the default timeouts.
    pub fn new(
        region: impl Into<SmolStr>,
        account: impl Into<SmolStr>,
        deployment: impl Into<SmolStr>,
        system: impl Into<SmolStr>,
    ) -> Self {
        Self {
            region: region.into(),
            account: account.into(),
            deployment: deployment.into(),
            system: system.into(),
            things: BTreeMap::new(),
            devices: Vec::new(),
            services: Vec::new(),
            device_timeout_ms: DEFAULT_DEVICE_TIMEOUT_MS,
            service_timeout_ms: DEFAULT_SERVICE_TIMEOUT_MS,
            execution_timeout_ms: DEFAULT_EXECUTION_TIMEOUT_MS,
            allow_insecure_http: false,
        }
    }
}

/// A thing of the deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Index into [`Site::devices`] of the entity associated with it.
    pub device: u16,
    /// Roles it plays in the system.
    pub roles: Vec<SmolStr>,
    /// `host:port` of its Modbus TCP server, when its device speaks Modbus.
    pub modbus_endpoint: Option<SmolStr>,
}

/// A device entity: how a model's actions and events are spoken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Canonical URN.
    pub id: SmolStr,
    /// URNs of the models it implements.
    pub models: Vec<SmolStr>,
    /// Its actions.
    pub actions: Vec<Action>,
    /// Its events.
    pub events: Vec<EventSource>,
}

/// A service entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Canonical URN.
    pub id: SmolStr,
    /// Its actions.
    pub actions: Vec<Action>,
}

/// An action and how it is spoken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Name in the capability.
    pub name: SmolStr,
    /// Inputs of the action type, in order.
    pub inputs: Vec<ActionInput>,
    /// Return property; `None`: void.
    pub returns: Option<Arc<PropertyType>>,
    /// The protocol operation.
    pub operation: Operation,
}

/// An input of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionInput {
    /// Name.
    pub name: SmolStr,
    /// What it takes.
    pub property: Arc<PropertyType>,
    /// Null is refused unless `default` stands in.
    pub is_required: bool,
    /// Value when the argument is missing or null.
    pub default: Option<Value>,
    /// Its value is redacted in messages (TG 11.5).
    pub is_secret: bool,
}

/// An event of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSource {
    /// Name in the capability.
    pub name: SmolStr,
    /// Topic filter of its `Subscribe`, with `systemRuntime` and `systemConfig` in it.
    pub topic: Template,
    /// Payload property; `None`: the payload is not looked at.
    pub payload: Option<Arc<PropertyType>>,
}

/// How an action is carried out (TG 10).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// MQTT `Publish` (TG 10.2).
    Publish {
        /// Request topic.
        topic: Template,
        /// Body members.
        params: Vec<RequestParam>,
        /// Topic and property of the response; `None`: done when the publish is accepted.
        response: Option<PublishResponse>,
    },
    /// A Modbus request (TG 10.3).
    Modbus {
        /// Unit id, 0..=247.
        unit: u8,
        /// What is read and written.
        function: ModbusFunction,
        /// Values to write.
        params: Vec<RequestParam>,
    },
    /// An HTTP request (TG 10.4).
    Http(Box<HttpOperation>),
    /// A function invocation (TG 10.5).
    Function {
        /// ARN of the function.
        arn: Template,
        /// Payload members.
        params: Vec<RequestParam>,
        /// Property of the result; `None`: discarded.
        response: Option<Arc<PropertyType>>,
    },
}

/// The `Response` block of a `Publish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishResponse {
    /// Topic, without wildcards.
    pub topic: Template,
    /// Property the payload is decoded as; `None`: any payload completes the attempt.
    pub property: Option<Arc<PropertyType>>,
}

/// A `param` of a Request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestParam {
    /// Name on the wire; empty: the value alone is the body.
    pub name: SmolStr,
    /// Drives serialisation; the value is not checked against it (TG 3.9).
    pub property: Option<Arc<PropertyType>>,
    /// The value.
    pub value: ParamValue,
}

/// Where the value of a Request's `param` comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ParamValue {
    /// An attribute string (TG 4.2).
    Expr(ValueExpr),
    /// The input of the same name.
    Input,
}

/// Modbus functions of TG 10.3. Addresses are zero-based; counts are coils or registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModbusFunction {
    /// fc 1
    ReadCoils {
        /// First coil.
        address: u16,
        /// Coils to read; default: what the property needs.
        count: Option<u16>,
    },
    /// fc 2
    ReadDiscreteInputs {
        /// First input.
        address: u16,
        /// Inputs to read.
        count: Option<u16>,
    },
    /// fc 3
    ReadHoldingRegisters {
        /// First register.
        address: u16,
        /// Registers to read.
        count: Option<u16>,
    },
    /// fc 4
    ReadInputRegisters {
        /// First register.
        address: u16,
        /// Registers to read.
        count: Option<u16>,
    },
    /// fc 5
    WriteSingleCoil {
        /// The coil.
        address: u16,
    },
    /// fc 6
    WriteSingleRegister {
        /// The register.
        address: u16,
    },
    /// fc 15
    WriteMultipleCoils {
        /// First coil.
        address: u16,
        /// Must equal the number of coils the value takes.
        count: Option<u16>,
    },
    /// fc 16
    WriteMultipleRegisters {
        /// First register.
        address: u16,
        /// Must equal the number of registers the value takes.
        count: Option<u16>,
    },
    /// fc 22, params `and_mask` and `or_mask`
    MaskWriteRegister {
        /// The register.
        address: u16,
    },
    /// fc 23
    ReadWriteMultipleRegisters {
        /// First register read.
        read_address: u16,
        /// Registers to read.
        read_count: Option<u16>,
        /// First register written.
        write_address: u16,
    },
}

/// An HTTP operation (TG 10.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpOperation {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: SmolStr,
    /// URL template.
    pub url: Template,
    /// Signs with the flow role.
    pub sigv4: Option<SigV4Scope>,
    /// Headers set on the request.
    pub headers: Vec<RequestParam>,
    /// Query parameters appended in order.
    pub query: Vec<RequestParam>,
    /// Body parameters.
    pub body: Vec<RequestParam>,
    /// Property of the answer; `None`: the body is discarded.
    pub response: Option<Arc<PropertyType>>,
}

/// Scope of a Signature Version 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SigV4Scope {
    /// `awsServiceName`.
    pub service: SmolStr,
    /// Region; default that of the site.
    pub region: Option<Template>,
}
