//! A control plane for tests: it says what it is told to say about devices.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use marram_edge_ports::{CoreEndpoint, DataPlaneError, DeviceCloud, Later};

/// Everybody is registered and associated until it is told otherwise.
#[derive(Default)]
pub(crate) struct Word(Mutex<Said>);

#[derive(Default)]
struct Said {
    asked: u32,
    is_revoked: bool,
    dissociated: BTreeSet<String>,
    /// What every question fails with.
    failure: Option<DataPlaneError>,
}

impl Word {
    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions about associations so far.
    pub(crate) fn asked(&self) -> u32 {
        self.said().asked
    }

    /// The device is no longer this core's.
    pub(crate) fn dissociate(&self, thing: &str) {
        self.said().dissociated.insert(thing.to_owned());
    }

    /// It is again.
    pub(crate) fn associate(&self, thing: &str) {
        self.said().dissociated.remove(thing);
    }

    /// All certificates.
    pub(crate) fn set_revoked(&self, is_revoked: bool) {
        self.said().is_revoked = is_revoked;
    }

    /// No answer can be had.
    pub(crate) fn set_gone(&self, is_gone: bool) {
        self.set_failure(is_gone.then(|| DataPlaneError::Unreachable("cut".to_owned())));
    }

    /// What every question fails with.
    pub(crate) fn set_failure(&self, failure: Option<DataPlaneError>) {
        self.said().failure = failure;
    }

    fn answer<T: Send + 'static>(&self, word: impl FnOnce(&mut Said) -> T) -> Later<'_, T, DataPlaneError> {
        let mut said = self.said();
        let answer = word(&mut said);
        Box::pin(std::future::ready(said.failure.clone().map_or(Ok(answer), Err)))
    }
}

impl DeviceCloud for Word {
    fn is_registered<'a>(&'a self, _: &'a str) -> Later<'a, bool, DataPlaneError> {
        self.answer(|said| !said.is_revoked)
    }
    fn is_associated<'a>(&'a self, thing: &'a str, _: &'a str) -> Later<'a, bool, DataPlaneError> {
        self.answer(|said| {
            said.asked += 1;
            !said.is_revoked && !said.dissociated.contains(thing)
        })
    }
    fn put_authorities(&self, _: Vec<String>) -> Later<'_, (), DataPlaneError> {
        self.answer(|_| ())
    }
    fn endpoints(&self) -> Later<'_, Vec<CoreEndpoint>, DataPlaneError> {
        self.answer(|_| Vec::new())
    }
    fn put_endpoints(&self, _: Vec<CoreEndpoint>) -> Later<'_, (), DataPlaneError> {
        self.answer(|_| ())
    }
}
