//! The gate, the decisions, and what they leave in the log.

use marram_aws_api::ServiceId;
use marram_identity::{Need, Principal};
use marram_sigv4::{AuthFailure, Credentials};
use marram_types::{AccountId, SecretString};
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, allow, credentials, deny};

/// SEC-63, CP 2.7: a key works until it is switched off, deleted or its user gone, also after a restart; a wrong secret
/// never does.
#[tokio::test(flavor = "multi_thread")]
async fn keys_open_the_gate_while_they_are_active() {
    let bench = Bench::new().await;
    let anna = bench.user("anna", None).await;
    let principal = bench.admit(&anna).unwrap();
    assert_eq!(principal.arn, format!("arn:aws:iam::{ACCOUNT}:user/anna"));
    assert!(principal.unique_id.starts_with("AIDA"));

    let wrong = Credentials { secret: SecretString::new("wrong"), ..anna.clone() };
    assert_eq!(bench.admit(&wrong).unwrap_err(), AuthFailure::SignatureMismatch);
    let unknown = Credentials { access_key_id: "AKIAAAAAAAAAAAAAAAAA".into(), ..anna.clone() };
    assert_eq!(bench.admit(&unknown).unwrap_err(), AuthFailure::UnknownKey);
    let with_token = Credentials { session_token: Some("token".into()), ..anna.clone() };
    assert_eq!(bench.admit(&with_token).unwrap_err(), AuthFailure::TokenInvalid);

    let bench = bench.restart();
    assert!(bench.admit(&anna).is_ok());
    let key = anna.access_key_id.as_str();
    for (status, ok) in [("Inactive", false), ("Active", true)] {
        bench.ok("UpdateAccessKey", json!({"UserName": "anna", "AccessKeyId": key, "Status": status})).await;
        assert_eq!(bench.admit(&anna).is_ok(), ok, "{status}");
    }
    let used = bench.ok("GetAccessKeyLastUsed", json!({"AccessKeyId": key})).await;
    assert_eq!(used["AccessKeyLastUsed"]["ServiceName"], "sts");
    bench.identity.flush_usage().await.unwrap();
    let bench = bench.restart();
    let used = bench.ok("GetAccessKeyLastUsed", json!({"AccessKeyId": key})).await;
    assert_eq!(used["AccessKeyLastUsed"]["LastUsedDate"], 1_800_000_000);
    bench.ok("DeleteAccessKey", json!({"UserName": "anna", "AccessKeyId": key})).await;
    assert_eq!(bench.admit(&anna).unwrap_err(), AuthFailure::UnknownKey);
}

/// SEC-172: no secret stands in clear in the data directory.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_at_rest() {
    let bench = Bench::new().await;
    let anna = bench.user("anna", None).await;
    let bench = bench.restart();
    for entry in walk(bench.dir.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        for secret in [&anna.secret, &bench.admin.secret] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.expose().as_bytes());
            assert!(!found, "{}", entry.display());
        }
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// CP 3.4, SEC-62: who may create a thing, and in which words the others are told.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_follow_the_policies_at_once() {
    let bench = Bench::new().await;
    let thing = "arn:aws:iot:us-east-1:000000000000:thing/pump";
    let anna = bench.user("anna", None).await;
    let ask = |bench: &Bench| {
        let ctx = bench.context(bench.admit(&anna).unwrap(), ServiceId::Iot, "CreateThing");
        ctx.authorize("iot:CreateThing", thing, |_| {}).map(|_| ()).map_err(|error| error.message)
    };
    let user = "User: arn:aws:iam::000000000000:user/anna is not authorized to perform: iot:CreateThing on resource: \
                arn:aws:iot:us-east-1:000000000000:thing/pump";
    let nothing = format!("{user} because no identity-based policy allows the iot:CreateThing action");
    assert_eq!(ask(&bench), Err(nothing.clone()));

    // By a group.
    bench.ok("CreateGroup", json!({"GroupName": "ops"})).await;
    let document = allow("iot:Create*", "*").to_string();
    bench.ok("PutGroupPolicy", json!({"GroupName": "ops", "PolicyName": "p", "PolicyDocument": document})).await;
    bench.ok("AddUserToGroup", json!({"GroupName": "ops", "UserName": "anna"})).await;
    assert_eq!(ask(&bench), Ok(()));
    bench.ok("RemoveUserFromGroup", json!({"GroupName": "ops", "UserName": "anna"})).await;
    assert_eq!(ask(&bench), Err(nothing.clone()));

    // By a managed policy, whose default version changes.
    let document = allow("iot:*", "*").to_string();
    let policy = bench.ok("CreatePolicy", json!({"PolicyName": "things", "PolicyDocument": document})).await;
    let arn = policy["Policy"]["Arn"].clone();
    bench.ok("AttachUserPolicy", json!({"UserName": "anna", "PolicyArn": arn})).await;
    assert_eq!(ask(&bench), Ok(()));
    let document = deny("iot:CreateThing", "*").to_string();
    let input = json!({"PolicyArn": arn, "PolicyDocument": document, "SetAsDefault": true});
    bench.ok("CreatePolicyVersion", input).await;
    assert_eq!(ask(&bench), Err(format!("{user} with an explicit deny in an identity-based policy")));
    bench.ok("SetDefaultPolicyVersion", json!({"PolicyArn": arn, "VersionId": "v1"})).await;
    assert_eq!(ask(&bench), Ok(()));

    // Under a boundary.
    let read = "arn:aws:iam::aws:policy/AWSIoTConfigReadOnlyAccess";
    bench.ok("PutUserPermissionsBoundary", json!({"UserName": "anna", "PermissionsBoundary": read})).await;
    let limited = format!("{user} because no permissions boundary allows the iot:CreateThing action");
    assert_eq!(ask(&bench), Err(limited.clone()));
    let bench = bench.restart();
    assert_eq!(ask(&bench), Err(limited));
    bench.ok("DeleteUserPermissionsBoundary", json!({"UserName": "anna"})).await;
    assert_eq!(ask(&bench), Ok(()));
}

/// CP 3.4: every permission of a multi-resource operation must be given, and none asked for gives none.
#[tokio::test(flavor = "multi_thread")]
async fn all_needs_must_be_met() {
    let bench = Bench::new().await;
    let thing = "arn:aws:iot:us-east-1:000000000000:thing/pump";
    let group = "arn:aws:iot:us-east-1:000000000000:thinggroup/line";
    let anna = bench.user("anna", Some(allow("iot:*", thing))).await;
    let ctx = bench.context(bench.admit(&anna).unwrap(), ServiceId::Iot, "AddThingToThingGroup");
    let need = |resource| Need { action: "iot:AddThingToThingGroup", resource, conditions: Default::default() };
    assert!(ctx.authorize_all([need(thing)]).is_ok());
    let error = ctx.authorize_all([need(thing), need(group)]).unwrap_err();
    assert!(error.message.contains(group), "{error}");
    assert!(ctx.authorize_all([]).is_err());
}

/// CP 3.5: a role is handed over only with `iam:PassRole` for that service, and never a role of another account.
#[tokio::test(flavor = "multi_thread")]
async fn passing_a_role_needs_permission() {
    let bench = Bench::new().await;
    let flow = "arn:aws:iam::000000000000:role/flow";
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "iam:PassRole", "Resource": flow,
        "Condition": {"StringEquals": {"iam:PassedToService": "iotthingsgraph.amazonaws.com"}}}]});
    let anna = bench.user("anna", Some(policy)).await;
    let ctx = bench.context(bench.admit(&anna).unwrap(), ServiceId::ThingsGraph, "CreateSystemInstance");
    for (role, service, ok) in [
        (flow, "iotthingsgraph.amazonaws.com", true),
        (flow, "iot.amazonaws.com", false),
        ("arn:aws:iam::000000000000:role/admin", "iotthingsgraph.amazonaws.com", false),
    ] {
        assert_eq!(ctx.authorize_pass_role(role, service).is_ok(), ok, "{role} {service}");
    }
    let admin = bench.context(bench.admit(&bench.admin).unwrap(), ServiceId::ThingsGraph, "CreateSystemInstance");
    let foreign = "arn:aws:iam::111111111111:role/flow";
    assert_eq!(
        admin.authorize_pass_role(foreign, "iotthingsgraph.amazonaws.com").unwrap_err().code,
        "AccessDeniedException"
    );
}

/// CP 10.2: one call, one record: of a mutation with its answer, of a refusal with its reason; never with a secret.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_leaves_one_record() {
    let bench = Bench::new().await;
    let before = bench.records().len();
    let anna = bench.user("anna", None).await;
    let records = bench.records();
    assert_eq!(records.len(), before + 2);
    let key = &records[0];
    assert_eq!(key["eventName"], "CreateAccessKey");
    assert_eq!(key["eventType"], "AwsApiCall");
    assert_eq!(key["userIdentity"]["type"], "IAMUser");
    assert_eq!(key["userIdentity"]["userName"], "administrator");
    assert_eq!(key["responseElements"]["AccessKey"]["AccessKeyId"], anna.access_key_id.as_str());
    assert_eq!(key["readOnly"], false);
    assert!(!key.to_string().contains(anna.secret.expose()), "{key}");
    assert!(key.to_string().contains("AdministratorAccess#0"), "the statement that allowed it: {key}");

    let error = bench.call_as(&anna, "CreateUser", json!({"UserName": "eve"})).await.unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    let records = bench.records();
    assert_eq!(records.len(), before + 3);
    assert_eq!(records[0]["errorCode"], "AccessDeniedException");
    assert_eq!(records[0]["userIdentity"]["arn"], "arn:aws:iam::000000000000:user/anna");
    assert_eq!(records[0]["responseElements"], Value::Null);

    bench.ok("ListUsers", json!({})).await;
    let records = bench.records();
    assert_eq!((records.len(), &records[0]["readOnly"]), (before + 4, &json!(true)));
}

/// A mutation that fails stores nothing and still leaves its record.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_leaves_nothing_but_its_record() {
    let bench = Bench::new().await;
    bench.ok("CreateUser", json!({"UserName": "anna"})).await;
    let before = bench.records().len();
    assert_eq!(bench.code("CreateUser", json!({"UserName": "Anna"})).await, "EntityAlreadyExists");
    let records = bench.records();
    assert_eq!(records.len(), before + 1);
    assert_eq!(records[0]["errorCode"], "EntityAlreadyExists");
    assert_eq!(bench.ok("ListUsers", json!({})).await["Users"].as_array().unwrap().len(), 2);
}

/// SEC-66: accounts do not see each other.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_apart() {
    let bench = Bench::new().await;
    let other = bench.identity.create_account("second", None).await.unwrap();
    assert_ne!(other.account, AccountId::first());
    let again = bench.identity.create_account("third", Some(AccountId::first())).await.unwrap_err();
    assert_eq!(again.code, "EntityAlreadyExists");
    let anna = bench.user("anna", None).await;
    let document = allow("*", "*").to_string();
    let policy = bench.ok("CreatePolicy", json!({"PolicyName": "all", "PolicyDocument": document})).await;
    let arn = policy["Policy"]["Arn"].clone();
    for (operation, input) in [
        ("GetUser", json!({"UserName": "anna"})),
        ("GetPolicy", json!({"PolicyArn": arn})),
        ("AttachUserPolicy", json!({"UserName": "administrator", "PolicyArn": arn})),
        (
            "UpdateAccessKey",
            json!({"UserName": "administrator", "AccessKeyId": anna.access_key_id, "Status": "Inactive"}),
        ),
        ("DeleteAccessKey", json!({"UserName": "administrator", "AccessKeyId": anna.access_key_id})),
        ("GetAccessKeyLastUsed", json!({"AccessKeyId": anna.access_key_id})),
    ] {
        let error = bench.call_as(&other.credentials, operation, input).await.unwrap_err();
        assert_eq!(error.code, "NoSuchEntity", "{operation}");
    }
    assert!(bench.admit(&anna).is_ok());
    let me = bench.call_as(&other.credentials, "GetCallerIdentity", json!({})).await.unwrap();
    assert_eq!(me["Account"], other.account.as_str());
    assert_eq!(bench.identity.accounts().len(), 2);
}

/// CP 1.6: a page token of one listing opens in no other, and not in another account.
#[tokio::test(flavor = "multi_thread")]
async fn page_tokens_are_bound() {
    let bench = Bench::new().await;
    let root = |account: &str| Principal::root(account.parse().unwrap(), "aws");
    let things = bench.context(root(ACCOUNT), ServiceId::Iot, "ListThings");
    let token = things.page_token("filter", "pump-7");
    assert_eq!(things.open_page_token("filter", &token).unwrap(), "pump-7");
    assert_eq!(things.open_page_token("other", &token).unwrap_err().code, "InvalidRequestException");
    let users = bench.context(root(ACCOUNT), ServiceId::Iam, "ListUsers");
    assert_eq!(users.open_page_token("filter", &token).unwrap_err().code, "ValidationError");
    let foreign = bench.context(root("111111111111"), ServiceId::Iot, "ListThings");
    assert!(foreign.open_page_token("filter", &token).is_err());
    bench.advance(86_401);
    let late = bench.context(root(ACCOUNT), ServiceId::Iot, "ListThings");
    assert!(late.open_page_token("filter", &token).is_err());
}

/// SEC 12.2: an address that keeps failing is slowed down, and may try again later.
#[tokio::test(flavor = "multi_thread")]
async fn failing_addresses_are_slowed_down() {
    let bench = Bench::new().await;
    let wrong = Credentials { secret: SecretString::new("wrong"), ..bench.admin.clone() };
    let mut refusals = 0;
    while bench.admit(&wrong).unwrap_err() == AuthFailure::SignatureMismatch {
        refusals += 1;
        assert!(refusals < 10_000, "never slowed down");
    }
    assert_eq!(bench.admit(&bench.admin).unwrap_err(), AuthFailure::TooManyFailures);
    bench.advance(1);
    assert!(bench.admit(&bench.admin).is_ok());
}

/// A work of the house itself is recorded in its own name.
#[tokio::test(flavor = "multi_thread")]
async fn system_work_is_recorded() {
    let bench = Bench::new().await;
    let region = marram_types::Region::default_region();
    let system = bench.identity.system("iotthingsgraph.amazonaws.com", AccountId::first(), region);
    system.commit("ExecutionExpired", |_| Ok(())).await.unwrap();
    let record = &bench.records()[0];
    assert_eq!((&record["eventName"], &record["eventType"]), (&json!("ExecutionExpired"), &json!("AwsServiceEvent")));
    assert_eq!(record["userIdentity"]["invokedBy"], "iotthingsgraph.amazonaws.com");
}

/// Keys and secrets have the documented shapes (CP 3.1).
#[tokio::test(flavor = "multi_thread")]
async fn ids_have_their_shapes() {
    let bench = Bench::new().await;
    bench.ok("CreateUser", json!({"UserName": "anna"})).await;
    let key = bench.ok("CreateAccessKey", json!({"UserName": "anna"})).await;
    let made = credentials(&key["AccessKey"]);
    assert_eq!((made.access_key_id.len(), made.secret.len()), (20, 40));
    assert!(made.access_key_id.starts_with("AKIA"));
    let user = bench.ok("GetUser", json!({"UserName": "anna"})).await;
    assert_eq!(user["User"]["UserId"].as_str().unwrap().len(), 21);
}
