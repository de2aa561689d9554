//! The append-only, hash-chained audit log.
//!
//! One log per account. A record has the fields of a CloudTrail event (control-plane-api.md 10.2) and a `marram` object
//! with its place in the chain: `seq` without gaps, `prev` the leaf hash of the record before. A leaf is
//! `SHA-256(0x00 || canonical JSON)`, so the leaves form the RFC 6962 tree that signed checkpoints commit to
//! (security.md 7.2).
//!
//! [`append`] writes inside the caller's transaction: no change without its record. [`Audit::enqueue`] takes records of
//! calls that changed nothing (reads, refusals) and never waits; [`Audit::room`] is where their callers wait, or learn that
//! nothing can be recorded and so nothing may be done. [`Audit::enqueue_repeatable`] takes reads that pages repeat. [`verify()`] recomputes everything.
//!
//! Not here: LookupEvents as a service (it needs identity, which needs this crate); [`lookup()`] is its query.

mod audit;
mod canonical;
mod chain;
mod checkpoint;
mod key;
mod lookup;
mod record;
mod redact;
mod repeat;
mod schema;
mod segment;
mod text;
mod tree;
mod verify;

pub use audit::{Audit, AuditError, AuditStats, AuditUnavailable};
pub use canonical::to_canonical_json;
pub use chain::{Prepared, append, append_prepared};
pub use checkpoint::{Checkpoint, CheckpointError, read_checkpoints};
pub use key::{AuditKey, PublicKey};
pub use lookup::{Filter, LookupPage, LookupQuery, LookupRecord, lookup};
pub use record::{AuditRecord, Decision, EventType, Resource, SessionContext, SessionIssuer, Tls, UserIdentity};
pub use redact::HIDDEN;
pub use schema::MIGRATIONS;
pub use verify::{AccountReport, Covered, Finding, Problem, Report, verify, verify_account};
