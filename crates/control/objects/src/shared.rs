//! Contents for bearers of a short URL: artifacts and documents that devices fetch (control-plane-api 6.3).
//!
//! A URL names one content of one account, ends at a moment, and is signed by a key of the installation. It needs no session
//! token, so that it fits the 2,000 bytes small clients have for it; whoever has it can read that content and nothing else.

use aws_lc_rs::{constant_time, digest, hmac};
use marram_aws_api::{ApiError, Request};
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{AccountId, Timestamp, random_hex};

use crate::address::SHARED_PREFIX;
use crate::blob::{Segment, add_uses, drop_uses};
use crate::fault;
use crate::object::{self, column};
use crate::receive::blocking;
use crate::reply::{Content, Reply};
use crate::service::Objects;

/// Bytes of the signature that stand in a URL: 128 bits.
const MAC_BYTES: usize = 16;
/// Bytes hashed at a time.
const BLOCK: usize = 1 << 20;

/// An object as a component takes it over.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// SHA-256 of the whole.
    pub sha256: [u8; 32],
    /// In bytes.
    pub size: u64,
    /// Its contents.
    pub segments: Vec<Segment>,
}

fn keep_shared(tx: &mut Tx<'_>, account: &AccountId, artifact: &Artifact, now: Timestamp) -> Result<String, CallError> {
    add_uses(tx, account, &artifact.segments)?;
    let id = random_hex(16);
    let size = i64::try_from(artifact.size).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO s3_shared (account, id, size, segments, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![account, id, size, column(&artifact.segments), now],
    )?;
    Ok(id)
}

impl Objects {
    /// Reads an object with the rights of the caller of `ctx` and hashes it.
    ///
    /// # Errors
    /// `AccessDeniedException`, `NoSuchBucket`, `NoSuchKey`.
    pub async fn artifact(&self, ctx: &CallContext, bucket: &str, key: &str) -> Result<Artifact, ApiError> {
        let (grant, bucket) = self.permit(ctx, "s3:GetObject", bucket, Some(key), |_| {})?;
        drop(grant);
        let found = ctx.read(|snapshot| object::find(snapshot, &bucket.account, &bucket.name, key))?;
        let found = found.ok_or_else(fault::no_such_key)?;
        let sha256 = self.hash(&bucket.account, &found.segments).await?;
        Ok(Artifact { sha256, size: found.size, segments: found.segments })
    }

    /// The SHA-256 of several segments; that of one is its name.
    async fn hash(&self, account: &AccountId, segments: &[Segment]) -> Result<[u8; 32], ApiError> {
        let mut whole = [0; 32];
        if let [only] = segments {
            hex::decode_to_slice(&only.sha256, &mut whole).map_err(|_| fault::internal())?;
            return Ok(whole);
        }
        let (blobs, account, segments) = (self.inner.blobs.clone(), account.clone(), segments.to_vec());
        blocking(move || {
            use std::io::Read as _;
            let mut context = digest::Context::new(&digest::SHA256);
            let mut block = vec![0; BLOCK];
            for segment in segments {
                let mut file = blobs.read(account.as_str(), &segment.sha256)?;
                loop {
                    let read = file.read(&mut block)?;
                    if read == 0 {
                        break;
                    }
                    context.update(block.get(..read).unwrap_or_default());
                }
            }
            let mut whole = [0; 32];
            whole.copy_from_slice(context.finish().as_ref());
            Ok(whole)
        })
        .await
    }

    /// Keeps contents of an account under a new id, whatever becomes of the object they came from. Part of the caller's
    /// transaction, in which the object's row must still hold these segments.
    ///
    /// # Errors
    /// `NoSuchKey` when a content has gone in the meantime.
    pub fn share(
        tx: &mut Tx<'_>,
        account: &AccountId,
        artifact: &Artifact,
        now: Timestamp,
    ) -> Result<String, CallError> {
        for segment in &artifact.segments {
            let known = tx.query_opt(
                "SELECT 1 FROM s3_blob WHERE account = $1 AND sha256 = $2",
                params![account, segment.sha256],
                |row| Ok::<_, CallError>(row.get::<i64>(0)?),
            )?;
            known.ok_or_else(fault::no_such_key)?;
        }
        keep_shared(tx, account, artifact, now)
    }

    /// Keeps a text, for documents of the house that are too large for other ways; answers its id and its SHA-256. Writes a file
    /// inside the transaction: for texts that are few and of some megabytes at most.
    ///
    /// # Errors
    /// The file system's, as `SlowDown` or `InternalError`.
    pub fn share_text(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        text: &str,
        now: Timestamp,
    ) -> Result<(String, [u8; 32]), CallError> {
        let failed = |error: std::io::Error| CallError::from(fault::storage(&error));
        let mut incoming = self.inner.blobs.incoming(&[]).map_err(failed)?;
        incoming.write(text.as_bytes()).map_err(failed)?;
        let received = incoming.finish();
        let (size, segments) = (received.size, received.segments());
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&received.sha256, &mut sha256).map_err(|_| fault::internal())?;
        let pin = received.keep(&self.inner.blobs, account.as_str()).map_err(failed)?;
        let id = keep_shared(tx, account, &Artifact { sha256, size, segments }, now)?;
        // The content is nobody's before this transaction is durable.
        tx.after_commit(move || drop(pin));
        Ok((id, sha256))
    }

    /// Ends what [`Objects::share`] began. An id that is not known is no error.
    ///
    /// # Errors
    /// The store's.
    pub fn unshare(&self, tx: &mut Tx<'_>, account: &AccountId, id: &str) -> Result<(), CallError> {
        let segments = tx.query_opt(
            "SELECT segments FROM s3_shared WHERE account = $1 AND id = $2",
            params![account, id],
            |row| Ok::<_, CallError>(serde_json::from_str::<Vec<Segment>>(row.text(0)?).unwrap_or_default()),
        )?;
        let Some(segments) = segments else { return Ok(()) };
        tx.execute("DELETE FROM s3_shared WHERE account = $1 AND id = $2", params![account, id])?;
        drop_uses(tx, &self.inner.blobs, account, &segments)
    }

    /// A URL under which a shared content can be read until `expires`.
    pub fn shared_url(&self, account: &AccountId, id: &str, expires: Timestamp) -> String {
        let base = self.base_url();
        let expires = expires.as_secs();
        let mac = self.mac(account.as_str(), id, expires);
        format!("{base}{SHARED_PREFIX}{account}/{id}?e={expires}&s={mac}")
    }

    fn mac(&self, account: &str, id: &str, expires: i64) -> String {
        let tag = hmac::sign(&self.inner.url_key, format!("{account}/{id}/{expires}").as_bytes());
        hex::encode(tag.as_ref().get(..MAC_BYTES).unwrap_or_default())
    }

    /// Answers a request for a shared content.
    pub(crate) fn shared(&self, request: &Request<'_>) -> Result<Reply, ApiError> {
        let denied = || ApiError::new("AccessDenied", 403, "Access Denied");
        if !matches!(request.method, "GET" | "HEAD") {
            return Err(fault::method_not_allowed());
        }
        let (account, id) =
            request.path.strip_prefix(SHARED_PREFIX).and_then(|rest| rest.split_once('/')).ok_or_else(denied)?;
        let parameter = |name: &str| {
            request
                .query
                .split('&')
                .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
                .map(|(_, v)| v)
        };
        let expires: i64 = parameter("e").and_then(|text| text.parse().ok()).ok_or_else(denied)?;
        let given = parameter("s").unwrap_or_default();
        let wanted = self.mac(account, id, expires);
        constant_time::verify_slices_are_equal(given.as_bytes(), wanted.as_bytes()).map_err(|_| denied())?;
        if self.inner.options.clock.now().as_secs() > expires {
            return Err(ApiError::new("AccessDenied", 403, "Request has expired"));
        }
        let found = self.inner.store.read(|snapshot| {
            snapshot.query_opt(
                "SELECT size, segments FROM s3_shared WHERE account = $1 AND id = $2",
                params![account, id],
                |row| {
                    let size = u64::try_from(row.get::<i64>(0)?).unwrap_or(0);
                    Ok::<_, CallError>((size, serde_json::from_str::<Vec<Segment>>(row.text(1)?).unwrap_or_default()))
                },
            )
        })?;
        let (size, segments) = found.ok_or_else(fault::no_such_key)?;
        let asked = object::range(request.header("range"), size)?;
        let (offset, length) = asked.unwrap_or((0, size));
        let mut reply = Reply::empty(if asked.is_some() { 206 } else { 200 })
            .with("accept-ranges", "bytes")
            .with("content-type", "application/octet-stream")
            .with("etag", format!("\"{id}\""));
        if asked.is_some() {
            reply = reply.with("content-range", format!("bytes {offset}-{}/{size}", offset + length - 1));
        }
        reply.content = Content::Segments { account: account.to_owned(), segments, offset, length };
        Ok(reply)
    }
}
