//! Lines of the system log (RFC 3164): `<PRIORITY>TIME HOST LOGGER[CLASS]: MESSAGE`, the first part often left out in files.

use std::path::PathBuf;

use serde_json::{Value, json};

/// Keywords of such lines that a filter may name (CR 7.1).
pub(crate) const KEYWORDS: &[&str] = &["priority", "host", "logger", "class"];
/// Where the system log is, whatever the system.
const FILES: &[&str] = &["/var/log/messages", "/var/log/syslog", "/var/log/system.log"];
/// Characters of `Nov 22 13:00:00`.
const TIME: usize = 15;

/// The system's log files that are there.
pub(crate) fn files() -> Vec<PathBuf> {
    FILES.iter().map(PathBuf::from).filter(|path| path.is_file()).collect()
}

/// The members of a line; none when it is of another form.
pub(crate) fn members(line: &str) -> Option<Value> {
    let (priority, rest) = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((digits, rest)) => (Some(digits.parse::<u16>().ok()?), rest),
        None => (None, line),
    };
    let month = rest.as_bytes().first()?.is_ascii_alphabetic();
    let (time, rest) = if month {
        rest.split_at_checked(TIME).filter(|(_, rest)| rest.starts_with(' '))?
    } else {
        rest.split_at(rest.find(' ')?)
    };
    let (host, rest) = rest.trim_start().split_once(' ')?;
    let (tag, message) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
    let class = |open, close| tag.strip_suffix(close).and_then(|tag: &str| tag.split_once(open));
    let (logger, class) = match class('[', ']').or_else(|| class('(', ')')) {
        Some((logger, class)) => (logger.trim_end(), Some(class)),
        None => (tag, None),
    };
    if logger.is_empty() || logger.contains(' ') {
        return None;
    }
    Some(json!({
        "priority": priority, "time": time, "host": host, "logger": logger, "class": class, "message": message,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.1: what a filter may name is found, with and without priority, in the old and the new way to write times.
    #[test]
    fn lines_have_their_members() {
        let row = |priority: Option<u16>, host: &str, logger: &str, class: Option<&str>| {
            let found = json!({"priority": priority, "host": host, "logger": logger, "class": class});
            Some(found)
        };
        for (line, wanted) in [
            ("<34>Oct 11 22:14:15 mymachine su: failed", row(Some(34), "mymachine", "su", None)),
            ("Oct  1 02:14:15 core sshd[912]: a: b", row(None, "core", "sshd", Some("912"))),
            (
                "<13>Oct 11 22:14:15 core marram (com.example.A): hello",
                row(Some(13), "core", "marram", Some("com.example.A")),
            ),
            ("2026-11-22T13:00:00.1+00:00 core kernel: x", row(None, "core", "kernel", None)),
            ("2026-07-20T10:11:12.345Z [INFO] (thread) logger: event", None),
            ("no log line", None),
            ("<x>Oct 11 22:14:15 core su: failed", None),
            ("", None),
        ] {
            let found = members(line).map(|mut found| {
                let members = found.as_object_mut().unwrap();
                members.retain(|name, _| KEYWORDS.contains(&name.as_str()));
                found
            });
            assert_eq!(found, wanted, "{line}");
        }
    }
}
