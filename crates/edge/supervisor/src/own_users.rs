//! A user of its own for each component, from a range that no account has (core-runtime 9.3, MA-COMP-12).
//!
//! The numbers are kept in a file of the core and never given to another component, so that what a removed component left
//! behind is nobody else's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use marram_launch::Identity;

use crate::user::RunAs;

/// First number: above everything that distributions, containers and systemd take, below 2^31.
const FIRST: u32 = 1_879_048_192;
/// Numbers of one core; the first is the group that all its components share.
const SLOT: u32 = 2_048;
/// Slots, of which each core takes that of its root.
const SLOTS: u32 = 65_536;

/// Why a component gets no user.
#[derive(Debug, thiserror::Error)]
pub enum OwnUsersError {
    /// The list cannot be read or written.
    #[error("list of users {file}: {source}")]
    Io {
        /// Where.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the list is no `name number`.
    #[error("list of users {file}: line {line} cannot be read")]
    Damaged {
        /// Where.
        file: PathBuf,
        /// From 1.
        line: usize,
    },
    /// All numbers were given away.
    #[error("all {} users of this core were given away", SLOT - 1)]
    Exhausted,
}

/// The users of one core.
#[derive(Debug)]
pub struct OwnUsers {
    file: PathBuf,
    base: u32,
    given: Mutex<BTreeMap<String, u32>>,
}

impl OwnUsers {
    /// Reads the list. `id` tells this core from others of the host (hexadecimal digits).
    ///
    /// # Errors
    /// The list cannot be read: without it two components could get the same number.
    pub fn open(file: &Path, id: &str) -> Result<Self, OwnUsersError> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|source| OwnUsersError::Io { file: file.to_owned(), source })?,
        };
        let mut base = None;
        let mut given = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let damaged = || OwnUsersError::Damaged { file: file.to_owned(), line: index + 1 };
            let (name, number) = line.rsplit_once(' ').ok_or_else(damaged)?;
            let number: u32 = number.parse().map_err(|_| damaged())?;
            // A component may be called so as well; the first line is never one's.
            match name {
                "base" if index == 0 => base = Some(number),
                _ => drop(given.insert(name.to_owned(), number)),
            }
        }
        let slot = id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0) % SLOTS;
        Ok(Self { file: file.to_owned(), base: base.unwrap_or(FIRST + slot * SLOT), given: Mutex::new(given) })
    }

    /// The group that every component of this core is in: it may open the core's socket.
    pub fn group(&self) -> u32 {
        self.base
    }

    /// The user of a component, the same at every call, also after a restart. `home` is its work directory.
    ///
    /// # Errors
    /// [`OwnUsersError`].
    pub fn of(&self, component: &str, home: &Path) -> Result<RunAs, OwnUsersError> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = match given.get(component) {
            Some(uid) => *uid,
            None => {
                let uid = given.values().max().map_or(self.base + 1, |last| last + 1);
                if uid >= self.base + SLOT {
                    return Err(OwnUsersError::Exhausted);
                }
                let mut next = given.clone();
                next.insert(component.to_owned(), uid);
                // Durable before it is used: files of the component outlive the core.
                self.write(&next).map_err(|source| OwnUsersError::Io { file: self.file.clone(), source })?;
                *given = next;
                uid
            }
        };
        Ok(RunAs {
            name: format!("marram-{}", uid - self.base),
            identity: Identity { uid, gid: uid, groups: vec![self.base] },
            home: home.to_owned(),
        })
    }

    fn write(&self, given: &BTreeMap<String, u32>) -> io::Result<()> {
        let fresh = self.file.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        let lines: String = given.iter().map(|(name, uid)| format!("{name} {uid}\n")).collect();
        file.write_all(format!("base {}\n{lines}", self.base).as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, &self.file)?;
        self.file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MA-COMP-12: no two components have a number in common, and each keeps its own.
    #[test]
    fn numbers_are_kept_and_never_shared() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        let open = || OwnUsers::open(&file, "0000ffff12345678").unwrap();
        let uid = |users: &OwnUsers, name: &str| users.of(name, Path::new("/w")).unwrap().identity.uid;
        let first = open();
        let (a, b) = (uid(&first, "a"), uid(&first, "com.example.B"));
        assert!(a != b && a > first.group() && a == uid(&first, "a"));
        let again = open();
        assert_eq!((uid(&again, "com.example.B"), uid(&again, "a"), again.group()), (b, a, first.group()));
        assert!(uid(&again, "c") > b.max(a));
        let named_so = uid(&again, "base");
        let last = open();
        assert_eq!((uid(&last, "base"), uid(&last, "a"), last.group()), (named_so, a, first.group()));
        let other = OwnUsers::open(&dir.path().join("none"), "0000fffe12345678").unwrap();
        assert!(other.group().abs_diff(first.group()) >= SLOT);
        fs::write(&file, "a b\n").unwrap();
        assert!(matches!(OwnUsers::open(&file, "00000000"), Err(OwnUsersError::Damaged { line: 1, .. })));
    }
}
