//! Pages of lists (control-plane-api 1.6).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use serde_json::{Map, Value};

/// Items of a page when the caller names no number.
const DEFAULT_PAGE: i64 = 50;
/// Largest page.
const MAX_PAGE: i64 = 100;

/// The page a caller asked for.
pub(crate) struct Page {
    filter: String,
    /// The last key of the page before; empty at the start.
    pub(crate) after: String,
    pub(crate) limit: usize,
}

impl Page {
    /// Reads the paging members. `filter` is everything that narrows the list.
    pub(crate) fn of(ctx: &CallContext, input: &Value, filter: &[&str]) -> Result<Page, ApiError> {
        let filter = filter.join("\u{1f}");
        let after = match input["nextToken"].as_str() {
            Some(token) => ctx.open_page_token(&filter, token)?,
            None => String::new(),
        };
        let limit = input["maxResults"].as_i64().unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
        Ok(Page { filter, after, limit: usize::try_from(limit).unwrap_or(1) })
    }

    /// Rows to ask of the store: one more than wanted.
    pub(crate) fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(MAX_PAGE) + 1
    }

    /// The answer: items under `member`, each with its key, and a token when there are more.
    pub(crate) fn answer(&self, ctx: &CallContext, member: &str, mut rows: Vec<(String, Value)>) -> Value {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let mut answer = Map::new();
        if let Some((key, _)) = rows.last().filter(|_| more) {
            answer.insert("nextToken".to_owned(), ctx.page_token(&self.filter, key).into());
        }
        answer.insert(member.to_owned(), rows.into_iter().map(|(_, item)| item).collect());
        Value::Object(answer)
    }

    /// The same over items that are all in memory, ordered by their own rule; keys are positions.
    pub(crate) fn of_all(&self, ctx: &CallContext, member: &str, items: Vec<(String, Value)>) -> Value {
        let start = match self.after.as_str() {
            "" => 0,
            after => items.iter().position(|(key, _)| key == after).map_or(items.len(), |found| found + 1),
        };
        let rows = items.into_iter().skip(start).take(self.limit + 1).collect();
        self.answer(ctx, member, rows)
    }
}
