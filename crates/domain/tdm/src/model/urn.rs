//! TDM URNs, metatypes and namespaces (TG 1.1, 1.2).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, SmolStrBuilder};

/// Longest URN of the API, in characters (TG 1.1).
pub const MAX_URN_CHARS: usize = 160;

/// What a URN names. The order is the one of the table in TG 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
pub enum Metatype {
    Property,
    Enum,
    State,
    Event,
    Action,
    Capability,
    Mapping,
    DeviceModel,
    Device,
    Service,
    Workflow,
    System,
    Deployment,
    /// Reserved for the names of built-in data types.
    DataType,
    /// A unit of measurement, `urn:tdm:aws:uom:base/mass`.
    Uom,
    /// Reserved, no definition exists.
    Category,
    /// Reserved, no definition exists.
    Annotation,
}

impl Metatype {
    const ALL: [(Metatype, &'static str); 17] = [
        (Metatype::Property, "Property"),
        (Metatype::Enum, "Enum"),
        (Metatype::State, "State"),
        (Metatype::Event, "Event"),
        (Metatype::Action, "Action"),
        (Metatype::Capability, "Capability"),
        (Metatype::Mapping, "Mapping"),
        (Metatype::DeviceModel, "DeviceModel"),
        (Metatype::Device, "Device"),
        (Metatype::Service, "Service"),
        (Metatype::Workflow, "Workflow"),
        (Metatype::System, "System"),
        (Metatype::Deployment, "Deployment"),
        (Metatype::DataType, "dataType"),
        (Metatype::Uom, "uom"),
        (Metatype::Category, "category"),
        (Metatype::Annotation, "annotation"),
    ];

    /// The canonical spelling inside a URN.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Reads any accepted spelling; `flow` is `Workflow`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("flow") {
            return Some(Metatype::Workflow);
        }
        Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(metatype, _)| *metatype)
    }

    /// The `EntityType` of the API; `None` for flows, systems, deployments and reserved metatypes.
    pub fn entity_type(self) -> Option<&'static str> {
        Some(match self {
            Metatype::Property => "PROPERTY",
            Metatype::Enum => "ENUM",
            Metatype::State => "STATE",
            Metatype::Event => "EVENT",
            Metatype::Action => "ACTION",
            Metatype::Capability => "CAPABILITY",
            Metatype::Mapping => "MAPPING",
            Metatype::DeviceModel => "DEVICE_MODEL",
            Metatype::Device => "DEVICE",
            Metatype::Service => "SERVICE",
            _ => return None,
        })
    }

    /// The metatype of an API `EntityType`.
    pub fn from_entity_type(text: &str) -> Option<Self> {
        Self::ALL.iter().map(|(metatype, _)| *metatype).find(|metatype| metatype.entity_type() == Some(text))
    }

    /// Whether it is one of the ten metatypes a namespace holds.
    pub fn is_entity(self) -> bool {
        self.entity_type().is_some()
    }
}

impl fmt::Display for Metatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no TDM URN. All of them are TDM3002.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrnError {
    /// Longer than [`MAX_URN_CHARS`].
    #[error("the urn has more than {MAX_URN_CHARS} characters")]
    TooLong,
    /// Does not start with `urn:tdm:` or has not five parts.
    #[error("a urn has the form urn:tdm:<namespace>:<metatype>:<path>")]
    Shape,
    /// A namespace segment is empty or holds a character it may not.
    #[error("malformed namespace `{0}`")]
    Namespace(String),
    /// The metatype is empty or unknown.
    #[error("unknown metatype `{0}`")]
    Metatype(String),
    /// A path segment is empty or holds a character it may not.
    #[error("malformed semantic type path `{0}`")]
    Path(String),
}

/// A TDM URN. Equality, order and hash ignore case; the text is the display form (canonical metatype, namespace and
/// path as written).
#[derive(Clone)]
pub struct Urn {
    text: SmolStr,
    key: SmolStr,
    metatype: Metatype,
    /// Byte offset of the colon after the namespace.
    namespace_end: u8,
}

/// Length of `urn:tdm:`.
const PREFIX: usize = 8;

impl Urn {
    /// Reads a URN in any accepted spelling.
    pub fn parse(text: &str) -> Result<Self, UrnError> {
        if text.chars().nth(MAX_URN_CHARS).is_some() {
            return Err(UrnError::TooLong);
        }
        let prefixed = text.get(..PREFIX).is_some_and(|prefix| prefix.eq_ignore_ascii_case("urn:tdm:"));
        let mut parts = text.get(PREFIX..).filter(|_| prefixed).ok_or(UrnError::Shape)?.split(':');
        let (Some(namespace), Some(metatype), Some(path), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(UrnError::Shape);
        };
        if !is_namespace(namespace) {
            return Err(UrnError::Namespace(namespace.to_owned()));
        }
        let metatype = Metatype::parse(metatype).ok_or_else(|| UrnError::Metatype(metatype.to_owned()))?;
        if !path.split('/').all(is_word) {
            return Err(UrnError::Path(path.to_owned()));
        }
        Ok(Self::assemble(namespace, metatype, path))
    }

    /// Puts valid parts together. `flow` becomes `Workflow`, so the text may grow past the API's maximum by four.
    fn assemble(namespace: &str, metatype: Metatype, path: &str) -> Self {
        let mut text = SmolStrBuilder::new();
        for part in ["urn:tdm:", namespace, ":", metatype.as_str(), ":", path] {
            text.push_str(part);
        }
        let text = text.finish();
        let key = SmolStr::new(text.to_ascii_lowercase());
        let namespace_end = u8::try_from(PREFIX + namespace.len()).expect("a urn has at most 160 characters");
        Urn { text, key, metatype, namespace_end }
    }

    /// A public URN, `urn:tdm:aws:<metatype>:<path>`. `path` is a word of letters and digits, `/` separated.
    pub fn public(metatype: Metatype, path: &str) -> Self {
        Self::assemble("aws", metatype, path)
    }

    /// The display form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Lower-case form: the key for storage and comparison.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The namespace as written, `aws/examples` or `eu-local-1/100200300400/default/x`.
    pub fn namespace(&self) -> &str {
        &self.text[PREFIX..usize::from(self.namespace_end)]
    }

    /// What it names.
    pub fn metatype(&self) -> Metatype {
        self.metatype
    }

    /// The semantic type path as written.
    pub fn path(&self) -> &str {
        &self.text[usize::from(self.namespace_end) + self.metatype.as_str().len() + 2..]
    }

    /// Last segment of the path.
    pub fn name(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    /// Whether it lies in `aws` or below.
    pub fn is_public(&self) -> bool {
        is_within(self.namespace(), "aws")
    }

    /// Whether it lies in the account's namespace or below it.
    pub fn is_within(&self, namespace: &Namespace) -> bool {
        is_within(self.namespace(), namespace.as_str())
    }

    /// The URN one path segment up: `Property:a/b` is a `Property:a`.
    pub fn parent(&self) -> Option<Urn> {
        let (above, _) = self.path().rsplit_once('/')?;
        Some(Self::assemble(self.namespace(), self.metatype, above))
    }

    /// Whether `self` is `ancestor` or lies below it on the is-a path.
    pub fn is_a(&self, ancestor: &Urn) -> bool {
        let rest = self.key.strip_prefix(ancestor.key());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Same metatype and path under another namespace, or an error when the result is no URN.
    pub fn with_namespace(&self, namespace: &str) -> Result<Urn, UrnError> {
        Urn::parse(&format!("urn:tdm:{namespace}:{}:{}", self.metatype, self.path()))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `(region/digits/)* word (/word)*`. A region always holds hyphens and a word never does, so no backtracking.
fn is_namespace(text: &str) -> bool {
    let mut rest = text.split('/').peekable();
    while rest.peek().is_some_and(|segment| is_region(segment)) {
        rest.next();
        let account = rest.next().unwrap_or_default();
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
    }
    rest.peek().is_some() && rest.all(is_word)
}

/// `[a-z]{2}-(gov-)?[a-z]{4,9}-[0-9]{1,3}`.
fn is_region(text: &str) -> bool {
    let mut parts: Vec<&str> = text.split('-').collect();
    if parts.len() == 4 && parts[1] == "gov" {
        parts.remove(1);
    }
    let lower = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase());
    matches!(parts[..], [land, area, number]
        if land.len() == 2 && lower(land)
            && (4..=9).contains(&area.len()) && lower(area)
            && (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_within(namespace: &str, root: &str) -> bool {
    let (head, tail) = match namespace.split_at_checked(root.len()) {
        Some(parts) => parts,
        None => return false,
    };
    head.eq_ignore_ascii_case(root) && (tail.is_empty() || tail.starts_with('/'))
}

impl PartialEq for Urn {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Urn {}

impl Hash for Urn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialOrd for Urn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Urn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Ordered maps keyed by URN can be asked with the lower-case text.
impl std::borrow::Borrow<str> for Urn {
    fn borrow(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Urn {
    type Err = UrnError;

    fn from_str(text: &str) -> Result<Self, UrnError> {
        Urn::parse(text)
    }
}

impl Serialize for Urn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Urn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SmolStr::deserialize(deserializer)?;
        Urn::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The namespace a caller may define entities in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Namespace(SmolStr);

impl Namespace {
    /// The one private namespace of an account and region, `REGION/ACCOUNT/default`.
    pub fn private(region: &str, account: &str) -> Self {
        Namespace(SmolStr::new(format!("{region}/{account}/default")))
    }

    /// The public namespace, written by the release loader only.
    pub fn public() -> Self {
        Namespace(SmolStr::new_static("aws"))
    }

    /// The name as the API's `NamespaceName`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 1.1: the pattern, with an empty or unknown metatype refused on top of it.
    #[test]
    fn urns_follow_the_pattern() {
        let good = [
            "urn:tdm:aws:Property:Boolean",
            "urn:tdm:aws/examples/modbus/hwgroup/damocles2mini:deviceModel:DamoclesMini",
            "URN:TDM:eu-local-1/100200300400/default:property:moisture/percent",
            "urn:tdm:us-gov-west-1/1/default/devices:flow:a_b/C9",
            "urn:tdm:aws:uom:base/mass",
        ];
        for text in good {
            assert!(Urn::parse(text).is_ok(), "{text}");
        }
        let long = format!("urn:tdm:aws:Property:{}", "x".repeat(160));
        let bad = [
            ("", UrnError::Shape),
            ("urn:tdm:aws::property:x", UrnError::Shape),
            ("urn:tdm:aws::x", UrnError::Metatype(String::new())),
            ("urn:tdm:aws/property/brightness", UrnError::Shape),
            ("urn:tdm:aws:property:enum:X", UrnError::Shape),
            ("urn:tdm:aws:thing:X", UrnError::Metatype("thing".into())),
            ("urn:tdm:a-b:Property:X", UrnError::Namespace("a-b".into())),
            ("urn:tdm:EU-local-1/1/default:Property:X", UrnError::Namespace("EU-local-1/1/default".into())),
            ("urn:tdm:eu-local-1/1:Property:X", UrnError::Namespace("eu-local-1/1".into())),
            ("urn:tdm:aws/:Property:X", UrnError::Namespace("aws/".into())),
            ("urn:tdm:aws:Property:a//b", UrnError::Path("a//b".into())),
            ("urn:tdm:aws:Property:a.b", UrnError::Path("a.b".into())),
            (long.as_str(), UrnError::TooLong),
        ];
        for (text, error) in bad {
            assert_eq!(Urn::parse(text).err(), Some(error), "{text}");
        }
    }

    /// TG 1.1: equality ignores case, display keeps the author's namespace and path but not the metatype's spelling.
    #[test]
    fn urns_compare_without_case_and_display_canonically() {
        let a = Urn::parse("urn:tdm:aws/examples:deviceModel:MotionSensor").unwrap();
        let b = Urn::parse("urn:TDM:AWS/examples:DEVICEMODEL:motionsensor").unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "urn:tdm:aws/examples:DeviceModel:MotionSensor");
        assert_eq!(a.key(), "urn:tdm:aws/examples:devicemodel:motionsensor");
        assert_eq!((a.namespace(), a.path(), a.name()), ("aws/examples", "MotionSensor", "MotionSensor"));
        let flow = Urn::parse("urn:tdm:eu-local-1/1/default:flow:F").unwrap();
        assert_eq!(flow, Urn::parse("urn:tdm:eu-local-1/1/default:Workflow:f").unwrap());
    }

    /// TG 1.1: the path of a property is an is-a path; a namespace holds what is spelled below it.
    #[test]
    fn is_a_and_namespaces_go_by_whole_segments() {
        let urn = |text: &str| Urn::parse(text).unwrap();
        let level = urn("urn:tdm:eu-local-1/1/default/x:Property:brightness/level");
        assert_eq!(level.parent(), Some(urn("urn:tdm:eu-local-1/1/default/x:property:Brightness")));
        assert!(level.is_a(&level.parent().unwrap()));
        assert!(!level.is_a(&urn("urn:tdm:eu-local-1/1/default/x:Property:bright")));
        assert!(level.is_within(&Namespace::private("eu-local-1", "1")));
        assert!(!level.is_within(&Namespace::private("eu-local-1", "12")));
        assert!(!urn("urn:tdm:eu-local-1/1/defaulted:Property:x").is_within(&Namespace::private("eu-local-1", "1")));
        assert!(urn("urn:tdm:AWS/examples:Property:x").is_public() && !level.is_public());
    }
}
