//! The policy of all cores of an account, in the versions that this program ever wrote (CR 5.5).
//!
//! An installation is older than its program. A policy that is still as an earlier program wrote it is replaced by the present
//! one; a policy that somebody altered is theirs: it stays, and whoever reads the log hears of it.

use anyhow::Context;
use marram_aws_api::ServiceId::Iot;
use marram_types::{AccountId, Region};
use serde_json::{Value, json};

use crate::demo::Caller;
use crate::provision::ROLE_ALIAS;

/// Name of the policy of cores.
pub const POLICY: &str = "MarramCorePolicy";
/// The thing a certificate is attached to, in a policy.
const OWN: &str = "${iot:Connection.Thing.ThingName}";

/// What an account's policy of cores is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none: no core was provisioned.
    Absent,
    /// As this program writes it.
    Current,
    /// It was as an earlier program wrote it, and is now as this one does.
    Upgraded,
    /// Not as any program of ours wrote it, or set back to an earlier version: it stays.
    Altered,
}

/// What the versions of the policy differ in. The present one has everything.
#[derive(Debug, Clone, Copy)]
struct Generation {
    /// The connectivity shadow of the core (`-gci`).
    connectivity_shadow: bool,
    /// Shadows of its thing over HTTPS.
    shadows: bool,
    /// Group listing for the thing a variable names: it had no value there, and the right no effect.
    groups_by_variable: bool,
    /// Checks of a client device's association.
    associations: bool,
    /// Names of shadows; single values stand without brackets, which the registry's limit needs.
    names: bool,
}

const CURRENT: Generation =
    Generation { connectivity_shadow: true, shadows: true, groups_by_variable: false, associations: true, names: true };

/// Every version before, newest first.
const EARLIER: [Generation; 4] = {
    let before_names = Generation { names: false, ..CURRENT };
    let before_devices = Generation { connectivity_shadow: false, associations: false, ..before_names };
    let before_shadows = Generation { shadows: false, ..before_devices };
    [before_names, before_devices, before_shadows, Generation { groups_by_variable: true, ..before_shadows }]
};

/// What a core may do with its certificate: its own connection, its own reserved topics, topics below its own name. One policy for
/// all cores of an account: the policy variable names the thing that the certificate is attached to.
pub fn document(region: &Region, account: &AccountId) -> Value {
    CURRENT.document(region, account)
}

impl Generation {
    fn document(self, region: &Region, account: &AccountId) -> Value {
        let iot = |kind: &str, name: &str| format!("arn:aws:iot:{region}:{account}:{kind}/{name}");
        let own = |kind: &str| -> Vec<String> {
            let topics = ["$aws/things/{}/*", "$aws/things/{}-gci/shadow/*", "{}/*"].into_iter();
            let topics = topics.filter(|topic| self.connectivity_shadow || !topic.contains("-gci"));
            topics.map(|topic| iot(kind, &topic.replace("{}", OWN))).collect()
        };
        let mut statements = vec![
            self.allow(&["iot:Connect"], &[iot("client", OWN), iot("client", &format!("{OWN}#*"))]),
            self.allow(&["iot:Publish", "iot:Receive"], &own("topic")),
            self.allow(&["iot:Subscribe"], &own("topicfilter")),
            self.allow(&["iot:AssumeRoleWithCertificate"], &[iot("rolealias", ROLE_ALIAS)]),
            self.allow(
                &["greengrass:GetComponentVersionArtifact"],
                &[format!("arn:aws:greengrass:{region}:*:components:*")],
            ),
            self.allow(
                &[
                    "greengrass:ResolveComponentCandidates",
                    "greengrass:GetDeploymentConfiguration",
                    "greengrass:PutCertificateAuthorities",
                    "greengrass:VerifyClientDeviceIdentity",
                ],
                &["*".to_owned()],
            ),
        ];
        if self.shadows {
            let mut actions = vec!["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"];
            actions.extend(self.names.then_some("iot:ListNamedShadowsForThing"));
            statements.push(self.allow(&actions, &[iot("thing", OWN), iot("thing", &format!("{OWN}/*"))]));
        }
        // Variables of the thing have no value for these actions, as in the original; the services themselves refuse a
        // thing that is not attached to the calling certificate.
        let mut actions = vec![
            "greengrass:ListThingGroupsForCoreDevice",
            "greengrass:GetConnectivityInfo",
            "greengrass:UpdateConnectivityInfo",
        ];
        actions.extend(self.associations.then_some("greengrass:VerifyClientDeviceIoTCertificateAssociation"));
        statements.push(self.allow(&actions, &[iot("thing", if self.groups_by_variable { OWN } else { "*" })]));
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    fn allow(self, actions: &[&str], resources: &[String]) -> Value {
        let plain = |all: Value| match all {
            Value::Array(mut all) if self.names && all.len() == 1 => all.remove(0),
            all => all,
        };
        json!({ "Effect": "Allow", "Action": plain(json!(actions)), "Resource": plain(json!(resources)) })
    }
}

/// Brings the account's policy of cores up to the present version, unless somebody altered it.
///
/// # Errors
/// What the registry answered; the policy is as it was.
pub async fn keep_current(caller: &Caller) -> anyhow::Result<Standing> {
    let name = json!({ "policyName": POLICY });
    let found = match caller.call(Iot, "GetPolicy", name.clone()).await {
        Ok(found) => found,
        Err(error) if error.code == "ResourceNotFoundException" => return Ok(Standing::Absent),
        Err(error) => return Err(anyhow::anyhow!("{}: {}", error.code, error.message).context("GetPolicy")),
    };
    let (region, account) = (caller.region(), caller.account());
    let current = document(region, account);
    let default = parsed(&found["policyDocument"]);
    if default == current {
        return Ok(Standing::Current);
    }
    if !EARLIER.iter().any(|earlier| earlier.document(region, account) == default) {
        return Ok(Standing::Altered);
    }
    // The present version is there and is not the one that holds: somebody set it back, and knows why.
    let versions = caller.must(Iot, "ListPolicyVersions", name).await?;
    for version in versions["policyVersions"].as_array().into_iter().flatten() {
        let input = json!({ "policyName": POLICY, "policyVersionId": version["versionId"] });
        if parsed(&caller.must(Iot, "GetPolicyVersion", input).await?["policyDocument"]) == current {
            return Ok(Standing::Altered);
        }
    }
    let input = json!({ "policyName": POLICY, "policyDocument": current.to_string(), "setAsDefault": true });
    caller.must(Iot, "CreatePolicyVersion", input).await.context("the policy of cores stays as it was")?;
    Ok(Standing::Upgraded)
}

/// [`keep_current`], told in the log. What cannot be done now is tried again at the next start.
pub async fn keep_current_and_tell(caller: &Caller) {
    match keep_current(caller).await {
        Ok(Standing::Absent | Standing::Current) => {}
        Ok(Standing::Upgraded) => {
            tracing::info!(policy = POLICY, "the policy of cores was an earlier version, it is now the present one");
        }
        Ok(Standing::Altered) => tracing::warn!(policy = POLICY, "{ALTERED}"),
        Err(error) => tracing::warn!(policy = POLICY, "the policy of cores cannot be looked after: {error:#}"),
    }
}

/// What people are told of an altered policy.
pub const ALTERED: &str = "the policy of cores was altered by hand and stays as it is: cores may lack rights that this version \
                           gives them (`marram-core doctor` on a core tells which were refused)";

fn parsed(document: &Value) -> Value {
    document.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &Value) -> Vec<String> {
        let texts = match value {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// CR 5.5 [M], SEC 12.1: the generated policy names the core itself; `*` stands alone only where an action has no resource.
    #[test]
    fn a_core_may_do_nothing_in_another_cores_name() {
        // As long as names of regions get.
        let policy = document(&"ap-southeast-1".parse().unwrap(), &"000000000000".parse().unwrap());
        assert!(policy.to_string().len() < 2048, "the registry's limit");
        for statement in policy["Statement"].as_array().unwrap() {
            let actions = list(&statement["Action"]);
            for resource in list(&statement["Resource"]) {
                let without = [
                    "greengrass:ResolveComponentCandidates",
                    "greengrass:GetComponentVersionArtifact",
                    "greengrass:ListThingGroupsForCoreDevice",
                ];
                assert!(
                    resource.contains(OWN)
                        || resource.contains(ROLE_ALIAS)
                        || without.iter().any(|name| actions.iter().any(|action| action == name)),
                    "{actions:?} on {resource}"
                );
            }
            assert!(actions.iter().all(|action| !action.contains('*')));
        }
    }

    /// CR 5.5: every version is another one, and each grants what the one before it did; so the upgrade takes nothing away.
    #[test]
    fn versions_only_grow() {
        let (region, account) = ("us-east-1".parse().unwrap(), "000000000000".parse().unwrap());
        let rights = |generation: Generation| {
            let document = generation.document(&region, &account);
            let statements = document["Statement"].as_array().unwrap().clone();
            let pairs = statements.iter().flat_map(|statement| {
                let resources = list(&statement["Resource"]);
                let pair = move |action: String| resources.clone().into_iter().map(move |one| (action.clone(), one));
                list(&statement["Action"]).into_iter().flat_map(pair)
            });
            pairs.collect::<std::collections::BTreeSet<_>>()
        };
        let mut newer = CURRENT;
        for earlier in EARLIER {
            let (before, after) = (rights(earlier), rights(newer));
            let lost: Vec<_> = before.difference(&after).filter(|(_, resource)| !resource.ends_with(OWN)).collect();
            assert!(lost.is_empty() && before != after, "{earlier:?}: {lost:?}");
            newer = earlier;
        }
    }
}
