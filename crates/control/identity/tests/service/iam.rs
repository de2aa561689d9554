//! iam: what is written is read back, pages end, and each refusal has its code (CP 3.1, 3.6).

use marram_sigv4::canonical::decode;
use serde_json::{Value, json};

use crate::bench::{Bench, allow};

const TRUST: &str = r#"{ "Version":"2012-10-17",
  "Statement": {"Effect":"Allow","Principal":{"Service":"greengrass.amazonaws.com"},"Action":"sts:AssumeRole"} }"#;
const DOCUMENT: &str = "{\"Version\":\"2012-10-17\",\r\n \"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}]}\n";

fn decoded(value: &Value) -> String {
    String::from_utf8(decode(value.as_str().unwrap())).unwrap()
}

/// CP 3.6: documents come back byte for byte, percent-encoded, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn documents_come_back_verbatim() {
    let bench = Bench::new().await;
    bench.ok("CreateRole", json!({"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Path": "/ops/"})).await;
    let policy = bench.ok("CreatePolicy", json!({"PolicyName": "p", "PolicyDocument": DOCUMENT})).await;
    let arn = policy["Policy"]["Arn"].clone();
    for kind in ["User", "Group", "Role"] {
        if kind != "Role" {
            bench.ok(&format!("Create{kind}"), json!({format!("{kind}Name"): "r"})).await;
        }
        let input = json!({format!("{kind}Name"): "r", "PolicyName": "inline", "PolicyDocument": DOCUMENT});
        bench.ok(&format!("Put{kind}Policy"), input).await;
    }
    let bench = bench.restart();
    for kind in ["User", "Group", "Role"] {
        let input = json!({format!("{kind}Name"): "r", "PolicyName": "inline"});
        let got = bench.ok(&format!("Get{kind}Policy"), input).await;
        assert_eq!(decoded(&got["PolicyDocument"]), DOCUMENT, "{kind}");
        assert!(!got["PolicyDocument"].as_str().unwrap().contains([' ', '{', '"']));
    }
    let role = bench.ok("GetRole", json!({"RoleName": "r"})).await;
    assert_eq!(decoded(&role["Role"]["AssumeRolePolicyDocument"]), TRUST);
    assert_eq!(role["Role"]["Arn"], "arn:aws:iam::000000000000:role/ops/r");
    let version = bench.ok("GetPolicyVersion", json!({"PolicyArn": arn, "VersionId": "v1"})).await;
    assert_eq!(decoded(&version["PolicyVersion"]["Document"]), DOCUMENT);
}

/// CP 1.6: pages of any size give every item once; `IsTruncated` is always there, `Marker` on all pages but the last.
#[tokio::test(flavor = "multi_thread")]
async fn pages_give_everything_once() {
    let bench = Bench::new().await;
    for n in 0..7 {
        bench.ok("CreateRole", json!({"RoleName": format!("role-{n}"), "AssumeRolePolicyDocument": TRUST})).await;
    }
    for size in [1, 2, 3, 7, 100] {
        let mut names = Vec::new();
        let mut marker = Value::Null;
        loop {
            let page = bench.ok("ListRoles", json!({"MaxItems": size, "Marker": marker})).await;
            names.extend(page["Roles"].as_array().unwrap().iter().map(|role| role["RoleName"].clone()));
            assert_eq!(page["IsTruncated"].as_bool().unwrap(), page.get("Marker").is_some());
            marker = page["Marker"].clone();
            if marker.is_null() {
                break;
            }
        }
        assert_eq!(names, (0..7).map(|n| json!(format!("role-{n}"))).collect::<Vec<_>>(), "pages of {size}");
    }
    assert_eq!(bench.code("ListRoles", json!({"Marker": "made-up"})).await, "ValidationError");
    let page = bench.ok("ListPolicies", json!({"Scope": "AWS", "MaxItems": 2})).await;
    assert_eq!(bench.code("ListPolicies", json!({"Scope": "All", "Marker": page["Marker"]})).await, "ValidationError");
}

/// CP 3.6, installer-driven behaviours; CP 3.1, quotas: the code of every refusal.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_codes() {
    let bench = Bench::new().await;
    let all = allow("iot:*", "*").to_string();
    bench.ok("CreateRole", json!({"RoleName": "r", "AssumeRolePolicyDocument": TRUST})).await;
    bench.ok("CreateUser", json!({"UserName": "u"})).await;
    bench.ok("CreateGroup", json!({"GroupName": "g"})).await;
    let arn =
        bench.ok("CreatePolicy", json!({"PolicyName": "p", "PolicyDocument": all})).await["Policy"]["Arn"].clone();
    bench.ok("AttachRolePolicy", json!({"RoleName": "r", "PolicyArn": arn})).await;
    bench.ok("AddUserToGroup", json!({"GroupName": "g", "UserName": "u"})).await;
    for _ in 0..2 {
        bench.ok("CreateAccessKey", json!({"UserName": "u"})).await;
    }
    for _ in 0..4 {
        bench.ok("CreatePolicyVersion", json!({"PolicyArn": arn, "PolicyDocument": all})).await;
    }
    let long = allow(&format!("iot:{}", "x".repeat(6200)), "*").to_string();
    let vendor = "arn:aws:iam::aws:policy/AWSIoTFullAccess";
    let tags: Vec<Value> = (0..51).map(|n| json!({"Key": format!("k{n}"), "Value": "v"})).collect();
    for (operation, input, code) in [
        (
            "GetPolicy",
            json!({"PolicyArn": "arn:aws:iam::aws:policy/GreengrassV2TokenExchangeRoleAccess"}),
            "NoSuchEntity",
        ),
        ("GetRole", json!({"RoleName": "missing"}), "NoSuchEntity"),
        ("GetUser", json!({"UserName": "missing"}), "NoSuchEntity"),
        ("GetGroup", json!({"GroupName": "missing"}), "NoSuchEntity"),
        ("GetRolePolicy", json!({"RoleName": "r", "PolicyName": "missing"}), "NoSuchEntity"),
        ("GetPolicyVersion", json!({"PolicyArn": arn, "VersionId": "v9"}), "NoSuchEntity"),
        ("DetachRolePolicy", json!({"RoleName": "r", "PolicyArn": vendor}), "NoSuchEntity"),
        (
            "AttachRolePolicy",
            json!({"RoleName": "r", "PolicyArn": "arn:aws:iam::000000000000:policy/none"}),
            "NoSuchEntity",
        ),
        (
            "PutRolePermissionsBoundary",
            json!({"RoleName": "r", "PermissionsBoundary": "arn:aws:iam::000000000000:policy/none"}),
            "NoSuchEntity",
        ),
        ("DeleteRolePermissionsBoundary", json!({"RoleName": "r"}), "NoSuchEntity"),
        ("RemoveUserFromGroup", json!({"GroupName": "g", "UserName": "administrator"}), "NoSuchEntity"),
        ("CreateRole", json!({"RoleName": "R", "AssumeRolePolicyDocument": TRUST}), "EntityAlreadyExists"),
        ("CreatePolicy", json!({"PolicyName": "p", "PolicyDocument": all}), "EntityAlreadyExists"),
        ("CreateGroup", json!({"GroupName": "g"}), "EntityAlreadyExists"),
        ("DeleteRole", json!({"RoleName": "r"}), "DeleteConflict"),
        ("DeletePolicy", json!({"PolicyArn": arn}), "DeleteConflict"),
        ("DeleteUser", json!({"UserName": "u"}), "DeleteConflict"),
        ("DeleteGroup", json!({"GroupName": "g"}), "DeleteConflict"),
        ("DeletePolicyVersion", json!({"PolicyArn": arn, "VersionId": "v1"}), "DeleteConflict"),
        ("CreateAccessKey", json!({"UserName": "u"}), "LimitExceeded"),
        ("CreatePolicyVersion", json!({"PolicyArn": arn, "PolicyDocument": all}), "LimitExceeded"),
        ("CreatePolicy", json!({"PolicyName": "long", "PolicyDocument": long}), "LimitExceeded"),
        ("PutUserPolicy", json!({"UserName": "u", "PolicyName": "long", "PolicyDocument": long}), "LimitExceeded"),
        ("TagRole", json!({"RoleName": "r", "Tags": tags}), "LimitExceeded"),
        ("TagRole", json!({"RoleName": "r", "Tags": [{"Key": "aws:x", "Value": "v"}]}), "InvalidInput"),
        (
            "TagRole",
            json!({"RoleName": "r", "Tags": [{"Key": "a", "Value": "v"}, {"Key": "A", "Value": "v"}]}),
            "InvalidInput",
        ),
        ("CreatePolicy", json!({"PolicyName": "bad", "PolicyDocument": "{"}), "MalformedPolicyDocument"),
        ("CreateRole", json!({"RoleName": "bad", "AssumeRolePolicyDocument": all}), "MalformedPolicyDocument"),
        ("UpdateAssumeRolePolicy", json!({"RoleName": "r", "PolicyDocument": all}), "MalformedPolicyDocument"),
        (
            "PutGroupPolicy",
            json!({"GroupName": "g", "PolicyName": "x", "PolicyDocument": TRUST}),
            "MalformedPolicyDocument",
        ),
        ("CreatePolicyVersion", json!({"PolicyArn": vendor, "PolicyDocument": all}), "AccessDeniedException"),
        ("CreateUser", json!({"UserName": "a b"}), "ValidationError"),
        ("CreateUser", json!({"UserName": "x", "Path": "nope"}), "ValidationError"),
        ("UpdateRole", json!({"RoleName": "r", "MaxSessionDuration": 60}), "ValidationError"),
    ] {
        assert_eq!(bench.code(operation, input.clone()).await, code, "{operation} {input}");
    }
    let unknown = json!({"AWSServiceName": "nothing.amazonaws.com"});
    assert_eq!(bench.code("CreateServiceLinkedRole", unknown).await, "InvalidInput");
    bench.ok("CreateServiceLinkedRole", json!({"AWSServiceName": "iot.amazonaws.com"})).await;
    let again = json!({"AWSServiceName": "iot.amazonaws.com"});
    assert_eq!(bench.code("CreateServiceLinkedRole", again).await, "InvalidInput");
    let role = "AWSServiceRoleForIot";
    assert_eq!(bench.code("DeleteRole", json!({"RoleName": role})).await, "UnmodifiableEntity");
}

/// CP 3.6: a renamed user keeps keys, groups and policies.
#[tokio::test(flavor = "multi_thread")]
async fn renaming_keeps_what_hangs_on_a_user() {
    let bench = Bench::new().await;
    let key = bench.user("old", Some(allow("iam:GetUser", "*"))).await;
    bench.ok("CreateGroup", json!({"GroupName": "g"})).await;
    bench.ok("AddUserToGroup", json!({"GroupName": "g", "UserName": "old"})).await;
    let vendor = "arn:aws:iam::aws:policy/AWSIoTFullAccess";
    bench.ok("AttachUserPolicy", json!({"UserName": "old", "PolicyArn": vendor})).await;
    bench.ok("UpdateUser", json!({"UserName": "old", "NewUserName": "new", "NewPath": "/x/"})).await;
    for bench in [bench] {
        let me = bench.call_as(&key, "GetUser", json!({})).await.unwrap();
        assert_eq!(me["User"]["Arn"], "arn:aws:iam::000000000000:user/x/new");
        let groups = bench.ok("ListGroupsForUser", json!({"UserName": "new"})).await;
        assert_eq!(groups["Groups"][0]["GroupName"], "g");
        let members = bench.ok("GetGroup", json!({"GroupName": "g"})).await;
        assert_eq!(members["Users"][0]["UserName"], "new");
        let attached = bench.ok("ListAttachedUserPolicies", json!({"UserName": "new"})).await;
        assert_eq!(attached["AttachedPolicies"][0]["PolicyArn"], vendor);
        assert_eq!(bench.code("GetUser", json!({"UserName": "old"})).await, "NoSuchEntity");
    }
}

/// CP 3.4, 3.6: a simulation decides as the call would, and tells what was missing.
#[tokio::test(flavor = "multi_thread")]
async fn simulations_decide_as_calls_do() {
    let bench = Bench::new().await;
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Own", "Effect": "Allow", "Action": "iot:*", "Resource": "arn:aws:iot:*:*:thing/${aws:username}"},
        {"Effect": "Allow", "Action": "iot:ListThings", "Resource": "*",
         "Condition": {"StringEquals": {"aws:RequestTag/team": "line4"}}},
        {"Effect": "Deny", "Action": "iot:DeleteThing", "Resource": "*"}]});
    bench.user("anna", Some(policy.clone())).await;
    let own = "arn:aws:iot:us-east-1:000000000000:thing/anna";
    let input = json!({
        "PolicySourceArn": "arn:aws:iam::000000000000:user/anna",
        "ActionNames": ["iot:DescribeThing", "iot:DeleteThing", "iot:ListThings"],
        "ResourceArns": [own],
    });
    let answer = bench.ok("SimulatePrincipalPolicy", input).await;
    let results = answer["EvaluationResults"].as_array().unwrap();
    let decisions: Vec<&Value> = results.iter().map(|result| &result["EvalDecision"]).collect();
    assert_eq!(decisions, ["allowed", "explicitDeny", "allowed"]);
    assert_eq!(results[0]["MatchedStatements"][0]["SourcePolicyId"], "inline:p");
    for (entries, decision, missing) in [
        (json!([]), "implicitDeny", json!(["aws:requesttag/team"])),
        (
            json!([{"ContextKeyName": "aws:RequestTag/team", "ContextKeyValues": ["line4"], "ContextKeyType": "string"}]),
            "allowed",
            json!([]),
        ),
    ] {
        let input = json!({"PolicyInputList": [policy.to_string()], "ActionNames": ["iot:ListThings"], "ContextEntries": entries});
        let answer = bench.ok("SimulateCustomPolicy", input).await;
        let result = &answer["EvaluationResults"][0];
        assert_eq!((&result["EvalDecision"], &result["MissingContextValues"]), (&json!(decision), &missing));
    }
    let input = json!({"PolicySourceArn": "arn:aws:iam::111111111111:user/anna", "ActionNames": ["iot:ListThings"]});
    assert_eq!(bench.code("SimulatePrincipalPolicy", input).await, "NoSuchEntity");
}

/// CP 3.6: every operation of the table is answered by the service; none of those it claims is missing.
#[tokio::test(flavor = "multi_thread")]
async fn tier_one_operations_are_answered() {
    const T1: &str = "CreateRole GetRole ListRoles DeleteRole UpdateRole UpdateAssumeRolePolicy PutRolePolicy GetRolePolicy \
        ListRolePolicies DeleteRolePolicy AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies TagRole UntagRole \
        ListRoleTags PutRolePermissionsBoundary DeleteRolePermissionsBoundary CreatePolicy GetPolicy ListPolicies DeletePolicy \
        CreatePolicyVersion GetPolicyVersion ListPolicyVersions DeletePolicyVersion SetDefaultPolicyVersion \
        ListEntitiesForPolicy TagPolicy UntagPolicy ListPolicyTags CreateUser GetUser ListUsers UpdateUser DeleteUser \
        CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey GetAccessKeyLastUsed AttachUserPolicy DetachUserPolicy \
        ListAttachedUserPolicies PutUserPolicy GetUserPolicy ListUserPolicies DeleteUserPolicy CreateGroup GetGroup ListGroups \
        DeleteGroup AddUserToGroup RemoveUserFromGroup ListGroupsForUser AttachGroupPolicy DetachGroupPolicy \
        ListAttachedGroupPolicies PutGroupPolicy GetGroupPolicy ListGroupPolicies DeleteGroupPolicy CreateServiceLinkedRole \
        GetAccountSummary ListAccountAliases ListInstanceProfilesForRole";
    let bench = Bench::new().await;
    let names: Vec<&str> = T1.split_whitespace().collect();
    assert_eq!(names.len(), 66);
    for name in names {
        if let Err(error) = bench.call(name, json!({})).await {
            assert!(!error.message.contains("is not supported"), "{name}: {error}");
        }
    }
}
