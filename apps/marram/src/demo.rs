//! The demo of `marram up`: mock devices, a Modbus controller, flows that use them in the control plane and on the local
//! core, and a view of it all.
//!
//! Nothing here is a shortcut: devices are processes of their own that connect with certificates, flows are TDM documents
//! that went through the services, and every call is authorized and audited like a user's.

mod bootstrap;
mod caller;
mod children;
mod device;
mod modbus;
mod policy;
mod view;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use tokio::io::AsyncReadExt;

pub use caller::Caller;

use bootstrap::Bootstrap;
use children::{Children, Program};

/// Verbs of `marram demo`: the processes that the demo is made of.
#[derive(Debug, Subcommand)]
pub enum DemoVerb {
    /// A device that speaks MQTT: motion sensor, camera or screen.
    Device(device::Device),
    /// A sprinkler controller that speaks Modbus TCP.
    Modbus(modbus::Modbus),
}

/// Runs one of the demo's processes.
pub fn run(verb: &DemoVerb) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the async runtime")?;
    runtime.block_on(async {
        match verb {
            DemoVerb::Device(flags) => device::run(flags).await,
            DemoVerb::Modbus(flags) => modbus::run(flags).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the demo needs to know of the running installation.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// This program, started again for each device.
    pub program: PathBuf,
    /// A private folder for certificates and keys of the demo's devices.
    pub folder: PathBuf,
    /// The root certificate devices trust.
    pub ca_file: PathBuf,
    /// `host:port` of the MQTT listener; the host stands in the server certificate.
    pub mqtt_endpoint: String,
    /// Show the live view: a table on a terminal, lines elsewhere.
    pub view: bool,
    /// The local core, if one runs.
    pub core: Option<DemoCore>,
}

/// A core that the demo's lobby is deployed to as well.
#[derive(Debug, Clone)]
pub struct DemoCore {
    /// Its thing name.
    pub thing: String,
    /// `host:port` of its local broker; the host stands in the broker's certificate.
    pub endpoint: String,
    /// Its certificate authority, PEM; made when the core first starts.
    pub ca_file: PathBuf,
    /// A bucket for artifacts of deployments, which exists.
    pub bucket: String,
}

/// The running demo.
#[derive(Debug)]
pub struct Demo {
    children: Children,
    view: Option<tokio::task::JoinHandle<()>>,
}

/// Makes what is missing (things, certificates, policies, flow role, models, flows, systems, deployments), deploys it and
/// starts the devices. Does nothing twice.
///
/// # Errors
/// What a service answered, or a process that cannot be started.
pub async fn start(options: DemoOptions, caller: Caller) -> anyhow::Result<Demo> {
    let mut children = Children::default();
    let modbus = children.start_modbus(&options).await.context("cannot start the demo's Modbus controller")?;
    let caller = Arc::new(caller);
    let bootstrap = Bootstrap::new(&caller, &options.folder);
    bootstrap.run(&modbus).await.context("cannot set up the demo")?;
    for device in bootstrap::MQTT_DEVICES {
        children.supervise(Program::device(&options, device, &options.mqtt_endpoint, &options.ca_file));
    }
    if let Some(core) = &options.core {
        bootstrap.run_on_core(&core.thing, &core.bucket).await.context("cannot set up the demo on the local core")?;
        for device in bootstrap::CORE_DEVICES {
            children.supervise(Program::device(&options, device, &core.endpoint, &core.ca_file));
        }
    }
    let view = options.view.then(|| tokio::spawn(view::run(Arc::clone(&caller), children.board())));
    Ok(Demo { children, view })
}

impl Demo {
    /// Stops the view and every device process; waits for them.
    pub async fn stop(self) {
        if let Some(view) = self.view {
            view.abort();
        }
        self.children.stop().await;
    }
}

/// Prints one JSON line on standard output; whoever started this process reads it.
fn say(event: &Value) {
    let mut out = std::io::stdout().lock();
    // A reader that went away is no reason for a device to stop.
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

/// Resolves when standard input is closed; never when not asked to watch it.
async fn stdin_closed(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let mut input = tokio::fs::File::from_std(match std::fs::File::open("/dev/stdin") {
        Ok(file) => file,
        Err(_) => return,
    });
    let mut buffer = [0; 64];
    while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
