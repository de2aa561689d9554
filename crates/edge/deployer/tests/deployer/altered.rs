//! Deployments on a core that has a component whose files were altered and cannot be had again.

use std::sync::Arc;

use marram_edge_ports::{
    ComponentState, DeploymentRecord, DeploymentStatus, Deployments, LocalConfigurationUpdate, LocalDeploymentRequest,
    Nucleus,
};
use serde_json::json;

use super::world::{Crash, World};

/// CR 4.9, SEC-157: it stays BROKEN and fails no deployment that is not about it; one that names it says what to do, one that needs it
/// fails because of it, and one that removes it works.
#[tokio::test]
async fn an_altered_component_fails_only_deployments_that_are_about_it() {
    let world = World::new();
    world.cloud.lock().unwrap().offline = true;
    let files = tempfile::tempdir().unwrap();
    for (name, needs) in
        [("app", ""), ("other", ""), ("user", "ComponentDependencies: {app: {VersionRequirement: '*'}}\n")]
    {
        let artifacts = if name == "app" { "\n    Artifacts: [{URI: 's3://bucket/app.txt'}]" } else { "" };
        let recipe = format!(
            "RecipeFormatVersion: 2020-01-25\nComponentName: {name}\nComponentVersion: 1.0.0\n{needs}Manifests:\n  - Lifecycle: {{run: fine}}{artifacts}\n"
        );
        std::fs::write(files.path().join(format!("{name}.yaml")), recipe).unwrap();
    }
    let given = files.path().join("artifacts/app/1.0.0");
    std::fs::create_dir_all(&given).unwrap();
    std::fs::write(given.join("app.txt"), "right").unwrap();
    let life = world.start(Arc::new(Crash::default()));
    let deploy = async |request: LocalDeploymentRequest| -> DeploymentRecord {
        let id = life.deployer.create_local(request).await.unwrap();
        let status = || life.deployer.local_status(&id).unwrap();
        let is_over = || !matches!(status().status, DeploymentStatus::Queued | DeploymentStatus::InProgress);
        life.until("the end", is_over).await;
        status()
    };
    let add = |name: &str| LocalDeploymentRequest {
        add: [(name.into(), "1.0.0".to_owned())].into(),
        recipe_directory: Some(files.path().to_owned()),
        rollback_on_failure: true,
        ..LocalDeploymentRequest::default()
    };
    let remove = |name: &str| LocalDeploymentRequest { remove: vec![name.into()], ..LocalDeploymentRequest::default() };
    let with_files =
        || LocalDeploymentRequest { artifact_directory: Some(files.path().join("artifacts")), ..add("app") };
    let state = || life.nucleus.state("app").map(|(state, _)| state);
    let artifact = world.folder.path().join("packages/artifacts/app/1.0.0/app.txt");
    let is_done = |record: &DeploymentRecord| record.detailed_status == "SUCCESSFUL";

    assert!(is_done(&deploy(with_files()).await) && is_done(&deploy(add("user")).await));
    let app = |merge| LocalConfigurationUpdate { merge: Some(merge), ..Default::default() };
    let configure = |name: &str| LocalDeploymentRequest {
        configuration: [(name.into(), app(json!({"a": 1})))].into(),
        ..LocalDeploymentRequest::default()
    };

    for damage in ["altered", "gone"] {
        match damage {
            "gone" => std::fs::remove_file(&artifact).unwrap(),
            _ => std::fs::write(&artifact, damage).unwrap(),
        }
        let ended = deploy(add("other")).await;
        assert!(is_done(&ended), "{damage}: {ended:?}");
        assert!(ended.notes[0].starts_with("app is left as it is, because its files are not in order"), "{ended:?}");
        if damage == "altered" {
            assert_eq!(state(), Some(ComponentState::Broken));
            assert_eq!(life.deployer.tampered().len(), 1, "it is told of all the same");
        }
        assert!(is_done(&deploy(configure("other")).await), "{damage}");
        for about in [add("app"), configure("app")] {
            let ended = deploy(about).await;
            assert_eq!(ended.detailed_status, "FAILED_NO_STATE_CHANGE", "{damage}: {ended:?}");
        }
        let needs = deploy(configure("user")).await;
        assert_eq!(is_done(&needs), damage == "gone", "{damage}: {needs:?}");
        assert!(is_done(&deploy(remove("other")).await), "{damage}");
        assert!(is_done(&deploy(with_files()).await), "{damage}");
        assert_eq!(state(), Some(ComponentState::Running));
    }

    std::fs::write(&artifact, "altered").unwrap();
    assert!(is_done(&deploy(remove("user")).await));
    assert!(is_done(&deploy(remove("app")).await));
    assert_eq!(state(), None);
    assert!(!world.versions().contains_key("app"));
}
