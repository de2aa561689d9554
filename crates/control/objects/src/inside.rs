//! Small objects of the house itself, written and removed in a caller's name (things-graph 7.3): authorized and recorded as
//! if the caller had sent them.

use marram_aws_api::ApiError;
use marram_identity::CallContext;

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
