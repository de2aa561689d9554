//! `Skipif` (CR 1.7): `onpath <command>` or `exists <path>`, negated by a leading `!`.

use std::path::Path;

/// The condition cannot be read; the step's configuration is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `onpath <command>` nor `exists <path>`")]
pub struct SkipError(pub String);

/// Whether the condition holds. Relative paths start at `work_dir`; commands are looked up along `path`.
///
/// # Errors
/// [`SkipError`].
pub fn should_skip(condition: &str, path: &str, work_dir: &Path) -> Result<bool, SkipError> {
    let text = condition.trim();
    let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim_start()));
    let holds = match rest.split_once(char::is_whitespace).map(|(word, argument)| (word, argument.trim())) {
        Some((word, argument)) if !argument.is_empty() && word.eq_ignore_ascii_case("onpath") => {
            on_path(argument, path, work_dir)
        }
        Some((word, argument)) if !argument.is_empty() && word.eq_ignore_ascii_case("exists") => {
            work_dir.join(argument).exists()
        }
        _ => return Err(SkipError(condition.to_owned())),
    };
    Ok(holds != negated)
}

fn on_path(command: &str, path: &str, work_dir: &Path) -> bool {
    if command.contains('/') {
        return is_program(&work_dir.join(command));
    }
    path.split(':').filter(|directory| !directory.is_empty()).any(|dir| is_program(&Path::new(dir).join(command)))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("here"), "").unwrap();
        let check = |condition: &str| should_skip(condition, "/nowhere:/bin:/usr/bin", dir.path());
        for (condition, expected) in [
            ("onpath sh", Ok(true)),
            ("! onpath sh", Ok(false)),
            ("!onpath no-such-command", Ok(true)),
            ("onpath /bin/sh", Ok(true)),
            ("onpath ./here", Ok(false)),
            ("exists here", Ok(true)),
            ("exists /no/such/place", Ok(false)),
            ("!  exists here", Ok(false)),
            ("exists", Err(SkipError("exists".into()))),
            ("always", Err(SkipError("always".into()))),
            ("", Err(SkipError(String::new()))),
        ] {
            assert_eq!(check(condition), expected, "{condition}");
        }
    }
}
