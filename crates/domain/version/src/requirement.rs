//! What a requirement means: alternatives of conjunctions of comparators, as npm defines them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::Version;

/// Longest requirement text, wide enough for dozens of alternatives (our limit).
pub const MAX_REQUIREMENT_LEN: usize = 1024;

/// How a comparator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// `OPERATOR VERSION`, the simple form every range is reduced to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Comparator {
    /// How.
    pub operator: Operator,
    /// With what.
    pub version: Version,
    /// The bound came from a shorthand (`^1.2.3`): it excludes the pre-releases of its version, and prints without saying so.
    pub(crate) excludes_prereleases: bool,
}

impl Comparator {
    pub(crate) fn new(operator: Operator, version: Version) -> Self {
        Self { operator, version, excludes_prereleases: false }
    }

    /// `<version` where already the pre-releases of `version` are too high.
    pub(crate) fn below(version: Version) -> Self {
        Self { operator: Operator::Less, version, excludes_prereleases: true }
    }

    fn holds(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        match self.operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::Greater => order == Ordering::Greater,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Less if self.excludes_prereleases => {
                order == Ordering::Less && !(version.is_prerelease() && same_triple(version, &self.version))
            }
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
        }
    }
}

fn same_triple(a: &Version, b: &Version) -> bool {
    (a.major(), a.minor(), a.patch()) == (b.major(), b.minor(), b.patch())
}

/// A requirement on a version: an npm range (CR 1.3).
///
/// A pre-release satisfies it only when one of its alternatives fits and itself names a pre-release of the same triple.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Any of these, each of them a conjunction; an empty conjunction is `*`.
    pub(crate) alternatives: Vec<Vec<Comparator>>,
}

/// Why a text is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequirementError {
    /// Longer than 1024 bytes.
    #[error("version requirement has {0} characters, at most {MAX_REQUIREMENT_LEN} are allowed")]
    TooLong(usize),
    /// A part is no comparator.
    #[error("`{part}` is not a version comparator; write for example ^1.2.0, ~1.2.0, >=1.0.0 <2.0.0 or 1.2.x")]
    Malformed {
        /// The part.
        part: String,
    },
}

impl Requirement {
    /// Everything but pre-releases: `*`.
    pub fn any() -> Self {
        Self { alternatives: vec![Vec::new()] }
    }

    /// Exactly `version`.
    pub fn exact(version: Version) -> Self {
        Self { alternatives: vec![vec![Comparator::new(Operator::Equal, version)]] }
    }

    /// Whether `version` satisfies it.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            all.iter().all(|comparator| comparator.holds(version))
                && (!version.is_prerelease()
                    || all.iter().any(|named| {
                        !named.excludes_prereleases
                            && named.version.is_prerelease()
                            && same_triple(&named.version, version)
                    }))
        })
    }

    /// The one version it names, when it is a plain `=1.2.3`.
    pub fn as_exact(&self) -> Option<&Version> {
        match self.alternatives.as_slice() {
            [all] => match all.as_slice() {
                [Comparator { operator: Operator::Equal, version, .. }] => Some(version),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether some version satisfies all of `requirements`.
    ///
    /// The lowest such version, if there is one, is a bound itself or its nearest neighbour; those are tried.
    pub fn can_agree<'a>(requirements: impl IntoIterator<Item = &'a Self> + Clone) -> bool {
        let fits = |version: &Version| requirements.clone().into_iter().all(|one| one.matches(version));
        fits(&Version::new(0, 0, 0))
            || requirements
                .clone()
                .into_iter()
                .flat_map(|one| one.alternatives.iter().flatten())
                .any(|comparator| neighbours(&comparator.version).iter().any(fits))
    }

    /// Whether some version satisfies both.
    pub fn intersects(&self, other: &Self) -> bool {
        Self::can_agree([self, other])
    }
}

/// A version and what may follow it at once: itself, its release, the next patch, its next pre-release.
fn neighbours(version: &Version) -> Vec<Version> {
    let (major, minor, patch) = (version.major(), version.minor(), version.patch());
    let mut near =
        vec![version.clone(), Version::new(major, minor, patch), Version::new(major, minor, patch.saturating_add(1))];
    if version.is_prerelease()
        && let Ok(pre) = semver::Prerelease::new(&format!("{}.0", version.0.pre))
    {
        near.push(Version(semver::Version { pre, build: semver::BuildMetadata::EMPTY, ..version.0.clone() }));
    }
    near
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        if text.len() > MAX_REQUIREMENT_LEN {
            return Err(RequirementError::TooLong(text.len()));
        }
        crate::parse::requirement(text)
    }
}

/// Prints as clients do (CR 5.3): `=1.0.0`, `>=1.0.0 <2.0.0`, alternatives joined by ` || `; `*` is `>=0.0.0`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, all) in self.alternatives.iter().enumerate() {
            if index > 0 {
                f.write_str(" || ")?;
            }
            if all.is_empty() {
                f.write_str(">=0.0.0")?;
            }
            for (index, comparator) in all.iter().enumerate() {
                if index > 0 {
                    f.write_str(" ")?;
                }
                write!(f, "{}{}", comparator.operator.as_str(), comparator.version)?;
            }
        }
        Ok(())
    }
}

impl serde::Serialize for Requirement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Requirement {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
