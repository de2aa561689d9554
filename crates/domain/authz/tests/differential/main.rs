//! SEC-110: the engine and an independent evaluator agree on random policies, contexts and layers.

mod reference;

use std::sync::Arc;

use marram_authz::{
    ConditionValues, DeviceAction, DevicePolicies, Layers, Outcome, Policy, PolicyKind, Request, Requester,
};
use proptest::prelude::*;
use proptest::sample::select;
use reference::{Answer, Asker, Case, Context, Sets};
use serde_json::{Map, Value, json};

const ACCOUNT: &str = "000000000000";
const OTHER: &str = "111111111111";
const USER: &str = "arn:aws:iam::000000000000:user/anna";
const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/Fleet/night";
const ROLE: &str = "arn:aws:iam::000000000000:role/Fleet";
const HOST: &str = "iotthingsgraph.amazonaws.com";

const ASKERS: [Asker; 3] = [
    Asker { account: ACCOUNT, arn: USER, role: None, service: None },
    Asker { account: ACCOUNT, arn: SESSION, role: Some(ROLE), service: None },
    Asker { account: ACCOUNT, arn: HOST, role: None, service: Some(HOST) },
];

fn requester(asker: &Asker) -> Requester<'static> {
    match (asker.service, asker.role) {
        (Some(host), _) => Requester::service(asker.account, host),
        (None, Some(role)) => Requester::session(asker.account, asker.arn, role),
        (None, None) => Requester::user(asker.account, asker.arn),
    }
}

fn action() -> impl Strategy<Value = &'static str> {
    select(vec!["iot:Publish", "iot:CreateThing", "IOT:creatething", "s3:GetObject", "sts:AssumeRole"])
}

fn action_pattern() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "iot:*",
        "iot:Create*",
        "iot:?ublish",
        "IOT:createThing",
        "s3:Get*",
        "sts:AssumeRole",
        "iot:*Thing",
    ])
}

fn resource() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "arn:aws:iot:r:000000000000:thing/a",
        "arn:aws:iot:r:000000000000:thing/a*b",
        "arn:aws:iot:r:000000000000:topic/a/b",
        "arn:aws:iot:r:000000000000:topic/",
        "arn:aws:s3:::bucket/k:1",
    ])
}

fn resource_pattern() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "arn:aws:iot:r:000000000000:thing/a",
        "arn:aws:iot:*:*:thing/*",
        "arn:aws:iot:r:000000000000:thing/${k1}",
        "arn:aws:iot:r:000000000000:thing/${K1, 'a'}",
        "arn:aws:iot:r:000000000000:t*/${k2}*",
        "arn:aws:iot:r:000000000000:thing/a${*}b",
        "arn:aws:iot:r:000000000000:topic/?/b",
        "arn:aws:iot:r:000000000000:topic/*",
        "arn:aws:s3:::bucket/*:?",
        "arn:aws:*:::bucket/${absent}",
    ])
}

fn one_or_more(item: impl Strategy<Value = &'static str>) -> impl Strategy<Value = Value> {
    prop::collection::vec(item, 1..4).prop_map(|items| match items.as_slice() {
        [one] => json!(one),
        many => json!(many),
    })
}

fn condition() -> impl Strategy<Value = (String, String, Value)> {
    let key = || select(vec!["k1", "K2", "n", "b", "arn", "absent"]);
    let text = || select(vec!["a", "A", "b", "a*", "?", "${k1}", "${k2}", "${absent}", "${absent, 'b'}", "${*}", ""]);
    let arn = select(vec!["arn:aws:iot:*:*:thing/*", "arn:aws:iot:r:000000000000:thing/${k1}", "arn:?ws:iot:r:*:*"]);
    let strings = select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
    ]);
    let numbers = select(vec![
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
    ]);
    let plain = prop_oneof![
        4 => (strings, key(), one_or_more(text())),
        2 => (numbers, key(), one_or_more(select(vec!["1", "2.5", "-3"]))),
        1 => (select(vec!["ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals"]), key(), one_or_more(arn)),
        1 => (Just("Bool"), key(), one_or_more(select(vec!["true", "false"]))),
    ];
    let prefixed = (select(vec!["", "", "ForAnyValue:", "ForAllValues:"]), plain, select(vec!["", "", "IfExists"]))
        .prop_map(|(prefix, (name, key, values), suffix)| (format!("{prefix}{name}{suffix}"), key.to_owned(), values));
    let null = (key(), one_or_more(select(vec!["true", "false"])))
        .prop_map(|(key, values)| ("Null".to_owned(), key.to_owned(), values));
    prop_oneof![8 => prefixed, 1 => null]
}

fn principal() -> impl Strategy<Value = Value> {
    let arns = one_or_more(select(vec![USER, SESSION, ROLE, ACCOUNT, OTHER, "arn:aws:iam::000000000000:root", "*"]));
    prop_oneof![
        1 => Just(json!("*")),
        4 => arns.prop_map(|list| json!({"AWS": list})),
        1 => Just(json!({"Service": HOST})),
        1 => Just(json!({"Service": ["greengrass.amazonaws.com"], "AWS": ROLE})),
    ]
}

fn statement(kind: PolicyKind) -> impl Strategy<Value = Value> {
    let effect = select(vec!["Allow", "Allow", "Deny"]);
    let actions = (any::<bool>(), one_or_more(action_pattern()));
    let resources = (prop::bool::weighted(0.2), one_or_more(resource_pattern()));
    let conditions = prop::collection::vec(condition(), 0..3);
    (effect, actions, resources, conditions, principal(), any::<bool>()).prop_map(
        move |(effect, (not_action, actions), (not_resource, resources), conditions, principal, not_principal)| {
            let mut statement = Map::new();
            statement.insert("Effect".into(), effect.into());
            let not_action = not_action && effect == "Deny";
            statement.insert(if not_action { "NotAction" } else { "Action" }.into(), actions);
            if kind != PolicyKind::Trust {
                statement.insert(if not_resource { "NotResource" } else { "Resource" }.into(), resources);
            }
            if matches!(kind, PolicyKind::Trust | PolicyKind::Resource) {
                let name = if not_principal && effect == "Deny" { "NotPrincipal" } else { "Principal" };
                statement.insert(name.into(), principal);
            }
            let mut operators: Map<String, Value> = Map::new();
            for (operator, key, values) in conditions {
                let keys = operators.entry(operator).or_insert_with(|| json!({}));
                keys.as_object_mut().unwrap().entry(key).or_insert(values);
            }
            if !operators.is_empty() {
                statement.insert("Condition".into(), operators.into());
            }
            statement.into()
        },
    )
}

fn document(kind: PolicyKind) -> impl Strategy<Value = Value> {
    let version = select(vec!["2012-10-17", "2012-10-17", "2008-10-17"]);
    (version, prop::collection::vec(statement(kind), 1..4))
        .prop_map(|(version, statements)| json!({"Version": version, "Statement": statements}))
}

fn context() -> impl Strategy<Value = Context> {
    let value = || {
        select(vec!["a", "A", "b", "a*", "a*b", "1", "2.5", "true", "", "arn:aws:iot:r:000000000000:thing/a"])
            .prop_map(str::to_owned)
    };
    let values = prop::collection::vec(value(), 0..3);
    prop::collection::btree_map(select(vec!["k1", "k2", "n", "b", "arn"]).prop_map(str::to_owned), values, 0..5)
}

fn facts(context: &Context) -> ConditionValues {
    let mut facts = ConditionValues::new();
    for (key, values) in context {
        facts.set_all(key, values.iter().map(String::as_str));
    }
    facts
}

fn compile(kind: PolicyKind, document: &Value) -> Arc<Policy> {
    let text = document.to_string();
    Arc::new(Policy::parse(kind, "p", &text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    /// All layers together, for users, sessions and services, in both profiles of unknown variables.
    #[test]
    fn engine_and_reference_agree(
        identity in prop::collection::vec(document(PolicyKind::Identity), 0..3),
        boundary in prop::option::weighted(0.3, document(PolicyKind::Identity)),
        session in prop::option::weighted(0.3, prop::collection::vec(document(PolicyKind::Identity), 0..2)),
        guardrail in prop::option::weighted(0.2, document(PolicyKind::Identity)),
        resource in prop::option::weighted(0.5, prop_oneof![
            document(PolicyKind::Resource).prop_map(|d| (d, false)),
            document(PolicyKind::Trust).prop_map(|d| (d, true)),
        ]),
        owner in select(vec![ACCOUNT, ACCOUNT, OTHER]),
        asker in 0..ASKERS.len(),
        action in action(),
        target in resource(),
        context in context(),
        strict in any::<bool>(),
    ) {
        let asker = &ASKERS[asker];
        let case = Case { asker, action, resource: target, context: &context, strict };
        let sets = Sets {
            identity: identity.iter().collect(),
            boundary: boundary.as_ref(),
            session: session.as_ref().map(|list| list.iter().collect()),
            guardrail: guardrail.as_ref(),
            resource: resource.as_ref().map(|(document, trust)| (document, owner, *trust)),
        };
        let want = reference::decide(&case, &sets);

        let of_identity = |documents: &[Value]| -> Vec<Arc<Policy>> {
            documents.iter().map(|d| compile(PolicyKind::Identity, d)).collect()
        };
        let compiled = of_identity(&identity);
        let session = session.as_deref().map(of_identity);
        let boundary = boundary.as_ref().map(|d| compile(PolicyKind::Identity, d));
        let guardrail = guardrail.as_ref().map(|d| compile(PolicyKind::Identity, d));
        let resource = resource
            .as_ref()
            .map(|(d, trust)| compile(if *trust { PolicyKind::Trust } else { PolicyKind::Resource }, d));
        let facts = facts(&context);
        let request = Request { requester: requester(asker), action, resource: target, facts: &facts, strict_variables: strict };
        let layers = Layers {
            identity: &compiled,
            boundary: boundary.as_deref(),
            session: session.as_deref(),
            guardrail: guardrail.as_deref(),
            resource: resource.as_deref().map(|policy| (policy, owner)),
        };
        let decision = request.decide(&layers);
        let got = match decision.outcome {
            Outcome::Allowed => Answer::Allow,
            Outcome::ExplicitDeny(_) => Answer::ExplicitDeny,
            Outcome::ImplicitDeny(_) => Answer::ImplicitDeny,
        };
        prop_assert_eq!(got, want);
        prop_assert_eq!(request.explain(&layers).outcome, decision.outcome, "explaining changes nothing");
    }

    /// CP 5.6: the form for the broker's hot path answers as the engine does.
    #[test]
    fn device_policies_answer_as_the_engine(
        documents in prop::collection::vec(device_document(), 1..3),
        context in context(),
        action in select(DeviceAction::ALL.to_vec()),
        name in select(vec!["a", "a/b", "plant/a/t", "a*b", "+", "a/#", ""]),
        strict in any::<bool>(),
    ) {
        let compiled: Vec<Arc<Policy>> = documents.iter().map(|d| compile(PolicyKind::Device, d)).collect();
        let facts = facts(&context);
        let prefix = "arn:aws:iot:r:000000000000:";
        let bound = DevicePolicies::bind(&compiled, prefix, &facts, strict);
        let arn = format!("{prefix}{}{name}", action.resource_type());
        let request = Request {
            requester: Requester::user(ACCOUNT, "cert"),
            action: action.name(),
            resource: &arn,
            facts: &facts,
            strict_variables: strict,
        };
        let want = request.decide(&Layers { identity: &compiled, ..Layers::default() }).outcome;
        prop_assert_eq!(bound.decide(action, name, &facts), want);
    }
}

fn device_document() -> impl Strategy<Value = Value> {
    let actions = select(vec!["iot:*", "iot:Connect", "iot:Publish", "iot:Receive", "iot:Subscribe", "iot:R*"]);
    let resources = select(vec![
        "*",
        "arn:aws:iot:r:000000000000:*",
        "arn:aws:iot:*:*:topic/*",
        "arn:aws:iot:r:000000000000:topic/a/b",
        "arn:aws:iot:r:000000000000:topic/plant/${k1}/*",
        "arn:aws:iot:r:000000000000:topicfilter/${k2}",
        "arn:aws:iot:r:000000000000:topicfilter/+",
        "arn:aws:iot:r:000000000000:client/?",
        "arn:aws:iot:r:00000000000?:cl*t/${absent}",
        "arn:aws:iot:other:000000000000:topic/a/b",
        "arn:aws:iot:r:000000000000:t",
    ]);
    let statement = (
        select(vec!["Allow", "Allow", "Deny"]),
        one_or_more(actions),
        any::<bool>(),
        one_or_more(resources),
        prop::collection::vec(condition(), 0..2),
    )
        .prop_map(|(effect, actions, not, resources, conditions)| {
            let not = not && effect == "Deny";
            let mut statement = json!({"Effect": effect, "Action": actions});
            statement[if not { "NotResource" } else { "Resource" }] = resources;
            for (operator, key, values) in conditions {
                statement["Condition"] = json!({operator: {key: values}});
            }
            statement
        });
    prop::collection::vec(statement, 1..4).prop_map(|s| json!({"Version": "2012-10-17", "Statement": s}))
}
