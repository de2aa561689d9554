//! The sandbox of a component: what it asks for at `configuration.marram.sandbox`, and what the core allows at the same
//! place of the nucleus' configuration (SEC-131, core-runtime 9.3).
//!
//! | key | of | meaning |
//! | --- | --- | --- |
//! | `profile` | both | `off`, `standard` or `strict`; the component's word wins, without one `standard` |
//! | `network` | component | `false` takes the network from `standard`, `true` gives it to `strict` |
//! | `egress` | both | of a component: a list of hosts and ports, nothing else is reached; or `learn`. Of the core: `declared` (what is not declared is closed, nobody learns), `learn` (who declares nothing learns), or a list that no declaration may go beyond |
//! | `read`, `write`, `devices` | both | more paths; those of the core are open to all components |
//! | `pids` | both | processes and threads; 0 is no limit |
//! | `floor` | core | the weakest profile that a component may ask for; without one `off` |
//! | `policy` | core | `prefer` starts with what the host offers, `require` refuses when a layer is missing |
//! | `ownUsers` | core | `true`: also where a default user is configured; `false`: never |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marram_configuration::Tree;
use marram_reach::{Reach, Words};
use marram_supervisor::{Egress, Profile, Sandbox};
use serde_json::Value;

use super::{setting, system};
use crate::plan::is_true;
use crate::reaction::at;

/// Processes and threads of a component that asks for no other number.
const PIDS: u64 = 1_024;

/// The step that a sandbox is made for.
pub(crate) struct Step<'a> {
    pub(crate) component: &'a str,
    pub(crate) privileged: bool,
    pub(crate) own_user: bool,
    pub(crate) root: &'a Path,
    pub(crate) socket: &'a Path,
    /// The token exchange, where the component may use it.
    pub(crate) credentials_port: Option<u16>,
}

fn wish<'a>(service: &'a Value, key: &str) -> Option<&'a Value> {
    at(service, &["configuration", "marram", "sandbox", key]).filter(|value| !value.is_null())
}

fn core(tree: &Tree, key: &str) -> Option<Value> {
    setting(tree, &["marram", "sandbox", key])
}

fn word(value: Option<&Value>) -> Result<Option<Profile>, String> {
    let Some(value) = value else { return Ok(None) };
    let profile = value.as_str().and_then(Profile::parse);
    profile.map(Some).ok_or_else(|| format!("{value} is no profile of sandboxes; they are off, standard and strict."))
}

/// The profile in force. `Err` tells why there is none.
pub(crate) fn profile(tree: &Tree, service: &Value) -> Result<Profile, String> {
    let asked = match word(wish(service, "profile"))? {
        Some(profile) => Some(profile),
        // Setuid programs, and the powers of a root that was named for this component, come with no sandbox.
        None => {
            let opted_out = wish(service, "noNewPrivileges").is_some_and(|value| !is_true(value));
            let user = at(service, &["runWith", "posixUser"]).and_then(Value::as_str).map(str::trim);
            let root = user.and_then(|user| user.split(':').next()).is_some_and(|user| user == "root" || user == "0");
            (opted_out || root).then_some(Profile::Off)
        }
    };
    let default = word(core(tree, "profile").as_ref())?.unwrap_or(Profile::Standard);
    let floor = word(core(tree, "floor").as_ref())?.unwrap_or(Profile::Off);
    let profile = asked.unwrap_or(default);
    if profile < floor {
        return Err(format!(
            "The component asks for the sandbox profile {}, and this core allows none weaker than {}.",
            profile.as_str(),
            floor.as_str()
        ));
    }
    Ok(profile)
}

/// What the component may connect to. `Err` tells why it must not start.
pub(crate) fn reach(tree: &Tree, service: &Value) -> Result<Reach, String> {
    let profile = profile(tree, service)?;
    let own = core(tree, "egress");
    let words = Words {
        is_off: profile == Profile::Off,
        network: wish(service, "network").map(is_true),
        is_open: profile == Profile::Standard,
        egress: wish(service, "egress"),
        core: own.as_ref(),
    };
    words.decide().map_err(|error| format!("The component's network: {error}."))
}

/// `policy: require`.
pub(crate) fn is_required(tree: &Tree) -> bool {
    core(tree, "policy").is_some_and(|word| word.as_str().is_some_and(|word| word.eq_ignore_ascii_case("require")))
}

/// Processes and threads that a component may have.
pub(crate) fn pids(tree: &Tree, service: &Value) -> Option<u64> {
    let given = wish(service, "pids").and_then(Value::as_u64).or_else(|| core(tree, "pids")?.as_u64());
    let default = profile(tree, service).is_ok_and(|profile| profile != Profile::Off).then_some(PIDS);
    given.or(default).filter(|pids| *pids > 0)
}

/// Whether a component gets a user of its own when the core can give it one. `configured`: its own, the default.
pub(crate) fn has_own_user(tree: &Tree, configured: &[Option<String>; 2]) -> bool {
    let is_given = |user: &Option<String>| user.as_deref().is_some_and(|user| !user.trim().is_empty());
    let [own, default] = configured.each_ref().map(is_given);
    match core(tree, "ownUsers") {
        Some(value) if is_true(&value) => !own,
        Some(_) => false,
        None => !own && !default,
    }
}

fn paths(value: Option<&Value>, key: &str) -> Result<Vec<PathBuf>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let texts = value.as_array().and_then(|all| all.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let texts = texts.ok_or_else(|| format!("The sandbox's {key} is no list of paths."))?;
    Ok(texts.into_iter().map(PathBuf::from).collect())
}

/// The sandbox of a step; none where it runs as the original's would. `Err` tells why the step must not start.
pub(crate) fn of_step(tree: &Tree, service: &Value, step: &Step<'_>) -> Result<Option<Sandbox>, String> {
    let profile = profile(tree, service)?;
    if step.privileged {
        return Ok(None);
    }
    let reach = reach(tree, service)?;
    if profile == Profile::Off {
        return Ok(None);
    }
    let egress = match reach {
        Reach::Held(policy) => {
            Some(Egress { policy: Arc::new(policy), services: step.credentials_port.into_iter().collect() })
        }
        Reach::Open | Reach::Nothing => None,
    };
    let declared = |key: &str| -> Result<Vec<PathBuf>, String> {
        let mut all = paths(wish(service, key), key)?;
        all.extend(paths(core(tree, key).as_ref(), key)?);
        Ok(all)
    };
    let dependencies = at(service, &["dependencies"]).and_then(Value::as_array).into_iter().flatten();
    let dependencies = dependencies.filter_map(|text| text.as_str()?.split(':').next());
    let packages = step.root.join("packages");
    let artifacts = std::iter::once(step.component).chain(dependencies);
    let artifacts = artifacts.filter(|name| marram_recipe::check_component_name(name).is_ok());
    let mut protected = vec![step.root.to_owned()];
    if let Some(key) = system(tree, "privateKeyPath") {
        let key = key.strip_prefix("file://").or_else(|| key.strip_prefix("file:")).unwrap_or(&key).to_owned();
        let folder = Path::new(&key).parent().filter(|folder| folder.is_absolute() && folder.parent().is_some());
        protected.extend(folder.map(Path::to_owned));
    }
    Ok(Some(Sandbox {
        profile,
        network: wish(service, "network").map(is_true),
        egress,
        read: declared("read")?,
        write: declared("write")?,
        devices: declared("devices")?,
        artifacts: artifacts
            .flat_map(|name| ["artifacts", "artifacts-unarchived"].map(|kind| packages.join(kind).join(name)))
            .collect(),
        socket: step.socket.to_owned(),
        private: step.root.join("private").join(step.component),
        protected,
        own_user: step.own_user,
        required: is_required(tree),
    }))
}

#[cfg(test)]
mod tests {
    use marram_reach::Policy;
    use serde_json::json;

    use super::*;

    fn tree(sandbox: Value) -> Tree {
        let write = marram_configuration::Write { time: 1, origin: marram_configuration::Origin::Runtime, force: true };
        let mut tree = Tree::new();
        let nowhere: &[&str] = &[];
        tree.merge(
            nowhere,
            &json!({
                "system": {"privateKeyPath": "/etc/core/key.pem"},
                "services": {"aws.greengrass.Nucleus": {"configuration": {"marram": {"sandbox": sandbox}}}},
            }),
            &write,
        );
        tree
    }

    /// SEC-131: component, default and floor of the core; what the original needs setuid or root for is off.
    #[test]
    fn the_profile_is_the_components_within_what_the_core_allows() {
        use Profile::{Off, Standard, Strict};
        let of = |word: &str| json!({"configuration": {"marram": {"sandbox": {"profile": word}}}});
        for (core, service, expected) in [
            (json!({}), json!({}), Some(Standard)),
            (json!({}), of("strict"), Some(Strict)),
            (json!({}), of("OFF"), Some(Off)),
            (json!({"profile": "strict"}), json!({}), Some(Strict)),
            (json!({"profile": "strict"}), of("standard"), Some(Standard)),
            (json!({"floor": "standard"}), of("off"), None),
            (json!({"floor": "standard"}), json!({"runWith": {"posixUser": "root"}}), None),
            (json!({}), json!({"runWith": {"posixUser": "0:0"}}), Some(Off)),
            (json!({}), json!({"runWith": {"posixUser": "ggc_user"}}), Some(Standard)),
            (json!({}), json!({"configuration": {"marram": {"sandbox": {"noNewPrivileges": false}}}}), Some(Off)),
            (json!({}), of("tight"), None),
        ] {
            assert_eq!(profile(&tree(core.clone()), &service).ok(), expected, "{core} {service}");
        }
    }

    /// SEC-131, SEC-132: what is declared holds within what the core allows; what cannot hold stops the start.
    #[test]
    fn the_network_is_what_is_declared() {
        let held = |rules: Value| Some(Reach::Held(Policy::parse(&rules).unwrap()));
        let of = |sandbox: Value| json!({"configuration": {"marram": {"sandbox": sandbox}}});
        let one = json!([{"host": "a.plant", "port": 8883}]);
        for (core, sandbox, expected) in [
            (json!({}), json!({}), Some(Reach::Open)),
            (json!({}), json!({"profile": "strict"}), Some(Reach::Nothing)),
            (json!({}), json!({"network": false}), Some(Reach::Nothing)),
            (json!({}), json!({"egress": one}), held(one.clone())),
            (json!({}), json!({"profile": "strict", "egress": one}), held(one.clone())),
            (json!({}), json!({"profile": "off", "egress": one}), None),
            (json!({}), json!({"network": false, "egress": one}), None),
            (json!({}), json!({"egress": "all"}), None),
            (json!({}), json!({"egress": "learn"}), held(json!("learn"))),
            (json!({"egress": "declared"}), json!({}), held(json!([]))),
            (json!({"egress": "declared"}), json!({"profile": "strict"}), Some(Reach::Nothing)),
            (json!({"egress": "declared"}), json!({"network": true}), held(json!([]))),
            (json!({"egress": "declared"}), json!({"egress": one}), held(one.clone())),
            (json!({"egress": "declared"}), json!({"egress": "learn"}), None),
            (json!({"egress": "learn"}), json!({}), held(json!("learn"))),
            (json!({"egress": "learn"}), json!({"egress": one}), held(one.clone())),
            (json!({"egress": [{"host": "*.plant", "port": 8883}]}), json!({}), held(json!([]))),
            (json!({"egress": [{"host": "*.plant", "port": 8883}]}), json!({"egress": one}), held(one.clone())),
            (json!({"egress": [{"host": "*.plant", "port": 443}]}), json!({"egress": one}), None),
            (json!({"egress": "some"}), json!({}), None),
        ] {
            assert_eq!(reach(&tree(core.clone()), &of(sandbox.clone())).ok(), expected, "{core} {sandbox}");
        }
    }

    /// Core-runtime 9.3: an own user unless one is named; a default user counts unless the core says otherwise.
    #[test]
    fn a_named_user_wins_over_an_own_one() {
        let name = |name: &str| Some(name.to_owned());
        for (core, configured, expected) in [
            (json!({}), [None, None], true),
            (json!({}), [None, name("ggc_user")], false),
            (json!({}), [name("root"), None], false),
            (json!({"ownUsers": true}), [None, name("ggc_user")], true),
            (json!({"ownUsers": true}), [name("ggc_user"), None], false),
            (json!({"ownUsers": false}), [None, None], false),
        ] {
            assert_eq!(has_own_user(&tree(core.clone()), &configured), expected, "{core} {configured:?}");
        }
    }

    /// SEC-130: the sandbox holds the component's own artifacts and those it depends on, and protects root and key.
    #[test]
    fn a_sandbox_is_made_of_the_tree() {
        let step = |privileged| Step {
            component: "a",
            privileged,
            own_user: true,
            root: Path::new("/r"),
            socket: Path::new("/r/ipc.socket"),
            credentials_port: Some(4711),
        };
        let service = json!({
            "dependencies": ["b:HARD", "../c:SOFT"],
            "configuration": {"marram": {"sandbox": {"read": ["/data"], "network": false, "pids": 7}}},
        });
        let tree = tree(json!({"read": ["/models"], "policy": "require"}));
        let made = of_step(&tree, &service, &step(false)).unwrap().unwrap();
        let names: Vec<_> = made.artifacts.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            names,
            [
                "/r/packages/artifacts/a",
                "/r/packages/artifacts-unarchived/a",
                "/r/packages/artifacts/b",
                "/r/packages/artifacts-unarchived/b"
            ]
        );
        assert_eq!(made.protected, [PathBuf::from("/r"), "/etc/core".into()]);
        assert_eq!(made.read, [PathBuf::from("/data"), "/models".into()]);
        assert!(made.required && made.own_user && made.network == Some(false));
        assert_eq!(pids(&tree, &service), Some(7));
        assert_eq!(pids(&tree, &json!({})), Some(PIDS));
        assert_eq!(of_step(&tree, &service, &step(true)).unwrap(), None);
        let held = json!({"configuration": {"marram": {"sandbox": {"egress": [{"host": "a.b", "port": 1}]}}}});
        let held = of_step(&tree, &held, &step(false)).unwrap().unwrap();
        assert_eq!(held.egress.unwrap().services, [4711]);
        let broken = json!({"configuration": {"marram": {"sandbox": {"read": "/data"}}}});
        assert!(of_step(&tree, &broken, &step(false)).is_err());
    }
}
