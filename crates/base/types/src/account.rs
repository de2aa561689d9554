//! Whose and where: account id, region, partition.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::name::{NameError, string_newtype};

/// A tenant: exactly 12 decimal digits (design.md section 2; the first account is `000000000000`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct AccountId(SmolStr);

/// Digits in an account id.
const ACCOUNT_ID_DIGITS: usize = 12;

impl AccountId {
    /// The account that exists from the first start on: `000000000000`.
    pub fn first() -> Self {
        Self(SmolStr::new_static("000000000000"))
    }

    fn check(text: &str) -> Result<(), NameError> {
        let well_formed = text.len() == ACCOUNT_ID_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        well_formed.then_some(()).ok_or_else(|| NameError::new("account id", text, "[0-9]{12}"))
    }
}

string_newtype!(AccountId);

/// A region name, `us-east-1` like: 1 to 32 of `a-z0-9-`, beginning and ending with a letter or digit.
///
/// A hyphenated region must look like `xx-yyyy-N` for TDM URNs to admit it (things-graph.md 1.1);
/// [`Region::fits_tdm`] answers that.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Region(SmolStr);

impl Region {
    /// The default region of an installation, `us-east-1` (design.md section 2).
    pub fn default_region() -> Self {
        Self(SmolStr::new_static("us-east-1"))
    }

    /// Whether the region can stand in a TDM namespace: `[a-z]{2}-(gov-)?[a-z]{4,9}-[0-9]{1,3}` (things-graph.md 1.1).
    pub fn fits_tdm(&self) -> bool {
        let mut parts: Vec<&str> = self.0.split('-').collect();
        if parts.len() == 4 && parts[1] == "gov" {
            parts.remove(1);
        }
        let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
        parts.len() == 3
            && parts[0].len() == 2
            && lower(parts[0])
            && (4..=9).contains(&parts[1].len())
            && lower(parts[1])
            && (1..=3).contains(&parts[2].len())
            && parts[2].bytes().all(|b| b.is_ascii_digit())
    }

    fn check(text: &str) -> Result<(), NameError> {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = text.as_bytes();
        let well_formed = bytes.len() <= 32
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        well_formed.then_some(()).ok_or_else(|| NameError::new("region", text, "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"))
    }
}

string_newtype!(Region);

/// The first field of an ARN after `arn`: `aws`, `aws-cn`, `aws-us-gov`, or an installation's own word of the form
/// `aws(-[a-z0-9]+)*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Partition(SmolStr);

impl Partition {
    /// `aws`, the partition every client expects by default.
    pub fn aws() -> Self {
        Self(SmolStr::new_static("aws"))
    }

    fn check(text: &str) -> Result<(), NameError> {
        let mut parts = text.split('-');
        let well_formed = text.len() <= 32
            && parts.next() == Some("aws")
            && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        well_formed.then_some(()).ok_or_else(|| NameError::new("partition", text, "aws(-[a-z0-9]+)*"))
    }
}

impl Default for Partition {
    fn default() -> Self {
        Self::aws()
    }
}

string_newtype!(Partition);

#[cfg(test)]
mod tests {
    use super::*;

    /// design.md section 2: an account id is twelve digits and nothing else.
    #[test]
    fn account_ids_are_twelve_digits() {
        for good in ["000000000000", "123456789012"] {
            assert_eq!(good.parse::<AccountId>().unwrap().as_str(), good);
        }
        for bad in ["", "12345678901", "1234567890123", "12345678901a", "١٢٣٤٥٦٧٨٩٠١٢"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }

    /// TG 1.1: which regions a TDM namespace admits.
    #[test]
    fn regions_that_fit_a_tdm_namespace() {
        for (region, fits) in
            [("us-east-1", true), ("us-gov-west-1", true), ("eu-local-1", true), ("eu-abc-1", false), ("home", false)]
        {
            assert_eq!(region.parse::<Region>().unwrap().fits_tdm(), fits, "{region}");
        }
        for bad in ["", "-a", "a-", "US-EAST-1", "a b", "a/b"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }
}
