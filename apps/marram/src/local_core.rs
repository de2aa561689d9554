//! The local core of `marram up`: provisioned once, run as a process of its own, restarted when it dies.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use marram_aws_api::ServiceId::GreengrassV2;
use marram_pki::RequestedKey;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::command::core::write_folder;
use crate::demo::Caller;
use crate::provision::{self, CoreEndpoints, first_configuration};

/// File below the core's credentials that remembers where its broker listens.
const BROKER_FILE: &str = "local-broker";
/// The certificate authority that the core's broker is known by, below its root.
const BROKER_CA: &str = "work/aws.greengrass.clientdevices.Auth/ca.pem";

/// Thing name of the local core.
pub const THING: &str = "marram-local-core";
/// How long the core has to stop by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);
/// Waits between restarts: doubled each time, back to the first after a run that lasted.
const RESTART_FIRST: Duration = Duration::from_millis(500);
const RESTART_MAX: Duration = Duration::from_secs(10);

/// The running core.
#[derive(Debug)]
pub struct LocalCore {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// `marram-core` beside this program; none when it was not built.
pub fn program() -> anyhow::Result<Option<PathBuf>> {
    let own = std::env::current_exe().context("cannot find this program")?;
    Ok(Some(own.with_file_name("marram-core")).filter(|path| path.is_file()))
}

/// Where the core's broker is to listen: where it did before if that is free, else at a free port.
///
/// # Errors
/// No port is free, or the address cannot be remembered.
pub fn broker_address(credentials: &Path, ip: IpAddr) -> anyhow::Result<SocketAddr> {
    let file = credentials.join(BROKER_FILE);
    let before = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    let before = before.filter(|address| address.ip() == ip && TcpListener::bind(address).is_ok());
    if let Some(address) = before {
        return Ok(address);
    }
    let free = TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr());
    let address = free.with_context(|| format!("no port is free at {ip}"))?;
    crate::data_dir::write_private(&file, address.to_string().as_bytes())?;
    Ok(address)
}

/// The certificate authority that devices around the core at `root` trust.
pub fn broker_ca(root: &Path) -> PathBuf {
    root.join(BROKER_CA)
}

/// Provisions the core below `folder` when that was not done, and starts it.
///
/// # Errors
/// What a service answered, or files that cannot be written.
pub async fn start(
    program: PathBuf,
    folder: &Path,
    credentials: &Path,
    ca_file: &Path,
    endpoints: &CoreEndpoints,
    broker: SocketAddr,
    caller: &Caller,
) -> anyhow::Result<LocalCore> {
    if !credentials.join("private.pem.key").exists() {
        let key = RequestedKey::generate(THING)?;
        let made = provision::core(caller, THING, &key.request_pem).await?;
        let root = fs::read_to_string(ca_file).with_context(|| format!("cannot read {}", ca_file.display()))?;
        let at = absolute(credentials)?;
        write_folder(credentials, &at, THING, &key, &made.certificate_pem, &root, endpoints)?;
    }
    // Ports may be others than at the last start; a core keeps its first configuration, so it is told anew.
    let mut configuration = first_configuration(THING, &absolute(credentials)?.display().to_string(), endpoints);
    // Below `marram`, where the configuration ends.
    configuration.push_str(&format!("        localBroker: \"{broker}\"\n"));
    if rustix::process::geteuid().is_root() {
        // The data directory is its owner's alone: other users could not enter a component's folder.
        configuration.push_str("      runWithDefault:\n        posixUser: \"0:0\"\n");
    }
    let file = credentials.join("config.yaml");
    let moved = fs::read_to_string(&file).unwrap_or_default() != configuration;
    if moved {
        crate::data_dir::write_private(&file, configuration.as_bytes())?;
    }
    announce(caller, &endpoints.host, broker).await?;
    let (stop, stopped) = watch::channel(false);
    let arguments = vec![
        "run".into(),
        "--until-stdin-closes".into(),
        "--root".into(),
        folder.as_os_str().to_owned(),
        "--init-config".into(),
        file.into_os_string(),
    ];
    let task = tokio::spawn(keep(program, arguments, moved, stopped));
    Ok(LocalCore { stop, task })
}

/// Tells the control plane where devices find the core, as an operator would.
async fn announce(caller: &Caller, host: &str, broker: SocketAddr) -> anyhow::Result<()> {
    let place = json!([{ "id": host, "hostAddress": host, "portNumber": broker.port(), "metadata": "" }]);
    let known = caller.must(GreengrassV2, "GetConnectivityInfo", json!({ "thingName": THING })).await?;
    if known["connectivityInfo"] != place {
        let input = json!({ "thingName": THING, "connectivityInfo": place });
        caller.must(GreengrassV2, "UpdateConnectivityInfo", input).await?;
    }
    Ok(())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))
}

impl LocalCore {
    /// Stops it and waits.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the local core's keeper failed");
        }
    }
}

async fn keep(program: PathBuf, arguments: Vec<std::ffi::OsString>, moved: bool, mut stop: watch::Receiver<bool>) {
    let mut wait = RESTART_FIRST;
    loop {
        let began = tokio::time::Instant::now();
        match spawn(&program, &arguments, moved) {
            Err(error) => tracing::warn!(%error, "the local core cannot be started"),
            Ok(mut child) => {
                // Held while it runs: waiting would close it, and the core stops when it closes.
                let _stdin = child.stdin.take();
                let ended = tokio::select! {
                    status = child.wait() => Some(status),
                    () = asked_to_stop(&mut stop) => None,
                };
                match ended {
                    None => return end(child).await,
                    Some(status) => tracing::warn!(?status, "the local core ended"),
                }
            }
        }
        if began.elapsed() > RESTART_MAX {
            wait = RESTART_FIRST;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = asked_to_stop(&mut stop) => return,
        }
        wait = (wait * 2).min(RESTART_MAX);
    }
}

fn spawn(program: &Path, arguments: &[std::ffi::OsString], moved: bool) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    // Ctrl-C on the terminal is for the parent, which stops the core in order.
    command.process_group(0).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    if moved {
        command.arg("--update-config");
    }
    command.spawn()
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn end(mut child: Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) {
        // A process that is gone needs no signal.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
