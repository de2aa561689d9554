//! Small objects of the house itself, written and removed in a caller's name (things-graph 7.3): authorized and recorded as
//! if the caller had sent them. Reads of small objects likewise, and presigned URLs in the name of a session.

use std::io::Read as _;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_sigv4::{AmzTime, Credentials, PayloadHash, Signer, ToSign, canonical};
use marram_types::Timestamp;

use crate::address::is_bucket_name;
use crate::object::{self, Stored, remove, write};
use crate::receive::blocking;
use crate::service::{Objects, arn};
use crate::{bucket, fault};

impl Objects {
    /// Makes a bucket, as `CreateBucket` does.
    ///
    /// # Errors
    /// `AccessDenied`, `InvalidBucketName`, `BucketAlreadyOwnedByYou`, `BucketAlreadyExists`, `TooManyBuckets`.
    pub async fn create_bucket(&self, ctx: &CallContext, name: &str) -> Result<(), ApiError> {
        let grant = ctx.authorize("s3:CreateBucket", &arn(ctx, name, None), |_| {})?;
        if !is_bucket_name(name) {
            return Err(fault::invalid_bucket_name());
        }
        bucket::insert(ctx, grant, name.to_owned()).await
    }

    /// Whether the caller may write `key`.
    ///
    /// # Errors
    /// `AccessDenied`, `NoSuchBucket`.
    pub fn may_write(&self, ctx: &CallContext, bucket: &str, key: &str) -> Result<(), ApiError> {
        self.permit(ctx, "s3:PutObject", bucket, Some(key), |_| {}).map(drop)
    }

    /// Writes an object over whatever stood there; durable when this returns. For bodies of some megabytes at most.
    ///
    /// # Errors
    /// `AccessDenied`, `NoSuchBucket`, the file system's as `SlowDown` or `InternalError`.
    pub async fn put(
        &self,
        ctx: &CallContext,
        bucket: &str,
        key: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(), ApiError> {
        let (grant, bucket) = self.permit(ctx, "s3:PutObject", bucket, Some(key), |_| {})?;
        let (blobs, account) = (self.inner.blobs.clone(), bucket.account.clone());
        let (received, pin) = blocking(move || {
            let mut incoming = blobs.incoming(&[])?;
            incoming.write(&body)?;
            let received = incoming.finish();
            let facts = (received.size, hex::encode(received.md5), received.segments());
            Ok((facts, received.keep(&blobs, account.as_str())?))
        })
        .await?;
        let (size, etag, segments) = received;
        let headers = [("content-type".to_owned(), content_type.into())].into_iter().collect();
        let stored = Stored { size, etag, segments, headers, checksum: None };
        let (blobs, key, now) = (self.inner.blobs.clone(), key.to_owned(), ctx.now);
        ctx.commit(grant, move |tx| {
            let existing = object::find(tx, &bucket.account, &bucket.name, &key)?;
            write(tx, &blobs, (&bucket.account, &bucket.name, &key), &stored, existing.as_ref(), now)
        })
        .await?;
        drop(pin);
        Ok(())
    }

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// `AccessDenied`, `NoSuchBucket`, `NoSuchKey`, `EntityTooLarge`, the file system's.
    pub async fn read(&self, ctx: &CallContext, bucket: &str, key: &str, limit: u64) -> Result<Vec<u8>, ApiError> {
        let (grant, bucket) = self.permit(ctx, "s3:GetObject", bucket, Some(key), |_| {})?;
        drop(grant);
        let found = ctx.read(|snapshot| object::find(snapshot, &bucket.account, &bucket.name, key))?;
        let found = found.ok_or_else(fault::no_such_key)?;
        if found.size > limit {
            return Err(fault::entity_too_large());
        }
        let (blobs, account) = (self.inner.blobs.clone(), bucket.account);
        blocking(move || {
            let mut whole = Vec::new();
            for segment in &found.segments {
                blobs.read(account.as_str(), &segment.sha256)?.take(limit).read_to_end(&mut whole)?;
            }
            Ok(whole)
        })
        .await
    }

    /// A URL with which its bearer reads an object for `secs` seconds (1 to 604800) with the rights that `session` has at
    /// the time of use. Addressed by path, so that it works behind any name of this installation.
    pub fn presigned_url(
        &self,
        session: &Credentials,
        bucket: &str,
        key: &str,
        now: Timestamp,
        secs: u32,
    ) -> Result<String, ApiError> {
        let base = self.base_url();
        let host = base.strip_prefix("https://").unwrap_or(base);
        let time = AmzTime::from_epoch(now.as_secs()).ok_or_else(ApiError::internal)?;
        let key: Vec<String> = key.split('/').map(|part| canonical::encode(part.as_bytes())).collect();
        let target = format!("/{bucket}/{}", key.join("/"));
        let signer = Signer { credentials: session, region: self.inner.options.region.as_str(), service: "s3" };
        let headers = [("host", host.as_bytes())];
        let request = ToSign { method: "GET", target: &target, headers: &headers, payload: PayloadHash::Unsigned };
        Ok(format!("{base}{}", signer.presign(&request, &time, secs)))
    }

    /// `https://host:port` under which clients reach the object store.
    pub fn base_url(&self) -> &str {
        self.inner.base_url.get().unwrap_or(&self.inner.options.base_url)
    }

    /// Removes an object; one that is not there is as good as removed.
    ///
    /// # Errors
    /// `AccessDenied`, `NoSuchBucket`.
    pub async fn delete(&self, ctx: &CallContext, bucket: &str, key: &str) -> Result<(), ApiError> {
        let (grant, bucket) = self.permit(ctx, "s3:DeleteObject", bucket, Some(key), |_| {})?;
        let (blobs, key) = (self.inner.blobs.clone(), key.to_owned());
        ctx.commit(grant, move |tx| remove(tx, &blobs, &bucket.account, &bucket.name, &key)).await
    }
}
