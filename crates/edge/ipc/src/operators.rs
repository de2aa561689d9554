//! People at the machine: tokens for the CLI, in files that only they can read (CR 7.2).
//!
//! [`Operators`] wraps the identities of components. A token from a file counts only from a process of the user or group it
//! was written for; the caller is then `greengrass-cli#user-<uid>` or `greengrass-cli#group-<gid>`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_edge_ports::{Caller, CallerKind, Identities, Peer};
use serde_json::json;

/// Folder of the files, below the root.
const FOLDER: &str = "cli_ipc_info";
/// Bytes of a token before encoding (CR 6.1).
const TOKEN_BYTES: usize = 32;

/// Whom a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A user id.
    User(u32),
    /// A group id.
    Group(u32),
}

impl Principal {
    fn label(self) -> String {
        match self {
            Self::User(uid) => format!("user-{uid}"),
            Self::Group(gid) => format!("group-{gid}"),
        }
    }

    /// Whether a process belongs to the principal. Root may be everyone.
    fn is(self, peer: Peer) -> bool {
        match self {
            Self::User(uid) => peer.uid == uid || peer.uid == 0,
            Self::Group(gid) => peer.gid == gid || peer.uid == 0 || supplementary_groups(peer.pid).contains(&gid),
        }
    }
}

/// The further groups of a process; none when it is gone.
fn supplementary_groups(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// Why no file could be written.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The disk or the owner change was refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no randomness.
    #[error("no random numbers")]
    Random,
}

/// Identities of operators in front of those of components.
pub struct Operators {
    components: Arc<dyn Identities>,
    issued: Vec<(String, Principal)>,
}

impl Operators {
    /// Writes one file per principal with a fresh token and takes back all earlier ones.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub fn issue(
        components: Arc<dyn Identities>,
        root: &Path,
        socket: &Path,
        principals: &[Principal],
    ) -> Result<Self, OperatorError> {
        let folder = root.join(FOLDER);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OperatorError::Io { path, source }
        };
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(at(&folder))?;
        for old in fs::read_dir(&folder).map_err(at(&folder))?.flatten() {
            fs::remove_file(old.path()).map_err(at(&old.path()))?;
        }
        let mut issued = Vec::with_capacity(principals.len());
        for principal in principals {
            let mut bytes = [0; TOKEN_BYTES];
            SystemRandom::new().fill(&mut bytes).map_err(|_| OperatorError::Random)?;
            let token = URL_SAFE_NO_PAD.encode(bytes);
            let path = folder.join(principal.label());
            let text = json!({"cli_auth_token": token, "domain_socket_path": socket}).to_string();
            write_for(&path, *principal, &text).map_err(at(&path))?;
            issued.push((token, *principal));
        }
        Ok(Self { components, issued })
    }

    /// The operator of a token, compared in constant time.
    fn operator(&self, token: &str) -> Option<Principal> {
        let mut found = None;
        for (issued, principal) in &self.issued {
            if verify_slices_are_equal(issued.as_bytes(), token.as_bytes()).is_ok() {
                found = Some(*principal);
            }
        }
        found
    }
}

/// The file is readable before it has its owner by nobody but us.
fn write_for(path: &Path, principal: Principal, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    match principal {
        Principal::User(uid) => std::os::unix::fs::fchown(&file, Some(uid), None)?,
        Principal::Group(gid) => {
            std::os::unix::fs::fchown(&file, None, Some(gid))?;
            file.set_permissions(fs::Permissions::from_mode(0o640))?;
        }
    }
    file.write_all(text.as_bytes())
}

impl Identities for Operators {
    fn authenticate(&self, token: &str, peer: Peer) -> Option<Caller> {
        match self.operator(token) {
            Some(principal) if principal.is(peer) => Some(Caller {
                name: format!("greengrass-cli#{}", principal.label()).into(),
                kind: CallerKind::Operator,
            }),
            Some(_) => None,
            None => self.components.authenticate(token, peer),
        }
    }

    fn owner_of(&self, token: &str) -> Option<Caller> {
        self.components.owner_of(token)
    }

    fn revocations(&self) -> Option<tokio::sync::watch::Receiver<()>> {
        self.components.revocations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Identities for Nobody {
        fn authenticate(&self, _: &str, _: Peer) -> Option<Caller> {
            None
        }
        fn owner_of(&self, _: &str) -> Option<Caller> {
            None
        }
    }

    /// CR 7.2: one file per principal, private, rotated; the token counts for that principal alone.
    #[test]
    fn a_file_serves_its_principal_only() {
        let root = tempfile::tempdir().unwrap();
        let me = rustix::process::getuid().as_raw();
        let issue = || {
            let operators =
                Operators::issue(Arc::new(Nobody), root.path(), Path::new("/s"), &[Principal::User(me)]).unwrap();
            let path = root.path().join(format!("cli_ipc_info/user-{me}"));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let file: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            assert_eq!(file["domain_socket_path"], "/s");
            (operators, file["cli_auth_token"].as_str().unwrap().to_owned())
        };
        let (_, first) = issue();
        let (operators, token) = issue();
        assert_ne!(first, token);
        let peer = |uid| Peer { pid: 1, uid, gid: 4_000_000 };
        let caller = operators.authenticate(&token, peer(me)).unwrap();
        assert_eq!((caller.name.as_str(), caller.kind), (&*format!("greengrass-cli#user-{me}"), CallerKind::Operator));
        assert_eq!(operators.authenticate(&token, peer(me + 77)), None);
        assert_eq!(operators.authenticate(&first, peer(me)), None);
    }
}
