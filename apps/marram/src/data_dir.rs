//! The data directory: what lies where, and the certificates made on first start.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use marram_pki::{Certificate, CertificateAuthority, Validity, pem};
use marram_types::{Clock, SystemClock};

/// How long the installation's own certificate authority is valid: ten years.
const CA_VALIDITY_SECS: i64 = 10 * 365 * 86_400;
/// How long a server certificate is valid: a year (SEC 12.1 baseline).
const SERVER_VALIDITY_SECS: i64 = 365 * 86_400;
/// A server certificate this close to its end is replaced at start.
const SERVER_RENEW_SECS: i64 = 30 * 86_400;

/// A data directory. Everything in it is readable by its owner only.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// What TLS listeners and clients of this installation need.
pub struct Pki {
    /// Signs device certificates and the server certificate.
    pub authority: CertificateAuthority,
    /// Leaf first.
    pub server_chain_pem: String,
    /// Its key.
    pub server_key_pem: String,
}

impl DataDir {
    /// Opens or makes the directory, owner only.
    pub fn open(root: &Path) -> anyhow::Result<DataDir> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .with_context(|| format!("cannot make the data directory {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("cannot open {}", root.display()))?;
        Ok(DataDir { root })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder below, made when missing.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// The root certificate clients are given.
    pub fn ca_file(&self) -> PathBuf {
        self.root.join("pki/ca.pem")
    }

    /// The socket through which commands reach a running installation.
    pub fn admin_socket(&self) -> PathBuf {
        self.root.join("admin.sock")
    }

    /// Loads the authority and a server certificate that names every host, making what is missing or nearly expired.
    pub fn pki(&self, hosts: &[String]) -> anyhow::Result<Pki> {
        let folder = self.folder("pki")?;
        let now = SystemClock.now().as_micros() / 1_000_000;
        let authority = self.authority(&folder, now)?;
        let chain_file = folder.join("server.pem");
        let key_file = folder.join("server.key");
        if let (Ok(chain), Ok(key)) = (fs::read_to_string(&chain_file), fs::read_to_string(&key_file))
            && serves(&chain, hosts, &authority, now)
        {
            return Ok(Pki { authority, server_chain_pem: chain, server_key_pem: key });
        }
        let issued = authority
            .issue_server(hosts, Validity::starting(now, SERVER_VALIDITY_SECS))
            .context("cannot issue the server certificate")?;
        write_private(&key_file, issued.key_pem.as_bytes())?;
        write_private(&chain_file, issued.chain_pem.as_bytes())?;
        Ok(Pki { authority, server_chain_pem: issued.chain_pem, server_key_pem: issued.key_pem })
    }

    fn authority(&self, folder: &Path, now: i64) -> anyhow::Result<CertificateAuthority> {
        let certificate_file = folder.join("ca.pem");
        let key_file = folder.join("ca.key");
        match (fs::read_to_string(&certificate_file), fs::read_to_string(&key_file)) {
            (Ok(certificate), Ok(key)) => {
                CertificateAuthority::load(&certificate, &key).context("the certificate authority's files are damaged")
            }
            (Err(_), Ok(_)) | (Ok(_), Err(_)) if certificate_file.exists() => {
                anyhow::bail!("{} stands without its key {}", certificate_file.display(), key_file.display())
            }
            _ => {
                let authority =
                    CertificateAuthority::create("Marram installation CA", Validity::starting(now, CA_VALIDITY_SECS))
                        .context("cannot make the certificate authority")?;
                // The key first: a certificate that stands without its key is the damaged case above.
                write_private(&key_file, authority.key_pem().as_bytes())?;
                write_private(&certificate_file, authority.certificate_pem().as_bytes())?;
                Ok(authority)
            }
        }
    }
}

/// Whether a stored chain is from this authority, lasts, and names every host.
fn serves(chain: &str, hosts: &[String], authority: &CertificateAuthority, now: i64) -> bool {
    let Ok(chain) = pem::certificates(chain) else { return false };
    let Some(Ok(leaf)) = chain.first().map(|der| Certificate::from_der(der)) else { return false };
    let names: Vec<String> = leaf.alternative_names().iter().map(alternative_text).collect();
    leaf.verify_issued_by(authority.certificate()).is_ok()
        && leaf.is_valid_at(now)
        && leaf.not_after() - now > SERVER_RENEW_SECS
        && hosts.iter().all(|host| names.contains(&host.to_ascii_lowercase()))
}

fn alternative_text(name: &marram_pki::AlternativeName) -> String {
    match name {
        marram_pki::AlternativeName::Dns(text) => text.to_ascii_lowercase(),
        marram_pki::AlternativeName::Ip(address) => address.to_string(),
        _ => String::new(),
    }
}

/// Writes a file that only its owner may read, durably and in one step.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P1: a second start keeps the authority and the server certificate; another host name gets a new certificate.
    #[test]
    fn certificates_are_made_once_and_follow_the_host_names() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let first = data.pki(&hosts).unwrap();
        let second = data.pki(&hosts).unwrap();
        assert_eq!(first.server_chain_pem, second.server_chain_pem);
        let third = data.pki(&["localhost".to_owned(), "marram.example".to_owned()]).unwrap();
        assert_ne!(first.server_chain_pem, third.server_chain_pem);
        assert_eq!(first.authority.certificate_pem(), third.authority.certificate_pem());
    }

    /// SEC 12: keys are readable by their owner only.
    #[test]
    fn key_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        data.pki(&["localhost".to_owned()]).unwrap();
        for file in ["ca.key", "server.key"] {
            let mode = fs::metadata(data.root().join("pki").join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
