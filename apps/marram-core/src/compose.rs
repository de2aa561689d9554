//! The parts of a core and the order in which they start: the one place that knows every crate.
//!
//! Configuration, supervisor, nucleus; then whatever components rely on (IPC, token exchange); then the components.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use marram_configuration::{Origin, Tree, Write};
use marram_deployer::{Reserve, Restart};
use marram_device_keys::KeyUri;
use marram_edge_ports::Finding;
use marram_edge_ports::Room as _;
use marram_nucleus::configuration::{ConfigurationError, ConfigurationStore, first_tree, merge_file};
use marram_nucleus::{NUCLEUS_VERSION, NucleusHandle, NucleusOptions};
use marram_supervisor::{Launcher, LogSettings, Logs, OwnUsers, Supervisor};
use marram_types::SystemClock;
use serde_json::json;
use tokio::sync::watch;

use crate::claim;
use crate::cli::Run;
use crate::cloud::Cloud;
use crate::debug::LateConsole;
use crate::deployments;
use crate::doctor::Doctor;
use crate::door::{self, Door};
use crate::field::Field;
use crate::initial;
use crate::local::{LateSecrets, LateShadows, LocalTopics, ShadowLine};
use crate::token::{DeviceIdentity, path_of};
use crate::{program, root};

/// The running parts.
pub(crate) struct Core {
    nucleus: NucleusHandle,
    cloud: Cloud,
    door: Door,
    field: Field,
    /// Turns true when a claim gave this core another identity.
    pub(crate) provisioned: watch::Receiver<bool>,
    /// Set when a deployment wants the program to end and be started again.
    pub(crate) restart: watch::Receiver<Option<Restart>>,
    /// The root directory.
    pub(crate) root: PathBuf,
    /// Where components connect.
    pub(crate) ipc_socket: PathBuf,
}

impl Core {
    /// Starts everything that components rely on, but no component yet. `open_files`: the soft limit of open files that they have.
    pub(crate) async fn start(flags: &Run, open_files: Option<u64>) -> anyhow::Result<Self> {
        let root = root::prepare(&flags.root)?;
        let reserve = Reserve::new(&root);
        let record = root.join("config/processes");
        let ((store, passed_over), in_need) = open_in_need(&root, flags, &reserve, &record).await?;
        store.keep_room(Arc::new(reserve.clone()));
        check_key(&store)?;
        store.drop_own_bounds().await?;
        let ipc_socket = ipc_socket(&store, &root);
        let logs = Arc::new(Logs::new(LogSettings::new(root.join("logs"))));
        let supervisor = Supervisor::new(launcher(open_files)?, logs, &root::id(&root), &record)?;
        root::clear_private(&root);
        let components = supervisor.clone();
        reserve.set_still(move |still| components.stand_still(still));
        let own_users = match rustix::process::geteuid().is_root() {
            true => Some(OwnUsers::open(&root.join("config/users"), &root::id(&root))?),
            false => None,
        };
        let socket_group = door::socket_group(&store, own_users.as_ref());
        let obstacle = claim::Obstacle::default();
        let doctor = Doctor::new(supervisor.clone(), &root, passed_over, obstacle.clone());
        let options = NucleusOptions {
            root: root.clone(),
            ipc_socket: ipc_socket.clone(),
            version: NUCLEUS_VERSION.to_owned(),
            own_environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            own_users,
            socket_group,
        };
        let nucleus = NucleusHandle::start(options, store, supervisor);
        let identity = DeviceIdentity::new(&nucleus);
        let cloud = Cloud::start(&root, &nucleus, &identity, &reserve, SystemClock::shared()).await?;
        let restart = watch::Sender::new(None);
        let deployer = deployments::start(
            &root,
            &nucleus,
            &cloud,
            &reserve,
            SystemClock::shared(),
            restart.clone(),
            program::under_loader(&root, &ipc_socket),
        )?;
        nucleus.guard_files(Arc::new(deployer.clone()));
        let field = Field::start(&root, &nucleus, &cloud, SystemClock::shared())?;
        let topics = Arc::new(LocalTopics::default());
        let door = Door::open(&nucleus, &root, ipc_socket.clone(), socket_group, |ports| {
            ports.sandboxes = Some(Arc::new(nucleus.clone()));
            ports.cloud = Some(Arc::new(cloud.uplink.clone()));
            ports.metrics = Some(Arc::new(cloud.telemetry.clone()));
            ports.debug_passwords = Some(LateConsole::new(&nucleus, SystemClock::shared()));
            ports.client_devices = Some(Arc::new(field.devices.clone()));
            let work = |component: &str| root.join("work").join(component);
            let clock = SystemClock::shared;
            let line =
                ShadowLine { cloud: Arc::clone(&cloud.data_plane) as Arc<_>, messages: Arc::new(cloud.uplink.clone()) };
            let shadows = work("aws.greengrass.ShadowManager");
            let shadows = LateShadows::new(&nucleus, shadows, clock(), Arc::clone(&topics), line);
            ports.shadows = Some(Arc::clone(&shadows) as Arc<_>);
            let secrets = LateSecrets::new(
                &nucleus,
                work("aws.greengrass.SecretManager"),
                clock(),
                Arc::clone(&cloud.credentials) as Arc<_>,
                cloud.api.clone(),
                identity.clone(),
            );
            ports.checks =
                Some(Arc::new(doctor.of(&nucleus, &cloud, &deployer, &reserve, shadows, Arc::clone(&secrets))));
            ports.deployments = Some(Arc::new(deployer));
            ports.secrets = Some(secrets);
        })?;
        topics.open(door.handle());
        let provisioned = claim::start(&nucleus, &identity, &obstacle);
        drop(in_need);
        reserve.restore();
        tokio::spawn(async move { reserve.keep().await });
        Ok(Self { provisioned, nucleus, cloud, door, field, restart: restart.subscribe(), root, ipc_socket })
    }

    /// Starts the components.
    pub(crate) async fn start_components(&self) {
        self.nucleus.start_components().await;
    }

    /// Stops components in reverse order, then the parts.
    pub(crate) async fn close(self) {
        self.nucleus.close().await;
        self.door.close().await;
        self.field.close().await;
        self.cloud.uplink.stop().await;
    }
}

/// The configuration, and what is to be said of a file that does not count.
type Opened = (ConfigurationStore, Option<Finding>);

/// The configuration; on a full disk with the room that the core keeps, which the whole start writes with until the first component may
/// write again. What an earlier life left running would take it, so it ends first; no other core has this root, for its configuration would
/// be locked.
async fn open_in_need(
    root: &Path,
    flags: &Run,
    reserve: &Reserve,
    record: &Path,
) -> anyhow::Result<(Opened, Option<Box<dyn Send>>)> {
    let open = || {
        marram_supervisor::sweep(record);
        reserve.open()
    };
    match open_configuration(root, flags).await {
        Err(error) if reserve.is_full() && !error.is::<crate::run::EnvironmentError>() => {
            let in_need = open();
            Ok((open_configuration(root, flags).await?, in_need))
        }
        Err(error) => Err(error),
        Ok(opened) => Ok((opened, if reserve.is_full() { open() } else { None })),
    }
}

/// The tree of this root: what is stored; at the first start that of another runtime or of `--init-config`.
async fn open_configuration(root: &Path, flags: &Run) -> anyhow::Result<Opened> {
    let dir = root.join("config");
    let store = match ConfigurationStore::open(&dir) {
        Err(ConfigurationError::Store { source: marram_store::StoreError::Locked { .. }, .. }) => {
            return Err(crate::run::EnvironmentError(format!("{} is in use by another core", root.display())).into());
        }
        opened => opened?,
    };
    let first = if store.is_empty() { first_tree(&dir) } else { None };
    let (mut given, mut finding) = (None, None);
    let is_first = store.is_empty() && first.is_none();
    if let Some(file) = &flags.config {
        let mut tree = Tree::new();
        merge_file(&mut tree, file)?;
        initial::check(file, &tree.root().to_value())?;
        given = Some(tree);
    } else if let Some(tree) = first {
        given = Some(tree);
    } else if let Some(file) = flags.init_config.as_ref().filter(|_| store.is_empty() || flags.update_config) {
        let mut tree = store.tree().clone();
        merge_file(&mut tree, file)?;
        initial::check(file, &tree.root().to_value())?;
        given = Some(tree);
    } else if let Some(file) = &flags.init_config {
        finding = initial::passed_over(root, file);
    }
    let own = json!({
        "system": {"rootpath": root.to_string_lossy()},
        "services": {"aws.greengrass.Nucleus": {"componentType": "NUCLEUS", "version": NUCLEUS_VERSION}},
    });
    let write = Write { time: 1, origin: Origin::Runtime, force: true };
    let is_current = store.read(&["system", "rootpath"]) == Some(own["system"]["rootpath"].clone())
        && store.read(&["services", "aws.greengrass.Nucleus", "version"]) == Some(json!(NUCLEUS_VERSION));
    if given.is_some() || !is_current {
        let replace = |tree: &mut Tree| {
            if let Some(given) = given {
                *tree = given;
            }
            let nowhere: &[&str] = &[];
            tree.merge(nowhere, &own, &write)
        };
        store.replace(replace).await?;
    }
    if let Some(file) = flags.init_config.as_ref().filter(|_| is_first || flags.update_config) {
        initial::remember(root, file);
    }
    Ok((store, finding))
}

/// The device's private key must be private (CR 9.1).
fn check_key(store: &ConfigurationStore) -> anyhow::Result<()> {
    let Some(serde_json::Value::String(key)) = store.read(&["system", "privateKeyPath"]) else { return Ok(()) };
    if key.is_empty() || KeyUri::is_uri(&key) {
        return Ok(());
    }
    Ok(root::refuse_exposed(&path_of(&key))?)
}

/// `system.ipcSocketPath`, else `<root>/ipc.socket`.
fn ipc_socket(store: &ConfigurationStore, root: &Path) -> PathBuf {
    match store.read(&["system", "ipcSocketPath"]) {
        Some(serde_json::Value::String(path)) if !path.is_empty() => PathBuf::from(path),
        _ => root.join("ipc.socket"),
    }
}

/// The small launcher beside this program, else this program as its own launcher.
fn launcher(open_files: Option<u64>) -> anyhow::Result<Launcher> {
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let beside = own.with_file_name("marram-jail");
    Ok(if beside.is_file() {
        Launcher { program: beside, arguments: Vec::new(), open_files }
    } else {
        Launcher { program: own, arguments: vec!["jail".into()], open_files }
    })
}
