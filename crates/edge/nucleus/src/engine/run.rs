//! Starting the scripts that a machine asks for.

use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::FilesError;
use marram_supervisor::{Level, OwnUsersError, RunAs, StepEnd, StepLaunch, StepProcess, UserError, should_skip};
use serde_json::Value;
use smol_str::SmolStr;

use super::{Command, Engine};
use crate::lifecycle::{Failure, Input, ScriptEnd, Step};
use crate::plan;
use crate::settings::{self, Surroundings, sandbox};
use crate::shared::Shared;

impl Engine {
    /// Runs a script once its files were looked at; its end comes back through the queue, or at once when there is nothing to run.
    pub(super) fn run_step(&mut self, name: &SmolStr, step: Step, number: u64) {
        let Some(component) = self.components.get_mut(name) else { return };
        if step == Step::Startup {
            component.started = Arc::clone(&component.service);
        }
        let service = match step {
            Step::Shutdown => Arc::clone(&component.started),
            _ => Arc::clone(&component.service),
        };
        if step == Step::Shutdown && std::mem::take(&mut component.paused) {
            // A frozen process would not see what its shutdown script asks of it.
            let _ = self.shared.supervisor.set_frozen(name, false);
        }
        let is_guarded = self.shared.files.get().is_some();
        if !is_guarded || !matches!(plan::step(&service, step), Ok(Some(_))) {
            return self.start_step(name, &service, step, number);
        }
        component.machine.hold(number);
        let (shared, component) = (Arc::clone(&self.shared), name.clone());
        tokio::spawn(async move {
            let verdict = verify(&shared, &component, &service).await;
            shared.send(Command::Verified { component, service, step, number, verdict }).await;
        });
    }

    /// Goes on with a script whose files were looked at, unless it is not wanted any more.
    pub(super) fn verified(
        &mut self,
        name: &SmolStr,
        service: &Value,
        step: Step,
        number: u64,
        verdict: Result<(), FilesError>,
    ) {
        let now = self.now();
        let Some(component) = self.components.get_mut(name) else { return };
        if !component.machine.begin_held(number, now) {
            return;
        }
        match verdict {
            Ok(()) => self.start_step(name, service, step, number),
            Err(error) => {
                let end = ScriptEnd::Failed(refusal(step, &error));
                self.due.push_back((name.clone(), Input::Script { number, end }));
            }
        }
    }

    fn start_step(&mut self, name: &SmolStr, service: &Value, step: Step, number: u64) {
        let process = match launch(&self.shared, name, service, step) {
            Ok(Some(process)) => process,
            Ok(None) => return self.due.push_back((name.clone(), Input::Script { number, end: ScriptEnd::Absent })),
            Err(failure) => {
                let end = ScriptEnd::Failed(failure);
                return self.due.push_back((name.clone(), Input::Script { number, end }));
            }
        };
        if step == Step::Run {
            self.due.push_back((name.clone(), Input::Script { number, end: ScriptEnd::Spawned }));
        }
        let limit = plan::step(service, step).ok().flatten().and_then(|plan| plan.timeout).unwrap_or_default();
        let (shared, component) = (Arc::clone(&self.shared), name.clone());
        tokio::spawn(async move {
            let end = script_end(step, process.wait().await, limit);
            shared.send(Command::Script { component, number, end }).await;
        });
    }
}

/// Looks at the files of the version that `service` is of.
pub(super) async fn verify(shared: &Shared, name: &str, service: &Value) -> Result<(), FilesError> {
    let version = crate::reaction::at(service, &["version"]).and_then(Value::as_str);
    match (shared.files.get(), version) {
        (Some(files), Some(version)) => files.0.verify(name, version).await,
        _ => Ok(()),
    }
}

/// How a script ends that was not started because of its files.
pub(super) fn refusal(step: Step, error: &FilesError) -> Failure {
    match error {
        FilesError::Changed(what) => Failure::changed(step, what),
        FilesError::Unreadable(what) => Failure::io(step, what),
    }
}

/// Whoever a component runs as may open the core's socket; what it may do there its token says.
fn admit(user: &mut RunAs, socket_group: Option<u32>) {
    let identity = &mut user.identity;
    if let Some(group) = socket_group.filter(|group| identity.uid != 0 && identity.gid != *group)
        && !identity.groups.contains(&group)
    {
        identity.groups.push(group);
    }
}

fn script_end(step: Step, end: StepEnd, limit: Duration) -> ScriptEnd {
    match end {
        StepEnd::Exited(0) => ScriptEnd::Done,
        StepEnd::Exited(code) => ScriptEnd::Failed(Failure::exit(step, code)),
        StepEnd::Signaled(signal) => ScriptEnd::Failed(Failure::signal(step, signal)),
        StepEnd::OutOfMemory => ScriptEnd::Failed(Failure::out_of_memory(step)),
        StepEnd::TimedOut => ScriptEnd::Failed(Failure::timeout(step, limit)),
    }
}

/// Starts a script as the tree says now; none when the component has none or it is to be skipped. On a full disk the room that the core
/// keeps serves what it writes to start one.
pub(super) fn launch(
    shared: &Arc<Shared>,
    name: &SmolStr,
    service: &Value,
    step: Step,
) -> Result<Option<StepProcess>, Failure> {
    let launched = try_launch(shared, name, service, step);
    match launched.is_err().then(|| shared.store.room_in_need()?.open()).flatten() {
        Some(_open) => try_launch(shared, name, service, step),
        None => launched,
    }
}

fn try_launch(
    shared: &Arc<Shared>,
    name: &SmolStr,
    service: &Value,
    step: Step,
) -> Result<Option<StepProcess>, Failure> {
    let Some(plan) = plan::step(service, step).map_err(|cause| Failure::not_valid(step, &cause))? else {
        return Ok(None);
    };
    // Names of deployments are checked when they come; what an older core took in stands in its tree.
    marram_recipe::check_component_name(name).map_err(|error| Failure::not_valid(step, &error.to_string()))?;
    let work_dir = shared.root.join("work").join(name.as_str());
    let launch = {
        let tree = shared.store.tree();
        if plan.privileged && !settings::may_be_privileged(&tree, name) {
            let cause = "The step requires privileges that the configuration of this core does not allow.";
            return Err(Failure::not_valid(step, cause));
        }
        let configured = settings::users(&tree, service);
        let own = !plan.privileged && shared.own_users.is_some() && sandbox::has_own_user(&tree, &configured);
        let mut user = match shared.own_users.as_ref().filter(|_| own) {
            Some(users) => {
                users.of(name, &work_dir).map_err(|error: OwnUsersError| Failure::io(step, &error.to_string()))?
            }
            None => {
                let configured = configured.each_ref().map(Option::as_deref);
                shared.users.resolve(&configured, plan.privileged).map_err(|error| match error {
                    UserError::NotConfigured => Failure::missing_run_with(step, &error.to_string()),
                    _ => {
                        Failure::not_valid(step, &format!("Who it runs as, by `runWith` or `runWithDefault`: {error}."))
                    }
                })?
            }
        };
        admit(&mut user, shared.socket_group);
        let is_entitled = shared.entitle(name, service);
        let credentials_uri = shared.credentials_uri().filter(|_| is_entitled);
        let sandbox = sandbox::of_step(
            &tree,
            service,
            &sandbox::Step {
                component: name,
                privileged: plan.privileged,
                own_user: own,
                root: &shared.root,
                socket: &shared.ipc_socket,
                credentials_port: credentials_uri.as_deref().and_then(settings::port_of),
            },
        )
        .map_err(|cause| Failure::not_valid(step, &cause))?;
        let mut extra = plan.environment;
        if step == Step::Uninstall
            && let Some(version) = crate::reaction::at(service, &["version"]).and_then(Value::as_str)
        {
            extra.push(("GREENGRASS_COMPONENT_VERSION".to_owned(), version.to_owned()));
        }
        let environment = settings::environment(
            &tree,
            service,
            &extra,
            &Surroundings {
                token: &shared.tokens.of_component(name),
                user: &user,
                ipc_socket: &shared.ipc_socket,
                runtime_version: &shared.version,
                credentials_uri: credentials_uri.as_deref(),
                root: &shared.root,
                own: &shared.own_environment,
            },
        );
        StepLaunch {
            component: name.clone(),
            step: step.as_str(),
            script: plan.script,
            shell: settings::shell(&tree),
            environment,
            work_dir,
            // The start as a whole has its limit in the machine, because a component may report RUNNING before its
            // `startup` script ends.
            timeout: plan.timeout.filter(|_| step != Step::Startup),
            limits: settings::limits(&tree, service),
            no_new_privileges: settings::no_new_privileges(service, &user),
            sandbox,
            user,
        }
    };
    if let Some(condition) = &plan.skip_if {
        let path = launch.environment.iter().find(|(name, _)| name == "PATH").map_or("", |(_, path)| path);
        if should_skip(condition, path, &launch.work_dir)
            .map_err(|error| Failure::not_valid(step, &error.to_string()))?
        {
            shared.supervisor.logs().of(name).note(Level::Info, "step-skipped", step.as_str());
            return Ok(None);
        }
    }
    let started = shared.supervisor.start(launch);
    started.map(Some).map_err(|error| Failure::io(step, &error.to_string()))
}
