//! Topic filters and how they match (MQTT sections 4.7 and 4.8).

use std::fmt;

use smol_str::SmolStr;

use crate::topic::TopicError;

/// A topic filter as subscribed to, `$share/{name}/` included: 1 to 65,535 bytes without U+0000,
/// `+` only as a whole level, `#` only as the whole last level.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter(SmolStr);

/// The two halves of a shared filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharedFilter<'a> {
    /// Share name: the group among whose members messages are divided.
    pub share: &'a str,
    /// Filter the topics have to match.
    pub filter: &'a str,
}

impl TopicFilter {
    /// Checks and copies the text.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        check_filter(text)?;
        Ok(Self(SmolStr::new(text)))
    }

    /// The text as subscribed to.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Share name and inner filter, if this is a shared subscription.
    pub fn shared(&self) -> Option<SharedFilter<'_>> {
        let (share, filter) = self.0.strip_prefix("$share/")?.split_once('/')?;
        Some(SharedFilter { share, filter })
    }

    /// The filter topics are matched against: without `$share/{name}/`.
    pub fn pattern(&self) -> &str {
        self.shared().map_or(self.as_str(), |shared| shared.filter)
    }

    /// Whether the filter names exactly one topic.
    pub fn is_exact(&self) -> bool {
        !self.pattern().bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// Whether messages on `topic` reach this filter under the rules of our broker; see [`matches`].
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.pattern(), topic)
    }
}

fn check_filter(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    if text.contains('\0') {
        return Err(TopicError::Null);
    }
    let pattern = match text.strip_prefix("$share/") {
        None if text == "$share" => return Err(TopicError::BadShare),
        None => text,
        Some(rest) => {
            let (share, pattern) = rest.split_once('/').ok_or(TopicError::BadShare)?;
            if share.is_empty() || share.contains(['+', '#']) || pattern.is_empty() {
                return Err(TopicError::BadShare);
            }
            pattern
        }
    };
    let mut levels = pattern.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        match level {
            "+" => {}
            "#" if last => {}
            _ if level.contains(['+', '#']) => return Err(TopicError::BadWildcard),
            _ => {}
        }
    }
    Ok(())
}

/// Whether `topic` matches `pattern` (a filter without its share prefix).
///
/// Two rules differ from a naive reading: a pattern that starts with a wildcard never matches a topic
/// that starts with `$` (MQTT-4.7.2-1), and, as upstream and unlike MQTT 4.7.1.2, `a/#` does not match
/// the parent `a` itself (CP 5.2).
pub fn matches(pattern: &str, topic: &str) -> bool {
    if topic.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in pattern.split('/') {
        match (wanted, levels.next()) {
            ("#", level) => return level.is_some(),
            (_, None) => return false,
            ("+", Some(_)) => {}
            (_, Some(level)) if level == wanted => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for TopicFilter {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MQTT 4.7.1, 4.8.2: which filters exist.
    #[test]
    fn wildcards_stand_alone_and_hash_comes_last() {
        for good in ["a", "/", "+", "#", "+/+", "a/+/b", "a/#", "$share/g/a", "$share/g/#", "$shared/x", "a//#"] {
            assert!(TopicFilter::new(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "a#",
            "a+",
            "#/a",
            "a/#/b",
            "a/b+",
            "x\0",
            "$share",
            "$share/g",
            "$share//a",
            "$share/g/",
            "$share/+/a",
        ] {
            assert!(TopicFilter::new(bad).is_err(), "{bad:?}");
        }
    }

    /// MQTT 4.7.1, 4.7.2 and CP 5.2 (`#` does not match the parent level).
    #[test]
    fn filters_match_level_by_level() {
        for (filter, topic, wanted) in [
            ("a/b", "a/b", true),
            ("a/b", "a/B", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+", "a/b/c", false),
            ("+", "/", false),
            ("+/+", "/", true),
            ("/+", "/a", true),
            ("#", "a/b/c", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", false),
            ("a/#", "a/", true),
            ("a/+/#", "a/b", false),
            ("#", "$aws/x", false),
            ("+/x", "$aws/x", false),
            ("$aws/#", "$aws/x", true),
            ("$aws/+", "$aws/x", true),
            ("$share/g/a/+", "a/b", true),
        ] {
            let filter: TopicFilter = filter.parse().unwrap();
            assert_eq!(filter.matches(topic), wanted, "{filter} against {topic}");
        }
    }
}
