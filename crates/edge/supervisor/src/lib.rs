//! Processes of components: users, environment, cgroups, pause, signals, logs (CR 2.8-2.11, 7.7).
//!
//! [`Supervisor::start`] runs one lifecycle step through the launcher (`marram-jail`) in a session and, where the kernel
//! lets us, a cgroup of the component. A component that declared where it may connect has a network of its own. [`Supervisor::stop`] ends everything of a component and comes back when nothing is
//! left. What an earlier run of the core left behind is killed when a supervisor is made.
//!
//! Not here: when a step runs and what its end means (`marram-nucleus`).

mod cgroup;
mod children;
mod line;
mod log;
mod networks;
mod own_users;
mod process;
mod procfs;
mod sandbox;
mod skip;
mod supervisor;
mod user;

pub use cgroup::ResourceLimits;
pub use log::{ComponentLog, Level, LogFormat, LogSettings, Logs};
pub use marram_egress::{Ledger, Local, LocalService};
pub use marram_launch::{Mounting, Offer};
pub use networks::Egress;
pub use own_users::{OwnUsers, OwnUsersError};
pub use process::{StartError, StepEnd, StepLaunch, StepProcess};
pub use sandbox::{Profile, Sandbox, SandboxError, lacking};
pub use skip::{SkipError, should_skip};
pub use supervisor::{Launcher, Supervisor, SupervisorError, sweep};
pub use user::{RunAs, UserError, Users};
