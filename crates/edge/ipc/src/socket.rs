//! Where the socket lies and who may open it (CR 6.1, 9.1).

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Longest path a socket address holds.
const MAX_PATH: usize = 107;
/// What components get when the absolute path is too long: it is valid from `work/<component>` (CR 6.1).
const RELATIVE: &str = "../../ipc.socket";

/// How to bind.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Absolute path; `<root>/ipc.socket` unless `system.ipcSocketPath` says otherwise.
    pub path: PathBuf,
    /// `ipc.openSocket`: mode 0666 instead of 0660, so that components of any user reach the token check.
    pub open: bool,
    /// Group of the socket, for components that run as other users.
    pub group: Option<u32>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another runtime answers on it.
    #[error("another runtime listens on {}", .0.display())]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("{} is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The path has no folder or no name.
    #[error("{} is no path for a socket", .0.display())]
    BadPath(PathBuf),
    /// The system refused.
    #[error("cannot open the IPC socket {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// The path that a component is given in `AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT`: absolute, or relative to
/// its work directory when the absolute one does not fit a socket address.
pub fn component_path(socket: &Path) -> PathBuf {
    if socket.as_os_str().len() <= MAX_PATH { socket.to_owned() } else { PathBuf::from(RELATIVE) }
}

impl Socket {
    /// Binds beside the final path and moves the file there once its mode is right, so that nobody can open it earlier and
    /// a file left by a crash is replaced.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn bind(options: &SocketOptions) -> Result<Self, SocketError> {
        let path = &options.path;
        let io_error = |source| SocketError::Io { path: path.clone(), source };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(SocketError::BadPath(path.clone()));
        };
        // Through the open folder every path is short enough (CR 6.1 limits it to 107 bytes).
        let folder = std::fs::File::open(folder).map_err(io_error)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let target = short.join(name);
        match std::fs::symlink_metadata(&target) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.clone())),
            Ok(_) if std::os::unix::net::UnixStream::connect(&target).is_ok() => {
                return Err(SocketError::InUse(path.clone()));
            }
            _ => {}
        }
        let new = short.join(format!(".ipc.{}", std::process::id()));
        let _ = std::fs::remove_file(&new);
        let listener = std::os::unix::net::UnixListener::bind(&new).map_err(io_error)?;
        let finish = || {
            // Connections wait in the kernel while components start all at once.
            rustix::net::listen(&listener, BACKLOG)?;
            let mode = if options.open { 0o666 } else { 0o660 };
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))?;
            if options.group.is_some() {
                std::os::unix::fs::chown(&new, None, options.group)?;
            }
            std::fs::rename(&new, &target)?;
            listener.set_nonblocking(true)?;
            Ok(std::fs::symlink_metadata(&target)?.ino())
        };
        let inode = finish().map_err(|source| {
            let _ = std::fs::remove_file(&new);
            io_error(source)
        })?;
        let listener = UnixListener::from_std(listener).map_err(io_error)?;
        Ok(Self { listener, path: path.clone(), inode })
    }

    /// The path it was bound to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(client, _)| client)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Only if it is still ours.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(path: PathBuf) -> SocketOptions {
        SocketOptions { path, open: false, group: None }
    }

    /// CR 6.1, 9.1: mode 0660; a file left behind is replaced, a living runtime is not; gone at the end.
    #[tokio::test]
    async fn a_socket_is_bound_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ipc.socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&options(path.clone())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Socket::bind(&options(path.clone())), Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path.exists());
        std::fs::write(&path, "a file").unwrap();
        assert!(matches!(Socket::bind(&options(path)), Err(SocketError::NotASocket(_))));
    }

    /// CR 6.1: a root whose socket path does not fit an address still works, through a relative path.
    #[tokio::test]
    async fn a_long_path_is_bound_and_reached() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("r".repeat(120));
        std::fs::create_dir_all(root.join("work/component")).unwrap();
        let path = root.join("ipc.socket");
        let socket = Socket::bind(&SocketOptions { open: true, ..options(path.clone()) }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(component_path(&path), Path::new("../../ipc.socket"));
        assert_eq!(component_path(Path::new("/g/ipc.socket")), Path::new("/g/ipc.socket"));
        assert_eq!(socket.path(), path);
    }
}
