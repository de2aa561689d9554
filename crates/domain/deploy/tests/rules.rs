//! The rules of CR 4 as tables.

#![allow(clippy::type_complexity)] // tables of cases

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_deploy::{
    Ask, DeploymentDocument, DetailedStatus, DocumentError, ErrorCode, Failure, FailurePolicy, GroupRoot, Groups,
    LOCAL_GROUP, Local, Paths, Plan, PlanInput, Resolved, Resolver, ServiceInput, Staleness, UpdateAction, Wanted,
    group_key, order, service_tree, status_details, unsafe_interpolations,
};
use marram_recipe::{Recipe, read};
use marram_version::Version;
use serde_json::{Value, json};
use smol_str::SmolStr;

fn recipe(name: &str, version: &str, dependencies: &[(&str, &str)]) -> Arc<Recipe> {
    let dependencies: BTreeMap<&str, Value> =
        dependencies.iter().map(|(name, range)| (*name, json!({"VersionRequirement": range}))).collect();
    full_recipe(
        json!({"ComponentName": name, "ComponentVersion": version, "ComponentDependencies": dependencies, "Manifests": [{}]}),
    )
}

fn full_recipe(mut text: Value) -> Arc<Recipe> {
    text["RecipeFormatVersion"] = json!("2020-01-25");
    let reading = read(text.to_string().as_bytes());
    Arc::new(reading.recipe.unwrap_or_else(|| panic!("{:?}", reading.findings)))
}

/// A catalogue: what the cloud has, and what the core has.
#[derive(Default)]
struct World {
    cloud: Vec<Arc<Recipe>>,
    stored: Vec<Arc<Recipe>>,
    active: BTreeMap<&'static str, &'static str>,
    offline: bool,
    asked: Vec<String>,
}

impl World {
    fn resolve(&mut self, wanted: &[(&str, &str, &str)]) -> Result<String, Failure> {
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|(name, requirement, origin)| Wanted {
                name: (*name).into(),
                requirement: (*requirement).to_owned(),
                origin: (*origin).to_owned(),
            })
            .collect();
        let mut resolver = Resolver::new(&wanted, !self.offline)?;
        for _ in 0..1_000 {
            match resolver.next()? {
                Ask::Local { name } => {
                    let active = self.active.get(name.as_str()).map(|text| text.parse().unwrap());
                    let stored = self.stored.iter().filter(|recipe| recipe.name == name);
                    let stored = stored.map(|recipe| recipe.version.clone()).collect();
                    resolver.local(&Local { active, stored })?;
                }
                Ask::Cloud { name, candidate, requirements } => {
                    self.asked.push(format!("{name} {candidate:?} {requirements:?}"));
                    let fits = |recipe: &&Arc<Recipe>| {
                        recipe.name == name
                            && requirements.iter().all(|(_, text)| {
                                text.parse::<marram_version::Requirement>().unwrap().matches(&recipe.version)
                            })
                    };
                    let best = self.cloud.iter().filter(fits).max_by(|a, b| a.version.cmp(&b.version));
                    let none = || Failure::new(ErrorCode::NoAvailableComponentVersion, "no usable version");
                    resolver.cloud(best.cloned().ok_or_else(none))?;
                }
                Ask::Recipe { name, version } => {
                    let found = self.stored.iter().find(|recipe| recipe.name == name && recipe.version == version);
                    resolver.recipe(found.cloned().unwrap())?;
                }
                Ask::Done(set) => {
                    let all = set.components.iter().map(|(name, resolved)| format!("{name} {}", resolved.version));
                    return Ok(all.collect::<Vec<_>>().join(", "));
                }
            }
        }
        panic!("the resolver does not end");
    }
}

/// CR 4.7: the newest that fits everybody; a later requirement revises an earlier choice and what it had pulled in.
#[test]
fn versions_fit_everybody() {
    let mut world = World {
        cloud: vec![
            recipe("a", "1.0.0", &[("lib", "^1.0.0"), ("aws.greengrass.TokenExchangeService", "^2.0.0")]),
            recipe("b", "1.0.0", &[("lib", "<1.5.0")]),
            recipe("lib", "1.9.0", &[("extra", "*")]),
            recipe("lib", "1.4.0", &[]),
            recipe("extra", "1.0.0", &[]),
        ],
        ..World::default()
    };
    let only_a = world.resolve(&[("a", "1.0.0", "thinggroup/g")]).unwrap();
    assert_eq!(only_a, "a 1.0.0, aws.greengrass.TokenExchangeService 2.0.3, extra 1.0.0, lib 1.9.0");
    let both = world.resolve(&[("a", "1.0.0", "thinggroup/g"), ("b", "1.0.0", "thing/t")]).unwrap();
    assert_eq!(
        both, "a 1.0.0, aws.greengrass.TokenExchangeService 2.0.3, b 1.0.0, lib 1.4.0",
        "extra leaves with lib 1.9.0"
    );
    assert_eq!(world.asked[0], r#"a None [("thinggroup/g", "=1.0.0")]"#);
}

/// CR 4.7: what stands on the core comes first: active, else highest stored; local roots never ask the cloud; a refusal of
/// the cloud is no failure while something stored fits.
#[test]
fn the_cores_own_versions_come_first() {
    let stored = || vec![recipe("x", "1.0.0", &[]), recipe("x", "1.2.0", &[])];
    let mut world = World { stored: stored(), offline: true, ..World::default() };
    assert_eq!(world.resolve(&[("x", "^1.0.0", "thing/t")]).unwrap(), "x 1.2.0");
    world.active.insert("x", "1.0.0");
    assert_eq!(world.resolve(&[("x", "^1.0.0", "thing/t")]).unwrap(), "x 1.0.0");
    let mut world = World { stored: stored(), ..World::default() };
    assert_eq!(world.resolve(&[("x", "1.0.0", LOCAL_GROUP)]).unwrap(), "x 1.0.0");
    assert_eq!(world.asked, Vec::<String>::new());
    assert_eq!(world.resolve(&[("x", "1.0.0", "thing/t")]).unwrap(), "x 1.0.0");
    assert_eq!(world.asked, [r#"x Some(Version(1.0.0)) [("thing/t", "=1.0.0")]"#]);
}

/// CR 4.7: a conflict names every requirement and where it comes from; each refusal has its code.
#[test]
fn refusals_name_their_causes() {
    let mut world = World {
        cloud: vec![
            recipe("x", "1.0.0", &[("y", "^1.0.0")]),
            recipe("y", "1.0.0", &[]),
            recipe("y", "2.0.0", &[]),
            recipe("bad", "1.0.0", &[("y", "latest")]),
            recipe("p", "1.0.0", &[("q", "*")]),
            recipe("q", "1.0.0", &[("p", "*")]),
            recipe("needs-nucleus", "1.0.0", &[("aws.greengrass.Nucleus", "^3.0.0")]),
            full_recipe(
                json!({"ComponentName": "plug", "ComponentVersion": "1.0.0", "ComponentType": "aws.greengrass.plugin", "Manifests": [{}]}),
            ),
            full_recipe(
                json!({"ComponentName": "nuc", "ComponentVersion": "1.0.0", "ComponentType": "aws.greengrass.nucleus", "Manifests": [{}]}),
            ),
        ],
        ..World::default()
    };
    #[rustfmt::skip]
    let table: &[(&[(&str, &str, &str)], ErrorCode, &str)] = &[
        (&[("x", "1.0.0", "thing/t"), ("y", "2.0.0", "thinggroup/a")], ErrorCode::ComponentVersionRequirementsNotMet,
            "y: group thinggroup/a pins 2.0.0; component x requires ^1.0.0: no version can meet all of them"),
        (&[("z", "1.0.0", "thing/t")], ErrorCode::NoAvailableComponentVersion, "no usable version; z: group thing/t pins 1.0.0"),
        (&[("z", "one", "thing/t")], ErrorCode::ComponentVersionNotValid,
            "thing/t asks for z one: `one` is not a version comparator; write for example ^1.2.0, ~1.2.0, >=1.0.0 <2.0.0 or 1.2.x"),
        (&[("bad", "1.0.0", "thing/t")], ErrorCode::ComponentDependencyNotValid,
            "component bad 1.0.0 requires y: `latest` is not a version comparator; write for example ^1.2.0, ~1.2.0, >=1.0.0 <2.0.0 or 1.2.x"),
        (&[("p", "1.0.0", "thing/t")], ErrorCode::ComponentCircularDependency,
            "components depend on each other in a circle: p -> q -> p"),
        (&[("needs-nucleus", "1.0.0", "thing/t")], ErrorCode::ComponentVersionRequirementsNotMet,
            "aws.greengrass.Nucleus: component needs-nucleus requires ^3.0.0: this runtime is aws.greengrass.Nucleus 2.17.0"),
        (&[("plug", "1.0.0", "thing/t")], ErrorCode::CustomPluginNotSupported,
            "plug 1.0.0 is a plugin of the original nucleus; this core cannot load it"),
        (&[("nuc", "1.0.0", "thing/t")], ErrorCode::MultipleNucleusResolved,
            "nuc 1.0.0 is a nucleus, and this core runs aws.greengrass.Nucleus already"),
    ];
    for (wanted, code, cause) in table {
        let failure = world.resolve(wanted).unwrap_err();
        assert_eq!((failure.codes.as_slice(), failure.cause.as_str()), (&[*code][..], *cause));
    }
    assert_eq!(
        world.resolve(&[("aws.greengrass.Nucleus", "2.9.2", "thing/t")]).unwrap(),
        "aws.greengrass.Nucleus 2.17.0",
        "a group may pin any version of the runtime's major"
    );
}

/// CR 4.2: any case, defaults, both forms of merge, and what is refused.
#[test]
fn documents_are_read_tolerantly() {
    let document = DeploymentDocument::from_value(&json!({
        "DEPLOYMENTID": "d1", "configurationArn": "arn:aws:greengrass:r:1:configuration:thinggroup/g:7", "unknown": 1,
        "creationTimestamp": 12, "componentUpdatePolicy": {"action": "SKIP_NOTIFY_COMPONENTS", "timeout": 5},
        "failureHandlingPolicy": "do_nothing", "requiredCapabilities": ["large_configuration", "TELEPORT"],
        "Components": {
            "a": {"version": "1.0.0", "configurationUpdate": {"merge": "{\"k\": 1}", "reset": ["/x"]}},
            "b": {"version": "2.0.0", "runWith": {"posixUser": "", "systemResourceLimits": {"memory": 100, "cpus": 0.5}}},
        },
    }))
    .unwrap();
    assert_eq!(document.group_key().unwrap(), "thinggroup/g");
    assert_eq!(document.components["a"].merge, Some(json!({"k": 1})));
    assert_eq!(document.components["b"].run_with.posix_user, Some(None));
    assert_eq!(document.failure_policy, FailurePolicy::DoNothing);
    assert_eq!((document.update_action, document.update_timeout_secs), (UpdateAction::Skip, 5));
    assert_eq!(document.validation_timeout_secs, 20);
    assert_eq!(document.missing_capabilities(), ["TELEPORT"]);
    assert!(!document.is_abridged());

    for (value, wanted) in [
        (json!([]), DocumentError::Parse("it is no object".to_owned())),
        (json!({}), DocumentError::NotValid("configurationArn is missing".to_owned())),
        (
            json!({"configurationArn": "x", "components": {"a": {}}}),
            DocumentError::NotValid("component a has no version".to_owned()),
        ),
    ] {
        assert_eq!(DeploymentDocument::from_value(&value), Err(wanted));
    }
    for (arn, key) in [
        ("arn:aws:greengrass:r:1:configuration:thing/a:b:12", Some("thing/a:b")),
        ("arn:aws:iot:r:1:thinggroup/g", Some("thinggroup/g")),
        ("arn:aws:iot:r:1:thing/", None),
        ("nonsense", None),
    ] {
        assert_eq!(group_key(arn).as_deref(), key, "{arn}");
    }
}

/// CR 4.1, 4.6: other groups stay in force, groups left behind lose their roots at the next deployment.
#[test]
fn groups_are_joined() {
    let root = |version: &str| GroupRoot {
        version: version.to_owned(),
        config_arn: "arn".to_owned(),
        config_name: "n".to_owned(),
    };
    let mut groups = Groups::default();
    groups.set("thinggroup/a", [("x".into(), root("1.0.0"))].into(), 10, "arn-a");
    groups.set("thinggroup/left", [("y".into(), root("1.0.0"))].into(), 10, "arn-l");
    groups.set(LOCAL_GROUP, [("z".into(), root("1.0.0"))].into(), 10, "");
    groups.set("thing/t", [("x".into(), root("1.0.0"))].into(), 10, "arn-t");
    groups.membership = ["thinggroup/a".to_owned()].into();
    groups.forget_left_groups("thinggroup/new");
    let origins: Vec<String> =
        groups.wanted().into_iter().map(|wanted| format!("{} {}", wanted.origin, wanted.name)).collect();
    assert_eq!(origins, ["LOCAL_DEPLOYMENT z", "thing/t x", "thinggroup/a x"]);
    assert_eq!(groups.staleness("thinggroup/a", 9), Staleness::Stale);
    assert_eq!(groups.staleness("thinggroup/a", 10), Staleness::Fresh);
    let back = Groups::read(Some(&groups.roots_value()), Some(&groups.last_value()), Some(&groups.membership_value()));
    assert_eq!(back, groups);
    assert_eq!(groups.component_to_groups()["x"], json!({"thing/t": "arn", "thinggroup/a": "arn"}));
}

/// CR 2.6: dependencies first, by name where nothing else decides; a long chain is no matter.
#[test]
fn the_order_puts_dependencies_first() {
    let graph = |edges: &[(&str, &[&str])]| -> BTreeMap<SmolStr, Vec<SmolStr>> {
        edges.iter().map(|(name, all)| ((*name).into(), all.iter().map(|one| SmolStr::from(*one)).collect())).collect()
    };
    assert_eq!(order(&graph(&[("a", &["c", "b"]), ("b", &["c"]), ("c", &["unknown"])])).unwrap(), ["c", "b", "a"]);
    assert_eq!(order(&graph(&[("a", &["b"]), ("b", &["a"])])).unwrap_err().path, ["a", "b", "a"]);
    assert_eq!(order(&graph(&[("a", &["a"])])).unwrap_err().path, ["a", "a"]);
    let names: Vec<String> = (0..20_000).map(|n| format!("n{n:05}")).collect();
    let chain = names.windows(2).map(|pair| (SmolStr::from(&pair[0]), vec![SmolStr::from(&pair[1])])).collect();
    assert_eq!(order(&chain).unwrap().len(), 19_999);
}

/// CR 1.7, 4.9, 4.10: what is new, changed, gone; when a bootstrap is due; what restarts the runtime.
#[test]
fn plans_tell_what_changes() {
    let tree = |version: &str, extra: Value| {
        let mut tree = json!({"version": version, "lifecycle": {"Bootstrap": "prepare"}, "runtime": {"port": 1}});
        tree.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        tree
    };
    let now = BTreeMap::from([
        ("same".into(), tree("1.0.0", json!({"configuration": {}}))),
        ("moved".into(), tree("1.0.0", json!({}))),
        ("configured".into(), tree("1.0.0", json!({"configuration": {"k": 1}}))),
        ("gone".into(), tree("1.0.0", json!({}))),
        ("aws.greengrass.Nucleus".into(), json!({"version": "2.17.0", "configuration": {"mqtt": {"port": 1}}})),
    ]);
    let new = BTreeMap::from([
        ("same".into(), tree("1.0.0", json!({"runtime": {}}))),
        ("moved".into(), tree("2.0.0", json!({}))),
        ("configured".into(), tree("1.0.0", json!({"configuration": {"k": 2}}))),
        ("added".into(), json!({"version": "1.0.0", "dependencies": ["moved:HARD", "same:SOFT"]})),
        (
            "aws.greengrass.Nucleus".into(),
            json!({"version": "2.17.0", "configuration": {"mqtt": {"port": 2}, "fipsMode": "true"}}),
        ),
    ]);
    let plan = Plan::new(PlanInput { now: &now, new: &new }).unwrap();
    assert_eq!(plan.added, ["added"]);
    assert_eq!(plan.updated, ["moved", "aws.greengrass.Nucleus", "configured"]);
    assert_eq!(plan.removed, ["gone"]);
    assert_eq!(plan.bootstrap, ["moved"]);
    assert_eq!(plan.restart_settings, ["/fipsMode"]);
    assert!(plan.restarts());
    assert!(!plan.tracked().any(|name| name == "aws.greengrass.Nucleus"));
    let nothing = Plan::new(PlanInput { now: &now, new: &now }).unwrap();
    assert!(nothing.is_empty());
}

/// CR 1.8, 3.2: the tree of a component: variables of itself and of direct dependencies, the distinct previous version.
/// SEC-155: a value that a privileged script's shell would execute is named.
#[test]
fn trees_are_built_and_interpolated() {
    let app = full_recipe(json!({
        "ComponentName": "app", "ComponentVersion": "2.0.0",
        "ComponentDependencies": {"dep": {"VersionRequirement": "*", "DependencyType": "SOFT"}},
        "Manifests": [{"Lifecycle": {"run": {
            "Script": "{artifacts:path}/run {configuration:/port} {dep:configuration:/Name} {far:configuration:/x} {configuration:/none}",
            "RequiresPrivilege": true}}}],
    }));
    let set = BTreeMap::from([
        ("app".into(), Resolved { version: app.version.clone(), recipe: Some(app.clone()) }),
        (
            "dep".into(),
            Resolved { version: "1.0.0".parse::<Version>().unwrap(), recipe: Some(recipe("dep", "1.0.0", &[])) },
        ),
    ]);
    let configurations = BTreeMap::from([
        ("app".into(), json!({"port": "1; $(reboot)", "where": "{iot:thingName} {configuration:/port}"})),
        ("dep".into(), json!({"name": "n"})),
    ]);
    let paths = Paths { root: "/root".to_owned(), thing_name: "core".to_owned() };
    let now = json!({"version": "2.0.0", "previousVersion": "1.0.0", "runWith": {"posixUser": "u"}});
    let name = SmolStr::from("app");
    let input = ServiceInput {
        name: &name,
        resolved: &set["app"],
        manifest: app.manifests.first(),
        set: &set,
        configurations: &configurations,
        now: Some(&now),
        run_with: None,
        paths: &paths,
        interpolate_configuration: true,
    };
    let (tree, unresolved) = service_tree(&input);
    assert_eq!(
        tree,
        json!({
            "version": "2.0.0", "previousVersion": "1.0.0", "componentType": "GENERIC", "dependencies": ["dep:SOFT"],
            "configuration": {"port": "1; $(reboot)", "where": "core {configuration:/port}"},
            "runWith": {"posixUser": "u"},
            "lifecycle": {"run": {
                "Script": "/root/packages/artifacts/app/2.0.0/run 1; $(reboot) n {far:configuration:/x} {configuration:/none}",
                "RequiresPrivilege": true}},
        })
    );
    assert_eq!(unresolved, ["{configuration:/port}", "{far:configuration:/x}", "{configuration:/none}"]);
    let found = unsafe_interpolations(&input);
    assert_eq!(found.iter().map(|one| one.variable.as_str()).collect::<Vec<_>>(), ["{configuration:/port}"]);
}

/// CR 4.3, 4.4, 4.11: how a failure is worded; every code has the type of its row.
#[test]
fn failures_are_reported_from_general_to_specific() {
    let failure = Failure::of(&[ErrorCode::IoError, ErrorCode::DiskSpaceCritical], "full")
        .within(ErrorCode::ArtifactDownloadError);
    let report = failure.report();
    assert_eq!(report.stack, ["DEPLOYMENT_FAILURE", "ARTIFACT_DOWNLOAD_ERROR", "IO_ERROR", "DISK_SPACE_CRITICAL"]);
    assert_eq!(report.types, ["DEVICE_ERROR"]);
    let details = status_details(DetailedStatus::FailedRollbackComplete, Some(&report));
    assert_eq!(
        details.job["deployment-error-stack"],
        "[DEPLOYMENT_FAILURE, ARTIFACT_DOWNLOAD_ERROR, IO_ERROR, DISK_SPACE_CRITICAL]"
    );
    assert_eq!(details.shadow["errorTypes"], json!(["DEVICE_ERROR"]));
    let fine = status_details(DetailedStatus::Successful, None);
    assert_eq!(
        fine.shadow,
        json!({"detailedStatus": "SUCCESSFUL", "failureCause": "", "errorStack": [], "errorTypes": []})
    );
    assert_eq!(Failure::broken("aws.greengrass.X", None).report().types, ["AWS_COMPONENT_ERROR"]);
    assert_eq!(Failure::new(ErrorCode::RejectedStaleDeployment, "old").report().stack[0], "DEPLOYMENT_REJECTED");
    for (code, kind) in [
        ("COMPONENT_BOOTSTRAP_ERROR", "NONE"),
        ("NUCLEUS_MISSING_REQUIRED_CAPABILITIES", "REQUEST_ERROR"),
        ("ACCESS_DENIED", "PERMISSION_ERROR"),
        ("MQTT_CONNECTION_FAILED", "NETWORK_ERROR"),
        ("HTTP_REQUEST_ERROR", "HTTP_ERROR"),
        ("S3_SERVER_ERROR", "SERVER_ERROR"),
        ("IO_WRITE_ERROR", "DEVICE_ERROR"),
        ("COMPONENT_VERSION_NOT_VALID", "COMPONENT_RECIPE_ERROR"),
        ("DOCKER_ERROR", "DEPENDENCY_ERROR"),
        ("DEPLOYMENT_DOCUMENT_SIZE_EXCEEDED", "CLOUD_SERVICE_ERROR"),
        ("BAD_REQUEST", "NUCLEUS_ERROR"),
        ("DEPLOYMENT_TYPE_NOT_VALID", "UNKNOWN_ERROR"),
        ("CUSTOM_PLUGIN_NOT_SUPPORTED", "USER_COMPONENT_ERROR"),
    ] {
        let found = ErrorCode::ALL.iter().find(|one| one.as_str() == code).unwrap();
        assert_eq!(found.error_type().as_str(), kind, "{code}");
    }
    assert_eq!(ErrorCode::ALL.len(), 103, "one for each word of the table");
}
