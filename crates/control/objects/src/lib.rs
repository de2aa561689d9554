//! The object store: the S3 operations that clients of Marram use (control-plane-api 9.1).
//!
//! [`Objects`] is the stream service of the front door: bodies never stand in memory whole. It checks signatures, the chunks
//! of streamed bodies and checksums, and keeps contents as files named by their SHA-256 (`blob`), their names in the store.
//!
//! * Bucket names are unique in the installation; what is in a bucket belongs to one account and is never shown to another.
//!   Bucket policies decide within the account.
//! * An acknowledged write is durable: the file is synced before the row is committed.
//! * [`Objects::share`] hands a content to a bearer of a short URL for a while: artifacts and large documents of devices.
//!
//! Not built: versions, tags, access control lists, encryption headers, copies of parts, and every query parameter and header
//! that [`marram_aws_api::s3`] does not list for the operation. They answer `NotImplemented`, and nothing is done.

mod address;
mod blob;
mod bucket;
mod checksum;
mod chunked;
mod fault;
mod inside;
mod list;
mod multipart;
mod object;
mod policy;
mod receive;
mod reply;
mod schema;
mod service;
mod shared;
mod xml;

pub use blob::Segment;
pub use chunked::{ChunkError, ChunkSigner, Decoder};
pub use schema::MIGRATIONS;
pub use service::{DEFAULT_MAX_OBJECT, Objects, ObjectsError, ObjectsOptions};
pub use shared::Artifact;
pub use xml::fuzz_xml;
