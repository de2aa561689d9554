//! The console's language service: a verb, the request's other members as JSON, and a text, each on lines of its own.

use marram_console_language::{PublicWorld, answer};
use serde_json::Value;

/// Any text and any request is answered or refused; what an edit leaves is undone to the character.
pub fn run(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let mut lines = input.splitn(3, '\n');
    let (Some(verb), Some(members), Some(text)) = (lines.next(), lines.next(), lines.next()) else { return };
    let Ok(Value::Object(mut request)) = serde_json::from_str(members) else { return };
    request.insert("text".to_owned(), Value::from(text));
    let Ok(answered) = answer(verb, &Value::Object(request), &PublicWorld) else { return };
    if verb == "edit" {
        let mut back = serde_json::Map::new();
        back.insert("text".to_owned(), answered["text"].clone());
        back.insert("edits".to_owned(), answered["undo"].clone());
        let back = answer("edit", &Value::Object(back), &PublicWorld).expect("an undo is good");
        assert_eq!(back["text"], Value::from(text), "undo");
    }
}
