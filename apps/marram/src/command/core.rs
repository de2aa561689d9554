//! `marram core provision`: keys made here, a certificate and minimal policies from the running installation, and the
//! configuration of one core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use marram_obs::{errln, outln};
use marram_pki::RequestedKey;
use serde_json::{Value, json};

use crate::data_dir::{DataDir, write_private};
use crate::provision::{CoreEndpoints, first_configuration};
use crate::{admin, command::UsageError};

/// Verbs of `marram core`.
#[derive(Debug, Subcommand)]
pub enum CoreVerb {
    /// Keys, certificate, minimal policy, role alias and configuration for one core.
    Provision(Provision),
}

/// Flags of `marram core provision`.
#[derive(Debug, Args)]
pub struct Provision {
    /// Thing name of the core; made when it does not exist.
    #[arg(long, value_name = "NAME")]
    pub thing: String,
    /// Folder for the files; made when it does not exist, owner only.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the files will be on the core, when that is not `--out`.
    #[arg(long, value_name = "DIR")]
    pub installed_at: Option<PathBuf>,
    /// The data directory of the running installation.
    #[arg(long, value_name = "DIR", default_value = "var", env = "MARRAM_DATA")]
    pub data: PathBuf,
}

/// Runs the verb.
pub fn run(verb: &CoreVerb) -> anyhow::Result<ExitCode> {
    let CoreVerb::Provision(flags) = verb;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(provision(flags))?;
    let file = flags.out.join("config.yaml");
    outln!("{}", json!({ "thing": flags.thing, "config": file }));
    let there = flags.installed_at.as_ref().map_or_else(|| file.clone(), |folder| folder.join("config.yaml"));
    errln!("start it with: marram-core loader --root DIR --init-config {}", there.display());
    Ok(ExitCode::SUCCESS)
}

async fn provision(flags: &Provision) -> anyhow::Result<()> {
    let data = DataDir::open(&flags.data)?;
    let key_file = flags.out.join("private.pem.key");
    if key_file.exists() {
        return Err(UsageError(format!("{} exists: this folder belongs to a core already", key_file.display())).into());
    }
    let key = RequestedKey::generate(&flags.thing)?;
    let request = json!({ "verb": "core-provision", "thing": flags.thing, "csr": key.request_pem });
    let answer = admin::ask(&data.admin_socket(), &request)
        .await?
        .with_context(|| format!("no installation runs with {} (start `marram up` first)", data.root().display()))?;
    let text = |name: &str| answer[name].as_str().with_context(|| format!("the installation answered without {name}"));
    let port = |name: &str| {
        answer[name]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .with_context(|| format!("no {name} in the answer"))
    };
    if let Some(note) = answer["note"].as_str() {
        errln!("marram: {note}");
    }
    let endpoints = CoreEndpoints {
        region: text("region")?.to_owned(),
        host: text("host")?.to_owned(),
        mqtt_port: port("mqttPort")?,
        device_port: port("devicePort")?,
        api_port: port("apiPort")?,
        deployment_key: text("deploymentPublicKey")?.to_owned(),
    };
    let at = match &flags.installed_at {
        Some(path) => path.clone(),
        None => {
            fs::create_dir_all(&flags.out).with_context(|| format!("cannot make {}", flags.out.display()))?;
            fs::canonicalize(&flags.out)?
        }
    };
    write_folder(&flags.out, &at, &flags.thing, &key, text("certificatePem")?, text("rootCaPem")?, &endpoints)
}

/// Writes certificate, root and configuration, and the key last: a folder with a key is complete.
pub fn write_folder(
    folder: &Path,
    installed_at: &Path,
    thing: &str,
    key: &RequestedKey,
    certificate_pem: &str,
    root_pem: &str,
    endpoints: &CoreEndpoints,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write_private(&folder.join("device.pem.crt"), certificate_pem.as_bytes())?;
    write_private(&folder.join("rootCA.pem"), root_pem.as_bytes())?;
    let configuration = first_configuration(thing, &installed_at.display().to_string(), endpoints);
    write_private(&folder.join("config.yaml"), configuration.as_bytes())?;
    write_private(&folder.join("private.pem.key"), key.private_pem.as_bytes())
}

/// The answer of the admin socket to `core-provision`; `note` is for the person who asked.
pub fn answer(certificate_pem: &str, root_pem: &str, endpoints: &CoreEndpoints, note: Option<&str>) -> Value {
    json!({
        "certificatePem": certificate_pem,
        "rootCaPem": root_pem,
        "region": endpoints.region,
        "host": endpoints.host,
        "mqttPort": endpoints.mqtt_port,
        "devicePort": endpoints.device_port,
        "apiPort": endpoints.api_port,
        "deploymentPublicKey": endpoints.deployment_key,
        "note": note,
    })
}
