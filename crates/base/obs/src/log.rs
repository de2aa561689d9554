//! Log set-up: lines for people or JSON objects, on standard error; standard output belongs to data.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterId, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{Extensions, ExtensionsMut, LookupSpan, SpanData};
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level list cannot be read.
    #[error("`{0}` is not a log level or a list such as info,marram_broker=debug")]
    Levels(String),
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice,
}

/// Sets up logging for the process. `levels` is a level, or a list of `module=level` with a default among them.
///
/// # Errors
/// [`LogError`]: a list that cannot be read, or a second call.
pub fn init_log(format: LogFormat, levels: &str) -> Result<(), LogError> {
    let levels = Targets::from_str(levels).map_err(|_| LogError::Levels(levels.to_owned()))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    EventsOnly.with(layer).with(levels).try_init().map_err(|_| LogError::Twice)
}

/// Where all events go and no spans: nothing here makes spans, and the library's registry of them takes 40 kB when it is made.
struct EventsOnly;

impl Subscriber for EventsOnly {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl<'a> LookupSpan<'a> for EventsOnly {
    type Data = NoSpan;

    fn span_data(&'a self, _: &Id) -> Option<NoSpan> {
        None
    }
}

/// What is known of a span: there are none.
enum NoSpan {}

impl SpanData<'_> for NoSpan {
    fn id(&self) -> Id {
        match *self {}
    }

    fn metadata(&self) -> &'static Metadata<'static> {
        match *self {}
    }

    fn parent(&self) -> Option<&Id> {
        match *self {}
    }

    fn extensions(&self) -> Extensions<'_> {
        match *self {}
    }

    fn extensions_mut(&self) -> ExtensionsMut<'_> {
        match *self {}
    }

    fn is_enabled_for(&self, _: FilterId) -> bool {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_level_list_is_refused_with_its_text() {
        let error = init_log(LogFormat::Text, "marram=loud").unwrap_err();
        assert!(error.to_string().starts_with("`marram=loud` is not a log level"), "{error}");
        init_log(LogFormat::Json, "warn,marram_obs=debug").unwrap();
        assert!(matches!(init_log(LogFormat::Json, "warn"), Err(LogError::Twice)));
    }
}
