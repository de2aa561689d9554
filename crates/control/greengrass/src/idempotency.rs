//! `clientToken`: the same request again gets the first answer, another request is a conflict (control-plane-api 1.6).

use aws_lc_rs::digest;
use marram_deploy::canonical;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::{Snapshot, Tx, params};
use marram_types::Timestamp;
use serde_json::Value;

use crate::fault;

/// Life of a token, in seconds (control-plane-api 1.6).
const TOKEN_LIFE_SECS: i64 = 86_400;

/// A request that may be repeated.
pub(crate) struct Attempt {
    operation: &'static str,
    token: Option<String>,
    digest: String,
}

impl Attempt {
    /// The attempt this input is. The token itself is not part of what is compared.
    pub(crate) fn of(ctx: &CallContext, input: &Value) -> Attempt {
        let mut compared = input.clone();
        let token = compared.as_object_mut().and_then(|members| members.remove("clientToken"));
        let token = token.and_then(|token| token.as_str().map(str::to_owned));
        let hash = digest::digest(&digest::SHA256, canonical(&compared).as_bytes());
        Attempt { operation: ctx.operation.name, token, digest: hex::encode(hash) }
    }

    /// The first answer, if this is a repetition.
    ///
    /// # Errors
    /// `ConflictException` when the token was used for another request.
    pub(crate) fn earlier(
        &self,
        snapshot: &Snapshot<'_>,
        realm: &Realm,
        now: Timestamp,
    ) -> Result<Option<Value>, CallError> {
        let Some(token) = &self.token else { return Ok(None) };
        let found = snapshot.query_opt(
            "SELECT digest, answer, created_at FROM gg_request
             WHERE account = $1 AND region = $2 AND operation = $3 AND token = $4",
            params![realm.account, realm.region, self.operation, token],
            |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<Timestamp>(2)?)),
        )?;
        match found {
            Some((_, _, at)) if now.as_secs() - at.as_secs() > TOKEN_LIFE_SECS => Ok(None),
            Some((digest, answer, _)) if digest == self.digest => Ok(serde_json::from_str(&answer).ok()),
            Some(_) => {
                Err(fault::conflict("clientToken", token, "The client token was used for another request.").into())
            }
            None => Ok(None),
        }
    }

    /// Remembers the answer, and forgets tokens whose day is over.
    pub(crate) fn remember(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        answer: &Value,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let Some(token) = &self.token else { return Ok(()) };
        let expired = Timestamp::from_secs(now.as_secs() - TOKEN_LIFE_SECS);
        tx.execute("DELETE FROM gg_request WHERE created_at < $1", params![expired])?;
        tx.execute(
            "INSERT INTO gg_request (account, region, operation, token, digest, answer, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (account, region, operation, token) DO UPDATE SET digest = excluded.digest,
             answer = excluded.answer, created_at = excluded.created_at",
            params![realm.account, realm.region, self.operation, token, self.digest, answer.to_string(), now],
        )?;
        Ok(())
    }
}
