//! Deployments end in the old or in the new state and tell the truth, whatever happens on the way.

#![allow(clippy::type_complexity)] // tables of cases

#[path = "deployer/altered.rs"]
mod altered;
#[path = "deployer/cancel.rs"]
mod cancel;
#[path = "deployer/fakes.rs"]
mod fakes;
#[path = "deployer/files.rs"]
mod files;
#[path = "deployer/full.rs"]
mod full;
#[path = "deployer/local.rs"]
mod local;
#[path = "deployer/restored.rs"]
mod restored;
#[path = "deployer/rollback.rs"]
mod rollback;
#[path = "deployer/signatures.rs"]
mod signatures;
#[path = "deployer/switch.rs"]
mod switch;
#[path = "deployer/times.rs"]
mod times;
#[path = "deployer/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{
    ComponentUpdate, DataPlaneError, DeploymentSource, DeploymentStatus, Deployments, LocalDeploymentRequest, PortError,
};
use serde_json::{Value, json};
use world::{ARN, Crash, World, stored};

/// How a scenario must end, crash or not.
struct Scenario {
    name: &'static str,
    /// `run` and `bootstrap` of the new version.
    lifecycle: Value,
    document: Value,
    told: (&'static str, &'static str),
    /// The new set is in force.
    new: bool,
}

fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "success",
            lifecycle: json!({"run": "fine"}),
            document: json!({}),
            told: ("SUCCEEDED", "SUCCESSFUL"),
            new: true,
        },
        Scenario {
            name: "a component breaks",
            lifecycle: json!({"run": "break"}),
            document: json!({}),
            told: ("FAILED", "FAILED_ROLLBACK_COMPLETE"),
            new: false,
        },
        Scenario {
            name: "a component breaks and stays",
            lifecycle: json!({"run": "break"}),
            document: json!({"failureHandlingPolicy": "DO_NOTHING"}),
            told: ("FAILED", "FAILED_ROLLBACK_NOT_REQUESTED"),
            new: true,
        },
        Scenario {
            name: "bootstrap restarts the runtime",
            lifecycle: json!({"run": "fine", "bootstrap": "100"}),
            document: json!({}),
            told: ("SUCCEEDED", "SUCCESSFUL"),
            new: true,
        },
        Scenario {
            name: "bootstrap fails",
            lifecycle: json!({"run": "fine", "bootstrap": "7"}),
            document: json!({}),
            told: ("FAILED", "FAILED_ROLLBACK_COMPLETE"),
            new: false,
        },
        Scenario {
            name: "bootstrapped, then broken",
            lifecycle: json!({"run": "break", "bootstrap": "101"}),
            document: json!({}),
            told: ("FAILED", "FAILED_ROLLBACK_COMPLETE"),
            new: false,
        },
        Scenario {
            name: "a component comes up and dies",
            lifecycle: json!({"run": "die"}),
            document: json!({}),
            told: ("FAILED", "FAILED_ROLLBACK_COMPLETE"),
            new: false,
        },
    ]
}

/// A core that runs `app` 1.0.0 and `old`, both deployed for real, and a waiting deployment of the scenario.
async fn world_of(scenario: &Scenario) -> Arc<World> {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine", "bootstrap": "0"}), &[]);
    world.publish("old", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0"), ("old", "1.0.0")], json!({}));
    world.run(None).await;
    assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()));
    world.cloud.lock().unwrap().told.clear();
    world.publish("app", "2.0.0", scenario.lifecycle.clone(), &[("lib", "^1.0.0")]);
    world.publish("lib", "1.3.0", json!({"run": "fine"}), &[]);
    world.deploy("bb", &[("app", "2.0.0")], scenario.document.clone());
    world
}

fn check(scenario: &Scenario, world: &World, before: &Value, at: &str) {
    let name = scenario.name;
    assert_eq!(
        world.told(),
        (scenario.told.0.to_owned(), scenario.told.1.to_owned()),
        "{name}: told, {at}: {}",
        world.detail("deployment-failure-cause")
    );
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    if scenario.new {
        wanted.insert("app".to_owned(), "2.0.0".to_owned());
        wanted.insert("lib".to_owned(), "1.3.0".to_owned());
        if scenario.told.0 == "FAILED" {
            wanted.insert("old".to_owned(), "1.0.0".to_owned());
        }
        let roots = &world.groups()["thinggroup/g"];
        assert_eq!(roots["app"]["version"], "2.0.0", "{name}: groups, {at}");
        assert_eq!(roots.get("old"), None, "{name}: groups, {at}");
    } else {
        wanted.insert("app".to_owned(), "1.0.0".to_owned());
        wanted.insert("old".to_owned(), "1.0.0".to_owned());
        assert_eq!(&world.services(), before, "{name}: the old state is the very old state, {at}");
        assert_eq!(world.groups()["thinggroup/g"]["app"]["version"], "1.0.0", "{name}: groups, {at}");
    }
    assert_eq!(world.versions(), wanted, "{name}: versions, {at}");
    for (component, version) in &wanted {
        let file = world.folder.path().join(format!("packages/artifacts/{component}/{version}/{component}.txt"));
        let content = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(content, format!("artifact of {component} {version}"), "{name}: artifact, {at}");
    }
}

/// CR 4.9, 4.10: kill the core before or after any durable step; the next start ends the deployment as if nothing had
/// happened. The scenarios have more than 200 points together.
async fn survives_a_crash_at_any_step(index: usize) {
    let scenario = scenarios().remove(index);
    let start = world_of(&scenario).await;
    let before = start.services();
    let world = start.fork();
    let steps = world.run(None).await;
    check(&scenario, &world, &before, "without a crash");
    assert!(steps >= 34, "{steps} points");
    for at in 0..steps {
        let world = start.fork();
        world.run(Some(at)).await;
        check(&scenario, &world, &before, &format!("crash at step {at} of {steps}"));
    }
}

macro_rules! crash_tests {
    ($($name:ident = $index:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                survives_a_crash_at_any_step($index).await;
            }
        )+
    };
}

crash_tests! {
    a_crash_does_not_stop_a_success = 0,
    a_crash_does_not_stop_a_rollback = 1,
    a_crash_does_not_hide_a_failure_that_stays = 2,
    a_crash_does_not_stop_a_restart = 3,
    a_crash_does_not_hide_a_failed_bootstrap = 4,
    a_crash_does_not_stop_a_rollback_with_restarts = 5,
    a_crash_does_not_make_a_success_of_a_death = 6,
}

/// CR 2.12, 4.9, 4.11: after the rollback the control plane still learns which script of which component ended how.
#[tokio::test]
async fn the_cause_outlives_the_rollback() {
    for index in [1, 2, 5, 6] {
        let world = world_of(&scenarios()[index]).await;
        world.run(None).await;
        let cause = "component app broke: The run script exited with code 3.";
        assert_eq!(world.detail("deployment-failure-cause"), cause, "{}", scenarios()[index].name);
        let stack = "[DEPLOYMENT_FAILURE, COMPONENT_UPDATE_ERROR, COMPONENT_BROKEN]";
        assert_eq!(world.detail("deployment-error-stack"), stack);
        assert_eq!(world.detail("deployment-error-types"), "[USER_COMPONENT_ERROR]");
    }
}

/// CR 4.9, 4.10: a core that dies again while it recovers, and again, still ends where it should.
#[tokio::test]
async fn three_crashes_in_a_row_change_nothing() {
    for index in [0, 1, 5] {
        let scenario = scenarios().remove(index);
        let start = world_of(&scenario).await;
        let before = start.services();
        for n in 0..16 {
            let world = start.fork();
            let crashes = [(n * 7 + 20) % 56, (n * 5) % 34, (n * 3) % 21];
            world.run_through(&crashes).await;
            check(&scenario, &world, &before, &format!("crashes at {crashes:?}"));
        }
    }
}

/// CR 4.1: operators see what the control plane asked for, by each of its names: under way with what it waits for, then with its failure.
#[tokio::test]
async fn operators_see_deployments_of_the_control_plane() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "hang"}), &[]);
    world.deploy("bb", &[("app", "1.0.0")], json!({}));
    let life = world.start(Arc::new(Crash::default()));
    let last = || life.deployer.all().pop();
    life.until("the wait for app", || {
        last().is_some_and(|one| one.record.waiting_for.is_some_and(|what| what.contains("app (STARTING)")))
    })
    .await;
    let one = last().unwrap();
    assert!(one.is_under_way() && one.record.status == DeploymentStatus::InProgress);
    assert_eq!(one.source, DeploymentSource::ThingGroup);
    for (id, found) in [("bb", true), ("job-bb", true), (ARN, true), ("b", false), ("", false)] {
        assert_eq!(one.answers_to(id), found, "{id}");
    }
    assert!(life.deployer.local_list().is_empty(), "the original's command line lists local ones only");

    let world = world_of(&scenarios()[1]).await;
    world.run(None).await;
    let all = world.start(Arc::new(Crash::default())).deployer.all();
    let ends: Vec<_> = all.iter().map(|one| (one.record.id.as_str(), one.record.status)).collect();
    assert_eq!(ends, [("a", DeploymentStatus::Succeeded), ("bb", DeploymentStatus::Failed)]);
    assert!(all[1].record.failure_cause.as_ref().unwrap().ends_with("The run script exited with code 3."));
    assert!(!all[1].is_under_way());
}

/// CR 4.8: the bootstrap of the new version runs, and after a rollback that of the old one again.
#[tokio::test]
async fn a_rollback_runs_the_old_bootstrap() {
    let scenarios = scenarios();
    let world = world_of(&scenarios[5]).await;
    world.bootstrapped.lock().unwrap().clear();
    world.run(None).await;
    assert_eq!(*world.bootstrapped.lock().unwrap(), ["app 2.0.0", "app 1.0.0"]);
}

/// CR 4.11: each refusal before activation has its codes, its type, and leaves the core as it was: an artifact that is not
/// the one of its recipe (SEC-100), a value that a privileged shell would execute (SEC-155).
#[tokio::test]
async fn refusals_have_their_codes() {
    let answered = |status: u16, message: &str| DataPlaneError::Answered {
        status,
        code: "X".to_owned(),
        message: message.to_owned(),
    };
    type Change = Box<dyn Fn(&World)>;
    let trouble = |call: &'static str, error: DataPlaneError| -> Change {
        Box::new(move |world| drop(world.cloud.lock().unwrap().trouble.insert(call, error.clone())))
    };
    let publish = |recipe: Value| -> Change {
        Box::new(move |world| {
            let mut cloud = world.cloud.lock().unwrap();
            let mut whole = cloud.recipes[&("app".to_owned(), "1.0.0".to_owned())].clone();
            for (key, value) in recipe.as_object().unwrap() {
                whole[key] = value.clone();
            }
            cloud.recipes.insert(("app".to_owned(), "1.0.0".to_owned()), whole);
        })
    };
    let artifact = |artifact: Value| publish(json!({"Manifests": [{"Artifacts": [artifact]}]}));
    #[rustfmt::skip]
    let table: Vec<(&str, Change, &str, &str)> = vec![
        ("cloud refuses", trouble("resolve", answered(403, "no")),
            "[DEPLOYMENT_FAILURE, CLOUD_API_ERROR, ACCESS_DENIED, RESOLVE_COMPONENT_CANDIDATES_ACCESS_DENIED]", "[PERMISSION_ERROR]"),
        ("no version", trouble("resolve", answered(404, "no usable version")),
            "[DEPLOYMENT_FAILURE, CLOUD_API_ERROR, NO_AVAILABLE_COMPONENT_VERSION]", "[]"),
        ("bad answer", trouble("resolve", DataPlaneError::Malformed("x".to_owned())),
            "[DEPLOYMENT_FAILURE, CLOUD_API_ERROR, RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE]", "[CLOUD_SERVICE_ERROR]"),
        ("artifact forbidden", trouble("url", answered(403, "no")),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, ARTIFACT_DOWNLOAD_ERROR, DOWNLOAD_GREENGRASS_ARTIFACT_ERROR, ACCESS_DENIED, GET_COMPONENT_VERSION_ARTIFACT_ACCESS_DENIED]", "[HTTP_ERROR, PERMISSION_ERROR]"),
        ("no size", trouble("size", DataPlaneError::Malformed("x".to_owned())),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, ARTIFACT_DOWNLOAD_ERROR, GET_GREENGRASS_ARTIFACT_SIZE_ERROR, GREENGRASS_ARTIFACT_SIZE_NOT_FOUND]", "[HTTP_ERROR, CLOUD_SERVICE_ERROR]"),
        ("wrong content", Box::new(|world| drop(world.cloud.lock().unwrap().artifacts.insert("app/1.0.0/app.txt".to_owned(), b"evil".to_vec()))),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, ARTIFACT_DOWNLOAD_ERROR, ARTIFACT_CHECKSUM_MISMATCH]", "[COMPONENT_RECIPE_ERROR]"),
        ("disk nearly full", Box::new(|world| *world.free_bytes.lock().unwrap() = 1_000),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, ARTIFACT_DOWNLOAD_ERROR, IO_ERROR, DISK_SPACE_CRITICAL]", "[DEVICE_ERROR]"),
        ("other platform", publish(json!({"Manifests": [{"Platform": {"os": "windows"}}]})),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, RECIPE_MISSING_MANIFEST]", "[COMPONENT_RECIPE_ERROR]"),
        ("unreadable recipe", publish(json!({"Manifests": 1})),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, RECIPE_PARSE_ERROR]", "[COMPONENT_RECIPE_ERROR]"),
        ("container", artifact(json!({"Uri": "docker:hello-world"})),
            "[DEPLOYMENT_FAILURE, MISSING_DOCKER_APPLICATION_MANAGER]", "[REQUEST_ERROR]"),
        ("scheme", artifact(json!({"Uri": "ftp://x/y"})),
            "[DEPLOYMENT_FAILURE, UNSUPPORTED_ARTIFACT_SCHEME]", "[COMPONENT_RECIPE_ERROR]"),
        ("no digest", artifact(json!({"Uri": "greengrass:a/b"})),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, RECIPE_MISSING_ARTIFACT_HASH_ALGORITHM]", "[COMPONENT_RECIPE_ERROR]"),
        ("unknown digest", artifact(json!({"Uri": "greengrass:app/1.0.0/app.txt", "Digest": "x", "Algorithm": "MD5"})),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, HASHING_ALGORITHM_UNAVAILABLE]", "[DEVICE_ERROR]"),
        ("missing in S3", artifact(json!({"Uri": "s3://bucket/none", "Digest": "x", "Algorithm": "SHA-256"})),
            "[DEPLOYMENT_FAILURE, COMPONENT_PACKAGE_LOADING_ERROR, ARTIFACT_DOWNLOAD_ERROR, S3_ERROR, S3_RESOURCE_NOT_FOUND, S3_HEAD_OBJECT_RESOURCE_NOT_FOUND]", "[DEPENDENCY_ERROR, REQUEST_ERROR]"),
        ("rights", publish(json!({"ComponentConfiguration": {"DefaultConfiguration": {"accessControl": {"svc": {"p": {"operations": 5}}}}}})),
            "[DEPLOYMENT_FAILURE, COMPONENT_CONFIGURATION_NOT_VALID]", "[]"),
        ("shell", publish(json!({
                "ComponentConfiguration": {"DefaultConfiguration": {"k": "$(reboot)"}},
                "Manifests": [{"Lifecycle": {"run": {"Script": "echo {configuration:/k}", "RequiresPrivilege": true}}}],
            })),
            "[DEPLOYMENT_FAILURE, CONFIG_INTERPOLATE_ERROR]", "[COMPONENT_RECIPE_ERROR]"),
        ("capability", Box::new(|world| world.cloud.lock().unwrap().job.as_mut().unwrap().1["requiredCapabilities"] = json!(["TELEPORT"])),
            "[DEPLOYMENT_FAILURE, NUCLEUS_MISSING_REQUIRED_CAPABILITIES]", "[REQUEST_ERROR]"),
        ("no document", Box::new(|world| world.cloud.lock().unwrap().job.as_mut().unwrap().1 = json!("nonsense")),
            "[DEPLOYMENT_FAILURE, DEPLOYMENT_DOCUMENT_PARSE_ERROR]", "[]"),
    ];
    for (name, change, stack, types) in table {
        let world = World::new();
        world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
        world.deploy("a", &[("app", "1.0.0")], json!({}));
        change(&world);
        world.run(None).await;
        assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()), "{name}");
        assert_eq!(world.detail("deployment-error-stack"), stack, "{name}");
        assert_eq!(world.detail("deployment-error-types"), types, "{name}");
        assert!(!world.detail("deployment-failure-cause").is_empty(), "{name}");
        assert_eq!(world.versions(), BTreeMap::new(), "{name}");
    }
}

/// CR 4.8: network trouble, 429 and 5xx are only waited out, and so are answers of portals and proxies; a half-downloaded artifact is
/// continued.
#[tokio::test]
async fn passing_trouble_is_waited_out() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    for status in [[503, 500, 429, 502, 500], [302, 302, 307, 408, 302]] {
        for (call, status) in ["resolve", "groups", "url", "size", "download"].into_iter().zip(status) {
            let error = DataPlaneError::Answered { status, code: "X".to_owned(), message: "later".to_owned() };
            world.cloud.lock().unwrap().trouble.insert(call, error);
        }
        world.cloud.lock().unwrap().told.clear();
        world.run(None).await;
        assert_eq!(world.told().0, "SUCCEEDED", "{status:?}");
        world.publish("app", "2.0.0", json!({"run": "fine"}), &[]);
        world.deploy("bb", &[("app", "2.0.0")], json!({}));
    }
}

/// CR 4.9: a download that fails says of what and from whom; of a presigned URL only the host, because the rest opens the object.
#[tokio::test]
async fn a_failed_download_names_artifact_and_host() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    world.cloud.lock().unwrap().trouble.insert("size", DataPlaneError::Malformed("no length".to_owned()));
    world.run(None).await;
    let cause = world.detail("deployment-failure-cause");
    assert!(cause.starts_with("app.txt of app, from store.test:8443: ") && !cause.contains("secret"), "{cause}");
}

/// CR 4.6: a core that may not list its groups goes by what it knows, and a job for a group told it: the next deployment of
/// another target leaves the group's components alone.
#[tokio::test]
async fn a_core_that_may_not_list_its_groups_keeps_them() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.publish("own", "1.0.0", json!({"run": "fine"}), &[]);
    let thing = json!({"configurationArn": "arn:aws:greengrass:us-east-1:000000000000:configuration:thing/core:1"});
    for (id, component, more) in [("a", "app", json!({})), ("bb", "own", thing)] {
        let error = DataPlaneError::Answered {
            status: 403,
            code: "AccessDeniedException".to_owned(),
            message: "no".to_owned(),
        };
        {
            let mut cloud = world.cloud.lock().unwrap();
            cloud.trouble.insert("groups", error);
            cloud.told.clear();
        }
        world.deploy(id, &[(component, "1.0.0")], more);
        world.run(None).await;
        assert_eq!(world.told().0, "SUCCEEDED");
    }
    assert_eq!(world.versions().into_keys().collect::<Vec<_>>(), ["app", "own"]);
}

/// CR 4.6, TG 7.4: each group writes its flows into a member of its own of the one flow component. They go as the group's components do:
/// with the next deployment of any target after the core left the group, wherever it dies meanwhile, also when that deployment was made
/// long before; and with a deployment of the group that does not list the flow component any more.
#[tokio::test]
async fn flows_of_a_group_go_with_the_group() {
    const FLOWS: &str = "marram.FlowRuntime";
    let arn = |group: &str, revision: u32| {
        format!("arn:aws:greengrass:us-east-1:000000000000:configuration:thinggroup/{group}:{revision}")
    };
    let flows = |group: &str, revision: u32, created: i64| {
        let merge = json!({"targets": {format!("thinggroup/{group}"): {"flow": revision}}});
        let update = json!({"merge": merge, "reset": [format!("/targets/thinggroup~1{group}")]});
        json!({"configurationArn": arn(group, revision), "creationTimestamp": created,
               "components": {FLOWS: {"version": "1.0.0", "configurationUpdate": update}}})
    };
    let begin = || {
        let world = World::new();
        world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
        world.cloud.lock().unwrap().groups = vec!["g".to_owned(), "h".to_owned()];
        world
    };
    let deploy = async |world: &Arc<World>, id: &str, document: Value, crash: Option<usize>| {
        world.cloud.lock().unwrap().told.clear();
        world.deploy(id, &[], document);
        let points = world.run(crash).await;
        assert_eq!(world.told().1, "SUCCESSFUL", "{id}, crash {crash:?}");
        points
    };
    let targets = |world: &World| {
        let targets = world.services()[FLOWS]["configuration"]["targets"].clone();
        targets.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    };
    let thing = json!({"configurationArn": arn("x", 1).replace("thinggroup/x", "thing/core"), "creationTimestamp": 900,
                       "components": {"app": {"version": "1.0.0"}}});
    for (next, left) in
        [(flows("h", 2, 4_000), ["thinggroup/h"]), (flows("h", 1, 3_000), ["thinggroup/h"]), (thing, ["thinggroup/h"])]
    {
        let mut crash = None;
        loop {
            let world = begin();
            deploy(&world, "a", flows("g", 1, 2_000), None).await;
            deploy(&world, "bb", flows("h", 1, 1_500), None).await;
            assert_eq!(targets(&world), ["thinggroup/g", "thinggroup/h"]);
            world.cloud.lock().unwrap().groups.remove(0);
            assert_eq!(targets(&world), ["thinggroup/g", "thinggroup/h"], "nothing tells the core before it asks");
            let points = deploy(&world, "ccc", next.clone(), crash).await;
            assert_eq!(targets(&world), left, "crash {crash:?}");
            assert_eq!(world.groups().get("thinggroup/g"), None);
            crash = Some(crash.map_or(0, |at: usize| at + 4));
            if crash.is_some_and(|at| at >= points) {
                break;
            }
        }
    }
    let world = begin();
    deploy(&world, "a", flows("g", 1, 2_000), None).await;
    deploy(&world, "bb", flows("h", 1, 3_000), None).await;
    let without = json!({"configurationArn": arn("g", 2), "creationTimestamp": 4_000, "components": {"app": {"version": "1.0.0"}}});
    deploy(&world, "ccc", without, None).await;
    assert_eq!(targets(&world), ["thinggroup/h"]);
}

/// CR 4.1: a deployment that cannot be kept, because the disk is full when it comes, is asked for until it can.
#[tokio::test]
async fn a_deployment_that_cannot_be_kept_is_asked_for_again() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    *world.disk_full.lock().unwrap() = true;
    let life = world.start(Arc::new(Crash::default()));
    let room = async {
        let folder = world.folder.path().join("deployments");
        while std::fs::read_dir(&folder).is_ok_and(|mut tries| tries.next().is_none()) {
            tokio::task::yield_now().await;
        }
        *world.disk_full.lock().unwrap() = false;
        std::future::pending::<()>().await
    };
    tokio::select! {
        over = life.until_over() => assert!(over),
        () = room => {}
    }
    assert_eq!(world.told().0, "SUCCEEDED");
}

/// CR 4.11, 3.4: a disk that fills up before activation changes nothing and is told.
#[tokio::test]
async fn a_full_disk_changes_nothing() {
    let scenario = scenarios().remove(0);
    let world = world_of(&scenario).await;
    let before = world.services();
    let life = world.start(Arc::new(Crash::default()));
    // the document is kept first; from then on nothing can be written
    let full = async {
        while !std::fs::read_dir(world.folder.path().join("deployments")).unwrap().flatten().any(|entry| {
            std::fs::read_to_string(entry.path().join("document.json")).is_ok_and(|text| text.contains("\"bb\""))
        }) {
            tokio::task::yield_now().await;
        }
        *world.disk_full.lock().unwrap() = true;
        std::future::pending::<()>().await
    };
    tokio::select! {
        over = life.until_over() => assert!(over),
        () = full => {}
    }
    let told = world.told();
    assert_eq!(told, ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()));
    assert!(world.detail("deployment-error-stack").ends_with("IO_ERROR, DISK_SPACE_CRITICAL]"));
    assert_eq!(world.services(), before);
    *world.disk_full.lock().unwrap() = false;
}

/// SEC-157, CR 3.2: whoever signed the document, no name of it becomes a folder above the component's own, or an entry of the core's.
#[tokio::test]
async fn names_that_are_none_change_nothing() {
    for names in [
        &["..", "app"][..],
        &["."],
        &[".hidden"],
        &["-x"],
        &["a/b"],
        &["main"],
        &["deploymentservice"],
        &["_x"],
        &["app", "APP"],
    ] {
        let world = World::new();
        for name in names {
            world.publish(name, "1.0.0", json!({"run": "fine"}), &[]);
        }
        let components: Vec<(&str, &str)> = names.iter().map(|name| (*name, "1.0.0")).collect();
        world.deploy("a", &components, json!({}));
        world.run(None).await;
        assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()), "{names:?}");
        let stack = world.detail("deployment-error-stack");
        assert_eq!(stack, "[DEPLOYMENT_FAILURE, DEPLOYMENT_DOCUMENT_NOT_VALID]", "{names:?}");
        assert!(world.detail("deployment-failure-cause").contains(names[0]), "{names:?}");
        assert_eq!(world.versions(), BTreeMap::new(), "{names:?}");
    }
    let world = World::new();
    let life = world.start(Arc::new(Crash::default()));
    for name in ["..", "main", "-x"] {
        let request = LocalDeploymentRequest { add: [(name.into(), "1.0.0".to_owned())].into(), ..Default::default() };
        let refused = life.deployer.create_local(request).await;
        assert!(matches!(refused, Err(PortError::InvalidArguments(_))), "{name}");
    }
}

/// CR 4.4: a thing deployment arrives as text in the shadow, is told there with empty failure members, and is not
/// done twice.
#[tokio::test]
async fn a_thing_deployment_is_done_once() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    let arn = "arn:aws:greengrass:r:1:configuration:thing/core:1";
    world.cloud.lock().unwrap().shadow = json!({"desired": {
        "fleetConfigurationArn": arn,
        "fleetConfig": json!({"deploymentId": "t1", "configurationArn": arn, "creationTimestamp": 1,
            "components": {"app": {"version": "1.0.0", "configurationUpdate": {"merge": {"greeting": "hi"}}}}}).to_string(),
    }});
    world.run(None).await;
    assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()));
    let reported = world.cloud.lock().unwrap().shadow["reported"].clone();
    assert_eq!(reported["fleetConfigurationArnForStatus"], arn);
    assert_eq!(reported["statusDetails"]["errorStack"], json!([]));
    assert_eq!(world.services()["app"]["configuration"], json!({"greeting": "hi", "deep": {"from": "1.0.0"}}));
    let count = world.cloud.lock().unwrap().told.len();
    let life = world.start(Arc::new(Crash::default()));
    tokio::select! {
        () = life.deployer.run() => {}
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    assert_eq!(world.cloud.lock().unwrap().told.len(), count);
}

/// CR 4.1: a group's deployment that is older than the one in force is rejected.
#[tokio::test]
async fn a_stale_deployment_is_rejected() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("newer", &[("app", "1.0.0")], json!({"creationTimestamp": 2_000}));
    world.run(None).await;
    world.cloud.lock().unwrap().told.clear();
    world.deploy("late", &[("app", "1.0.0")], json!({"creationTimestamp": 1_000}));
    world.run(None).await;
    assert_eq!(world.told(), ("REJECTED".to_owned(), "REJECTED".to_owned()));
    assert_eq!(world.detail("deployment-error-stack"), "[DEPLOYMENT_REJECTED, REJECTED_STALE_DEPLOYMENT]");
}

/// CR 4.2: a document too large for a message is fetched whole.
#[tokio::test]
async fn an_abridged_document_is_fetched() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    let more =
        json!({"requiredCapabilities": ["LARGE_CONFIGURATION"], "wholeComponents": {"app": {"version": "1.0.0"}}});
    world.deploy("a", &[], more);
    world.run(None).await;
    assert_eq!(world.told().0, "SUCCEEDED");
    assert_eq!(world.versions()["app"], "1.0.0");
}

/// CR 4.12: the current and the distinct previous version stay, older ones go.
#[tokio::test]
async fn two_distinct_versions_stay() {
    let world = World::new();
    for (id, version) in [("a", "1.0.0"), ("bb", "2.0.0"), ("ccc", "3.0.0"), ("dddd", "3.0.0")] {
        world.publish("app", version, json!({"run": "fine"}), &[]);
        world.deploy(id, &[("app", version)], json!({}));
        world.cloud.lock().unwrap().told.clear();
        world.run(None).await;
        assert_eq!(world.told().0, "SUCCEEDED");
    }
    let files: Vec<String> = stored(&world).into_iter().map(|path| path.display().to_string()).collect();
    assert_eq!(files.iter().filter(|file| file.ends_with(".recipe.yaml")).count(), 2, "{files:?}");
    assert!(files.contains(&"packages/artifacts/app/2.0.0/app.txt".to_owned()), "{files:?}");
    assert!(!files.contains(&"packages/artifacts/app/1.0.0/app.txt".to_owned()), "{files:?}");
}

/// CR 4.8, 3.6: a component may defer, then agree; another rejects its new configuration.
#[tokio::test]
async fn components_have_their_say() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    world.run(None).await;
    world.cloud.lock().unwrap().told.clear();
    let more = json!({"components": {"app": {"configurationUpdate": {"merge": {"greeting": "bye"}}}}});
    world.deploy("bb", &[("app", "1.0.0")], more);
    let life = world.start(Arc::new(Crash::default()));
    let deployer = &life.deployer;
    let mut updates = deployer.component_updates("app");
    let mut validations = deployer.validations("app");
    assert!(matches!(deployer.defer("app", "bb", 0, None), Err(PortError::Service { .. })), "nobody asked yet");
    assert!(matches!(deployer.defer("other", "bb", 0, None), Err(PortError::InvalidArguments(_))));
    let say = async {
        let mut asked = 0;
        while asked < 2 {
            if let Some(ComponentUpdate::Pre { deployment_id, restarting }) = updates.recv().await {
                assert_eq!((deployment_id.as_str(), restarting), ("bb", false));
                deployer.defer("app", "bb", if asked == 0 { 20 } else { 0 }, None).unwrap();
                asked += 1;
            }
        }
        let request = validations.recv().await.unwrap();
        assert_eq!(request.configuration["greeting"], "bye");
        deployer.report_validity("app", "bb", Err(Some("never".to_owned()))).unwrap();
        assert!(matches!(deployer.report_validity("app", "bb", Ok(())), Err(PortError::InvalidArguments(_))));
        std::future::pending::<()>().await
    };
    tokio::select! {
        over = life.until_over() => assert!(over),
        () = say => {}
    }
    assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_NO_STATE_CHANGE".to_owned()));
    assert_eq!(world.detail("deployment-error-stack"), "[DEPLOYMENT_FAILURE, COMPONENT_CONFIGURATION_NOT_VALID]");
    assert!(world.detail("deployment-failure-cause").contains("never"));
    assert_eq!(world.services()["app"]["configuration"]["greeting"], "hello");
    assert_eq!(updates.recv().await, Some(ComponentUpdate::Post { deployment_id: "bb".to_owned() }));
}

/// CR 4.9: an activation that hangs says what it waits for, and ends when a limit is set.
#[tokio::test]
async fn a_hanging_activation_ends_at_its_limit() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "hang"}), &[]);
    let nucleus =
        json!({"version": "2.17.0", "configurationUpdate": {"merge": {"deployment": {"activationTimeoutSeconds": 1}}}});
    world.deploy("a", &[("app", "1.0.0")], json!({"components": {"aws.greengrass.Nucleus": nucleus}}));
    let life = world.start(Arc::new(Crash::default()));
    life.until("the wait for app", || {
        life.deployer.waiting_for().is_some_and(|(_, what)| what == "components to come up: app (STARTING)")
    })
    .await;
    assert!(life.until_over().await);
    assert_eq!(world.told(), ("FAILED".to_owned(), "FAILED_ROLLBACK_COMPLETE".to_owned()));
    assert!(world.detail("deployment-failure-cause").starts_with("not up within 1 s: app (STARTING)"));
}

/// The program may move the work to any thread.
#[tokio::test]
async fn the_work_can_be_spawned() {
    fn is_send(_: impl Send) {}
    is_send(World::new().start(Arc::new(Crash::default())).deployer.run());
}

/// CC 1.1: a part of the runtime that no root of any deployment needs any more leaves the tree, with its settings, and stays away in the
/// next life; what others need stays, and so do the nucleus and what every core has. A rollback brings it back as it was.
#[tokio::test]
async fn parts_of_the_runtime_go_with_their_last_deployment() {
    const PARTS: [&str; 4] = [
        "aws.greengrass.ShadowManager",
        "aws.greengrass.clientdevices.mqtt.Moquette",
        "aws.greengrass.crypto.Pkcs11Provider",
        "marram.FlowRuntime",
    ];
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[("aws.greengrass.ShadowManager", ">=2.0.0")]);
    world.publish("bad", "1.0.0", json!({"run": "break"}), &[]);
    let all = [
        ("app", "1.0.0"),
        ("aws.greengrass.Nucleus", "2.17.0"),
        ("aws.greengrass.clientdevices.mqtt.Moquette", "2.3.11"),
        ("aws.greengrass.crypto.Pkcs11Provider", "2.0.11"),
        ("marram.FlowRuntime", "1.0.0"),
    ];
    let flows =
        json!({"components": {"marram.FlowRuntime": {"configurationUpdate": {"merge": {"deployments": {"a": 1}}}}}});
    let deploy = async |id: &str, components: &[(&str, &str)], more: Value, end: &str| {
        world.deploy(id, components, more);
        world.cloud.lock().unwrap().told.clear();
        world.run(None).await;
        assert_eq!(world.told().1, end, "{id}");
        let there = world.versions();
        PARTS.map(|part| there.contains_key(part))
    };
    assert_eq!(deploy("a", &all, flows, "SUCCESSFUL").await, [true; 4]);
    let before = world.services();
    assert_eq!(deploy("bb", &[("bad", "1.0.0")], json!({}), "FAILED_ROLLBACK_COMPLETE").await, [true; 4]);
    assert_eq!(world.services(), before);
    assert_eq!(deploy("ccc", &[("app", "1.0.0")], json!({}), "SUCCESSFUL").await, [true, false, true, false]);
    assert!(world.versions().contains_key("aws.greengrass.Nucleus"));
    assert_eq!(world.services().get("marram.FlowRuntime"), None);
    assert_eq!(deploy("dddd", &[], json!({}), "SUCCESSFUL").await, [false, false, true, false]);
    // A new one begins with what its deployment says.
    assert!(deploy("eeeee", &[("marram.FlowRuntime", "1.0.0")], json!({}), "SUCCESSFUL").await[3]);
    assert_eq!(world.services()["marram.FlowRuntime"].pointer("/configuration/deployments"), None);
    let bad = [("bad", "1.0.0"), ("aws.greengrass.ShadowManager", "2.3.14")];
    let last = deploy("ffffff", &bad, json!({}), "FAILED_ROLLBACK_COMPLETE").await;
    assert_eq!(last, [false, false, true, true], "what a failed deployment brought goes again");
}

/// CR 4.7: the group's ARN in the records of roots is what the fleet status shows later.
#[tokio::test]
async fn roots_remember_who_asked() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({"deploymentName": "n"}));
    world.run(None).await;
    assert_eq!(
        world.groups(),
        json!({"thinggroup/g": {"app": {"version": "1.0.0", "groupConfigArn": ARN, "groupConfigName": "n"}}})
    );
    assert_eq!(world.services()["main"]["dependencies"], json!(["app:HARD"]));
}
