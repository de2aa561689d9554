//! Job documents as devices get them: presigned URLs stand where the placeholders were (CP 4.7).
//!
//! A URL is signed with a session of the role in `presignedUrlConfig`, assumed as `iot.amazonaws.com`; what the role may read
//! is decided when the URL is used. Deliveries within the life of a session share it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::{AssumedRole, CallContext, Identity, ServiceAssume};
use marram_job::{JobError, presigned_urls, with_urls};
use marram_objects::Objects;
use marram_registry::Realm;
use marram_types::Timestamp;
use serde_json::Value;

use crate::jobs::{ACTOR, Jobs};
use crate::row::JobRow;

/// Life of a URL when the job says nothing, in seconds.
const DEFAULT_EXPIRY_SECS: i64 = 3600;
/// Life of a URL at most, in seconds (CP 4.7).
const MAX_EXPIRY_SECS: i64 = 3600;
/// Life asked for the session behind it; the role's maximum may be less.
const SESSION: Duration = Duration::from_secs(2 * 3600);
/// Sessions kept; when there are more, all are forgotten.
const MAX_SESSIONS: usize = 1024;

/// Signs for devices.
pub(crate) struct Presigner {
    objects: Objects,
    sessions: Mutex<HashMap<(String, String), Session>>,
}

struct Session {
    /// Of the identities: a role that changed is assumed anew.
    version: u64,
    assumed: AssumedRole,
}

/// The role and the life of URLs in a job's configuration.
fn role_of(config: &Value) -> Option<(&str, i64)> {
    let config = &config["presignedUrlConfig"];
    let role = config["roleArn"].as_str().filter(|role| !role.is_empty())?;
    Some((role, config["expiresInSec"].as_i64().unwrap_or(DEFAULT_EXPIRY_SECS).clamp(1, MAX_EXPIRY_SECS)))
}

impl Presigner {
    pub(crate) fn new(objects: Objects) -> Self {
        Self { objects, sessions: Mutex::default() }
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// `host:port` of the object store here.
    pub(crate) fn host(&self) -> Option<&str> {
        self.objects.base_url().strip_prefix("https://")
    }

    /// A session of the role that lives for `secs` at least, where the role allows that.
    fn session(
        &self,
        identity: &Identity,
        realm: &Realm,
        job: &str,
        (role, secs): (&str, i64),
    ) -> Result<AssumedRole, ApiError> {
        let key = (realm.arn(format_args!("job/{job}")), role.to_owned());
        let (version, now) = (identity.version(), identity.now());
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |session: &&Session| {
            session.version == version && session.assumed.temporary.expires.as_secs() >= now.as_secs() + secs
        };
        if let Some(kept) = sessions.get(&key).filter(lasts) {
            return Ok(kept.assumed.clone());
        }
        let assumed = identity.assume_service_role(&asked(realm, role, &key.0))?;
        if sessions.len() >= MAX_SESSIONS {
            sessions.clear();
        }
        sessions.insert(key, Session { version, assumed: assumed.clone() });
        Ok(assumed)
    }
}

fn asked<'a>(realm: &'a Realm, role: &'a str, source: &'a str) -> ServiceAssume<'a> {
    ServiceAssume {
        account: &realm.account,
        region: &realm.region,
        role_arn: role,
        service: ACTOR,
        session_name: "job-documents",
        source_arn: source,
        duration: SESSION,
        session_facts: &[],
    }
}

impl Jobs {
    /// The document for a device.
    ///
    /// # Errors
    /// `InvalidRequest` when the job's role cannot be assumed.
    pub(crate) fn delivered<'j>(
        &self,
        realm: &Realm,
        job: &'j JobRow,
        now: Timestamp,
    ) -> Result<Cow<'j, str>, JobError> {
        let Some(role) = role_of(&job.config) else { return Ok(Cow::Borrowed(&job.document)) };
        let presigner = self.presigner();
        let refused = |text: String| JobError::InvalidRequest(text);
        let found = presigned_urls(&job.document, presigner.host()).map_err(|error| refused(error.to_string()))?;
        if found.is_empty() {
            return Ok(Cow::Borrowed(&job.document));
        }
        let session = presigner.session(self.identity(), realm, &job.id, role).map_err(|error| {
            tracing::warn!(job = %job.id, %error, "the role of a job's presigned URLs cannot be assumed");
            refused(format!("the role {} of the job's presigned URLs cannot be assumed", role.0))
        })?;
        let secs = u32::try_from(role.1).unwrap_or(1);
        let urls = found.iter().map(|one| {
            let place = &one.place;
            presigner.objects.presigned_url(&session.temporary.credentials, &place.bucket, &place.key, now, secs)
        });
        let urls: Vec<String> = urls.collect::<Result<_, ApiError>>().map_err(|_| JobError::Internal)?;
        Ok(Cow::Owned(with_urls(&job.document, &found, urls.iter().map(String::as_str))))
    }

    /// Checks what a job to be made says about presigned URLs: its placeholders, its role, and that the caller may hand the
    /// role over (CP 3.5).
    ///
    /// # Errors
    /// `InvalidRequestException`, `AccessDeniedException`.
    pub(crate) fn check_presigned(
        &self,
        ctx: &CallContext,
        source_arn: &str,
        document: &str,
        config: &Value,
    ) -> Result<(), ApiError> {
        let found = presigned_urls(document, self.presigner().host())
            .map_err(|error| ApiError::invalid_request(format!("Invalid job document: {error}.")))?;
        if !found.is_empty() && role_of(config).is_none() {
            return Err(ApiError::invalid_request(
                "A job document with presigned URLs needs a presignedUrlConfig with a roleArn.",
            ));
        }
        self.check_role(ctx, source_arn, config)
    }

    /// As [`Jobs::check_presigned`], for the role alone.
    ///
    /// # Errors
    /// As [`Jobs::check_presigned`].
    pub(crate) fn check_role(&self, ctx: &CallContext, source_arn: &str, config: &Value) -> Result<(), ApiError> {
        let Some((role, _)) = role_of(config) else { return Ok(()) };
        ctx.authorize_pass_role(role, ACTOR)?;
        if self.identity().service_may_assume(&asked(&Realm::of(ctx), role, source_arn)) {
            return Ok(());
        }
        Err(ApiError::invalid_request(format!(
            "The role {} cannot be assumed by {ACTOR}.",
            marram_registry::shown(role)
        )))
    }
}
