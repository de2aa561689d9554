//! The console's language service: what a page asks about TDM text, answered without I/O and without state.
//!
//! [`answer`] is the one door: a verb, the request's JSON, and the [`World`] the text is read in. What it takes and
//! answers is written down in `crates/control/console/API.md`, whose examples are this crate's tests.
//!
//! | module | verb |
//! | --- | --- |
//! | `analysis` | `check`: everything wrong with a text |
//! | `format` | the one layout, from `marram_tdm::syntax` |
//! | `complete` | what may stand at a place |
//! | `drawing` | `flow`: the text as nodes and edges |
//! | `edit` | changes of the drawing as changes of the text |
//! | `simulate` | a flow on virtual time |
//! | `scope` | what an expression may name |
//!
//! Places inside are byte offsets; [`offsets`] turns them into the UTF-16 offsets pages count in, at the door only.

mod analysis;
mod complete;
mod drawing;
mod edit;
mod error;
mod offsets;
mod outline;
mod request;
mod scope;
mod simulate;
mod types;
mod world;

use marram_tdm::LineIndex;
use marram_tdm::syntax::{FormatOptions, format};
use serde_json::{Value, json};

pub use error::LanguageError;
pub use world::{Known, NamespaceWorld, PublicWorld, World};

use request::Request;

/// Longest text, bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 1_000_000;
/// Most edits of one request.
pub const MAX_EDITS: usize = 1_000;
/// Most completion items and names of a scope answered.
pub const MAX_ITEMS: usize = 200;

/// The verbs of [`answer`].
pub const VERBS: [&str; 7] = ["check", "format", "complete", "flow", "edit", "simulate", "scope"];

/// Answers one request.
///
/// # Errors
/// A verb there is not, a request that makes no sense, a limit. Mistakes of the document are no errors.
pub fn answer(verb: &str, input: &Value, world: &dyn World) -> Result<Value, LanguageError> {
    let request = Request::new(input)?;
    match verb {
        "check" => Ok(analysis::answer(request.text()?, world)),
        "format" => reformat(request.text()?),
        "complete" => complete::answer(&request, world),
        "flow" => Ok(drawing::answer(request.text()?, world)),
        "edit" => edit::answer(&request, world),
        "simulate" => simulate::answer(&request, world),
        "scope" => scope::answer(&request, world),
        _ => Err(LanguageError::about("verb", format!("there is no verb `{verb}`", verb = request::clip(verb)))),
    }
}

fn reformat(text: &str) -> Result<Value, LanguageError> {
    match format(text, FormatOptions::default()) {
        Ok(text) => Ok(json!({ "text": text })),
        Err(found) => {
            let first = found.iter().find(|found| found.is_error());
            let said = first.map(|found| {
                let at = LineIndex::new(text).line_col(text, found.span.start);
                format!("line {}, column {}: {}", at.line, at.column, found.message)
            });
            let said = said.unwrap_or_else(|| "the text cannot be read".to_owned());
            Err(LanguageError::about("text", said))
        }
    }
}
