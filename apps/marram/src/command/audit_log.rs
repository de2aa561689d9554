//! `marram audit-log verify`: recompute the stored log offline and compare it with checkpoints.
//!
//! Exit codes: 0 sound, 1 something is wrong with the log, 3 the data directory cannot be read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use marram_audit::{Audit, Covered, Finding, PublicKey, Report, read_checkpoints, verify};
use marram_obs::outln;
use marram_store::{Store, StoreOptions};
use serde_json::{Value, json};

/// The log was manipulated or damaged.
const EXIT_TAMPERED: u8 = 1;

/// Verbs of `marram audit-log`.
#[derive(Debug, Subcommand)]
pub enum AuditLog {
    /// Check every record, every link and every checkpoint; works while the program runs, and when it does not.
    Verify(Verify),
}

/// Flags of `marram audit-log verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The data directory of a running or stopped installation.
    #[arg(long, value_name = "DIR", default_value = "var", env = "MARRAM_DATA")]
    pub data: PathBuf,
    /// Checkpoints kept elsewhere; they also reveal records cut off at the end. May be repeated.
    #[arg(long = "checkpoints", value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// The public key kept elsewhere, `marram-audit+...`; otherwise the one in the data directory is believed.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
pub fn run(verb: &AuditLog) -> anyhow::Result<ExitCode> {
    let AuditLog::Verify(flags) = verb;
    let report = check(flags)?;
    if flags.json {
        outln!("{}", report_json(&report));
    } else {
        for finding in &report.findings {
            outln!("{}", finding_line(finding));
        }
        outln!(
            "{} records of {} accounts, {} checkpoints agree, {} findings",
            report.records,
            report.accounts,
            report.checkpoints,
            report.findings.len()
        );
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_TAMPERED) })
}

fn check(flags: &Verify) -> anyhow::Result<Report> {
    let key = match &flags.key {
        Some(text) => PublicKey::parse(text.trim()).context("--key is not an audit key")?,
        None => PublicKey::load(&Audit::dir_of(&flags.data)).context("cannot read the audit key")?,
    };
    let store = Store::open_read_only(&flags.data, StoreOptions::default())
        .with_context(|| format!("cannot open the database in {}", flags.data.display()))?;
    let covered = store.read(Covered::read).context("cannot read the log")?;
    let mut checkpoints = Vec::new();
    // Records appended while we look are covered by no checkpoint yet, so the files are read first.
    for file in flags.checkpoints.iter().cloned().chain(own_checkpoints(&flags.data)) {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        checkpoints.extend(read_checkpoints(&text, &key));
    }
    store.read(|snapshot| verify(snapshot, &checkpoints, &covered)).context("cannot read the log")
}

fn own_checkpoints(data: &Path) -> Option<PathBuf> {
    Some(Audit::checkpoint_file_of(data)).filter(|file| file.exists())
}

fn finding_line(finding: &Finding) -> String {
    let account = finding.account.as_ref().map_or("-", |account| account.as_str());
    let seq = finding.seq.map_or("-".to_owned(), |seq| seq.to_string());
    format!("account {account} record {seq}: {}", finding.problem)
}

fn report_json(report: &Report) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "account": finding.account,
                "seq": finding.seq,
                "problem": finding.problem.to_string(),
            })
        })
        .collect();
    json!({
        "ok": report.findings.is_empty(),
        "records": report.records,
        "accounts": report.accounts,
        "checkpoints": report.checkpoints,
        "findings": findings,
    })
}

#[cfg(test)]
mod tests {
    use marram_audit::{AuditRecord, UserIdentity};
    use marram_types::{AccountId, Region, SystemClock, Timestamp};

    use super::*;

    /// SEC-144: the verb tells a sound log from a manipulated one by its exit code's source, the findings.
    #[test]
    fn a_changed_row_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let audit = Audit::open(store.clone(), dir.path(), SystemClock::shared()).unwrap();
        let region = Region::default_region();
        for name in ["CreateThing", "DeleteThing"] {
            let identity = UserIdentity { kind: "Root".into(), ..UserIdentity::default() };
            let now = Timestamp::EPOCH;
            audit.enqueue(AuditRecord::new(
                AccountId::first(),
                region.clone(),
                now,
                "iot.amazonaws.com",
                name,
                identity,
            ));
        }
        audit.close();
        let flags = Verify { data: dir.path().to_owned(), checkpoints: Vec::new(), key: None, json: true };
        let report = check(&flags).unwrap();
        assert_eq!((report.records, report.checkpoints, report.findings.len()), (2, 1, 0));
        store
            .write_blocking(|tx| tx.execute_script("UPDATE audit_record SET record = REPLACE(record, 'Root', 'User')"))
            .unwrap();
        let json = report_json(&check(&flags).unwrap());
        assert_eq!(json["ok"], false);
        assert_eq!(json["findings"].as_array().map(Vec::len), Some(3), "{json}");
    }
}
