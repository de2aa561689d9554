//! Job requests of devices: topics, bodies, documents with parameters.

use std::collections::BTreeMap;

use marram_job::{Cron, JobConfig, JobTopic, Request, client_token, fill_parameters, presigned_urls, with_urls};
use marram_types::Timestamp;

/// One input, tried as each.
pub fn run(data: &[u8]) {
    let _ = client_token(data);
    if let Ok(request) = Request::parse(data) {
        let _ = (request.describe(), request.start_next());
        if let Ok(update) = request.update() {
            assert!(update.details.is_none_or(|details| details.len() <= 10));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(topic) = JobTopic::parse(&format!("$aws/things/{text}")) {
        assert!(text.starts_with(topic.thing.as_str()));
    }
    let parameters = BTreeMap::from([("a".to_owned(), "\"".to_owned())]);
    let _ = fill_parameters(text, &parameters);
    if let Ok(found) = presigned_urls(text, Some("plant.example:8443")) {
        let urls = vec!["https://x"; found.len()];
        let filled = with_urls(text, &found, urls.iter().copied());
        assert!(found.is_empty() || filled.len() < text.len(), "each placeholder is longer than its URL here");
    }
    if let Ok(cron) = Cron::parse(text) {
        let now = Timestamp::from_secs(1_800_000_000);
        assert!(cron.next_after(now).is_none_or(|next| next > now));
    }
    if let Ok(config) = serde_json::from_str(text)
        && let Ok(config) = JobConfig::read(&config)
    {
        assert!(config.rollout.rate(&marram_job::Counts::default()).is_none_or(|rate| rate >= 1));
    }
}
