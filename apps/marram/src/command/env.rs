//! `marram env`: prints what a shell needs so that foreign clients work at once.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use marram_obs::out;

use crate::cli::DataOnly;

/// File in the data directory that holds the same values as JSON (owner only: it has the administrator's key).
pub const ENV_FILE: &str = "env.json";

/// Prints one `export NAME='value'` line per value of `DIR/env.json`.
pub fn run(flags: &DataOnly) -> anyhow::Result<ExitCode> {
    let path = flags.data.join(ENV_FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {} (was `marram up --data` started there?)", path.display()))?;
    let values: BTreeMap<String, String> =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let mut out = String::new();
    for (name, value) in &values {
        out.push_str(&format!("export {name}={}\n", quote(value)));
    }
    out!("{out}");
    Ok(ExitCode::SUCCESS)
}

/// Single-quotes a value for a POSIX shell.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    /// A value with quotes and `$` reaches the shell unchanged.
    #[test]
    fn shell_quoting_survives_hostile_values() {
        let value = r#"a'b$(id)"c"#;
        let out =
            std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(value))).output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), value);
    }
}
