//! The IPC door over the running parts: socket, operators, the link of the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use marram_ipc::{Handle, Operators, Options, Ports, Principal, Server, Socket, SocketOptions};
use marram_nucleus::NucleusHandle;
use marram_nucleus::configuration::ConfigurationStore;
use marram_supervisor::OwnUsers;
use serde_json::Value;

/// The open door.
pub(crate) struct Door {
    handle: Handle,
    task: tokio::task::JoinHandle<()>,
}

impl Door {
    /// Opens the door; components and operators can connect when it returns. `fill` adds the ports of further parts.
    pub(crate) fn open(
        nucleus: &NucleusHandle,
        root: &Path,
        path: PathBuf,
        group: Option<u32>,
        fill: impl FnOnce(&mut Ports),
    ) -> anyhow::Result<Self> {
        let settings = nucleus.store().read(&["services", "aws.greengrass.Nucleus", "configuration", "ipc"]);
        let setting = |name: &str| settings.as_ref().and_then(|settings| settings.get(name)).and_then(Value::as_bool);
        let nucleus = Arc::new(nucleus.clone());
        let operators = Operators::issue(nucleus.clone(), root, &path, &principals(&nucleus))?;
        let mut ports = Ports::new(Arc::new(operators));
        ports.components = Some(nucleus.clone());
        ports.configuration = Some(nucleus);
        fill(&mut ports);
        let options =
            Options { open_configuration_read: setting("openConfigurationRead").unwrap_or(true), ..Options::default() };
        let open = setting("openSocket").unwrap_or(false);
        let socket = Socket::bind(&SocketOptions { path, open, group })?;
        link_command_line(root)?;
        let server = Server::new(socket, ports, options);
        let handle = server.handle();
        Ok(Self { handle, task: tokio::spawn(server.run()) })
    }

    /// For parts of the core that publish locally.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Closes every connection and removes the socket.
    pub(crate) async fn close(self) {
        self.handle.stop();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the IPC door did not close in order");
        }
    }
}

/// Who may command the core: its own user, and the groups of the CLI component's `AuthorizedPosixGroups` (CR 7.2).
fn principals(nucleus: &NucleusHandle) -> Vec<Principal> {
    let mut principals = vec![Principal::User(rustix::process::geteuid().as_raw())];
    let place = ["services", "aws.greengrass.Cli", "configuration", "AuthorizedPosixGroups"];
    if let Some(Value::String(groups)) = nucleus.store().read(&place) {
        for group in groups.split(',').map(str::trim).filter(|group| !group.is_empty()) {
            match group.parse().ok().or_else(|| group_id(group)) {
                Some(id) => principals.push(Principal::Group(id)),
                None => tracing::warn!(group, "a group that may command the core does not exist"),
            }
        }
    }
    principals
}

/// The group that may open the socket, which every component is put into (CR 6.1): that of the default user where one is
/// configured, else the one that components with users of their own share.
pub(crate) fn socket_group(store: &ConfigurationStore, own_users: Option<&OwnUsers>) -> Option<u32> {
    // A core that is not root runs components as itself.
    let own = own_users?;
    let setting = |path: [&str; 2]| {
        let nucleus = ["services", "aws.greengrass.Nucleus", "configuration"];
        store.read(&[nucleus.as_slice(), &path].concat())
    };
    let always = setting(["marram", "sandbox"]).and_then(|sandbox| sandbox.get("ownUsers").cloned());
    match setting(["runWithDefault", "posixUser"]) {
        Some(Value::String(user)) if !user.trim().is_empty() && always != Some(Value::Bool(true)) => {
            let number = |text: &str| text.parse().ok();
            match user.split_once(':') {
                Some((_, group)) => number(group).or_else(|| group_id(group)),
                None => field_of("/etc/passwd", &user, 3),
            }
        }
        _ => Some(own.group()),
    }
}

fn group_id(name: &str) -> Option<u32> {
    field_of("/etc/group", name, 2)
}

/// A numeric field of the line that starts with `name`.
fn field_of(file: &str, name: &str, at: usize) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&name)).and_then(|fields| fields.get(at)?.parse().ok())
}

/// `<root>/bin/greengrass-cli` leads to this program (CR 7.1).
fn link_command_line(root: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let folder = root.join("bin");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let link = folder.join(marram_core_cli::CLI_NAME);
    if std::fs::read_link(&link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&program, &link).with_context(|| format!("cannot link {}", link.display()))
}
