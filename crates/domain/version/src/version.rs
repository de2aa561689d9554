//! One version: strict semantic versioning within the limits of the recipe format.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Longest version text (CR 1.2).
pub const MAX_VERSION_LEN: usize = 64;
/// Largest of the three numbers (CR 1.2).
pub const MAX_NUMBER: u64 = 999_999;

/// A component's version: `MAJOR.MINOR.PATCH[-pre][+build]`, at most 64 characters, each number at most 999999.
///
/// Equality and order take build metadata as the last word, so versions can be keys; ranges ignore it (see
/// [`Version::cmp_precedence`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub(crate) semver::Version);

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Longer than 64 characters.
    #[error("version has {0} characters, at most {MAX_VERSION_LEN} are allowed")]
    TooLong(usize),
    /// Not `MAJOR.MINOR.PATCH[-pre][+build]`.
    #[error("`{text}` is not MAJOR.MINOR.PATCH[-pre][+build]: {cause}")]
    Malformed {
        /// As given.
        text: String,
        /// What the reader stumbled over.
        cause: String,
    },
    /// A number above 999999.
    #[error("{0} in the version is above {MAX_NUMBER}")]
    NumberTooLarge(u64),
}

impl Version {
    /// A release; numbers above 999999 are taken as they are, only texts are checked.
    pub fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// First number.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// Second number.
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// Third number.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// Whether it names a pre-release.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Order by precedence: build metadata does not count.
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.len() > MAX_VERSION_LEN {
            return Err(VersionError::TooLong(text.chars().count()));
        }
        let version = semver::Version::parse(text)
            .map_err(|cause| VersionError::Malformed { text: text.to_owned(), cause: cause.to_string() })?;
        for number in [version.major, version.minor, version.patch] {
            if number > MAX_NUMBER {
                return Err(VersionError::NumberTooLarge(number));
            }
        }
        Ok(Self(version))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl serde::Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 1.2: strict semantic versions, 64 characters, numbers to 999999.
    #[test]
    fn versions_are_strict_and_bounded() {
        for good in ["0.0.0", "1.10.0", "999999.999999.999999", "1.0.0-rc.1", "1.0.0+build.7", "1.0.0-a-b.0+x"] {
            assert_eq!(good.parse::<Version>().unwrap().to_string(), good);
        }
        for bad in ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3.4", "1.2.3-", "1.2.3-01", " 1.2.3", "1.2.3 ", "1.x.3"] {
            assert!(matches!(bad.parse::<Version>(), Err(VersionError::Malformed { .. })), "{bad}");
        }
        assert_eq!("1000000.0.0".parse::<Version>(), Err(VersionError::NumberTooLarge(1_000_000)));
        let long = format!("1.0.0-{}", "a".repeat(59));
        assert_eq!(long.parse::<Version>(), Err(VersionError::TooLong(65)));
    }

    /// CR 1.3: build metadata is ignored in comparison, pre-releases come before their release.
    #[test]
    fn precedence_ignores_build_metadata() {
        let order =
            ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.0.1", "1.2.0", "1.10.0"];
        for pair in order.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|text| text.parse::<Version>().unwrap());
            assert_eq!(low.cmp_precedence(&high), Ordering::Less, "{low} {high}");
        }
        let [a, b] = ["1.0.0+a", "1.0.0+b"].map(|text| text.parse::<Version>().unwrap());
        assert_eq!(a.cmp_precedence(&b), Ordering::Equal);
        assert_ne!(a, b);
    }
}
