//! Names the registry hands out (control-plane-api.md 4.1), one type per kind so that two kinds cannot be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A text that is not a name of its kind. The value is cut short so that it can be shown and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{value}` does not match {pattern}")]
pub struct NameError {
    /// What was expected, in words: `thing name`.
    pub kind: &'static str,
    /// The offending text, control characters escaped, at most 64 characters of it.
    pub value: String,
    /// The pattern it should have matched, as the API documents it.
    pub pattern: &'static str,
}

/// How many characters of a refused name an error repeats.
const SHOWN_CHARS: usize = 64;

impl NameError {
    pub(crate) fn new(kind: &'static str, value: &str, pattern: &'static str) -> Self {
        Self { kind, value: value.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect(), pattern }
    }
}

/// The common surface of a string newtype whose inherent `fn check(&str)` decides what is well-formed.
macro_rules! string_newtype {
    ($type:ident) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::check(text)?;
                Ok(Self(SmolStr::new(text)))
            }
        }
        impl TryFrom<SmolStr> for $type {
            type Error = NameError;
            fn try_from(text: SmolStr) -> Result<Self, NameError> {
                Self::check(&text)?;
                Ok(Self(text))
            }
        }
        impl TryFrom<&str> for $type {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$type> for SmolStr {
            fn from(value: $type) -> SmolStr {
                value.0
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0.into()
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:?})"), self.0.as_str())
            }
        }
    };
}
pub(crate) use string_newtype;

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident, $kind:literal, $pattern:literal, $len:expr, $admits:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $type(SmolStr);

        impl $type {
            /// The pattern of the whole name, as the API documents it.
            pub const PATTERN: &'static str = $pattern;

            fn check(text: &str) -> Result<(), NameError> {
                let admits: fn(u8) -> bool = $admits;
                let well_formed = ($len).contains(&text.len()) && text.bytes().all(admits);
                well_formed.then_some(()).ok_or_else(|| NameError::new($kind, text, $pattern))
            }
        }

        string_newtype!($type);
    )*};
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn is_thing_byte(b: u8) -> bool {
    is_word(b) || b == b':' || b == b'-'
}

names! {
    /// A thing's name, unique in an account and region; immutable.
    ThingName, "thing name", "[a-zA-Z0-9:_-]{1,128}", 1..=128, is_thing_byte;
    /// A thing group's name, static or dynamic.
    GroupName, "thing group name", "[a-zA-Z0-9:_-]{1,128}", 1..=128, is_thing_byte;
    /// A thing type's name.
    ThingTypeName, "thing type name", "[a-zA-Z0-9:_-]{1,128}", 1..=128, is_thing_byte;
    /// A billing group's name.
    BillingGroupName, "billing group name", "[a-zA-Z0-9:_-]{1,128}", 1..=128, is_thing_byte;
    /// An IoT policy's name.
    PolicyName, "policy name", r"[\w+=,.@-]{1,128}", 1..=128, |b| is_word(b) || b"+=,.@-".contains(&b);
    /// A role alias: what a device names when it asks for credentials.
    RoleAliasName, "role alias", r"[\w=,@-]{1,128}", 1..=128, |b| is_word(b) || b"=,@-".contains(&b);
    /// A provisioning template's name.
    ProvisioningTemplateName, "template name", "[0-9A-Za-z_-]{1,36}", 1..=36, |b| is_word(b) || b == b'-';
    /// The id of a job or of a job template.
    JobId, "job id", "[a-zA-Z0-9_-]{1,64}", 1..=64, |b| is_word(b) || b == b'-';
    /// A topic rule's name.
    RuleName, "rule name", "[a-zA-Z0-9_]{1,128}", 1..=128, is_word;
    /// The key of a thing's or group's attribute.
    AttributeKey, "attribute key", "[a-zA-Z0-9_.,@/:#-]{1,128}", 1..=128, |b| is_word(b) || b".,@/:#-".contains(&b);
    /// The value of a thing's or group's attribute; may be empty.
    AttributeValue, "attribute value", r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}", 0..=800,
        |b| is_word(b) || b".,@/:#=[]-".contains(&b);
    /// A named shadow's name.
    ShadowName, "shadow name", "[$a-zA-Z0-9:_-]{1,64}", 1..=64, |b| is_thing_byte(b) || b == b'$';
}

/// An MQTT client id as the broker accepts it: 1 to 128 bytes of UTF-8 without control characters
/// (control-plane-api.md 5.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct ClientId(SmolStr);

impl ClientId {
    fn check(text: &str) -> Result<(), NameError> {
        let well_formed = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
        well_formed.then_some(()).ok_or_else(|| NameError::new("client id", text, r"[^\p{Cc}]{1,128}"))
    }
}

string_newtype!(ClientId);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text} is refused");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text} is accepted");
        }
    }

    /// CP 4.1: the character set and length of each kind of name.
    #[test]
    fn names_follow_the_documented_patterns() {
        let long = "n".repeat(129);
        check::<ThingName>(&["a", "Motion:1_x-2", &long[..128]], &["", "a b", "a/b", "a.b", "é", &long]);
        check::<PolicyName>(&["A+=,.@-_9"], &["", "a:b", "a/b", "a b"]);
        check::<RoleAliasName>(&["a=,@-"], &["a.b", "a+b"]);
        check::<ProvisioningTemplateName>(&["a_B-9"], &["a:b", &long[..37]]);
        check::<JobId>(&["a_B-9"], &["a:b", &long[..65]]);
        check::<RuleName>(&["a_B9"], &["a-b"]);
        check::<AttributeKey>(&["a.,@/:#-"], &["", "a=b", "a b"]);
        check::<AttributeValue>(&["", "a=[1]"], &["a b", &"v".repeat(801)]);
        check::<ShadowName>(&["$x:y"], &["", &long[..65]]);
        check::<ClientId>(&["dev 1", "${x}"], &["", "a\n", &long]);
    }

    /// A refused name is repeated cut short and escaped, so that a log line stays one line.
    #[test]
    fn errors_show_a_bounded_escaped_value() {
        let error = format!("x\n{}", "y".repeat(500)).parse::<ThingName>().unwrap_err();
        assert!(error.value.starts_with("x\\n") && error.value.len() < 80, "{error}");
    }
}
