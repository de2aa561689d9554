//! The core's own certificate authority and the certificates of its broker (CC 2.5.6).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use marram_pki::{CertificateAuthority, IssuedServer, PkiError, Validity};
use marram_types::SharedClock;

/// Name of the authority.
const COMMON_NAME: &str = "Greengrass Core CA";
/// Life of the authority, seconds: 5 years.
const AUTHORITY_SECONDS: i64 = 5 * 365 * 86_400;
/// It is made anew this long before its end, seconds: a year.
const AUTHORITY_RENEW_SECONDS: i64 = 365 * 86_400;

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CoreAuthorityError {
    /// The disk refused.
    #[error("{path}: {cause}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The cryptography refused.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// The authority.
#[derive(Debug)]
pub struct CoreAuthority {
    authority: CertificateAuthority,
    clock: SharedClock,
}

impl CoreAuthority {
    /// Loads the authority from `dir` (`ca.pem`, `ca.key`), or makes one when there is none, it is damaged or nears its end.
    ///
    /// # Errors
    /// [`CoreAuthorityError`].
    pub fn open(dir: &Path, clock: SharedClock) -> Result<Self, CoreAuthorityError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |cause| CoreAuthorityError::Io { path, cause }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))?;
        let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        let now = clock.now().as_millis() / 1_000;
        if let (Ok(certificate), Ok(key)) = (fs::read_to_string(&certificate), fs::read_to_string(&key)) {
            match CertificateAuthority::load(&certificate, &key) {
                Ok(authority) if authority.certificate().not_after() - now > AUTHORITY_RENEW_SECONDS => {
                    return Ok(Self { authority, clock });
                }
                Ok(_) => tracing::info!("the core's certificate authority nears its end and is replaced"),
                Err(error) => tracing::warn!(%error, "the core's certificate authority is damaged and is replaced"),
            }
        }
        let authority = CertificateAuthority::create(COMMON_NAME, Validity::starting(now, AUTHORITY_SECONDS))?;
        for (path, text) in [(&key, authority.key_pem()), (&certificate, authority.certificate_pem())] {
            let fresh = path.with_extension("new");
            let written = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)
                .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&fresh, path));
            written.map_err(io(path))?;
        }
        Ok(Self { authority, clock })
    }

    /// The certificate of the authority, PEM: what devices trust.
    pub fn certificate_pem(&self) -> String {
        self.authority.certificate_pem()
    }

    /// A server certificate with a fresh key for these hosts and `localhost`, valid for `seconds`.
    ///
    /// # Errors
    /// A host is no name and no address.
    pub fn issue(&self, hosts: &[String], seconds: i64) -> Result<IssuedServer, PkiError> {
        let mut names = hosts.to_vec();
        for own in ["localhost", "127.0.0.1"] {
            if !names.iter().any(|name| name == own) {
                names.push(own.to_owned());
            }
        }
        self.authority.issue_server(&names, Validity::starting(self.clock.now().as_millis() / 1_000, seconds))
    }
}
