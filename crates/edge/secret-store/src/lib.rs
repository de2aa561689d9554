//! Secrets kept on a core, sealed with its device key (`aws.greengrass.SecretManager`, core-components.md section 5).
//!
//! ```text
//! configuration `cloudSecrets` ─> refresh ─> Source (GetSecretValue, SigV4 with the core's role) ─> memory ─> sealed file
//! IPC GetSecretValue ─> ports::Secrets ─> memory ─┘ (works offline; asks the source on a miss or `refresh`)
//! ```
//!
//! The file is written whole at every change: a fresh data key seals each secret (AES-256-GCM, bound to its ARN, version
//! and labels), and the data key is wrapped with a key that a [`SealingRoot`] derives from the device key. Nothing that the
//! original can do only with RSA keys depends on the kind of the device key.
//!
//! Not here: its configuration (`marram-parts`); who may read which secret (the IPC door decides on [`marram_edge_ports::Secrets::arn_of`] before it asks).

mod file;
mod kept;
mod root;
mod source;
mod store;

pub use file::VaultError;
pub use root::{DeviceKeyFile, RootError, SealingRoot};
pub use source::{Fetched, Source, SourceError, SourceSettings, Wherefrom};
pub use store::SecretStore;
