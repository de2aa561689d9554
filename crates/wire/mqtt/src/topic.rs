//! Topic names and client ids: text that was checked once, at the door.

use std::fmt;
use std::sync::Arc;

/// Why text is not a topic name, a topic filter or a client id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopicError {
    /// MQTT-4.7.3-1.
    #[error("must hold at least one character")]
    Empty,
    /// MQTT-4.7.3-3: two length bytes.
    #[error("is longer than 65535 bytes")]
    TooLong,
    /// MQTT-4.7.3-2.
    #[error("holds the character U+0000")]
    Null,
    /// MQTT-3.3.2-2.
    #[error("holds a wildcard")]
    Wildcard,
    /// MQTT-4.7.1-2 and -3.
    #[error("has a wildcard that is not a whole level, or `#` before the end")]
    BadWildcard,
    /// MQTT-4.8.2-1 and -2.
    #[error("has a share name that is empty or holds a wildcard, or no filter after it")]
    BadShare,
    /// Upstream limit, or a `$` at the start.
    #[error("is not a client id: 1 to 128 bytes, not starting with `$`, no control characters")]
    ClientId,
}

/// A topic name: 1 to 65,535 bytes of UTF-8 without U+0000 and without wildcards. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks and copies the text.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        check_topic(text.as_bytes())?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the two share one allocation: a cheap "certainly the same".
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Checks everything about a topic name but its encoding.
pub(crate) fn check_topic(text: &[u8]) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    for &byte in text {
        match byte {
            0 => return Err(TopicError::Null),
            b'+' | b'#' => return Err(TopicError::Wildcard),
            _ => {}
        }
    }
    Ok(())
}

impl std::ops::Deref for Topic {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Topic {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest client id in bytes. Source: upstream's quota (CP 5.2).
pub const CLIENT_ID_MAX_BYTES: usize = 128;

/// A client id as our servers accept it: 1 to 128 bytes of UTF-8, not starting with `$`, without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Checks and copies the text.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        let fits = (1..=CLIENT_ID_MAX_BYTES).contains(&text.len());
        if !fits || text.starts_with('$') || text.chars().any(char::is_control) {
            return Err(TopicError::ClientId);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for ClientId {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ClientId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MQTT 4.7.3, 3.3.2.1: what a topic name may not be.
    #[test]
    fn a_topic_name_is_plain_text() {
        for (text, wanted) in [
            ("a", Ok(())),
            ("/", Ok(())),
            ("a//b/", Ok(())),
            ("$aws/things/x", Ok(())),
            ("sp ace/é", Ok(())),
            ("", Err(TopicError::Empty)),
            ("a\0b", Err(TopicError::Null)),
            ("a/+", Err(TopicError::Wildcard)),
            ("a#", Err(TopicError::Wildcard)),
        ] {
            assert_eq!(Topic::new(text).map(drop), wanted, "{text:?}");
        }
        assert_eq!(Topic::new(&"x".repeat(65_536)), Err(TopicError::TooLong));
    }

    /// CP 5.2: client ids.
    #[test]
    fn a_client_id_is_short_and_not_reserved() {
        for (text, good) in [("c", true), ("thing#2", true), ("", false), ("$c", false), ("a\nb", false)] {
            assert_eq!(ClientId::new(text).is_ok(), good, "{text:?}");
        }
        assert!(ClientId::new(&"x".repeat(128)).is_ok());
        assert!(ClientId::new(&"x".repeat(129)).is_err());
    }
}
