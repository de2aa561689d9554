//! Bodies of device requests.

use serde_json::{Map, Value};

use crate::details::{StatusDetails, parse_details};
use crate::error::JobError;
use crate::status::ExecutionStatus;

/// Largest body that is read: ten details of their full length in escapes are far below.
const MAX_BODY: usize = 64 * 1024;
/// Longest step timeout, in minutes; -1 clears the timer.
const STEP_TIMEOUT_MINUTES: std::ops::RangeInclusive<i64> = 1..=10_080;
/// Longest `clientToken`, in bytes.
const MAX_CLIENT_TOKEN: usize = 64;

/// A body, not yet looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Request(Map<String, Value>);

/// `{id}/get`, `$next/get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Describe {
    /// Which attempt; the latest when absent.
    pub number: Option<i64>,
    /// Whether the answer holds the document.
    pub include_document: bool,
}

/// `start-next`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartNext {
    /// Replace the details of an execution that begins now.
    pub details: Option<StatusDetails>,
    /// Minutes until the step times out; `Some(None)` clears the timer.
    pub step_timeout_minutes: Option<Option<i64>>,
}

/// `{id}/update`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateExecution {
    /// The new status.
    pub status: ExecutionStatus,
    /// Replace the details; they stay when absent.
    pub details: Option<StatusDetails>,
    /// The version the execution must have.
    pub expected_version: Option<i64>,
    /// Which attempt; the latest when absent.
    pub number: Option<i64>,
    /// Whether the answer tells the state.
    pub include_state: bool,
    /// Whether the answer holds the document.
    pub include_document: bool,
    /// As in [`StartNext`].
    pub step_timeout_minutes: Option<Option<i64>>,
}

/// The `clientToken` of a body, as far as there is one to echo.
pub fn client_token(body: &[u8]) -> Option<Value> {
    if body.len() > MAX_BODY {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("clientToken").filter(|token| token.as_str().is_some_and(|text| text.len() <= MAX_CLIENT_TOKEN)).cloned()
}

impl Request {
    /// Reads a body; an empty one is an empty object.
    ///
    /// # Errors
    /// [`JobError::InvalidJson`].
    pub fn parse(body: &[u8]) -> Result<Self, JobError> {
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        if body.len() > MAX_BODY {
            return Err(JobError::InvalidRequest("the payload is too large".to_owned()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => {
                let token = members.get("clientToken").filter(|token| !token.is_null());
                if token.is_some_and(|token| token.as_str().is_none_or(|text| text.len() > MAX_CLIENT_TOKEN)) {
                    return Err(JobError::InvalidRequest("clientToken must be a text of at most 64 bytes".to_owned()));
                }
                Ok(Self(members))
            }
            _ => Err(JobError::InvalidJson),
        }
    }

    /// A decoded HTTP request: the same members.
    pub fn of(input: &Value) -> Self {
        Self(input.as_object().cloned().unwrap_or_default())
    }

    /// As a `get` of one execution. The document comes along unless it is declined.
    ///
    /// # Errors
    /// [`JobError::InvalidRequest`].
    pub fn describe(&self) -> Result<Describe, JobError> {
        Ok(Describe {
            number: self.number("executionNumber")?,
            include_document: self.flag("includeJobDocument")?.unwrap_or(true),
        })
    }

    /// As a `start-next`.
    ///
    /// # Errors
    /// [`JobError::InvalidRequest`].
    pub fn start_next(&self) -> Result<StartNext, JobError> {
        Ok(StartNext { details: self.details()?, step_timeout_minutes: self.step_timeout()? })
    }

    /// As an `update`.
    ///
    /// # Errors
    /// [`JobError::InvalidRequest`].
    pub fn update(&self) -> Result<UpdateExecution, JobError> {
        let status = match self.present("status") {
            Some(Value::String(text)) => ExecutionStatus::parse(text),
            _ => None,
        };
        Ok(UpdateExecution {
            status: status.ok_or_else(|| invalid("status is required and must be a status"))?,
            details: self.details()?,
            expected_version: self.expected_version()?,
            number: self.number("executionNumber")?,
            include_state: self.flag("includeJobExecutionState")?.unwrap_or(false),
            include_document: self.flag("includeJobDocument")?.unwrap_or(false),
            step_timeout_minutes: self.step_timeout()?,
        })
    }

    fn present(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn details(&self) -> Result<Option<StatusDetails>, JobError> {
        self.present("statusDetails").map(parse_details).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<i64>, JobError> {
        let number = |value: &Value| value.as_i64().filter(|number| *number >= 0);
        self.present(name)
            .map(|value| number(value).ok_or_else(|| invalid(&format!("{name} must be a number"))))
            .transpose()
    }

    /// Older SDKs send the version as a text.
    fn expected_version(&self) -> Result<Option<i64>, JobError> {
        let Some(value) = self.present("expectedVersion") else { return Ok(None) };
        let version = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        version.map(Some).ok_or_else(|| invalid("expectedVersion must be a number"))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, JobError> {
        self.present(name)
            .map(|value| value.as_bool().ok_or_else(|| invalid(&format!("{name} must be true or false"))))
            .transpose()
    }

    fn step_timeout(&self) -> Result<Option<Option<i64>>, JobError> {
        match self.number_or_negative("stepTimeoutInMinutes")? {
            None => Ok(None),
            Some(-1) => Ok(Some(None)),
            Some(minutes) if STEP_TIMEOUT_MINUTES.contains(&minutes) => Ok(Some(Some(minutes))),
            Some(_) => Err(invalid("stepTimeoutInMinutes must be from 1 to 10080, or -1")),
        }
    }

    fn number_or_negative(&self, name: &str) -> Result<Option<i64>, JobError> {
        self.present(name)
            .map(|value| value.as_i64().ok_or_else(|| invalid(&format!("{name} must be a number"))))
            .transpose()
    }
}

fn invalid(text: &str) -> JobError {
    JobError::InvalidRequest(text.to_owned())
}
