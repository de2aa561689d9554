//! Which user a step runs as (CR 2.10), from `/etc/passwd` and `/etc/group`.

use std::fs;
use std::path::{Path, PathBuf};

use marram_launch::Identity;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// Name, or the number where there is no name.
    pub name: String,
    /// Ids.
    pub identity: Identity,
    /// Home directory.
    pub home: PathBuf,
}

/// Why no user could be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Nothing is configured, and the core runs as root, which is never an implicit choice.
    #[error("no user to run as is configured, and root must be named explicitly")]
    NotConfigured,
    /// No such user.
    #[error("user `{0}` does not exist")]
    NoUser(String),
    /// No such group.
    #[error("group `{0}` does not exist")]
    NoGroup(String),
    /// The core is not root and cannot become somebody else.
    #[error("the core runs as uid {own} and cannot run components as `{wanted}`")]
    NotPermitted {
        /// Uid of the core.
        own: u32,
        /// What was asked for.
        wanted: String,
    },
}

/// The user and group files of the host.
#[derive(Debug, Clone)]
pub struct Users {
    passwd: PathBuf,
    group: PathBuf,
    own_uid: u32,
    own_gid: u32,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            passwd: PathBuf::from("/etc/passwd"),
            group: PathBuf::from("/etc/group"),
            own_uid: rustix::process::geteuid().as_raw(),
            own_gid: rustix::process::getegid().as_raw(),
        }
    }
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

impl Users {
    /// The user of a step: the first of `configured` (deployment, then default) that is there, else the core's own user
    /// unless that is root. `privileged` steps run as the core's user.
    ///
    /// # Errors
    /// [`UserError`].
    pub fn resolve(&self, configured: &[Option<&str>], privileged: bool) -> Result<RunAs, UserError> {
        if privileged {
            return Ok(self.own());
        }
        match configured.iter().flatten().map(|text| text.trim()).find(|text| !text.is_empty()) {
            Some(text) => self.named(text),
            None if self.own_uid != 0 => Ok(self.own()),
            None => Err(UserError::NotConfigured),
        }
    }

    /// `user[:group]`, names or numbers; a missing group is the user's primary one.
    fn named(&self, text: &str) -> Result<RunAs, UserError> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let account = self.account(user)?;
        let gid = match group {
            Some(group) => self.group_id(group)?,
            None => account.gid,
        };
        if self.own_uid != 0 && (account.uid, gid) != (self.own_uid, self.own_gid) {
            return Err(UserError::NotPermitted { own: self.own_uid, wanted: text.to_owned() });
        }
        let mut groups = self.groups_of(&account.name);
        groups.retain(|other| *other != gid);
        Ok(RunAs { identity: Identity { uid: account.uid, gid, groups }, name: account.name, home: account.home })
    }

    fn own(&self) -> RunAs {
        let (name, home) = self
            .account(&self.own_uid.to_string())
            .map_or_else(|_| (self.own_uid.to_string(), PathBuf::from("/")), |account| (account.name, account.home));
        let groups = self.groups_of(&name).into_iter().filter(|group| *group != self.own_gid).collect();
        RunAs { identity: Identity { uid: self.own_uid, gid: self.own_gid, groups }, name, home }
    }

    /// A name wins over a number; a number needs no entry, and then has a group of the same number.
    fn account(&self, user: &str) -> Result<Account, UserError> {
        let number = user.parse::<u32>().ok();
        let mut by_number = None;
        for line in lines(&self.passwd) {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { continue };
            let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
            if name == user {
                return Ok(Account { name: name.to_owned(), uid, gid, home: PathBuf::from(home) });
            }
            if Some(uid) == number && by_number.is_none() {
                by_number = Some(Account { name: name.to_owned(), uid, gid, home: PathBuf::from(home) });
            }
        }
        match (by_number, number) {
            (Some(account), _) => Ok(account),
            (None, Some(uid)) => Ok(Account { name: user.to_owned(), uid, gid: uid, home: PathBuf::from("/") }),
            (None, None) => Err(UserError::NoUser(user.to_owned())),
        }
    }

    fn group_id(&self, group: &str) -> Result<u32, UserError> {
        let named = lines(&self.group).into_iter().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
        });
        named.or_else(|| group.parse().ok()).ok_or_else(|| UserError::NoGroup(group.to_owned()))
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        let member = |line: &String| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members, ..] = fields[..] else { return None };
            members.split(',').any(|member| member == user).then(|| gid.parse().ok())?
        };
        lines(&self.group).iter().filter_map(member).collect()
    }
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(own_uid: u32) -> (tempfile::TempDir, Users) {
        let dir = tempfile::tempdir().unwrap();
        let (passwd, group) = (dir.path().join("passwd"), dir.path().join("group"));
        fs::write(
            &passwd,
            "root:x:0:0:root:/root:/bin/sh\nggc_user:x:990:991::/home/ggc_user:/bin/false\nbroken\n990:x:5:6::/x:\n",
        )
        .unwrap();
        fs::write(&group, "ggc_group:x:991:\ndialout:x:20:ggc_user,other\nvideo:x:44:other\n").unwrap();
        (dir, Users { passwd, group, own_uid, own_gid: own_uid })
    }

    /// CR 2.10: deployment, then default, then the core's own user unless it is root.
    #[test]
    fn the_first_configured_user_wins_and_root_is_never_implicit() {
        let (_dir, root) = users(0);
        let resolve = |configured: &[Option<&str>], privileged| {
            root.resolve(configured, privileged)
                .map(|user| (user.identity.uid, user.identity.gid, user.identity.groups))
        };
        for (configured, privileged, expected) in [
            (&[Some("ggc_user:ggc_group"), Some("root")][..], false, Ok((990, 991, vec![20]))),
            (&[None, Some("ggc_user")], false, Ok((990, 991, vec![20]))),
            (&[Some(""), Some("ggc_user:dialout")], false, Ok((990, 20, vec![]))),
            (&[Some("1234:5678")], false, Ok((1234, 5678, vec![]))),
            (&[Some("1234")], false, Ok((1234, 1234, vec![]))),
            (&[Some("990")], false, Ok((5, 6, vec![]))),
            (&[Some("root")], false, Ok((0, 0, vec![]))),
            (&[Some("ggc_user")], true, Ok((0, 0, vec![]))),
            (&[None, None], false, Err(UserError::NotConfigured)),
            (&[Some("nobody-here")], false, Err(UserError::NoUser("nobody-here".into()))),
            (&[Some("root:no-group")], false, Err(UserError::NoGroup("no-group".into()))),
        ] {
            assert_eq!(resolve(configured, privileged), expected, "{configured:?} {privileged}");
        }
    }

    /// CR 2.10: an unprivileged core runs everything as itself and refuses any other user.
    #[test]
    fn an_unprivileged_core_cannot_become_somebody_else() {
        let (_dir, users) = users(990);
        assert_eq!(users.resolve(&[None], false).unwrap().identity.uid, 990);
        assert_eq!(
            users.resolve(&[Some("990:990")], false).unwrap_err(),
            UserError::NotPermitted { own: 990, wanted: "990:990".into() }
        );
        assert!(users.resolve(&[Some("root")], false).is_err());
    }
}
