//! Files of components are held to what was taken in.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use marram_edge_ports::{DeploymentStatus, Deployments, Files, FilesError, LocalDeploymentRequest};
use serde_json::{Value, json};

use super::world::{Crash, World, stored};

/// A ZIP archive of names, contents and modes; `up/up1/file` and `0etc/file` become names that lead out of it.
pub(super) fn zip_of(members: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content, mode) in members {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        if *mode == 0o120_777 {
            archive.add_symlink(*name, String::from_utf8_lossy(content), options).unwrap();
            continue;
        }
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    // the writer would not write such names
    let mut bytes = archive.finish().unwrap().into_inner();
    for (from, to) in [(&b"up/up1/file"[..], &b"../../file1"[..]), (b"0etc/file", b"/etc/file")] {
        while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// CR 1.6, SEC-157: what was changed on the disk is not started, whatever was changed and whenever; the next deployment of the same
/// version mends it. What is only touched or added does not matter.
#[tokio::test]
async fn what_was_changed_on_the_disk_is_not_started() {
    let world = World::new();
    let archive = zip_of(&[("dir/lib.py", b"right", 0o644), ("tool", b"run", 0o644)]);
    world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
    {
        let mut cloud = world.cloud.lock().unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &archive);
        let recipe = cloud.recipes.get_mut(&("app".to_owned(), "1.0.0".to_owned())).unwrap();
        recipe["Manifests"][0]["Artifacts"].as_array_mut().unwrap().push(json!({
            "Uri": "greengrass:app/1.0.0/tree.zip", "Algorithm": "SHA-256", "Unarchive": "ZIP",
            "Digest": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest),
        }));
        cloud.artifacts.insert("app/1.0.0/tree.zip".to_owned(), archive);
    }
    world.deploy("a", &[("app", "1.0.0")], json!({}));
    world.run(None).await;
    assert_eq!(world.told(), ("SUCCEEDED".to_owned(), "SUCCESSFUL".to_owned()));
    let packages = world.folder.path().join("packages");
    let (plain, zip) = (packages.join("artifacts/app/1.0.0/app.txt"), packages.join("artifacts/app/1.0.0/tree.zip"));
    let unpacked = packages.join("artifacts-unarchived/app/1.0.0/tree");
    let kept = |suffix: &str| {
        let found = stored(&world).into_iter().find(|path| path.display().to_string().ends_with(suffix));
        world.folder.path().join(found.unwrap_or_else(|| panic!("no {suffix}")))
    };
    let (recipe, record) = (kept(".recipe.yaml"), kept(".unpacked.json"));
    let write = |path: &Path, text: &str| {
        let _ = std::fs::remove_file(path);
        std::fs::write(path, text).unwrap();
    };
    let other = "has another content than it came with (SHA-256 ";
    type Damage<'a> = Box<dyn Fn() + 'a>;
    #[rustfmt::skip]
    let table: Vec<(&str, Damage<'_>, Option<String>)> = vec![
        ("nothing", Box::new(|| {}), None),
        ("touched", Box::new(|| write(&plain, "artifact of app 1.0.0")), None),
        ("added", Box::new(|| write(&unpacked.join("dir/cache.pyc"), "new")), None),
        ("same length", Box::new(|| write(&plain, "artifact of app 1.0.1")), Some(format!("packages/artifacts/app/1.0.0/app.txt {other}"))),
        ("within the archive", Box::new(|| write(&unpacked.join("dir/lib.py"), "wrong")), Some(format!("packages/artifacts-unarchived/app/1.0.0/tree/dir/lib.py {other}"))),
        ("gone", Box::new(|| std::fs::remove_file(unpacked.join("tool")).unwrap()), Some("packages/artifacts-unarchived/app/1.0.0/tree/tool is gone".to_owned())),
        ("a folder gone", Box::new(|| std::fs::remove_dir_all(&unpacked).unwrap()), Some("packages/artifacts-unarchived/app/1.0.0/tree/dir/lib.py is gone".to_owned())),
        ("a link", Box::new(|| {
            std::fs::rename(&plain, packages.join("same")).unwrap();
            std::os::unix::fs::symlink(packages.join("same"), &plain).unwrap();
        }), Some("packages/artifacts/app/1.0.0/app.txt is no plain file any more".to_owned())),
        ("the archive", Box::new(|| write(&zip, "no archive")), Some(format!("packages/artifacts/app/1.0.0/tree.zip {other}"))),
        ("the recipe", Box::new(|| write(&recipe, "{}")), Some("the stored recipe of app 1.0.0 was changed after it was stored".to_owned())),
        ("an older core kept no list", Box::new(|| std::fs::remove_file(&record).unwrap()), None),
        ("no list, and a file that is wrong", Box::new(|| {
            std::fs::remove_file(&record).unwrap();
            write(&unpacked.join("tool"), "ruin");
        }), Some(format!("packages/artifacts-unarchived/app/1.0.0/tree/tool {other}"))),
        ("a list of another archive", Box::new(|| {
            let text = std::fs::read_to_string(&record).unwrap();
            let mut lists: Value = serde_json::from_str(&text).unwrap();
            lists["tree.zip"]["archive"] = json!("other");
            lists["tree.zip"]["files"] = json!({});
            write(&record, &lists.to_string());
            write(&unpacked.join("tool"), "ruin");
        }), Some(format!("packages/artifacts-unarchived/app/1.0.0/tree/tool {other}"))),
    ];
    let life = world.start(Arc::new(Crash::default()));
    for (what, damage, expected) in table {
        // in the same life, where it was found good before, and in the next, where nothing is known yet
        for anew in [false, true] {
            life.deployer.verify("app", "1.0.0").await.unwrap_or_else(|error| panic!("before {what}: {error}"));
            damage();
            let next = anew.then(|| world.start(Arc::new(Crash::default())));
            let deployer = next.as_ref().map_or(&life.deployer, |next| &next.deployer);
            let found = deployer.verify("app", "1.0.0").await;
            match &expected {
                None => assert_eq!(found, Ok(()), "{what}"),
                Some(words) => {
                    let Err(FilesError::Changed(text)) = &found else { panic!("{what}: {found:?}") };
                    assert!(text.starts_with(words.as_str()), "{what}: {text}");
                    assert!(text.ends_with("; deploy it again, which fetches it anew"), "{what}: {text}");
                    assert_eq!(deployer.tampered(), [("app".into(), text.clone())], "{what}");
                }
            }
            let add = [("app".into(), "1.0.0".to_owned())].into();
            let request = LocalDeploymentRequest { add, ..Default::default() };
            let id = life.deployer.create_local(request).await.unwrap();
            let status = || life.deployer.local_status(&id).unwrap();
            let is_over = || !matches!(status().status, DeploymentStatus::Queued | DeploymentStatus::InProgress);
            life.until("the end", is_over).await;
            assert_eq!(status().detailed_status, "SUCCESSFUL", "{what}: {:?}", status());
            life.until("the mend", || life.deployer.tampered().is_empty()).await;
        }
    }
    assert_eq!(std::fs::read_to_string(unpacked.join("tool")).unwrap(), "run");
    // what was never taken in from a recipe has no files
    assert_eq!(life.deployer.verify("written.in.the.configuration", "1.0.0").await, Ok(()));
}

/// CR 1.6: a local recipe brings no digests: those of its files count from the moment they were taken in. Given again, other ones count.
#[tokio::test]
async fn local_files_are_held_to_what_was_taken_in() {
    let world = World::new();
    world.cloud.lock().unwrap().offline = true;
    let files = tempfile::tempdir().unwrap();
    let recipe = "RecipeFormatVersion: 2020-01-25\nComponentName: app\nComponentVersion: 1.0.0\nManifests:\n  - Lifecycle: {run: fine}\n    Artifacts: [{URI: 's3://bucket/app.txt'}]\n";
    std::fs::write(files.path().join("app.yaml"), recipe).unwrap();
    let folder = files.path().join("artifacts/app/1.0.0");
    std::fs::create_dir_all(&folder).unwrap();
    let life = world.start(Arc::new(Crash::default()));
    let deploy = async |text: &str, recipes: bool| {
        std::fs::write(folder.join("app.txt"), text).unwrap();
        let request = LocalDeploymentRequest {
            add: [("app".into(), "1.0.0".to_owned())].into(),
            recipe_directory: recipes.then(|| files.path().to_owned()),
            artifact_directory: Some(files.path().join("artifacts")),
            ..LocalDeploymentRequest::default()
        };
        let id = life.deployer.create_local(request).await.unwrap();
        let status = || life.deployer.local_status(&id).unwrap();
        let is_over = || !matches!(status().status, DeploymentStatus::Queued | DeploymentStatus::InProgress);
        life.until("the end", is_over).await;
        assert_eq!(status().detailed_status, "SUCCESSFUL", "{text}: {:?}", status());
    };
    deploy("one", true).await;
    assert_eq!(life.deployer.verify("app", "1.0.0").await, Ok(()));
    std::fs::write(world.folder.path().join("packages/artifacts/app/1.0.0/app.txt"), "two").unwrap();
    let Err(FilesError::Changed(text)) = life.deployer.verify("app", "1.0.0").await else { panic!("it passed") };
    assert!(
        text.ends_with("give its files again: `greengrass-cli deployment create` with --recipeDir and --artifactDir")
    );
    deploy("three", false).await;
    assert_eq!(life.deployer.verify("app", "1.0.0").await, Ok(()));
    deploy("four", true).await;
    assert_eq!(life.deployer.verify("app", "1.0.0").await, Ok(()));
}
