//! The language service for people: the same answers for everybody who may read the namespace.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_types::{AccountId, Region};
use serde_json::{Map, Value};

use crate::console::Console;
use crate::door::Person;
use crate::request::Asked;

/// Largest body, in bytes: a text of 1 MB (the service's own limit), its quotes and line ends escaped.
pub(crate) const LANGUAGE_BODY: usize = 2_500_000;
/// What one must be allowed to do: the answers tell of names in the namespace.
const ACTION: &str = "iotthingsgraph:SearchEntities";
/// Texts worked on at once; a large one takes a core for a while.
pub(crate) const TEXTS_AT_ONCE: usize = 4;

/// Answers what pages ask about TDM text (`crates/control/console/API.md`).
pub trait Language: Send + Sync {
    /// Answers one request about a text in the namespace of an account. May block.
    ///
    /// # Errors
    /// A verb there is not, a request that makes no sense, a limit; the store's.
    fn answer(&self, account: &AccountId, region: &Region, verb: &str, input: &Value) -> Result<Value, ApiError>;
}

impl Console {
    /// `tdm/{verb}`.
    pub(crate) async fn language(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        verb: &str,
        members: Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let context = self.context(asked, person)?;
        if !context.may(ACTION, "*", |_| {}) {
            return Err(ApiError::not_authorized(&person.principal.arn, ACTION, "*", false));
        }
        let _turn = self.inner.texts.acquire().await.map_err(|_| ApiError::internal())?;
        let (language, verb) = (Arc::clone(&self.inner.options.language), verb.to_owned());
        let (account, region) = (context.account.clone(), context.region.clone());
        let work = move || language.answer(&account, &region, &verb, &Value::Object(members));
        tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())?
    }
}
