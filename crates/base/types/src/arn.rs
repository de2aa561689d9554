//! Amazon Resource Names: `arn:partition:service:region:account:resource`.
//!
//! Region and account may be empty (IAM, S3, public entities) and the resource may hold colons. An `Arn` names one
//! thing; patterns with wildcards live in the policy engine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::account::{AccountId, Partition, Region};

/// Longest ARN accepted, in bytes (IAM's limit for ARN parameters).
const MAX_ARN_BYTES: usize = 2048;

/// Why a text is not an ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArnError {
    /// Does not begin with `arn:` or has fewer than six fields.
    #[error("not an arn: expected arn:partition:service:region:account:resource")]
    Shape,
    /// More than 2048 bytes, or a control character.
    #[error("an arn is at most 2048 bytes without control characters")]
    Text,
    /// A field that is required or malformed: `partition`, `service`, `region`, `account` or `resource`.
    #[error("the {0} field of the arn is malformed")]
    Field(&'static str),
}

/// A parsed ARN. The text is held once; the fields are offsets into it, so printing is free.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Arn {
    text: SmolStr,
    /// Where each of partition, service, region, account ends (the offset of the colon behind it).
    ends: [u16; 4],
}

impl Arn {
    /// Builds `arn:partition:service:region:account:resource`; pass `None` for an empty region or account.
    ///
    /// # Errors
    /// [`ArnError`] when the service is not `[a-z0-9-]+` or the resource is empty, too long or holds control characters.
    pub fn new(
        partition: &Partition,
        service: &str,
        region: Option<&Region>,
        account: Option<&AccountId>,
        resource: &str,
    ) -> Result<Self, ArnError> {
        let region = region.map_or("", Region::as_str);
        let account = account.map_or("", AccountId::as_str);
        format!("arn:{partition}:{service}:{region}:{account}:{resource}").parse()
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `aws` of `arn:aws:iot:..`.
    pub fn partition(&self) -> &str {
        &self.text[4..usize::from(self.ends[0])]
    }

    /// `iot` of `arn:aws:iot:..`.
    pub fn service(&self) -> &str {
        self.field(0)
    }

    /// The region; empty for global resources.
    pub fn region(&self) -> &str {
        self.field(1)
    }

    /// The account id, `aws` for vendor-managed resources, or empty.
    pub fn account(&self) -> &str {
        self.field(2)
    }

    /// Everything behind the fifth colon: `thing/sensor-1`.
    pub fn resource(&self) -> &str {
        &self.text[usize::from(self.ends[3]) + 1..]
    }

    /// The resource split at its first `/`: `thing/sensor-1` gives `("thing", "sensor-1")`; no slash gives `None`.
    pub fn resource_pair(&self) -> Option<(&str, &str)> {
        self.resource().split_once('/')
    }

    /// Whether this names something of `service` in exactly this account (and region, when given).
    pub fn is_in(&self, service: &str, account: &AccountId, region: Option<&Region>) -> bool {
        self.service() == service
            && self.account() == account.as_str()
            && region.is_none_or(|region| self.region() == region.as_str())
    }

    fn field(&self, index: usize) -> &str {
        &self.text[usize::from(self.ends[index]) + 1..usize::from(self.ends[index + 1])]
    }

    fn parse(text: SmolStr) -> Result<Self, ArnError> {
        if text.len() > MAX_ARN_BYTES || text.chars().any(char::is_control) {
            return Err(ArnError::Text);
        }
        let mut ends = [0u16; 4];
        let mut colons = text.match_indices(':').map(|(at, _)| at);
        if !text.starts_with("arn:") || colons.next() != Some(3) {
            return Err(ArnError::Shape);
        }
        for end in &mut ends {
            let at = colons.next().ok_or(ArnError::Shape)?;
            *end = u16::try_from(at).map_err(|_| ArnError::Text)?;
        }
        let arn = Self { text, ends };
        arn.partition().parse::<Partition>().map_err(|_| ArnError::Field("partition"))?;
        let service = arn.service();
        if service.is_empty() || !service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(ArnError::Field("service"));
        }
        if !arn.region().is_empty() {
            arn.region().parse::<Region>().map_err(|_| ArnError::Field("region"))?;
        }
        if !arn.account().is_empty() && arn.account() != "aws" {
            arn.account().parse::<AccountId>().map_err(|_| ArnError::Field("account"))?;
        }
        if arn.resource().is_empty() {
            return Err(ArnError::Field("resource"));
        }
        Ok(arn)
    }
}

impl FromStr for Arn {
    type Err = ArnError;
    fn from_str(text: &str) -> Result<Self, ArnError> {
        Self::parse(SmolStr::new(text))
    }
}

impl TryFrom<SmolStr> for Arn {
    type Error = ArnError;
    fn try_from(text: SmolStr) -> Result<Self, ArnError> {
        Self::parse(text)
    }
}

impl From<Arn> for SmolStr {
    fn from(arn: Arn) -> SmolStr {
        arn.text
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> String {
        arn.text.into()
    }
}

impl AsRef<str> for Arn {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Arn {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Arn {}

impl PartialOrd for Arn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Arn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Arn {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arn({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 3.1, TG 1.3: fields come back as written, whatever the resource holds.
    #[test]
    fn fields_are_read_back() {
        for (text, fields) in [
            ("arn:aws:iot:us-east-1:000000000000:thing/a:b", ["aws", "iot", "us-east-1", "000000000000", "thing/a:b"]),
            ("arn:aws:iam::000000000000:role/x/Y", ["aws", "iam", "", "000000000000", "role/x/Y"]),
            ("arn:aws:iam::aws:policy/P", ["aws", "iam", "", "aws", "policy/P"]),
            ("arn:aws-cn:s3:::bucket/key", ["aws-cn", "s3", "", "", "bucket/key"]),
        ] {
            let arn: Arn = text.parse().unwrap();
            assert_eq!([arn.partition(), arn.service(), arn.region(), arn.account(), arn.resource()], fields);
            assert_eq!(arn.to_string(), text);
        }
        let built = Arn::new(
            &Partition::aws(),
            "iotthingsgraph",
            Some(&Region::default_region()),
            Some(&AccountId::first()),
            "Workflow/default/Room",
        );
        assert_eq!(built.unwrap().as_str(), "arn:aws:iotthingsgraph:us-east-1:000000000000:Workflow/default/Room");
    }

    #[test]
    fn malformed_arns_are_refused() {
        for (text, error) in [
            ("", ArnError::Shape),
            ("arn:aws:iot:us-east-1:000000000000", ArnError::Shape),
            ("arm:aws:iot:us-east-1:000000000000:x", ArnError::Shape),
            ("arn:azure:iot:us-east-1:000000000000:x", ArnError::Field("partition")),
            ("arn:aws::us-east-1:000000000000:x", ArnError::Field("service")),
            ("arn:aws:iot:*:000000000000:x", ArnError::Field("region")),
            ("arn:aws:iot:us-east-1:12:x", ArnError::Field("account")),
            ("arn:aws:iot:us-east-1:000000000000:", ArnError::Field("resource")),
            ("arn:aws:iot:us-east-1:000000000000:a\nb", ArnError::Text),
        ] {
            assert_eq!(text.parse::<Arn>().unwrap_err(), error, "{text:?}");
        }
        assert_eq!(format!("arn:aws:s3:::{}", "x".repeat(2048)).parse::<Arn>().unwrap_err(), ArnError::Text);
    }
}
