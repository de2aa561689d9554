//! The first configuration, as people write it: what can never have been meant is refused with its line, the rest is told (CR 5.1, 7.5).

use std::path::{Path, PathBuf};

use marram_deploy::{Known, Scope, known, unknown_settings};
use marram_edge_ports::{Finding, Severity};
use marram_nucleus::configuration::{ImportFileError, read_file};
use serde_json::Value;

/// What a file may hold, and what the core reads of `system`.
const TOP: &[&str] = &["system", "services", "setenv"];
const SYSTEM: &[&str] = &[
    "thingName",
    "certificateFilePath",
    "privateKeyPath",
    "rootCaPath",
    "rootpath",
    "ipcSocketPath",
    "deploymentPublicKey",
];
const NUCLEUS: &str = "aws.greengrass.Nucleus";
const CLAIM: &str = "aws.greengrass.FleetProvisioningByClaim";
/// Together they lead to a control plane (CR 5.1).
const IDENTITY: &[&str] = &["thingName", "certificateFilePath", "privateKeyPath", "rootCaPath"];
const ENDPOINTS: &[&str] = &["iotDataEndpoint", "iotCredEndpoint", "awsRegion"];
/// The digest of the file that counted at the first start.
const REMEMBERED: &str = "config/initial.sha256";

/// Refuses a file that cannot be what was meant, or that makes no whole of `merged`, the configuration with it; what is only passed over
/// is told in the log.
///
/// # Errors
/// The file cannot be read, or every mistake in it, with its line and what would be right.
pub(crate) fn check(file: &Path, merged: &Value) -> Result<(), ImportFileError> {
    let (text, value) = read_file(file)?;
    let (mut mistakes, oddities) = judge(&text, &value);
    let services = part(merged, "services");
    let nucleus = services.and_then(|services| part(part(services, NUCLEUS)?, "configuration"));
    let system = part(merged, "system").cloned().unwrap_or_default();
    if services.is_none_or(|services| part(services, CLAIM).is_none()) {
        mistakes.extend(half_configured(&system, nucleus.unwrap_or(&Value::Null)));
    }
    for oddity in &oddities {
        tracing::warn!(file = %file.display(), "{oddity}");
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(ImportFileError::Malformed { file: file.to_owned(), cause: mistakes.join("; ") })
}

/// Mistakes, and keys that nobody reads.
fn judge(text: &str, value: &Value) -> (Vec<String>, Vec<String>) {
    let (mut mistakes, mut oddities) = (Vec::new(), Vec::new());
    let at = |path: &[&str]| line_of(text, path).map_or_else(String::new, |line| format!("line {line}: "));
    let none = serde_json::Map::new();
    let top = value.as_object().unwrap_or(&none);
    for (key, part) in top {
        let place = at(&[key]);
        match known(TOP, key) {
            Known::Yes if !part.is_object() && !part.is_null() => {
                mistakes.push(format!("{place}{key} is not a map of settings"));
            }
            Known::Yes => {}
            Known::Nearly(right) => mistakes.push(format!("{place}there is no `{key}`; write `{right}`")),
            Known::No => {
                oddities.push(format!("{place}`{key}` is not known and passed over; there are {}", TOP.join(", ")))
            }
        }
    }
    let system = part(value, "system").and_then(Value::as_object).unwrap_or(&none);
    for (key, setting) in system {
        let place = at(&["system", key]);
        match known(SYSTEM, key) {
            Known::Yes if key.eq_ignore_ascii_case("deploymentPublicKey") => {}
            Known::Yes if !setting.is_string() && !setting.is_null() => {
                mistakes.push(format!("{place}system.{key} is {setting}, and has to be a text"));
            }
            Known::Yes => {}
            Known::Nearly(right) => mistakes.push(format!("{place}there is no `system.{key}`; write `{right}`")),
            Known::No => oddities.push(format!("{place}`system.{key}` is not known and passed over")),
        }
    }
    let services = part(value, "services").and_then(Value::as_object).unwrap_or(&none);
    for (name, service) in services {
        let place = at(&["services", name]);
        if !service.is_object() && !service.is_null() {
            mistakes.push(format!("{place}services.{name} is not a map"));
        }
        if let Known::Nearly(right) = known(&[NUCLEUS, CLAIM], name)
            && !name.eq_ignore_ascii_case("aws.greengrass.NucleusLite")
        {
            mistakes.push(format!("{place}there is no `services.{name}`; write `{right}`"));
        }
    }
    let nothing = Value::Null;
    let nucleus = part(value, "services").and_then(|services| part(services, NUCLEUS));
    let nucleus = nucleus.and_then(|nucleus| part(nucleus, "configuration")).unwrap_or(&nothing);
    for fault in marram_deploy::check_nucleus(nucleus) {
        let keys = ["services", NUCLEUS, "configuration"].into_iter().chain(fault.path.split('.'));
        mistakes.push(format!("{}{NUCLEUS}: {fault}", at(&keys.collect::<Vec<_>>())));
    }
    let thing = part(value, "system").and_then(|system| part(system, "thingName")?.as_str()).unwrap_or_default();
    for (name, service) in services.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(NUCLEUS)) {
        let Some(own) = part(service, "configuration") else { continue };
        for fault in marram_deploy::check_component(name, own, Scope::Core(thing)) {
            let keys = ["services", name, "configuration"].into_iter().chain(fault.path.split(['/', '.']));
            let keys: Vec<&str> = keys.filter(|key| !key.is_empty() && key.parse::<usize>().is_err()).collect();
            mistakes.push(format!("{}{name}: {fault}", at(&keys)));
        }
    }
    for (name, service) in services {
        let Some(own) = part(service, "configuration") else { continue };
        // Names have no case here.
        let name = marram_deploy::BUILTINS
            .iter()
            .find(|part| part.name.eq_ignore_ascii_case(name))
            .map_or("", |part| part.name);
        for key in unknown_settings(name, own) {
            let keys = ["services", name, "configuration"].into_iter().chain(key.path.split(['/', '.']));
            let keys: Vec<&str> = keys.filter(|key| !key.is_empty() && key.parse::<usize>().is_err()).collect();
            let place = at(&keys);
            match key.near {
                // At the top stand those of other versions and of other cores as well; within a part every key is known.
                Some(right) if name == NUCLEUS && key.path.contains('.') => {
                    mistakes.push(format!("{place}there is no `{}` of {NUCLEUS}; write `{right}`", key.path));
                }
                _ => oddities.push(format!("{place}{}", key.told(name))),
            }
        }
    }
    (mistakes, oddities)
}

/// What is missing of the settings that lead to a control plane, where some of those that serve nothing else are given.
pub(crate) fn half_configured(system: &Value, nucleus: &Value) -> Option<String> {
    let is_given =
        |of: &Value, key: &str| part(of, key).is_some_and(|value| value.as_str().is_none_or(|text| !text.is_empty()));
    let given = |key: &&str| is_given(system, key) || is_given(nucleus, key);
    // A region, a name, a trust anchor and a key, which seals secrets, mean something without a control plane as well.
    let wish = ["certificateFilePath", "iotDataEndpoint", "iotCredEndpoint"].iter().find(|key| given(key))?;
    let place = |keys: &'static [&'static str], of: &Value, prefix: &'static str| {
        let missing = keys.iter().filter(|key| !is_given(of, key));
        missing.map(move |key| format!("{prefix}{key}")).collect::<Vec<_>>()
    };
    let mut missing = place(IDENTITY, system, "system.");
    missing.extend(place(ENDPOINTS, nucleus, "services.aws.greengrass.Nucleus.configuration."));
    (!missing.is_empty())
        .then(|| format!("{wish} is given, and these are missing for a control plane: {}", missing.join(", ")))
}

/// Remembers the file that counted.
pub(crate) fn remember(root: &Path, file: &Path) {
    let kept = digest(file).map(|digest| std::fs::write(root.join(REMEMBERED), digest));
    if let Some(Err(error)) = kept {
        tracing::warn!(%error, "which configuration counted cannot be remembered");
    }
}

/// What to say of a file that does not count, because another start had the first word, if it is not the one that counted.
pub(crate) fn passed_over(root: &Path, file: &Path) -> Option<Finding> {
    let now = digest(file)?;
    let Ok(counted) = std::fs::read_to_string(root.join(REMEMBERED)) else {
        // An older core did not remember it: from now on.
        remember(root, file);
        return None;
    };
    (counted != now).then(|| {
        let what = format!("{} changed since it was taken in, and does not count: it is read at the first start only", file.display());
        let advice = "start the core once with --update-config, which merges it, or deploy the settings to aws.greengrass.Nucleus";
        tracing::warn!("{what}; {advice}");
        Finding::new(Severity::Warning, what, advice)
    })
}

fn digest(file: &Path) -> Option<String> {
    let text = std::fs::read(PathBuf::from(file)).ok()?;
    Some(hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text)))
}

fn part<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find_map(|(name, value)| name.eq_ignore_ascii_case(key).then_some(value))
}

/// The line, from 1, of a key: the first line that begins with each key of the path, one after the other.
fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let mut lines = text.lines().enumerate();
    let mut found = None;
    for key in path {
        let is_key = |line: &str| {
            let line = line.trim_start().trim_start_matches(['"', '\'', '{']);
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
        };
        found = Some(lines.by_ref().find(|(_, line)| is_key(line))?.0 + 1);
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WHOLE: &str = r#"{"system": {"thingName": "a", "certificateFilePath": "/c", "privateKeyPath": "/k", "rootCaPath": "/r", "rootpath": ""},
        "services": {"aws.greengrass.Nucleus": {"configuration": {"awsRegion": "us-east-1", "iotDataEndpoint": "h", "iotCredEndpoint": "h"}}}}"#;

    /// CR 5.1, 7.5: what can never be meant is refused, what nobody reads is told, what is right passes.
    #[test]
    fn mistakes_are_told_apart_from_oddities() {
        let nucleus =
            |configuration: Value| json!({"services": {"aws.greengrass.Nucleus": {"configuration": configuration}}});
        let whole: Value = serde_json::from_str(WHOLE).unwrap();
        #[rustfmt::skip]
        let table: Vec<(Value, Option<&str>, Option<&str>)> = vec![
            (whole.clone(), None, None),
            (json!({"services": {"main": {}, "com.example.A": {"lifecycle": {}}}, "setenv": {"A": "b"}}), None, None),
            (json!({"services": null, "System": {"rootPath": ""}}), None, None),
            (nucleus(json!({"marram": {"sandbox": {"floor": "standard"}}})), None, None),
            (nucleus(json!({"awsRegion": "us-east-1", "jvmOptions": "-X", "mqtt": {"port": "443"}})), None, None),
            (json!({"services": {"aws.greengrass.NucleusLite": {}, CLAIM: {}, "aws.greengrass.Nucleus": {"configuration": {"iotDataEndpoint": "h"}}}}), None, None),
            (json!({"sytem": {}}), Some("there is no `sytem`; write `system`"), None),
            (json!({"system": "hello"}), Some("system is not a map of settings"), None),
            (json!({"services": ["a"]}), Some("services is not a map of settings"), None),
            (json!({"services": {"a": 1}}), Some("services.a is not a map"), None),
            (json!({"system": {"thingName": 5}}), Some("system.thingName is 5, and has to be a text"), None),
            (json!({"system": {"certificatFilePath": "/c"}}), Some("there is no `system.certificatFilePath`; write `certificateFilePath`"), None),
            (json!({"services": {"aws.greengrass.Nuclues": {}}}), Some("there is no `services.aws.greengrass.Nuclues`; write `aws.greengrass.Nucleus`"), None),
            (nucleus(json!({"mqtt": {"port": "abc"}})), Some("aws.greengrass.Nucleus: mqtt.port: \"abc\" is not a port, from 1 to 65535"), None),
            (json!({"services": {"aws.greengrass.ShadowManager": {"configuration": {"rateLimits": 5}}}}), Some("aws.greengrass.ShadowManager: /rateLimits: 5 is no object"), None),
            (nucleus(json!({"awsRegoin": "x"})), None, Some("the setting `awsRegoin` of aws.greengrass.Nucleus is not known and passed over; did you mean `awsRegion`?")),
            (nucleus(json!({"mqtt": {"KEEPALIVETIMEOUTMS": 5, "spooler": {"pluginName": "a"}}, "platformOverride": {"protocol": "a"}})), None, None),
            (nucleus(json!({"mqtt": {"keepAliveTimoutMs": 5}})), Some("there is no `mqtt.keepAliveTimoutMs` of aws.greengrass.Nucleus; write `keepAliveTimeoutMs`"), None),
            (nucleus(json!({"Mqtt": {"spooler": {"storageTyp": "Disk"}}})), Some("there is no `Mqtt.spooler.storageTyp` of aws.greengrass.Nucleus; write `storageType`"), None),
            (nucleus(json!({"logging": {"colour": true}})), None, Some("the setting `logging.colour` of aws.greengrass.Nucleus is not known and passed over; there are level, format, outputType, fileSizeKB, totalLogsSizeKB, outputDirectory")),
            (json!({"services": {"aws.greengrass.ShadowManager": {"configuration": {"theme": {}}}, "com.example.A": {"configuration": {"theme": 1}}}}), None,
                Some("the setting `/theme` of aws.greengrass.ShadowManager is not known and passed over; there are strategy, synchronize, rateLimits, shadowDocumentSizeLimitBytes")),
            (json!({"comment": 1}), None, Some("`comment` is not known and passed over; there are system, services, setenv")),
        ];
        for (value, mistake, oddity) in table {
            let (mistakes, oddities) = judge("", &value);
            assert_eq!(
                (mistakes.first().map(String::as_str), mistakes.len() < 2),
                (mistake, true),
                "{value}: {mistakes:?}"
            );
            assert_eq!(
                (oddities.first().map(String::as_str), oddities.len() < 2),
                (oddity, true),
                "{value}: {oddities:?}"
            );
        }
    }

    /// CR 5.1: what leads to a control plane is given as a whole or not at all; a claim brings the rest.
    #[test]
    fn half_an_identity_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("init.yaml");
        let whole: Value = serde_json::from_str(WHOLE).unwrap();
        for (part, key) in
            [("/system", "privateKeyPath"), ("/services/aws.greengrass.Nucleus/configuration", "awsRegion")]
        {
            let mut half = whole.clone();
            half.pointer_mut(part).unwrap().as_object_mut().unwrap().remove(key);
            std::fs::write(&file, half.to_string()).unwrap();
            let error = check(&file, &half).unwrap_err().to_string();
            assert!(
                error.contains("certificateFilePath is given, and these are missing for a control plane: "),
                "{error}"
            );
            assert!(error.ends_with(&format!(".{key}")), "{error}");
            // the rest of it stands in the root already
            assert!(check(&file, &whole).is_ok());
            half["services"][CLAIM] = json!({});
            assert!(check(&file, &half).is_ok());
        }
    }

    /// The line is that of the key within its part, not of a namesake before it.
    #[test]
    fn mistakes_have_a_line() {
        let text = "services:\n  a:\n    mqtt: 1\n  aws.greengrass.Nucleus:\n    configuration:\n      mqtt:\n        port: abc\n";
        let value = json!({"services": {"a": {"mqtt": 1}, "aws.greengrass.Nucleus": {"configuration": {"mqtt": {"port": "abc"}}}}});
        let (mistakes, _) = judge(text, &value);
        assert_eq!(mistakes, ["line 7: aws.greengrass.Nucleus: mqtt.port: \"abc\" is not a port, from 1 to 65535"]);
        let value = json!({"services": {"aws.greengrass.Nucleus": {"configuration": {"mqtt": {"prot": 443}}}}});
        let (mistakes, _) = judge(&text.replace("port: abc", "prot: 443"), &value);
        assert_eq!(mistakes, ["line 7: there is no `mqtt.prot` of aws.greengrass.Nucleus; write `port`"]);
    }

    /// A file that changed after it counted is told of; the one that counted is not.
    #[test]
    fn a_file_that_does_not_count_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let file = dir.path().join("init.yaml");
        std::fs::write(&file, "a").unwrap();
        assert_eq!(passed_over(dir.path(), &file), None, "an older core remembers nothing");
        assert_eq!(passed_over(dir.path(), &file), None);
        std::fs::write(&file, "b").unwrap();
        assert!(passed_over(dir.path(), &file).unwrap().what.contains("changed since it was taken in"));
        remember(dir.path(), &file);
        assert_eq!(passed_over(dir.path(), &file), None);
    }
}
