//! The stream service: from a request to an operation and back.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use marram_authz::Policy;
use marram_aws_api::s3::{Addressed, Unroutable, route};
use marram_aws_api::{ApiError, Request as ApiRequest};
use marram_front::{Peer, StreamService};
use marram_http::{Head, Method, RequestBody, StreamResponse};
use marram_identity::{
    Admission, BoxFuture, CallContext, CallFacts, ConditionValues, Grant, Identity, RefusedFacts, TlsDetails,
};
use marram_sigv4::{
    AuthFailure, BodyCheck, ErrorStyle, Expectation, Payload, Presented, Request as SignedRequest, SigningKey, Verified,
};
use marram_store::{Store, params};
use marram_types::{AccountId, Region, RequestId, SharedClock, Timestamp, random_hex};
use serde_json::{Map, Value, json};

use crate::address::{SERVICES, SHARED_PREFIX, claims, is_bucket_name, virtual_bucket};
use crate::blob::Blobs;
use crate::checksum::Algorithm;
use crate::chunked::ChunkSigner;
use crate::receive::{Announced, needs_signer, small};
use crate::reply::{self, Reply};
use crate::{bucket, fault, list, multipart, object, policy};

/// Largest object unless said otherwise: 5 GiB (control-plane-api 10.4).
pub const DEFAULT_MAX_OBJECT: u64 = 5 << 30;
/// Headers that name the account a bucket must belong to.
const OWNERS: [&str; 2] = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
/// Longest key, in bytes.
pub(crate) const MAX_KEY: usize = 1024;
/// Longest `User-Agent` that is kept, in bytes.
const MAX_USER_AGENT: usize = 1024;

/// Most of a refused body that is taken, in bytes.
const MAX_DRAINED: usize = 1 << 20;
/// Longest that a refused body is waited for.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// What the object store needs to know.
#[derive(Clone)]
pub struct ObjectsOptions {
    /// Folder of the contents.
    pub root: PathBuf,
    /// The region served.
    pub region: Region,
    /// The clock that signatures are checked against.
    pub clock: SharedClock,
    /// Host names below which `bucket.host` names a bucket.
    pub hosts: Vec<String>,
    /// Largest object, in bytes.
    pub max_object: u64,
    /// A secret of the installation: shared URLs are signed with a key derived from it.
    pub secret: Vec<u8>,
    /// `https://host:port` of the API, for shared URLs; may be set later ([`Objects::set_base_url`]).
    pub base_url: String,
}

impl fmt::Debug for ObjectsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectsOptions").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Why the object store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// Its folder cannot be used.
    #[error("the folder of the object store cannot be used")]
    Folder(#[from] io::Error),
}

/// The object store. A cheap clone.
#[derive(Clone)]
pub struct Objects {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) options: ObjectsOptions,
    pub(crate) url_key: hmac::Key,
    pub(crate) base_url: std::sync::OnceLock<String>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("root", &self.inner.options.root).finish_non_exhaustive()
    }
}

/// A bucket's row.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) account: AccountId,
    pub(crate) policy: Option<Policy>,
}

/// One request of a proven caller.
pub(crate) struct Call<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) ctx: &'a CallContext,
    pub(crate) to: &'a Addressed,
    /// Those of the request, and those a presigned URL carries.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    check: BodyCheck,
    signer: Option<ChunkSigner>,
    body: RequestBody,
}

impl Objects {
    /// Opens the folder of contents and removes what nobody uses, in the background. The tables must have been migrated
    /// ([`crate::MIGRATIONS`]).
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(identity: Identity, store: Store, options: ObjectsOptions) -> Result<Objects, ObjectsError> {
        let blobs = Blobs::open(&options.root)?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, &options.secret);
        let derived = hmac::sign(&root, b"marram shared object URLs v1");
        let url_key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let sweeping = (blobs.clone(), store.clone());
        std::thread::Builder::new().name("object-sweep".to_owned()).spawn(move || {
            match sweeping.0.sweep(&sweeping.1) {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "contents without an object were removed"),
                Err(error) => tracing::warn!(%error, "contents without an object could not be looked for"),
            }
        })?;
        let inner = Inner { identity, store, blobs, options, url_key, base_url: std::sync::OnceLock::new() };
        Ok(Objects { inner: Arc::new(inner) })
    }

    /// Sets `https://host:port` of the API once the port is known.
    pub fn set_base_url(&self, url: impl Into<String>) {
        let _ = self.inner.base_url.set(url.into());
    }

    /// A bucket of any account.
    pub(crate) fn bucket(&self, name: &str) -> Result<Option<Bucket>, ApiError> {
        let row = self.inner.store.read(|snapshot| {
            snapshot.query_opt("SELECT account, policy FROM s3_bucket WHERE name = $1", params![name], |row| {
                Ok::<_, marram_identity::CallError>((row.parse::<AccountId>(0)?, row.get::<Option<String>>(1)?))
            })
        })?;
        let Some((account, document)) = row else { return Ok(None) };
        let policy = document.map(|document| policy::compile(name, &document)).transpose()?;
        Ok(Some(Bucket { name: name.to_owned(), account, policy }))
    }

    /// Decides about `action` on a bucket or, with a key, on an object in it, and answers the bucket.
    ///
    /// # Errors
    /// `AccessDenied`, also for buckets of other accounts; `NoSuchBucket` to callers who may know.
    pub(crate) fn permit(
        &self,
        ctx: &CallContext,
        action: &str,
        name: &str,
        key: Option<&str>,
        conditions: impl FnOnce(&mut ConditionValues),
    ) -> Result<(Grant, Bucket), ApiError> {
        let found = self.bucket(name)?;
        let arn = arn(ctx, name, key);
        let own = found.as_ref().filter(|bucket| bucket.account == ctx.account);
        let policy = own.and_then(|bucket| bucket.policy.as_ref()).map(|policy| (policy, ctx.account.as_str()));
        let grant = ctx.authorize_with_policy(action, &arn, policy, conditions)?;
        match found {
            None => Err(fault::no_such_bucket()),
            Some(bucket) if bucket.account != ctx.account => Err(policy::foreign(&ctx.principal.arn, action, &arn)),
            Some(bucket) => Ok((grant, bucket)),
        }
    }

    async fn serve(&self, head: &Head, body: RequestBody, peer: &Peer) -> (StreamResponse, bool) {
        let request_id = RequestId::fresh();
        let shown = random_hex(8).to_ascii_uppercase();
        let is_head = head.method == Method::HEAD;
        let headers: Vec<(&str, &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let texts: Vec<(&str, &str)> =
            headers.iter().filter_map(|(name, value)| Some((*name, std::str::from_utf8(value).ok()?))).collect();
        let request = ApiRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or(""),
            headers: &texts,
            body: &[],
        };
        let signed = SignedRequest {
            method: head.method.as_str(),
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: &headers,
        };
        let finish = |reply: Reply| reply.into_response(&self.inner.blobs, &shown, is_head);
        if request.path.starts_with(SHARED_PREFIX) {
            let reply = self.shared(&request).unwrap_or_else(|error| reply::error(&error, request.path, &shown));
            return (finish(reply), true);
        }
        let routed = route(&request, virtual_bucket(head, &self.inner.options.hosts));
        let now = self.inner.options.clock.now();
        let (principal, verified, key, presented) = match self.admit(&signed, peer, now) {
            Ok(admitted) => admitted,
            Err((failure, presented)) => {
                let refusal = failure.refusal(ErrorStyle::S3);
                let error = ApiError::new(refusal.code, refusal.status, refusal.message);
                if let Some(presented) = presented {
                    let event = routed.as_ref().map_or("Unknown", |to| to.operation.name);
                    self.note_refused(&presented, event, request_id, now, peer, &request, &error);
                }
                return (finish(parting(&request, reply::error(&error, request.path, &shown))), false);
            }
        };
        let service = &presented.scope().service;
        let to = match routed {
            Ok(to) if service == SERVICES[0] => to,
            Ok(to) => Addressed { unknown: Some(service.to_string()), ..to },
            Err(why) => {
                let error = match why {
                    Unroutable::Undecodable => ApiError::new("InvalidURI", 400, "Couldn't parse the specified URI."),
                    Unroutable::Method => fault::method_not_allowed(),
                };
                return (finish(reply::error(&error, request.path, &shown)), true);
            }
        };
        let host = request.header("host").unwrap_or("");
        let ctx = self.inner.identity.context(
            principal,
            CallFacts {
                region: self.inner.options.region.clone(),
                request_id,
                source_ip: peer.source_ip,
                user_agent: request.header("user-agent").unwrap_or("").chars().take(MAX_USER_AGENT).collect(),
                now,
                operation: to.operation,
                request_parameters: parameters(&to),
                tls: TlsDetails {
                    version: peer.tls_version.into(),
                    cipher_suite: peer.cipher_suite.into(),
                    host: host.into(),
                },
            },
        );
        let signer = needs_signer(verified.body).then(|| ChunkSigner {
            key,
            time: presented.time().text().to_owned(),
            scope: presented.scope().text(),
            previous: verified.signature,
        });
        let hoisted = to.hoisted.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let said: Vec<(&str, &str)> = texts.iter().copied().chain(hoisted).collect();
        let mut call = Call { objects: self, ctx: &ctx, to: &to, headers: &said, check: verified.body, signer, body };
        let outcome = call.run().await;
        if outcome.is_err() && request.header("expect").is_none() {
            // A client that is still sending would not read the refusal.
            call.drain().await;
        }
        let recorded = match &outcome {
            Ok(_) => Ok(Value::Null),
            Err(error) => Err(error.clone()),
        };
        ctx.finish(&recorded);
        let refused = |error| parting(&request, reply::error(&error, request.path, &shown));
        (finish(outcome.unwrap_or_else(refused)), true)
    }

    #[expect(clippy::type_complexity, reason = "what a good signature proves")]
    fn admit(
        &self,
        signed: &SignedRequest<'_>,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<(Arc<marram_identity::Principal>, Verified, SigningKey, Presented), (AuthFailure, Option<Box<Presented>>)>
    {
        let presented = Presented::parse(signed).map_err(|failure| (failure, None))?;
        let regions = [self.inner.options.region.as_str()];
        let expect = Expectation { regions: &regions, services: &SERVICES, unsigned_payload: true };
        let asked = Admission {
            presented: &presented,
            request: signed,
            payload: Payload::Later,
            expect: &expect,
            source_ip: peer.source_ip,
            now,
        };
        match self.inner.identity.admit_stream(&asked) {
            Ok((principal, verified, key)) => Ok((principal, verified, key, presented)),
            Err(failure) => Err((failure, Some(Box::new(presented)))),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of a refusal, each from another place")]
    fn note_refused(
        &self,
        presented: &Presented,
        event_name: &str,
        request_id: RequestId,
        now: Timestamp,
        peer: &Peer,
        request: &ApiRequest<'_>,
        error: &ApiError,
    ) {
        let identity = &self.inner.identity;
        let Some(account) = identity.account_of(presented.access_key_id(), presented.token()) else { return };
        let facts = RefusedFacts {
            event_source: "s3.amazonaws.com",
            event_name,
            region: &self.inner.options.region,
            now,
            request_id,
            source_ip: peer.source_ip,
            user_agent: request.header("user-agent").unwrap_or(""),
        };
        identity.note_refused(account, presented.access_key_id(), &facts, error);
    }
}

impl StreamService for Objects {
    fn claims(&self, head: &Head) -> bool {
        claims(head, &self.inner.options.hosts)
    }

    fn answer<'a>(
        &'a self,
        head: &'a Head,
        body: RequestBody,
        peer: &'a Peer,
    ) -> BoxFuture<'a, (StreamResponse, bool)> {
        Box::pin(self.serve(head, body, peer))
    }
}

impl Call<'_> {
    async fn run(&mut self) -> Result<Reply, ApiError> {
        let to = self.to;
        if let Some(name) = &to.unknown {
            return Err(fault::not_implemented(&format!("What {name} asks for")));
        }
        if !to.bucket.is_empty() && !is_bucket_name(&to.bucket) {
            return Err(fault::invalid_bucket_name());
        }
        if to.key.len() > MAX_KEY {
            return Err(fault::key_too_long());
        }
        if to.key.contains('\0') {
            return Err(fault::invalid_argument("a key cannot hold the character NUL"));
        }
        if let Some(version) = to.parameter("versionId")
            && version != "null"
        {
            return Err(fault::no_such_version());
        }
        for header in OWNERS {
            // A bucket of another account is nobody's business here, so only the caller's can be the right one.
            if self.header(header).is_some_and(|owner| owner != self.ctx.account.as_str()) {
                return Err(ApiError::access_denied("The bucket is not the expected account's"));
            }
        }
        match to.operation.name {
            "ListBuckets" => bucket::list(self),
            "CreateBucket" => bucket::create(self).await,
            "HeadBucket" => bucket::head(self),
            "GetBucketLocation" => bucket::location(self),
            "DeleteBucket" => bucket::delete(self).await,
            "PutBucketPolicy" => bucket::put_policy(self).await,
            "GetBucketPolicy" => bucket::get_policy(self),
            "DeleteBucketPolicy" => bucket::delete_policy(self).await,
            "ListObjects" | "ListObjectsV2" => list::objects(self),
            "PutObject" => object::put(self).await,
            "CopyObject" => object::copy(self).await,
            "GetObject" | "HeadObject" => object::get(self),
            "DeleteObject" => object::delete(self).await,
            "DeleteObjects" => object::delete_many(self).await,
            "CreateMultipartUpload" => multipart::create(self).await,
            "UploadPart" => multipart::upload_part(self).await,
            "CompleteMultipartUpload" => multipart::complete(self).await,
            "AbortMultipartUpload" => multipart::abort(self).await,
            "ListParts" => multipart::list_parts(self),
            "ListMultipartUploads" => multipart::list_uploads(self),
            _ => Err(fault::not_implemented("This operation")),
        }
    }

    /// Takes what is left of a small body.
    async fn drain(&mut self) {
        let mut left = MAX_DRAINED;
        let reading = async {
            while let Ok(Some(piece)) = self.body.next().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_PATIENCE, reading).await;
    }

    /// As [`Objects::permit`] for what the request addresses.
    pub(crate) fn permit(&self, action: &str) -> Result<(Grant, Bucket), ApiError> {
        let key = Some(self.to.key.as_str()).filter(|key| !key.is_empty());
        self.objects.permit(self.ctx, action, &self.to.bucket, key, |_| {})
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    }

    /// The whole of a small body, checked.
    pub(crate) async fn document(&mut self) -> Result<Vec<u8>, ApiError> {
        let limit = self.to.operation.body_limit as usize;
        let md5 = self.header("content-md5").map(str::to_owned);
        let signer = self.signer.take();
        let whole = small(&mut self.body, self.check, signer, md5.as_deref(), limit).await?;
        for algorithm in Algorithm::ALL {
            if let Some(wanted) = self.header(algorithm.header())
                && crate::checksum::of(algorithm, &whole) != wanted
            {
                return Err(fault::bad_digest());
            }
        }
        Ok(whole)
    }

    /// Streams the body into the content store.
    pub(crate) async fn receive(
        &mut self,
        wanted: Vec<Algorithm>,
        limit: u64,
    ) -> Result<crate::blob::Received, ApiError> {
        let mut wanted = wanted;
        for name in self.header("x-amz-trailer").into_iter().flat_map(|names| names.split(',')).map(str::trim) {
            let known = Algorithm::from_header(name);
            wanted.push(known.ok_or_else(|| fault::not_implemented(&format!("The trailer {name}")))?);
        }
        let checksums: Vec<(Algorithm, String)> = Algorithm::ALL
            .into_iter()
            .filter_map(|algorithm| Some((algorithm, self.header(algorithm.header())?.to_owned())))
            .collect();
        wanted.retain(|algorithm| !checksums.iter().any(|(known, _)| known == algorithm));
        wanted.dedup();
        let decoded_length = match (self.check, self.header("x-amz-decoded-content-length")) {
            (BodyCheck::Chunked(_), Some(text)) => Some(
                text.parse().map_err(|_| fault::invalid_argument("x-amz-decoded-content-length is not a length"))?,
            ),
            (BodyCheck::Chunked(_), None) => {
                return Err(ApiError::new(
                    "MissingContentLength",
                    411,
                    "You must provide the Content-Length HTTP header.",
                ));
            }
            _ => None,
        };
        let announced = Announced {
            check: self.check,
            signer: self.signer.take(),
            decoded_length,
            md5: self.header("content-md5").map(str::to_owned),
            checksums,
            wanted,
        };
        crate::receive::receive(&self.objects.inner.blobs, &mut self.body, announced, limit).await
    }
}

/// A refusal as it goes to its client. One that waits for leave to send its body is told to go on with another connection:
/// this one is not read any further.
fn parting(request: &ApiRequest<'_>, refusal: Reply) -> Reply {
    if request.header("expect").is_some() { refusal.with("connection", "close") } else { refusal }
}

/// `arn:aws:s3:::bucket/key`.
pub(crate) fn arn(ctx: &CallContext, bucket: &str, key: Option<&str>) -> String {
    match (bucket, key) {
        ("", _) => "*".to_owned(),
        (_, None) => format!("arn:{}:s3:::{bucket}", ctx.partition),
        (_, Some(key)) => format!("arn:{}:s3:::{bucket}/{key}", ctx.partition),
    }
}

/// `requestParameters` of the audit record.
fn parameters(to: &Addressed) -> Value {
    let mut parameters = Map::new();
    if !to.bucket.is_empty() {
        parameters.insert("bucketName".to_owned(), json!(to.bucket));
    }
    if !to.key.is_empty() {
        parameters.insert("key".to_owned(), json!(to.key));
    }
    for (name, value) in &to.query {
        parameters.insert(name.clone(), json!(value));
    }
    Value::Object(parameters)
}
