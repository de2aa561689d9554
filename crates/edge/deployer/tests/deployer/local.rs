//! Local deployments: what they take in, what they refuse, what they may wish.

use std::sync::Arc;

use marram_deployer::News;
use marram_edge_ports::{DeploymentStatus, Deployments, LocalConfigurationUpdate, LocalDeploymentRequest, PortError};
use serde_json::json;

use super::files::zip_of;
use super::world::{Crash, World, stored};

/// CR 4.5, 1.6, SEC-157: a local deployment takes in recipes and artifacts, unpacks safely, and reports its end.
#[tokio::test]
async fn a_local_deployment_takes_in_its_files() {
    let bomb = vec![0; 3 * 1024 * 1024];
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("good", zip_of(&[("dir/file", b"content", 0o644)]), None),
        ("escape", zip_of(&[("up/up1/file", b"content", 0o644)]), Some("IO_UNZIP_ERROR")),
        ("absolute", zip_of(&[("0etc/file", b"content", 0o644)]), Some("IO_UNZIP_ERROR")),
        ("link", zip_of(&[("link", b"/etc/passwd", 0o120_777)]), Some("IO_UNZIP_ERROR")),
        ("bomb", zip_of(&[("zeros", &bomb, 0o644)]), Some("IO_UNZIP_ERROR")),
        ("damaged", b"PK nothing".to_vec(), Some("IO_UNZIP_ERROR")),
    ];
    for (name, archive, code) in table {
        let world = World::new();
        world.cloud.lock().unwrap().offline = true;
        let files = tempfile::tempdir().unwrap();
        let recipe = "RecipeFormatVersion: 2020-01-25\nComponentName: app\nComponentVersion: 1.10.0\nManifests:\n  - Lifecycle: {run: fine}\n    Artifacts: [{URI: 's3://bucket/app.zip', Unarchive: ZIP, Permission: {Execute: OWNER}}]\n";
        std::fs::write(files.path().join("app.yaml"), recipe).unwrap();
        std::fs::write(files.path().join("empty.json"), "").unwrap();
        let folder = files.path().join("artifacts/app/1.10.0");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("app.zip"), archive).unwrap();
        let life = world.start(Arc::new(Crash::default()));
        let request = LocalDeploymentRequest {
            add: [("app".into(), "1.10.0".to_owned())].into(),
            configuration: [("app".into(), LocalConfigurationUpdate { merge: Some(json!({"k": 1})), reset: vec![] })]
                .into(),
            recipe_directory: Some(files.path().to_owned()),
            artifact_directory: Some(files.path().join("artifacts")),
            ..LocalDeploymentRequest::default()
        };
        let id = life.deployer.create_local(request).await.unwrap();
        assert_eq!(life.deployer.local_status(&id).unwrap().status, DeploymentStatus::Queued);
        let mut news = life.deployer.news();
        let status = || life.deployer.local_status(&id).unwrap();
        life.until("the end", || !matches!(status().status, DeploymentStatus::Queued | DeploymentStatus::InProgress))
            .await;
        let unpacked = world.folder.path().join("packages/artifacts-unarchived/app/1.10.0/app/dir/file");
        match code {
            None => {
                assert_eq!(status().detailed_status, "SUCCESSFUL", "{name}: {:?}", status());
                assert_eq!(std::fs::read_to_string(unpacked).unwrap(), "content");
                assert_eq!(world.services()["app"]["configuration"], json!({"k": 1}));
                assert_eq!(world.groups()["LOCAL_DEPLOYMENT"]["app"]["version"], "1.10.0");
                assert_eq!(news.try_recv().unwrap(), News::Began);
                let News::Ended(outcome) = news.try_recv().unwrap() else { panic!("{name}: it began twice") };
                assert_eq!(outcome.record, status());
            }
            Some(code) => {
                assert_eq!(status().error_stack.last().unwrap(), code, "{name}: {:?}", status());
                assert_eq!(status().detailed_status, "FAILED_NO_STATE_CHANGE");
                assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 2, "{name}: nothing outside");
                assert!(stored(&world).iter().all(|path| !path.display().to_string().contains("unpacking")), "{name}");
            }
        }
    }
}

/// CR 4.5: what the door refuses at once; SEC-157: a local artifact that was changed after it was taken in is found out.
#[tokio::test]
async fn local_requests_are_checked() {
    let world = World::new();
    world.cloud.lock().unwrap().offline = true;
    let life = world.start(Arc::new(Crash::default()));
    let packages = world.folder.path().join("packages/artifacts");
    let missing = world.folder.path().join("none");
    let refused = |request: LocalDeploymentRequest| async { life.deployer.create_local(request).await.unwrap_err() };
    let request = LocalDeploymentRequest { recipe_directory: Some(missing), ..Default::default() };
    assert!(matches!(refused(request).await, PortError::InvalidRecipeDirectory(_)));
    let request = LocalDeploymentRequest { artifact_directory: Some(packages), ..Default::default() };
    assert!(matches!(refused(request).await, PortError::InvalidArtifactsDirectory(_)));
    let request = LocalDeploymentRequest { group_name: Some("a:b".to_owned()), ..Default::default() };
    assert!(matches!(refused(request).await, PortError::InvalidArguments(_)));
    assert!(matches!(life.deployer.local_status("no uuid"), Err(PortError::InvalidArguments(_))));
    let unknown = life.deployer.local_status("5c8b7f2e-0000-4000-8000-000000000000");
    assert!(matches!(unknown, Err(PortError::ResourceNotFound { .. })));
    // a queued one is taken back at once
    let id = life.deployer.create_local(LocalDeploymentRequest::default()).await.unwrap();
    life.deployer.cancel_local(&id).await.unwrap();
    assert_eq!(life.deployer.local_status(&id).unwrap().status, DeploymentStatus::Canceled);
    assert!(life.deployer.cancel_local(&id).await.is_err());
}

/// CR 4.8: nobody has to wait for the network to learn that a local deployment fails.
#[tokio::test]
async fn a_local_deployment_does_not_wait_for_the_network() {
    let world = World::new();
    world.cloud.lock().unwrap().unreachable = true;
    let life = world.start(Arc::new(Crash::default()));
    let request = LocalDeploymentRequest { add: [("app".into(), "1.0.0".to_owned())].into(), ..Default::default() };
    let id = life.deployer.create_local(request).await.unwrap();
    let status = || life.deployer.local_status(&id).unwrap();
    life.until("the end", || status().status == DeploymentStatus::Failed).await;
    assert_eq!(status().error_stack, ["DEPLOYMENT_FAILURE", "CLOUD_API_ERROR", "NETWORK_ERROR"]);
}

/// CR 4.5: a wish for what is not there, or is not this device's to decide, fails with the reason and changes nothing.
#[tokio::test]
async fn local_wishes_without_effect_fail() {
    let world = World::new();
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[("lib", "^1.0.0")]);
    world.publish("lib", "1.3.0", json!({"run": "fine"}), &[]);
    world.publish("own", "1.0.0", json!({"run": "fine"}), &[]);
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    world.run(None).await;
    let life = world.start(Arc::new(Crash::default()));
    let request = |add: &[&str], remove: &[&str], configure: &[&str]| {
        let update = || LocalConfigurationUpdate { merge: Some(json!({"k": 1})), reset: vec![] };
        LocalDeploymentRequest {
            add: add.iter().map(|name| ((*name).into(), "1.0.0".to_owned())).collect(),
            remove: remove.iter().map(|name| (*name).into()).collect(),
            configuration: configure.iter().map(|name| ((*name).into(), update())).collect(),
            ..LocalDeploymentRequest::default()
        }
    };
    let end = async |request: LocalDeploymentRequest| {
        let id = life.deployer.create_local(request).await.unwrap();
        let status = || life.deployer.local_status(&id).unwrap();
        let is_over = || !matches!(status().status, DeploymentStatus::Queued | DeploymentStatus::InProgress);
        life.until("the end", is_over).await;
        status()
    };
    let before = world.services();
    #[rustfmt::skip]
    let table = [
        (request(&[], &["com.typo"], &[]), "there is no component com.typo to be removed. Nothing was changed"),
        (request(&[], &["app"], &[]), "app cannot be removed here: it belongs to thinggroup/g; take it out of that deployment. Nothing was changed"),
        (request(&[], &["lib"], &[]), "lib cannot be removed: it is there because others depend on it; remove those. Nothing was changed"),
        (request(&[], &[], &["com.typo"]), "com.typo cannot be configured: it is neither deployed nor a part of this deployment. Nothing was changed"),
        (request(&["own"], &[], &["App"]), "App cannot be configured: it is neither deployed nor a part of this deployment (there is app). Nothing was changed"),
    ];
    for (request, words) in table {
        let status = end(request).await;
        assert_eq!(status.failure_cause.as_deref(), Some(words));
        assert_eq!(status.detailed_status, "FAILED_NO_STATE_CHANGE", "{words}");
        assert_eq!(world.services(), before, "{words}");
    }
    for request in [request(&["own"], &[], &["own", "lib"]), request(&[], &["own"], &[])] {
        let status = end(request).await;
        assert_eq!(status.detailed_status, "SUCCESSFUL", "{status:?}");
    }
}
