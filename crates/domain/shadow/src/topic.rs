//! Shadow topics: `$aws/things/{thing}/shadow[/name/{shadow}]/{get|update|delete}[/accepted|..]`.

use std::fmt;

use marram_types::{ShadowName, ThingName};

/// What a request topic asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The document.
    Get,
    /// A change.
    Update,
    /// The end of the document.
    Delete,
}

impl Operation {
    /// As it stands in topics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Whose shadow: the part of a topic in front of the operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicBase {
    /// The thing.
    pub thing: ThingName,
    /// `None`: the classic shadow.
    pub name: Option<ShadowName>,
}

/// A request topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowTopic {
    /// Whose shadow.
    pub base: TopicBase,
    /// What is asked.
    pub operation: Operation,
}

impl ShadowTopic {
    /// Reads a request topic; `None` for any other topic, answers and notifications included.
    pub fn parse(topic: &str) -> Option<Self> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once("/shadow/")?;
        let (name, operation) = match rest.strip_prefix("name/") {
            Some(rest) => {
                let (name, operation) = rest.split_once('/')?;
                (Some(name.parse().ok()?), operation)
            }
            None => (None, rest),
        };
        let operation = match operation {
            "get" => Operation::Get,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        Some(Self { base: TopicBase { thing: thing.parse().ok()?, name }, operation })
    }
}

impl TopicBase {
    /// The topic of an answer or notification: `get/accepted`, `update/delta`, ..
    pub fn topic(&self, suffix: impl fmt::Display) -> String {
        format!("{self}/{suffix}")
    }

    /// How refusals name the shadow: the thing, or `thing~shadow`.
    pub fn shown(&self) -> String {
        match &self.name {
            None => self.thing.to_string(),
            Some(name) => format!("{}~{name}", self.thing),
        }
    }
}

impl fmt::Display for TopicBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "$aws/things/{}/shadow", self.thing),
            Some(name) => write!(f, "$aws/things/{}/shadow/name/{name}", self.thing),
        }
    }
}
