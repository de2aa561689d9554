//! Configuration of the component `aws.greengrass.ShadowManager` (core-components.md section 3.1).

use marram_shadow::{Limits, MAX_DOCUMENT_BYTES_RAISED};
use serde_json::Value;

use crate::reader::{Place, Reader, Reading, Scope};

/// The component's name.
pub const SHADOW_MANAGER: &str = "aws.greengrass.ShadowManager";

/// Requests a second. They protect the disk and the other components; both ways in count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Of all things together.
    pub total: u32,
    /// Of one thing.
    pub per_thing: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { total: 200, per_thing: 20 }
    }
}

/// What the component's configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShadowSettings {
    /// Size and depth of documents.
    pub limits: Limits,
    /// Requests a second.
    pub rates: RateLimits,
    /// `marram.strictEmptyObjects`: an empty object is a value, as in the control plane, instead of counting as missing.
    pub strict_empty_objects: bool,
}

impl ShadowSettings {
    /// Reads what local requests go by; what is synchronised is not looked at.
    pub fn read(configuration: &Value) -> Reading<Self> {
        let mut reader = Reader::new(Scope::Core(""));
        let settings = Self::read_with(&mut reader, &Place::root(configuration));
        reader.end(settings)
    }

    pub(crate) fn read_with(reader: &mut Reader<'_>, root: &Place<'_>) -> Self {
        let mut settings = Self::default();
        if let Some(bytes) = reader.whole(root, "shadowDocumentSizeLimitBytes", 1..=MAX_DOCUMENT_BYTES_RAISED as i64) {
            settings.limits.document_bytes = usize::try_from(bytes).unwrap_or(MAX_DOCUMENT_BYTES_RAISED);
        }
        if let Some(rates) = reader.part(root, RATE_LIMITS, &RATES) {
            settings.rates.total = rate(reader, &rates, RATES[0]).unwrap_or(settings.rates.total);
            settings.rates.per_thing = rate(reader, &rates, RATES[1]).unwrap_or(settings.rates.per_thing);
        }
        if let Some(own) = root.member("marram").filter(|own| own.value.is_object()) {
            settings.strict_empty_objects = reader.flag(&own, "strictEmptyObjects").unwrap_or_default();
        }
        settings
    }
}

pub(crate) const RATE_LIMITS: &str = "rateLimits";
pub(crate) const RATES: [&str; 3] =
    ["maxTotalLocalRequestsRate", "maxLocalRequestsPerSecondPerThing", "maxOutboundSyncUpdatesPerSecond"];

/// Something a second.
pub(crate) fn rate(reader: &mut Reader<'_>, of: &Place<'_>, key: &str) -> Option<u32> {
    reader.whole(of, key, 1..=i64::from(u32::MAX)).and_then(|rate| u32::try_from(rate).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// CC 3.1: defaults, numbers as text, unknown members passed over.
    #[test]
    fn the_configuration_is_read() {
        let read = |configuration: Value| ShadowSettings::read(&configuration).usable().unwrap();
        assert_eq!(read(json!({"strategy": {"type": "realTime"}})), ShadowSettings::default());
        let settings = read(json!({
            "shadowDocumentSizeLimitBytes": "30720",
            "rateLimits": {"maxTotalLocalRequestsRate": 5.0, "maxLocalRequestsPerSecondPerThing": 2},
            "marram": {"strictEmptyObjects": true},
        }));
        assert_eq!((settings.limits.document_bytes, settings.rates), (30720, RateLimits { total: 5, per_thing: 2 }));
        assert!(settings.strict_empty_objects);
        let wrong = ShadowSettings::read(&json!({"shadowDocumentSizeLimitBytes": 30721}));
        assert_eq!(wrong.usable().unwrap_err().0[0].path, "/shadowDocumentSizeLimitBytes");
    }
}
