//! `marram-core doctor`: how components are held on this host, which program runs, and which rights the core lacks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marram_deployer::{Deployer, Holding, Pace, Reserve, holdings, most, place, shown};
use marram_device_keys::KeyUri;
use marram_edge_ports::{Checks, CloudMessages as _, Finding, Nucleus as _, Room as _, Severity};
use marram_loader::{Alts, LOADER_VARIABLE};
use marram_nucleus::NucleusHandle;
use marram_pki::{Certificate, pem};
use marram_reach::Reach;
use marram_supervisor::{Mounting, Profile, Supervisor, lacking};
use marram_types::{Clock as _, SystemClock, Timestamp};
use marram_uplink::Greengrass;
use rustix::fs::StatVfsMountFlags;
use tokio::sync::watch;

use crate::claim::Obstacle;
use crate::cloud::Cloud;
use crate::initial;
use crate::local::{LateSecrets, LateShadows};
use crate::token::path_of;

/// Looks at the parts that other doctors do not see.
pub(crate) struct Doctor {
    supervisor: Supervisor,
    root: PathBuf,
    alts: Alts,
    passed_over: Option<Finding>,
    unclaimed: Obstacle,
}

impl Doctor {
    pub(crate) fn new(supervisor: Supervisor, root: &Path, passed_over: Option<Finding>, unclaimed: Obstacle) -> Self {
        Self { supervisor, root: root.to_owned(), alts: Alts::new(root), passed_over, unclaimed }
    }

    /// A doctor for a running core.
    pub(crate) fn of(
        self,
        nucleus: &NucleusHandle,
        cloud: &Cloud,
        deployer: &Deployer,
        reserve: &Reserve,
        shadows: Arc<LateShadows>,
        secrets: Arc<LateSecrets>,
    ) -> Rounds {
        Rounds {
            supervisor: self.supervisor,
            root: self.root,
            alts: self.alts,
            passed_over: self.passed_over,
            unclaimed: self.unclaimed,
            nucleus: nucleus.clone(),
            data_plane: Arc::clone(&cloud.data_plane),
            line: cloud.uplink.connection(),
            shadows,
            secrets,
            deployer: deployer.clone(),
            reserve: reserve.clone(),
        }
    }
}

/// Whether the file system at a path takes no writes from this process; one that is not there may still come.
fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The checks of a running core.
pub(crate) struct Rounds {
    supervisor: Supervisor,
    root: PathBuf,
    alts: Alts,
    passed_over: Option<Finding>,
    nucleus: NucleusHandle,
    data_plane: Arc<Greengrass>,
    line: watch::Receiver<bool>,
    shadows: Arc<LateShadows>,
    secrets: Arc<LateSecrets>,
    deployer: Deployer,
    reserve: Reserve,
    unclaimed: Obstacle,
}

impl Checks for Rounds {
    fn findings(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        self.disk(&mut all);
        self.layers(&mut all);
        self.limits(&mut all);
        self.profiles(&mut all);
        self.written(&mut all);
        self.networks(&mut all);
        self.program(&mut all);
        self.rights(&mut all);
        self.certificate(&mut all);
        self.control_plane(&mut all);
        self.files(&mut all);
        self.apart(&mut all);
        self.settings(&mut all);
        all
    }
}

impl Rounds {
    /// What there is no room for on the disk, and who took it.
    fn disk(&self, all: &mut Vec<Finding>) {
        let Some(space) = self.reserve.space() else { return };
        let is_full = space.is_full() || self.reserve.trouble().borrow().is_some();
        if !is_full && space.free.saturating_add(self.reserve.kept_bytes()) >= Pace::default().min_free_bytes {
            return;
        }
        let state = if is_full { "full" } else { "nearly full, artifacts of deployments are refused" };
        let holdings = holdings(&self.root);
        let (place, free, total) = (place(&self.root), shown(space.free), shown(space.total));
        let files = space.files.map(|files| format!(" and {files} files")).unwrap_or_default();
        let what = format!(
            "the disk is {state}: {place} has {} bytes ({free} of {total}){files} free, and {} kept for the core{}",
            space.free,
            shown(self.reserve.kept_bytes()),
            most(&holdings)
        );
        let is_deployed = |one: &&Holding| self.nucleus.get(&["services", &one.component]).is_some();
        let stop = holdings.iter().find(is_deployed).map(|one| {
            let name = &one.component;
            format!("deploy without {name}, or stop it here (`greengrass-cli component stop --names {name}`); ")
        });
        let delete = holdings.first().map_or_else(
            || "delete files that are not needed, or give the file system more room".to_owned(),
            |one| {
                let folder = self.root.join("work").join(&one.component);
                format!(
                    "then delete what is not needed in {}: the work folder of a component stays when the component goes",
                    folder.display()
                )
            },
        );
        all.push(Finding::new(Severity::Error, what, format!("{}{delete}", stop.unwrap_or_default())));
    }

    fn layers(&self, all: &mut Vec<Finding>) {
        let offer = self.supervisor.offer();
        let mut offered = Vec::new();
        if offer.landlock > 0 {
            offered.push(format!("file rules (Landlock ABI {})", offer.landlock));
        }
        if offer.syscalls {
            offered.push("system call filters".to_owned());
        }
        match offer.mounting {
            Some(Mounting::Privileged) => offered.push("private /tmp".to_owned()),
            Some(Mounting::Namespace) => offered.push("private /tmp in user namespaces".to_owned()),
            None => {}
        }
        if !offered.is_empty() {
            let what = format!("sandboxes of components have {}", offered.join(", "));
            all.push(Finding::new(Severity::Note, what, "nothing to do"));
        }
        let severity = if self.nucleus.requires_sandboxes() { Severity::Error } else { Severity::Warning };
        for layer in lacking(offer) {
            let what = format!("sandboxes of components lack {layer}");
            let advice = "update the kernel, or allow it to this service; `marram.sandbox.policy: require` refuses \
                          components until then";
            all.push(Finding::new(severity, what, advice));
        }
    }

    fn limits(&self, all: &mut Vec<Finding>) {
        let (memory, pids) = self.supervisor.holds();
        let own_users = rustix::process::geteuid().is_root();
        let advice = "delegate a cgroup to the core (`Delegate=yes` of the unit)";
        if !memory {
            let what = "memory limits are held by each process for itself, not by a cgroup";
            all.push(Finding::new(Severity::Warning, what, advice));
        }
        if !pids {
            let what = match own_users {
                true => "limits on processes are held by the component's user, not by a cgroup",
                false => "no limit on processes holds: there is no cgroup, and components share the core's user",
            };
            all.push(Finding::new(Severity::Warning, what, advice));
        }
        if !own_users {
            let what = "components run as the core's own user: only file rules keep them from each other's files";
            all.push(Finding::new(
                Severity::Note,
                what,
                "run the core as root; it gives each component a user of its own",
            ));
        }
    }

    fn program(&self, all: &mut Vec<Finding>) {
        if std::env::var_os(LOADER_VARIABLE).is_none() {
            let what = "the core was started without its loader: it cannot update itself";
            all.push(Finding::new(
                Severity::Note,
                what,
                "start it with `marram-core loader`, as the packaged unit does",
            ));
            return;
        }
        if let Some(trial) = self.alts.trial() {
            let what = format!("the program {} did not confirm itself yet (start {})", trial.name, trial.starts);
            all.push(Finding::new(Severity::Warning, what, "it has some minutes; then the loader goes back"));
        }
        if let Some((name, reason)) = self.alts.last_returned() {
            let what = format!("the program {name} was given up: {reason}");
            all.push(Finding::new(Severity::Warning, what, "deploy another version of marram.Core"));
        }
    }

    /// An installation may be older than its core, and its policy of cores altered by hand.
    fn rights(&self, all: &mut Vec<Finding>) {
        for (request, words) in self.data_plane.denied() {
            let what = format!("the control plane denies this core `{request}`: {words}");
            let advice = "let the policy of its certificate allow it; a new `marram core provision` makes the policy when it \
                          is missing, and tells whether the one there was altered";
            all.push(Finding::new(Severity::Warning, what, advice));
        }
        for (secret, words) in self.secrets.denied() {
            let what = format!("the control plane denies this core the secret {secret}: {words}");
            let advice = "call it `greengrass-...`, tag it `marram:for-cores` = `true`, or let the core's role read it; or take \
                          it out of `cloudSecrets`";
            all.push(Finding::new(Severity::Warning, what, advice));
        }
    }

    /// A certificate whose time is over or has not come: with it no line comes up by itself, as long as the clock is right.
    fn certificate(&self, all: &mut Vec<Finding>) {
        let path = self.nucleus.get(&["system", "certificateFilePath"]);
        let Some(path) = path.as_ref().and_then(|path| path.as_str()).filter(|path| !path.is_empty()) else { return };
        if *self.line.borrow() || KeyUri::is_uri(path) {
            return;
        }
        let Ok(text) = std::fs::read_to_string(path_of(path)) else { return };
        let Some(certificate) = pem::certificate(&text).ok().and_then(|der| Certificate::from_der(&der).ok()) else {
            return;
        };
        let now = SystemClock.now();
        let seconds = now.as_millis() / 1_000;
        let shown = |seconds: i64| Timestamp::from_secs(seconds).to_string();
        let (what, advice) = match seconds {
            _ if seconds < certificate.not_before() => (
                format!("the core's certificate is not valid before {}", shown(certificate.not_before())),
                "set the clock of this device; components run meanwhile, and the line comes back by itself",
            ),
            _ if seconds > certificate.not_after() => (
                format!("the core's certificate is over since {}", shown(certificate.not_after())),
                "set the clock of this device if it is wrong; else give the core a new certificate (`marram core provision`)",
            ),
            _ => return,
        };
        all.push(Finding::new(Severity::Error, format!("{what}, and this device's clock shows {now}"), advice));
    }

    /// Mistakes in the configuration of the core itself.
    fn settings(&self, all: &mut Vec<Finding>) {
        all.extend(self.passed_over.clone());
        let get = |path: &[&str]| self.nucleus.get(path).unwrap_or_default();
        let nucleus = get(&["services", "aws.greengrass.Nucleus", "configuration"]);
        for fault in marram_deploy::check_nucleus(&nucleus) {
            let what = format!("a setting of aws.greengrass.Nucleus cannot be: {fault}");
            all.push(Finding::new(Severity::Error, what, "deploy it anew"));
        }
        let thing = self.nucleus.get(&["system", "thingName"]);
        let scope = marram_deploy::Scope::Core(thing.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default());
        for part in marram_deploy::BUILTINS.iter().filter(|part| part.name != marram_deploy::NUCLEUS) {
            let own = get(&["services", part.name, "configuration"]);
            for fault in marram_deploy::check_component(part.name, &own, scope) {
                let what = format!("a setting of {} cannot be: {fault}", part.name);
                all.push(Finding::new(Severity::Error, what, "deploy it anew"));
            }
        }
        for part in marram_deploy::BUILTINS {
            for key in marram_deploy::unknown_settings(part.name, &get(&["services", part.name, "configuration"])) {
                let advice = format!("take it away, or correct it, by a deployment of {}", part.name);
                all.push(Finding::new(Severity::Warning, key.told(part.name), advice));
            }
        }
        if let Some(why) = self.unclaimed.get() {
            let what = format!("this core has no identity yet, its claim ends with: {why}");
            all.push(Finding::new(Severity::Error, what, "mend what it names; the claim is tried again by itself"));
        }
        let claims = self.nucleus.get(&["services", "aws.greengrass.FleetProvisioningByClaim"]).is_some();
        if !claims && let Some(missing) = initial::half_configured(&get(&["system"]), &nucleus) {
            let advice = "complete them in the file of --init-config, and start once with --update-config";
            all.push(Finding::new(Severity::Error, missing, advice));
        }
    }

    /// What the core runs although it is not what was deployed.
    fn files(&self, all: &mut Vec<Finding>) {
        for (component, words) in self.deployer.tampered() {
            let what = format!("files of {component} were changed on this device: {words}");
            let advice = "it does not start until they are mended; look at what writes there and at the storage medium";
            all.push(Finding::new(Severity::Error, what, advice));
        }
    }

    /// Shadows that this core and the control plane hold otherwise, for good.
    fn apart(&self, all: &mut Vec<Finding>) {
        /// Shadows that are named; of more, how many.
        const NAMED: usize = 5;
        let apart = self.shadows.apart();
        for one in apart.iter().take(NAMED) {
            let since = one.since.rfc3339();
            let what = format!("the shadow {} is not synchronised since {since}: {}", one.shadow, one.why);
            let advice = match one.is_too_large {
                true => {
                    "delete what is not needed of it, here or in the control plane, or spread it over several named shadows; \
                     each side keeps its own until then, and a change of either is tried at once"
                }
                false => {
                    "see to what it names; each side keeps its own meanwhile, and it is tried again every two minutes"
                }
            };
            all.push(Finding::new(Severity::Error, what, advice));
        }
        if let Some(more @ 1..) = apart.len().checked_sub(NAMED) {
            let what = format!("{more} more shadows are not synchronised");
            all.push(Finding::new(Severity::Error, what, "the core's log names each"));
        }
    }

    fn control_plane(&self, all: &mut Vec<Finding>) {
        let Some(switch) = self.deployer.switching() else { return };
        let (from, to, deployment) = (&switch.from, &switch.to, &switch.deployment);
        let (what, advice) = match &switch.failure {
            None => (
                format!("deployment {deployment} moves the core from control plane {from} to {to}"),
                "it ends there, or here again when the other one does not hold",
            ),
            Some(failure) => (
                format!(
                    "deployment {deployment} did not move the core to control plane {to}, it is at {from}: {failure}"
                ),
                "correct what it names, then deploy the endpoints again",
            ),
        };
        all.push(Finding::new(Severity::Warning, what, advice));
    }

    /// Who may connect where, and whether that holds here.
    fn networks(&self, all: &mut Vec<Finding>) {
        let obstacle = self.supervisor.network_obstacle();
        match obstacle {
            None => {
                let what = "components are held to the hosts that they declare, by network namespaces";
                all.push(Finding::new(Severity::Note, what, "nothing to do"));
            }
            Some(obstacle) => {
                let what =
                    format!("components that declare the hosts they connect to cannot be held to them: {obstacle}");
                let advice = "run the core as root, or allow user and network namespaces to this service";
                all.push(Finding::new(Severity::Warning, what, advice));
            }
        }
        let mut open = Vec::new();
        for (component, reach) in self.nucleus.reaches() {
            match reach {
                Ok(Reach::Open) => open.push(component),
                Ok(Reach::Held(policy)) => {
                    if let Some(obstacle) = obstacle {
                        let what = format!(
                            "{component} does not start: its marram.sandbox.egress cannot be enforced ({obstacle})"
                        );
                        let advice = "run the core as root, or allow user and network namespaces to this service";
                        all.push(Finding::new(Severity::Error, what, advice));
                    } else if policy.learn {
                        let what = format!("{component} reaches every host, to learn which it needs");
                        let advice = format!("deploy what `marram-core sandbox learn {component}` prints");
                        all.push(Finding::new(Severity::Warning, what, advice));
                    }
                }
                Ok(Reach::Nothing) | Err(_) => {}
            }
        }
        if !open.is_empty() {
            let what = format!("components with the whole network: {}", open.join(", "));
            let advice = "declare their hosts in `marram.sandbox.egress`, or set that of the nucleus to `declared`";
            all.push(Finding::new(Severity::Note, what, advice));
        }
    }

    /// Places that components declare to write to, and that this service may not write to itself: its unit closes them.
    fn written(&self, all: &mut Vec<Finding>) {
        for component in self.nucleus.profiles().into_keys() {
            let path = ["services", &component, "configuration", "marram", "sandbox", "write"];
            let declared = self.nucleus.get(&path).unwrap_or_default();
            let places = declared.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            for place in places.filter(|place| is_read_only(Path::new(place))) {
                let what =
                    format!("{component} declares that it writes to {place}, which is read-only for this service");
                let advice = format!(
                    "`systemctl edit marram-core` with the lines `[Service]` and `ReadWritePaths={place}`, then restart it; or mount \
                     the place writable"
                );
                all.push(Finding::new(Severity::Error, what, advice));
            }
        }
    }

    fn profiles(&self, all: &mut Vec<Finding>) {
        let (mut reaches, running) = (self.nucleus.reaches(), self.nucleus.sandboxed());
        for (component, profile) in self.nucleus.profiles() {
            let held = running.get(&component).copied();
            let unreachable = reaches.remove(&component).and_then(Result::err);
            match unreachable.map_or(profile, Err) {
                Ok(Profile::Off) => {
                    let what = match held {
                        Some(true) => {
                            format!("{component} runs in its sandbox until it is restarted, then without one")
                        }
                        Some(false) | None => format!("{component} runs without a sandbox"),
                    };
                    let advice = "set its `marram.sandbox.profile`, or `marram.sandbox.floor` of the core";
                    all.push(Finding::new(Severity::Warning, what, advice));
                }
                Ok(_) if held == Some(false) => {
                    let what = format!("{component} runs without a sandbox until it is restarted");
                    let advice = format!("`greengrass-cli component restart -n {component}`");
                    all.push(Finding::new(Severity::Warning, what, advice));
                }
                Ok(_) => {}
                Err(why) => {
                    let what = format!("{component} does not start: {why}");
                    all.push(Finding::new(Severity::Error, what, "correct its `marram.sandbox`"));
                }
            }
        }
    }
}
