//! Components, configuration, deployments, messages with the control plane.

use std::sync::Arc;

use marram_edge_ports::{
    ChangedPath, CloudMessage, CloudMessages, CloudPublish, CloudSubscription, ComponentDetails, ComponentState,
    ComponentUpdate, Components, Configuration, DeploymentRecord, DeploymentStatus, Deployments, Hurdle, Later,
    LocalDeploymentRequest, Outage, PortError, ReportedState, Trouble, ValidationRequest,
};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};

use super::{ASKING_DEPLOYMENT, MemoryCore, missing};

impl MemoryCore {
    fn set_state(&self, name: &str, state: ComponentState) -> Result<(), PortError> {
        let mut all = self.state();
        let details = all.components.get_mut(name).ok_or_else(|| PortError::no_component(name))?;
        details.state = state;
        Ok(())
    }
}

impl Components for MemoryCore {
    fn list(&self) -> Vec<ComponentDetails> {
        self.state().components.values().cloned().collect()
    }

    fn details(&self, name: &str) -> Option<ComponentDetails> {
        self.state().components.get(name).cloned()
    }

    fn restart<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move { self.set_state(name, ComponentState::Running).map(|()| None) })
    }

    fn stop<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move { self.set_state(name, ComponentState::Finished).map(|()| None) })
    }

    fn pause<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            // Gives the runtime a turn, as a port that waits would.
            tokio::task::yield_now().await;
            self.details(name).map(drop).ok_or_else(|| PortError::no_component(name))
        })
    }

    fn resume<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        self.pause(name)
    }

    fn report_state(&self, name: &str, state: ReportedState) -> Result<(), PortError> {
        let state = match state {
            ReportedState::Running => ComponentState::Running,
            ReportedState::Errored => ComponentState::Errored,
        };
        self.set_state(name, state)
    }
}

fn find<'a>(root: &'a Value, path: &[SmolStr]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, key| value.get(key.as_str()))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

impl Configuration for MemoryCore {
    fn read(&self, component: &str, path: &[SmolStr]) -> Result<Value, PortError> {
        let state = self.state();
        let details = state.components.get(component).ok_or_else(|| PortError::no_component(component))?;
        let value = find(&details.configuration, path);
        value.cloned().ok_or_else(|| missing("Key", path.last().map_or("", SmolStr::as_str), "Key not found"))
    }

    fn update<'a>(&'a self, component: &'a str, path: &'a [SmolStr], timestamp: i64, value: Value) -> Later<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            let newest = state.newest_leaf.entry(component.into()).or_default();
            if timestamp < *newest {
                return Err(PortError::FailedUpdateCondition("the stored value is newer".to_owned()));
            }
            *newest = timestamp;
            let details = state.components.get_mut(component).ok_or_else(|| PortError::no_component(component))?;
            let value = path.iter().rev().fold(value, |value, key| serde_json::json!({key.as_str(): value}));
            merge(&mut details.configuration, value);
            let changed = ChangedPath { component: component.into(), path: path.to_vec() };
            state.watchers.retain(|(watched, sender)| {
                let concerned = watched.component == component
                    && (changed.path.starts_with(&watched.path) || watched.path.starts_with(&changed.path));
                !concerned || sender.try_send(changed.clone()).is_ok()
            });
            Ok(())
        })
    }

    fn watch(&self, component: &str, path: &[SmolStr]) -> Result<mpsc::Receiver<ChangedPath>, PortError> {
        self.read(component, path)?;
        let (sender, receiver) = mpsc::channel(64);
        let place = ChangedPath { component: component.into(), path: path.to_vec() };
        self.state().watchers.push((place, sender));
        Ok(receiver)
    }

    fn access_control(&self) -> watch::Receiver<Arc<std::collections::BTreeMap<SmolStr, Value>>> {
        self.access_control.subscribe()
    }
}

fn no_deployment(id: &str) -> PortError {
    missing("Deployment", id, "no such deployment")
}

impl Deployments for MemoryCore {
    fn create_local(&self, request: LocalDeploymentRequest) -> Later<'_, String> {
        Box::pin(async move {
            if let Some(folder) = request.recipe_directory.filter(|folder| !folder.is_dir()) {
                return Err(PortError::InvalidRecipeDirectory(format!("{} is no folder", folder.display())));
            }
            if let Some(folder) = request.artifact_directory.filter(|folder| !folder.is_dir()) {
                return Err(PortError::InvalidArtifactsDirectory(format!("{} is no folder", folder.display())));
            }
            let mut state = self.state();
            let id = format!("00000000-0000-4000-8000-{:012}", state.deployments.len() + 1);
            let record = DeploymentRecord {
                id: id.clone(),
                status: DeploymentStatus::Queued,
                created_on: 1_784_000_000_000,
                detailed_status: String::new(),
                error_stack: Vec::new(),
                error_types: Vec::new(),
                failure_cause: None,
                waiting_for: Some("its turn".to_owned()),
                notes: Vec::new(),
            };
            state.deployments.insert(id.clone(), record);
            Ok(id)
        })
    }

    fn cancel_local<'a>(&'a self, id: &'a str) -> Later<'a, String> {
        Box::pin(async move {
            let mut state = self.state();
            let record = state.deployments.get_mut(id).ok_or_else(|| no_deployment(id))?;
            record.status = DeploymentStatus::Canceled;
            Ok("the deployment is cancelled".to_owned())
        })
    }

    fn local_status(&self, id: &str) -> Result<DeploymentRecord, PortError> {
        self.state().deployments.get(id).cloned().ok_or_else(|| no_deployment(id))
    }

    fn local_list(&self) -> Vec<DeploymentRecord> {
        self.state().deployments.values().cloned().collect()
    }

    fn component_updates(&self, component: &str) -> mpsc::Receiver<ComponentUpdate> {
        let (sender, receiver) = mpsc::channel(8);
        let question = ComponentUpdate::Pre { deployment_id: ASKING_DEPLOYMENT.to_owned(), restarting: false };
        sender.try_send(question).expect("the channel has just been made");
        self.state().questions.push(component.into());
        // Held by the watcher list so that the stream stays open.
        tokio::spawn(async move { sender.closed().await });
        receiver
    }

    fn defer(
        &self,
        component: &str,
        deployment_id: &str,
        _recheck_after_ms: i64,
        _message: Option<String>,
    ) -> Result<(), PortError> {
        let asked = self.state().questions.iter().any(|name| name == component);
        if asked && deployment_id == ASKING_DEPLOYMENT {
            return Ok(());
        }
        Err(PortError::InvalidArguments("the component was not asked about this deployment".to_owned()))
    }

    fn validations(&self, _component: &str) -> mpsc::Receiver<ValidationRequest> {
        let (sender, receiver) = mpsc::channel(8);
        let configuration = serde_json::json!({"rate": 7});
        let question = ValidationRequest { configuration, deployment_id: ASKING_DEPLOYMENT.to_owned() };
        sender.try_send(question).expect("the channel has just been made");
        tokio::spawn(async move { sender.closed().await });
        receiver
    }

    fn report_validity(
        &self,
        _component: &str,
        deployment_id: &str,
        _verdict: Result<(), Option<String>>,
    ) -> Result<(), PortError> {
        if deployment_id == ASKING_DEPLOYMENT {
            return Ok(());
        }
        Err(PortError::InvalidArguments("the validation either timed out or was never made".to_owned()))
    }
}

impl CloudMessages for MemoryCore {
    fn publish<'a>(&'a self, _owner: &'a str, message: CloudPublish) -> Later<'a, ()> {
        Box::pin(async move {
            if message.payload.len() > 128 * 1024 {
                return Err(PortError::service("the message is too large for the control plane"));
            }
            let reaches = |filter: &str| {
                filter == message.topic
                    || filter.strip_suffix('#').is_some_and(|prefix| message.topic.starts_with(prefix))
            };
            self.state().cloud.retain(|(filter, sender)| {
                !reaches(filter)
                    || !matches!(sender.try_send(message.clone()), Err(mpsc::error::TrySendError::Closed(_)))
            });
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, _owner: &'a str, filter: &'a str, _qos: u8) -> Later<'a, CloudSubscription> {
        Box::pin(async move {
            if filter.trim_end_matches('#').contains('#') {
                return Err(PortError::InvalidArguments("the filter is not valid".to_owned()));
            }
            tokio::task::yield_now().await;
            let (sender, messages) = mpsc::channel::<CloudMessage>(100);
            self.state().cloud.push((filter.to_owned(), sender));
            Ok(CloudSubscription { messages, guard: Box::new(()) })
        })
    }

    fn connection(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    fn outage(&self) -> Option<Outage> {
        let trouble = Trouble {
            hurdle: Hurdle::Refused,
            reason: "nobody listens at plane:8883".to_owned(),
            detail: "Connection refused".to_owned(),
        };
        let outage = Outage { since: 0, was_up: true, trouble: Some(trouble), waiting_messages: 2, waiting_bytes: 96 };
        (!*self.connected.borrow()).then_some(outage)
    }
}
