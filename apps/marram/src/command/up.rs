//! `marram up` and `marram serve`: start the stack, say so, run until told to stop.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use marram_aws_api::ServiceId;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli;
use crate::command::env::ENV_FILE;
use crate::compose::{Stack, first_administrator};
use crate::data_dir::write_private;
use crate::demo::{self, Caller, Demo, DemoCore, DemoOptions};
use crate::local_core::{self, LocalCore};
use crate::provision::CoreEndpoints;
use crate::settings::Settings;

/// How long connections may take to end at shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Folders of the local core in the data directory: its root, and its key and certificate.
const CORE: &str = "core";
const CORE_CREDENTIALS: &str = "core-credentials";

/// Runs the all-in-one until SIGINT or SIGTERM.
pub fn up(flags: &cli::Up) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::from(flags);
    if !flags.no_demo {
        // The demo's Modbus simulator listens on loopback, which flows may not reach unless told so.
        settings.flow_allow_hosts.push("127.0.0.1".to_owned());
    }
    run(settings, Some(flags))
}

/// Runs the control plane of a configuration file until SIGINT or SIGTERM.
pub fn serve(flags: &cli::Serve) -> anyhow::Result<ExitCode> {
    run(Settings::from_file(&flags.config)?, None)
}

fn run(settings: Settings, up: Option<&cli::Up>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        let started = Instant::now();
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let stack = Stack::start(&settings).await?;
        let plain_url = format!("https://{}:{}/console/", settings.public_host(), stack.api.port());
        let link = stack.console.first_link().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        let link = link.map(|link| link.url(plain_url.trim_end_matches("/console/")));
        let program = match up {
            Some(flags) if !flags.no_core => core_program()?,
            _ => None,
        };
        let broker = match program {
            Some(_) => Some(local_core::broker_address(&stack.data.folder(CORE_CREDENTIALS)?, settings.mqtt.ip())?),
            None => None,
        };
        let env_file = stack.data.root().join(ENV_FILE);
        let write_environment = |console_url: &str| {
            let environment = environment(&settings, &stack, console_url, broker);
            write_private(&env_file, serde_json::to_string_pretty(&environment)?.as_bytes())
        };
        write_environment(link.as_deref().unwrap_or(&plain_url))?;
        let ready = json!({
            "ready": true,
            "api": stack.api.to_string(),
            "device_api": stack.device_api.to_string(),
            "mqtt": stack.mqtt.to_string(),
            "env": env_file,
            "started_ms": started.elapsed().as_millis() as u64,
        });
        let console = match &link {
            Some(link) => format!("Set up the first person of the console (once, within 15 minutes):\n{link}"),
            None => format!("Console: {plain_url}"),
        };
        // Whoever reads may only want the first line; the installation goes on.
        let _ = writeln!(std::io::stdout().lock(), "{ready}\n{console}");
        let core = match program.zip(broker) {
            Some((program, broker)) => Some(start_core(&settings, &stack, program, broker).await?),
            None => None,
        };
        let demo = match up {
            Some(flags) if !flags.no_demo => Some(start_demo(&settings, &stack, broker, !flags.no_view).await?),
            _ => None,
        };
        // A link that was used must not lie around.
        let forget_links = async {
            loop {
                stack.console.link_spent().await;
                if let Err(error) = write_environment(&plain_url) {
                    tracing::warn!(%error, "the console's address was not written down");
                }
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = forget_links => {}
        }
        tracing::info!("stopping");
        if let Some(demo) = demo {
            demo.stop().await;
        }
        if let Some(core) = core {
            core.stop().await;
        }
        stack.stop(SHUTDOWN_PATIENCE).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The program of the local core, when it stands beside this one.
fn core_program() -> anyhow::Result<Option<PathBuf>> {
    let program = local_core::program()?;
    if program.is_none() {
        tracing::warn!("marram-core is not beside this program: no local core");
    }
    Ok(program)
}

async fn start_core(
    settings: &Settings,
    stack: &Stack,
    program: PathBuf,
    broker: SocketAddr,
) -> anyhow::Result<LocalCore> {
    let endpoints = CoreEndpoints {
        region: settings.region.clone(),
        host: settings.public_host().to_owned(),
        mqtt_port: stack.mqtt.port(),
        device_port: stack.device_api.port(),
        api_port: stack.api.port(),
        deployment_key: crate::compose::greengrass::public_key(&stack.data)?,
    };
    let caller = administrator_of(settings, stack)?;
    let root = stack.data.folder(CORE)?;
    let credentials = stack.data.folder(CORE_CREDENTIALS)?;
    local_core::start(program, &root, &credentials, &stack.data.ca_file(), &endpoints, broker, &caller)
        .await
        .context("cannot start the local core")
}

fn administrator_of(settings: &Settings, stack: &Stack) -> anyhow::Result<Caller> {
    let account = settings.account.parse().context("the first account's id")?;
    let region = settings.region.parse().context("the region")?;
    first_administrator(&stack.identity, &account, &region, &stack.services)
}

/// The demo, as the first account's administrator would set it up.
async fn start_demo(
    settings: &Settings,
    stack: &Stack,
    broker: Option<SocketAddr>,
    view: bool,
) -> anyhow::Result<Demo> {
    let caller = administrator_of(settings, stack)?;
    let core = match broker {
        Some(broker) => Some(DemoCore {
            thing: local_core::THING.to_owned(),
            endpoint: format!("{}:{}", settings.public_host(), broker.port()),
            ca_file: local_core::broker_ca(&stack.data.folder(CORE)?),
            bucket: demo_bucket(stack, &caller).await?,
        }),
        None => None,
    };
    let options = DemoOptions {
        program: std::env::current_exe().context("cannot find this program")?,
        folder: stack.data.folder("demo")?,
        ca_file: stack.data.ca_file(),
        mqtt_endpoint: format!("{}:{}", settings.public_host(), stack.mqtt.port()),
        view,
        core,
    };
    demo::start(options, caller).await
}

/// A bucket for artifacts of the demo's deployments on the core.
async fn demo_bucket(stack: &Stack, caller: &Caller) -> anyhow::Result<String> {
    let name = format!("marram-demo-{}", caller.account());
    let operation = ServiceId::S3.operation("CreateBucket").context("no operation CreateBucket")?;
    let context = caller.context(operation, &json!({ "bucketName": name }));
    let made = stack.objects.create_bucket(&context, &name).await.map(|()| json!({}));
    context.finish(&made);
    match made {
        Err(error) if error.code != "BucketAlreadyOwnedByYou" => {
            Err(anyhow::anyhow!("{}: {}", error.code, error.message).context("the demo's bucket"))
        }
        _ => Ok(name),
    }
}

/// What `marram env` prints; the names are the start contract's.
fn environment(
    settings: &Settings,
    stack: &Stack,
    console_url: &str,
    broker: Option<SocketAddr>,
) -> BTreeMap<&'static str, String> {
    let host = settings.public_host();
    let at = |address: SocketAddr| format!("{host}:{}", address.port());
    let path = |path: PathBuf| path.display().to_string();
    let core = stack.data.root().join(CORE);
    let mut environment = BTreeMap::from([
        ("AWS_ENDPOINT_URL", format!("https://{}", at(stack.api))),
        ("AWS_CA_BUNDLE", path(stack.data.ca_file())),
        ("AWS_ACCESS_KEY_ID", stack.administrator.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", stack.administrator.secret.expose().to_owned()),
        ("AWS_DEFAULT_REGION", settings.region.clone()),
        ("MARRAM_ACCOUNT", settings.account.clone()),
        ("MARRAM_MQTT_ENDPOINT", at(stack.mqtt)),
        ("MARRAM_DEVICE_ENDPOINT", at(stack.device_api)),
        ("MARRAM_CREDENTIALS_ENDPOINT", at(stack.device_api)),
        ("MARRAM_CONSOLE_URL", console_url.to_owned()),
        ("MARRAM_CORE_ROOT", path(core.clone())),
        ("MARRAM_IPC_SOCKET", path(core.join("ipc.socket"))),
    ]);
    if let Some(broker) = broker {
        environment.insert("MARRAM_CORE_MQTT_ENDPOINT", at(broker));
        environment.insert("MARRAM_CORE_CA", path(local_core::broker_ca(&core)));
    }
    environment
}
