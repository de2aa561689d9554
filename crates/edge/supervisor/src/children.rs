//! The sessions that the core started, in memory and in a file that outlives it.
//!
//! Every step leads a session of its own. Where there is no cgroup, the members of a component's sessions and their
//! descendants are its processes; one that leaves both its session and its parents is out of reach then. The file lets
//! the next run of the core find what this one leaves behind: it needs no fsync, because a loss of power ends the
//! processes too.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use smol_str::SmolStr;

use crate::procfs::{self, Stat};

/// The file is rewritten with what is still alive when it grows beyond this.
const RECORD_MAX_BYTES: u64 = 64 * 1024;

/// Parents between a process and its session's leader that are looked at.
const ANCESTORS_MAX: usize = 64;

/// Sends a signal; a process that is gone is fine.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = pid.try_into().ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    component: SmolStr,
    started: u64,
}

/// Sessions of this run.
#[derive(Debug)]
pub(crate) struct Sessions {
    file: PathBuf,
    header: String,
    live: Mutex<HashMap<u32, Session>>,
}

impl Sessions {
    /// Starts a new record; what the old one held must have been swept ([`sweep_recorded`]).
    pub(crate) fn open<'a>(file: PathBuf, bases: impl Iterator<Item = &'a Path>) -> io::Result<Self> {
        let group: String = bases.map(|base| format!("cgroup {}\n", base.display())).collect();
        let header = format!("boot {}\n{group}", procfs::boot_id());
        // Replacing a file makes some file systems write it out at once; a new one does not hold the start up.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        private(&file)?.write_all(header.as_bytes())?;
        Ok(Self { file, header, live: Mutex::default() })
    }

    /// Remembers the session that a step leads.
    pub(crate) fn add(&self, component: &SmolStr, pid: u32) {
        let Some(stat) = procfs::stat(pid) else { return };
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.insert(pid, Session { component: component.clone(), started: stat.started });
        let append = || {
            let mut file = OpenOptions::new().append(true).open(&self.file)?;
            file.write_all(line(pid, &live[&pid]).as_bytes())?;
            Ok::<_, io::Error>(file.metadata()?.len())
        };
        let written = match append() {
            Ok(bytes) if bytes > RECORD_MAX_BYTES => {
                let sessions: HashSet<u32> = procfs::all().iter().map(|process| process.session).collect();
                live.retain(|pid, _| sessions.contains(pid));
                self.rewrite(&live)
            }
            other => other.map(drop),
        };
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "cannot record a started process");
        }
    }

    /// Forgets the sessions of a component that has no process left.
    pub(crate) fn remove(&self, component: &str) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, session| session.component != component);
    }

    /// Processes of a component: members of its sessions and what descends from them, leaders last.
    pub(crate) fn members(&self, component: &str) -> Vec<u32> {
        let leaders: HashMap<u32, u64> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            let own = live.iter().filter(|(_, session)| session.component == component);
            own.map(|(pid, session)| (*pid, session.started)).collect()
        };
        if leaders.is_empty() { Vec::new() } else { family(&leaders) }
    }

    /// Processes of all components that are not stopped.
    pub(crate) fn moving(&self) -> Vec<u32> {
        let leaders: HashMap<u32, u64> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.iter().map(|(pid, session)| (*pid, session.started)).collect()
        };
        let all = if leaders.is_empty() { Vec::new() } else { family(&leaders) };
        all.into_iter().filter(|pid| procfs::stat(*pid).is_some_and(|stat| !stat.stopped)).collect()
    }

    /// Processes of one session and its descendants.
    pub(crate) fn members_of(&self, leader: u32) -> Vec<u32> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let session = live.get(&leader).map(|session| HashMap::from([(leader, session.started)]));
        drop(live);
        session.map_or(Vec::new(), |leaders| family(&leaders))
    }

    /// The component that a process belongs to by its session or its ancestors' sessions.
    pub(crate) fn component_of(&self, pid: u32) -> Option<SmolStr> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = pid;
        for _ in 0..ANCESTORS_MAX {
            let stat = procfs::stat(next)?;
            if let Some(session) = live.get(&stat.session).filter(|session| stat.started >= session.started) {
                return Some(session.component.clone());
            }
            next = stat.parent;
        }
        None
    }

    fn rewrite(&self, live: &HashMap<u32, Session>) -> io::Result<()> {
        let fresh = self.file.with_extension("new");
        let mut file = private(&fresh)?;
        let lines: String = live.iter().map(|(pid, session)| line(*pid, session)).collect();
        file.write_all((self.header.clone() + &lines).as_bytes())?;
        fs::rename(fresh, &self.file)
    }
}

/// Kills what the run before this one recorded and left behind.
pub(crate) fn sweep_recorded(file: &Path, patience: Duration) {
    let (groups, sessions) = read(file);
    for group in groups {
        crate::cgroup::sweep(&group, patience);
    }
    sweep(&sessions, patience);
}

fn private(file: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)
}

fn line(pid: u32, session: &Session) -> String {
    format!("{pid} {} {}\n", session.started, session.component)
}

/// Groups and sessions (leader, start time) of the last run, if it was in this boot.
fn read(file: &Path) -> (Vec<PathBuf>, HashMap<u32, u64>) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    if lines.next().and_then(|first| first.strip_prefix("boot ")) != Some(&procfs::boot_id()) {
        return Default::default();
    }
    let (mut groups, mut sessions) = (Vec::new(), HashMap::new());
    for line in lines {
        if let Some(group) = line.strip_prefix("cgroup ") {
            groups.push(PathBuf::from(group));
            continue;
        }
        let mut words = line.split(' ');
        if let (Some(Ok(pid)), Some(Ok(started))) = (words.next().map(str::parse), words.next().map(str::parse)) {
            sessions.insert(pid, started);
        }
    }
    (groups, sessions)
}

fn sweep(sessions: &HashMap<u32, u64>, patience: Duration) {
    let start = Instant::now();
    let mut told = false;
    while !sessions.is_empty() && start.elapsed() < patience {
        let left = family(sessions);
        if left.is_empty() {
            return;
        }
        if !told {
            tracing::warn!(processes = left.len(), "killing processes that an earlier run left behind");
            told = true;
        }
        left.into_iter().for_each(|pid| signal(pid, Signal::KILL));
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Living members of the sessions and all their descendants, leaders last.
fn family(leaders: &HashMap<u32, u64>) -> Vec<u32> {
    let processes = procfs::all();
    let leader_of = |session: u32| processes.iter().find(|process| process.pid == session);
    // A leader that started at another time is somebody else with the same number; one that is gone keeps its number
    // taken as long as its session has members.
    let is_ours = |process: &Stat| {
        leaders.get(&process.session).is_some_and(|started| {
            process.started >= *started && leader_of(process.session).is_none_or(|leader| leader.started == *started)
        })
    };
    let mut ours: HashSet<u32> =
        processes.iter().filter(|process| is_ours(process)).map(|process| process.pid).collect();
    loop {
        let before = ours.len();
        ours.extend(
            processes.iter().filter(|process| ours.contains(&process.parent)).map(|p| p.pid).collect::<Vec<_>>(),
        );
        if ours.len() == before {
            break;
        }
    }
    let alive = processes.iter().filter(|process| ours.contains(&process.pid) && !process.zombie).map(|p| p.pid);
    let mut pids: Vec<u32> = alive.collect();
    pids.sort_by_key(|pid| leaders.contains_key(pid));
    pids
}
