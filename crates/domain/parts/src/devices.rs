//! `aws.greengrass.clientdevices.Auth`: device groups, trust, certificates (core-components.md 2.5.1).

use serde_json::Value;

use crate::policy::DeviceGroups;
use crate::reader::{Place, Reader, Reading, Scope};

/// The component's name.
pub const AUTH: &str = "aws.greengrass.clientdevices.Auth";

/// How long the control plane's word is trusted without asking again, unless configured: a week, so that cores keep
/// working offline.
const TRUST_MINUTES: u64 = 7 * 24 * 60;
/// Life of a server certificate, seconds, unless configured.
const SERVER_SECONDS: i64 = 604_800;
/// Bounds of that life.
const SERVER_SECONDS_RANGE: std::ops::RangeInclusive<i64> = 60..=864_000;
/// Sessions of broker components that are kept unless configured.
const MAX_SESSIONS: usize = 2_500;
/// The original takes any number and keeps it within bounds of its own.
const ANY: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// What the component's configuration decides.
#[derive(Debug, Clone)]
pub struct DeviceSettings {
    /// Groups with their policies.
    pub groups: DeviceGroups,
    /// How long the control plane's word is trusted, minutes.
    pub trust_minutes: u64,
    /// Life of a server certificate, seconds.
    pub server_seconds: i64,
    /// Sessions of broker components that are kept.
    pub max_sessions: usize,
    /// The client id is the thing name, and not only its beginning.
    pub is_name_client_id: bool,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            groups: DeviceGroups::default(),
            trust_minutes: TRUST_MINUTES,
            server_seconds: SERVER_SECONDS,
            max_sessions: MAX_SESSIONS,
            is_name_client_id: true,
        }
    }
}

impl DeviceSettings {
    /// Reads the component's configuration; null is none. A fault in `deviceGroups` makes it unusable, any other leaves the default.
    pub fn read(configuration: &Value, scope: Scope<'_>) -> Reading<Self> {
        let mut reader = Reader::new(scope);
        let mut settings = Self::default();
        if configuration.is_null() {
            return reader.end(settings);
        }
        let root = Place::root(configuration);
        reader.is_lenient = true;
        let parts = ["deviceGroups", "certificates", "certificateAuthority", "performance", "security", "metrics"];
        if !reader.map(&root, &[&parts[..], &["ca_type"]].concat()) {
            return reader.end(settings);
        }
        settings.others(&mut reader, &root);
        reader.is_lenient = false;
        if let Some(groups) = root.member(parts[0]) {
            settings.groups = DeviceGroups::read(&mut reader, &groups);
        }
        reader.end(settings)
    }

    fn others(&mut self, reader: &mut Reader<'_>, root: &Place<'_>) {
        let keys = [
            "serverCertificateValiditySeconds",
            "clientCertificateValiditySeconds",
            "disableCertificateRotation",
            "keyType",
        ];
        if let Some(part) = reader.part(root, "certificates", &keys) {
            let seconds = reader.whole(&part, keys[0], ANY).unwrap_or(SERVER_SECONDS);
            self.server_seconds = seconds.clamp(*SERVER_SECONDS_RANGE.start(), *SERVER_SECONDS_RANGE.end());
            reader.whole(&part, keys[1], ANY);
            reader.flag(&part, keys[2]);
            reader.text(&part, keys[3]);
        }
        let keys = ["caType", "privateKeyUri", "certificateUri", "certificateChainUri"];
        if let Some(part) = reader.part(root, "certificateAuthority", &keys) {
            authority_types(reader, &part, keys[0]);
            for key in &keys[1..] {
                reader.text(&part, key);
            }
        }
        authority_types(reader, root, "ca_type");
        let keys = ["maxActiveAuthTokens", "cloudRequestQueueSize", "maxConcurrentCloudRequests"];
        if let Some(part) = reader.part(root, "performance", &keys) {
            let most = reader.whole(&part, keys[0], ANY).map(|most| usize::try_from(most.max(1)).unwrap_or(usize::MAX));
            self.max_sessions = most.unwrap_or(MAX_SESSIONS);
            reader.whole(&part, keys[1], ANY);
            reader.whole(&part, keys[2], ANY);
        }
        let keys =
            ["clientDeviceTrustDurationMinutes", "requireAssociation", "revocation", "clientIdMustEqualThingName"];
        if let Some(part) = reader.part(root, "security", &keys) {
            let minutes = reader.whole(&part, keys[0], ANY).map(|minutes| minutes.clamp(1, i64::from(u32::MAX)) as u64);
            self.trust_minutes = minutes.unwrap_or(TRUST_MINUTES);
            reader.flag(&part, keys[1]);
            reader.word(&part, keys[2], &["crl", "ocsp", "none"], true);
            self.is_name_client_id = reader.flag(&part, keys[3]).unwrap_or(true);
        }
        let keys = ["disableMetrics", "aggregatePeriodSeconds"];
        if let Some(part) = reader.part(root, "metrics", &keys) {
            reader.flag(&part, keys[0]);
            reader.whole(&part, keys[1], ANY);
        }
    }
}

/// A kind of key, or a list of such.
fn authority_types(reader: &mut Reader<'_>, of: &Place<'_>, key: &str) {
    if of.member(key).is_some_and(|place| place.value.is_string()) {
        reader.text(of, key);
    } else {
        reader.texts(of, key);
    }
}
