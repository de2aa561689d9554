//! A mount namespace of the process' own, with private folders over public ones.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
use rustix::process::{getegid, geteuid};

use crate::bounds::Mounting;
use crate::enter::EnterError;

/// Leaves the mounts of the host; changes here are not seen there. With `network` its network, too.
pub(crate) fn enter(mounting: Mounting, network: bool) -> Result<(), EnterError> {
    let call = |what| move |source| EnterError::Call { what, source };
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let flags = match mounting {
        Mounting::Privileged => CloneFlags::CLONE_NEWNS,
        Mounting::Namespace => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER,
    };
    let (flags, what) = match network {
        true => (flags | CloneFlags::CLONE_NEWNET, "leave the host's mounts and network"),
        false => (flags, "leave the host's mounts"),
    };
    unshare(flags).map_err(|error| Errno::from_raw_os_error(error as i32)).map_err(call(what))?;
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
    part()
}

/// As [`enter`], inside a user namespace that the process has joined.
pub(crate) fn enter_joined() -> Result<(), EnterError> {
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|error| Errno::from_raw_os_error(error as i32))
        .map_err(|source| EnterError::Call { what: "leave the host's mounts", source })?;
    part()
}

fn part() -> Result<(), EnterError> {
    let call = |what| move |source| EnterError::Call { what, source };
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(call("part from the host's mounts"))
}

/// Puts each folder or file over its place, with what was put into it before.
pub(crate) fn cover(mounts: &[(PathBuf, PathBuf)]) -> Result<(), EnterError> {
    for (folder, place) in mounts {
        mount_bind_recursive(folder, place).map_err(|source| EnterError::Mount {
            folder: folder.clone(),
            place: place.clone(),
            source,
        })?;
    }
    Ok(())
}
