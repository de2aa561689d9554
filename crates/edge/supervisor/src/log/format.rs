//! The two forms of a log line (CR 7.7). Other programs parse them, so every byte counts.

use std::fmt::Write;

use marram_types::Timestamp;
use serde_json::json;

use super::{Level, LogFormat};

/// Name of the thread in the original that copies process output; tools show it.
const THREAD: &str = "Copier";

/// One line before it is written.
pub(crate) struct Entry<'a> {
    pub(crate) at: Timestamp,
    pub(crate) level: Level,
    pub(crate) event: &'a str,
    pub(crate) message: &'a str,
    /// `services.<name>.lifecycle.<step>.Script` of process output.
    pub(crate) script: Option<&'a str>,
    pub(crate) component: &'a str,
    pub(crate) state: &'a str,
}

impl Entry<'_> {
    /// The line with its end.
    pub(crate) fn line(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Text => self.text(),
            LogFormat::Json => self.json(),
        }
    }

    fn text(&self) -> String {
        let (at, level) = (self.at.rfc3339_millis(), self.level.as_str());
        let mut line = format!("{at} [{level}] ({THREAD}) {}: {}. {}. {{", self.component, self.event, self.message);
        if let Some(script) = self.script {
            write!(line, "scriptName={script}, ").expect("writing to a String does not fail");
        }
        writeln!(line, "serviceName={}, currentState={}}}", self.component, self.state)
            .expect("writing to a String does not fail");
        line
    }

    fn json(&self) -> String {
        // The members stand in this order in the original; serde_json would sort them.
        let mut contexts = String::new();
        if let Some(script) = self.script {
            write!(contexts, "\"scriptName\":{},", json!(script)).expect("writing to a String does not fail");
        }
        write!(contexts, "\"serviceName\":{},\"currentState\":{}", json!(self.component), json!(self.state))
            .expect("writing to a String does not fail");
        format!(
            "{{\"thread\":\"{THREAD}\",\"level\":\"{}\",\"eventType\":{},\"message\":{},\"contexts\":{{{contexts}}},\
             \"loggerName\":{},\"timestamp\":{},\"cause\":null}}\n",
            self.level.as_str(),
            json!(self.event),
            json!(self.message),
            json!(self.component),
            self.at.as_millis(),
        )
    }
}
