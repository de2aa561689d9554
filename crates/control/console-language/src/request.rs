//! Reading a request's members, with the member's name in every refusal.

use serde_json::{Map, Value};

use crate::{LanguageError, MAX_TEXT_BYTES};

/// Longest name or URN a request may mention, bytes. Names of steps are free text.
const MAX_NAME_BYTES: usize = 4_096;

/// An object of a request.
#[derive(Clone, Copy)]
pub(crate) struct Request<'v> {
    members: &'v Map<String, Value>,
}

impl<'v> Request<'v> {
    pub fn new(value: &'v Value) -> Result<Self, LanguageError> {
        match value {
            Value::Object(members) => Ok(Request { members }),
            _ => Err(LanguageError::about("", "expected an object")),
        }
    }

    /// A member that is there and not null.
    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Whether a member is there, if only as null.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The document.
    pub fn text(&self) -> Result<&'v str, LanguageError> {
        let text = self.long_string("text")?;
        if text.len() > MAX_TEXT_BYTES {
            return Err(LanguageError::about("text", format!("the text is longer than {MAX_TEXT_BYTES} bytes")));
        }
        Ok(text)
    }

    /// A required string of any length.
    pub fn long_string(&self, name: &str) -> Result<&'v str, LanguageError> {
        let missing = || LanguageError::about(name, "expected a string");
        self.get(name).ok_or_else(missing)?.as_str().ok_or_else(missing)
    }

    /// A required short string.
    pub fn string(&self, name: &str) -> Result<&'v str, LanguageError> {
        self.optional(name)?.ok_or_else(|| LanguageError::about(name, "expected a string"))
    }

    /// A short string that may be absent.
    pub fn optional(&self, name: &str) -> Result<Option<&'v str>, LanguageError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_NAME_BYTES => Ok(Some(text)),
            Some(Value::String(_)) => {
                Err(LanguageError::about(name, format!("the string is longer than {MAX_NAME_BYTES} bytes")))
            }
            Some(_) => Err(LanguageError::about(name, "expected a string")),
        }
    }

    /// A Boolean that defaults to false.
    pub fn flag(&self, name: &str) -> Result<bool, LanguageError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(LanguageError::about(name, "expected true or false")),
        }
    }

    /// A required offset.
    pub fn offset(&self, name: &str) -> Result<usize, LanguageError> {
        let number = self.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| LanguageError::about(name, "expected an offset"))
    }

    /// A required number within +-`most`.
    pub fn number(&self, name: &str, most: f64) -> Result<f64, LanguageError> {
        let number = self.get(name).and_then(Value::as_f64).filter(|number| number.abs() <= most);
        number.ok_or_else(|| LanguageError::about(name, format!("expected a number within +-{most}")))
    }

    /// A list that defaults to an empty one.
    pub fn list(&self, name: &str) -> Result<&'v [Value], LanguageError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(LanguageError::about(name, "expected a list")),
        }
    }

    /// One string or a list of strings; absent is empty.
    pub fn strings(&self, name: &str) -> Result<Vec<&'v str>, LanguageError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().filter(|text| text.len() <= MAX_NAME_BYTES));
                texts.collect::<Option<_>>().ok_or_else(|| LanguageError::about(name, "expected a list of strings"))
            }
            Some(_) => Err(LanguageError::about(name, "expected a list of strings")),
        }
    }

    /// An object that may be absent.
    pub fn object(&self, name: &str) -> Result<Option<Request<'v>>, LanguageError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => Request::new(value).map(Some).map_err(|error| error.within(name)),
        }
    }

    /// Every member in the order of the request.
    pub fn members(&self) -> impl Iterator<Item = (&'v String, &'v Value)> {
        self.members.iter()
    }
}

/// A text short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
