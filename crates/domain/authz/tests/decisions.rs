//! SEC-60: The policy language and the order of evaluation, case by case.

use std::sync::Arc;

use marram_authz::{
    ConditionValues, DeviceAction, DevicePolicies, Layer, Layers, LintKind, NoFacts, Outcome, Policy, PolicyKind,
    Request, Requester,
};

const ACCOUNT: &str = "000000000000";
const ANNA: &str = "arn:aws:iam::000000000000:user/anna";
const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/Fleet/anna";
const ROLE: &str = "arn:aws:iam::000000000000:role/ops/Fleet";

fn parse(kind: PolicyKind, document: &str) -> Policy {
    Policy::parse(kind, "p", document).unwrap_or_else(|e| panic!("{e}: {document}"))
}

fn identity(statements: &str) -> Arc<Policy> {
    Arc::new(parse(PolicyKind::Identity, &format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#)))
}

fn allow(actions: &str) -> Arc<Policy> {
    identity(&format!(r#"{{"Effect":"Allow","Action":"{actions}","Resource":"*"}}"#))
}

fn ask(requester: Requester<'_>, action: &str, resource: &str, layers: &Layers<'_>) -> Outcome {
    let request = Request { requester, action, resource, facts: &NoFacts, strict_variables: false };
    request.decide(layers).outcome
}

/// CP 3.2: what is not a policy, and a word of the reason.
#[test]
fn malformed_documents_are_refused() {
    use PolicyKind::{Device, Identity, Resource, Trust};
    let many =
        format!(r#"{{"Statement":[{}]}}"#, vec![r#"{"Effect":"Allow","Action":"a:b","Resource":"*"}"#; 101].join(","));
    for (kind, document, reason) in [
        (Identity, "", "JSON"),
        (Identity, "[]", "object"),
        (Identity, "{}", "no statement"),
        (Identity, r#"{"Statement":[]}"#, "no statement"),
        (Identity, r#"{"Version":"2012-10-18","Statement":[]}"#, "version"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Extra":1}}"#, "unknown element"),
        (Identity, r#"{"statement":{}}"#, "unknown element"),
        (
            Identity,
            r#"{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"a:b","Resource":"*"}}"#,
            "duplicate key",
        ),
        (Identity, r#"{"Statement":{"Effect":"Maybe","Action":"a:b","Resource":"*"}}"#, "Effect"),
        (Identity, r#"{"Statement":{"Action":"a:b","Resource":"*"}}"#, "Effect"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#, "Action"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"a:b","NotAction":"a:b","Resource":"*"}}"#, "both"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#, "Action"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"CreateThing","Resource":"*"}}"#, "action"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"io*:x","Resource":"*"}}"#, "action"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"a:b"}}"#, "Resource"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"thing/x"}}"#, "ARN"),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:iot:*"}}"#, "six fields"),
        (
            Identity,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:iot:r:a:${x"}}"#,
            "closed",
        ),
        (Identity, r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Principal":"*"}}"#, "Principal"),
        (
            Identity,
            r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"StringSame":{"k":"v"}}}}"#,
            "operator",
        ),
        (
            Identity,
            r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"NullIfExists":{"k":"true"}}}}"#,
            "operator",
        ),
        (
            Identity,
            r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"NumericEquals":{"k":"ten"}}}}"#,
            "cannot be read",
        ),
        (
            Identity,
            r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"IpAddress":{"k":"10.0.0.0/33"}}}}"#,
            "cannot be read",
        ),
        (
            Identity,
            r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"StringEquals":{"k":[]}}}}"#,
            "no value",
        ),
        (
            Identity,
            r#"{"Statement":[{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"}]}"#,
            "unique",
        ),
        (Identity, &many, "100"),
        (
            Device,
            r#"{"Statement":{"Effect":"Allow","Action":"iot:Connect","Resource":"*","Principal":"*"}}"#,
            "Principal",
        ),
        (Trust, r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}"#, "Principal"),
        (
            Trust,
            r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}}"#,
            "Resource",
        ),
        (
            Trust,
            r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::1:user/*"}}}"#,
            "invalid principal",
        ),
        (
            Trust,
            r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Robot":"x"}}}"#,
            "kind of principal",
        ),
        (
            Resource,
            r#"{"Statement":{"Effect":"Allow","NotPrincipal":{"AWS":"*"},"Action":"a:b","Resource":"*"}}"#,
            "NotPrincipal",
        ),
    ] {
        let error = Policy::parse(kind, "p", document).expect_err(document);
        assert!(error.reason.contains(reason), "{document}: {error}");
    }
}

/// CP 3.3: operators against a present, an absent and a wrong value.
#[test]
fn operators() {
    let mut facts = ConditionValues::new();
    facts
        .set("aws:RequestTag/Team", "Line4")
        .set_all("aws:TagKeys", ["Team", "Cost"])
        .set("n", "10.5")
        .set("t", "2026-03-02T08:14:02Z")
        .set("b", "TRUE")
        .set("ip", "192.0.2.44")
        .set("ip6", "2001:db8::1")
        .set("arn", "arn:aws:iot:eu-west-1:000000000000:thing/a:b")
        .set("bin", "QUJD");
    for (condition, want) in [
        (r#"{"StringEquals":{"AWS:requesttag/team":["x","Line4"]}}"#, true),
        (r#"{"StringEquals":{"aws:RequestTag/Team":"line4"}}"#, false),
        (r#"{"StringEqualsIgnoreCase":{"aws:RequestTag/Team":"line4"}}"#, true),
        (r#"{"StringNotEquals":{"aws:RequestTag/Team":["x","Line4"]}}"#, false),
        (r#"{"StringNotEquals":{"absent":"x"}}"#, true),
        (r#"{"StringEquals":{"absent":"x"}}"#, false),
        (r#"{"StringEqualsIfExists":{"absent":"x"}}"#, true),
        (r#"{"StringEqualsIfExists":{"aws:RequestTag/Team":"x"}}"#, false),
        (r#"{"StringLike":{"aws:RequestTag/Team":"L?ne*"}}"#, true),
        (r#"{"StringEquals":{"aws:RequestTag/Team":"L?ne*"}}"#, false),
        (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["Team","Cost","X"]}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}"#, false),
        (r#"{"ForAllValues:StringEquals":{"absent":["Team"]}}"#, true),
        (r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["Team"]}}"#, true),
        (r#"{"ForAnyValue:StringEquals":{"absent":["Team"]}}"#, false),
        (r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["Team"]}}"#, true),
        (r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["Team"]}}"#, false),
        (r#"{"NumericLessThan":{"n":11}}"#, true),
        (r#"{"NumericGreaterThanEquals":{"n":"10.5"}}"#, true),
        (r#"{"NumericEquals":{"b":"1"}}"#, false),
        (r#"{"NumericNotEquals":{"b":"1"}}"#, true),
        (r#"{"DateLessThan":{"t":"2026-03-03"}}"#, true),
        (r#"{"DateGreaterThan":{"t":"1772439241"}}"#, true),
        (r#"{"DateEquals":{"t":"2026-03-02T09:14:02+01:00"}}"#, true),
        (r#"{"Bool":{"b":true}}"#, true),
        (r#"{"Bool":{"absent":"false"}}"#, false),
        (r#"{"BinaryEquals":{"bin":"QUJD"}}"#, true),
        (r#"{"IpAddress":{"ip":["10.0.0.0/8","192.0.2.0/24"]}}"#, true),
        (r#"{"NotIpAddress":{"ip":"192.0.2.0/24"}}"#, false),
        (r#"{"IpAddress":{"ip6":"2001:db8::/32"}}"#, true),
        (r#"{"IpAddress":{"ip6":"0.0.0.0/0"}}"#, false),
        (r#"{"ArnLike":{"arn":"arn:aws:iot:*:000000000000:thing/a*"}}"#, true),
        (r#"{"ArnEquals":{"arn":"arn:aws:*:*:*:thing/a"}}"#, false),
        (r#"{"ArnNotLike":{"arn":"arn:aws:iot:*:*:thing/z*"}}"#, true),
        (r#"{"Null":{"absent":"true"}}"#, true),
        (r#"{"Null":{"n":"true"}}"#, false),
        (r#"{"Null":{"n":"false"}}"#, true),
        (r#"{"StringEquals":{"aws:RequestTag/Team":"Line4"},"Bool":{"b":"false"}}"#, false),
        (r#"{"StringEquals":{"aws:RequestTag/Team":"${aws:RequestTag/Team}"}}"#, true),
        (r#"{"StringNotEquals":{"aws:RequestTag/Team":"${absent}"}}"#, false),
        (r#"{"StringEquals":{"aws:RequestTag/Team":["Line4","${absent}"]}}"#, false),
    ] {
        let policy =
            identity(&format!(r#"{{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{condition}}}"#));
        let request = Request {
            requester: Requester::user(ACCOUNT, ANNA),
            action: "A:B",
            resource: "*",
            facts: &facts,
            strict_variables: false,
        };
        let layers = Layers { identity: &[policy], ..Layers::default() };
        assert_eq!(request.decide(&layers).is_allowed(), want, "{condition}");
    }
}

/// CP 3.4: each layer, allowed and denied.
#[test]
fn the_order_of_evaluation() {
    let anna = Requester::user(ACCOUNT, ANNA);
    let session = Requester::session(ACCOUNT, SESSION, ROLE);
    let yes = [allow("iot:*")];
    let no: [Arc<Policy>; 0] = [];
    let deny = [allow("*"), identity(r#"{"Effect":"Deny","NotAction":"iot:List*","Resource":"*"}"#)];
    let read = allow("iot:Get*");
    let all = allow("*");
    let thing = "arn:aws:iot:us-east-1:000000000000:thing/x";
    let go = |requester, layers: Layers<'_>| ask(requester, "iot:CreateThing", thing, &layers);
    let base = Layers { identity: &yes, ..Layers::default() };

    assert_eq!(go(anna, base), Outcome::Allowed);
    assert_eq!(go(anna, Layers { identity: &no, ..base }), Outcome::ImplicitDeny(Layer::Identity));
    assert_eq!(go(anna, Layers { identity: &deny, ..base }), Outcome::ExplicitDeny(Layer::Identity));
    assert_eq!(go(anna, Layers { boundary: Some(&read), ..base }), Outcome::ImplicitDeny(Layer::Boundary));
    assert_eq!(go(anna, Layers { boundary: Some(&all), ..base }), Outcome::Allowed);
    assert_eq!(
        go(session, Layers { session: Some(std::slice::from_ref(&read)), ..base }),
        Outcome::ImplicitDeny(Layer::Session)
    );
    assert_eq!(go(session, Layers { session: Some(&[]), ..base }), Outcome::ImplicitDeny(Layer::Session));
    assert_eq!(go(session, Layers { session: Some(&deny), ..base }), Outcome::ExplicitDeny(Layer::Session));
    assert_eq!(go(anna, Layers { guardrail: Some(&read), ..base }), Outcome::ImplicitDeny(Layer::Guardrail));

    let root = Requester::root(ACCOUNT, "arn:aws:iam::000000000000:root");
    assert_eq!(go(root, Layers { identity: &deny, ..base }), Outcome::Allowed);
    assert_eq!(go(root, Layers { guardrail: Some(&read), ..base }), Outcome::ImplicitDeny(Layer::Guardrail));
    assert_eq!(
        ask(anna, "sts:GetCallerIdentity", "*", &Layers { identity: &deny, ..base }),
        Outcome::Allowed,
        "GetCallerIdentity is never denied"
    );

    // Resource policies: who is named decides how much the other layers still count.
    let resource = |principal: &str| {
        parse(
            PolicyKind::Resource,
            &format!(
                r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"iot:*","Resource":"*"}}}}"#
            ),
        )
    };
    for (requester, principal, owner, identity, boundary, want) in [
        (anna, ANNA, ACCOUNT, &no[..], Some(&read), Outcome::Allowed),
        (session, SESSION, ACCOUNT, &no, Some(&read), Outcome::Allowed),
        (session, ROLE, ACCOUNT, &no, None, Outcome::Allowed),
        (session, ROLE, ACCOUNT, &no, Some(&read), Outcome::ImplicitDeny(Layer::Boundary)),
        (anna, ACCOUNT, ACCOUNT, &no, None, Outcome::ImplicitDeny(Layer::Identity)),
        (anna, ACCOUNT, ACCOUNT, &yes, None, Outcome::Allowed),
        (anna, "*", ACCOUNT, &no, None, Outcome::Allowed),
        (anna, ANNA, "111111111111", &no, None, Outcome::ImplicitDeny(Layer::Identity)),
        (anna, ANNA, "111111111111", &yes, None, Outcome::Allowed),
        (anna, "222222222222", "111111111111", &yes, None, Outcome::ImplicitDeny(Layer::Resource)),
    ] {
        let policy = resource(principal);
        let layers = Layers {
            identity,
            boundary: boundary.map(|b| &**b),
            resource: Some((&policy, owner)),
            ..Layers::default()
        };
        assert_eq!(go(requester, layers), want, "{principal} {owner} {}", requester.arn);
    }
}

/// CP 3.4 and 3.5: a role needs its trust policy, and the caller's own permission unless the trust policy names it.
#[test]
fn trust_policies() {
    let trust = |principal: &str, condition: &str| {
        parse(
            PolicyKind::Trust,
            &format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"{condition}}}}}"#
            ),
        )
    };
    let may = [allow("sts:AssumeRole")];
    let no: [Arc<Policy>; 0] = [];
    let anna = Requester::user(ACCOUNT, ANNA);
    let flow = Requester::service(ACCOUNT, "iotthingsgraph.amazonaws.com");
    let other = Requester::user("111111111111", "arn:aws:iam::111111111111:user/eve");
    let source = r#","Condition":{"StringEquals":{"aws:SourceAccount":"000000000000"}}"#;
    for (requester, principal, condition, identity, want) in [
        (anna, r#"{"AWS":"arn:aws:iam::000000000000:user/anna"}"#, "", &no[..], true),
        (anna, r#"{"AWS":"arn:aws:iam::000000000000:root"}"#, "", &no, false),
        (anna, r#"{"AWS":"000000000000"}"#, "", &may, true),
        (anna, r#""*""#, "", &no, false),
        (anna, r#"{"Service":"iotthingsgraph.amazonaws.com"}"#, "", &may, false),
        (flow, r#"{"Service":"iotthingsgraph.amazonaws.com"}"#, source, &no, true),
        (flow, r#"{"Service":"greengrass.amazonaws.com"}"#, source, &no, false),
        (flow, r#"{"AWS":"000000000000"}"#, "", &no, false),
        (other, r#"{"AWS":"000000000000"}"#, "", &may, false),
        (other, r#"{"AWS":"arn:aws:iam::111111111111:user/eve"}"#, "", &no, false),
        (other, r#"{"AWS":"arn:aws:iam::111111111111:user/eve"}"#, "", &may, true),
    ] {
        let policy = trust(principal, condition);
        let mut facts = ConditionValues::new();
        facts.set("aws:SourceAccount", ACCOUNT);
        let request =
            Request { requester, action: "sts:AssumeRole", resource: ROLE, facts: &facts, strict_variables: false };
        let layers = Layers { identity, resource: Some((&policy, ACCOUNT)), ..Layers::default() };
        assert_eq!(request.decide(&layers).is_allowed(), want, "{} {principal}", requester.arn);
    }
}

/// CP 3.2: `NotPrincipal` spares only who is named with account, role and session.
#[test]
fn not_principal_spares_the_fully_named() {
    let deny = |list: &str| {
        parse(
            PolicyKind::Resource,
            &format!(
                r#"{{"Statement":{{"Effect":"Deny","NotPrincipal":{{"AWS":[{list}]}},"Action":"iot:*","Resource":"*"}}}}"#
            ),
        )
    };
    let yes = [allow("*")];
    let session = Requester::session(ACCOUNT, SESSION, ROLE);
    for (list, want) in [
        (format!(r#""{SESSION}","{ROLE}","{ACCOUNT}""#), Outcome::Allowed),
        (format!(r#""{SESSION}","{ACCOUNT}""#), Outcome::ExplicitDeny(Layer::Resource)),
        (format!(r#""{ROLE}","{ACCOUNT}""#), Outcome::ExplicitDeny(Layer::Resource)),
    ] {
        let policy = deny(&list);
        let layers = Layers { identity: &yes, resource: Some((&policy, ACCOUNT)), ..Layers::default() };
        assert_eq!(ask(session, "iot:CreateThing", "*", &layers), want, "{list}");
    }
}

/// TG 11.2: legacy spellings take away and never give; the author is told.
#[test]
fn legacy_things_graph_arns_fail_closed() {
    let arn = "arn:aws:iotthingsgraph:us-east-1:000000000000";
    let now = format!("{arn}:Workflow/default/Press");
    let anna = Requester::user(ACCOUNT, ANNA);
    for (effect, element, spelling, want) in [
        ("Allow", "Resource", "workflow/Press", false),
        ("Allow", "Resource", "Workflow/default/Press", true),
        ("Deny", "Resource", "default#Workflow#Press", false),
        ("Deny", "Resource", "default#Workflow#Other", true),
        ("Allow", "NotResource", "workflow/Press", false),
        ("Deny", "NotResource", "workflow/Press", false),
    ] {
        let one =
            identity(&format!(r#"{{"Effect":"{effect}","Action":"iotthingsgraph:*","{element}":"{arn}:{spelling}"}}"#));
        let legacy = spelling != "Workflow/default/Press";
        assert_eq!(one.lints().iter().any(|l| l.kind == LintKind::LegacyThingsGraphArn), legacy, "{spelling}");
        let mut policies = vec![one];
        if effect == "Deny" {
            policies.push(allow("iotthingsgraph:*"));
        }
        let layers = Layers { identity: &policies, ..Layers::default() };
        let got = ask(anna, "iotthingsgraph:GetFlowTemplate", &now, &layers);
        assert_eq!(got == Outcome::Allowed, want, "{effect} {element} {spelling}");
    }
}

/// Security section 4: a variable without a value never gives; in the strict profile it denies.
#[test]
fn unknown_variables() {
    let all = allow("*");
    let deny = identity(r#"{"Effect":"Deny","Action":"iot:*","Resource":"arn:aws:iot:r:a:thing/${aws:username}"}"#);
    let policies = [all, deny];
    let layers = Layers { identity: &policies, ..Layers::default() };
    for (strict_variables, allowed) in [(false, true), (true, false)] {
        let request = Request {
            requester: Requester::user(ACCOUNT, ANNA),
            action: "iot:CreateThing",
            resource: "arn:aws:iot:r:a:thing/x",
            facts: &NoFacts,
            strict_variables,
        };
        let decision = request.explain(&layers);
        assert_eq!(decision.is_allowed(), allowed);
        assert_eq!(decision.missing, ["aws:username"]);
    }
}

/// CP 5.6: device policies: literal `+` and `#`, thing variables, connect attributes, legacy documents without variables.
#[test]
fn device_policies() {
    let prefix = "arn:aws:iot:us-east-1:000000000000:";
    let document = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:000000000000:client/${iot:Connection.Thing.ThingName}",
         "Condition":{"ForAllValues:StringEquals":{"iot:ConnectAttributes":["PersistentConnect"]}}},
        {"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":"arn:aws:iot:*:*:topic/plant/${iot:ClientId}/*"},
        {"Effect":"Allow","Action":"iot:Subscribe","Resource":["arn:aws:iot:us-east-1:000000000000:topicfilter/plant/+","arn:aws:iot:us-east-1:000000000000:topicfilter/$aws/things/?1/#"]},
        {"Effect":"Deny","Action":"iot:Publish","Resource":"arn:aws:iot:us-east-1:000000000000:topic/plant/*/secret"}]}"#;
    let policy = Arc::new(parse(PolicyKind::Device, document));
    let mut facts = ConditionValues::new();
    facts.set("iot:ClientId", "pump").set("iot:Connection.Thing.ThingName", "pump");
    let bound = DevicePolicies::bind(&[Arc::clone(&policy)], prefix, &facts, false);
    use DeviceAction::{Connect, Publish, Receive, RetainPublish, Subscribe};
    for (action, name, allowed) in [
        (Connect, "pump", true),
        (Connect, "other", false),
        (Publish, "plant/pump/t", true),
        (Publish, "plant/pump/secret", false),
        (Receive, "plant/pump/secret", true),
        (Publish, "plant/valve/t", false),
        (RetainPublish, "plant/pump/t", false),
        (Subscribe, "plant/+", true),
        (Subscribe, "plant/x", false),
        (Subscribe, "$aws/things/p1/#", true),
        (Subscribe, "$aws/things/pump1/#", false),
    ] {
        assert_eq!(bound.decide(action, name, &facts) == Outcome::Allowed, allowed, "{action:?} {name}");
    }
    let mut with_will = facts.clone();
    with_will.set_all("iot:ConnectAttributes", ["LastWill"]);
    assert_ne!(bound.decide(Connect, "pump", &with_will), Outcome::Allowed);
    // A client id that holds a wildcard never becomes one.
    let mut sly = ConditionValues::new();
    sly.set("iot:ClientId", "*");
    let bound = DevicePolicies::bind(&[policy], prefix, &sly, false);
    assert_ne!(bound.decide(Publish, "plant/valve/t", &sly), Outcome::Allowed);
    assert!(!bound.depends_on_time());
}
