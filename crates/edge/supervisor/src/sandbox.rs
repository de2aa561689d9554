//! What a component's process may reach: profiles, and the bounds they come to on this host (SEC-130, SEC-131).
//!
//! A profile is asked for by the component and bounded by the core ([`Sandbox`]); the launcher said what the host offers
//! ([`marram_launch::Offer`]). Where a layer is missing the component starts without it and everybody can see that it does,
//! unless the core requires all of them.
//!
//! Not here: where profiles are configured (`marram-nucleus`); how a layer works (`marram-launch`).

mod names;
mod paths;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

use marram_launch::{Bounds, Files, Identity, Limit, Offer, Syscalls};

use crate::networks::Egress;
use crate::process::StepLaunch;

/// How strictly a component is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// As the original does: user, groups and limits only.
    Off,
    /// System libraries, own files, network.
    Standard,
    /// Own files, few system calls, no network unless it is asked for.
    Strict,
}

impl Profile {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }

    /// Reads [`Profile::as_str`], in any case.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Off, Self::Standard, Self::Strict]
            .into_iter()
            .find(|profile| word.eq_ignore_ascii_case(profile.as_str()))
    }
}

/// The sandbox of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Not [`Profile::Off`].
    pub profile: Profile,
    /// Whether sockets beyond local ones work; none leaves it to the profile.
    pub network: Option<bool>,
    /// A network of its own, from which the core takes its connections where they may go; none leaves that to `network`.
    pub egress: Option<Egress>,
    /// Declared paths to read and execute.
    pub read: Vec<PathBuf>,
    /// Declared paths to read and write.
    pub write: Vec<PathBuf>,
    /// Declared device nodes.
    pub devices: Vec<PathBuf>,
    /// Artifacts of the component and of those it depends on, its own first.
    pub artifacts: Vec<PathBuf>,
    /// The core's socket.
    pub socket: PathBuf,
    /// The component's folder for what is private to it beside its work, `<root>/private/<component>`.
    pub private: PathBuf,
    /// What no declaration opens: the root of the core, the folder of its key.
    pub protected: Vec<PathBuf>,
    /// No other component has this user.
    pub own_user: bool,
    /// Refuse to start when a layer is missing.
    pub required: bool,
}

/// Why a component cannot be held as its sandbox says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// Layers are missing and all are required.
    #[error("the sandbox policy is `require`, and this host lacks {0}")]
    Lacking(String),
    /// A declared path would open the core's own files.
    #[error("the sandbox cannot open {0}: files of the core lie there")]
    Protected(PathBuf),
    /// A declared path is not absolute.
    #[error("the sandbox cannot open {0}: the path is not absolute")]
    Relative(PathBuf),
    /// What it may reach is declared, and cannot be enforced.
    #[error("this host cannot hold the component to its marram.sandbox.egress: {0}")]
    Network(String),
    /// A private folder cannot be made.
    #[error("private folder {dir}: {reason}")]
    Private {
        /// Where.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Layers that this host does not offer, as words for people; empty when all are there.
pub fn lacking(offer: Offer) -> Vec<&'static str> {
    let mut all = Vec::new();
    if offer.landlock == 0 {
        all.push("file rules (Landlock, Linux 5.13)");
    }
    if !offer.syscalls {
        all.push("system call filters (seccomp)");
    }
    if offer.mounting.is_none() {
        all.push("a /tmp of each component's own (mount namespaces)");
    }
    all
}

/// Adds the layers of `launch.sandbox` to `bounds`; answers variables that replace those of the launch. `network`: how the
/// process enters the network of the component.
pub(crate) fn apply(
    launch: &StepLaunch,
    offer: Offer,
    core_uid: u32,
    network: Option<marram_launch::Network>,
    bounds: &mut Bounds,
) -> Result<Vec<(&'static str, PathBuf)>, SandboxError> {
    let Some(sandbox) = launch.sandbox.as_ref().filter(|sandbox| sandbox.profile != Profile::Off) else {
        return Ok(Vec::new());
    };
    let lacking = lacking(offer);
    if sandbox.required && !lacking.is_empty() {
        return Err(SandboxError::Lacking(lacking.join(", ")));
    }
    paths::check_declared(sandbox)?;
    let private = Private::make(&sandbox.private, launch)?;
    let mut variables = Vec::new();
    let mut places = private.places(&sandbox.protected, &launch.work_dir);
    if let (Some(egress), Some(_)) = (&sandbox.egress, &network) {
        let Some(_) = offer.mounting else {
            return Err(SandboxError::Network("there are no mount namespaces".to_owned()));
        };
        let dir = sandbox.private.join("net");
        let names = names::cover(&dir, &egress.policy, sandbox, launch);
        places.extend(names.map_err(|error| SandboxError::Private { dir, reason: error.to_string() })?);
        bounds.mounting = offer.mounting;
    }
    bounds.network = network;
    if offer.mounting.is_some() && !places.is_empty() {
        bounds.mounting = offer.mounting;
        bounds.mounts = places;
    }
    let covers_tmp = bounds.mounts.iter().any(|(_, place)| place == Path::new("/tmp"));
    if !covers_tmp && !launch.environment.iter().any(|(name, _)| name == "TMPDIR") {
        variables.push(("TMPDIR", private.tmp.clone()));
    }
    let home = paths::home(launch, sandbox, core_uid);
    if home.is_none()
        && launch.environment.iter().any(|(name, value)| name == "HOME" && Path::new(value) == launch.user.home)
    {
        variables.push(("HOME", launch.work_dir.clone()));
    }
    let network = sandbox.egress.is_some() || sandbox.network.unwrap_or(sandbox.profile == Profile::Standard);
    let uid = bounds.identity.as_ref().map_or(core_uid, |identity| identity.uid);
    if offer.landlock > 0 {
        let mut files = Files { abi: offer.landlock, own_sockets: true, ..Files::default() };
        paths::fill(&mut files, launch, sandbox, uid);
        files.write.extend(home);
        files.write.extend([private.tmp, private.shm]);
        if offer.mounting.is_none() && sandbox.profile == Profile::Standard {
            files.write.extend(paths::shared(&sandbox.protected));
        }
        // A user of its own is fence enough, and `shutdown` scripts signal what `run` started.
        let ends_others = matches!(launch.step, "shutdown" | "recover" | "uninstall");
        files.own_signals = uid == core_uid || (!sandbox.own_user && !ends_others);
        bounds.files = Some(files);
    }
    if offer.syscalls {
        bounds.syscalls = Some(if sandbox.profile == Profile::Strict { Syscalls::Strict } else { Syscalls::Standard });
    }
    bounds.no_network = !network;
    bounds.drop_capabilities = true;
    bounds.no_new_privileges = true;
    if let Some(pids) = launch.limits.pids.filter(|_| sandbox.own_user && uid != 0) {
        // Counts by user, so it holds where the user is the component's alone; also without a cgroup.
        bounds.limits.push((Limit::Processes, pids));
    }
    Ok(variables)
}

/// The folder above is entered by the component's user on the way to its own.
const PASSABLE: u32 = 0o711;

/// Makes a folder that only `user` can enter.
fn make_own(folder: &Path, user: &Identity) -> io::Result<()> {
    let make = || DirBuilder::new().mode(0o700).create(folder);
    let is_new = match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.map(|()| true)?,
    };
    let found = folder.symlink_metadata()?;
    if !rustix::process::geteuid().is_root() || found.uid() == user.uid {
        return Ok(());
    }
    if !is_new {
        // Left over from another user: nobody's business any more.
        fs::remove_dir_all(folder)?;
        make()?;
    }
    lchown(folder, Some(user.uid), Some(user.gid))
}

/// Folders that stand in for public ones.
struct Private {
    tmp: PathBuf,
    shm: PathBuf,
}

impl Private {
    fn make(dir: &Path, launch: &StepLaunch) -> Result<Self, SandboxError> {
        let own = Self { tmp: dir.join("tmp"), shm: dir.join("shm") };
        let user = &launch.user.identity;
        let made = DirBuilder::new().recursive(true).mode(PASSABLE).create(dir);
        made.and_then(|()| [&own.tmp, &own.shm].into_iter().try_for_each(|folder| make_own(folder, user)))
            .map_err(|error| SandboxError::Private { dir: dir.to_owned(), reason: error.to_string() })?;
        Ok(own)
    }

    /// What to put over what; a place that holds files of the core or the component stays as it is.
    fn places(&self, protected: &[PathBuf], work_dir: &Path) -> Vec<(PathBuf, PathBuf)> {
        [(&self.tmp, "/tmp"), (&self.tmp, "/var/tmp"), (&self.shm, "/dev/shm")]
            .into_iter()
            .filter(|(_, place)| {
                let place = Path::new(place);
                place.is_dir()
                    && !protected.iter().map(PathBuf::as_path).chain([work_dir]).any(|own| own.starts_with(place))
            })
            .map(|(folder, place)| (folder.clone(), PathBuf::from(place)))
            .collect()
    }
}
