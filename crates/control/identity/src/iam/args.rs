//! Reading decoded requests: members by name, with the refusals IAM and STS use.

use marram_aws_api::ApiError;
use serde_json::Value;

/// The members of a request or of a structure in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'a>(&'a Value);

impl<'a> Args<'a> {
    pub(crate) fn new(input: &'a Value) -> Args<'a> {
        Args(input)
    }

    /// A text that must be there.
    pub(crate) fn text(&self, name: &str) -> Result<&'a str, ApiError> {
        self.opt(name).ok_or_else(|| missing(name))
    }

    /// A text that may be there.
    pub(crate) fn opt(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A whole number that may be there.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong_type(name)),
        }
    }

    /// A flag; absent is `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A list of texts; absent is empty.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>, ApiError> {
        self.items(name)?.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(|| wrong_type(name))).collect()
    }

    /// A list of structures; absent is empty.
    pub(crate) fn structures(&self, name: &str) -> Result<Vec<Args<'a>>, ApiError> {
        Ok(self.items(name)?.iter().map(Args).collect())
    }

    /// A list of tags, in the order given; absent is empty.
    pub(crate) fn tags(&self, name: &str) -> Result<Vec<(String, String)>, ApiError> {
        self.structures(name)?
            .into_iter()
            .map(|tag| Ok((tag.text("Key")?.to_owned(), tag.text("Value")?.to_owned())))
            .collect()
    }

    fn items(&self, name: &str) -> Result<&'a [Value], ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(wrong_type(name)),
        }
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::validation(format!("The request must contain the parameter {name}."))
}

fn wrong_type(name: &str) -> ApiError {
    ApiError::validation(format!("The parameter {name} has the wrong type."))
}
