//! Flow and system templates: two kinds of one thing (TG 7.7).

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod read;
pub(crate) mod update;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, Tx, params};
use marram_tdm::model::{Metatype, Urn};
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::Document;
use crate::realm::Realm;

/// Revisions kept of a template; the current one is always among them (TG 7.7).
pub(crate) const MAX_REVISIONS: i64 = 100;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flow,
    System,
}

impl Kind {
    /// How rows say it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::System => "system",
        }
    }

    pub(crate) fn metatype(self) -> Metatype {
        match self {
            Self::Flow => Metatype::Workflow,
            Self::System => Metatype::System,
        }
    }

    /// The filter of its search operation.
    fn filter(self) -> &'static str {
        match self {
            Self::Flow => "DEVICE_MODEL_ID",
            Self::System => "FLOW_TEMPLATE_ID",
        }
    }
}

/// A template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Display form.
    pub(crate) id: Urn,
    /// Number of the current revision.
    pub(crate) revision: i64,
    pub(crate) is_deprecated: bool,
    pub(crate) created: Timestamp,
}

/// A revision of a template.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) number: i64,
    pub(crate) definition: String,
    /// Namespace version it was validated against.
    pub(crate) version: i64,
    /// The caller named that version: it is used whatever the latest is.
    pub(crate) is_pinned: bool,
}

/// Members of the create and update operations.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    id: Option<String>,
    definition: Document,
    compatible_namespace_version: Option<i64>,
}

/// The template of that URN.
pub(crate) fn find(s: &Snapshot<'_>, realm: &Realm, kind: Kind, urn: &Urn) -> Result<Option<Template>, CallError> {
    s.query_opt(
        "SELECT id, revision, deprecated, created_at FROM tg_template
         WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4",
        params![realm.account, realm.region, kind.as_str(), urn.key()],
        |row| {
            Ok(Template { id: row.parse(0)?, revision: row.get(1)?, is_deprecated: row.get(2)?, created: row.get(3)? })
        },
    )
}

/// A revision of a template.
pub(crate) fn revision(
    s: &Snapshot<'_>,
    realm: &Realm,
    kind: Kind,
    urn: &Urn,
    number: i64,
) -> Result<Option<Revision>, CallError> {
    s.query_opt(
        "SELECT revision, definition, version, pinned FROM tg_template_revision
         WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4 AND revision = $5",
        params![realm.account, realm.region, kind.as_str(), urn.key(), number],
        |row| {
            Ok(Revision { number: row.get(0)?, definition: row.get(1)?, version: row.get(2)?, is_pinned: row.get(3)? })
        },
    )
}

/// The template and its current revision, unless it is deprecated or gone (TDM5005).
pub(crate) fn current(
    s: &Snapshot<'_>,
    realm: &Realm,
    kind: Kind,
    urn: &Urn,
) -> Result<Result<(Template, Revision), String>, CallError> {
    let Some(template) = find(s, realm, kind, urn)? else {
        return Ok(Err(format!("TDM3004: {urn} does not exist")));
    };
    if template.is_deprecated {
        return Ok(Err(format!("TDM5005: {} is deprecated", template.id)));
    }
    match revision(s, realm, kind, urn, template.revision)? {
        Some(revision) => Ok(Ok((template, revision))),
        None => Ok(Err(format!("TDM3004: {urn} has no current revision"))),
    }
}

/// What the current revision uses: device models of a flow, flows of a system.
pub(crate) fn uses(s: &Snapshot<'_>, realm: &Realm, kind: Kind, urn: &Urn) -> Result<Vec<Urn>, CallError> {
    s.query_all(
        "SELECT used_key FROM tg_template_use WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4",
        params![realm.account, realm.region, kind.as_str(), urn.key()],
        |row| Ok(row.parse(0)?),
    )
}

/// The URN in a request and its canonical ARN: the stored spelling decides, so that no spelling evades a policy.
fn authorized_target(
    ctx: &CallContext,
    realm: &Realm,
    kind: Kind,
    id: &str,
) -> Result<(Urn, Option<Template>, marram_identity::Grant), ApiError> {
    let urn = realm.own_urn(id, kind.metatype())?;
    let template = ctx.read(|s| find(s, realm, kind, &urn))?;
    let named = template.as_ref().map_or(&urn, |template| &template.id);
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(named), |_| {})?;
    Ok((urn, template, grant))
}

fn not_found(urn: &Urn) -> ApiError {
    ApiError::not_found(format!("{urn} does not exist"))
}

/// `FlowTemplateSummary`, `SystemTemplateSummary`.
fn summary(realm: &Realm, id: &Urn, revision: i64, created: Timestamp) -> Value {
    json!({
        "id": id.as_str(),
        "arn": realm.arn(id),
        "revisionNumber": revision,
        "createdAt": created.epoch_seconds(),
    })
}

/// A checked document on its way into the store.
struct Accepted {
    urn: Urn,
    /// Device models of a flow, flows of a system.
    uses: Vec<Urn>,
    definition: String,
    version: i64,
    is_pinned: bool,
}

/// Stores a revision, drops the oldest beyond the limit, replaces what the search filters go by.
fn insert_revision(
    tx: &mut Tx<'_>,
    realm: &Realm,
    kind: Kind,
    accepted: &Accepted,
    number: i64,
    now: Timestamp,
) -> Result<(), CallError> {
    let (account, region, kind, key) = (&realm.account, &realm.region, kind.as_str(), accepted.urn.key());
    tx.execute(
        "INSERT INTO tg_template_revision
         (account, region, kind, urn_key, revision, definition, version, pinned, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![account, region, kind, key, number, accepted.definition, accepted.version, accepted.is_pinned, now],
    )?;
    tx.execute(
        "DELETE FROM tg_template_revision
         WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4 AND revision <= $5",
        params![account, region, kind, key, number - MAX_REVISIONS],
    )?;
    tx.execute(
        "DELETE FROM tg_template_use WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4",
        params![account, region, kind, key],
    )?;
    for used in &accepted.uses {
        tx.execute(
            "INSERT INTO tg_template_use (account, region, kind, urn_key, used_key) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, kind, urn_key, used_key) DO NOTHING",
            params![account, region, kind, key, used.key()],
        )?;
    }
    Ok(())
}
