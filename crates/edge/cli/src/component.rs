//! `component list|details|restart|stop`.

use clap::Subcommand;
use marram_obs::outln;
use serde_json::{Value, json};

use crate::client::{CliError, Client};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Name, version, state and configuration of every component.
    List,
    /// The same of one component.
    Details {
        #[arg(short, long)]
        name: String,
    },
    /// Restarts components.
    Restart {
        #[arg(short, long, value_delimiter = ',', required = true)]
        names: Vec<String>,
    },
    /// Stops components.
    Stop {
        #[arg(short, long, value_delimiter = ',', required = true)]
        names: Vec<String>,
    },
}

pub(crate) fn run(client: &mut Client, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::List => {
            let listed = client.call("ListComponents", &json!({}))?;
            outln!("Components currently running in Greengrass:");
            for component in listed["components"].as_array().into_iter().flatten() {
                print(component);
            }
            Ok(())
        }
        Verb::Details { name } => {
            let found = client.call("GetComponentDetails", &json!({"componentName": name}))?;
            print(&found["componentDetails"]);
            Ok(())
        }
        Verb::Restart { names } => command(client, &names, "RestartComponent", "restartStatus"),
        Verb::Stop { names } => command(client, &names, "StopComponent", "stopStatus"),
    }
}

fn print(component: &Value) {
    let text = |member: &str| component[member].as_str().unwrap_or_default().to_owned();
    outln!("Component Name: {}", text("componentName"));
    outln!("    Version: {}", text("version"));
    outln!("    State: {}", text("state"));
    outln!("    Configuration: {}", component.get("configuration").unwrap_or(&Value::Null));
}

/// All are tried; one that fails makes the command fail.
fn command(client: &mut Client, names: &[String], operation: &str, member: &str) -> Result<(), CliError> {
    let mut failed = Vec::new();
    for name in names {
        match client.call(operation, &json!({"componentName": name})) {
            Ok(answer) if answer[member] == "SUCCEEDED" => outln!("{name}: SUCCEEDED"),
            Ok(answer) => failed.push(format!("{name}: {}", answer["message"].as_str().unwrap_or("FAILED"))),
            Err(error @ CliError::Answered { .. }) => failed.push(format!("{name}: {error}")),
            Err(error) => return Err(error),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::Failed(failed.join("\n"))) }
}
