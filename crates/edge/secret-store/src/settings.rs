//! Configuration of the component `aws.greengrass.SecretManager` (core-components.md section 5.1).

use std::time::Duration;

use serde_json::Value;

/// The label every secret is fetched for.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// Requests to the control plane that may wait (`performance.cloudRequestQueueSize`).
const QUEUE_DEFAULT: usize = 100;
/// Secrets that are kept at most; each is a request at every refresh and stays in memory.
const SECRETS_MAX: usize = 500;
/// Labels of a secret at most, as in the control plane.
const LABELS_MAX: usize = 20;

/// One configured secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEntry {
    /// As configured: with or without the six random characters.
    pub arn: String,
    /// Staging labels, `AWSCURRENT` first.
    pub labels: Vec<String>,
}

/// What the component's configuration decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSettings {
    /// The secrets to keep.
    pub secrets: Vec<SecretEntry>,
    /// Time between two refreshes; none: at start and when the configuration changes.
    pub refresh_every: Option<Duration>,
    /// Requests to the control plane that may wait.
    pub queue: usize,
}

impl Default for SecretSettings {
    fn default() -> Self {
        Self { secrets: Vec::new(), refresh_every: None, queue: QUEUE_DEFAULT }
    }
}

impl SecretSettings {
    /// Reads the component's configuration. Entries that cannot be used are left out with a warning.
    pub fn from_configuration(configuration: &Value) -> Self {
        let mut settings = Self::default();
        for entry in configuration.get("cloudSecrets").and_then(Value::as_array).into_iter().flatten() {
            let arn = entry.get("arn").and_then(Value::as_str).unwrap_or_default();
            if !is_secret_arn(arn) {
                tracing::warn!(arn, "not the ARN of a secret, left out");
                continue;
            }
            if settings.secrets.len() == SECRETS_MAX {
                tracing::warn!(arn, max = SECRETS_MAX, "too many secrets, left out");
                continue;
            }
            let mut labels = vec![CURRENT.to_owned()];
            for label in entry.get("labels").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
                if labels.len() < LABELS_MAX && !label.is_empty() && !labels.iter().any(|known| known == label) {
                    labels.push(label.to_owned());
                }
            }
            match settings.secrets.iter_mut().find(|known| known.arn == arn) {
                Some(known) => known.labels = labels,
                None => settings.secrets.push(SecretEntry { arn: arn.to_owned(), labels }),
            }
        }
        settings.refresh_every = number(configuration.get("periodicRefreshIntervalMin"))
            .filter(|minutes| *minutes > 0.0)
            .and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
        if let Some(size) =
            number(configuration.pointer("/performance/cloudRequestQueueSize")).filter(|size| *size >= 1.0)
        {
            settings.queue = size as usize;
        }
        settings
    }
}

/// Numbers may come as text, as in every component configuration.
fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// `arn:<partition>:secretsmanager:<region>:<12 digits>:secret:<name>`.
pub(crate) fn is_secret_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    let [arn, partition, service, region, account, kind, name] = parts.as_slice() else { return false };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    *arn == "arn"
        && word(partition)
        && *service == "secretsmanager"
        && word(region)
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && *kind == "secret"
        && !name.is_empty()
        && name.len() <= 519
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&b))
}

/// Whether `text` is `-` and six alphanumerics: what the control plane appends to the name.
pub(crate) fn is_suffix(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|random| random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// CC 5.1: other entries are skipped, `AWSCURRENT` is always among the labels, numbers may be text.
    #[test]
    fn the_configuration_is_read_and_wrong_entries_are_left_out() {
        let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:greengrass/db-AbCdEf";
        let settings = SecretSettings::from_configuration(&json!({
            "cloudSecrets": [
                {"arn": arn, "labels": ["blue", "AWSCURRENT", "blue"]},
                {"arn": "arn:aws:s3:::bucket"},
                {"arn": "arn:aws:secretsmanager:us-east-1:12:secret:x"},
                {"labels": []},
            ],
            "periodicRefreshIntervalMin": "0.5",
            "performance": {"cloudRequestQueueSize": 7},
        }));
        let labels = vec!["AWSCURRENT".to_owned(), "blue".to_owned()];
        assert_eq!(settings.secrets, [SecretEntry { arn: arn.to_owned(), labels }]);
        assert_eq!((settings.refresh_every, settings.queue), (Some(Duration::from_secs(30)), 7));
        assert_eq!(SecretSettings::from_configuration(&json!({})), SecretSettings::default());
    }
}
