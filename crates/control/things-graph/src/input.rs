//! The inputs of operations as types. Constraints of the model are checked before a service is called.

use marram_aws_api::ApiError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `DefinitionDocument`; its language can only be GRAPHQL.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    pub(crate) text: String,
}

/// A filter of a search: values AND together, filters OR together (TG 9.1).
#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: Vec<String>,
}

/// `Tag`.
#[derive(Debug, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Operations that take one `id`; the model makes it optional in three of them (TG 9.4).
#[derive(Debug, Deserialize)]
pub(crate) struct ById {
    id: Option<String>,
}

impl ById {
    pub(crate) fn id(&self) -> Result<&str, ApiError> {
        self.id.as_deref().ok_or_else(|| ApiError::invalid_request("id is required"))
    }
}

/// The decoded request as `T`.
///
/// # Errors
/// `InvalidRequestException` when a member is missing or of another type.
pub(crate) fn read<T: DeserializeOwned>(input: &Value) -> Result<T, ApiError> {
    T::deserialize(input).map_err(|error| ApiError::invalid_request(format!("The request is malformed: {error}")))
}

/// Whether an item passes: no filter at all, or one of which every value matches.
pub(crate) fn passes(filters: &[Filter], matches: impl Fn(&str, &str) -> bool) -> bool {
    filters.is_empty() || filters.iter().any(|filter| filter.value.iter().all(|value| matches(&filter.name, value)))
}
