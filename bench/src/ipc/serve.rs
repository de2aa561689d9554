//! The server under test in a child process: our door with a core in memory, or the limit.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use marram_ipc::{Options as DoorOptions, Ports, Server, Socket, SocketOptions};
use marram_memory_core::MemoryCore;
use serde_json::json;

use super::{Options, limit};

/// Runs the server until it is killed.
pub fn run(options: &Options) -> anyhow::Result<()> {
    allow_many_files()?;
    let path = options.socket.clone().context("--socket names the path to bind")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if options.limit {
        return runtime.block_on(limit::serve(&path));
    }
    runtime.block_on(async {
        let core = MemoryCore::new();
        let policy = json!({"aws.greengrass.ipc.pubsub": {"bench": {
            "operations": ["aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"],
            "resources": ["other/topic", "bench/*"],
        }}});
        core.add_component("bench", json!({"accessControl": policy, "sampling": {"rate": 20, "unit": "ms"}}));
        let mut ports = Ports::new(core.clone());
        ports.configuration = Some(core.clone());
        ports.components = Some(core);
        let socket = Socket::bind(&SocketOptions { path, open: false, group: None })?;
        println!("ready");
        Server::new(socket, ports, DoorOptions::default()).run().await;
        Ok(())
    })
}

/// Ten thousand connections need as many descriptors.
pub fn allow_many_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// A server process that ends with this value.
pub struct Child {
    process: std::process::Child,
    pub socket: PathBuf,
    folder: PathBuf,
}

impl Child {
    pub fn start(limit: bool) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("marram-bench-ipc-{}-{limit}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let socket = folder.join("ipc.socket");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["ipc", "serve", "--socket"]).arg(&socket).stdout(Stdio::piped());
        if limit {
            command.arg("--limit");
        }
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut line)?;
        anyhow::ensure!(line == "ready\n", "the server did not start");
        Ok(Self { process, socket, folder })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
