//! Configuration of the component `aws.greengrass.SecretManager` (core-components.md section 5.1).

use std::time::Duration;

use serde_json::Value;

use crate::reader::{Place, Reader, Reading, Scope};

/// The component's name.
pub const SECRET_MANAGER: &str = "aws.greengrass.SecretManager";
/// The label every secret is fetched for.
pub const CURRENT: &str = "AWSCURRENT";
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
    /// Reads the component's configuration. Entries that cannot be used are left out; it is unusable where the list is none.
    pub fn read(configuration: &Value, scope: Scope<'_>) -> Reading<Self> {
        let mut reader = Reader::new(scope);
        let mut settings = Self::default();
        if configuration.is_null() {
            return reader.end(settings);
        }
        let root = Place::root(configuration);
        if !reader.map(&root, &["cloudSecrets", "periodicRefreshIntervalMin", "performance"]) {
            return reader.end(settings);
        }
        let entries = reader.list(&root, "cloudSecrets", EXAMPLE);
        reader.is_lenient = true;
        for entry in entries {
            settings.add(&mut reader, &entry);
        }
        settings.refresh_every = reader
            .amount(&root, "periodicRefreshIntervalMin")
            .filter(|minutes| *minutes > 0.0)
            .and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
        if let Some(part) = reader.part(&root, "performance", &["cloudRequestQueueSize"]) {
            let size = reader.whole(&part, "cloudRequestQueueSize", i64::MIN..=i64::MAX).filter(|size| *size > 0);
            settings.queue = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(QUEUE_DEFAULT);
        }
        reader.end(settings)
    }

    fn add(&mut self, reader: &mut Reader<'_>, entry: &Place<'_>) {
        if !reader.map(entry, &["arn", "labels"]) {
            return;
        }
        if entry.member("arn").is_none() {
            return reader.wrong(entry, format_args!("has no arn; {EXAMPLE}"));
        }
        let mut labels = vec![CURRENT.to_owned()];
        for (label, _) in reader.texts(entry, "labels") {
            if !label.is_empty() && !labels.iter().any(|known| known == label) {
                labels.push(label.to_owned());
            }
        }
        if labels.len() > LABELS_MAX {
            reader.wrong(entry, format_args!("has more than {LABELS_MAX} labels"));
            labels.truncate(LABELS_MAX);
        }
        let Some((arn, place)) = reader.text(entry, "arn") else { return };
        if !reader.is_settled(arn) {
            return;
        }
        if !is_secret_arn(arn) {
            return reader.wrong(&place, format_args!("is not the ARN of a secret; write {ARN}"));
        }
        if let Some(known) = self.secrets.iter_mut().find(|known| known.arn == arn) {
            known.labels = labels;
        } else if self.secrets.len() == SECRETS_MAX {
            reader.wrong(entry, format_args!("is one too many; a core keeps {SECRETS_MAX} secrets"));
        } else {
            self.secrets.push(SecretEntry { arn: arn.to_owned(), labels });
        }
    }
}

/// The form of an entry, and of its ARN.
const EXAMPLE: &str = "write [{\"arn\": \"arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME\"}]";
const ARN: &str = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";

/// `arn:<partition>:secretsmanager:<region>:<12 digits>:secret:<name>`.
fn is_secret_arn(text: &str) -> bool {
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
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-!,".contains(&b))
}

/// Whether `text` is `-` and six alphanumerics: what the control plane appends to the name.
pub fn is_suffix(text: &str) -> bool {
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
        let configuration = json!({
            "cloudSecrets": [
                {"arn": arn, "labels": ["blue", "AWSCURRENT", "blue"]},
                {"arn": "arn:aws:s3:::bucket"},
                {"arn": "arn:aws:secretsmanager:us-east-1:12:secret:x"},
                {"labels": []},
            ],
            "periodicRefreshIntervalMin": "0.5",
            "performance": {"cloudRequestQueueSize": 7},
        });
        let reading = SecretSettings::read(&configuration, Scope::Core("core"));
        assert_eq!(reading.faults.len(), 3);
        let settings = reading.usable().unwrap();
        let labels = vec!["AWSCURRENT".to_owned(), "blue".to_owned()];
        assert_eq!(settings.secrets, [SecretEntry { arn: arn.to_owned(), labels }]);
        assert_eq!((settings.refresh_every, settings.queue), (Some(Duration::from_secs(30)), 7));
        assert_eq!(SecretSettings::read(&json!({}), Scope::Core("core")).usable(), Ok(SecretSettings::default()));
        assert!(SecretSettings::read(&json!({"cloudSecrets": arn}), Scope::Core("core")).usable().is_err());
    }
}
