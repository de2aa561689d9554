//! Why a request is refused.

/// A request that cannot be answered. On the wire: status 400, `{"error":{"code","message","field"}}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct LanguageError {
    /// The member at fault, such as `text` or `edits[3].node`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl LanguageError {
    /// The one code of this service.
    pub const CODE: &str = "ValidationException";

    pub(crate) fn about(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same problem one level further out: `outer` is put before the field.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.field = if self.field.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.field) };
        self
    }

    /// The code on the wire.
    pub fn code(&self) -> &'static str {
        Self::CODE
    }

    /// The body on the wire.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": Self::CODE, "message": self.message, "field": self.field } })
    }
}
