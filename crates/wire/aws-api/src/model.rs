//! What an operation is made of: the row types of the generated tables.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use crate::service::ServiceId;

/// Body limit of an operation that names no other: 1 MiB (control-plane-api 10.4).
pub const DEFAULT_BODY_LIMIT: u32 = 1 << 20;

/// Body limit of operations that carry a policy document: 512 KiB (control-plane-api 10.4).
pub const POLICY_BODY_LIMIT: u32 = 512 << 10;

/// Body limit of operations that carry a definition document: 2 MiB (control-plane-api 10.4).
pub const DEFINITION_BODY_LIMIT: u32 = 2 << 20;

/// Body limit of operations that carry many events or data points: 2 MiB (control-plane-api 10.4).
pub const BULK_BODY_LIMIT: u32 = 2 << 20;

/// Body limit of operations that carry the configuration of a deployment: 12 MiB (control-plane-api 10.4).
pub const DEPLOYMENT_BODY_LIMIT: u32 = 12 << 20;

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    /// The service it belongs to.
    pub service: ServiceId,
    /// Model casing: `CreateThing`.
    pub name: &'static str,
    /// `POST`.
    pub method: &'static str,
    /// `/things/{thingName}`, greedy labels as `{name+}`; a constant query part (`?x=y`) is kept.
    pub path: &'static str,
    /// HTTP status of success.
    pub status: u16,
    /// A structure, or nothing.
    pub input: Option<&'static Shape>,
    /// A structure, or nothing: a void answer.
    pub output: Option<&'static Shape>,
    /// Errors the model lists for this operation.
    pub errors: &'static [&'static ErrorShape],
    /// It changes nothing: its audit record is `readOnly` and has no `responseElements`.
    pub read_only: bool,
    /// `iot:CreateThing`.
    pub iam_action: &'static str,
    /// How it pages, when a paginator is published for it.
    pub paginated: Option<&'static Pagination>,
    /// Largest body, in bytes.
    pub body_limit: u32,
    /// The shapes are in the table. Without them only the name and the route are known, and the answer is "not supported".
    pub has_shapes: bool,
}

impl Operation {
    /// The modelled error with wire code `code`, if this operation lists it.
    pub fn error(&self, code: &str) -> Option<&'static ErrorShape> {
        self.errors.iter().copied().find(|error| error.code == code)
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        self.service == other.service && self.name == other.name
    }
}

impl Eq for Operation {}

/// Member names of a paginated operation (control-plane-api 1.6).
#[derive(Debug)]
pub struct Pagination {
    /// The token in the request.
    pub input_token: &'static str,
    /// The token in the answer.
    pub output_token: &'static str,
    /// The page size in the request; empty when there is none.
    pub limit_key: &'static str,
    /// The list in the answer.
    pub result_key: &'static str,
}

/// A modelled error.
#[derive(Debug)]
pub struct ErrorShape {
    /// As it stands on the wire: `ResourceNotFoundException`, `NoSuchEntity`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Members beside the message, by wire name.
    pub members: &'static [&'static str],
}

/// A named type with its constraints.
#[derive(Debug)]
pub struct Shape {
    /// The model's name: `ThingName`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its values never stand in logs or audit records.
    pub sensitive: bool,
}

/// What a shape is. Lengths count characters (strings), bytes (blobs) or elements (lists, maps), both ends included.
#[derive(Debug)]
pub enum Kind {
    /// Named members.
    Structure {
        /// In model order.
        members: &'static [Member],
    },
    /// Elements in order.
    List {
        /// Shape of an element.
        member: &'static Shape,
        /// Name of an element in query and XML: `member` unless the model says otherwise.
        element: &'static str,
        /// Query and XML lists without the inner element.
        flattened: bool,
        /// Fewest and most elements.
        min: Option<u32>,
        /// See `min`.
        max: Option<u32>,
    },
    /// String keys.
    Map {
        /// Shape of a key: a string.
        key: &'static Shape,
        /// Shape of a value.
        value: &'static Shape,
        /// Fewest and most entries.
        min: Option<u32>,
        /// See `min`.
        max: Option<u32>,
    },
    /// Text.
    String {
        /// Fewest and most characters.
        min: Option<u32>,
        /// See `min`.
        max: Option<u32>,
        /// The whole text must match.
        pattern: Option<&'static Pattern>,
        /// When not empty, the only values allowed.
        values: &'static [&'static str],
    },
    /// 32 bit signed.
    Integer(Number),
    /// 64 bit signed.
    Long(Number),
    /// IEEE 754 single.
    Float,
    /// IEEE 754 double.
    Double,
    /// `true` or `false`.
    Boolean,
    /// Epoch seconds inside; on the wire as the format says.
    Timestamp(TimestampFormat),
    /// Bytes: base64 inside.
    Blob {
        /// Fewest and most bytes.
        min: Option<u32>,
        /// See `min`.
        max: Option<u32>,
    },
}

/// Range of an integer, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// Smallest.
    pub min: Option<i64>,
    /// Largest.
    pub max: Option<i64>,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// JSON number of seconds, or ISO 8601 in query, or RFC 822 in a header: the protocol's own choice.
    Default,
    /// `2026-03-02T08:14:02Z`.
    Iso8601,
    /// Seconds.
    Unix,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The model's name: the key in the decoded object.
    pub name: &'static str,
    /// The name on the wire; equal to `name` unless the model renames it.
    pub wire: &'static str,
    /// Where it stands.
    pub location: Location,
    /// Its type.
    pub shape: &'static Shape,
    /// A request without it is refused.
    pub required: bool,
    /// Text header that carries base64 of JSON.
    pub json_value: bool,
}

/// Where a member stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the body, under its wire name.
    Body,
    /// It is the body: a blob or text as it is, a structure as JSON.
    Payload,
    /// A path label.
    Uri,
    /// A query parameter, repeated for lists.
    Query,
    /// A header.
    Header,
    /// The status of the answer.
    StatusCode,
}

/// A pattern of the model, compiled when it is first needed.
#[derive(Debug)]
pub struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A pattern in the syntax of the `regex` crate; the generator has seen to that.
    pub const fn new(source: &'static str) -> Pattern {
        Pattern { source, compiled: OnceLock::new() }
    }

    /// As the model writes it, for error messages.
    pub fn as_str(&self) -> &'static str {
        self.source
    }

    /// The whole of `text` matches. A pattern that does not compile matches nothing.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled
            .get_or_init(|| {
                RegexBuilder::new(&format!(r"\A(?:{})\z", self.source)).size_limit(PATTERN_SIZE_LIMIT).build().ok()
            })
            .as_ref()
            .is_some_and(|regex| regex.is_match(text))
    }

    /// The pattern compiles.
    pub fn is_valid(&self) -> bool {
        self.is_match("");
        self.compiled.get().is_some_and(Option::is_some)
    }
}

/// Largest compiled pattern: the model's counted repetitions of Unicode classes are big.
const PATTERN_SIZE_LIMIT: usize = 64 << 20;

impl Shape {
    /// Members of a structure, in model order; nothing for other kinds.
    pub fn members(&self) -> &'static [Member] {
        match &self.kind {
            Kind::Structure { members } => members,
            _ => &[],
        }
    }

    /// The member of a structure called `name` in the model.
    pub fn member(&self, name: &str) -> Option<&'static Member> {
        self.members().iter().find(|member| member.name == name)
    }
}
