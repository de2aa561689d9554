//! An IPC door over a core in memory, for foreign clients to try: `ipc_server --root DIR [COMPONENT...]`.
//!
//! Components are allowed everything, except those whose name ends in `.Denied`; the token of `X` is `X-token`.
//! The operator of this user has a file below `DIR/cli_ipc_info`. One JSON line on standard output tells that the socket is open.

use std::path::PathBuf;

use anyhow::Context;
use marram_ipc::{Operators, Options, Ports, Principal, Server, Socket, SocketOptions};
use marram_memory_core::{MemoryCore, allow_everything};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    anyhow::ensure!(arguments.next().as_deref() == Some("--root"), "usage: ipc_server --root DIR [COMPONENT...]");
    let root = PathBuf::from(arguments.next().context("--root needs a folder")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let core = MemoryCore::new();
        for name in arguments {
            let policies = if name.ends_with(".Denied") { json!({}) } else { allow_everything() };
            let configuration = json!({"accessControl": policies, "rate": 5, "deep": {"a": {"b": 1}}});
            core.add_component(&name, configuration);
        }
        let path = root.join("ipc.socket");
        let user = Principal::User(rustix::process::geteuid().as_raw());
        let ports = Ports {
            identities: std::sync::Arc::new(Operators::issue(core.clone(), &root, &path, &[user])?),
            components: Some(core.clone()),
            configuration: Some(core.clone()),
            deployments: Some(core.clone()),
            cloud: Some(core.clone()),
            shadows: Some(core.clone()),
            secrets: Some(core.clone()),
            client_devices: Some(core.clone()),
            metrics: Some(core.clone()),
            debug_passwords: Some(core),
            checks: None,
        };
        let socket = Socket::bind(&SocketOptions { path, open: false, group: None })?;
        println!("{}", json!({"socket": socket.path()}));
        let server = Server::new(socket, ports, Options::default());
        let handle = server.handle();
        let running = tokio::spawn(server.run());
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?.recv().await;
        handle.stop();
        running.await?;
        Ok(())
    })
}
