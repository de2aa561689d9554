//! `marram tdm check` and `marram tdm fmt`: the TDM compiler and formatter on files, without a server.
//!
//! Exit codes: 0 accepted or formatted, 1 a document has errors or (with `--check`) another layout, 2 wrong arguments
//! or a file that cannot be read or written.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use marram_diag::Colour;
use marram_obs::{err, errln, out, outln};
use marram_tdm::cli::{Formatted, Output, SourceFile, check_files, format_file};
use marram_tdm::model::Namespace;
use marram_tdm::syntax::FormatOptions;

use super::EXIT_USAGE;

/// A document has errors, or another layout than `fmt` gives it.
const EXIT_REFUSED: u8 = 1;

/// Most bytes read of one file; a document of the greatest length in the widest characters fits.
const MAX_FILE_BYTES: u64 = 4 * 1_048_576;

/// Verbs of `marram tdm`.
#[derive(Debug, Subcommand)]
pub enum Tdm {
    /// Check documents together: entities, flows, systems, deployments, against the public library.
    Check(Check),
    /// Give documents the one layout; comments stay.
    Fmt(Fmt),
}

/// Flags of `marram tdm check`.
#[derive(Debug, Args)]
pub struct Check {
    /// One JSON object per finding and line.
    #[arg(long)]
    pub json: bool,
    /// Colours in the text form.
    #[arg(long, value_enum, default_value_t = ColourWhen::Auto)]
    pub color: ColourWhen,
    /// Ids must lie in this namespace, REGION/ACCOUNT/default; without it they may lie anywhere.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Documents; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
}

/// Flags of `marram tdm fmt`.
#[derive(Debug, Args)]
pub struct Fmt {
    /// Write nothing; exit 1 and name the files that have another layout.
    #[arg(long)]
    pub check: bool,
    /// Turn typographic quotes that were meant as quotes into plain ones.
    #[arg(long)]
    pub repair_quotes: bool,
    /// Documents, rewritten in place; `-` goes from standard input to standard output.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
}

/// When text carries colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColourWhen {
    /// When standard error is a terminal and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Runs the verb.
pub fn run(verb: &Tdm) -> anyhow::Result<ExitCode> {
    let outcome = match verb {
        Tdm::Check(flags) => check(flags),
        Tdm::Fmt(flags) => fmt(flags),
    };
    // an unreadable file is the caller's argument, whatever made it unreadable
    Ok(outcome.unwrap_or_else(|error| {
        errln!("marram: {}", super::one_line(&error));
        ExitCode::from(EXIT_USAGE)
    }))
}

fn check(flags: &Check) -> anyhow::Result<ExitCode> {
    let namespace = flags.namespace.as_deref().map(namespace).transpose()?;
    let files = flags.files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let output = if flags.json { Output::Json } else { Output::Text(colour(flags.color)) };
    let report = check_files(&files, namespace, output);
    if flags.json {
        out!("{}", report.text);
    } else {
        err!("{}", report.text);
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let (errors, warnings) = (count(report.errors, "error"), count(report.warnings, "warning"));
        errln!("{}: {errors}, {warnings}", count(files.len(), "file"));
    }
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

fn fmt(flags: &Fmt) -> anyhow::Result<ExitCode> {
    let options = FormatOptions { repair_quotes: flags.repair_quotes };
    let mut is_clean = true;
    for path in &flags.files {
        let file = read(path)?;
        match format_file(&file, options, Output::Text(colour(ColourWhen::Auto))) {
            Formatted::Same if path == "-" && !flags.check => out!("{}", file.text),
            Formatted::Same => {}
            Formatted::Changed(_) if flags.check => {
                outln!("{path}");
                is_clean = false;
            }
            Formatted::Changed(text) if path == "-" => out!("{text}"),
            Formatted::Changed(text) => replace(path, &text)?,
            Formatted::Refused(report) => {
                err!("{}", report.text);
                is_clean = false;
            }
        }
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

fn namespace(text: &str) -> anyhow::Result<Namespace> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [region, account, "default"] => Ok(Namespace::private(region, account)),
        ["aws"] => Ok(Namespace::public()),
        _ => anyhow::bail!("--namespace is REGION/ACCOUNT/default"),
    }
}

fn read(path: &str) -> anyhow::Result<SourceFile> {
    let mut bytes = Vec::new();
    let mut take = |source: &mut dyn Read| source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    let read = match path {
        "-" => take(&mut std::io::stdin().lock()),
        _ => std::fs::File::open(path).and_then(|mut file| take(&mut file)),
    };
    read.with_context(|| format!("cannot read {path}"))?;
    anyhow::ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "{path} is longer than a document may be");
    let text = String::from_utf8(bytes).with_context(|| format!("{path} is not UTF-8"))?;
    Ok(SourceFile { path: path.to_owned(), text })
}

/// Puts `text` in place of the file, whole or not at all.
fn replace(path: &str, text: &str) -> anyhow::Result<()> {
    let beside = format!("{path}.marram-fmt");
    let write = || -> std::io::Result<()> {
        let permissions = std::fs::metadata(path)?.permissions();
        let mut file = std::fs::File::create_new(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(permissions)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write()
        .inspect_err(|_| {
            let _ = std::fs::remove_file(&beside);
        })
        .with_context(|| format!("cannot rewrite {path}"))
}

fn colour(when: ColourWhen) -> Colour {
    let is_wanted = match when {
        ColourWhen::Always => true,
        ColourWhen::Never => false,
        ColourWhen::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal(),
    };
    if is_wanted { Colour::On } else { Colour::Off }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Tdm,
    }

    fn run_line(line: &[&str]) -> ExitCode {
        run(&Line::try_parse_from(std::iter::once("tdm").chain(line.iter().copied())).unwrap().verb).unwrap()
    }

    const GOOD: &str = "type A @propertyType(id: \"urn:tdm:eu-local-1/1/default:Property:A\", dataType: string) {}\n";

    /// TG section 8, 2.1: what `check` and `fmt` answer with, by exit code, and what they leave in the file.
    #[test]
    fn exit_codes_tell_accepted_refused_and_unreadable_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let good = file("good.tdm", GOOD);
        let bad = file("bad.tdm", "type A @propertyType(id: \"x\") {}\n");
        let loose = file("loose.tdm", &GOOD.replace(": ", " :   "));
        let quotes = file("quotes.tdm", &GOOD.replace('"', "\u{201D}"));
        let missing = dir.path().join("missing.tdm").to_str().unwrap().to_owned();
        let (accepted, refused, usage) = (ExitCode::SUCCESS, ExitCode::from(1), ExitCode::from(2));
        for (line, wanted) in [
            (&["check", &good][..], accepted),
            (&["check", "--json", &good, &bad], refused),
            (&["check", "--namespace", "eu-local-1/2/default", &good], refused),
            (&["check", "--namespace", "nowhere", &good], usage),
            (&["check", &missing], usage),
            (&["fmt", "--check", &good], accepted),
            (&["fmt", "--check", &loose], refused),
            (&["fmt", &loose], accepted),
            (&["fmt", "--check", &loose], accepted),
            (&["fmt", &quotes], refused),
            (&["fmt", "--repair-quotes", &quotes], accepted),
            (&["check", &quotes], accepted),
        ] {
            assert_eq!(format!("{:?}", run_line(line)), format!("{wanted:?}"), "{line:?}");
        }
        assert_eq!(std::fs::read_to_string(&loose).unwrap(), GOOD);
        assert_eq!(std::fs::read_to_string(&quotes).unwrap(), GOOD);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
