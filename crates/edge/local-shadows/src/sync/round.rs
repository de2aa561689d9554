//! One shadow brought into agreement (core-components.md section 3.5).
//!
//! A round looks at both sides, works out what both should hold, writes down what it is about to ask of the cloud, changes the
//! cloud, then this side together with what was agreed. Every step names the version it was worked out from, so a change in
//! between makes the round begin again. Cut off between the two sides, the next round finds the intent: when the cloud has taken
//! it, this side takes it over first, under whatever was changed here since; otherwise our own words would look like the
//! cloud's, and win over newer ones.

use marram_edge_ports::{CloudShadows, DataPlaneError};
use marram_parts::{Direction, SyncSettings};
use marram_shadow::{MAX_DOCUMENT_BYTES, TopicBase};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep_until};

use crate::answer::Refusal;
use crate::rows::{Agreed, Intent};
use crate::shadows::Shadows;
use crate::sync::merge::{State, merge, patch, rebase, shares, state_of};
use crate::sync::side::Here;

/// Rounds begun again because somebody else was faster, before others get their turn.
const AGAIN: usize = 8;

/// What made a round due; the stronger one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Something was changed here: the cloud is as it was, as far as is known.
    Local,
    /// Look at both sides.
    Full,
}

/// Why a round did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundError {
    #[error(transparent)]
    Cloud(#[from] DataPlaneError),
    #[error(transparent)]
    Here(#[from] Refusal),
    #[error("it was changed again and again meanwhile")]
    Busy,
    /// Each side may be small enough; what both hold together is not. Bytes of compact JSON, as the limit counts them.
    #[error(
        "both sides together hold {together} bytes ({here} on this core, {there} in the control plane), which is more than the control \
         plane takes ({MAX_DOCUMENT_BYTES} unless it was raised there)"
    )]
    TooLarge { here: usize, there: usize, together: usize },
    #[error("the control plane's answer has no version")]
    Answer,
}

/// The shadow in the cloud.
struct There {
    state: State,
    version: u64,
}

/// Keeps requests below the rate.
pub(crate) struct Gate(Instant);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) async fn pass(&mut self, rate: u32) {
        let now = Instant::now();
        let at = self.0.max(now);
        self.0 = at + Duration::from_secs(1) / rate.max(1);
        if at > now {
            sleep_until(at).await;
        }
    }
}

/// A round's tools.
pub(crate) struct Round<'a> {
    pub(crate) shadows: &'a Shadows,
    pub(crate) cloud: &'a dyn CloudShadows,
    pub(crate) settings: &'a SyncSettings,
    pub(crate) gate: &'a mut Gate,
    pub(crate) id: &'a TopicBase,
}

impl Round<'_> {
    /// Runs to agreement.
    ///
    /// # Errors
    /// [`RoundError`]; nothing is lost, the round is due again.
    pub(crate) async fn run(&mut self, mut reason: Reason) -> Result<(), RoundError> {
        for _ in 0..AGAIN {
            let here = self.shadows.here(self.id, self.settings.keep_empty)?;
            if reason == Reason::Local && !here.is_changed() && here.intent.is_none() {
                return Ok(());
            }
            if let Some(intent) = &here.intent {
                self.recover(&here, intent).await?;
                reason = Reason::Full;
                continue;
            }
            let done = match reason {
                Reason::Local => self.push(&here).await?,
                Reason::Full => self.settle(&here).await?,
            };
            if done {
                return Ok(());
            }
            reason = Reason::Full;
        }
        Err(RoundError::Busy)
    }

    /// Sends what was changed here onto the version that was agreed; false when that is not possible.
    async fn push(&mut self, here: &Here) -> Result<bool, RoundError> {
        let (Some(state), Some(Agreed { base: Some(base), cloud_version, .. })) = (&here.state, &here.agreed) else {
            return Ok(false);
        };
        if self.settings.direction == Direction::CloudToDevice {
            return Ok(false);
        }
        let cloud_version = match patch(base, state) {
            None => *cloud_version,
            Some(patch) => match self.update(here, state, (base, *cloud_version), state, patch).await? {
                Some(version) => version,
                None => return Ok(false),
            },
        };
        self.agree(here, state.clone(), cloud_version).await?;
        Ok(true)
    }

    /// Ends what an earlier round began: the cloud may hold what it was asked for.
    async fn recover(&mut self, here: &Here, intent: &Intent) -> Result<(), RoundError> {
        let there = self.look().await?;
        let asked = patch(&intent.cloud, &intent.target).unwrap_or_default();
        let taken = there.filter(|there| {
            there.version != intent.cloud_version && shares(&Value::Object(asked), &Value::Object(there.state.clone()))
        });
        let Some(there) = taken else { return Ok(self.shadows.intend(self.id, None).await?) };
        let cloud_version = if there.state == intent.target { there.version } else { intent.cloud_version + 1 };
        let agreed = (intent.target.clone(), cloud_version);
        // The version it was asked at: whatever was changed here since is a change.
        let local_version = (here.version != intent.local_version).then_some(intent.local_version);
        let change = here.state.as_ref().and_then(|state| {
            let target = rebase(&intent.local, state, &intent.target);
            patch(state, &target)
        });
        match change {
            Some(change) => {
                // Overtaken, the intent stands and is looked at again.
                let _ = self.shadows.take_over(self.id, here, change, agreed, local_version).await?;
            }
            None => {
                let (base, cloud_version) = agreed;
                let local_version = local_version.unwrap_or(here.version);
                self.shadows.agree(self.id, Some(Agreed { base: Some(base), local_version, cloud_version })).await?;
            }
        }
        Ok(())
    }

    async fn settle(&mut self, here: &Here) -> Result<bool, RoundError> {
        let there = self.look().await?;
        match (&here.state, there) {
            (None, None) => {
                self.shadows.agree(self.id, None).await?;
                Ok(true)
            }
            (Some(state), Some(there)) => self.reconcile(here, state, there).await,
            (Some(state), None) => self.only_here(here, state).await,
            (None, Some(there)) => self.only_there(here, there).await,
        }
    }

    async fn reconcile(&mut self, here: &Here, state: &State, there: There) -> Result<bool, RoundError> {
        let nothing = State::new();
        let base = here.agreed.as_ref().and_then(|agreed| agreed.base.as_ref()).unwrap_or(&nothing);
        let target = match self.settings.direction {
            Direction::BetweenDeviceAndCloud => merge(base, state, &there.state),
            Direction::DeviceToCloud => state.clone(),
            Direction::CloudToDevice => there.state.clone(),
        };
        let version = match patch(&there.state, &target) {
            None => there.version,
            Some(patch) => match self.update(here, state, (&there.state, there.version), &target, patch).await? {
                Some(version) => version,
                None => return Ok(false),
            },
        };
        match patch(state, &target) {
            None => self.agree(here, target, version).await.map(|()| true),
            Some(patch) => {
                let done = self.shadows.take_over(self.id, here, patch, (target, version), None).await?;
                Ok(done.is_ok())
            }
        }
    }

    /// The cloud has none: it never had, or it was deleted there.
    async fn only_here(&mut self, here: &Here, state: &State) -> Result<bool, RoundError> {
        let was_shared = here.agreed.as_ref().is_some_and(|agreed| agreed.base.is_some());
        let goes_up = match self.settings.direction {
            Direction::BetweenDeviceAndCloud => !was_shared || here.is_changed(),
            Direction::DeviceToCloud => true,
            Direction::CloudToDevice => false,
        };
        if goes_up {
            let nothing = State::new();
            let whole = state.clone();
            let Some(version) = self.update(here, state, (&nothing, 0), state, whole).await? else { return Ok(false) };
            return self.agree(here, state.clone(), version).await.map(|()| true);
        }
        if !was_shared {
            // Not the cloud's business.
            return Ok(true);
        }
        let version = here.agreed.as_ref().map_or(0, |agreed| agreed.cloud_version) + 1;
        Ok(self.shadows.give_up(self.id, here, version).await?.is_ok())
    }

    /// There is none here: there never was, or it was deleted.
    async fn only_there(&mut self, here: &Here, there: There) -> Result<bool, RoundError> {
        let agreed = here.agreed.as_ref().filter(|agreed| agreed.base.is_some());
        let comes_down = match self.settings.direction {
            Direction::BetweenDeviceAndCloud => agreed.is_none_or(|agreed| agreed.cloud_version != there.version),
            Direction::DeviceToCloud => false,
            Direction::CloudToDevice => true,
        };
        if comes_down {
            let (patch, agreed) = (there.state.clone(), (there.state, there.version));
            return Ok(self.shadows.take_over(self.id, here, patch, agreed, None).await?.is_ok());
        }
        if agreed.is_none() {
            // Not the device's business.
            return Ok(true);
        }
        self.gate.pass(self.settings.rate).await;
        let (thing, name) = self.names();
        self.cloud.delete(&thing, &name).await?;
        let agreed = Agreed { base: None, local_version: here.version, cloud_version: there.version + 1 };
        self.shadows.agree(self.id, Some(agreed)).await?;
        Ok(true)
    }

    async fn agree(&self, here: &Here, state: State, cloud_version: u64) -> Result<(), RoundError> {
        let agreed = Agreed { base: Some(state), local_version: here.version, cloud_version };
        if here.agreed.as_ref() != Some(&agreed) {
            self.shadows.agree(self.id, Some(agreed)).await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<Option<There>, RoundError> {
        self.gate.pass(self.settings.rate).await;
        let (thing, name) = self.names();
        let Some(document) = self.cloud.get(&thing, &name).await? else { return Ok(None) };
        let version = document["version"].as_u64().ok_or(RoundError::Answer)?;
        Ok(Some(There { state: state_of(&document, self.settings.keep_empty), version }))
    }

    /// Asks for `patch`, which makes `target` of the cloud's shadow at this version; 0 makes a new one. Answers the version it
    /// led to; none when the shadow there is another than was expected.
    async fn update(
        &mut self,
        here: &Here,
        local: &State,
        (cloud, cloud_version): (&State, u64),
        target: &State,
        patch: State,
    ) -> Result<Option<u64>, RoundError> {
        let intent = Intent {
            local: local.clone(),
            local_version: here.version,
            cloud: cloud.clone(),
            cloud_version,
            target: target.clone(),
        };
        self.shadows.intend(self.id, Some(intent)).await?;
        self.gate.pass(self.settings.rate).await;
        let (thing, name) = self.names();
        let mut body = json!({ "state": patch });
        if cloud_version > 0 {
            body["version"] = json!(cloud_version);
        }
        match self.cloud.update(&thing, &name, body).await {
            Ok(accepted) => Ok(Some(accepted["version"].as_u64().ok_or(RoundError::Answer)?)),
            Err(DataPlaneError::Answered { status: 409, .. }) => {
                self.shadows.intend(self.id, None).await?;
                Ok(None)
            }
            Err(DataPlaneError::Answered { status: 413, .. }) => {
                self.shadows.intend(self.id, None).await?;
                Err(RoundError::TooLarge { here: size(local), there: size(cloud), together: size(target) })
            }
            // What was answered was not taken; without an answer nobody knows.
            Err(error @ DataPlaneError::Answered { status: 400..500, .. }) => {
                self.shadows.intend(self.id, None).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn names(&self) -> (String, String) {
        (self.id.thing.to_string(), self.id.name.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}

/// What the limit of documents counts: the sections, without metadata.
fn size(state: &State) -> usize {
    state.values().map(|section| section.to_string().len()).sum()
}
