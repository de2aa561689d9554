//! The nucleus' own configuration, read when it is needed (CR 7.5), and the environment made of it (CR 2.9).

use std::path::{Path, PathBuf};

use marram_configuration::Tree;
use marram_supervisor::{Level, LogFormat, LogSettings, ResourceLimits, RunAs};
use serde_json::Value;

use crate::plan::{self, is_true, text};
use crate::reaction::at;
use crate::trust;

pub(crate) mod sandbox;

/// The components whose configuration holds the nucleus' settings, ours first; the second is that of nucleus lite.
const NUCLEUS: [&str; 2] = ["aws.greengrass.Nucleus", "aws.greengrass.NucleusLite"];

/// Variables of the core's own environment that components see (CR 2.9).
const PASSED: [&str; 4] = ["LANG", "TZ", "JAVA_HOME", "PATH"];

/// Searched after the core's own `PATH`.
const PATH_COMPLETION: [&str; 4] = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"];

/// A setting of the nucleus.
pub(crate) fn setting(tree: &Tree, path: &[&str]) -> Option<Value> {
    NUCLEUS.iter().find_map(|name| {
        let at: Vec<&str> = ["services", name, "configuration"].iter().chain(path).copied().collect();
        tree.read(&at).filter(|value| !value.is_null())
    })
}

fn setting_text(tree: &Tree, path: &[&str]) -> Option<String> {
    setting(tree, path).map(|value| text(&value)).filter(|text| !text.is_empty())
}

/// A place of `system`.
pub(crate) fn system(tree: &Tree, key: &str) -> Option<String> {
    tree.read(&["system", key]).and_then(|value| Some(value.as_str()?.to_owned())).filter(|text| !text.is_empty())
}

/// `runWithDefault.posixShell`.
pub(crate) fn shell(tree: &Tree) -> String {
    setting_text(tree, &["runWithDefault", "posixShell"]).unwrap_or_else(|| "sh".to_owned())
}

/// The users to try, in order: the component's, the default.
pub(crate) fn users(tree: &Tree, service: &Value) -> [Option<String>; 2] {
    let own = at(service, &["runWith", "posixUser"]).and_then(Value::as_str).map(str::to_owned);
    [own, setting_text(tree, &["runWithDefault", "posixUser"])]
}

/// The component's limits, else the default ones; values that are not positive are passed over (CR 2.11).
pub(crate) fn limits(tree: &Tree, service: &Value) -> ResourceLimits {
    let default = setting(tree, &["runWithDefault", "systemResourceLimits"]);
    let given =
        at(service, &["runWith", "systemResourceLimits"]).filter(|value| value.is_object()).or(default.as_ref());
    let number = |key: &str| {
        let value = given.and_then(|given| at(given, &[key]))?;
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        if number.is_none_or(|number| number <= 0.0 || !number.is_finite()) {
            tracing::warn!(key, %value, "resource limit passed over: it must be a positive number");
            return None;
        }
        number
    };
    let pids = sandbox::pids(tree, service);
    ResourceLimits { memory_kb: number("memory").map(|kb| kb as u64), cpus: number("cpus"), pids }
}

/// Whether a component's privileged steps may run: all while no list is configured, else those listed (CR 9.3).
pub(crate) fn may_be_privileged(tree: &Tree, component: &str) -> bool {
    names(setting(tree, &["security", "allowPrivileged"]))
        .is_none_or(|names| names.iter().any(|name| name == component))
}

/// Whether every component gets the core's credentials, as with the original, and not only those that depend on the token exchange
/// (CR 8.3).
pub(crate) fn opens_token_exchange(tree: &Tree) -> bool {
    setting(tree, &["marram", "openTokenExchange"]).is_some_and(|value| is_true(&value))
}

/// Whether the peer of a component's connection must be one of its processes; components in containers are exempt when
/// they are listed at `ipc.withoutPeerCheck` (CR 6.1).
pub(crate) fn checks_peer(tree: &Tree, component: &str) -> bool {
    !names(setting(tree, &["ipc", "withoutPeerCheck"])).is_some_and(|names| names.iter().any(|name| name == component))
}

/// Whether setuid programs keep working for a component (`configuration.marram.sandbox.noNewPrivileges: false`).
pub(crate) fn no_new_privileges(service: &Value, user: &RunAs) -> bool {
    let opted_out =
        at(service, &["configuration", "marram", "sandbox", "noNewPrivileges"]).is_some_and(|value| !is_true(value));
    user.identity.uid != 0 && !opted_out
}

fn names(value: Option<Value>) -> Option<Vec<String>> {
    Some(value?.as_array()?.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect())
}

/// `logging.*`.
pub(crate) fn logging(tree: &Tree, root: &Path) -> LogSettings {
    let word = |key: &str| setting_text(tree, &["logging", key]);
    let number = |key: &str| word(key).and_then(|text| text.parse::<u64>().ok()).filter(|number| *number > 0);
    let default = LogSettings::new(word("outputDirectory").map_or_else(|| root.join("logs"), PathBuf::from));
    LogSettings {
        level: word("level").and_then(|word| Level::parse(&word)).unwrap_or(default.level),
        format: match word("format") {
            Some(word) if word.eq_ignore_ascii_case("JSON") => LogFormat::Json,
            _ => LogFormat::Text,
        },
        console: word("outputType").is_some_and(|word| word.eq_ignore_ascii_case("CONSOLE")),
        file_size_kib: number("fileSizeKB").unwrap_or(default.file_size_kib),
        total_size_kib: number("totalLogsSizeKB").unwrap_or(default.total_size_kib),
        directory: default.directory,
    }
}

/// What the environment of a process is made of, beside the tree.
pub(crate) struct Surroundings<'a> {
    pub(crate) token: &'a str,
    pub(crate) user: &'a RunAs,
    pub(crate) ipc_socket: &'a Path,
    pub(crate) runtime_version: &'a str,
    /// `http://localhost:<port>/2016-11-01/credentialprovider/` once the token exchange listens.
    pub(crate) credentials_uri: Option<&'a str>,
    /// The core's root folder.
    pub(crate) root: &'a Path,
    /// The core's own environment.
    pub(crate) own: &'a [(String, String)],
}

/// The environment of one step; later entries win (CR 1.7, 2.9).
pub(crate) fn environment(
    tree: &Tree,
    service: &Value,
    step: &[(String, String)],
    around: &Surroundings<'_>,
) -> Vec<(String, String)> {
    let mut all: std::collections::BTreeMap<String, String> = Default::default();
    let inherits = setting(tree, &["marram", "inheritEnvironment"]).is_some_and(|value| is_true(&value));
    let passed =
        around.own.iter().filter(|(name, _)| inherits || PASSED.contains(&name.as_str()) || name.starts_with("LC_"));
    all.extend(passed.cloned());
    let own_path = all.get("PATH").cloned().unwrap_or_default();
    all.insert("PATH".to_owned(), complete_path(&own_path));
    all.insert("HOME".to_owned(), around.user.home.display().to_string());
    all.insert("USER".to_owned(), around.user.name.clone());
    all.extend(plan::environment(tree.read(&["setenv"]).as_ref()));
    all.extend(plan::environment(at(service, &["setenv"])));
    all.extend(plan::environment(at(service, &["lifecycle", "setenv"])));
    all.extend(step.iter().cloned());
    let mut inject = |name: &str, value: String| all.insert(name.to_owned(), value);
    let socket = around.ipc_socket.display().to_string();
    inject("SVCUID", around.token.to_owned());
    inject("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", socket.clone());
    inject("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", socket);
    inject("AWS_CONTAINER_AUTHORIZATION_TOKEN", around.token.to_owned());
    inject("GGC_VERSION", around.runtime_version.to_owned());
    if let Some(uri) = around.credentials_uri {
        inject("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.to_owned());
    }
    if let Some(thing) = system(tree, "thingName") {
        inject("AWS_IOT_THING_NAME", thing);
    }
    if let Some(file) = system(tree, "rootCaPath") {
        inject("GG_ROOT_CA_PATH", trust::for_components(Path::new(&file), around.root).display().to_string());
    }
    if let Some(region) = setting_text(tree, &["awsRegion"]) {
        inject("AWS_REGION", region.clone());
        inject("AWS_DEFAULT_REGION", region);
    }
    let fips = setting(tree, &["fipsMode"]).is_some_and(|value| is_true(&value)).to_string();
    inject("AWS_USE_FIPS_ENDPOINT", fips.clone());
    inject("AWS_GG_FIPS_MODE", fips);
    for (name, value) in proxy(tree) {
        inject(&name.to_ascii_lowercase(), value.clone());
        inject(name, value);
    }
    all.into_iter().collect()
}

fn proxy(tree: &Tree) -> Vec<(&'static str, String)> {
    let Some(url) = setting_text(tree, &["networkProxy", "proxy", "url"]) else { return Vec::new() };
    let word = |key: &str| setting_text(tree, &["networkProxy", "proxy", key]);
    let url = match (url.split_once("://"), word("username")) {
        // User data in the URL wins (CR 5.6).
        (Some((scheme, rest)), Some(user)) if !rest.contains('@') => {
            let password = word("password").map_or(String::new(), |password| format!(":{password}"));
            format!("{scheme}://{user}{password}@{rest}")
        }
        _ => url,
    };
    let mut exempt = setting_text(tree, &["networkProxy", "noProxyAddresses"]).map_or(String::new(), |list| list + ",");
    exempt.push_str("localhost");
    vec![("HTTP_PROXY", url.clone()), ("HTTPS_PROXY", url.clone()), ("ALL_PROXY", url), ("NO_PROXY", exempt)]
}

fn complete_path(path: &str) -> String {
    let mut parts: Vec<&str> = path.split(':').filter(|part| !part.is_empty()).collect();
    for part in PATH_COMPLETION {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(":")
}

/// The port of a URL on the loopback.
pub(crate) fn port_of(uri: &str) -> Option<u16> {
    let authority = uri.split_once("://")?.1.split('/').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use marram_configuration::{Origin, Write};
    use serde_json::json;

    use super::*;

    /// CR 2.9, 10.3 (8): the table, computed from what is configured now; nothing of the core's own environment leaks.
    #[test]
    fn the_environment_is_clean_and_complete() {
        let mut tree = Tree::new();
        let nowhere: &[&str] = &[];
        let value = json!({
            "system": {"thingName": "T", "rootCaPath": "/ca"}, "setenv": {"A": "root", "B": "root"},
            "services": {"aws.greengrass.Nucleus": {"configuration": {
                "awsRegion": "eu-1",
                "networkProxy": {"noProxyAddresses": "10.0.0.1", "proxy": {"url": "http://p:1", "username": "u", "password": "w"}},
            }}},
        });
        tree.merge(nowhere, &value, &Write::new(1, Origin::Runtime));
        let service = json!({"setenv": {"B": "service", "C": "service"}, "lifecycle": {"Setenv": {"C": "lifecycle", "SVCUID": "forged"}}});
        let user = marram_supervisor::Users::default().resolve(&[Some("4711:4712")], true).unwrap();
        let own = [("AWS_ACCESS_KEY_ID", "leak"), ("PATH", "/opt/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let around = Surroundings {
            token: "t",
            user: &user,
            ipc_socket: Path::new("/r/ipc.socket"),
            runtime_version: "2.17.0",
            credentials_uri: Some("http://localhost:1/c/"),
            root: Path::new("/r"),
            own: &own,
        };
        let got = environment(&tree, &service, &[("D".into(), "step".into())], &around);
        let get = |name: &str| got.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        for (name, value) in [
            ("A", Some("root")),
            ("B", Some("service")),
            ("C", Some("lifecycle")),
            ("D", Some("step")),
            ("SVCUID", Some("t")),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", Some("t")),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Some("http://localhost:1/c/")),
            ("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", Some("/r/ipc.socket")),
            ("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", Some("/r/ipc.socket")),
            ("AWS_IOT_THING_NAME", Some("T")),
            ("GG_ROOT_CA_PATH", Some("/ca")),
            ("AWS_REGION", Some("eu-1")),
            ("AWS_DEFAULT_REGION", Some("eu-1")),
            ("GGC_VERSION", Some("2.17.0")),
            ("AWS_USE_FIPS_ENDPOINT", Some("false")),
            ("PATH", Some("/opt/bin:/bin:/usr/bin:/sbin:/usr/sbin")),
            ("LC_ALL", Some("C")),
            ("https_proxy", Some("http://u:w@p:1")),
            ("NO_PROXY", Some("10.0.0.1,localhost")),
            ("AWS_ACCESS_KEY_ID", None),
        ] {
            assert_eq!(get(name), value, "{name}");
        }
    }
}
