//! The bounds of a process, as values and as arguments of the launcher.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups; all others are given up.
    pub groups: Vec<u32>,
}

/// A resource limit of the kernel; hard and soft limit alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of private memory (`RLIMIT_DATA`), where no cgroup can hold it.
    Data,
    /// Bytes of a core dump.
    Core,
    /// Open files.
    Files,
    /// Processes of the user.
    Processes,
}

impl Limit {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Data, "data"), (Self::Core, "core"), (Self::Files, "files"), (Self::Processes, "processes")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(limit, _)| *limit == self).map_or("", |(_, word)| word)
    }
}

/// What a process may reach in the file system; everything else is denied (Landlock, SEC-130).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// ABI of Landlock that must be enforced in full.
    pub abi: u8,
    /// Read, list, execute.
    pub read: Vec<PathBuf>,
    /// Everything.
    pub write: Vec<PathBuf>,
    /// Single nodes: read, write, control.
    pub devices: Vec<PathBuf>,
    /// Sockets that may be connected to; the kernel asks since ABI 9.
    pub connect: Vec<PathBuf>,
    /// Signals reach only what the process started itself (ABI 6).
    pub own_signals: bool,
    /// The same for abstract sockets (ABI 6).
    pub own_sockets: bool,
}

/// Which system calls are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syscalls {
    /// All but those that administer the host or look into other processes.
    Standard,
    /// Only what ordinary programs need.
    Strict,
}

/// How private folders are put over public ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounting {
    /// With the rights of root.
    Privileged,
    /// Inside a user namespace of the process' own.
    Namespace,
}

/// The network of a process whose connections the core takes where they may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// A namespace of its own, in which it listens at these ports for the core.
    New(Vec<u16>),
    /// The namespace of an earlier process of the component.
    Join,
}

/// What a process gives up before it becomes the component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The `cgroup.procs` files to join: one, or one for each version 1 controller beside it.
    pub cgroups: Vec<PathBuf>,
    /// User and groups; none keeps those of the core.
    pub identity: Option<Identity>,
    /// Limits.
    pub limits: Vec<(Limit, u64)>,
    /// Soft limit of open files, where the core has raised its own; the hard one stays.
    pub soft_files: Option<u64>,
    /// No setuid program can raise privileges again.
    pub no_new_privileges: bool,
    /// Process id of the core: the process is killed with it, and not started when it is gone already.
    pub dies_with: Option<u32>,
    /// Folders and the places they cover in a mount namespace of the process' own.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// How they are put there.
    pub mounting: Option<Mounting>,
    /// All capabilities are given up, also those of root.
    pub drop_capabilities: bool,
    /// Reachable files.
    pub files: Option<Files>,
    /// System calls.
    pub syscalls: Option<Syscalls>,
    /// No socket but local ones; takes effect with `syscalls`.
    pub no_network: bool,
    /// A network apart from the host's. Standard input is then a socket to the core ([`crate::Handover`]), and `mounting` says
    /// with which rights.
    pub network: Option<Network>,
}

/// Why arguments were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// A word that is no option.
    #[error("`{0}` is not an option; the command stands after `--`")]
    Unknown(String),
    /// An option without its value, or one that cannot be read.
    #[error("option {option} needs {expected}")]
    Value {
        /// Which.
        option: &'static str,
        /// What.
        expected: &'static str,
    },
    /// No `--`.
    #[error("no command given")]
    NoCommand,
}

impl Bounds {
    /// The launcher's arguments, up to and with `--`.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::with_capacity(32);
        let mut add = |option: &str, value: &OsStr| {
            arguments.push(OsString::from(option));
            arguments.push(value.to_owned());
        };
        for cgroup in &self.cgroups {
            add("--cgroup", cgroup.as_os_str());
        }
        for (limit, value) in &self.limits {
            add("--limit", OsStr::new(&format!("{}={value}", limit.word())));
        }
        if let Some(files) = self.soft_files {
            add("--soft-files", OsStr::new(&files.to_string()));
        }
        if let Some(identity) = &self.identity {
            let groups: Vec<_> = identity.groups.iter().map(u32::to_string).collect();
            add("--identity", OsStr::new(&format!("{}:{}:{}", identity.uid, identity.gid, groups.join(","))));
        }
        if let Some(pid) = self.dies_with {
            add("--dies-with", OsStr::new(&pid.to_string()));
        }
        for (folder, place) in &self.mounts {
            add("--private", folder.as_os_str());
            add("--over", place.as_os_str());
        }
        match self.mounting {
            Some(Mounting::Privileged) => add("--mounting", OsStr::new("privileged")),
            Some(Mounting::Namespace) => add("--mounting", OsStr::new("namespace")),
            None => {}
        }
        if let Some(files) = &self.files {
            add("--landlock", OsStr::new(&files.abi.to_string()));
            for (option, paths) in [
                ("--read", &files.read),
                ("--write", &files.write),
                ("--device", &files.devices),
                ("--connect", &files.connect),
            ] {
                paths.iter().for_each(|path| add(option, path.as_os_str()));
            }
            for (word, set) in [("signals", files.own_signals), ("sockets", files.own_sockets)] {
                if set {
                    add("--inside", OsStr::new(word));
                }
            }
        }
        match self.syscalls {
            Some(Syscalls::Standard) => add("--syscalls", OsStr::new("standard")),
            Some(Syscalls::Strict) => add("--syscalls", OsStr::new("strict")),
            None => {}
        }
        match &self.network {
            Some(Network::New(ports)) => {
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                add("--network", OsStr::new(&format!("new:{}", ports.join(","))));
            }
            Some(Network::Join) => add("--network", OsStr::new("join")),
            None => {}
        }
        for (flag, set) in [
            ("--no-new-privileges", self.no_new_privileges),
            ("--drop-capabilities", self.drop_capabilities),
            ("--no-network", self.no_network),
        ] {
            if set {
                arguments.push(OsString::from(flag));
            }
        }
        arguments.push(OsString::from("--"));
        arguments
    }

    /// Reads [`Bounds::to_arguments`] and the command behind it.
    ///
    /// # Errors
    /// [`BoundsError`]: nothing unknown is passed over.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<(Self, Vec<OsString>), BoundsError> {
        let mut bounds = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut next = |option, expected| arguments.next().ok_or(BoundsError::Value { option, expected });
            let word = argument.to_str();
            match word {
                Some("--") => return Ok((bounds, arguments.collect())),
                Some("--no-new-privileges") => bounds.no_new_privileges = true,
                Some("--drop-capabilities") => bounds.drop_capabilities = true,
                Some("--no-network") => bounds.no_network = true,
                Some("--cgroup") => bounds.cgroups.push(next("--cgroup", "a file")?.into()),
                Some("--limit") => {
                    let text = next("--limit", LIMIT)?;
                    bounds.limits.push(read_limit(&text).ok_or(value("--limit", LIMIT))?);
                }
                Some("--soft-files") => {
                    let files = next("--soft-files", NUMBER)?.to_str().and_then(|text| text.parse().ok());
                    bounds.soft_files = Some(files.ok_or(value("--soft-files", NUMBER))?);
                }
                Some("--identity") => {
                    let text = next("--identity", IDENTITY)?;
                    bounds.identity = Some(read_identity(&text).ok_or(value("--identity", IDENTITY))?);
                }
                Some("--dies-with") => {
                    let pid = next("--dies-with", PID)?.to_str().and_then(|text| text.parse().ok());
                    bounds.dies_with = Some(pid.ok_or(value("--dies-with", PID))?);
                }
                Some("--private") => {
                    let folder = next("--private", PRIVATE)?;
                    let place = match (next("--private", PRIVATE)?.to_str(), next("--over", "a folder")) {
                        (Some("--over"), Ok(place)) => place,
                        _ => return Err(value("--private", PRIVATE)),
                    };
                    bounds.mounts.push((folder.into(), place.into()));
                }
                Some("--mounting") => {
                    bounds.mounting = Some(match next("--mounting", MOUNTING)?.to_str() {
                        Some("privileged") => Mounting::Privileged,
                        Some("namespace") => Mounting::Namespace,
                        _ => return Err(value("--mounting", MOUNTING)),
                    });
                }
                Some("--network") => {
                    let text = next("--network", NETWORK)?;
                    bounds.network = Some(read_network(&text).ok_or(value("--network", NETWORK))?);
                }
                Some("--landlock") => {
                    let abi = next("--landlock", ABI)?.to_str().and_then(|text| text.parse().ok());
                    bounds.files.get_or_insert_default().abi = abi.ok_or(value("--landlock", ABI))?;
                }
                Some(option @ ("--read" | "--write" | "--device" | "--connect" | "--inside")) => {
                    // Without `--landlock` nothing would enforce them.
                    let files = bounds.files.as_mut().ok_or(value("--landlock", ABI))?;
                    let given = next("--read, --write, --device, --connect, --inside", "a value")?;
                    match (option, given.to_str()) {
                        ("--read", _) => files.read.push(given.into()),
                        ("--write", _) => files.write.push(given.into()),
                        ("--device", _) => files.devices.push(given.into()),
                        ("--connect", _) => files.connect.push(given.into()),
                        (_, Some("signals")) => files.own_signals = true,
                        (_, Some("sockets")) => files.own_sockets = true,
                        _ => return Err(value("--inside", "signals or sockets")),
                    }
                }
                Some("--syscalls") => {
                    bounds.syscalls = Some(match next("--syscalls", SYSCALLS)?.to_str() {
                        Some("standard") => Syscalls::Standard,
                        Some("strict") => Syscalls::Strict,
                        _ => return Err(value("--syscalls", SYSCALLS)),
                    });
                }
                _ => return Err(BoundsError::Unknown(argument.to_string_lossy().into_owned())),
            }
        }
        Err(BoundsError::NoCommand)
    }
}

const LIMIT: &str = "name=number of data, core, files, processes";
const NUMBER: &str = "a number";
const IDENTITY: &str = "uid:gid:groups as numbers";
const PID: &str = "a process id";
const PRIVATE: &str = "a folder, then --over and another";
const MOUNTING: &str = "privileged or namespace";
const ABI: &str = "the ABI of Landlock, first of the file options";
const NETWORK: &str = "new:port,port,... or join";
const SYSCALLS: &str = "standard or strict";

fn value(option: &'static str, expected: &'static str) -> BoundsError {
    BoundsError::Value { option, expected }
}

fn read_limit(text: &OsStr) -> Option<(Limit, u64)> {
    let (word, number) = text.to_str()?.split_once('=')?;
    let (limit, _) = Limit::ALL.iter().find(|(_, known)| *known == word)?;
    Some((*limit, number.parse().ok()?))
}

fn read_identity(text: &OsStr) -> Option<Identity> {
    let mut parts = text.to_str()?.splitn(3, ':');
    let (uid, gid, groups) = (parts.next()?, parts.next()?, parts.next()?);
    let groups = groups.split(',').filter(|group| !group.is_empty()).map(|group| group.parse().ok());
    Some(Identity { uid: uid.parse().ok()?, gid: gid.parse().ok()?, groups: groups.collect::<Option<_>>()? })
}

fn read_network(text: &OsStr) -> Option<Network> {
    let text = text.to_str()?;
    if text == "join" {
        return Some(Network::Join);
    }
    let ports = text.strip_prefix("new:")?.split(',').filter(|port| !port.is_empty());
    Some(Network::New(ports.map(|port| port.parse().ok().filter(|port| *port > 0)).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-130: what the core asks for is what the launcher reads, and the script is never taken for an option.
    #[test]
    fn arguments_round_trip() {
        let paths = |text: &str| text.split(' ').map(PathBuf::from).collect::<Vec<_>>();
        let bounds = Bounds {
            cgroups: paths("/sys/fs/cgroup/marram-1/c.com.example.A/cgroup.procs /sys/fs/cgroup/pids/x/cgroup.procs"),
            identity: Some(Identity { uid: 1001, gid: 1002, groups: vec![4, 27] }),
            limits: vec![(Limit::Core, 0), (Limit::Data, 1 << 26)],
            soft_files: Some(1024),
            no_new_privileges: true,
            dies_with: Some(4711),
            mounts: vec![("/r/private/a/tmp".into(), "/tmp".into()), ("--over".into(), "--".into())],
            mounting: Some(Mounting::Namespace),
            drop_capabilities: true,
            files: Some(Files {
                abi: 7,
                read: paths("/usr /lib"),
                write: paths("/w"),
                devices: paths("/dev/null"),
                connect: paths("/r/ipc.socket"),
                own_signals: true,
                own_sockets: true,
            }),
            syscalls: Some(Syscalls::Strict),
            no_network: true,
            network: Some(Network::New(vec![443, 8883])),
        };
        let nothing = Bounds { network: Some(Network::New(Vec::new())), ..Bounds::default() };
        let joined = Bounds { network: Some(Network::Join), ..Bounds::default() };
        for bounds in [bounds, nothing, joined, Bounds::default()] {
            let mut arguments = bounds.to_arguments();
            let command: Vec<OsString> = ["sh", "-c", "--identity 0:0:"].map(OsString::from).to_vec();
            arguments.extend(command.iter().cloned());
            assert_eq!(Bounds::from_arguments(arguments), Ok((bounds, command)));
        }
    }

    /// SEC-130: the launcher fails closed on anything it does not know.
    #[test]
    fn unknown_and_malformed_arguments_are_refused() {
        for words in [
            &["--identity", "root:0:", "--", "sh"][..],
            &["--identity", "1:2", "--", "sh"],
            &["--limit", "cpu=3", "--", "sh"],
            &["--soft-files", "many", "--", "sh"],
            &["--dies-with", "-1", "--", "sh"],
            &["--seccomp", "--", "sh"],
            &["--read", "/usr", "--", "sh"],
            &["--landlock", "all", "--", "sh"],
            &["--landlock", "7", "--inside", "everything", "--", "sh"],
            &["--private", "/a", "/tmp", "--", "sh"],
            &["--mounting", "maybe", "--", "sh"],
            &["--syscalls", "some", "--", "sh"],
            &["--network", "new", "--", "sh"],
            &["--network", "new:0", "--", "sh"],
            &["--network", "new:443,x", "--", "sh"],
            &["--cgroup"],
            &["sh"],
            &[],
        ] {
            let arguments = words.iter().map(OsString::from);
            assert!(Bounds::from_arguments(arguments).is_err(), "{words:?}");
        }
    }
}
