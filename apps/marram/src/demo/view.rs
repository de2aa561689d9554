//! The live view: devices, deployments and the latest executions; a table on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Duration;

use marram_aws_api::ServiceId::ThingsGraph;
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::caller::Caller;
use super::children::{Board, Line};

/// How often the view looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Executions shown per deployment.
const SHOWN_EXECUTIONS: usize = 4;

/// What the view shows of a deployment.
#[derive(Debug, Clone, PartialEq)]
struct Deployment {
    id: String,
    target: String,
    status: String,
    executions: Vec<Execution>,
}

#[derive(Debug, Clone, PartialEq)]
struct Execution {
    id: String,
    flow: String,
    status: String,
    created: f64,
    updated: f64,
}

/// Shows the demo until it is aborted.
pub(super) async fn run(caller: Arc<Caller>, board: Board) {
    let on_terminal = std::io::stdout().is_terminal();
    let mut told = Told::default();
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tick.tick().await;
        let (devices, deployments) = (board.lines(), deployments(&caller).await);
        let text = if on_terminal { table(&devices, &deployments) } else { told.news(&devices, &deployments) };
        if !text.is_empty() {
            let mut out = std::io::stdout().lock();
            // A closed terminal is no reason to stop the installation.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

async fn deployments(caller: &Caller) -> Vec<Deployment> {
    let answer = caller.call(ThingsGraph, "SearchSystemInstances", json!({})).await.unwrap_or_default();
    let mut all = Vec::new();
    for summary in answer["summaries"].as_array().into_iter().flatten() {
        let id = text(summary, "id");
        let input = json!({"systemInstanceId": id, "maxResults": SHOWN_EXECUTIONS});
        let found = caller.call(ThingsGraph, "SearchFlowExecutions", input).await.unwrap_or_default();
        let executions = found["summaries"].as_array().into_iter().flatten().map(|one| Execution {
            id: text(one, "flowExecutionId"),
            flow: text(one, "flowTemplateId"),
            status: text(one, "status"),
            created: one["createdAt"].as_f64().unwrap_or_default(),
            updated: one["updatedAt"].as_f64().unwrap_or_default(),
        });
        let (status, target) = (text(summary, "status"), text(summary, "target"));
        all.push(Deployment { status, target, executions: executions.collect(), id });
    }
    all
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// The whole screen: cursor home, each line cleared to its end, the rest below cleared.
fn table(devices: &[Line], deployments: &[Deployment]) -> String {
    let mut lines = vec![format!("{:<22} {:<14} {:<6} {:<8} LAST", "DEVICE", "KIND", "AT", "STATE")];
    for device in devices {
        lines.push(format!(
            "{:<22} {:<14} {:<6} {:<8} {}",
            device.name,
            device.kind,
            device.place,
            state(device),
            device.last.as_ref().map(sentence).unwrap_or_default()
        ));
    }
    lines.extend([String::new(), format!("{:<22} {:<12} {:<20} EXECUTIONS", "DEPLOYMENT", "TARGET", "STATUS")]);
    for deployment in deployments {
        lines.push(format!("{:<22} {:<12} {:<20}", short(&deployment.id), deployment.target, deployment.status));
        for execution in &deployment.executions {
            lines.push(format!("{:<22} {:<12} {:<20} {}", "", "", short(&execution.flow), outcome(execution)));
        }
    }
    let mut screen = String::from("\x1b[H");
    for line in lines {
        let _ = write!(screen, "{line}\x1b[K\r\n");
    }
    screen.push_str("\x1b[J");
    screen
}

/// What was said already, so that lines tell news only.
#[derive(Debug, Default)]
struct Told {
    devices: BTreeMap<String, &'static str>,
    deployments: BTreeMap<String, String>,
    executions: BTreeMap<String, String>,
}

impl Told {
    fn news(&mut self, devices: &[Line], deployments: &[Deployment]) -> String {
        let mut text = String::new();
        for device in devices {
            let state = state(device);
            if self.devices.insert(device.name.clone(), state) != Some(state) {
                let _ = writeln!(text, "device {} {state}", device.name);
            }
        }
        let mut executions = BTreeMap::new();
        for deployment in deployments {
            let status = deployment.status.clone();
            if self.deployments.insert(deployment.id.clone(), status.clone()).as_ref() != Some(&status) {
                let _ = writeln!(text, "deployment {} {} {status}", short(&deployment.id), deployment.target);
            }
            for execution in deployment.executions.iter().rev() {
                if self.executions.get(&execution.id) != Some(&execution.status) {
                    let _ = writeln!(
                        text,
                        "execution {} {} {}",
                        short(&execution.flow),
                        deployment.target,
                        outcome(execution)
                    );
                }
                executions.insert(execution.id.clone(), execution.status.clone());
            }
        }
        // Only what can come up again is remembered.
        self.executions = executions;
        text
    }
}

fn state(device: &Line) -> &'static str {
    match (device.is_ready, device.restarts) {
        (true, _) => "up",
        (false, 0) => "starting",
        (false, _) => "down",
    }
}

/// `{"event":"captured","uri":"x"}` as `captured uri=x`.
fn sentence(event: &Value) -> String {
    let mut words = vec![event["event"].as_str().unwrap_or_default().to_owned()];
    for (name, value) in event.as_object().into_iter().flatten().filter(|(name, _)| *name != "event") {
        words.push(match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => format!("{name}={value}"),
        });
    }
    words.join(" ").chars().filter(|c| !c.is_control()).take(60).collect()
}

/// `SUCCEEDED 12:30:05 18 ms`.
fn outcome(execution: &Execution) -> String {
    let clock = Timestamp::from_epoch_seconds(execution.created).unwrap_or_default().rfc3339();
    let clock = clock.get(11..19).unwrap_or_default();
    let millis = ((execution.updated - execution.created).max(0.0) * 1000.0).round();
    format!("{:<9} {clock} {millis} ms", execution.status)
}

/// The last part of an id.
fn short(id: &str) -> &str {
    id.rsplit(':').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(is_ready: bool) -> Line {
        let last = Some(json!({"event": "captured", "uri": "x\u{1b}[2J"}));
        Line { name: "demo-camera".to_owned(), kind: "camera", is_ready, last, ..Line::default() }
    }

    fn deployment(status: &str) -> Deployment {
        let execution = Execution {
            id: "1".to_owned(),
            flow: "urn:tdm:r/a/default:Workflow:MotionAlert".to_owned(),
            status: status.to_owned(),
            created: 1_772_439_242.0,
            updated: 1_772_439_242.018,
        };
        let id = "urn:tdm:r/a/default:Deployment:Lobby".to_owned();
        let (status, target) = ("DEPLOYED_IN_TARGET".to_owned(), "CLOUD".to_owned());
        Deployment { id, status, target, executions: vec![execution] }
    }

    /// Elsewhere than on a terminal each change is one line, and nothing is said twice.
    #[test]
    fn lines_tell_news_only() {
        let mut told = Told::default();
        let first = told.news(&[device(true)], &[deployment("RUNNING")]);
        assert_eq!(
            first,
            "device demo-camera up\ndeployment Lobby CLOUD DEPLOYED_IN_TARGET\n\
             execution MotionAlert CLOUD RUNNING   08:14:02 18 ms\n"
        );
        assert_eq!(told.news(&[device(true)], &[deployment("RUNNING")]), "");
        assert_eq!(
            told.news(&[device(true)], &[deployment("SUCCEEDED")]),
            "execution MotionAlert CLOUD SUCCEEDED 08:14:02 18 ms\n"
        );
    }

    /// What a device says cannot drive the terminal.
    #[test]
    fn the_table_holds_no_control_characters_of_devices() {
        let screen = table(&[device(true)], &[deployment("SUCCEEDED")]);
        assert!(screen.contains("captured uri=x[2J"), "{screen}");
        assert_eq!(screen.matches("\x1b[2J").count(), 0);
    }
}
