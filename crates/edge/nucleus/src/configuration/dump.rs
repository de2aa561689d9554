//! `effectiveConfig.yaml`: what a person sees of the configuration (CR 3.7, 9.5).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// A burst of changes is written once.
pub(super) const DEBOUNCE: Duration = Duration::from_secs(5);

const FILE: &str = "effectiveConfig.yaml";

const REDACTED: &str = "[redacted]";

/// A member whose name holds one of these is a secret, wherever it stands.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "secret", "token", "userpin", "apikey", "privatekeypem"];

/// Names that hold such a word and are none: paths, names and addresses people need to see.
const HARMLESS_ENDINGS: [&str; 5] = ["path", "arn", "name", "endpoint", "timeoutms"];

/// Hides the values of members that are named like secrets, and user data in proxy addresses.
pub fn redacted(mut value: Value) -> Value {
    redact(&mut value);
    value
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.to_ascii_lowercase();
                let names_secret = SECRET_WORDS.iter().any(|word| name.contains(word))
                    && !HARMLESS_ENDINGS.iter().any(|ending| name.ends_with(ending));
                match member {
                    Value::String(_) | Value::Number(_) | Value::Array(_) if names_secret => {
                        *member = Value::String(REDACTED.to_owned());
                    }
                    Value::String(text) => hide_user_data(text),
                    _ => redact(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => hide_user_data(text),
        _ => {}
    }
}

/// `https://user:word@host` becomes `https://[redacted]@host`.
fn hide_user_data(text: &mut String) {
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((_, host)) = authority.rsplit_once('@') {
        let tail = &rest[authority.len()..];
        *text = format!("{scheme}://{REDACTED}@{host}{tail}");
    }
}

/// Writes the file 0600 beside its final name and moves it there. The old one goes first: replacing it would make some file
/// systems write the new one out at once, and a file for people need not be there at every instant.
pub(super) fn write(dir: &Path, value: &Value) -> io::Result<()> {
    let mut text = String::from("---\n");
    yaml(value, 0, &mut text);
    let fresh = dir.join(format!("{FILE}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    let file = dir.join(FILE);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(fresh, file),
    }
}

/// Block style maps; names and scalars in JSON form, which is YAML too.
fn yaml(value: &Value, indent: usize, text: &mut String) {
    let Value::Object(members) = value else {
        text.push_str(&value.to_string());
        text.push('\n');
        return;
    };
    for (name, member) in members {
        text.push_str(&"  ".repeat(indent));
        text.push_str(&Value::String(name.clone()).to_string());
        match member {
            Value::Object(below) if !below.is_empty() => {
                text.push_str(":\n");
                yaml(member, indent + 1, text);
            }
            _ => {
                text.push_str(": ");
                text.push_str(&member.to_string());
                text.push('\n');
            }
        }
    }
}
