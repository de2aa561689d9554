//! Another token, or another PIN for it, tried in a process of its own (CC 11): this program, started once more with a verb that no help names.
//!
//! ```text
//! deployer ─ attempt ─> marram-core token-trial <─ stdin: what is tried, as JSON (the PIN stands in no argument and no variable)
//!                                               ─> stdout: one line: {"certificate"} or {"refused"}
//! ```

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use marram_deployer::KeyToken;
use marram_device_keys::{KeyUri, Trial, try_out};
use marram_edge_ports::{Later, Nucleus};
use marram_nucleus::NucleusHandle;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{DeviceIdentity, read_file};

/// The verb.
pub(crate) const VERB: &str = "token-trial";
/// How long a token may take. Slow ones need some seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// What is tried, and what is answered, at most.
const TEXT_MAX: u64 = 256 * 1024;

/// The token as the deployer asks for it.
pub(crate) struct TokenTrial {
    pub(crate) nucleus: NucleusHandle,
    pub(crate) identity: DeviceIdentity,
}

impl KeyToken for TokenTrial {
    fn attempt(&self, configuration: Value) -> Later<'_, (), String> {
        Box::pin(async move {
            let system = |key: &str| {
                let value = self.nucleus.get(&["system", key])?;
                value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
            };
            let key = system("privateKeyPath").filter(|key| KeyUri::is_uri(key));
            let named = system("certificateFilePath").unwrap_or_default();
            let is_inside = KeyUri::is_uri(&named);
            let certificate = match &key {
                Some(_) if !is_inside => read_file(&named).map_err(|error| format!("{error:#}"))?,
                _ => named.clone(),
            };
            let tried = json!({ "configuration": configuration, "key": key, "certificate": certificate });
            let asked = tokio::time::timeout(LIMIT, ask(tried.to_string())).await;
            let answer = asked.map_err(|_| format!("it does not answer within {} s", LIMIT.as_secs()))??;
            if let Some(why) = answer.get("refused") {
                return Err(why.as_str().unwrap_or_default().to_owned());
            }
            // The control plane knows the core by its certificate.
            if let Some(found) = answer.get("certificate").and_then(Value::as_str)
                && let Ok(known) = self.identity.certificate(&named)
                && known != found
            {
                return Err("it holds another certificate than the one that this core is known by".to_owned());
            }
            Ok(())
        })
    }
}

/// Starts the other process. It ends with this future.
async fn ask(tried: String) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("it cannot be tried: {error}");
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .arg(VERB)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(tried.as_bytes()).await.map_err(failed)?;
    }
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(TEXT_MAX).read_to_string(&mut text).await.map_err(failed)?;
    }
    let answer = serde_json::from_str(&text);
    // A library may take the process down with it.
    let ended = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    answer.map_err(|_| format!("the library gave no answer ({ended})"))
}

/// The other process: reads what is tried, tries it once, answers with one line.
pub(crate) fn main() -> ExitCode {
    // A library that hangs must not stay behind when the core is gone.
    let watch = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(LIMIT);
        std::process::exit(1);
    });
    let mut text = String::new();
    let read = std::io::stdin().lock().take(TEXT_MAX).read_to_string(&mut text);
    let (Ok(_), Ok(_), Ok(tried)) = (watch, read, serde_json::from_str::<Value>(&text)) else {
        return ExitCode::from(2);
    };
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let outcome = try_out(&Trial {
        configuration: &tried["configuration"],
        credentials: credentials.as_deref().map(Path::new),
        key: tried["key"].as_str(),
        certificate: tried["certificate"].as_str().unwrap_or_default(),
    });
    let (code, answer) = match outcome {
        Ok(certificate) => (0, json!({ "certificate": certificate })),
        Err(why) => (1, json!({ "refused": why })),
    };
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "{answer}").and_then(|()| out.flush());
    ExitCode::from(if told.is_ok() { code } else { 2 })
}
