//! Inviting people: a one-time link for a user of the own account, made, listed and withdrawn by whoever may.
//!
//! What an invitation gives is what the user's policies say; those are attached through IAM's own operations, under the
//! inviter's own policies. The link itself is what a login profile is in IAM, and wants the same permissions:
//! `iam:CreateLoginProfile`, and `iam:UpdateLoginProfile` as well for somebody who signs in already, whose ways in it replaces;
//! `iam:GetLoginProfile` to see, `iam:DeleteLoginProfile` to withdraw.

use std::collections::BTreeSet;
use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, Principal};
use marram_store::{StoreError, params};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::link::{self, FirstLink, Linked};
use crate::methods::check_fresh;
use crate::request::{Asked, text};
use crate::session::folded_name;
use crate::sign_in::name_of;
use crate::token::Token;

/// Longest name of a user, in bytes.
const MAX_NAME: usize = 256;
/// How long an invitation works unless its maker says otherwise, and at most, in hours.
const HOURS: u64 = 24;
const MAX_HOURS: u64 = 7 * 24;
/// Users a list tells about.
const MAX_LISTED: usize = 1_000;

/// What a step is called in the audit log.
const MAKE: &str = "CreateConsoleLink";
const WITHDRAW: &str = "DeleteConsoleLink";

const SEE: &str = "iam:GetLoginProfile";
const CREATE: &str = "iam:CreateLoginProfile";
const UPDATE: &str = "iam:UpdateLoginProfile";
const DELETE: &str = "iam:DeleteLoginProfile";

impl Console {
    /// A user of the person's own account, if the person may do all of this to it. Refusals are recorded.
    fn invited(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        event: &'static str,
        members: &Map<String, Value>,
        actions: impl FnOnce(&Principal) -> Result<Vec<&'static str>, ApiError>,
    ) -> Result<Principal, ApiError> {
        let name = text(members, "user", MAX_NAME)?.trim();
        let account = &person.principal.account;
        let found = self.inner.identity.user_principal(account, name);
        let arn = found.as_ref().map_or_else(
            || format!("arn:{}:iam::{account}:user/{name}", self.inner.identity.partition().as_str()),
            |user| user.arn.to_string(),
        );
        let actions = found.as_ref().map_or_else(|| Ok(vec![SEE]), actions)?;
        let context = self.context(asked, person)?;
        for action in actions {
            if !self.may_to(&context, action, &arn, name) {
                let error = ApiError::not_authorized(&person.principal.arn, action, &arn, false);
                let step = self.step(asked, person).parameters(json!({"userName": name}));
                step.refused(event, &error.message);
                return Err(error);
            }
        }
        found.ok_or_else(|| {
            ApiError::new("NoSuchEntity", 404, format!("The user with name {name} cannot be found."))
                .with("field", "user")
        })
    }

    /// Decides as IAM's operations on users do: with the user's tags.
    fn may_to(&self, context: &CallContext, action: &str, arn: &str, name: &str) -> bool {
        let tags = self.inner.identity.user_tags(&context.account, name);
        context.may(action, arn, |conditions| {
            conditions.resource_tags(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        })
    }

    /// `invitations/make`: the address is told here and nowhere else.
    pub(crate) async fn invite(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let hours = match members.get("hours") {
            None | Some(Value::Null) => HOURS,
            Some(value) => value
                .as_u64()
                .filter(|hours| (1..=MAX_HOURS).contains(hours))
                .ok_or_else(|| fault::invalid("hours", format!("hours is a number from 1 to {MAX_HOURS}.")))?,
        };
        let user = self.invited(asked, person, MAKE, members, |user| {
            let ways = self.ways(user)?;
            let has_entered = ways.password || !ways.passkeys.is_empty();
            Ok(if has_entered { vec![CREATE, UPDATE] } else { vec![CREATE] })
        })?;
        check_fresh(asked, person)?;
        let base = self.base_url().ok_or_else(fault::unavailable)?;
        let (token, now) = (Token::fresh(), asked.now);
        let expires = now.saturating_add(Duration::from_secs(hours * 3600));
        let (hash, maker) = (token.hash(), person.principal.arn.to_string());
        let name = name_of(&user).to_owned();
        let whom = Linked { account: user.account.clone(), user: folded_name(&user), user_id: user.unique_id.clone() };
        let parameters = json!({"userName": name, "expires": expires.epoch_seconds()});
        let step = self.step(asked, person).parameters(parameters);
        step.commit(MAKE, move |tx| {
            link::store(tx, &hash, &whom, now, expires, Some(&maker))?;
            Ok(())
        })
        .await?;
        Ok(json!({"user": name, "url": FirstLink::of(token).url(&base), "expires": expires.epoch_seconds()}))
    }

    /// `invitations/withdraw`: the link opens nothing any more, nor does what it opened but not finished.
    pub(crate) async fn withdraw(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let user = self.invited(asked, person, WITHDRAW, members, |_| Ok(vec![DELETE]))?;
        let (account, folded, sessions) = (user.account.clone(), folded_name(&user), self.inner.sessions.clone());
        let step = self.step(asked, person).parameters(json!({"userName": name_of(&user)}));
        step.commit(WITHDRAW, move |tx| {
            let unused = link::remove(tx, &account, &folded)?;
            let begun = tx.execute(
                "DELETE FROM console_session WHERE account = $1 AND user_folded = $2 AND factor IS NOT NULL",
                params![account, folded],
            )?;
            if !unused && begun == 0 {
                return Err(CallError::from(ApiError::not_found("There is no invitation for this user.")));
            }
            tx.after_commit(move || sessions.dismiss_enrolling(&account, &folded));
            Ok(())
        })
        .await?;
        self.invitations(asked, person)
    }

    /// `invitations/list`: invitations that wait, and who has a way in, of those the person may know about.
    pub(crate) fn invitations(&self, asked: &Asked<'_>, person: &Person) -> Result<Value, ApiError> {
        let inner = &self.inner;
        let account = &person.principal.account;
        let context = self.context(asked, person)?;
        let seen = |folded: &str, user_id: &str| -> Option<String> {
            let user = inner.identity.user_principal(account, folded).filter(|user| user.unique_id == user_id)?;
            let name = name_of(&user).to_owned();
            self.may_to(&context, SEE, user.arn.as_str(), &name).then_some(name)
        };
        let invitations: Vec<Value> = link::waiting(&inner.identity, account, asked.now)?
            .into_iter()
            .take(MAX_LISTED)
            .filter_map(|waiting| {
                let user = seen(&waiting.user, &waiting.user_id)?;
                let created = waiting.created.map(|created| created.epoch_seconds());
                let expires = waiting.expires.epoch_seconds();
                Some(json!({"user": user, "by": waiting.maker, "created": created, "expires": expires}))
            })
            .collect();
        let mut entered: BTreeSet<(SmolStr, SmolStr)> = BTreeSet::new();
        inner.identity.read_sign_in(|snapshot| {
            snapshot.query_each(
                "SELECT user_folded, user_id FROM console_credential WHERE account = $1
                 UNION SELECT user_folded, user_id FROM console_passkey WHERE account = $1",
                params![account],
                |row| {
                    entered.insert((row.get(0)?, row.get(1)?));
                    Ok::<_, StoreError>(entered.len() < MAX_LISTED)
                },
            )?;
            Ok(())
        })?;
        let entered: Vec<String> = entered.iter().filter_map(|(user, id)| seen(user, id)).collect();
        Ok(json!({"invitations": invitations, "entered": entered}))
    }
}
