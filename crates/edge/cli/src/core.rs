//! `marram-core status|logs|config|why|doctor|sandbox`: what our own operations tell (`marram#...`).

use std::path::Path;

use clap::Subcommand;
use marram_obs::{errln, outln};
use serde_json::{Value, json};

use crate::client::{CliError, Client};
use crate::{deployment, log};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// How the core is.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Logs of the core and its components.
    #[command(subcommand)]
    Logs(log::Verb),
    /// Configuration of components.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Why the core is as a deployment left it; the one under way, or the last.
    Why {
        /// Id of a deployment, of its job, or the ARN of its configuration.
        deployment: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sandboxes of components.
    #[command(subcommand)]
    Sandbox(SandboxVerb),
    /// What is wrong and what to do about it; exit code 1 when there is an error.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigVerb {
    /// A value and where it came from.
    Explain {
        /// `component/key/key...`
        path: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum SandboxVerb {
    /// What a component used of its network and what it was refused since the core started; on standard output the `merge` of a
    /// deployment that would allow it. Nothing is changed.
    Learn {
        /// Name of the component.
        component: String,
        /// Everything that was seen, as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(root: &Path, verb: Verb) -> Result<(), CliError> {
    if let Verb::Logs(verb) = verb {
        return log::run(root, verb);
    }
    let mut client = Client::connect(root)?;
    match verb {
        Verb::Status { json } => status(&mut client, json),
        Verb::Logs(_) => Ok(()),
        Verb::Config(ConfigVerb::Explain { path, json }) => explain(&mut client, &path, json),
        Verb::Why { deployment, json } => why(&mut client, deployment, json),
        Verb::Doctor { json } => doctor(&mut client, json),
        Verb::Sandbox(SandboxVerb::Learn { component, json }) => learn(&mut client, &component, json),
    }
}

fn learn(client: &mut Client, component: &str, json: bool) -> Result<(), CliError> {
    let learned = client.call("marram#LearnSandbox", &json!({"componentName": component}))?;
    if json {
        outln!("{learned}");
        return Ok(());
    }
    match text(&learned["network"]) {
        "open" => {
            let what = "has the whole network, nothing is counted: deploy it with {\"marram\": {\"sandbox\": {\"egress\": \"learn\"}}}";
            return Err(CliError::Failed(format!("{component} {what} first")));
        }
        "none" => return Err(CliError::Failed(format!("{component} has no network"))),
        _ => {}
    }
    for seen in learned["seen"].as_array().into_iter().flatten() {
        let port = seen["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
        let reason = seen["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let (made, refused, failed) = (&seen["connections"], &seen["refused"], &seen["failed"]);
        errln!(
            "{}{port}: {made} connections, {refused} refused{reason}, {failed} without an answer",
            text(&seen["host"])
        );
    }
    for name in learned["namesWithoutPort"].as_array().into_iter().flatten() {
        errln!("{}: asked for by name; the port is not known, `\"egress\": \"learn\"` tells it", text(name));
    }
    outln!("{:#}", learned["merge"]);
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The line to the control plane in one sentence, and what more there is to say of one that is down.
fn line(answer: &Value) -> (String, Vec<String>) {
    let outage = &answer["outage"];
    match &answer["connected"] {
        Value::Bool(true) => return ("connected".to_owned(), Vec::new()),
        Value::Bool(false) if outage.is_object() => {}
        Value::Bool(false) => return ("not connected".to_owned(), Vec::new()),
        _ => return ("not configured".to_owned(), Vec::new()),
    }
    let since = text(&outage["since"]);
    let state = match outage["wasConnected"] {
        Value::Bool(true) => format!("not connected since {since}"),
        _ => format!("not connected yet, tried since {since}"),
    };
    let reason = outage["reason"].as_str().unwrap_or("it is being tried");
    let mut more: Vec<_> = outage["advice"].as_str().map(str::to_owned).into_iter().collect();
    let waiting = match (outage["waitingMessages"].as_u64(), &outage["waitingBytes"]) {
        (Some(1), bytes) => format!("1 message ({bytes} bytes) waits for it"),
        (Some(count), bytes) if count > 0 => format!("{count} messages ({bytes} bytes) wait for it"),
        _ => "what is published to it with QoS 1 is kept".to_owned(),
    };
    more.push(format!(
        "meanwhile: components run, local deployments and local messages go on; {waiting}, its deployments come when it is back"
    ));
    (format!("{state}: {reason}"), more)
}

fn component(details: &Value) {
    let codes: Vec<_> = details["statusCodes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let reason = [codes.join(" "), text(&details["statusReason"]).to_owned()].join(" ");
    let (name, version) = (text(&details["componentName"]), text(&details["version"]));
    outln!("{:<10} {name} {version} {}", text(&details["state"]), reason.trim());
}

/// A deployment as one line.
fn short(deployment: &Value) -> String {
    let (id, status) = (text(&deployment["deploymentId"]), text(&deployment["status"]));
    let details = &deployment["deploymentStatusDetails"];
    let mut line = format!("{id} {status}");
    for (before, word) in [
        (" ", text(&details["detailedDeploymentStatus"])),
        (" from ", text(&deployment["source"])),
        (", waits for ", text(&deployment["waitingFor"])),
        (": ", text(&details["deploymentFailureCause"])),
    ] {
        if !word.is_empty() {
            line.push_str(before);
            line.push_str(word);
        }
    }
    line
}

fn status(client: &mut Client, json: bool) -> Result<(), CliError> {
    let status = client.call("marram#Status", &json!({}))?;
    if json {
        outln!("{status}");
        return Ok(());
    }
    let (control_plane, more) = line(&status);
    outln!("control plane: {control_plane}");
    for words in more {
        outln!("  {words}");
    }
    outln!("deployments under way: {}", status["deploymentsUnderWay"]);
    for deployment in status["deployments"].as_array().into_iter().flatten() {
        outln!("  {}", short(deployment));
    }
    if status["lastDeployment"].is_object() {
        outln!("last deployment: {}", short(&status["lastDeployment"]));
    }
    let ipc = &status["ipc"];
    outln!(
        "ipc: {} connections, {} subscriptions, {} events lost",
        ipc["connections"],
        ipc["subscriptions"],
        ipc["dropped"]
    );
    status["components"].as_array().into_iter().flatten().for_each(component);
    Ok(())
}

fn explain(client: &mut Client, path: &str, json: bool) -> Result<(), CliError> {
    let mut keys = path.split('/').filter(|key| !key.is_empty());
    let Some(name) = keys.next() else {
        return Err(CliError::Usage("the path starts with the name of a component".to_owned()));
    };
    let request = json!({"componentName": name, "keyPath": keys.collect::<Vec<_>>()});
    let found = client.call("marram#ExplainConfiguration", &request)?;
    if json {
        outln!("{found}");
        return Ok(());
    }
    outln!("{}", found["value"]);
    for origin in found["origins"].as_array().into_iter().flatten() {
        let keys: Vec<_> = origin["keyPath"].as_array().into_iter().flatten().map(text).collect();
        let time = origin["timestamp"].as_i64().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
        let time = time.map_or_else(|| "unknown time".to_owned(), |time| time.to_string());
        outln!("  {}  {time}  {}", keys.join("/"), origin["source"].as_str().unwrap_or("unknown source"));
    }
    Ok(())
}

fn why(client: &mut Client, id: Option<String>, json: bool) -> Result<(), CliError> {
    let why = client.call("marram#WhyDeployment", &json!({"deploymentId": id}))?;
    if json {
        outln!("{why}");
        return Ok(());
    }
    deployment::print(&why["deployment"]);
    for (label, member) in [("From", "source"), ("Configuration", "configurationArn"), ("Job", "jobId")] {
        if let Some(value) = why["deployment"][member].as_str() {
            outln!("    {label}: {value}");
        }
    }
    for note in why["deployment"]["notes"].as_array().into_iter().flatten() {
        outln!("    Note: {}", text(note));
    }
    if let Some(waiting) = why["waitingFor"].as_str() {
        outln!("    Waiting for: {waiting}");
    }
    outln!("    Control plane: {}", line(&why).0);
    why["troubledComponents"].as_array().into_iter().flatten().for_each(component);
    Ok(())
}

fn doctor(client: &mut Client, json: bool) -> Result<(), CliError> {
    let answer = client.call("marram#Diagnose", &json!({}))?;
    let findings = answer["findings"].as_array().cloned().unwrap_or_default();
    if json {
        outln!("{answer}");
    } else if findings.is_empty() {
        outln!("nothing found");
    } else {
        for finding in &findings {
            outln!("{}: {}", text(&finding["severity"]), text(&finding["finding"]));
            outln!("    {}", text(&finding["advice"]));
        }
    }
    let errors = findings.iter().filter(|finding| finding["severity"] == "error").count();
    if errors == 0 { Ok(()) } else { Err(CliError::Failed(format!("{errors} errors"))) }
}

/// `get-debug-password`.
pub(crate) fn debug_password(client: &mut Client) -> Result<(), CliError> {
    let made = client.call("CreateDebugPassword", &json!({}))?;
    outln!("Username: {}", text(&made["username"]));
    outln!("Password: {}", text(&made["password"]));
    if let Some(time) = made["passwordExpiration"].as_i64().and_then(|time| jiff::Timestamp::from_second(time).ok()) {
        outln!("Password will expire at: {time}");
    }
    for (label, member) in [("SHA-256", "certificateSHA256Hash"), ("SHA-1", "certificateSHA1Hash")] {
        if let Some(print) = made[member].as_str() {
            outln!("{label}: {print}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.1, 9.6: whoever asks how the core is hears of a line that is down since when, why, what to look at and what goes on.
    #[test]
    fn a_line_is_told_with_its_reason() {
        let down = |was_up: bool, count: u64| {
            json!({"connected": false, "outage": {"since": "2026-03-02T08:14:02Z", "wasConnected": was_up, "kind": "refused",
                "reason": "nobody listens at h:8883", "detail": "Connection refused (os error 111)", "advice": "look there",
                "waitingMessages": count, "waitingBytes": 96}})
        };
        let goes_on = |waiting: &str| {
            format!(
                "meanwhile: components run, local deployments and local messages go on; {waiting}, its deployments come when it is back"
            )
        };
        let trying = json!({"connected": false, "outage": {"since": "2026-03-02T08:14:02Z", "wasConnected": false, "waitingMessages": 0}});
        let look = "look there".to_owned();
        #[rustfmt::skip]
        let table = [
            (json!({"connected": true, "outage": null}), "connected", vec![]),
            (json!({"connected": null}), "not configured", vec![]),
            // an older core
            (json!({"connected": false}), "not connected", vec![]),
            (down(true, 1), "not connected since 2026-03-02T08:14:02Z: nobody listens at h:8883", vec![look.clone(), goes_on("1 message (96 bytes) waits for it")]),
            (down(false, 7), "not connected yet, tried since 2026-03-02T08:14:02Z: nobody listens at h:8883", vec![look, goes_on("7 messages (96 bytes) wait for it")]),
            (trying, "not connected yet, tried since 2026-03-02T08:14:02Z: it is being tried", vec![goes_on("what is published to it with QoS 1 is kept")]),
        ];
        for (answer, sentence, more) in table {
            assert_eq!(line(&answer), (sentence.to_owned(), more));
        }
    }
}
