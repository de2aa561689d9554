//! Shadow updates: whatever is accepted merges, mirrors its metadata, and is empty of `null`.

use marram_shadow::{Limits, Shadow, ShadowTopic, Update, client_token};

/// One body, applied twice: to nothing, and to what came of it.
pub fn run(data: &[u8]) {
    let limits = Limits::default();
    let _ = client_token(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let topic = format!("$aws/things/{text}");
        if let Some(parsed) = ShadowTopic::parse(&topic) {
            assert_eq!(parsed.base.topic(parsed.operation.as_str()), topic);
        }
    }
    let Ok(update) = Update::parse(data, &limits) else { return };
    let Ok(first) = Shadow::apply(None, 0, &Update { version: None, ..update.clone() }, &limits, 1) else { return };
    assert_eq!(first.shadow.version, 1);
    let stored = serde_json::to_string(&first.shadow).expect("trees with text keys are JSON");
    assert_eq!(serde_json::from_str::<Shadow>(&stored).expect("what was written is read").version, 1);
    if let Ok(second) = Shadow::apply(Some(&first.shadow), 0, &Update { version: Some(1), ..update }, &limits, 2) {
        assert_eq!(second.shadow.document(2)["state"], first.shadow.document(2)["state"]);
    }
}
