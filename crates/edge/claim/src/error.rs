//! Why a device is not provisioned yet.

use std::path::PathBuf;

/// Every one is worth another try later: templates and claims are mended in the control plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// A file of the claim cannot be read, or one of the device not written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The claim certificate, its key or the roots cannot be used.
    #[error("the claim's certificate cannot be used: {0}")]
    Certificate(#[from] marram_tls::TlsError),
    /// No key could be made.
    #[error("no key could be made: {0}")]
    Key(#[from] marram_pki::PkiError),
    /// The operator's own request cannot be used, or the key named for it is not its key: nothing was asked for.
    #[error("{member}: {what}; {remedy}")]
    OwnRequest {
        /// Of the component's configuration: `csrPath`, `csrPrivateKeyPath`.
        member: &'static str,
        /// What is wrong, with the path.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A name in the settings cannot stand in a topic.
    #[error("`{0}` cannot stand in a topic")]
    Topic(String),
    /// The control plane, or the proxy before it, is not to be reached.
    #[error("the control plane cannot be reached: {0}")]
    Road(#[source] std::io::Error),
    /// The connection.
    #[error("the control plane: {0}")]
    Line(#[from] marram_mqtt_net::ClientError),
    /// No answer.
    #[error("no answer on {topic} within {seconds} s")]
    NoAnswer {
        /// Where it was asked.
        topic: String,
        /// For how long it was waited.
        seconds: u64,
    },
    /// Refused.
    #[error("refused on {topic}: {code}: {message}")]
    Refused {
        /// Where it was asked.
        topic: String,
        /// `errorCode`.
        code: String,
        /// `errorMessage`.
        message: String,
    },
    /// The answer lacks what it must have.
    #[error("the answer on {topic} cannot be used")]
    Answer {
        /// Where it was asked.
        topic: String,
    },
}
