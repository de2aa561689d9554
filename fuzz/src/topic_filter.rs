//! Topic filters against a naive reading of MQTT 5.0 section 4.7 and CP 5.2.

use marram_mqtt::{Topic, TopicFilter};

/// A filter on the first line, a topic on the second.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((filter, topic)) = text.split_once('\n') else { return };
    let (Ok(filter), Ok(topic)) = (TopicFilter::new(filter), Topic::new(topic)) else { return };
    let levels: Vec<&str> = topic.as_str().split('/').collect();
    let pattern: Vec<&str> = filter.pattern().split('/').collect();
    let hidden = topic.as_str().starts_with('$') && matches!(pattern.first(), Some(&"+" | &"#"));
    assert_eq!(filter.matches(topic.as_str()), !hidden && naive(&pattern, &levels), "{filter:?} ~ {topic:?}");
}

/// Level by level; `#` wants a level of its own.
fn naive(pattern: &[&str], levels: &[&str]) -> bool {
    match (pattern.split_first(), levels.split_first()) {
        (Some((&"#", [])), level) => level.is_some(),
        (Some((&"+", pattern)), Some((_, levels))) => naive(pattern, levels),
        (Some((own, pattern)), Some((level, levels))) => own == level && naive(pattern, levels),
        (None, None) => true,
        _ => false,
    }
}
