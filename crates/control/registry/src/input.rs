//! The members of a decoded request. The front door has checked presence and constraints of the model; what is missing
//! here all the same is refused, not assumed.

use std::fmt::Display;
use std::str::FromStr;

use marram_aws_api::ApiError;
use serde_json::{Map, Value};

/// A request's members by name.
#[derive(Debug)]
pub(crate) struct Input(Map<String, Value>);

impl Input {
    /// Wraps a decoded request.
    pub(crate) fn new(input: Value) -> Result<Self, ApiError> {
        match input {
            Value::Object(members) => Ok(Self(members)),
            Value::Null => Ok(Self(Map::new())),
            _ => Err(ApiError::invalid_request("The request is not an object")),
        }
    }

    /// A text member; `None` when absent.
    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.0.get(member).and_then(Value::as_str)
    }

    /// A text member that must be there.
    pub(crate) fn required(&self, member: &str) -> Result<&str, ApiError> {
        self.text(member).ok_or_else(|| ApiError::invalid_request(format!("{member} is required")))
    }

    /// A name or id that must be there.
    pub(crate) fn parse<T>(&self, member: &str) -> Result<T, ApiError>
    where
        T: FromStr,
        T::Err: Display,
    {
        parse(member, self.required(member)?)
    }

    /// A name or id; `None` when absent.
    pub(crate) fn parse_opt<T>(&self, member: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.text(member).map(|text| parse(member, text)).transpose()
    }

    /// A boolean; absent means `false`.
    pub(crate) fn flag(&self, member: &str) -> bool {
        self.flag_opt(member).unwrap_or(false)
    }

    /// A boolean; `None` when absent.
    pub(crate) fn flag_opt(&self, member: &str) -> Option<bool> {
        self.0.get(member).and_then(Value::as_bool)
    }

    /// An integer; `None` when absent.
    pub(crate) fn integer(&self, member: &str) -> Option<i64> {
        self.0.get(member).and_then(Value::as_i64)
    }

    /// A structure or map; `None` when absent.
    pub(crate) fn object(&self, member: &str) -> Option<&Map<String, Value>> {
        self.0.get(member).and_then(Value::as_object)
    }

    /// A list of texts; empty when absent.
    pub(crate) fn texts(&self, member: &str) -> Vec<String> {
        let list = self.0.get(member).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A list; `None` when absent.
    pub(crate) fn list(&self, member: &str) -> Option<&Vec<Value>> {
        self.0.get(member).and_then(Value::as_array)
    }
}

fn parse<T>(member: &str, text: &str) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| ApiError::invalid_request(format!("Invalid {member}: {error}")))
}
