//! The demo's processes: started, listened to, restarted when they die, stopped with the demo.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::DemoOptions;
use super::bootstrap::{MqttDevice, Place};

/// How long a process has to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a process has to end by itself once its standard input is closed.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits between restarts: doubled each time, back to the first after a run that lasted.
const RESTART_FIRST: Duration = Duration::from_millis(500);
const RESTART_MAX: Duration = Duration::from_secs(10);

/// How often a file that is waited for is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// A process to run.
#[derive(Debug, Clone)]
pub(super) struct Program {
    name: String,
    kind: &'static str,
    place: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    /// It is not started before this file is there.
    waits_for: Option<PathBuf>,
}

/// What is known of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Thing name, or what it is.
    pub(super) name: String,
    /// `camera`, `modbus`, ..
    pub(super) kind: &'static str,
    /// Whose device it is: `cloud` or `core`.
    pub(super) place: &'static str,
    /// Running, in the sense that it said so.
    pub(super) is_ready: bool,
    /// Times it was started again.
    pub(super) restarts: u32,
    /// The last thing it said.
    pub(super) last: Option<Value>,
}

/// Everything known of all processes, for the view.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    lines: Arc<Mutex<Vec<Line>>>,
}

/// The processes.
#[derive(Debug)]
pub(super) struct Children {
    board: Board,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Default for Children {
    fn default() -> Self {
        Self { board: Board::default(), tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }
}

impl Program {
    /// The process of one MQTT device that connects to `endpoint` and trusts `ca_file`.
    pub(super) fn device(options: &DemoOptions, device: &MqttDevice, endpoint: &str, ca_file: &Path) -> Self {
        let folder = options.folder.join(device.thing);
        let file = |name: &str| folder.join(name).display().to_string();
        let arguments = [
            ("--kind", device.kind.to_owned()),
            ("--thing", device.thing.to_owned()),
            ("--endpoint", endpoint.to_owned()),
            ("--ca", ca_file.display().to_string()),
            ("--cert", file("certificate.pem")),
            ("--key", file("key.pem")),
        ];
        let mut all = vec!["demo".to_owned(), "device".to_owned(), "--until-stdin-closes".to_owned()];
        all.extend(arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        Self {
            name: device.thing.to_owned(),
            kind: device.kind,
            place: device.place.as_str(),
            path: options.program.clone(),
            arguments: all,
            waits_for: Some(ca_file.to_owned()),
        }
    }

    fn modbus(options: &DemoOptions, listen: &str) -> Self {
        let arguments = ["demo", "modbus", "--until-stdin-closes", "--listen", listen];
        Self {
            name: "sprinkler controller".to_owned(),
            kind: "modbus",
            place: Place::Cloud.as_str(),
            path: options.program.clone(),
            arguments: arguments.map(str::to_owned).to_vec(),
            waits_for: None,
        }
    }

    fn spawn(&self) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
        let mut child = Command::new(&self.path)
            // Ctrl-C on the terminal is for the parent, which then stops its devices in order.
            .process_group(0)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        let out = child.stdout.take().context("the process has no standard output")?;
        Ok((child, BufReader::new(out).lines()))
    }
}

impl Children {
    /// What the view shows.
    pub(super) fn board(&self) -> Board {
        self.board.clone()
    }

    /// Starts the Modbus controller, at the address it had before if that is free; answers its address.
    pub(super) async fn start_modbus(&mut self, options: &DemoOptions) -> anyhow::Result<String> {
        let remembered = options.folder.join("modbus-address");
        let before = std::fs::read_to_string(&remembered).ok().filter(|address| !address.trim().is_empty());
        let mut attempts = before.into_iter().chain(["127.0.0.1:0".to_owned()]);
        let (address, child, lines) = loop {
            let Some(listen) = attempts.next() else { bail!("the Modbus controller does not start") };
            let (child, mut lines) = Program::modbus(options, listen.trim()).spawn()?;
            let first = tokio::time::timeout(READY_TIMEOUT, lines.next_line()).await;
            let ready =
                first.ok().and_then(Result::ok).flatten().and_then(|line| serde_json::from_str::<Value>(&line).ok());
            if let Some(address) = ready.as_ref().and_then(|ready| ready["modbus"].as_str()) {
                break (address.to_owned(), child, lines);
            }
        };
        crate::data_dir::write_private(&remembered, address.as_bytes())?;
        self.watch(Program::modbus(options, &address), Some((child, lines)));
        Ok(address)
    }

    /// Keeps a process running until [`Children::stop`].
    pub(super) fn supervise(&mut self, program: Program) {
        self.watch(program, None);
    }

    fn watch(&mut self, program: Program, running: Option<(Child, Lines<BufReader<ChildStdout>>)>) {
        let row = self.board.add(&program, running.is_some());
        self.tasks.spawn(keep(program, running, self.board.clone(), row, self.stop.subscribe()));
    }

    /// Closes every process's standard input, waits, and kills what is left.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Board {
    /// A copy of everything.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, program: &Program, is_ready: bool) -> usize {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(Line {
            name: program.name.clone(),
            kind: program.kind,
            place: program.place,
            is_ready,
            ..Line::default()
        });
        lines.len() - 1
    }

    fn change(&self, row: usize, change: impl FnOnce(&mut Line)) {
        if let Some(line) = self.lines.lock().unwrap_or_else(PoisonError::into_inner).get_mut(row) {
            change(line);
        }
    }
}

async fn keep(
    program: Program,
    mut running: Option<(Child, Lines<BufReader<ChildStdout>>)>,
    board: Board,
    row: usize,
    mut stop: watch::Receiver<bool>,
) {
    let mut wait = RESTART_FIRST;
    while program.waits_for.as_ref().is_some_and(|file| !file.exists()) {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopped(&mut stop) => return,
        }
    }
    loop {
        let started = tokio::time::Instant::now();
        match running.take().map_or_else(|| program.spawn(), Ok) {
            Err(error) => tracing::warn!(device = program.name, %error, "demo device cannot be started"),
            Ok((mut child, mut lines)) => {
                let is_stopped = tokio::select! {
                    () = listen(&mut lines, &board, row) => false,
                    () = stopped(&mut stop) => true,
                };
                if is_stopped {
                    return end(child).await;
                }
                board.change(row, |line| line.is_ready = false);
                let status = child.wait().await;
                tracing::warn!(device = program.name, ?status, "demo device ended");
            }
        }
        if started.elapsed() > RESTART_MAX {
            wait = RESTART_FIRST;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(&mut stop) => return,
        }
        wait = (wait * 2).min(RESTART_MAX);
        board.change(row, |line| line.restarts += 1);
    }
}

/// Takes down what the process says, until it ends.
async fn listen(lines: &mut Lines<BufReader<ChildStdout>>, board: &Board, row: usize) {
    while let Ok(Some(text)) = lines.next_line().await {
        if let Ok(event) = serde_json::from_str::<Value>(&text) {
            board.change(row, |line| {
                line.is_ready = event["event"] != "disconnected";
                line.last = Some(event);
            });
        }
    }
}

/// Resolves when the demo stops, or its owner is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn end(mut child: Child) {
    drop(child.stdin.take());
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
