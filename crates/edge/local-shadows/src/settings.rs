//! Configuration of the component `aws.greengrass.ShadowManager` (core-components.md section 3.1).

use marram_shadow::{Limits, MAX_DOCUMENT_BYTES_RAISED};
use serde_json::Value;

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

/// A member of the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member} must be {wanted}")]
pub struct SettingsError {
    /// Its place.
    pub member: &'static str,
    /// What it should be.
    pub wanted: String,
}

impl ShadowSettings {
    /// Reads the component's configuration; unknown members are ignored, absent ones have their defaults.
    ///
    /// # Errors
    /// A member of the wrong type or range.
    pub fn from_configuration(configuration: &Value) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(bytes) =
            number(configuration, "/shadowDocumentSizeLimitBytes", 1, MAX_DOCUMENT_BYTES_RAISED as u64)?
        {
            settings.limits.document_bytes = usize::try_from(bytes).unwrap_or(MAX_DOCUMENT_BYTES_RAISED);
        }
        let rate = |member| number(configuration, member, 1, u64::from(u32::MAX));
        if let Some(rate) = rate("/rateLimits/maxTotalLocalRequestsRate")? {
            settings.rates.total = u32::try_from(rate).unwrap_or(u32::MAX);
        }
        if let Some(rate) = rate("/rateLimits/maxLocalRequestsPerSecondPerThing")? {
            settings.rates.per_thing = u32::try_from(rate).unwrap_or(u32::MAX);
        }
        settings.strict_empty_objects = match configuration.pointer("/marram/strictEmptyObjects") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(strict)) => *strict,
            Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(_) => {
                return Err(SettingsError { member: "/marram/strictEmptyObjects", wanted: "true or false".to_owned() });
            }
        };
        Ok(settings)
    }
}

/// Numbers may come as text, as in every component configuration.
pub(crate) fn number(
    configuration: &Value,
    member: &'static str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, SettingsError> {
    let found = match configuration.pointer(member) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => {
            number.as_u64().or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0).map(|f| f as u64))
        }
        Some(_) => None,
    };
    match found.filter(|number| (least..=most).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(SettingsError { member, wanted: format!("a whole number from {least} to {most}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// CC 3.1: defaults, numbers as text, unknown members ignored, wrong ones named.
    #[test]
    fn the_configuration_is_read_or_refused_by_name() {
        assert_eq!(
            ShadowSettings::from_configuration(&json!({"strategy": {"type": "realTime"}})).unwrap(),
            ShadowSettings::default()
        );
        let read = ShadowSettings::from_configuration(&json!({
            "shadowDocumentSizeLimitBytes": "30720",
            "rateLimits": {"maxTotalLocalRequestsRate": 5.0, "maxLocalRequestsPerSecondPerThing": 2},
            "marram": {"strictEmptyObjects": true},
        }));
        let read = read.unwrap();
        assert_eq!((read.limits.document_bytes, read.rates), (30720, RateLimits { total: 5, per_thing: 2 }));
        assert!(read.strict_empty_objects);
        for (wrong, member) in [
            (json!({"shadowDocumentSizeLimitBytes": 30721}), "/shadowDocumentSizeLimitBytes"),
            (json!({"shadowDocumentSizeLimitBytes": true}), "/shadowDocumentSizeLimitBytes"),
            (json!({"rateLimits": {"maxTotalLocalRequestsRate": 0}}), "/rateLimits/maxTotalLocalRequestsRate"),
            (json!({"rateLimits": {"maxTotalLocalRequestsRate": -1}}), "/rateLimits/maxTotalLocalRequestsRate"),
        ] {
            assert_eq!(ShadowSettings::from_configuration(&wrong).unwrap_err().member, member, "{wrong}");
        }
    }
}
