//! The nucleus behind its ports, with real components.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{
    ApplyMode, BootstrapOutcome, ComponentState as State, Components, Configuration, Identities, Nucleus, Peer,
    PortError, ReportedState, StateChange,
};
use marram_nucleus::configuration::ConfigurationStore;
use marram_nucleus::{NUCLEUS_VERSION, NucleusHandle, NucleusOptions};
use marram_supervisor::{Launcher, LogSettings, Logs, Supervisor};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::sync::broadcast::Receiver;

struct Core {
    dir: tempfile::TempDir,
    nucleus: NucleusHandle,
    changes: Receiver<StateChange>,
}

impl Core {
    async fn start(services: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.join("work")).unwrap();
        let store = ConfigurationStore::open(&root.join("config")).unwrap();
        let logs = Arc::new(Logs::new(LogSettings::new(root.join("logs"))));
        let program = PathBuf::from(env!("CARGO_BIN_EXE_marram-core"));
        let launcher = Launcher { program, arguments: vec!["jail".into()], open_files: None };
        let id = root.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
        let supervisor = Supervisor::new(launcher, logs, &id, &root.join("config/processes")).unwrap();
        let options = NucleusOptions {
            ipc_socket: root.join("ipc.socket"),
            root,
            version: NUCLEUS_VERSION.to_owned(),
            own_environment: std::env::vars().collect(),
            own_users: None,
            socket_group: None,
        };
        let nucleus = NucleusHandle::start(options, store, supervisor);
        let changes = nucleus.changes();
        let core = Self { dir, nucleus, changes };
        core.apply(services, 1000).await;
        core
    }

    async fn apply(&self, mut services: Value, time: i64) {
        if rustix::process::geteuid().is_root() {
            services["aws.greengrass.Nucleus"]["configuration"]["runWithDefault"] = json!({"posixUser": "nobody"});
        }
        self.nucleus.apply(services, time, ApplyMode::Deployment).await.unwrap();
    }

    /// The next change of `component` into `to`.
    async fn becomes(&mut self, component: &str, to: State) -> StateChange {
        let wait = async {
            loop {
                let change = self.changes.recv().await.unwrap();
                if change.component == component && change.to == to {
                    return change;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), wait).await;
        found.unwrap_or_else(|_| panic!("{component} does not become {to:?}: {:?}", self.nucleus.state(component)))
    }

    async fn file(&self, path: &str) -> String {
        let path = self.dir.path().join(path);
        for _ in 0..6000 {
            match fs::read_to_string(&path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("{} does not come", path.display());
    }
}

fn app(version: &str, run: &str) -> Value {
    json!({"app": {"version": version, "lifecycle": {"run": run}}})
}

/// CR 2.7, 3.4, 4.9: a deployment brings a component, changes it, takes it back, and removes it.
#[tokio::test]
async fn components_follow_their_tree() {
    let mut core = Core::start(app("1.0.0", "exec sleep 300")).await;
    assert!(core.becomes("app", State::Running).await.desired_reached);
    let snapshot = core.nucleus.snapshot();
    core.apply(app("1.0.0", "exec sleep 301"), 2000).await;
    core.becomes("app", State::Stopping).await;
    core.becomes("app", State::Running).await;
    let mut next = app("2.0.0", "exec sleep 301");
    next["app"]["lifecycle"]["install"] = json!("echo installed > installed");
    core.apply(next, 3000).await;
    core.becomes("app", State::New).await;
    core.becomes("app", State::Running).await;
    assert_eq!(core.file("work/app/installed").await, "installed\n");
    let details = core.nucleus.details("app").unwrap();
    assert_eq!((details.version.as_str(), details.state, details.builtin), ("2.0.0", State::Running, false));

    core.nucleus
        .put(&["services", "DeploymentService", "GroupToRootComponents"], json!({"g": {"app": {}}}))
        .await
        .unwrap();
    core.nucleus.apply(snapshot, 4000, ApplyMode::Rollback).await.unwrap();
    core.becomes("app", State::Running).await;
    assert_eq!(core.nucleus.get(&["services", "app", "version"]), Some(json!("1.0.0")));
    assert!(core.nucleus.details("app").unwrap().is_root, "what the runtime remembers is not rolled back");

    core.nucleus.remove("app").await.unwrap();
    assert_eq!(core.nucleus.state("app"), None);
    assert_eq!(core.nucleus.get(&["services", "app"]), None);
    assert_eq!(core.nucleus.restart("app").await, Err(PortError::no_component("app")));
    let names: Vec<SmolStr> = core.nucleus.list().into_iter().map(|component| component.name).collect();
    assert!(
        names.contains(&"aws.greengrass.Nucleus".into()) && names.contains(&"DeploymentService".into()),
        "{names:?}"
    );
    core.nucleus.close().await;
}

/// CR 2.5, 2.12, 10.3 (3): three errors and their code; an operator's restart revives a BROKEN component.
#[tokio::test]
async fn a_broken_component_can_be_restarted() {
    let mut service = app("1.0.0", "test -e ok && exec sleep 300; exit 3");
    service["app"]["configuration"] = json!({"marram": {"restartPolicy": {"backoff": {"initial": 0}}}});
    let mut core = Core::start(service).await;
    let broken = core.becomes("app", State::Broken).await;
    assert_eq!(broken.codes, ["RUN_ERROR"]);
    assert!(broken.reason.unwrap().ends_with("The run script exited with code 3."));
    assert_eq!(core.nucleus.state("app"), Some((State::Broken, false)));
    fs::write(core.dir.path().join("work/app/ok"), "").unwrap();
    assert_eq!(core.nucleus.restart("app").await, Ok(None));
    core.becomes("app", State::Running).await;
    core.nucleus.close().await;
}

/// CR 4.9, 2.5: a deployment sees that a process is there and that it has to stay; it dies three times, however long the back-off, and
/// says how. A component without a process is up at once.
#[tokio::test]
async fn quick_deaths_break_a_component_while_a_deployment_waits() {
    let mut services = app("1.0.0", "exit 3");
    services["app"]["configuration"] =
        json!({"marram": {"restartPolicy": {"backoff": {"initial": "1h", "max": "1h"}}}});
    services["once"] = json!({"version": "1.0.0", "lifecycle": {"startup": "true"}});
    services["stays"] = json!({"version": "1.0.0", "lifecycle": {"run": "exec sleep 300"}});
    let mut core = Core::start(services).await;
    core.becomes("app", State::Broken).await;
    assert!(core.nucleus.failure("app").unwrap().ends_with("The run script exited with code 3."));
    assert_eq!(core.nucleus.settling("once"), None);
    core.apply(json!({"stays": {"version": "1.0.0", "lifecycle": {"run": "exec sleep 301"}}}), 2000).await;
    core.becomes("stays", State::Stopping).await;
    core.becomes("stays", State::Running).await;
    let left = core.nucleus.settling("stays").expect("it runs since a moment ago");
    tokio::time::sleep(left).await;
    assert_eq!((core.nucleus.settling("stays"), core.nucleus.failure("stays")), (None, None));
    core.nucleus.close().await;
}

/// CR 8.1, 8.3, SEC-133: credentials of the core are for components that depend on the token exchange, themselves or through others; the
/// rest neither learn where they are nor may have them, unless the operator opened it to all.
#[tokio::test]
async fn credentials_are_for_those_that_ask_for_them() {
    let run = "echo \"uri ${AWS_CONTAINER_CREDENTIALS_FULL_URI:-none}\" > told; exec sleep 300";
    let service =
        |dependencies: Value| json!({"version": "1.0.0", "lifecycle": {"run": run}, "dependencies": dependencies});
    let mut core = Core::start(json!({})).await;
    core.nucleus.set_credentials_uri(Some("http://localhost:1/c/".to_owned()));
    let services = json!({
        "aws.greengrass.TokenExchangeService": {"version": "2.0.3"},
        "asks": service(json!(["aws.greengrass.TokenExchangeService:HARD"])),
        "through": service(json!(["asks:SOFT"])),
        "none": service(json!([])),
    });
    core.apply(services, 2000).await;
    for (name, is_given) in [("asks", true), ("through", true), ("none", false)] {
        let told = if is_given { "uri http://localhost:1/c/\n" } else { "uri none\n" };
        assert_eq!(core.file(&format!("work/{name}/told")).await, told, "{name}");
        assert_eq!(core.nucleus.may_have_credentials(name), is_given, "{name}");
    }
    let open = json!({"aws.greengrass.Nucleus": {"configuration": {"marram": {"openTokenExchange": true}}}});
    core.apply(open, 3000).await;
    core.nucleus.restart("none").await.unwrap();
    core.becomes("none", State::Stopping).await;
    core.becomes("none", State::Running).await;
    assert!(core.nucleus.may_have_credentials("none"));
    core.nucleus.close().await;
}

/// SEC-133, CR 6.1: a token is good for the processes of its component and for nobody else, and dies with them.
#[tokio::test]
async fn tokens_are_bound_to_their_processes() {
    let script = "echo $SVCUID > token; setsid sh -c 'echo $$ > child; exec sleep 300' & wait";
    let mut core = Core::start(json!({
        "app": {"version": "1.0.0", "lifecycle": {"run": script}},
        "spy": {"version": "1.0.0", "lifecycle": {"run": "echo $$ > pid; exec sleep 300"}},
    }))
    .await;
    let token = core.file("work/app/token").await.trim().to_owned();
    let pid = |text: String| text.trim().parse::<u32>().unwrap();
    let child = pid(core.file("work/app/child").await);
    let spy = pid(core.file("work/spy/pid").await);
    let peer = |pid| Peer { pid, uid: 65534, gid: 65534 };
    assert_eq!(core.nucleus.authenticate(&token, peer(child)).unwrap().name, "app");
    assert_eq!(core.nucleus.authenticate(&token, peer(spy)), None, "token replay from another component");
    assert_eq!(core.nucleus.authenticate(&token, peer(std::process::id())), None);
    assert_eq!(core.nucleus.authenticate("", peer(child)), None);
    assert_eq!(core.nucleus.owner_of(&token).unwrap().name, "app");
    let operator = core.nucleus.issue_operator_token(0);
    assert!(core.nucleus.authenticate(&operator, Peer { pid: 1, uid: 0, gid: 0 }).is_some());
    assert!(core.nucleus.authenticate(&operator, Peer { pid: 1, uid: 1, gid: 0 }).is_none());
    core.nucleus.stop("app").await.unwrap();
    core.becomes("app", State::Finished).await;
    assert_eq!(core.nucleus.owner_of(&token), None);
    core.nucleus.close().await;
}

/// CR 2.4, 2.11, 6.8: reported states, pause and resume.
#[tokio::test]
async fn reports_and_pauses_are_taken() {
    let startup = json!({"app": {"version": "1.0.0", "lifecycle": {"startup": "sleep 300"}}});
    let mut core = Core::start(startup).await;
    core.becomes("app", State::Starting).await;
    core.nucleus.report_state("app", ReportedState::Running).unwrap();
    core.becomes("app", State::Running).await;
    core.nucleus.pause("app").await.unwrap();
    core.nucleus.resume("app").await.unwrap();
    core.nucleus.report_state("app", ReportedState::Errored).unwrap();
    assert_eq!(core.becomes("app", State::Errored).await.codes, ["RUN_ERROR"]);
    assert_eq!(core.nucleus.report_state("none", ReportedState::Running), Err(PortError::no_component("none")));
    assert!(core.nucleus.pause("aws.greengrass.Nucleus").await.is_err());
    core.nucleus.close().await;
}

/// CR 3.5: reading, updating and watching configuration, with the errors of the model.
#[tokio::test]
async fn configuration_is_served() {
    let mut service = app("1.0.0", "exec sleep 300");
    service["app"]["configuration"] = json!({"a": {"b": 1}, "accessControl": {"s": {}}});
    let core = Core::start(service).await;
    let nucleus = &core.nucleus;
    let path = |keys: &[&str]| keys.iter().map(|key| SmolStr::from(*key)).collect::<Vec<_>>();
    assert_eq!(nucleus.read("app", &path(&["A", "b"])), Ok(json!(1)));
    assert!(matches!(nucleus.read("app", &path(&["x"])), Err(PortError::ResourceNotFound { .. })));
    assert_eq!(nucleus.read("nobody", &[]), Err(PortError::no_component("nobody")));
    assert_eq!(nucleus.access_control().borrow()["app"], json!({"s": {}}));
    let mut news = nucleus.watch("app", &path(&["a"])).unwrap();
    nucleus.update("app", &path(&["a"]), 5000, json!({"b": 2})).await.unwrap();
    assert_eq!(news.recv().await.unwrap().path, path(&["a", "b"]));
    for (keys, time, value, expected) in [
        (&["a"][..], 4000, json!({"b": 3}), "FailedUpdateCondition"),
        (&["a", "b"], 6000, json!({"c": 3}), "InvalidArguments"),
        (&[], 6000, json!({"accessControl": {}}), "InvalidArguments"),
    ] {
        let error = nucleus.update("app", &path(keys), time, value).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
    let preview = nucleus.preview("app", &["/a".to_owned()], &json!({"d": 1}), Some(&json!({"e": 2})), 9000);
    assert_eq!(preview, json!({"accessControl": {"s": {}}, "d": 1, "e": 2}));
    core.nucleus.close().await;
}

/// CR 1.7: what the exit codes of bootstrap mean.
#[tokio::test]
async fn bootstrap_exit_codes_are_told() {
    let core = Core::start(json!({})).await;
    for (script, expected) in [
        ("exit 0", BootstrapOutcome::Done),
        ("exit 100", BootstrapOutcome::RestartRuntime),
        ("exit 101", BootstrapOutcome::RebootDevice),
        ("exit 7", BootstrapOutcome::Failed(7)),
    ] {
        let service = json!({"version": "1.0.0", "lifecycle": {"bootstrap": script}});
        assert_eq!(core.nucleus.bootstrap("app", &service).await, Ok(expected), "{script}");
    }
    let service = json!({"lifecycle": {"bootstrap": {"Script": "sleep 300", "Timeout": 0.2}}});
    assert_eq!(core.nucleus.bootstrap("app", &service).await, Ok(BootstrapOutcome::TimedOut));
    core.nucleus.close().await;
}
