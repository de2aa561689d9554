//! A mount namespace of the process' own, with private folders over public ones.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{getegid, geteuid};

use crate::bounds::Mounting;
use crate::enter::EnterError;

/// Leaves the mounts of the host; changes here are not seen there.
pub(crate) fn enter(mounting: Mounting) -> Result<(), EnterError> {
    let call = |what| move |source| EnterError::Call { what, source };
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let flags = match mounting {
        Mounting::Privileged => CloneFlags::CLONE_NEWNS,
        Mounting::Namespace => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER,
    };
    unshare(flags).map_err(|error| Errno::from_raw_os_error(error as i32)).map_err(call("leave the host's mounts"))?;
    if mounting == Mounting::Namespace {
        // The ids stay what they are: files and the peer's credentials of sockets show the same user.
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{uid} {uid} 1")),
            ("gid_map", format!("{gid} {gid} 1")),
        ] {
            fs::write(Path::new("/proc/self").join(file), text)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
                .map_err(call("map the user into a namespace"))?;
        }
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(call("part from the host's mounts"))
}

/// Puts each folder over its place.
pub(crate) fn cover(mounts: &[(PathBuf, PathBuf)]) -> Result<(), EnterError> {
    for (folder, place) in mounts {
        mount_bind(folder, place).map_err(|source| EnterError::Mount {
            folder: folder.clone(),
            place: place.clone(),
            source,
        })?;
    }
    Ok(())
}
