//! The API front door: TLS listener to SigV4 identity to routed operation to response.
//!
//! ```text
//! TCP -> TLS (platform/tls) -> HTTP/1.1 (platform/http) -> unsigned pages
//!                                                       -> signature (Gate) -> route -> decode -> Service -> encode
//! ```
//!
//! Order matters: nothing of a request is believed before its signature holds. Its scope merely selects in whose words
//! to refuse. A request signed for one service reaches no other one; a call sees the account of its signer and no
//! other. A panic answers 500 in the caller's dialect and ends nothing else. Each call leaves one audit record: the
//! commit writes it, or [`Gate::conclude`] does for calls that changed nothing.
//!
//! Not here: who may do what ([`marram_identity`]), what operations do (the services).

mod browser;
mod connection;
mod device;
mod door;
mod fair;
mod gate;
mod listener;
mod metric;
mod page;
mod quota;

pub use device::{CertificateGate, DeviceDoor};
pub use door::{Caller, FrontDoor, FrontOptions, Peer, StreamService};
pub use fair::DEFAULT_PRINCIPAL_RATE;
pub use gate::{Admission, Gate, IdentityGate, Refused};
pub use listener::{ApiListener, Handover};
pub use metric::FrontMetrics;
pub use page::{Page, Pages};
pub use quota::Quotas;
