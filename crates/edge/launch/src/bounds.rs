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

/// What a process gives up before it becomes the component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The `cgroup.procs` file to join.
    pub cgroup: Option<PathBuf>,
    /// User and groups; none keeps those of the core.
    pub identity: Option<Identity>,
    /// Limits.
    pub limits: Vec<(Limit, u64)>,
    /// No setuid program can raise privileges again.
    pub no_new_privileges: bool,
    /// Process id of the core: the process is killed with it, and not started when it is gone already.
    pub dies_with: Option<u32>,
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
        let mut arguments = Vec::with_capacity(12);
        let mut add = |option: &str, value: &OsStr| {
            arguments.push(OsString::from(option));
            arguments.push(value.to_owned());
        };
        if let Some(cgroup) = &self.cgroup {
            add("--cgroup", cgroup.as_os_str());
        }
        for (limit, value) in &self.limits {
            add("--limit", OsStr::new(&format!("{}={value}", limit.word())));
        }
        if let Some(identity) = &self.identity {
            let groups: Vec<_> = identity.groups.iter().map(u32::to_string).collect();
            add("--identity", OsStr::new(&format!("{}:{}:{}", identity.uid, identity.gid, groups.join(","))));
        }
        if let Some(pid) = self.dies_with {
            add("--dies-with", OsStr::new(&pid.to_string()));
        }
        if self.no_new_privileges {
            arguments.push(OsString::from("--no-new-privileges"));
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
            match argument.to_str() {
                Some("--") => return Ok((bounds, arguments.collect())),
                Some("--no-new-privileges") => bounds.no_new_privileges = true,
                Some("--cgroup") => {
                    let file = arguments.next().ok_or(value("--cgroup", "a file"))?;
                    bounds.cgroup = Some(PathBuf::from(file));
                }
                Some("--limit") => {
                    let text = arguments.next().ok_or(value("--limit", LIMIT))?;
                    bounds.limits.push(read_limit(&text).ok_or(value("--limit", LIMIT))?);
                }
                Some("--identity") => {
                    let text = arguments.next().ok_or(value("--identity", IDENTITY))?;
                    bounds.identity = Some(read_identity(&text).ok_or(value("--identity", IDENTITY))?);
                }
                Some("--dies-with") => {
                    let pid = arguments.next().and_then(|text| text.to_str()?.parse().ok());
                    bounds.dies_with = Some(pid.ok_or(value("--dies-with", "a process id"))?);
                }
                _ => return Err(BoundsError::Unknown(argument.to_string_lossy().into_owned())),
            }
        }
        Err(BoundsError::NoCommand)
    }
}

const LIMIT: &str = "name=number of data, core, files, processes";
const IDENTITY: &str = "uid:gid:groups as numbers";

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

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-130: what the core asks for is what the launcher reads, and the script is never taken for an option.
    #[test]
    fn arguments_round_trip() {
        let bounds = Bounds {
            cgroup: Some(PathBuf::from("/sys/fs/cgroup/marram-1/c.com.example.A/cgroup.procs")),
            identity: Some(Identity { uid: 1001, gid: 1002, groups: vec![4, 27] }),
            limits: vec![(Limit::Core, 0), (Limit::Data, 1 << 26)],
            no_new_privileges: true,
            dies_with: Some(4711),
        };
        for bounds in [bounds, Bounds::default()] {
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
            &["--dies-with", "-1", "--", "sh"],
            &["--seccomp", "--", "sh"],
            &["--cgroup"],
            &["sh"],
            &[],
        ] {
            let arguments = words.iter().map(OsString::from);
            assert!(Bounds::from_arguments(arguments).is_err(), "{words:?}");
        }
    }
}
