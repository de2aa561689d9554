//! Log files of components, in the forms that the log manager and the CLI read (CR 7.7).
//!
//! One file per component in a 0700 directory, 0600 each, moved aside as `<base>_yyyy_MM_dd_HH_<i>.log` when full; the
//! oldest go when a component's share is used up. Output of processes is limited in rate: a component that floods loses
//! its own lines, counted, and nothing of others. The last lines before it ends or falls silent are kept.

mod format;
mod held;
mod rotate;

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use marram_types::{Clock, SystemClock};
use smol_str::SmolStr;

pub(crate) use format::Entry;
use held::{Dropped, Held};

/// Lines of process output that a component may write a second, and in one burst.
const LINES_PER_SECOND: f64 = 2000.0;
const LINES_BURST: f64 = 10_000.0;
/// Once lines are dropped, this many more may be written at once before any is again: so what is left out is in one piece.
const LINES_AGAIN: f64 = LINES_BURST / 10.0;

/// Severity, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `TRACE`.
    Trace,
    /// `DEBUG`.
    Debug,
    /// `INFO`.
    Info,
    /// `WARN`.
    Warn,
    /// `ERROR`.
    Error,
}

impl Level {
    /// The word of the configuration, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(word))
    }

    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-07-20T10:11:12.345Z [INFO] (thread) logger: event. message. {k=v}`.
    Text,
    /// One JSON object.
    Json,
}

/// `logging.*` of the nucleus configuration (CR 7.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Directory of the files.
    pub directory: PathBuf,
    /// Least severity that is kept.
    pub level: Level,
    /// Form.
    pub format: LogFormat,
    /// To standard error instead of files.
    pub console: bool,
    /// Size at which a file is moved aside, in KiB.
    pub file_size_kib: u64,
    /// What the files of one component may take together, in KiB.
    pub total_size_kib: u64,
}

impl LogSettings {
    /// The defaults of CR 7.5 below `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            level: Level::Info,
            format: LogFormat::Text,
            console: false,
            file_size_kib: 1024,
            total_size_kib: 10_240,
        }
    }
}

/// The logs of all components.
#[derive(Debug)]
pub struct Logs {
    settings: Arc<RwLock<LogSettings>>,
    open: Mutex<HashMap<SmolStr, Arc<ComponentLog>>>,
}

impl Logs {
    /// Files are made when their first line comes.
    pub fn new(settings: LogSettings) -> Self {
        Self { settings: Arc::new(RwLock::new(settings)), open: Mutex::default() }
    }

    /// Takes other settings from the next line on.
    pub fn configure(&self, settings: LogSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The log of a component.
    pub fn of(&self, component: &str) -> Arc<ComponentLog> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            Arc::new(ComponentLog {
                component: component.into(),
                settings: Arc::clone(&self.settings),
                inner: Mutex::new(Inner {
                    state: "NEW",
                    file: None,
                    budget: LINES_BURST,
                    refilled: Instant::now(),
                    dropped: Dropped::default(),
                    failed: false,
                }),
            })
        };
        Arc::clone(open.entry(component.into()).or_insert_with(fresh))
    }

    /// Closes the log of a component that is no more.
    pub fn forget(&self, component: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(component);
    }
}

/// The log of one component.
#[derive(Debug)]
pub struct ComponentLog {
    component: SmolStr,
    settings: Arc<RwLock<LogSettings>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: &'static str,
    file: Option<OpenFile>,
    budget: f64,
    refilled: Instant,
    dropped: Dropped,
    /// The last write failed and was reported; later failures are silent until one succeeds.
    failed: bool,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl ComponentLog {
    /// The state that following lines name.
    pub fn set_state(&self, state: &'static str) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).state = state;
    }

    /// A line that a process wrote; `event` is `stdout` or `stderr`.
    pub(crate) fn output(&self, level: Level, event: &'static str, script: &str, message: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = inner.refilled.elapsed().as_secs_f64();
        inner.refilled = Instant::now();
        inner.budget = (inner.budget + elapsed * LINES_PER_SECOND).min(LINES_BURST);
        let wanted = if inner.dropped.is_empty() { 1.0 } else { LINES_AGAIN };
        if inner.budget < wanted {
            let (script, message) = (script.to_owned(), message.to_owned());
            return inner.dropped.push(Held { level, event, script, message });
        }
        self.tell(&mut inner);
        inner.budget -= 1.0;
        self.write(&mut inner, level, event, message, Some(script));
    }

    /// Whether lines were dropped that nothing was written about yet.
    pub(crate) fn is_dropping(&self) -> bool {
        !self.inner.lock().unwrap_or_else(PoisonError::into_inner).dropped.is_empty()
    }

    /// The output ended or fell silent: writes how many lines were dropped, and the last of them.
    pub(crate) fn pause(&self) {
        self.tell(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, inner: &mut Inner) {
        if inner.dropped.is_empty() {
            return;
        }
        let (lost, last) = inner.dropped.take();
        inner.budget -= last.len() as f64;
        if lost > 0 {
            let text = format!(
                "{lost} lines were dropped: the component writes too fast ({LINES_BURST} lines at once, then {LINES_PER_SECOND} a second)"
            );
            let script = last.front().map(|line| line.script.as_str());
            self.write(inner, Level::Warn, "output-dropped", &text, script);
        }
        for line in &last {
            self.write(inner, line.level, line.event, &line.message, Some(&line.script));
        }
    }

    /// A line of the core about the component.
    pub fn note(&self, level: Level, event: &str, message: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&mut inner, level, event, message, None);
    }

    fn write(&self, inner: &mut Inner, level: Level, event: &str, message: &str, script: Option<&str>) {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        if level < settings.level {
            return;
        }
        let now = SystemClock.now();
        let entry = Entry { at: now, level, event, message, script, component: &self.component, state: inner.state };
        let line = entry.line(settings.format);
        let written = if settings.console {
            io::stderr().lock().write_all(line.as_bytes())
        } else {
            inner.append(&settings, &self.component, &line, &rotate::hour(now))
        };
        match written {
            Ok(()) => inner.failed = false,
            Err(error) => {
                inner.file = None;
                if !inner.failed {
                    inner.failed = true;
                    tracing::warn!(component = %self.component, %error, "cannot write the component's log");
                }
            }
        }
    }
}

impl Inner {
    fn append(&mut self, settings: &LogSettings, component: &str, line: &str, hour: &str) -> io::Result<()> {
        let path = settings.directory.join(format!("{component}.log"));
        let limit = settings.file_size_kib.max(1) * 1024;
        if self.file.as_ref().is_some_and(|open| open.path == path && open.bytes + line.len() as u64 > limit) {
            self.file = None;
            rotate::aside(&path, hour)?;
            rotate::trim(&path, settings.total_size_kib * 1024)?;
        }
        let open = match &mut self.file {
            Some(open) if open.path == path => open,
            slot => {
                DirBuilder::new().recursive(true).mode(0o700).create(&settings.directory)?;
                slot.insert(open_file(path)?)
            }
        };
        open.file.write_all(line.as_bytes())?;
        open.bytes += line.len() as u64;
        Ok(())
    }
}

fn open_file(path: PathBuf) -> io::Result<OpenFile> {
    let file = rotate::private(&path)?;
    let bytes = file.metadata()?.len();
    Ok(OpenFile { file, path, bytes })
}

/// Base name of a log file, `com.example.A` of `com.example.A.log`.
fn base(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
