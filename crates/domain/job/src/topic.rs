//! Request topics of the jobs service (CP 5.9).
//!
//! ```text
//! $aws/things/{thing}/jobs/get | start-next
//! $aws/things/{thing}/jobs/{job | $next}/get         $aws/things/{thing}/jobs/{job}/update
//! $aws/things/{thing}/jobs/{job | $next}/namespace-{ns}/get     .../{job}/namespace-{ns}/update
//! ```

use std::fmt;
use std::str::FromStr;

use marram_types::{JobId, ThingName};
use smol_str::SmolStr;

/// A queue of its own beside the default one: `aws-gg-deployment`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Namespace(SmolStr);

/// Not a namespace: 1 to 64 of `a-zA-Z0-9_-`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a namespace is 1 to 64 characters of a-zA-Z0-9_-")]
pub struct NamespaceError;

impl Namespace {
    /// The queue of jobs without a namespace.
    pub fn default_queue() -> Self {
        Self::default()
    }

    /// The name; empty for the default queue.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the default queue.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// `-namespace-{name}`, or nothing for the default queue: what notification topics end in.
    pub fn suffix(&self) -> String {
        if self.is_default() { String::new() } else { format!("-namespace-{}", self.0) }
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;
    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if (1..=64).contains(&text.len()) && text.chars().all(good) {
            return Ok(Self(SmolStr::new(text)));
        }
        Err(NamespaceError)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which execution is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRef {
    /// The next one of the queue.
    Next,
    /// The one of this job.
    Id(JobId),
}

/// What a topic asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKind {
    /// The pending executions.
    Pending,
    /// The next execution, taken up.
    StartNext,
    /// One execution.
    Describe(JobRef),
    /// A report.
    Update(JobId),
}

/// A request topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTopic {
    /// Whose executions.
    pub thing: ThingName,
    /// Of which queue.
    pub namespace: Namespace,
    /// What is asked.
    pub kind: RequestKind,
}

impl JobTopic {
    /// Reads a request topic; `None` for every other topic.
    pub fn parse(topic: &str) -> Option<Self> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once("/jobs/")?;
        let thing = thing.parse().ok()?;
        let levels: Vec<&str> = rest.split('/').collect();
        let (namespace, kind) = match levels.as_slice() {
            ["get"] => (Namespace::default_queue(), RequestKind::Pending),
            ["start-next"] => (Namespace::default_queue(), RequestKind::StartNext),
            [job, verb] => (Namespace::default_queue(), Self::of_execution(job, verb)?),
            [job, namespace, verb] => {
                let namespace = namespace.strip_prefix("namespace-")?.parse().ok()?;
                (namespace, Self::of_execution(job, verb)?)
            }
            _ => return None,
        };
        Some(Self { thing, namespace, kind })
    }

    fn of_execution(job: &str, verb: &str) -> Option<RequestKind> {
        let job = if job == "$next" { JobRef::Next } else { JobRef::Id(job.parse().ok()?) };
        match (verb, job) {
            ("get", job) => Some(RequestKind::Describe(job)),
            ("update", JobRef::Id(id)) => Some(RequestKind::Update(id)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 5.9: every request topic, and the answers and notifications that are none.
    #[test]
    fn request_topics() {
        let kind = |rest: &str| {
            JobTopic::parse(&format!("$aws/things/t/jobs/{rest}"))
                .map(|topic| (topic.namespace.to_string(), topic.kind))
        };
        let id = || "j-1".parse::<JobId>().unwrap();
        let plain = String::new;
        let table = [
            ("get", Some((plain(), RequestKind::Pending))),
            ("start-next", Some((plain(), RequestKind::StartNext))),
            ("$next/get", Some((plain(), RequestKind::Describe(JobRef::Next)))),
            ("j-1/get", Some((plain(), RequestKind::Describe(JobRef::Id(id()))))),
            ("j-1/update", Some((plain(), RequestKind::Update(id())))),
            (
                "$next/namespace-aws-gg-deployment/get",
                Some(("aws-gg-deployment".into(), RequestKind::Describe(JobRef::Next))),
            ),
            ("j-1/namespace-aws-gg-deployment/update", Some(("aws-gg-deployment".into(), RequestKind::Update(id())))),
            ("$next/update", None),
            ("get/accepted", None),
            ("j-1/get/accepted", None),
            ("notify", None),
            ("notify-next", None),
            ("j-1/namespace-/get", None),
            ("j 1/get", None),
            ("", None),
        ];
        for (rest, wanted) in table {
            assert_eq!(kind(rest), wanted, "{rest}");
        }
        assert_eq!("ns".parse::<Namespace>().unwrap().suffix(), "-namespace-ns");
        assert_eq!(Namespace::default_queue().suffix(), "");
    }
}
