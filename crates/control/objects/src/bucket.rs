//! Buckets: their names, their place and their policies (control-plane-api 9.1).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, Grant};
use marram_store::params;
use marram_types::{AccountId, Timestamp};

use crate::reply::{Content, Reply};
use crate::service::{Call, arn};
use crate::{fault, policy, xml};

/// Largest page of buckets that may be asked for.
const MAX_PAGE: usize = 10_000;
/// Most buckets of an account.
const MAX_BUCKETS: i64 = 1000;

/// `ListBuckets`.
pub(crate) fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    drop(ctx.authorize("s3:ListAllMyBuckets", "*", |_| {})?);
    let prefix = call.to.parameter("prefix").unwrap_or("");
    let limit = match call.to.parameter("max-buckets") {
        None => usize::MAX,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_PAGE).contains(limit))
            .ok_or_else(|| fault::invalid_argument("max-buckets must be an integer between 1 and 10000"))?,
    };
    let after = call.to.parameter("continuation-token").unwrap_or("");
    let here = call.to.parameter("bucket-region").is_none_or(|region| region == ctx.region.as_str());
    let buckets = ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT name, created_at FROM s3_bucket WHERE account = $1 ORDER BY name LIMIT $2",
            params![ctx.account, MAX_BUCKETS],
            |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<Timestamp>(1)?)),
        )
    })?;
    let mut document = xml::Document::new("ListAllMyBucketsResult");
    document.open("Owner").text("ID", ctx.account.as_str()).close().open("Buckets");
    let mut matching = buckets.iter().filter(|(name, _)| here && name.starts_with(prefix) && name.as_str() > after);
    let page: Vec<_> = matching.by_ref().take(limit).collect();
    for (name, created) in &page {
        document.open("Bucket").text("Name", name).text("CreationDate", created.rfc3339_millis());
        document.text("BucketRegion", ctx.region.as_str()).close();
    }
    document.close();
    if let Some((last, _)) = page.last().filter(|_| matching.next().is_some()) {
        document.text("ContinuationToken", last);
    }
    if !prefix.is_empty() {
        document.text("Prefix", prefix);
    }
    Ok(Reply::xml(document.finish()))
}

/// `CreateBucket`. An own bucket again is `BucketAlreadyOwnedByYou`, in every region.
pub(crate) async fn create(call: &mut Call<'_>) -> Result<Reply, ApiError> {
    let (ctx, name) = (call.ctx, call.to.bucket.clone());
    let grant = ctx.authorize("s3:CreateBucket", &arn(ctx, &name, None), |_| {})?;
    private_acl(call)?;
    if call.header("x-amz-bucket-object-lock-enabled").is_some_and(|value| value == "true") {
        return Err(fault::not_implemented("Object lock"));
    }
    if call.header("x-amz-object-ownership").is_some_and(|owner| owner != "BucketOwnerEnforced") {
        return Err(fault::not_implemented("Another owner of objects than the bucket's"));
    }
    let body = call.document().await?;
    if !body.is_empty() {
        let document = xml::parse(&body, "CreateBucketConfiguration")?;
        if let Some(other) = document.children.iter().find(|child| child.name != "LocationConstraint") {
            return Err(fault::not_implemented(&other.name));
        }
        let wanted = document.child("LocationConstraint").unwrap_or("");
        if !wanted.is_empty() && wanted != ctx.region.as_str() {
            return Err(fault::illegal_location());
        }
    }
    let location = format!("/{name}");
    insert(ctx, grant, name).await?;
    Ok(Reply::empty(200).with("location", location))
}

/// Makes the row of a bucket nobody has.
pub(crate) async fn insert(ctx: &CallContext, grant: Grant, name: String) -> Result<(), ApiError> {
    let (account, region, now) = (ctx.account.clone(), ctx.region.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let owner = tx.query_opt("SELECT account FROM s3_bucket WHERE name = $1", params![name], |row| {
            Ok::<_, CallError>(row.parse::<AccountId>(0)?)
        })?;
        match owner {
            Some(owner) if owner == account => return Err(fault::bucket_owned().into()),
            Some(_) => return Err(fault::bucket_exists().into()),
            None => {}
        }
        let count: i64 =
            tx.query_one("SELECT COUNT(*) FROM s3_bucket WHERE account = $1", params![account], |row| {
                Ok::<_, CallError>(row.get(0)?)
            })?;
        if count >= MAX_BUCKETS {
            return Err(
                ApiError::new("TooManyBuckets", 400, "You have attempted to create more buckets than allowed").into()
            );
        }
        tx.execute(
            "INSERT INTO s3_bucket (name, account, region, created_at) VALUES ($1, $2, $3, $4)",
            params![name, account, region, now],
        )?;
        Ok(())
    })
    .await
}

/// Only what is the case anyhow may be asked for: access control lists are off.
pub(crate) fn private_acl(call: &Call<'_>) -> Result<(), ApiError> {
    let grants = call.headers.iter().any(|(name, _)| name.starts_with("x-amz-grant-"));
    let acl = call.header("x-amz-acl").unwrap_or("private");
    if !matches!(acl, "private" | "bucket-owner-full-control") || grants {
        return Err(fault::acl_not_supported());
    }
    Ok(())
}

/// `HeadBucket`.
pub(crate) fn head(call: &Call<'_>) -> Result<Reply, ApiError> {
    drop(call.permit("s3:ListBucket")?);
    Ok(Reply::empty(200).with("x-amz-bucket-region", call.ctx.region.as_str()))
}

/// `GetBucketLocation`: empty for `us-east-1`.
pub(crate) fn location(call: &Call<'_>) -> Result<Reply, ApiError> {
    drop(call.permit("s3:GetBucketLocation")?);
    let region = call.ctx.region.as_str();
    let mut text = xml::Document::new("LocationConstraint").finish();
    if region != "us-east-1" {
        text = text.replace("</LocationConstraint>", &format!("{region}</LocationConstraint>"));
    }
    Ok(Reply::xml(text))
}

/// `DeleteBucket`: only an empty one.
pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:DeleteBucket")?;
    let account = call.ctx.account.clone();
    call.ctx
        .commit(grant, move |tx| {
            for sql in [
                "SELECT 1 FROM s3_object WHERE account = $1 AND bucket = $2 LIMIT 1",
                "SELECT 1 FROM s3_upload WHERE account = $1 AND bucket = $2 LIMIT 1",
            ] {
                if tx
                    .query_opt(sql, params![account, bucket.name], |row| Ok::<_, CallError>(row.get::<i64>(0)?))?
                    .is_some()
                {
                    return Err(fault::bucket_not_empty().into());
                }
            }
            tx.execute("DELETE FROM s3_bucket WHERE name = $1 AND account = $2", params![bucket.name, account])?;
            Ok(())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// `PutBucketPolicy`.
pub(crate) async fn put_policy(call: &mut Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:PutBucketPolicy")?;
    let body = call.document().await?;
    let document =
        String::from_utf8(body).map_err(|_| ApiError::new("MalformedPolicy", 400, "Policies must be valid JSON."))?;
    policy::check(&bucket.name, call.ctx.partition.as_str(), &document)?;
    let account = call.ctx.account.clone();
    call.ctx
        .commit(grant, move |tx| {
            tx.execute(
                "UPDATE s3_bucket SET policy = $1 WHERE name = $2 AND account = $3",
                params![document, bucket.name, account],
            )?;
            Ok(())
        })
        .await?;
    Ok(Reply::empty(204))
}

/// `GetBucketPolicy`: the document as it was put.
pub(crate) fn get_policy(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:GetBucketPolicy")?;
    drop(grant);
    let document = call.ctx.read(|snapshot| {
        snapshot.query_opt(
            "SELECT policy FROM s3_bucket WHERE name = $1 AND account = $2",
            params![bucket.name, bucket.account],
            |row| Ok::<_, CallError>(row.get::<Option<String>>(0)?),
        )
    })?;
    let document = document.flatten().ok_or_else(fault::no_such_bucket_policy)?;
    Ok(Reply { status: 200, headers: Vec::new(), content: Content::Json(document) })
}

/// `DeleteBucketPolicy`.
pub(crate) async fn delete_policy(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:DeleteBucketPolicy")?;
    call.ctx
        .commit(grant, move |tx| {
            tx.execute(
                "UPDATE s3_bucket SET policy = NULL WHERE name = $1 AND account = $2",
                params![bucket.name, bucket.account],
            )?;
            Ok(())
        })
        .await?;
    Ok(Reply::empty(204))
}
