//! CC 1.1, 2.5.1, 2.5.2, 3.1, 5.1: mistakes in the configuration of built-in components, each with its exact place; and what is none.

use marram_parts::{AUTH, DEBUG_CONSOLE, SECRET_MANAGER, SHADOW_MANAGER, Scope, check, unknown};
use serde_json::{Value, json};

const CORE: Scope<'_> = Scope::Core("core");

fn told(name: &str, configuration: &Value, scope: Scope<'_>) -> Vec<String> {
    check(name, configuration, scope).iter().map(ToString::to_string).collect()
}

/// Mistakes that can be told whatever else there is: each scope says the same of them.
#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let groups = |groups: Value| json!({ "deviceGroups": groups });
    let group = |group: Value| json!({"deviceGroups": {"definitions": {"lathes": group}, "policies": {"p": {"s": {"operations": ["*"], "resources": ["*"]}}}}});
    let statement = |more: Value| {
        let mut statement = json!({"operations": ["mqtt:connect"], "resources": ["*"]});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"deviceGroups": {"policies": {"a/b": {"s": statement}}}})
    };
    let core_thing = |thing: Value| json!({"synchronize": {"coreThing": thing}});
    #[rustfmt::skip]
    let table: Vec<(&str, Value, &str)> = vec![
        (AUTH, json!([]), "/: [] is no object"),
        (AUTH, json!({"deviceGroup": {}}), "/deviceGroup: there is no such setting; write deviceGroups"),
        (AUTH, groups(json!("x")), r#"/deviceGroups: "x" is no object"#),
        (AUTH, groups(json!({"formatVersion": "1"})), r#"/deviceGroups/formatVersion: "1" is not one of 2021-03-05"#),
        (AUTH, groups(json!({"groups": {}})), "/deviceGroups/groups: there is no such setting; there are formatVersion, definitions, policies"),
        (AUTH, groups(json!({"definitions": []})), "/deviceGroups/definitions: [] is no object"),
        (AUTH, groups(json!({"policies": {"p": ["x"]}})), r#"/deviceGroups/policies/p: ["x"] is no object; write statements by their names"#),
        (AUTH, group(json!({"selectionRule": "thingName lathe*", "policyName": "p"})),
            r#"/deviceGroups/definitions/lathes/selectionRule: "thingName lathe*" is no selection rule: expected thingName: at column 1; write for example "thingName: press*""#),
        (AUTH, group(json!({"selectionRule": 5, "policyName": "p"})), "/deviceGroups/definitions/lathes/selectionRule: 5 is no text"),
        (AUTH, group(json!({"selectionRule": "thingName: a", "policyName": ["p"]})), r#"/deviceGroups/definitions/lathes/policyName: ["p"] is no text"#),
        (AUTH, group(json!({"selectionRule": "thingName: a", "policyName": "p", "policy": "p"})),
            "/deviceGroups/definitions/lathes/policy: there is no such setting; there are selectionRule, policyName"),
        (AUTH, statement(json!({"operation": ["x"]})), "/deviceGroups/policies/a~1b/s/operation: there is no such setting; write operations"),
        (AUTH, statement(json!({"operations": "mqtt:connect"})), r#"/deviceGroups/policies/a~1b/s/operations: "mqtt:connect" is no list; write texts in square brackets"#),
        (AUTH, statement(json!({"operations": ["mqtt:connect", 7]})), "/deviceGroups/policies/a~1b/s/operations/1: 7 is no text"),
        (AUTH, statement(json!({"resources": ["mqtt:topic:${iot:ClientId}"]})),
            r#"/deviceGroups/policies/a~1b/s/resources/0: "mqtt:topic:${iot:ClientId}" has an unknown variable; there is ${iot:Connection.Thing.ThingName}"#),
        (AUTH, statement(json!({"effect": "REFUSE"})), r#"/deviceGroups/policies/a~1b/s/effect: "REFUSE" is not one of ALLOW, DENY"#),
        (AUTH, json!({"security": {"clientDeviceTrustDurationMinutes": "long"}}), r#"/security/clientDeviceTrustDurationMinutes: "long" is not a whole number"#),
        (AUTH, json!({"security": {"clientIdMustEqualThingName": "yes"}}), r#"/security/clientIdMustEqualThingName: "yes" is not true or false"#),
        (AUTH, json!({"certificates": {"serverCertificateValiditySecond": 5}}),
            "/certificates/serverCertificateValiditySecond: there is no such setting; write serverCertificateValiditySeconds"),
        (AUTH, json!({"certificates": 5}), "/certificates: 5 is no object"),
        (AUTH, json!({"performance": {"maxActiveAuthTokens": [1]}}), "/performance/maxActiveAuthTokens: [1] is not a whole number"),
        (AUTH, json!({"metrics": {"disableMetrics": 1}}), "/metrics/disableMetrics: 1 is not true or false"),
        (AUTH, json!({"certificateAuthority": {"caType": 5}}), "/certificateAuthority/caType: 5 is no list; write texts in square brackets"),
        (SHADOW_MANAGER, json!({"syncronize": {}}), "/syncronize: there is no such setting; write synchronize"),
        (SHADOW_MANAGER, json!({"synchronize": {"direction": "BOTH"}}),
            r#"/synchronize/direction: "BOTH" is not one of betweenDeviceAndCloud, deviceToCloud, cloudToDevice"#),
        (SHADOW_MANAGER, json!({"synchronize": {"coreThings": {}}}), "/synchronize/coreThings: there is no such setting; write coreThing"),
        (SHADOW_MANAGER, json!({"synchronize": []}), "/synchronize: [] is no object"),
        (SHADOW_MANAGER, core_thing(json!("x")), r#"/synchronize/coreThing: "x" is no object"#),
        (SHADOW_MANAGER, core_thing(json!({"classic": 1})), "/synchronize/coreThing/classic: 1 is not true or false"),
        (SHADOW_MANAGER, core_thing(json!({"namedShadow": ["a"]})), "/synchronize/coreThing/namedShadow: there is no such setting; write namedShadows"),
        (SHADOW_MANAGER, core_thing(json!({"namedShadows": "a"})), r#"/synchronize/coreThing/namedShadows: "a" is no list; write texts in square brackets"#),
        (SHADOW_MANAGER, core_thing(json!({"namedShadows": ["a", "b*"]})),
            r#"/synchronize/coreThing/namedShadows/1: "b*" is no name of a shadow; write 1 to 64 letters, digits, `:`, `_` or `-`, or "*""#),
        (SHADOW_MANAGER, core_thing(json!({"namedShadows": ["AWSManagedGreengrassV2Deployment"]})),
            r#"/synchronize/coreThing/namedShadows/0: "AWSManagedGreengrassV2Deployment" carries deployments and cannot be synchronised; leave it out"#),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocumentsMap": {"$core": {"namedShadows": ["AWSManagedGreengrassV2Deployment"]}}}}),
            r#"/synchronize/shadowDocumentsMap/$core/namedShadows/0: "AWSManagedGreengrassV2Deployment" carries deployments and cannot be synchronised; leave it out"#),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocumentsMap": {"a b": {}}}}), "/synchronize/shadowDocumentsMap/a b: {} is for `a b`, which is no name of a thing"),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocumentsMap": {"": {}}}}), "/synchronize/shadowDocumentsMap/: {} is for ``, which is no name of a thing"),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocumentsMap": []}}), "/synchronize/shadowDocumentsMap: [] is no object"),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocuments": {}}}), r#"/synchronize/shadowDocuments: {} is no list; write [{"thingName": "pump"}]"#),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocuments": [{"classic": true}]}}), r#"/synchronize/shadowDocuments/0: {"classic":true} has no thingName"#),
        (SHADOW_MANAGER, json!({"synchronize": {"shadowDocuments": ["pump"]}}), r#"/synchronize/shadowDocuments/0: "pump" has no thingName"#),
        (SHADOW_MANAGER, json!({"strategy": {"type": "sometimes"}}), r#"/strategy/type: "sometimes" is not one of realTime, periodic"#),
        (SHADOW_MANAGER, json!({"strategy": {"type": "periodic", "delay": 0}}), "/strategy/delay: 0 is not a whole number from 1 to 31536000"),
        (SHADOW_MANAGER, json!({"rateLimits": {"maxOutboundSyncUpdatesPerSecond": -1}}),
            "/rateLimits/maxOutboundSyncUpdatesPerSecond: -1 is not a whole number from 1 to 4294967295"),
        (SHADOW_MANAGER, json!({"rateLimits": {"maxTotalLocalRequestsRate": 0}}), "/rateLimits/maxTotalLocalRequestsRate: 0 is not a whole number from 1 to 4294967295"),
        (SHADOW_MANAGER, json!({"rateLimits": 5}), "/rateLimits: 5 is no object"),
        (SHADOW_MANAGER, json!({"shadowDocumentSizeLimitBytes": true}), "/shadowDocumentSizeLimitBytes: true is not a whole number from 1 to 30720"),
        (SECRET_MANAGER, json!({"cloudSecret": []}), "/cloudSecret: there is no such setting; write cloudSecrets"),
        (SECRET_MANAGER, json!({"cloudSecrets": "x"}), r#"/cloudSecrets: "x" is no list; write [{"arn": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"}]"#),
        (SECRET_MANAGER, json!({"cloudSecrets": ["arn:aws"]}), r#"/cloudSecrets/0: "arn:aws" is no object"#),
        (SECRET_MANAGER, json!({"cloudSecrets": [{"labels": []}]}),
            r#"/cloudSecrets/0: {"labels":[]} has no arn; write [{"arn": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"}]"#),
        (SECRET_MANAGER, json!({"cloudSecrets": [{"arn": "nonsense"}]}),
            r#"/cloudSecrets/0/arn: "nonsense" is not the ARN of a secret; write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"#),
        (SECRET_MANAGER, json!({"cloudSecrets": [{"arn": "arn:aws:secretsmanager:us-east-1:000000000000:secret:a", "labels": "blue"}]}),
            r#"/cloudSecrets/0/labels: "blue" is no list; write texts in square brackets"#),
        (SECRET_MANAGER, json!({"periodicRefreshIntervalMin": "often"}), r#"/periodicRefreshIntervalMin: "often" is not a number from 0 on"#),
        (SECRET_MANAGER, json!({"performance": {"cloudRequestQueueSize": "x"}}), r#"/performance/cloudRequestQueueSize: "x" is not a whole number"#),
    ];
    for (name, configuration, expected) in table {
        for scope in [CORE, Scope::Whole, Scope::Update] {
            assert_eq!(told(name, &configuration, scope), [expected], "{scope:?} {configuration}");
        }
    }
}

/// What is missing in an update may stand on the core already; on the core it is a mistake.
#[test]
fn what_an_update_leaves_out_is_judged_on_the_core() {
    #[rustfmt::skip]
    let table = [
        (AUTH, json!({"deviceGroups": {"definitions": {"g": {"selectionRule": "thingName: a", "policyName": "none"}}, "policies": {"q": {}, "p": {}}}}),
            r#"/deviceGroups/definitions/g/policyName: "none" is the name of no policy; there are p, q"#),
        (AUTH, json!({"deviceGroups": {"definitions": {"g": {"policyName": "p"}}, "policies": {"p": {}}}}),
            r#"/deviceGroups/definitions/g: there is no selectionRule; write for example "thingName: press*""#),
        (AUTH, json!({"deviceGroups": {"definitions": {"g": {"selectionRule": "thingName: a"}}}}),
            "/deviceGroups/definitions/g: there is no policyName; name one of the policies"),
        (AUTH, json!({"deviceGroups": {"policies": {"p": {"s": {"resources": ["*"]}}}}}),
            "/deviceGroups/policies/p/s: there is no operations; write a list of texts"),
        (SHADOW_MANAGER, json!({"strategy": {"type": "periodic"}}), "/strategy: there is no delay; write the seconds between two synchronisations"),
    ];
    for (name, configuration, expected) in table {
        assert_eq!(told(name, &configuration, Scope::Update), Vec::<String>::new(), "{configuration}");
        assert_eq!(told(name, &configuration, Scope::Whole), [expected], "{configuration}");
        assert_eq!(told(name, &configuration, CORE), [expected], "{configuration}");
    }
    // Which thing is the core, and what variables stand for, is known there alone.
    let named = json!({"synchronize": {"shadowDocumentsMap": {"core": {"namedShadows": ["AWSManagedGreengrassV2Deployment"]}}}});
    assert_eq!(told(SHADOW_MANAGER, &named, Scope::Whole), Vec::<String>::new());
    assert_eq!(told(SHADOW_MANAGER, &named, CORE).len(), 1);
    #[rustfmt::skip]
    let open = [
        (AUTH, json!({"deviceGroups": {"definitions": {"g": {"selectionRule": "thingName: {iot:thingName}*", "policyName": "p"}}, "policies": {"p": {}}}})),
        (SECRET_MANAGER, json!({"cloudSecrets": [{"arn": "{com.example.A:configuration:/secret}"}]})),
    ];
    for (name, configuration) in open {
        assert_eq!(told(name, &configuration, Scope::Whole), Vec::<String>::new(), "{configuration}");
        assert_eq!(told(name, &configuration, CORE).len(), 1, "{configuration}");
    }
}

/// CC 1.1: what the original accepts is no mistake: its whole tables, numbers and truths as texts, keys in any case, keys of others.
#[test]
fn what_the_original_accepts_passes() {
    #[rustfmt::skip]
    let table = [
        (AUTH, json!({})),
        (AUTH, Value::Null),
        (AUTH, json!({
            "devicegroups": {"formatVersion": "2021-03-05", "definitions": {
                "all": {"selectionRule": "thingName: *", "policyName": "own"}, "gone": null,
                "some": {"selectionRule": r"thingName: a\:b* OR thingName:*-7 AND thingName: *p*", "policyName": "own"}},
                "policies": {"own": {"s": {"statementDescription": "x", "effect": "Allow", "operations": ["mqtt:connect", "http:get"],
                    "resources": ["mqtt:clientId:${iot:Connection.Thing.ThingName}", "*:${*}"]}}, "empty": {}}},
            "certificates": {"serverCertificateValiditySeconds": "172800", "clientCertificateValiditySeconds": 1.0, "disableCertificateRotation": "FALSE"},
            "certificateAuthority": {"caType": ["ECDSA_P256"], "privateKeyUri": "file:///k", "certificateUri": "file:///c", "certificateChainUri": null},
            "ca_type": "RSA_2048",
            "performance": {"maxActiveAuthTokens": 0, "cloudRequestQueueSize": -1, "maxConcurrentCloudRequests": 1},
            "security": {"clientDeviceTrustDurationMinutes": 1},
            "metrics": {"disableMetrics": false, "aggregatePeriodSeconds": 3600},
            "startupTimeoutSeconds": 120, "somethingNew": {"of": "theirs"}, "marram": {"sandbox": {}},
        })),
        (SHADOW_MANAGER, json!({"synchronize": {"coreThing": {"classic": "True", "namedShadows": ["a:b", "*"]},
            "shadowDocumentsMap": {"pump": {"namedShadows": []}, "$core": {}}, "shadowDocuments": [{"thingName": "fan", "classic": false}],
            "direction": "deviceToCloud", "provideSyncStatus": true},
            "strategy": {"type": "periodic", "delay": "300"}, "shadowDocumentSizeLimitBytes": 8192.0,
            "rateLimits": {"maxOutboundSyncUpdatesPerSecond": "100", "maxTotalLocalRequestsRate": 200, "maxLocalRequestsPerSecondPerThing": 20}})),
        (SHADOW_MANAGER, json!({"strategy": {"type": "realTime"}, "marram": {"strictEmptyObjects": "true"}})),
        (SECRET_MANAGER, json!({"cloudSecrets": [
            {"arn": "arn:aws-cn:secretsmanager:cn-north-1:012345678901:secret:path/to/a+b=c.d@e-AbCdEf", "labels": ["AWSPREVIOUS"]},
            {"arn": "arn:aws:secretsmanager:us-west-2:012345678901:secret:plain"}],
            "periodicRefreshIntervalMin": "0.5", "performance": {"cloudRequestQueueSize": 100}})),
        (SECRET_MANAGER, json!({"cloudSecrets": []})),
        ("com.example.Own", json!({"cloudSecrets": "mine", "deviceGroups": 5})),
    ];
    for (name, configuration) in table {
        for scope in [CORE, Scope::Whole, Scope::Update] {
            assert_eq!(told(name, &configuration, scope), Vec::<String>::new(), "{scope:?} {configuration}");
        }
    }
}

/// CC 1.1: a key that nobody reads is told with its place, wherever the keys are known; a component of one's own, and what any may have, is
/// left alone. A misspelt one that is a mistake is not told twice.
#[test]
fn keys_that_nobody_reads_are_told() {
    #[rustfmt::skip]
    let table: Vec<(&str, Value, &[&str])> = vec![
        (SHADOW_MANAGER, json!({"theme": "dark", "synchronize": {"coreThing": {"priority": 1}, "shadowDocuments": [{"thingName": "a", "x/y": 1}]}}), &[
            "the setting `/theme` of aws.greengrass.ShadowManager is not known and passed over; there are strategy, synchronize, rateLimits, shadowDocumentSizeLimitBytes",
            "the setting `/synchronize/coreThing/priority` of aws.greengrass.ShadowManager is not known and passed over; there are thingName, classic, namedShadows",
            "the setting `/synchronize/shadowDocuments/0/x~1y` of aws.greengrass.ShadowManager is not known and passed over; there are thingName, classic, namedShadows"]),
        (SHADOW_MANAGER, json!({"syncronize": {}, "gone": null, "marram": {"own": 1}, "accessControl": {"a": 1}}), &[]),
        (AUTH, json!({"deviceGroups": {"groups": {}}, "security": {"level": 3}}), &[
            "the setting `/security/level` of aws.greengrass.clientdevices.Auth is not known and passed over; there are clientDeviceTrustDurationMinutes, requireAssociation, revocation, clientIdMustEqualThingName"]),
        (SECRET_MANAGER, json!({"cloudSecrets": [{"arn": "arn:aws:secretsmanager:us-west-2:012345678901:secret:plain", "as": "x"}]}), &[
            "the setting `/cloudSecrets/0/as` of aws.greengrass.SecretManager is not known and passed over; there are arn, labels"]),
        (DEBUG_CONSOLE, json!({"colour": "red"}), &[
            "the setting `/colour` of aws.greengrass.LocalDebugConsole is not known and passed over; there are httpsEnabled, bindHostname, port, websocketPort"]),
        ("aws.greengrass.Cli", json!({"AuthorizedPosixGroup": "a", "authorizedposixgroups": "b"}), &[
            "the setting `/AuthorizedPosixGroup` of aws.greengrass.Cli is not known and passed over; did you mean `AuthorizedPosixGroups`?"]),
        ("aws.greengrass.DiskSpooler", json!({"size": 1, "logging": {}}), &["the setting `/size` of aws.greengrass.DiskSpooler is not known and passed over"]),
        ("aws.greengrass.clientdevices.mqtt.EMQX", json!({"emqx": {}, "anything": 1}), &[]),
        ("com.example.Own", json!({"anything": 1, "synchronise": {}}), &[]),
        (SHADOW_MANAGER, json!([]), &[]),
        (SHADOW_MANAGER, Value::Null, &[]),
    ];
    for (name, configuration, expected) in table {
        let told: Vec<String> = unknown(name, &configuration).iter().map(|key| key.told(name)).collect();
        assert_eq!(told, expected, "{configuration}");
    }
}
