//! sts: sessions begin by trust, carry what they were given, and end.

use std::time::Duration;

use marram_aws_api::ServiceId;
use marram_identity::ServiceAssume;
use marram_sigv4::{AuthFailure, Credentials};
use marram_types::{AccountId, Region};
use serde_json::{Value, json};

use crate::bench::{Bench, allow, credentials};

const THING: &str = "arn:aws:iot:us-east-1:000000000000:thing/pump";

fn may(bench: &Bench, credentials: &Credentials, action: &str) -> bool {
    let ctx = bench.context(bench.admit(credentials).unwrap(), ServiceId::Iot, "DescribeThing");
    ctx.authorize(action, THING, |_| {}).is_ok()
}

async fn assume(bench: &Bench, caller: &Credentials, role: &str, more: Value) -> Result<Credentials, String> {
    let mut input = json!({"RoleArn": role, "RoleSessionName": "night"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    match bench.call_as(caller, "AssumeRole", input).await {
        Ok(answer) => Ok(credentials(&answer["Credentials"])),
        Err(error) => Err(error.code.into_owned()),
    }
}

/// CP 3.4, 3.6: a session has the role's permissions, its name, and ends when it should.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_session_lives_and_ends() {
    let bench = Bench::new().await;
    let anna = bench.user("anna", None).await;
    let arn = "arn:aws:iam::000000000000:user/anna";
    let role = bench.role("Fleet", json!({"AWS": arn}), allow("iot:*", "*")).await;
    let session = assume(&bench, &anna, &role, json!({})).await.unwrap();
    assert!(session.access_key_id.starts_with("ASIA"));
    assert!(session.session_token.as_ref().unwrap().len() <= 2048);
    let me = bench.call_as(&session, "GetCallerIdentity", json!({})).await.unwrap();
    assert_eq!(me["Arn"], "arn:aws:sts::000000000000:assumed-role/Fleet/night");
    assert!(me["UserId"].as_str().unwrap().ends_with(":night"));
    assert!(may(&bench, &session, "iot:DescribeThing"));
    assert!(!may(&bench, &anna, "iot:DescribeThing"));

    // Without its token, or with that of another session, the key is worth nothing.
    let bare = Credentials { session_token: None, ..session.clone() };
    assert_eq!(bench.admit(&bare).unwrap_err(), AuthFailure::UnknownKey);
    let other = assume(&bench, &anna, &role, json!({})).await.unwrap();
    let swapped = Credentials { session_token: other.session_token.clone(), ..session.clone() };
    assert_eq!(bench.admit(&swapped).unwrap_err(), AuthFailure::TokenInvalid);

    let bench = bench.restart();
    assert!(bench.admit(&session).is_ok());
    bench.identity.revoke_session(&AccountId::first(), &other.access_key_id).await.unwrap();
    assert_eq!(bench.admit(&other).unwrap_err(), AuthFailure::TokenInvalid);
    let bench = bench.restart();
    assert_eq!(bench.admit(&other).unwrap_err(), AuthFailure::TokenInvalid);
    bench.advance(3599);
    assert!(bench.admit(&session).is_ok());
    bench.advance(1);
    assert_eq!(bench.admit(&session).unwrap_err(), AuthFailure::TokenExpired);
}

/// A role made anew under the same name does not inherit the sessions of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_die_with_their_role() {
    let bench = Bench::new().await;
    let root = json!({"AWS": "arn:aws:iam::000000000000:root"});
    let role = bench.role("Fleet", root.clone(), allow("iot:*", "*")).await;
    let session = assume(&bench, &bench.admin, &role, json!({})).await.unwrap();
    bench.ok("DeleteRolePolicy", json!({"RoleName": "Fleet", "PolicyName": "p"})).await;
    bench.ok("DeleteRole", json!({"RoleName": "Fleet"})).await;
    assert_eq!(bench.admit(&session).unwrap_err(), AuthFailure::TokenInvalid);
    bench.role("Fleet", root, allow("iot:*", "*")).await;
    assert_eq!(bench.admit(&session).unwrap_err(), AuthFailure::TokenInvalid);
}

/// CP 3.4: a session policy narrows and never widens, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn session_policies_narrow() {
    let bench = Bench::new().await;
    let role = bench.role("Fleet", json!({"AWS": "000000000000"}), allow("iot:Describe*", "*")).await;
    let inline = allow("iot:DescribeThing", THING).to_string();
    let narrow = assume(&bench, &bench.admin, &role, json!({"Policy": inline})).await.unwrap();
    let wide = assume(
        &bench,
        &bench.admin,
        &role,
        json!({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}]}),
    )
    .await
    .unwrap();
    let bench = bench.restart();
    for (session, action, ok) in [
        (&narrow, "iot:DescribeThing", true),
        (&narrow, "iot:DescribeEndpoint", false),
        (&wide, "iot:DescribeEndpoint", true),
        (&wide, "iot:CreateThing", false),
    ] {
        assert_eq!(may(&bench, session, action), ok, "{action}");
    }
    let refused = assume(&bench, &bench.admin, &role, json!({"Policy": "{}"})).await;
    assert_eq!(refused.unwrap_err(), "MalformedPolicyDocument");
    let refused = assume(&bench, &bench.admin, &role, json!({"DurationSeconds": 7200})).await;
    assert_eq!(refused.unwrap_err(), "ValidationError");
    let tags: Vec<Value> = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": "v".repeat(200)})).collect();
    let refused = assume(&bench, &bench.admin, &role, json!({"Tags": tags})).await;
    assert_eq!(refused.unwrap_err(), "PackedPolicyTooLarge");
}

/// CP 3.4: trust decides, with external id, tags and the caller's own permission; a role that is not there, or not the
/// caller's to know, is refused in the same words.
#[tokio::test(flavor = "multi_thread")]
async fn trust_decides() {
    let bench = Bench::new().await;
    let anna = bench.user("anna", None).await;
    let bert = bench.user("bert", Some(allow("sts:*", "*"))).await;
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole",
         "Condition": {"StringEquals": {"sts:ExternalId": "secret-word"}}}]});
    let input = json!({"RoleName": "Fleet", "AssumeRolePolicyDocument": trust.to_string()});
    let role = bench.ok("CreateRole", input).await["Role"]["Arn"].as_str().unwrap().to_owned();
    let word = json!({"ExternalId": "secret-word"});
    let missing = "arn:aws:iam::000000000000:role/missing";
    for (who, caller, arn, more, ok) in [
        ("anna", &anna, role.as_str(), word.clone(), false),
        ("bert", &bert, role.as_str(), word.clone(), true),
        ("bert without the word", &bert, role.as_str(), json!({}), false),
        (
            "bert with tags nobody allowed",
            &bert,
            role.as_str(),
            json!({"ExternalId": "secret-word", "Tags": [{"Key": "a", "Value": "b"}]}),
            false,
        ),
        ("bert", &bert, missing, word.clone(), false),
    ] {
        let got = assume(&bench, caller, arn, more).await;
        assert_eq!(got.is_ok(), ok, "{who} {arn}");
        assert!(ok || got.unwrap_err() == "AccessDeniedException");
    }
    let text = |error: marram_aws_api::ApiError| error.message.replace("Fleet", "X").replace("missing", "X");
    let call = |arn: String| json!({"RoleArn": arn, "RoleSessionName": "night"});
    let known = bench.call_as(&bert, "AssumeRole", call(role)).await.unwrap_err();
    let unknown = bench.call_as(&bert, "AssumeRole", call(missing.into())).await.unwrap_err();
    assert_eq!(text(known), text(unknown));
}

/// CP 3.4: another account's user needs permission on both sides.
#[tokio::test(flavor = "multi_thread")]
async fn another_account_needs_both_sides() {
    let bench = Bench::new().await;
    let other = bench.identity.create_account("second", None).await.unwrap();
    let trusting = bench.role("Guest", json!({"AWS": other.account.as_str()}), allow("iot:*", "*")).await;
    let closed = bench.role("Own", json!({"AWS": "000000000000"}), allow("iot:*", "*")).await;
    let session = assume(&bench, &other.credentials, &trusting, json!({})).await.unwrap();
    let me = bench.call_as(&session, "GetCallerIdentity", json!({})).await.unwrap();
    assert_eq!(me["Account"], "000000000000");
    assert_eq!(assume(&bench, &other.credentials, &closed, json!({})).await.unwrap_err(), "AccessDeniedException");
}

/// CP 3.6: tags of a session are principal tags, transitive ones pass on in a chain of roles, and a chain lasts an hour.
#[tokio::test(flavor = "multi_thread")]
async fn tags_pass_on_when_transitive() {
    let bench = Bench::new().await;
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*",
         "Condition": {"StringEquals": {"aws:PrincipalTag/team": "line4"}}}]});
    let first = bench.role("First", json!({"AWS": "000000000000"}), policy.clone()).await;
    let second = bench.role("Second", json!({"AWS": "000000000000"}), policy).await;
    let tags = json!([{"Key": "Team", "Value": "line4"}, {"Key": "Shift", "Value": "night"}]);
    let plain = assume(&bench, &bench.admin, &first, json!({"Tags": tags})).await.unwrap();
    let passing =
        assume(&bench, &bench.admin, &first, json!({"Tags": tags, "TransitiveTagKeys": ["team"]})).await.unwrap();
    assert!(may(&bench, &plain, "iot:DescribeThing"));
    let lost = assume(&bench, &plain, &second, json!({})).await.unwrap();
    let kept = assume(&bench, &passing, &second, json!({})).await.unwrap();
    assert!(!may(&bench, &lost, "iot:DescribeThing"));
    assert!(may(&bench, &kept, "iot:DescribeThing"));
    let clash = json!({"Tags": [{"Key": "TEAM", "Value": "x"}]});
    assert_eq!(assume(&bench, &passing, &second, clash).await.unwrap_err(), "InvalidParameterValue");
    let long = json!({"DurationSeconds": 3601});
    assert_eq!(assume(&bench, &passing, &second, long).await.unwrap_err(), "ValidationError");
}

/// CP 3.6: GetSessionToken acts as the user, cannot renew itself, and without MFA touches neither iam nor sts.
#[tokio::test(flavor = "multi_thread")]
async fn session_tokens_act_as_the_user() {
    let bench = Bench::new().await;
    let answer = bench.ok("GetSessionToken", json!({"DurationSeconds": 900})).await;
    let session = credentials(&answer["Credentials"]);
    let me = bench.call_as(&session, "GetCallerIdentity", json!({})).await.unwrap();
    assert_eq!(me["Arn"], "arn:aws:iam::000000000000:user/administrator");
    assert!(may(&bench, &session, "iot:DescribeThing"));
    for operation in ["GetSessionToken", "ListUsers"] {
        let error = bench.call_as(&session, operation, json!({})).await.unwrap_err();
        assert_eq!(error.code, "AccessDeniedException", "{operation}");
    }
    bench.advance(900);
    assert_eq!(bench.admit(&session).unwrap_err(), AuthFailure::TokenExpired);
}

/// SEC-104: a service assumes a role only when its trust policy names the service, for the resource it works for, and
/// only in the account it works for.
#[tokio::test(flavor = "multi_thread")]
async fn services_assume_roles_by_trust() {
    let bench = Bench::new().await;
    let deployment = "arn:aws:iotthingsgraph:us-east-1:000000000000:Deployment/default/Line";
    let trust = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"Service": "iotthingsgraph.amazonaws.com"}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}, "ArnLike": {"aws:SourceArn": deployment}}}});
    let input = json!({"RoleName": "flow", "AssumeRolePolicyDocument": trust.to_string()});
    let role = bench.ok("CreateRole", input).await["Role"]["Arn"].as_str().unwrap().to_owned();
    let document = allow("iot:Publish", "arn:aws:iot:*:*:topic/${credentials-iot:ThingName}/*").to_string();
    bench.ok("PutRolePolicy", json!({"RoleName": "flow", "PolicyName": "p", "PolicyDocument": document})).await;
    let (first, region) = (AccountId::first(), Region::default_region());
    let second = bench.identity.create_account("second", None).await.unwrap().account;
    let asked = ServiceAssume {
        account: &first,
        region: &region,
        role_arn: &role,
        service: "iotthingsgraph.amazonaws.com",
        session_name: "execution-1",
        source_arn: deployment,
        duration: Duration::from_secs(3600),
        session_facts: &[("credentials-iot:ThingName", "pump")],
    };
    let assumed = bench.identity.assume_service_role(&asked).unwrap();
    assert_eq!(bench.admit(&assumed.temporary.credentials).unwrap().arn, assumed.principal.arn);
    let ctx = bench.context(assumed.principal, ServiceId::IotData, "Publish");
    for (topic, ok) in [("pump/t", true), ("valve/t", false)] {
        let arn = format!("arn:aws:iot:us-east-1:000000000000:topic/{topic}");
        assert_eq!(ctx.authorize("iot:Publish", &arn, |_| {}).is_ok(), ok, "{topic}");
    }
    for (what, refused) in [
        ("another service", ServiceAssume { service: "greengrass.amazonaws.com", ..asked.clone() }),
        ("another account", ServiceAssume { account: &second, ..asked.clone() }),
        (
            "another deployment",
            ServiceAssume {
                source_arn: "arn:aws:iotthingsgraph:us-east-1:000000000000:Deployment/default/Other",
                ..asked.clone()
            },
        ),
        ("no such role", ServiceAssume { role_arn: "arn:aws:iam::000000000000:role/none", ..asked.clone() }),
    ] {
        let error = bench.identity.assume_service_role(&refused).unwrap_err();
        assert_eq!(error.code, "AccessDeniedException", "{what}");
    }
    let records = bench.records();
    let assumed =
        records.iter().find(|record| record["eventName"] == "AssumeRole" && record.get("errorCode").is_none());
    assert_eq!(assumed.unwrap()["userIdentity"]["invokedBy"], "iotthingsgraph.amazonaws.com");
}
