//! Pages of a listing: `Marker` and `MaxItems` in, `IsTruncated` always and `Marker` on all pages but the last out.

use marram_aws_api::ApiError;
use serde_json::{Map, Value};

use crate::iam::Iam;

/// Items of a page unless asked otherwise (control-plane-api.md section 1.6).
const DEFAULT_ITEMS: i64 = 100;
/// Most items of a page.
const MAX_ITEMS: i64 = 1000;

/// A page on its way out.
pub(super) struct Page {
    pub items: Vec<Value>,
    pub next: Option<String>,
}

impl Iam<'_> {
    /// Cuts a page out of `items`, which are sorted by their keys. `filter` is everything the listing was narrowed by.
    pub(super) fn page(
        &self,
        filter: &str,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Page, ApiError> {
        let limit = self.args.number("MaxItems")?.unwrap_or(DEFAULT_ITEMS);
        if !(1..=MAX_ITEMS).contains(&limit) {
            return Err(ApiError::validation("MaxItems must be between 1 and 1000."));
        }
        let limit = usize::try_from(limit).unwrap_or(1);
        let after = match self.args.opt("Marker") {
            Some(marker) => Some(self.ctx.open_page_token(filter, marker)?),
            None => None,
        };
        let mut rest = items.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).peekable();
        let mut page = Page { items: Vec::new(), next: None };
        while let Some((key, item)) = rest.next() {
            page.items.push(item);
            if page.items.len() == limit {
                if rest.peek().is_some() {
                    page.next = Some(self.ctx.page_token(filter, &key));
                }
                break;
            }
        }
        Ok(page)
    }

    /// A page with its only list under `member`.
    pub(super) fn listing(
        &self,
        member: &str,
        filter: &str,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value, ApiError> {
        let page = self.page(filter, items)?;
        Ok(page.into_output([(member, Value::Null)]))
    }
}

impl Page {
    /// The output with the page's items under each null member, `IsTruncated` and `Marker`.
    pub(super) fn into_output<'m>(self, members: impl IntoIterator<Item = (&'m str, Value)>) -> Value {
        let mut output = Map::new();
        let mut items = Some(self.items);
        for (name, value) in members {
            let value = match value {
                Value::Null => items.take().unwrap_or_default().into(),
                other => other,
            };
            output.insert(name.to_owned(), value);
        }
        output.insert("IsTruncated".to_owned(), self.next.is_some().into());
        if let Some(marker) = self.next {
            output.insert("Marker".to_owned(), marker.into());
        }
        output.into()
    }
}
