//! Requests of components over IPC: the operation's name on the first line, its JSON behind.

use std::cell::RefCell;

use marram_edge_ports::{Caller, CallerKind};
use marram_ipc::{Ports, fuzz_request};
use marram_memory_core::{MemoryCore, allow_everything};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime of one thread"));
}

/// One request, as a component with every right, as one without any, and as an operator.
pub fn run(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let Ok(name) = std::str::from_utf8(&data[..cut]) else { return };
    let payload = data.get(cut + 1..).unwrap_or_default();
    let callers = [
        ("component", CallerKind::Component),
        ("denied", CallerKind::Component),
        ("greengrass-cli#user-0", CallerKind::Operator),
    ];
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            for (caller, kind) in callers {
                let core = MemoryCore::new();
                core.add_component(
                    "component",
                    json!({"accessControl": allow_everything(), "rate": 5, "deep": {"a": [1]}}),
                );
                core.add_component("denied", json!({}));
                let ports = Ports {
                    identities: core.clone(),
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
                    sandboxes: None,
                };
                fuzz_request(ports, &Caller { name: caller.into(), kind }, name, payload).await;
                // Tasks that wait for a subscriber see that it is gone.
                tokio::task::yield_now().await;
            }
        });
    });
}
