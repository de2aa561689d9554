//! The operations: their names and shapes, and one handler each in the families below (CR 6.8).

mod cloud;
mod component;
mod configuration;
mod deployment;
mod device;
mod input;
mod keeping;
mod operator;
mod topic;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use marram_edge_ports::{Caller, CallerKind, PortError};
use marram_eventstream::{FLAG_TERMINATE_STREAM, MessageType, Template};
use serde::Serialize;

use crate::connection;
use crate::server::Door;

pub(crate) use topic::publish_own;

/// Events of a subscription as JSON text; the stream of the client ends when it ends.
pub(crate) type Feed = Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>;
/// An answer that takes time.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send>>;

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) door: &'a Door,
    pub(crate) caller: &'a Caller,
    pub(crate) operation: Operation,
    /// JSON text.
    pub(crate) payload: &'a [u8],
    /// Where a handler writes the response of [`Answer::Written`] and [`Answer::Topic`].
    pub(crate) body: &'a mut Vec<u8>,
}

/// What a handler made of a request.
pub(crate) enum Answer {
    /// `{}`
    Empty,
    /// The response stands in [`Call::body`].
    Written,
    /// The response comes later.
    Later(Pending<Vec<u8>>),
    /// A local topic; the response stands in [`Call::body`].
    Topic { filter: Arc<str>, others_only: bool },
    /// Events; the response is `{}`.
    Feed { resource: Arc<str>, feed: Feed },
    /// Events, once the port agrees.
    FeedLater { resource: Arc<str>, feed: Pending<Feed> },
}

type Handled = Result<Answer, PortError>;

impl Call<'_> {
    /// Asks the policies of the caller.
    fn authorize(&self, service: &str, resource: Option<&str>) -> Result<(), PortError> {
        self.door.authorize(self.caller, service, self.operation, resource)
    }

    /// The port, or the error of an operation whose part of the core is not there (CR 6.5).
    fn port<T: ?Sized>(&self, port: &Option<Arc<T>>) -> Result<Arc<T>, PortError> {
        port.clone().ok_or_else(|| {
            PortError::service(format!("Operation {} is not supported by Greengrass", self.operation.name()))
        })
    }

    /// Writes the response.
    fn respond(&mut self, response: &impl Serialize) -> Handled {
        serde_json::to_writer(&mut *self.body, response).map_err(unwritable)?;
        Ok(Answer::Written)
    }
}

fn unwritable(error: serde_json::Error) -> PortError {
    PortError::service(format!("the response cannot be written: {error}"))
}

/// Text of a response or event.
fn json(value: &impl Serialize) -> Result<Vec<u8>, PortError> {
    serde_json::to_vec(value).map_err(unwritable)
}

macro_rules! operations {
    ($($name:ident $prefix:literal $handler:path $(=> $event:literal)?;)+) => {
        /// An operation of the socket.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are the protocol's, CR 6.8")]
        #[repr(u8)]
        pub enum Operation { $($name,)+ }

        impl Operation {
            /// Every operation; those of the `marram#` namespace last.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name on the wire, with its namespace.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => concat!($prefix, stringify!($name)),)+ }
            }

            fn response_shape(self) -> &'static str {
                match self { $(Self::$name => concat!($prefix, stringify!($name), "Response"),)+ }
            }

            fn event_shape(self) -> Option<&'static str> {
                match self {
                    $($(Self::$name => Some(concat!($prefix, $event)),)?)+
                    #[allow(unreachable_patterns, reason = "operations without events")]
                    _ => None,
                }
            }

            pub(crate) fn of(name: &str) -> Option<Self> {
                match name {
                    $(concat!($prefix, stringify!($name)) => Some(Self::$name),)+
                    _ => None,
                }
            }
        }

        /// Runs the handler of the operation.
        pub(crate) fn run(call: &mut Call<'_>) -> Handled {
            match call.operation { $(Operation::$name => $handler(call),)+ }
        }
    };
}

operations! {
    PublishToTopic "aws.greengrass#" topic::publish;
    SubscribeToTopic "aws.greengrass#" topic::subscribe => "SubscriptionResponseMessage";
    GetConfiguration "aws.greengrass#" configuration::get;
    UpdateConfiguration "aws.greengrass#" configuration::update;
    SubscribeToConfigurationUpdate "aws.greengrass#" configuration::subscribe => "ConfigurationUpdateEvents";
    SubscribeToValidateConfigurationUpdates "aws.greengrass#" configuration::validations => "ValidateConfigurationUpdateEvents";
    SendConfigurationValidityReport "aws.greengrass#" configuration::report_validity;
    PublishToIoTCore "aws.greengrass#" cloud::publish;
    SubscribeToIoTCore "aws.greengrass#" cloud::subscribe => "IoTCoreMessage";
    SubscribeToIoTCoreConnectionStatus "aws.greengrass#" cloud::connection_status => "IoTCoreConnectionStatusEvent";
    UpdateState "aws.greengrass#" component::update_state;
    SubscribeToComponentUpdates "aws.greengrass#" component::subscribe_updates => "ComponentUpdatePolicyEvents";
    DeferComponentUpdate "aws.greengrass#" component::defer;
    PauseComponent "aws.greengrass#" component::pause;
    ResumeComponent "aws.greengrass#" component::resume;
    RestartComponent "aws.greengrass#" component::restart;
    StopComponent "aws.greengrass#" component::stop;
    GetComponentDetails "aws.greengrass#" component::details;
    ListComponents "aws.greengrass#" component::list;
    GetSecretValue "aws.greengrass#" keeping::secret;
    GetThingShadow "aws.greengrass#" keeping::get_shadow;
    UpdateThingShadow "aws.greengrass#" keeping::update_shadow;
    DeleteThingShadow "aws.greengrass#" keeping::delete_shadow;
    ListNamedShadowsForThing "aws.greengrass#" keeping::list_shadows;
    CreateLocalDeployment "aws.greengrass#" deployment::create;
    CancelLocalDeployment "aws.greengrass#" deployment::cancel;
    GetLocalDeploymentStatus "aws.greengrass#" deployment::status;
    ListLocalDeployments "aws.greengrass#" deployment::list;
    CreateDebugPassword "aws.greengrass#" deployment::debug_password;
    SubscribeToCertificateUpdates "aws.greengrass#" device::certificates => "CertificateUpdateEvent";
    VerifyClientDeviceIdentity "aws.greengrass#" device::verify;
    GetClientDeviceAuthToken "aws.greengrass#" device::auth_token;
    AuthorizeClientDeviceAction "aws.greengrass#" device::authorize;
    ValidateAuthorizationToken "aws.greengrass#" device::validate_token;
    PutComponentMetric "aws.greengrass#" device::put_metrics;
    Status "marram#" operator::status;
    ExplainConfiguration "marram#" operator::explain_configuration;
    WhyDeployment "marram#" operator::why;
    Diagnose "marram#" operator::diagnose;
    LearnSandbox "marram#" operator::learn_sandbox;
}

impl Operation {
    /// The operation of this name. Those of our own namespace exist for operators only.
    pub(crate) fn find(name: &str, caller: CallerKind) -> Option<Self> {
        Self::of(name).filter(|operation| caller == CallerKind::Operator || !operation.is_private())
    }

    fn is_private(self) -> bool {
        self.name().starts_with("marram#")
    }
}

/// Prepared headers of responses and events.
pub(crate) struct Shapes {
    responses: Vec<Template>,
    events: Vec<Template>,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        let template = |flags, shape| {
            Template::json(MessageType::ApplicationMessage, flags, shape).expect("the names of shapes are short")
        };
        // The response of a subscription leaves its stream open (CR 6.5).
        let response = |operation: &Operation| match operation.event_shape() {
            Some(_) => template(0, operation.response_shape()),
            None => template(FLAG_TERMINATE_STREAM, operation.response_shape()),
        };
        let event = |operation: &Operation| template(0, operation.event_shape().unwrap_or_default());
        Self {
            responses: Operation::ALL.iter().map(response).collect(),
            events: Operation::ALL.iter().map(event).collect(),
        }
    }

    pub(crate) fn event(&self, operation: Operation) -> &Template {
        &self.events[operation as usize]
    }

    /// Appends a response; one that is too long for a message becomes an error.
    pub(crate) fn write_response(&self, out: &mut Vec<u8>, operation: Operation, stream: u32, body: &[u8]) {
        if let Err(error) = self.responses[operation as usize].write(out, stream, body) {
            connection::write_error(out, stream, &PortError::service(format!("the response cannot be sent: {error}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 6.8: 35 operations, found by name; ours only by operators.
    #[test]
    fn the_table_is_complete() {
        let (ours, theirs): (Vec<&Operation>, Vec<&Operation>) =
            Operation::ALL.iter().partition(|operation| operation.is_private());
        assert_eq!(theirs.len(), 35);
        assert_eq!(theirs.iter().filter(|operation| operation.event_shape().is_some()).count(), 7);
        for operation in Operation::ALL {
            assert_eq!(Operation::find(operation.name(), CallerKind::Operator), Some(*operation));
            assert_eq!(Operation::ALL[*operation as usize], *operation);
        }
        for operation in ours {
            assert_eq!(Operation::find(operation.name(), CallerKind::Component), None);
        }
    }
}
