//! Words everybody shares: ARNs, names, ids, timestamps, secrets, clocks, randomness.
//!
//! Every type here is parsed once, at the door (`FromStr`, `TryFrom`, serde), and carries the proof inside: a
//! `ThingName` in a signature needs no further check. No I/O but the system clock and the system's entropy.

mod account;
mod arn;
mod id;
mod name;
mod random;
mod secret;
mod sparse;
mod time;

pub use account::{AccountId, Partition, Region};
pub use arn::{Arn, ArnError};
pub use id::{CertificateId, IdError, RequestId};
pub use name::{
    AttributeKey, AttributeValue, BillingGroupName, ClientId, GroupName, JobId, NameError, PolicyName,
    ProvisioningTemplateName, RoleAliasName, RuleName, ShadowName, ThingName, ThingTypeName,
};
pub use random::{
    fill as random_fill, random_base32, random_base64_alphabet, random_bytes, random_hex, random_id_bytes,
    random_lower_alphanumeric, random_u64,
};
pub use secret::{SecretBytes, SecretString};
pub use sparse::Sparse;
pub use time::{Clock, ManualClock, SharedClock, SystemClock, Timestamp, TimestampError};
