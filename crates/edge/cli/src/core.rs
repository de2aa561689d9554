//! `marram-core status|logs|config|why|doctor`: what our own operations tell (`marram#...`).

use std::path::Path;

use clap::Subcommand;
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
        /// Id of a local deployment.
        deployment: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
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
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn line(connected: &Value) -> &'static str {
    match connected {
        Value::Bool(true) => "connected",
        Value::Bool(false) => "not connected",
        _ => "not configured",
    }
}

fn component(details: &Value) {
    let codes: Vec<_> = details["statusCodes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let reason = [codes.join(" "), text(&details["statusReason"]).to_owned()].join(" ");
    let (name, version) = (text(&details["componentName"]), text(&details["version"]));
    println!("{:<10} {name} {version} {}", text(&details["state"]), reason.trim());
}

fn status(client: &mut Client, json: bool) -> Result<(), CliError> {
    let status = client.call("marram#Status", &json!({}))?;
    if json {
        println!("{status}");
        return Ok(());
    }
    println!("control plane: {}", line(&status["connected"]));
    println!("deployments under way: {}", status["deploymentsUnderWay"]);
    let ipc = &status["ipc"];
    println!(
        "ipc: {} connections, {} subscriptions, {} events lost",
        ipc["connections"], ipc["subscriptions"], ipc["dropped"]
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
        println!("{found}");
        return Ok(());
    }
    println!("{}", found["value"]);
    for origin in found["origins"].as_array().into_iter().flatten() {
        let keys: Vec<_> = origin["keyPath"].as_array().into_iter().flatten().map(text).collect();
        let time = origin["timestamp"].as_i64().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
        let time = time.map_or_else(|| "unknown time".to_owned(), |time| time.to_string());
        println!("  {}  {time}  {}", keys.join("/"), origin["source"].as_str().unwrap_or("unknown source"));
    }
    Ok(())
}

fn why(client: &mut Client, id: Option<String>, json: bool) -> Result<(), CliError> {
    let why = client.call("marram#WhyDeployment", &json!({"deploymentId": id}))?;
    if json {
        println!("{why}");
        return Ok(());
    }
    deployment::print(&why["deployment"]);
    if let Some(waiting) = why["waitingFor"].as_str() {
        println!("    Waiting for: {waiting}");
    }
    println!("    Control plane: {}", line(&why["connected"]));
    why["troubledComponents"].as_array().into_iter().flatten().for_each(component);
    Ok(())
}

fn doctor(client: &mut Client, json: bool) -> Result<(), CliError> {
    let answer = client.call("marram#Diagnose", &json!({}))?;
    let findings = answer["findings"].as_array().cloned().unwrap_or_default();
    if json {
        println!("{answer}");
    } else if findings.is_empty() {
        println!("nothing found");
    } else {
        for finding in &findings {
            println!("{}: {}", text(&finding["severity"]), text(&finding["finding"]));
            println!("    {}", text(&finding["advice"]));
        }
    }
    let errors = findings.iter().filter(|finding| finding["severity"] == "error").count();
    if errors == 0 { Ok(()) } else { Err(CliError::Failed(format!("{errors} errors"))) }
}

/// `get-debug-password`.
pub(crate) fn debug_password(client: &mut Client) -> Result<(), CliError> {
    let made = client.call("CreateDebugPassword", &json!({}))?;
    println!("Username: {}", text(&made["username"]));
    println!("Password: {}", text(&made["password"]));
    if let Some(time) = made["passwordExpiration"].as_i64().and_then(|time| jiff::Timestamp::from_second(time).ok()) {
        println!("Password will expire at: {time}");
    }
    for (label, member) in [("SHA-256", "certificateSHA256Hash"), ("SHA-1", "certificateSHA1Hash")] {
        if let Some(print) = made[member].as_str() {
            println!("{label}: {print}");
        }
    }
    Ok(())
}
