//! Devices and their certificates: what the control plane said, and for how long that is trusted (CC 2.5.4, 2.5.5).

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marram_edge_ports::{DataPlaneError, DeviceCloud};
use marram_types::SharedClock;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Associations that are kept; beyond, the ones verified longest ago go.
const MAX_KNOWN: usize = 10_000;
/// How long the control plane may take before its last word counts.
const ANSWER: Duration = Duration::from_secs(5);

/// What is known of a device with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is who it says.
    Known,
    /// It is not, or no longer.
    Unknown,
    /// The control plane cannot be asked and what it said is too old.
    Stale,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Table {
    /// Milliseconds of the last verification, by `thing/certificate id`.
    verified: BTreeMap<String, i64>,
}

/// The devices of a core, remembered on disk.
pub struct KnownDevices {
    path: PathBuf,
    table: Mutex<Table>,
    clock: SharedClock,
    cloud: Option<Arc<dyn DeviceCloud>>,
    /// Rises whenever an association went.
    version: AtomicU64,
}

impl std::fmt::Debug for KnownDevices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownDevices").field("path", &self.path).finish_non_exhaustive()
    }
}

fn key(thing: &str, certificate_id: &str) -> String {
    format!("{thing}/{certificate_id}")
}

impl KnownDevices {
    /// Reads what is remembered in `path`; a damaged file is nothing remembered.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn open(path: &Path, clock: SharedClock, cloud: Option<Arc<dyn DeviceCloud>>) -> io::Result<Self> {
        let table = match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "remembered client devices are lost");
                Table::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Table::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), table: Mutex::new(table), clock, cloud, version: AtomicU64::new(0) })
    }

    /// The control plane associated the device, or still does.
    ///
    /// # Errors
    /// It cannot be remembered; it counts until the core ends.
    pub fn learn(&self, thing: &str, certificate_id: &str) -> io::Result<()> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.verified.insert(key(thing, certificate_id), self.clock.now().as_millis());
        if table.verified.len() > MAX_KNOWN {
            let oldest = table.verified.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.and_then(|key| table.verified.remove(&key));
            self.taken_back();
        }
        self.store(&table)
    }

    /// The association is gone.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub fn forget(&self, thing: &str, certificate_id: &str) -> io::Result<()> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.verified.remove(&key(thing, certificate_id)).is_none() {
            return Ok(());
        }
        self.taken_back();
        self.store(&table)
    }

    /// The certificate is no longer good for any thing.
    fn forget_certificate(&self, certificate_id: &str) -> io::Result<()> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let before = table.verified.len();
        table.verified.retain(|key, _| key.rsplit_once('/').is_none_or(|(_, id)| id != certificate_id));
        if table.verified.len() == before {
            return Ok(());
        }
        self.taken_back();
        self.store(&table)
    }

    /// Open connections are decided anew, whether or not the disk takes what changed.
    fn taken_back(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Rises whenever an association went.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Replaces everything by the list of the control plane: pairs of thing and certificate id.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub fn replace(&self, devices: impl IntoIterator<Item = (SmolStr, SmolStr)>) -> io::Result<()> {
        let now = self.clock.now().as_millis();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.verified = devices.into_iter().take(MAX_KNOWN).map(|(thing, id)| (key(&thing, &id), now)).collect();
        self.taken_back();
        self.store(&table)
    }

    /// Milliseconds since the control plane spoke of a device; the largest when the clock went backwards since.
    fn age(&self, at: i64) -> i64 {
        let age = self.clock.now().as_millis() - at;
        if age < -60_000 { i64::MAX } else { age.max(0) }
    }

    /// How long until a word is older than `most`; `None`: no device is remembered.
    pub(crate) fn until_older_than(&self, most: Duration) -> Option<Duration> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = table.verified.values().map(|at| self.age(*at)).max()?;
        Some(most.saturating_sub(Duration::from_millis(oldest.unsigned_abs())))
    }

    /// Things and certificate ids that the control plane spoke of longer ago than `most`, the oldest word first.
    pub(crate) fn older_than(&self, most: Duration) -> Vec<(String, String)> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let most = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
        let old = table.verified.iter().filter(|(_, at)| self.age(**at) >= most);
        let mut old: Vec<(i64, &String)> = old.map(|(key, at)| (self.age(*at), key)).collect();
        old.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
        let pair = |key: &String| key.rsplit_once('/').map(|(thing, id)| (thing.to_owned(), id.to_owned()));
        old.into_iter().filter_map(|(_, key)| pair(key)).collect()
    }

    /// Asks about a device that is remembered, whose certificate need not be at hand: the control plane answers for the
    /// certificate and the association in one. A word that still holds is [kept](Self::keep) by the caller.
    ///
    /// # Errors
    /// It could not be asked, or the core may not ask.
    pub(crate) async fn ask_again(&self, thing: &str, certificate_id: &str) -> Result<bool, DataPlaneError> {
        let Some(cloud) = &self.cloud else { return Err(DataPlaneError::NotConfigured) };
        let answer = tokio::time::timeout(ANSWER, cloud.is_associated(thing, certificate_id)).await;
        let is_associated =
            answer.map_err(|_| DataPlaneError::Unreachable("it did not answer in time".to_owned()))??;
        if is_associated {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever was refused meanwhile stays forgotten.
            if let Some(at) = table.verified.get_mut(&key(thing, certificate_id)) {
                *at = self.clock.now().as_millis();
            }
        } else if let Err(error) = self.forget(thing, certificate_id) {
            tracing::error!(%error, "client devices cannot be remembered");
        }
        Ok(is_associated)
    }

    /// Writes down what [`Self::ask_again`] learned. Without it the same is asked again after a start.
    pub(crate) fn keep(&self) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.store(&table) {
            tracing::error!(%error, "client devices cannot be remembered");
        }
    }

    fn store(&self, table: &Table) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(table)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }

    /// What is remembered, without asking. A clock that went backwards extends nothing.
    pub fn remembered(&self, thing: &str, certificate_id: &str, trust: Duration) -> Verdict {
        let at = self
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .verified
            .get(&key(thing, certificate_id))
            .copied();
        let Some(at) = at else { return Verdict::Unknown };
        let age = self.clock.now().as_millis() - at;
        let trust = i64::try_from(trust.as_millis()).unwrap_or(i64::MAX);
        if (-60_000..=trust).contains(&age) { Verdict::Known } else { Verdict::Stale }
    }

    /// Whether any thing is remembered with this certificate.
    pub fn is_remembered(&self, certificate_id: &str, trust: Duration) -> bool {
        let things: Vec<String> = {
            let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            let of = |key: &String| {
                key.rsplit_once('/').filter(|(_, id)| *id == certificate_id).map(|(thing, _)| thing.to_owned())
            };
            table.verified.keys().filter_map(of).collect()
        };
        things.iter().any(|thing| self.remembered(thing, certificate_id, trust) == Verdict::Known)
    }

    /// Asks the control plane, and remembers; without it, what is remembered.
    pub async fn verify(&self, thing: &str, certificate_id: &str, pem: &str, trust: Duration) -> Verdict {
        let Some(cloud) = &self.cloud else { return self.remembered(thing, certificate_id, trust) };
        let ask = async {
            if !cloud.is_registered(pem).await? {
                return Ok::<_, DataPlaneError>(None);
            }
            cloud.is_associated(thing, certificate_id).await.map(Some)
        };
        let noted = match tokio::time::timeout(ANSWER, ask).await {
            Ok(Ok(Some(true))) => self.learn(thing, certificate_id).map(|()| Verdict::Known),
            Ok(Ok(None)) => self.forget_certificate(certificate_id).map(|()| Verdict::Unknown),
            Ok(Ok(Some(false))) => self.forget(thing, certificate_id).map(|()| Verdict::Unknown),
            Ok(Err(error)) => {
                tracing::debug!(thing, %error, "a client device cannot be asked about: what is remembered counts");
                Ok(self.remembered(thing, certificate_id, trust))
            }
            Err(_) => Ok(self.remembered(thing, certificate_id, trust)),
        };
        noted.unwrap_or_else(|error| {
            tracing::error!(%error, "client devices cannot be remembered");
            self.remembered(thing, certificate_id, trust)
        })
    }

    /// Whether the certificate is that of any device of this core: the control plane's word; without it, what is remembered.
    pub async fn is_known(&self, certificate_id: &str, pem: &str, trust: Duration) -> bool {
        if let Some(cloud) = &self.cloud
            && let Ok(Ok(answer)) = tokio::time::timeout(ANSWER, cloud.is_registered(pem)).await
        {
            if !answer && let Err(error) = self.forget_certificate(certificate_id) {
                tracing::error!(%error, "client devices cannot be remembered");
            }
            return answer;
        }
        self.is_remembered(certificate_id, trust)
    }
}

#[cfg(test)]
mod tests {
    use marram_types::{ManualClock, Timestamp};

    use super::*;
    use crate::word::Word;

    /// CC 2.5.4, 2.5.5: the control plane's word counts and is remembered for as long as it is trusted; a refusal is
    /// forgotten at once, a control plane that cannot be asked or may not be asked changes nothing; a clock that goes
    /// backwards extends nothing; a start reads what was remembered.
    #[tokio::test]
    async fn the_control_planes_word_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("devices.json");
        let start = Timestamp::from_micros(1_000_000_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let word = Arc::new(Word::default());
        let open = || KnownDevices::open(&path, clock.clone(), Some(word.clone())).unwrap();
        let (known, trust) = (open(), Duration::from_secs(3_600));
        let verify = async |known: &KnownDevices| known.verify("lathe", "c1", "pem", trust).await;
        let gone = DataPlaneError::Unreachable("cut".to_owned());
        let denied = DataPlaneError::Answered { status: 403, code: "AccessDenied".to_owned(), message: String::new() };

        word.dissociate("lathe");
        assert_eq!(verify(&known).await, Verdict::Unknown, "registered, not associated");
        word.set_gone(true);
        assert_eq!(verify(&known).await, Verdict::Unknown);
        word.set_gone(false);
        word.associate("lathe");
        assert_eq!(verify(&known).await, Verdict::Known);
        for error in [denied, gone] {
            word.set_failure(Some(error));
            assert_eq!(verify(&known).await, Verdict::Known);
            assert!(known.is_known("c1", "pem", trust).await && !known.is_known("c2", "pem", trust).await);
        }
        let again = open();
        assert_eq!(verify(&again).await, Verdict::Known);
        clock.advance(trust + Duration::from_secs(1));
        assert_eq!(verify(&again).await, Verdict::Stale);
        clock.set(Timestamp::from_micros(1));
        assert_eq!(verify(&again).await, Verdict::Stale);
        word.set_gone(false);
        assert_eq!(verify(&again).await, Verdict::Known);
        word.set_revoked(true);
        assert_eq!(verify(&again).await, Verdict::Unknown);
        assert!(!again.is_known("c1", "pem", trust).await);
        word.set_gone(true);
        assert_eq!(verify(&again).await, Verdict::Unknown, "forgotten");
    }
}
