//! The role that cores and their components act with, in the versions of its policy that this program ever wrote (CR 5.5, SEC-134).
//!
//! A core reads the secrets that are meant for cores. Its components do not: they get secrets from their core, which asks their access
//! control, and what the token exchange hands them bears the key `marram:Component`. As with the policy of cores, one that is as an
//! earlier program wrote it is replaced, and one that somebody altered is theirs.

use anyhow::Context;
use marram_aws_api::ServiceId::Iam;
use marram_identity::COMPONENT_KEY;
use marram_types::{AccountId, Region};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::core_policy::Standing;
use crate::demo::Caller;

/// Name of the role.
const ROLE: &str = "MarramCoreTokenExchange";
/// Name of its policy.
const POLICY: &str = "core";
/// A secret that bears this tag with the value `true` is for cores.
const SECRET_TAG: &str = "marram:for-cores";

/// What people are told of an altered policy.
pub const ALTERED: &str = "the policy of the role MarramCoreTokenExchange was altered by hand and stays as it is: unless it asks for the \
                           condition `Null: {marram:Component: true}`, components read the secrets of their core with their own credentials";

/// Who may read the secrets of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    /// The core, and no session of a component.
    Core,
    /// Whoever has a session of the role.
    Everybody,
    /// Nobody.
    Nobody,
}

/// Every version before, newest first.
const EARLIER: [Secrets; 2] = [Secrets::Everybody, Secrets::Nobody];

/// Makes the role if it is missing, and brings its policy up to the present version. Answers its ARN.
///
/// # Errors
/// What a service answered.
pub async fn ensure(caller: &Caller) -> anyhow::Result<(String, Standing)> {
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "credentials.iot.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }],
    });
    let input = json!({ "RoleName": ROLE, "AssumeRolePolicyDocument": trust.to_string() });
    caller.ensure(Iam, "CreateRole", input).await?;
    let standing = match keep_current(caller).await? {
        Standing::Absent => {
            put(caller).await?;
            Standing::Current
        }
        other => other,
    };
    let role = caller.must(Iam, "GetRole", json!({ "RoleName": ROLE })).await?;
    let arn = role.pointer("/Role/Arn").and_then(Value::as_str).map(str::to_owned);
    Ok((arn.context("GetRole answered without an ARN")?, standing))
}

/// Brings the policy of the role up to the present version, unless somebody altered it.
///
/// # Errors
/// What a service answered; the policy is as it was.
pub async fn keep_current(caller: &Caller) -> anyhow::Result<Standing> {
    let name = json!({ "RoleName": ROLE, "PolicyName": POLICY });
    let found = match caller.call(Iam, "GetRolePolicy", name).await {
        Ok(found) => found,
        Err(error) if error.code == "NoSuchEntity" => return Ok(Standing::Absent),
        Err(error) => return Err(anyhow::anyhow!("{}: {}", error.code, error.message).context("GetRolePolicy")),
    };
    let text = found["PolicyDocument"].as_str().unwrap_or_default();
    let now: Value = percent_decode_str(text)
        .decode_utf8()
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let of = |secrets| document(caller.region(), caller.account(), secrets);
    if now == of(Secrets::Core) {
        return Ok(Standing::Current);
    }
    if !EARLIER.iter().any(|earlier| of(*earlier) == now) {
        return Ok(Standing::Altered);
    }
    put(caller).await?;
    Ok(Standing::Upgraded)
}

/// [`keep_current`], told in the log. What cannot be done now is tried again at the next start.
pub async fn keep_current_and_tell(caller: &Caller) {
    match keep_current(caller).await {
        Ok(Standing::Absent | Standing::Current) => {}
        Ok(Standing::Upgraded) => {
            tracing::info!(role = ROLE, "the role of cores was an earlier version, it is now the present one")
        }
        Ok(Standing::Altered) => tracing::warn!(role = ROLE, "{ALTERED}"),
        Err(error) => tracing::warn!(role = ROLE, "the role of cores cannot be looked after: {error:#}"),
    }
}

async fn put(caller: &Caller) -> anyhow::Result<()> {
    let document = document(caller.region(), caller.account(), Secrets::Core).to_string();
    let input = json!({ "RoleName": ROLE, "PolicyName": POLICY, "PolicyDocument": document });
    caller.must(Iam, "PutRolePolicy", input).await.map(drop)
}

/// Write logs, find buckets; by the core itself, read the secrets that are meant for cores: those named `greengrass-...` or
/// `greengrass/...`, as in the original, and those tagged [`SECRET_TAG`].
fn document(region: &Region, account: &AccountId, secrets: Secrets) -> Value {
    let allow =
        |actions: &[&str], resources: &[String]| json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
    let secret = |name: &str| format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}");
    let mut statements = Vec::new();
    if secrets != Secrets::Nobody {
        let mut named = allow(&["secretsmanager:GetSecretValue"], &[secret("greengrass-*"), secret("greengrass/*")]);
        let mut tagged = allow(&["secretsmanager:GetSecretValue"], &[secret("*")]);
        tagged["Condition"] = json!({ "StringEquals": { format!("aws:ResourceTag/{SECRET_TAG}"): "true" } });
        if secrets == Secrets::Core {
            for statement in [&mut named, &mut tagged] {
                statement["Condition"]["Null"] = json!({ COMPONENT_KEY: "true" });
            }
        }
        statements.extend([named, tagged]);
    }
    statements.push(allow(
        &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
        &[format!("arn:aws:logs:{region}:{account}:log-group:/aws/greengrass/*")],
    ));
    statements.push(allow(&["s3:GetBucketLocation"], &["arn:aws:s3:::*".to_owned()]));
    json!({ "Version": "2012-10-17", "Statement": statements })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-134: each way to a secret is shut for sessions of components, and only there does the present version differ.
    #[test]
    fn secrets_are_for_the_core_alone() {
        let (region, account) = ("us-east-1".parse().unwrap(), "000000000000".parse().unwrap());
        let of = |secrets| document(&region, &account, secrets)["Statement"].as_array().unwrap().clone();
        let unmarked = json!({ "marram:Component": "true" });
        let mut present = of(Secrets::Core);
        for statement in &mut present {
            let is_secret = statement["Action"][0] == "secretsmanager:GetSecretValue";
            assert_eq!(statement["Condition"]["Null"] == unmarked, is_secret, "{statement}");
            let Some(condition) = statement["Condition"].as_object_mut() else { continue };
            condition.remove("Null");
            if condition.is_empty() {
                statement.as_object_mut().unwrap().remove("Condition");
            }
        }
        let before = of(Secrets::Everybody);
        let without = |statements: &[Value]| -> Vec<Value> {
            let mut all = statements.to_vec();
            all.iter_mut().filter(|one| one["Condition"].is_null()).for_each(|one| {
                one.as_object_mut().unwrap().remove("Condition");
            });
            all
        };
        assert_eq!(without(&present), without(&before));
        assert_eq!(of(Secrets::Nobody), before[2..]);
    }
}
