//! From a request to its answer: unknown operations, errors, answers now, answers later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use marram_edge_ports::PortError;
use marram_eventstream::{FLAG_TERMINATE_STREAM, MessageType, Template};
use serde_json::{Map, Value, json};

use super::{Connection, Open};
use crate::operation::{self, Answer, Call, Feed, Operation};
use crate::subscription::Subscription;

/// Streams one connection may hold open.
const MAX_STREAMS: usize = 200_000;

impl Connection {
    /// Starts an operation; answers that are there at once go to `out`. `body` is scratch space.
    pub(super) fn request(
        this: &Arc<Self>,
        cx: &mut Context<'_>,
        stream: u32,
        name: &str,
        payload: &[u8],
        out: &mut Vec<u8>,
        body: &mut Vec<u8>,
    ) {
        let Some(caller) = this.caller() else { return };
        let Some(operation) = Operation::find(name, caller.kind) else {
            return write_unsupported(out, stream, name);
        };
        body.clear();
        let door = &this.door;
        let answer = operation::run(&mut Call { door, caller, operation, payload, body });
        match answer {
            Ok(Answer::Empty) => door.shapes.write_response(out, operation, stream, b"{}"),
            Ok(Answer::Written) => door.shapes.write_response(out, operation, stream, body),
            Ok(Answer::Topic { .. } | Answer::Feed { .. } | Answer::FeedLater { .. })
                if this.open_streams() >= MAX_STREAMS =>
            {
                write_error(out, stream, &PortError::service("too many open streams on this connection"));
            }
            Ok(
                Answer::Topic { filter: resource, .. }
                | Answer::Feed { resource, .. }
                | Answer::FeedLater { resource, .. },
            ) if this.share().is_some_and(|share| !share.may_subscribe(resource.len())) => {
                write_error(out, stream, &PortError::service("too many subscriptions of this component"));
            }
            Ok(Answer::Topic { filter, others_only }) => {
                door.shapes.write_response(out, operation, stream, body);
                this.open_topic(Subscription::new(Arc::clone(this), stream, operation, filter, others_only));
            }
            Ok(Answer::Feed { resource, feed }) => {
                door.shapes.write_response(out, operation, stream, b"{}");
                this.open_feed(Subscription::new(Arc::clone(this), stream, operation, resource, false), feed);
            }
            Ok(Answer::Later(mut later)) => match later.as_mut().poll(cx) {
                Poll::Ready(result) => this.write_result(out, operation, stream, result),
                Poll::Pending => {
                    let waiting = this.wait(stream);
                    tokio::spawn(async move {
                        let result = later.await;
                        waiting.answer(|connection, out| connection.write_result(out, operation, stream, result));
                    });
                }
            },
            Ok(Answer::FeedLater { resource, mut feed }) => match feed.as_mut().poll(cx) {
                Poll::Ready(result) => this.begin_feed(out, operation, stream, resource, result),
                Poll::Pending => {
                    let waiting = this.wait(stream);
                    tokio::spawn(async move {
                        let result = feed.await;
                        waiting.answer(|this, out| this.begin_feed(out, operation, stream, resource, result));
                    });
                }
            },
            Err(error) => write_error(out, stream, &error),
        }
    }

    fn write_result(&self, out: &mut Vec<u8>, operation: Operation, stream: u32, result: Result<Vec<u8>, PortError>) {
        match result {
            Ok(body) => self.door.shapes.write_response(out, operation, stream, &body),
            Err(error) => write_error(out, stream, &error),
        }
    }

    fn begin_feed(
        self: &Arc<Self>,
        out: &mut Vec<u8>,
        operation: Operation,
        stream: u32,
        resource: Arc<str>,
        result: Result<Feed, PortError>,
    ) {
        match result {
            Ok(feed) => {
                self.door.shapes.write_response(out, operation, stream, b"{}");
                self.open_feed(Subscription::new(Arc::clone(self), stream, operation, resource, false), feed);
            }
            Err(error) => write_error(out, stream, &error),
        }
    }

    /// Marks a stream as being worked on outside the driver.
    fn wait(self: &Arc<Self>, stream: u32) -> Waiting {
        self.streams().insert(stream, Open::Waiting);
        self.running.fetch_add(1, Ordering::Relaxed);
        Waiting { connection: Arc::clone(self), stream, answered: false }
    }

    /// Whether others left something to send since the last look.
    pub(super) fn has_output(&self) -> bool {
        let outbox = self.outbox();
        !outbox.frames.is_empty() || !outbox.ready.is_empty() || outbox.ended
    }
}

/// An operation under way. Dropped without an answer (its port panicked) it answers for it.
struct Waiting {
    connection: Arc<Connection>,
    stream: u32,
    answered: bool,
}

impl Waiting {
    /// Answers, unless the client has left the stream.
    fn answer(mut self, write: impl FnOnce(&Arc<Connection>, &mut Vec<u8>)) {
        self.answered = true;
        if self.connection.streams().remove(&self.stream).is_some() {
            // Held meanwhile, so that no event of a stream that opens now can overtake its response.
            write(&self.connection, &mut self.connection.outbox().frames);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered && self.connection.streams().remove(&self.stream).is_some() {
            write_fault(&mut self.connection.outbox().frames, self.stream);
        }
        self.connection.running.fetch_sub(1, Ordering::Relaxed);
        self.connection.waker.wake();
    }
}

/// Appends the error shape that belongs to a port's error (CR 6.7).
pub(crate) fn write_error(out: &mut Vec<u8>, stream: u32, error: &PortError) {
    let shape = match error {
        PortError::InvalidArguments(_) => "aws.greengrass#InvalidArgumentsError",
        PortError::Unauthorized(_) => "aws.greengrass#UnauthorizedError",
        PortError::ResourceNotFound { .. } => "aws.greengrass#ResourceNotFoundError",
        PortError::Service { .. } => "aws.greengrass#ServiceError",
        PortError::Conflict(_) => "aws.greengrass#ConflictError",
        PortError::FailedUpdateCondition(_) => "aws.greengrass#FailedUpdateConditionCheckError",
        PortError::InvalidRecipeDirectory(_) => "aws.greengrass#InvalidRecipeDirectoryPathError",
        PortError::InvalidArtifactsDirectory(_) => "aws.greengrass#InvalidArtifactsDirectoryPathError",
        PortError::InvalidToken(_) => "aws.greengrass#InvalidTokenError",
        PortError::InvalidClientDeviceAuthToken(_) => "aws.greengrass#InvalidClientDeviceAuthTokenError",
        PortError::InvalidCredential(_) => "aws.greengrass#InvalidCredentialError",
    };
    let mut body = Map::new();
    body.insert("message".into(), error.to_string().into());
    match error {
        PortError::ResourceNotFound { resource_type, resource_name, .. } => {
            let mut add = |name: &str, text: &Option<String>| {
                if let Some(text) = text {
                    body.insert(name.into(), text.as_str().into());
                }
            };
            add("resourceType", resource_type);
            add("resourceName", resource_name);
        }
        PortError::Service { context: Some(context), .. } => {
            body.insert("context".into(), context.clone());
        }
        _ => {}
    }
    let written = Template::json(MessageType::ApplicationError, FLAG_TERMINATE_STREAM, shape)
        .and_then(|template| template.write(out, stream, Value::Object(body).to_string().as_bytes()));
    if written.is_err() {
        write_fault(out, stream);
    }
}

/// Appends the answer to an operation that does not exist (CR 6.5).
fn write_unsupported(out: &mut Vec<u8>, stream: u32, name: &str) {
    let message = format!("{name} is an unsupported operation.");
    let body = json!({"error": "Unsupported Operation", "message": message}).to_string();
    let texts = [(":content-type", "application/json")];
    Template::new(MessageType::ApplicationError, FLAG_TERMINATE_STREAM, &texts)
        .and_then(|template| template.write(out, stream, body.as_bytes()))
        .expect("an operation's name came in a header and fits a payload");
}

/// Appends the answer of a server that broke (CR 6.5).
pub(crate) fn write_fault(out: &mut Vec<u8>, stream: u32) {
    Template::new(MessageType::ApplicationError, FLAG_TERMINATE_STREAM, &[(":content-type", "text/plain")])
        .and_then(|template| template.write(out, stream, b"InternalServerError"))
        .expect("four short headers fit every limit");
}
