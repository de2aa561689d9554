//! What may stand in the configuration of the nucleus, of parts of the core, and in what the core reads of other components' (CR 7.5, SEC-131).
//!
//! Checked where a deployment is created and again on the core before anything is touched. Keys of the original that are not known
//! here are passed over, as the original does; below `marram`, which is ours, an unknown key is a mistake. Keys are compared without
//! case, numbers and truths may be texts.

use marram_parts::{Known, Scope, SettingFault, UnknownKey, known};
use marram_reach::ReachError;
use serde_json::Value;

/// What a setting holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Anything but a map or a list.
    Text,
    Flag,
    /// A whole number of at least this.
    Whole(i64),
    /// A number above 0, whole or not.
    Positive,
    Port,
    /// One of these words, in any case.
    Words(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of absolute paths.
    Paths,
    /// An address that begins with one of these.
    Address(&'static [&'static str]),
    /// A map whose keys are not looked at.
    Map,
    /// Hosts that a component may reach.
    Hosts,
    /// The word of a core about those.
    Ceiling,
    /// A map with these keys; others are passed over.
    Part(&'static [(&'static str, Kind)]),
    /// A map with these keys and no others.
    Exactly(&'static [(&'static str, Kind)]),
}

use Kind::{Address, Ceiling, Exactly, Flag, Hosts, Map, Part, Paths, Port, Positive, Text, Texts, Whole, Words};

/// Profiles of sandboxes, the weakest first.
const PROFILES: &[&str] = &["off", "standard", "strict"];
/// The one that is in force without a word, among them.
const STANDARD: usize = 1;

const NUCLEUS: Kind = Part(&[
    ("awsRegion", Text),
    ("iotDataEndpoint", Text),
    ("iotCredEndpoint", Text),
    ("iotRoleAlias", Text),
    ("greengrassDataPlaneEndpoint", Text),
    ("greengrassDataPlanePort", Port),
    ("envStage", Text),
    ("interpolateComponentConfiguration", Flag),
    ("allowUnsafeInterpolation", Flag),
    ("deploymentConfigurationTimeSource", Words(&["deploymentCreationTime", "deploymentProcessingTime"])),
    ("deploymentPollingFrequencySeconds", Positive),
    ("componentStoreMaxSizeBytes", Positive),
    ("credentialEndpointTimeoutMs", Positive),
    ("fipsMode", Flag),
    ("s3EndpointType", Words(&["GLOBAL", "REGIONAL"])),
    ("platformOverride", Map),
    ("deployment", Part(&[("activationTimeoutSeconds", Whole(0))])),
    (
        "runWithDefault",
        Part(&[
            ("posixUser", Text),
            ("posixShell", Text),
            ("systemResourceLimits", Part(&[("cpus", Positive), ("memory", Positive)])),
        ]),
    ),
    (
        "networkProxy",
        Part(&[
            ("noProxyAddresses", Text),
            ("proxy", Part(&[("url", Address(&["http://", "https://"])), ("username", Text), ("password", Text)])),
        ]),
    ),
    ("httpClient", Part(&[("connectionTimeoutMs", Positive), ("socketTimeoutMs", Positive)])),
    (
        "logging",
        Part(&[
            ("level", Words(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR"])),
            ("format", Words(&["TEXT", "JSON"])),
            ("outputType", Words(&["FILE", "CONSOLE"])),
            ("fileSizeKB", Positive),
            ("totalLogsSizeKB", Positive),
            ("outputDirectory", Text),
        ]),
    ),
    ("fleetStatus", Part(&[("periodicStatusPublishIntervalSeconds", Positive)])),
    (
        "telemetry",
        Part(&[
            ("enabled", Flag),
            ("periodicAggregateMetricsIntervalSeconds", Positive),
            ("periodicPublishMetricsIntervalSeconds", Positive),
        ]),
    ),
    (
        "mqtt",
        Part(&[
            ("version", Words(&["mqtt3", "mqtt5"])),
            ("port", Port),
            ("keepAliveTimeoutMs", Positive),
            ("pingTimeoutMs", Positive),
            ("operationTimeoutMs", Positive),
            ("socketTimeoutMs", Positive),
            ("threadPoolSize", Positive),
            ("maxInFlightPublishes", Whole(1)),
            ("maxMessageSizeInBytes", Positive),
            ("maxPublishRetry", Whole(-1)),
            ("sessionExpirySeconds", Whole(0)),
            ("receiveMaximum", Whole(1)),
            ("minimumReconnectDelaySeconds", Whole(0)),
            ("maximumReconnectDelaySeconds", Whole(0)),
            ("minimumConnectedTimeBeforeRetryResetSeconds", Whole(0)),
            ("standaloneMqttTimeoutMs", Positive),
            (
                "spooler",
                Part(&[
                    ("storageType", Words(&["Memory", "Disk"])),
                    ("maxSizeInBytes", Positive),
                    ("keepQos0WhenOffline", Flag),
                ]),
            ),
        ]),
    ),
    ("security", Part(&[("allowPrivileged", Texts)])),
    ("ipc", Part(&[("withoutPeerCheck", Texts)])),
    (
        "marram",
        Exactly(&[
            ("apiEndpoint", Address(&["https://"])),
            ("openTokenExchange", Flag),
            ("inheritEnvironment", Flag),
            ("localBroker", Text),
            ("update", Exactly(&[("confirmSeconds", Whole(1))])),
            (
                "sandbox",
                Exactly(&[
                    ("profile", Words(PROFILES)),
                    ("floor", Words(PROFILES)),
                    ("policy", Words(&["prefer", "require"])),
                    ("ownUsers", Flag),
                    ("read", Paths),
                    ("write", Paths),
                    ("devices", Paths),
                    ("pids", Whole(0)),
                    ("egress", Ceiling),
                ]),
            ),
        ]),
    ),
]);

const COMPONENT_SANDBOX: Kind = Exactly(&[
    ("profile", Words(PROFILES)),
    ("network", Flag),
    ("noNewPrivileges", Flag),
    ("read", Paths),
    ("write", Paths),
    ("devices", Paths),
    ("pids", Whole(0)),
    ("egress", Hosts),
]);

/// What is wrong with the configuration of the nucleus, or with a part of it that is to be merged into it.
pub fn check_nucleus(configuration: &Value) -> Vec<SettingFault> {
    let mut faults = Vec::new();
    check(configuration, NUCLEUS, &mut Vec::new(), &mut faults);
    faults
}

/// Keys of the original that mean nothing here, and are no mistakes.
const PASSED_OVER: [&str; 4] = ["jvmOptions", "cloudStage", "logManagement", "accessControl"];

/// The same below the top, by the part that they stand in.
const PASSED_OVER_BELOW: [(&str, &str); 2] = [("runWithDefault", "windowsUser"), ("mqtt.spooler", "pluginName")];

/// Keys of the configuration of a part of the core that nobody reads; of the nucleus they have dots between. None for a component of one's
/// own: it may have any.
pub fn unknown_settings(name: &str, configuration: &Value) -> Vec<UnknownKey> {
    if name != crate::NUCLEUS {
        return marram_parts::unknown(name, configuration);
    }
    let mut found = Vec::new();
    look(configuration, NUCLEUS, &mut Vec::new(), &mut found);
    found
}

fn look(value: &Value, kind: Kind, path: &mut Vec<String>, found: &mut Vec<UnknownKey>) {
    let (Part(keys), Some(map)) = (kind, value.as_object()) else { return };
    let part = path.join(".");
    let others = PASSED_OVER_BELOW.iter().filter(|(at, _)| at.eq_ignore_ascii_case(&part)).map(|(_, key)| *key);
    let others: Vec<&str> = if path.is_empty() { PASSED_OVER.to_vec() } else { others.collect() };
    let all: Vec<&'static str> = keys.iter().map(|(key, _)| *key).chain(others).collect();
    for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        path.push(name.clone());
        let near = match known(&all, name) {
            Known::Yes => {
                if let Some((_, kind)) = keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                    look(value, *kind, path, found);
                }
                path.pop();
                continue;
            }
            Known::Nearly(right) => Some(right),
            Known::No => None,
        };
        // At the top there are too many to name.
        let known = if path.len() > 1 { all.clone() } else { Vec::new() };
        found.push(UnknownKey { path: path.join("."), near, known });
        path.pop();
    }
}

/// What is wrong with what the core reads of a component's configuration; all of it, where the component is a part of the core.
pub fn check_component(name: &str, configuration: &Value, scope: Scope<'_>) -> Vec<SettingFault> {
    let mut faults = marram_parts::check(name, configuration, scope);
    if let Some(sandbox) = setting(configuration, &["marram", "sandbox"]) {
        check(sandbox, COMPONENT_SANDBOX, &mut vec!["marram", "sandbox"], &mut faults);
    }
    faults
}

/// Why a component with this configuration does not start on a core with that one: it asks for a weaker sandbox or for more of the
/// network than the core allows.
pub fn check_limits(nucleus: &Value, component: &Value) -> Option<SettingFault> {
    let rank = |of: &Value, key: &str| {
        let word = setting(of, &["marram", "sandbox", key])?.as_str()?;
        PROFILES.iter().position(|profile| profile.eq_ignore_ascii_case(word))
    };
    let asked = rank(component, "profile").or_else(|| rank(nucleus, "profile"));
    if let (Some(asked), Some(floor)) = (asked, rank(nucleus, "floor"))
        && asked < floor
    {
        return Some(SettingFault {
            path: "marram.sandbox.profile".to_owned(),
            problem: format!("{} is weaker than {}, which is the core's floor", PROFILES[asked], PROFILES[floor]),
        });
    }
    let profile = asked.unwrap_or(STANDARD);
    let network = setting(component, &["marram", "sandbox", "network"]);
    let words = marram_reach::Words {
        is_off: profile < STANDARD,
        network: network
            .map(|value| value.as_str().map_or(value == &Value::Bool(true), |word| word.eq_ignore_ascii_case("true"))),
        is_open: profile == STANDARD,
        egress: setting(component, &["marram", "sandbox", "egress"]),
        core: setting(nucleus, &["marram", "sandbox", "egress"]),
    };
    let (path, problem) = match words.decide().err()? {
        ReachError::Component(error) => (format!("marram.sandbox.egress{}", error.place()), error.problem()),
        ReachError::Core(error) => {
            ("marram.sandbox.egress".to_owned(), format!("the core's own is wrong: {}", error.problem()))
        }
    };
    Some(SettingFault { path, problem })
}

/// What stands at these keys; none where it is null.
pub fn setting<'a>(configuration: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let found = path.iter().try_fold(configuration, |value, key| {
        value.as_object()?.iter().find_map(|(name, value)| name.eq_ignore_ascii_case(key).then_some(value))
    });
    found.filter(|value| !value.is_null())
}

fn check<'a>(value: &'a Value, kind: Kind, path: &mut Vec<&'a str>, faults: &mut Vec<SettingFault>) {
    // Null takes a setting away.
    if value.is_null() {
        return;
    }
    if let Part(keys) | Exactly(keys) = kind {
        let Some(map) = value.as_object() else { return faults.push(fault(path, value, "is no object")) };
        for (name, value) in map {
            path.push(name);
            match keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                Some((_, kind)) => check(value, *kind, path, faults),
                None if matches!(kind, Exactly(_)) => {
                    let known: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
                    let problem = format!("there is no such setting; there are {}", known.join(", "));
                    faults.push(SettingFault { path: path.join("."), problem });
                }
                None => {}
            }
            path.pop();
        }
        return;
    }
    let hosts = match kind {
        Hosts => marram_reach::Policy::parse(value).err(),
        Ceiling => marram_reach::Ceiling::parse(value).err(),
        _ => None,
    };
    if let Some(error) = hosts {
        return faults.push(SettingFault { path: path.join(".") + error.place(), problem: error.problem() });
    }
    if let Some(problem) = problem(value, kind) {
        faults.push(fault(path, value, &problem));
    }
}

fn fault(path: &[&str], value: &Value, problem: &str) -> SettingFault {
    /// Characters of a value that are shown.
    const SHOWN: usize = 80;
    let text = value.to_string();
    let shown: String = text.chars().take(SHOWN).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    SettingFault { path: path.join("."), problem: format!("{shown}{dots} {problem}") }
}

/// What is wrong with a value that is no map of known keys.
fn problem(value: &Value, kind: Kind) -> Option<String> {
    let text = match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    // An empty text is an unset one, as the original's default of many settings is.
    if text.as_deref() == Some("") {
        return None;
    }
    let number = || text.as_deref().and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
    let holds = |holds: bool, wanted: &str| (!holds).then(|| format!("is not {wanted}"));
    match kind {
        Text => holds(text.is_some(), "a text"),
        Flag => holds(
            text.as_deref().is_some_and(|text| ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(text))),
            "true or false",
        ),
        Whole(least) => holds(
            number().is_some_and(|number| number.fract() == 0.0 && number >= least as f64),
            &format!("a whole number of at least {least}"),
        ),
        Positive => holds(number().is_some_and(|number| number > 0.0), "a number above 0"),
        Port => holds(
            number().is_some_and(|number| number.fract() == 0.0 && (1.0..=65535.0).contains(&number)),
            "a port, from 1 to 65535",
        ),
        Words(words) => holds(
            text.as_deref().is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text))),
            &format!("one of {}", words.join(", ")),
        ),
        Texts => holds(value.as_array().is_some_and(|all| all.iter().all(Value::is_string)), "a list of texts"),
        Paths => holds(
            value
                .as_array()
                .is_some_and(|all| all.iter().all(|path| path.as_str().is_some_and(|path| path.starts_with('/')))),
            "a list of absolute paths",
        ),
        Address(schemes) => holds(
            text.as_deref().is_some_and(|text| {
                schemes.iter().any(|scheme| text.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
            }),
            &format!("an address with {}", schemes.join(" or ")),
        ),
        Map => holds(value.is_object(), "an object"),
        Hosts | Ceiling | Part(_) | Exactly(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(faults: &[SettingFault]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    /// CR 7.5: the table's defaults and the original's spellings are right.
    #[test]
    fn settings_of_the_original_pass() {
        let right = json!({
            "mqtt": {"port": "443", "version": "mqtt5", "maxPublishRetry": -1, "spooler": {"storageType": "Disk"}, "unheardOf": [1]},
            "MQTT": null,
            "fipsMode": "false",
            "greengrassDataPlaneEndpoint": "",
            "fleetstatus": {"periodicStatusPublishIntervalSeconds": 86400},
            "runWithDefault": {"posixUser": "ggc_user:ggc_group", "systemResourceLimits": {"cpus": 0.5, "memory": 1024}},
            "networkProxy": {"proxy": {"url": "https://proxy:3128", "username": "a"}},
            "jvmOptions": "-Xmx64m",
            "interpolateComponentConfiguration": true,
            "marram": {"apiEndpoint": "https://host:1", "sandbox": {"floor": "Standard", "pids": 0, "read": ["/data"], "egress": "learn"}},
        });
        assert_eq!(told(&check_nucleus(&right)), Vec::<String>::new());
        assert_eq!(told(&check_nucleus(&json!({}))), Vec::<String>::new());
        let component = json!({"marram": {"restartPolicy": {}, "sandbox": {"profile": "strict", "network": "true"}}, "own": {"any": 1}});
        assert_eq!(told(&check_component("com.example.A", &component, Scope::Update)), Vec::<String>::new());
    }

    /// CR 7.5, SEC-131: what would be passed over, or fail at the next start only, is told with its place.
    #[test]
    fn mistakes_have_a_place_and_a_remedy() {
        for (wrong, expected) in [
            (json!({"mqtt": {"port": "abc"}}), r#"mqtt.port: "abc" is not a port, from 1 to 65535"#),
            (json!({"Mqtt": {"Port": 70000}}), "Mqtt.Port: 70000 is not a port, from 1 to 65535"),
            (json!({"mqtt": 5}), "mqtt: 5 is no object"),
            (
                json!({"logging": {"level": "DEBGU"}}),
                r#"logging.level: "DEBGU" is not one of TRACE, DEBUG, INFO, WARN, ERROR"#,
            ),
            (json!({"logging": {"fileSizeKB": "many"}}), r#"logging.fileSizeKB: "many" is not a number above 0"#),
            (
                json!({"networkProxy": {"proxy": {"url": "proxy:3128"}}}),
                r#"networkProxy.proxy.url: "proxy:3128" is not an address with http:// or https://"#,
            ),
            (
                json!({"marram": {"sandbox": {"floor": "strickt"}}}),
                r#"marram.sandbox.floor: "strickt" is not one of off, standard, strict"#,
            ),
            (
                json!({"marram": {"sandbox": {"policy": "requires"}}}),
                r#"marram.sandbox.policy: "requires" is not one of prefer, require"#,
            ),
            (
                json!({"marram": {"update": {"confirm": 3}}}),
                "marram.update.confirm: there is no such setting; there are confirmSeconds",
            ),
            (
                json!({"marram": {"sandbox": {"egress": "all"}}}),
                r#"marram.sandbox.egress: "all" is neither a list of hosts nor "learn"; write a list such as [{"host": "api.example.com", "port": 443, "tls": "required"}], or "learn""#,
            ),
            (json!({"security": {"allowPrivileged": "a"}}), r#"security.allowPrivileged: "a" is not a list of texts"#),
        ] {
            assert_eq!(told(&check_nucleus(&wrong)), [expected], "{wrong}");
        }
        for (wrong, expected) in [
            (json!("off"), r#"marram.sandbox: "off" is no object"#),
            (
                json!({"egress": [{"host": "a", "port": 1}, {"host": "a b", "port": 1}]}),
                r#"marram.sandbox.egress[1].host: "a b" is no host; name a host, an address, a/24 or *.suffix"#,
            ),
            (json!({"pids": "many"}), r#"marram.sandbox.pids: "many" is not a whole number of at least 0"#),
            (json!({"read": ["data"]}), r#"marram.sandbox.read: ["data"] is not a list of absolute paths"#),
            (
                json!({"netwrok": true}),
                "marram.sandbox.netwrok: there is no such setting; there are profile, network, noNewPrivileges, read, write, devices, pids, egress",
            ),
        ] {
            let faults = check_component("com.example.A", &json!({"marram": {"sandbox": wrong}}), Scope::Update);
            assert_eq!(told(&faults), [expected], "{wrong}");
        }
    }

    /// SEC-131: the floor is the core's word against the component's, or against the core's own default.
    #[test]
    fn nothing_asks_for_less_than_the_floor() {
        let of = |key: &str, word: &str| json!({"marram": {"sandbox": {key: word}}});
        for (nucleus, component, fits) in [
            (json!({}), of("profile", "off"), true),
            (of("floor", "strict"), json!({}), true),
            (of("floor", "standard"), of("profile", "STRICT"), true),
            (of("floor", "strict"), of("profile", "standard"), false),
            (json!({"marram": {"sandbox": {"floor": "strict", "profile": "standard"}}}), json!({}), false),
            (of("egress", "declared"), json!({"marram": {"sandbox": {"egress": [{"host": "a", "port": 1}]}}}), true),
            (of("egress", "declared"), of("egress", "learn"), false),
            (json!({}), json!({"marram": {"sandbox": {"egress": "learn", "profile": "off"}}}), false),
            (json!({}), json!({"marram": {"sandbox": {"egress": "learn", "network": "FALSE"}}}), false),
        ] {
            assert_eq!(check_limits(&nucleus, &component).is_none(), fits, "{nucleus} {component}");
        }
    }
}
