//! `marram flow simulate`: runs a flow document against scripted devices on virtual time and prints what happens.
//!
//! Nothing is deployed and nothing waits: a day of retries takes milliseconds. The script's lines are described in
//! `marram_flow::simulate`. Exit codes: 0 every execution succeeded, 1 one did not, 2 a document or the script is wrong: a line
//! that is none, or one with a name that the flow, its things and services do not have. Answers that were never given are warnings.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use marram_diag::{Colour, Diagnostic};
use marram_flow::lower::{BoundFlow, BoundThing, place};
use marram_flow::simulate::{EPOCH, Script, Timeline, simulate, unknown_names};
use marram_flow::{Site, Status};
use marram_obs::{err, errln, outln};
use marram_tdm::check::{CheckOptions, EntitySource, Layered, check, check_flow};
use marram_tdm::library;
use marram_tdm::model::{Model, Urn};

use super::EXIT_USAGE;

/// Verbs of `marram flow`.
#[derive(Debug, Subcommand)]
pub enum FlowVerb {
    /// Run a flow against scripted devices on virtual time.
    Simulate(Simulate),
}

/// Flags of `marram flow simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The flow document: exactly one `@workflowType`.
    pub file: PathBuf,
    /// The script: JSON lines of things, triggers, starts, events and answers.
    #[arg(long, value_name = "FILE")]
    pub events: PathBuf,
    /// Documents of the entities the flow uses besides the public library. May be repeated.
    #[arg(long = "entities", value_name = "FILE")]
    pub entities: Vec<PathBuf>,
    /// Print one JSON object a line instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
pub fn run(verb: &FlowVerb) -> anyhow::Result<ExitCode> {
    let FlowVerb::Simulate(flags) = verb;
    let Some(timeline) = run_simulation(flags)? else { return Ok(ExitCode::from(EXIT_USAGE)) };
    if flags.json {
        print_json(&timeline)?
    } else {
        print_table(&timeline)
    }
    let failed = timeline.executions.iter().any(|run| matches!(run.status, Status::Failed | Status::Aborted));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `None`: a document or the script is wrong, and standard error says what.
fn run_simulation(flags: &Simulate) -> anyhow::Result<Option<Timeline>> {
    let text = read(&flags.file)?;
    let (region, account) = home(&text);
    let options = CheckOptions::private(&region, &account);
    let Some(own) = entities(&flags.entities, &options)? else { return Ok(None) };
    let source = Layered { own: &own, public: library::public() };
    let outcome = check_flow(&text, &source, &options);
    show(&outcome.diagnostics, &flags.file, &text);
    let Some(flow) = outcome.value else { return Ok(None) };
    let script = match Script::parse(&read(&flags.events)?) {
        Ok(script) => script,
        Err(error) => {
            errln!("marram: {}: {error}", flags.events.display());
            return Ok(None);
        }
    };
    let mut things = Vec::with_capacity(script.things.len());
    for thing in &script.things {
        let device = Urn::parse(&thing.device).with_context(|| format!("thing `{}`", thing.thing))?;
        // Modbus calls are answered by the script; the address only keeps calls of one thing in line.
        let modbus_endpoint = Some(format!("{}:502", thing.thing).into());
        things.push(BoundThing { role: thing.role.clone(), thing: thing.thing.clone(), device, modbus_endpoint });
    }
    let home = format!("urn:tdm:{region}/{account}/default");
    let site = Site::new(
        region.as_str(),
        account.as_str(),
        format!("{home}:Deployment:Simulation"),
        format!("{home}:System:Simulation"),
    );
    let flow = BoundFlow { role: flow.name.clone(), flow: Arc::new(flow), revision: 1 };
    let snapshot = place(&|id| source.entity(id), site, &[flow], &things)?;
    let unknown = unknown_names(&snapshot, &script);
    if !unknown.is_empty() {
        for error in unknown {
            errln!("marram: {}: {error}", flags.events.display());
        }
        return Ok(None);
    }
    match simulate(&snapshot, &script) {
        Ok(timeline) => {
            for line in &timeline.unused {
                errln!("marram: {}: warning: line {line}: no call was given this answer", flags.events.display());
            }
            Ok(Some(timeline))
        }
        Err(fault) => {
            errln!("marram: {}: {}", flags.events.display(), fault.message);
            Ok(None)
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Region and account of the namespace the flow's id lies in.
fn home(text: &str) -> (String, String) {
    let lower = text.to_ascii_lowercase();
    let namespace = lower.find(":workflow:").and_then(|end| {
        let start = lower[..end].rfind("urn:tdm:")?;
        Some(&lower[start + "urn:tdm:".len()..end])
    });
    let mut parts = namespace.unwrap_or_default().split('/');
    match (parts.next(), parts.next()) {
        (Some(region), Some(account)) if !region.is_empty() => (region.to_owned(), account.to_owned()),
        _ => ("us-east-1".to_owned(), "000000000000".to_owned()),
    }
}

/// The entities of the given documents, checked together.
fn entities(paths: &[PathBuf], options: &CheckOptions) -> anyhow::Result<Option<Model>> {
    let texts = paths.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let checked = check(&borrowed, library::public(), options);
    for (index, (path, text)) in paths.iter().zip(&texts).enumerate() {
        let own: Vec<Diagnostic> =
            checked.diagnostics.iter().filter(|found| found.source as usize == index).cloned().collect();
        show(&own, path, text);
    }
    Ok(checked.is_ok().then_some(checked.model))
}

fn show(diagnostics: &[Diagnostic], path: &Path, text: &str) {
    if !diagnostics.is_empty() {
        err!("{}", marram_diag::render_all(diagnostics, &path.display().to_string(), text, Colour::Off));
    }
}

fn print_table(timeline: &Timeline) {
    let mut problems = timeline.problems.iter().peekable();
    for line in &timeline.lines {
        while let Some((at, problem)) = problems.next_if(|(at, _)| *at <= line.at) {
            outln!("{:>10}  --  {problem}", clock(*at));
        }
        outln!("{:>10}  #{:<3} {:<30} {}", clock(line.at), line.execution, line.event_type, line.payload.get());
    }
    for (at, problem) in problems {
        outln!("{:>10}  --  {problem}", clock(*at));
    }
    outln!();
    for (index, run) in timeline.executions.iter().enumerate() {
        let error = run.error.as_ref().map_or_else(String::new, |error| format!("  {}: {}", error.name, error.message));
        outln!("#{:<3} {:<9} {}{error}", index + 1, run.status.as_str(), run.trigger);
    }
}

/// Virtual milliseconds as `+s.mmm`.
fn clock(at: u64) -> String {
    format!("+{}.{:03}", at / 1_000, at % 1_000)
}

fn print_json(timeline: &Timeline) -> anyhow::Result<()> {
    for line in &timeline.lines {
        outln!("{}", serde_json::to_string(line)?);
    }
    for (at, problem) in &timeline.problems {
        outln!("{}", serde_json::json!({"at": at, "problem": problem}));
    }
    for (index, run) in timeline.executions.iter().enumerate() {
        outln!("{}", serde_json::json!({"execution": index + 1, "ended": run, "epoch": EPOCH}));
    }
    Ok(())
}
