//! AWS wire protocols and the generated operation tables and shapes.
//!
//! One endpoint answers for many services in three dialects. This crate knows the facts of each operation
//! (method, path, shapes, constraints, errors, IAM action) and the dialects; it opens no socket and reads no clock.
//!
//! A request becomes one JSON object keyed by *member name* (the model's name, never the wire's `locationName`), whatever
//! the protocol was; a service answers with another one. Inside those objects a blob is a base64 string and a timestamp
//! is a JSON number of epoch seconds, fraction allowed.
//!
//! * [`model`]: what an operation and a shape are; [`op`] finds one.
//! * [`route`]: which operation a request asks for.
//! * [`decode`] and [`constraint`]: its input, checked.
//! * [`encode`]: the answer, or the error of [`error`].
//! * [`redact`]: what of both may stand in the audit log.
//! * [`s3`]: the table of the object store, written by hand, and its routing.
//! * `generated`: the tables, written by `cargo xtask codegen`.

pub mod constraint;
pub mod decode;
pub mod device;
pub mod encode;
pub mod error;
pub mod generated;
pub mod message;
pub mod model;
pub mod redact;
pub mod route;
pub mod s3;
pub mod service;
pub mod timestamp;

pub use error::{ApiError, Fault};
pub use message::{Request, Response};
pub use model::{ErrorShape, Kind, Location, Member, Number, Operation, Pagination, Pattern, Shape, TimestampFormat};
pub use service::{Protocol, Service, ServiceId};

/// The operation `name` (model casing, `CreateThing`) of the service with botocore id `service` (`iot`).
///
/// `None` when the service or the operation is unknown. Logarithmic in the number of operations.
pub fn op(service: &str, name: &str) -> Option<&'static Operation> {
    ServiceId::from_name(service)?.operation(name)
}
