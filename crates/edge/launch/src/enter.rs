//! Applying the bounds to the calling process, which has one thread and is about to execute something else.

use std::path::PathBuf;

use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, getppid, getrlimit, set_parent_process_death_signal, setrlimit, setsid,
};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::bounds::{Bounds, Limit};
use crate::{files, mounts, network, privileges, syscalls};

/// Which bound could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// A cgroup cannot be joined.
    #[error("cannot join the cgroup {file}: {source}")]
    Cgroup {
        /// Its `cgroup.procs`.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A system call was refused.
    #[error("cannot {what}: {source}")]
    Call {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: rustix::io::Errno,
    },
    /// A folder cannot be put over another.
    #[error("cannot put {folder} over {place}: {source}")]
    Mount {
        /// The private one.
        folder: PathBuf,
        /// The public one.
        place: PathBuf,
        /// Why.
        source: rustix::io::Errno,
    },
    /// The kernel does not enforce what was asked of Landlock.
    #[error("cannot restrict files: {0}")]
    Files(String),
    /// The filter of system calls was refused.
    #[error("cannot restrict system calls: {0}")]
    Syscalls(String),
    /// The network cannot be set up.
    #[error("cannot set up a network apart from the host's: {0}")]
    Network(String),
    /// The core died while the component was being started.
    #[error("the core is gone")]
    Orphan,
}

/// Applies `bounds`; what needs privileges comes before they are given up.
pub(crate) fn enter(bounds: &Bounds) -> Result<(), EnterError> {
    for file in &bounds.cgroups {
        std::fs::write(file, "0").map_err(|source| EnterError::Cgroup { file: file.clone(), source })?;
    }
    setsid().map_err(call("open a session"))?;
    for (limit, value) in &bounds.limits {
        let limits = Rlimit { current: Some(*value), maximum: Some(*value) };
        setrlimit(resource(*limit), limits).map_err(call("lower a resource limit"))?;
    }
    if let Some(files) = bounds.soft_files {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(maximum.map_or(files, |maximum| files.min(maximum)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).map_err(call("lower a resource limit"))?;
    }
    match (&bounds.network, bounds.mounting) {
        (Some(network), Some(mounting)) => network::enter(network, mounting)?,
        (Some(_), None) => return Err(EnterError::Network("it comes with mounts of its own".to_owned())),
        (None, Some(mounting)) => mounts::enter(mounting, false)?,
        (None, None) => {}
    }
    if bounds.mounting.is_some() {
        mounts::cover(&bounds.mounts)?;
    }
    if bounds.drop_capabilities {
        privileges::narrow().map_err(call("narrow the capabilities"))?;
    }
    if let Some(identity) = &bounds.identity {
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        set_thread_groups(&groups).map_err(call("set the supplementary groups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(call("set the group"))?;
        set_thread_res_uid(uid, uid, uid).map_err(call("set the user"))?;
    }
    if bounds.drop_capabilities {
        privileges::drop_all().map_err(call("give up capabilities"))?;
    }
    if bounds.no_new_privileges {
        set_no_new_privs(true).map_err(call("give up new privileges"))?;
    }
    if let Some(core) = bounds.dies_with {
        // After the change of user, which clears it.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(call("tie the process to the core"))?;
        if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().cast_unsigned()) != Some(core) {
            return Err(EnterError::Orphan);
        }
    }
    if let Some(reachable) = &bounds.files {
        files::restrict(reachable, bounds.no_network).map_err(EnterError::Files)?;
    }
    if let Some(left) = bounds.syscalls {
        syscalls::restrict(left, bounds.no_network).map_err(EnterError::Syscalls)?;
    }
    Ok(())
}

fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::Data => Resource::Data,
        Limit::Core => Resource::Core,
        Limit::Files => Resource::Nofile,
        Limit::Processes => Resource::Nproc,
    }
}

fn call(what: &'static str) -> impl Fn(rustix::io::Errno) -> EnterError {
    move |source| EnterError::Call { what, source }
}
