//! The places that cores are kept in, and the links that tell which one runs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program in each place.
pub const PROGRAM: &str = "marram-core";
/// The place of the installed program.
const INIT: &str = "init";

/// A program that did not confirm itself yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Its place.
    pub name: String,
    /// How long one start may take to confirm.
    pub limit: Duration,
    /// Starts so far.
    pub starts: u32,
}

/// The folder `alts` of a root.
#[derive(Debug, Clone)]
pub struct Alts {
    dir: PathBuf,
}

impl Alts {
    /// Of the core whose root is `root`.
    pub fn new(root: &Path) -> Self {
        Self { dir: root.join("alts") }
    }

    /// The place that `link` leads to.
    fn target(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.dir.join(link)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The place in use.
    pub fn current(&self) -> Option<String> {
        self.target("current")
    }

    /// The place before it.
    pub fn old(&self) -> Option<String> {
        self.target("old")
    }

    /// Whether a turn is due.
    pub fn is_due(&self) -> bool {
        self.target("new").is_some()
    }

    /// The program to start.
    pub fn program(&self) -> PathBuf {
        self.dir.join("current").join(PROGRAM)
    }

    /// The place that `executable` lies in, if it is one of ours.
    pub fn place_of(&self, executable: &Path) -> Option<String> {
        let folder = executable.parent()?;
        let ours = fs::canonicalize(&self.dir).ok()?;
        (folder.parent()? == ours).then(|| folder.file_name()?.to_str().map(str::to_owned))?
    }

    /// Makes the folder and the place of the installed program, and a current place where there is none that works.
    pub(crate) fn prepare(&self, installed: &Path) -> io::Result<()> {
        let init = self.dir.join(INIT);
        DirBuilder::new().recursive(true).mode(0o700).create(&init)?;
        if fs::read_link(init.join(PROGRAM)).ok().as_deref() != Some(installed) {
            self.link_at(&init.join(PROGRAM), installed)?;
        }
        if self.program().is_file() {
            return Ok(());
        }
        // Lost or never there: the last one that worked, else the installed one.
        let fallback = self.old().filter(|old| self.dir.join(old).join(PROGRAM).is_file());
        self.link("current", fallback.as_deref().unwrap_or(INIT))
    }

    /// Copies a program into a place of its own; nothing leads there yet.
    ///
    /// # Errors
    /// The file system's.
    pub fn install(&self, name: &str, program: &Path) -> io::Result<()> {
        let place = self.dir.join(name);
        let part = self.dir.join(format!(".{name}.part"));
        let _ = fs::remove_dir_all(&part);
        DirBuilder::new().recursive(true).mode(0o700).create(&part)?;
        let target = part.join(PROGRAM);
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&target)?;
        io::copy(&mut File::open(program)?, &mut to)?;
        to.sync_all()?;
        drop(to);
        sync(&part)?;
        if place.is_dir() {
            // From an earlier try, whole or not; what runs now is never replaced.
            if [self.current(), self.old()].contains(&Some(name.to_owned())) {
                return fs::remove_dir_all(&part);
            }
            fs::remove_dir_all(&place)?;
        }
        fs::rename(&part, &place)?;
        sync(&self.dir)?;
        // Another try has a clean slate, also when power goes before it is turned to.
        if self.returned(name).is_some() {
            self.forget("returned")?;
        }
        Ok(())
    }

    /// Says that the next start is that of `name`, which then has `limit` to confirm itself.
    ///
    /// # Errors
    /// There is no such place; the file system's.
    pub fn turn_to(&self, name: &str, limit: Duration) -> io::Result<()> {
        if !self.dir.join(name).join(PROGRAM).is_file() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no program at {name}")));
        }
        self.forget("returned")?;
        self.write("limit", &limit.as_secs().to_string())?;
        self.link("new", name)
    }

    /// Turns the links to what `new` leads to and begins its trial. Repeating it after a crash changes nothing more.
    pub(crate) fn turn(&self) -> io::Result<()> {
        let Some(new) = self.target("new") else { return Ok(()) };
        let current = self.current();
        if current.as_ref() != Some(&new) {
            if let Some(current) = &current {
                self.link("old", current)?;
            }
            let seconds = fs::read_to_string(self.dir.join("limit")).ok().and_then(|text| text.trim().parse().ok());
            let limit = Duration::from_secs(seconds.unwrap_or(DEFAULT_LIMIT_SECS));
            self.keep(&Trial { name: new.clone(), limit, starts: 0 })?;
            self.link("current", &new)?;
        }
        self.forget("new")
    }

    /// The trial under way.
    pub fn trial(&self) -> Option<Trial> {
        let text = fs::read_to_string(self.dir.join("trial")).ok()?;
        let mut words = text.split_whitespace();
        let trial = Trial {
            name: words.next()?.to_owned(),
            limit: Duration::from_secs(words.next()?.parse().ok()?),
            starts: words.next()?.parse().ok()?,
        };
        // Left over from before a turn that was finished another way.
        (self.current().as_ref() == Some(&trial.name)).then_some(trial)
    }

    pub(crate) fn keep(&self, trial: &Trial) -> io::Result<()> {
        self.write("trial", &format!("{} {} {}\n", trial.name, trial.limit.as_secs(), trial.starts))
    }

    /// The program in use is fine: the trial is over, and places that no link leads to are removed.
    ///
    /// # Errors
    /// The file system's.
    pub fn confirm(&self) -> io::Result<()> {
        self.forget("trial")?;
        self.remove_unused()
    }

    /// Notes that the program at `name` was given up, in one line, before its room is freed.
    ///
    /// # Errors
    /// The file system's.
    pub fn give_up(&self, name: &str, reason: &str) -> io::Result<()> {
        if self.returned(name).is_some() {
            return Ok(());
        }
        let reason: String = reason.lines().next().unwrap_or_default().chars().take(REASON_CHARS).collect();
        self.write("returned", &format!("{name} {reason}\n"))?;
        self.link("broken", name)
    }

    /// Frees the room of a program that was given up, and of what no link leads to; its name and the reason stay. While a program is tried
    /// or to be turned to, nothing is freed. It may be cut off anywhere and repeated: what runs is never touched, and nothing leads to a
    /// place when its files begin to go.
    ///
    /// # Errors
    /// The file system's.
    pub fn free(&self) -> io::Result<()> {
        if !self.dir.is_dir() || self.trial().is_some() || self.is_due() {
            return Ok(());
        }
        if let Some((name, _)) = self.last_returned()
            && self.current().as_ref() != Some(&name)
            && self.old().as_ref() == Some(&name)
        {
            self.forget("old")?;
        }
        self.remove_unused()
    }

    fn remove_unused(&self) -> io::Result<()> {
        let used: Vec<_> = ["current", "old", "new"].into_iter().filter_map(|link| self.target(link)).collect();
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && name != INIT && !used.contains(&name) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Gives the program in use up.
    pub(crate) fn go_back(&self, name: &str, reason: &str) -> io::Result<()> {
        self.write("returned", &format!("{name} {reason}\n"))?;
        self.link("broken", name)?;
        let old = self.old().filter(|old| old != name && self.dir.join(old).join(PROGRAM).is_file());
        self.link("current", old.as_deref().unwrap_or(INIT))?;
        self.forget("trial")
    }

    /// The program that was given up last, and why.
    pub fn last_returned(&self) -> Option<(String, String)> {
        let text = fs::read_to_string(self.dir.join("returned")).ok()?;
        let (name, reason) = text.trim_end().split_once(' ')?;
        Some((name.to_owned(), reason.to_owned()))
    }

    /// Why the program at `name` was given up, if it was the last to be.
    pub fn returned(&self, name: &str) -> Option<String> {
        self.last_returned().filter(|(place, _)| place == name).map(|(_, reason)| reason)
    }

    fn link(&self, name: &str, target: &str) -> io::Result<()> {
        self.link_at(&self.dir.join(name), Path::new(target))
    }

    fn link_at(&self, link: &Path, target: &Path) -> io::Result<()> {
        let fresh = self.dir.join(".link");
        remove(&fresh)?;
        symlink(target, &fresh)?;
        fs::rename(&fresh, link)?;
        sync(&self.dir)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let fresh = self.dir.join(format!(".{name}.part"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, self.dir.join(name))?;
        sync(&self.dir)
    }

    fn forget(&self, name: &str) -> io::Result<()> {
        remove(&self.dir.join(name))?;
        sync(&self.dir)
    }
}

/// Longest reason that is kept of a program that was given up.
const REASON_CHARS: usize = 300;
/// For a place that names none.
const DEFAULT_LIMIT_SECS: u64 = 120;

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        dir: tempfile::TempDir,
        alts: Alts,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let alts = Alts::new(dir.path());
            fs::write(dir.path().join("installed"), "installed").unwrap();
            fs::write(dir.path().join("update"), "update").unwrap();
            alts.prepare(&dir.path().join("installed")).unwrap();
            Self { alts, dir }
        }

        fn runs(&self) -> String {
            fs::read_to_string(self.alts.program()).unwrap()
        }
    }

    /// CR 4.10: an update is turned to, tried, confirmed; what nothing leads to goes.
    #[test]
    fn an_update_is_tried_and_confirmed() {
        let world = World::new();
        let alts = &world.alts;
        assert_eq!((world.runs().as_str(), alts.current().as_deref()), ("installed", Some("init")));
        for name in ["1-a", "2-b"] {
            alts.install(name, &world.dir.path().join("update")).unwrap();
            alts.turn_to(name, Duration::from_secs(7)).unwrap();
            assert_ne!(alts.current().as_deref(), Some(name));
            alts.turn().unwrap();
            let trial = Trial { name: name.to_owned(), limit: Duration::from_secs(7), starts: 0 };
            assert_eq!((world.runs().as_str(), alts.trial()), ("update", Some(trial)));
            alts.confirm().unwrap();
            assert_eq!(alts.trial(), None);
        }
        assert_eq!(alts.old().as_deref(), Some("1-a"));
        alts.install("3-c", &world.dir.path().join("update")).unwrap();
        alts.confirm().unwrap();
        assert!(alts.turn_to("3-c", Duration::ZERO).is_err(), "nothing led to it");
        let executable = fs::canonicalize(alts.program()).unwrap();
        assert_eq!(alts.place_of(&executable).as_deref(), Some("2-b"));
        assert_eq!(alts.place_of(&world.dir.path().join("installed")), None);
    }

    /// CR 4.10: given up, the old one is back and the reason known; a lost program is replaced by one that is there.
    #[test]
    fn an_update_that_fails_is_given_up() {
        let world = World::new();
        let alts = &world.alts;
        alts.install("1-a", &world.dir.path().join("update")).unwrap();
        alts.turn_to("1-a", Duration::from_secs(7)).unwrap();
        alts.turn().unwrap();
        alts.go_back("1-a", "it hangs").unwrap();
        assert_eq!((world.runs().as_str(), alts.trial()), ("installed", None));
        assert_eq!(alts.returned("1-a").as_deref(), Some("it hangs"));
        assert_eq!(alts.returned("2-b"), None);
        alts.turn_to("1-a", Duration::from_secs(7)).unwrap();
        assert_eq!(alts.returned("1-a"), None, "another try has a clean slate");
        alts.turn().unwrap();
        alts.confirm().unwrap();
        fs::remove_file(alts.program()).unwrap();
        alts.prepare(&world.dir.path().join("installed")).unwrap();
        assert_eq!(world.runs(), "installed");
    }

    /// CR 4.10: a program that worked and was taken back leaves its name and the reason, not its bytes, wherever the work is cut off; what
    /// runs stays, and the next update finds its way back.
    #[test]
    fn what_was_taken_back_is_freed() {
        for cut in 0..5 {
            let world = World::new();
            let alts = &world.alts;
            let folder = |name: &str| world.dir.path().join("alts").join(name);
            let update = |name: &str| {
                alts.install(name, &world.dir.path().join("update")).unwrap();
                alts.turn_to(name, Duration::from_secs(7)).unwrap();
                alts.turn().unwrap();
                alts.confirm().unwrap();
            };
            update("1-a");
            update("2-b");
            alts.turn_to("1-a", Duration::from_secs(7)).unwrap();
            alts.free().unwrap();
            alts.turn().unwrap();
            alts.free().unwrap();
            assert!(folder("2-b").exists(), "nothing is freed while the way back is tried");
            alts.confirm().unwrap();
            assert_eq!(alts.old().as_deref(), Some("2-b"));
            // The steps of `give_up` and `free`, up to the cut.
            if cut > 0 {
                alts.write("returned", "2-b a component broke\n").unwrap();
            }
            if cut > 1 {
                alts.link("broken", "2-b").unwrap();
            }
            if cut > 2 {
                alts.forget("old").unwrap();
            }
            if cut > 3 {
                fs::remove_file(folder("2-b").join(PROGRAM)).unwrap();
            }
            alts.prepare(&world.dir.path().join("installed")).unwrap();
            assert_eq!((world.runs().as_str(), alts.current().as_deref()), ("update", Some("1-a")), "{cut}");
            alts.give_up("2-b", "a component broke\nand so on").unwrap();
            alts.free().unwrap();
            assert!(!folder("2-b").exists() && folder("1-a").exists(), "{cut}");
            assert_eq!((alts.old(), alts.returned("2-b").as_deref()), (None, Some("a component broke")), "{cut}");
            update("3-c");
            assert_eq!(alts.old().as_deref(), Some("1-a"));
            alts.free().unwrap();
            assert!(folder("1-a").exists(), "the way back of an update that holds");
            alts.install("2-b", &world.dir.path().join("update")).unwrap();
            assert_eq!(alts.returned("2-b"), None, "another try has a clean slate");
        }
    }

    /// CR 10.3 (2): a turn that was cut off anywhere is finished by the next start, and the old place stays known.
    #[test]
    fn a_turn_can_be_cut_off_anywhere() {
        for cut in 0..4 {
            let world = World::new();
            let alts = &world.alts;
            alts.install("1-a", &world.dir.path().join("update")).unwrap();
            alts.turn_to("1-a", Duration::from_secs(7)).unwrap();
            // The steps of `turn`, up to the cut.
            if cut > 0 {
                alts.link("old", "init").unwrap();
            }
            if cut > 1 {
                alts.keep(&Trial { name: "1-a".into(), limit: Duration::from_secs(7), starts: 0 }).unwrap();
                assert_eq!(alts.trial(), None, "not before the link is turned");
            }
            if cut > 2 {
                alts.link("current", "1-a").unwrap();
            }
            alts.prepare(&world.dir.path().join("installed")).unwrap();
            alts.turn().unwrap();
            assert_eq!((world.runs().as_str(), alts.old().as_deref()), ("update", Some("init")), "{cut}");
            assert!(alts.trial().is_some() && !alts.is_due(), "{cut}");
        }
    }
}
