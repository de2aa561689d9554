//! `logs get|list-log-files|list-keywords`: reads the files of CR 7.7 in both their forms.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use marram_obs::outln;
use regex::Regex;
use serde_json::Value;

use crate::client::CliError;
use crate::log_order::{self, Form, Stream};
use crate::syslog;

/// How often a followed file is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Keywords of JSON lines that a filter may name.
const KEYWORDS: &[&str] = &["level", "thread", "loggerName", "eventType", "serviceName", "error"];

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Prints lines.
    Get(Box<Get>),
    /// Names the files.
    ListLogFiles {
        /// Folder of log files.
        #[arg(long = "log-dir")]
        folder: Option<PathBuf>,
    },
    /// Names the keywords that filters know.
    ListKeywords {
        /// Those of the system log.
        #[arg(short, long)]
        syslog: bool,
    },
}

#[derive(Args)]
pub(crate) struct Get {
    /// A file; repeatable. All files of the folder unless given.
    #[arg(long = "log-file", value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Folder of log files.
    #[arg(long = "log-dir")]
    folder: Option<PathBuf>,
    /// `FROM,TO`: times as `2026-07-20T10:00:00`, or spans before now as `1h30m`; either may be empty.
    #[arg(short = 't', long = "time-window")]
    window: Vec<String>,
    /// `KEYWORD=VALUE` or a regular expression; several with commas: any of them; several options: all of them.
    #[arg(short, long)]
    filter: Vec<String>,
    /// Lines before each that fits.
    #[arg(short, long, default_value_t = 0)]
    before: usize,
    /// Lines after each that fits.
    #[arg(short, long, default_value_t = 0)]
    after: usize,
    /// Most lines that fit.
    #[arg(short, long = "max-num-entries")]
    max: Option<usize>,
    /// Goes on with what is written from now on.
    #[arg(long)]
    follow: bool,
    /// Without colours.
    #[arg(long)]
    no_color: bool,
    /// The whole entry instead of its short form.
    #[arg(short, long)]
    verbose: bool,
    /// The system log instead of the core's: only lines of its form, and its own files unless some are given.
    #[arg(short, long)]
    syslog: bool,
}

pub(crate) fn run(root: &Path, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Get(get) => get.run(root),
        Verb::ListLogFiles { folder } => {
            for file in log_files(&folder.unwrap_or_else(|| root.join("logs")))? {
                outln!("{}", file.display());
            }
            Ok(())
        }
        Verb::ListKeywords { syslog } => {
            let words = if syslog { syslog::KEYWORDS } else { KEYWORDS };
            words.iter().for_each(|word| outln!("{word}"));
            Ok(())
        }
    }
}

/// Log files of a folder, sorted by name.
fn log_files(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let cannot = |source| CliError::File { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(cannot)?;
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log") && path.is_file();
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_log).collect();
    files.sort();
    Ok(files)
}

/// One condition of `--filter`.
enum Filter {
    /// The member of a line, and what it holds; of `level` the least.
    Member(String, String),
    /// Anywhere in a line.
    Pattern(Regex),
}

impl Filter {
    /// All of these, each any of what its commas separate.
    fn read(options: &[String]) -> Result<Vec<Vec<Self>>, CliError> {
        let one = |text: &str| match text.split_once('=') {
            Some((name, wanted)) if is_keyword(name) => Ok(Self::Member(name.to_owned(), wanted.to_owned())),
            _ => Regex::new(text)
                .map(Self::Pattern)
                .map_err(|error| CliError::Usage(format!("the filter `{text}` is no regular expression: {error}"))),
        };
        options.iter().map(|any_of| any_of.split(',').map(|text| one(text.trim())).collect()).collect()
    }
}

/// Members of contexts are named like variables.
fn is_keyword(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// What is known of one line.
pub(crate) struct Entry {
    time: Option<Timestamp>,
    json: Option<Value>,
    line: String,
}

impl Entry {
    pub(crate) fn read(line: String) -> Self {
        let json = line.starts_with('{').then(|| serde_json::from_str::<Value>(&line).ok()).flatten();
        let time = match &json {
            Some(json) => json["timestamp"].as_i64().and_then(|time| Timestamp::from_millisecond(time).ok()),
            None => line.split_whitespace().next().and_then(|word| word.parse().ok()),
        };
        Self { time, json, line }
    }

    /// A member of a JSON line, or of its contexts.
    fn member(&self, name: &str) -> Option<String> {
        let json = self.json.as_ref()?;
        let value = match name {
            "error" => json.get("cause").and_then(|cause| cause.get("message")),
            name => json.get(name).or_else(|| json.get("contexts")?.get(name)),
        }?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// A line of the system log; none when it is of another form.
    fn read_syslog(line: String) -> Option<Self> {
        Some(Self { time: None, json: Some(syslog::members(&line)?), line })
    }

    fn fits(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Member(name, wanted) if self.json.is_some() => self.member(name).is_some_and(|found| {
                if name == "level" { level(&found) >= level(wanted) } else { found.contains(wanted.as_str()) }
            }),
            Filter::Member(name, wanted) if name == "level" => {
                let found = self.line.split(['[', ']']).nth(1).unwrap_or_default();
                !found.is_empty() && level(found) >= level(wanted)
            }
            Filter::Member(name, wanted) => self.line.contains(&format!("{name}={wanted}")),
            Filter::Pattern(pattern) => pattern.is_match(&self.line),
        }
    }

    /// When it was written, if the line says so.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.time
    }

    pub(crate) fn short(&self) -> String {
        let Some(json) = &self.json else { return self.line.clone() };
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let time = self.time.map_or_else(String::new, |time| time.to_string());
        let mut line = format!("{time} [{}] ({}) {}: ", text("level"), text("thread"), text("loggerName"));
        let event = text("eventType");
        if !event.is_empty() {
            line += &format!("{event}. ");
        }
        line += &text("message");
        if let Some(contexts) = json["contexts"].as_object().filter(|contexts| !contexts.is_empty()) {
            let pairs: Vec<_> =
                contexts.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
            line += &format!(". {{{}}}", pairs.join(", "));
        }
        if let Some(cause) = json["cause"]["message"].as_str() {
            line += &format!(" cause: {cause}");
        }
        line
    }
}

/// Severity order; unknown words are lowest.
fn level(word: &str) -> usize {
    const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
    LEVELS.iter().position(|level| word.eq_ignore_ascii_case(level)).map_or(0, |at| at + 1)
}

/// A point in time, or a span before now.
fn point(text: &str, now: &Zoned) -> Result<Option<Timestamp>, CliError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| {
            text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(TimeZone::system()).ok().map(|z| z.timestamp())
        })
        .or_else(|| {
            let span: jiff::Span = text.trim_start_matches('-').parse().ok()?;
            now.checked_sub(span).ok().map(|time| time.timestamp())
        });
    time.map(Some).ok_or_else(|| CliError::Usage(format!("`{text}` is no time and no span")))
}

impl Get {
    fn run(&self, root: &Path) -> Result<(), CliError> {
        let now = Zoned::now();
        let mut windows = Vec::new();
        for window in &self.window {
            let (from, to) = window.split_once(',').unwrap_or((window, ""));
            windows.push((point(from, &now)?, point(to, &now)?));
        }
        let filters = Filter::read(&self.filter)?;
        let files = if !self.files.is_empty() {
            self.files.clone()
        } else if self.syslog && self.folder.is_none() {
            syslog::files()
        } else {
            log_files(&self.folder.clone().unwrap_or_else(|| root.join("logs")))?
        };
        let mut printer = Printer { get: self, filters, before: VecDeque::new(), after: 0, printed: 0 };
        let form: Form = if self.syslog { Entry::read_syslog } else { |line| Some(Entry::read(line)) };
        let open = |files| Stream::open(files, form);
        let mut streams = log_order::logs(files).into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        loop {
            while !printer.is_done() {
                let Some(entry) = log_order::next(&mut streams)? else { break };
                printer.line(entry, &windows);
            }
            if !self.follow || printer.is_done() {
                break;
            }
            std::thread::sleep(FOLLOW_EVERY);
            streams.iter_mut().try_for_each(Stream::advance)?;
        }
        Ok(())
    }

    fn wants(&self, entry: &Entry, filters: &[Vec<Filter>], windows: &[Window]) -> bool {
        let in_window = windows.is_empty()
            || entry.time.is_some_and(|time| {
                windows.iter().any(|(from, to)| from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to))
            });
        in_window && filters.iter().all(|any_of| any_of.iter().any(|filter| entry.fits(filter)))
    }
}

/// From and to, either may be open.
type Window = (Option<Timestamp>, Option<Timestamp>);

struct Printer<'a> {
    get: &'a Get,
    filters: Vec<Vec<Filter>>,
    before: VecDeque<Entry>,
    after: usize,
    printed: usize,
}

impl Printer<'_> {
    fn is_done(&self) -> bool {
        self.get.max.is_some_and(|max| self.printed >= max) && self.after == 0
    }

    fn line(&mut self, entry: Entry, windows: &[Window]) {
        let room = self.get.max.is_none_or(|max| self.printed < max);
        if room && self.get.wants(&entry, &self.filters, windows) {
            for earlier in std::mem::take(&mut self.before) {
                self.print(&earlier);
            }
            self.print(&entry);
            self.printed += 1;
            self.after = self.get.after;
        } else if self.after > 0 {
            self.after -= 1;
            self.print(&entry);
        } else if self.get.before > 0 {
            self.before.push_back(entry);
            if self.before.len() > self.get.before {
                self.before.pop_front();
            }
        }
    }

    fn print(&self, entry: &Entry) {
        let text = if self.get.verbose || self.get.syslog { entry.line.clone() } else { entry.short() };
        let severity = entry.member("level").map_or(0, |word| level(&word));
        let colour = match severity {
            5 => "\x1b[31m",
            4 => "\x1b[33m",
            _ => "",
        };
        if colour.is_empty() || self.get.no_color || !std::io::stdout().is_terminal() {
            outln!("{text}");
        } else {
            outln!("{colour}{text}\x1b[0m");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(level: &str, message: &str) -> Entry {
        let line = format!(
            r#"{{"thread":"main","level":"{level}","eventType":"stdout","message":"{message}","contexts":{{"serviceName":"X"}},"loggerName":"X","timestamp":1784000000000,"cause":null}}"#
        );
        Entry::read(line)
    }

    /// CR 7.1, 7.7: filters by keyword and text, levels by severity, both forms of lines.
    #[test]
    fn filters_read_both_forms() {
        let entry = json("WARN", "low battery");
        for (filter, wanted) in [
            ("level=WARN", true),
            ("level=INFO", true),
            ("level=ERROR", false),
            ("serviceName=X", true),
            ("serviceName=Y", false),
            ("battery", true),
            ("voltage", false),
            ("low b.*y", true),
            ("^low", false),
        ] {
            let filters = Filter::read(&[filter.to_owned()]).unwrap();
            assert_eq!(entry.fits(&filters[0][0]), wanted, "{filter}");
        }
        assert!(matches!(Filter::read(&["(".to_owned()]), Err(CliError::Usage(_))));
        assert_eq!(entry.short(), "2026-07-14T03:33:20Z [WARN] (main) X: stdout. low battery. {serviceName=X}");
        let text = Entry::read("2026-07-20T10:11:12.345Z [ERROR] (main) x: boom. {}".to_owned());
        let warning = Filter::Member("level".to_owned(), "WARN".to_owned());
        assert!(text.fits(&warning) && text.time.is_some());
    }

    /// CR 7.1: a window is times or spans before now, either end open.
    #[test]
    fn windows_are_times_or_spans() {
        let now = "2026-07-20T10:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let hour_ago: Timestamp = "2026-07-20T09:00:00Z".parse().unwrap();
        assert_eq!(point("1h", &now).unwrap(), Some(hour_ago));
        assert_eq!(point("2026-07-20T09:00:00Z", &now).unwrap(), Some(hour_ago));
        assert_eq!(point("", &now).unwrap(), None);
        assert!(matches!(point("yesterday-ish", &now), Err(CliError::Usage(_))));
    }
}
