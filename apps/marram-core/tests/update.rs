//! The core changes its own program, with real processes: CR 4.10, 10.3 (2).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// A root, its loader, and where updates come from.
struct Device {
    dir: tempfile::TempDir,
    loader: Option<Child>,
    /// What is deployed beside an update.
    beside: std::cell::Cell<Option<String>>,
}

impl Device {
    fn new(confirm_seconds: u64) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let configuration = json!({"system": {"thingName": "T"}, "services": {
            "aws.greengrass.Nucleus": {"configuration": {
                "awsRegion": "us-east-1", "marram": {"update": {"confirmSeconds": confirm_seconds}},
            }},
        }});
        fs::write(dir.path().join("init.yaml"), configuration.to_string()).unwrap();
        let mut device = Self { dir, loader: None, beside: std::cell::Cell::default() };
        device.start();
        let app = json!({"Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "exec sleep 600"}}]});
        let end = device.end_of(&device.offer("app", "1.0.0", app));
        assert!(end.contains("SUCCEEDED"), "{end}");
        device
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn start(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_marram-core"))
            .args(["loader", "--root"])
            .arg(self.root())
            .arg("--init-config")
            .arg(self.dir.path().join("init.yaml"))
            .env("MARRAM_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.loader = Some(child.unwrap());
    }

    /// Everything at once, as when power goes: the core dies with its loader.
    fn cut_power(&mut self) {
        let mut loader = self.loader.take().unwrap();
        loader.kill().unwrap();
        loader.wait().unwrap();
    }

    fn cli(&self, words: &[&str]) -> Option<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_marram-core"))
            .arg("cli")
            .arg("--ggcRootPath")
            .arg(self.root())
            .args(words)
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    fn wait_for<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "{what} did not come: {:?}", self.alts());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Offers a component and deploys it; answers the deployment's id.
    fn offer(&self, name: &str, version: &str, mut recipe: Value) -> String {
        let (recipes, artifacts) = (self.dir.path().join("recipes"), self.dir.path().join("artifacts"));
        fs::create_dir_all(&recipes).unwrap();
        fs::create_dir_all(&artifacts).unwrap();
        recipe["RecipeFormatVersion"] = json!("2020-01-25");
        recipe["ComponentName"] = json!(name);
        recipe["ComponentVersion"] = json!(version);
        fs::write(recipes.join("recipe.json"), recipe.to_string()).unwrap();
        let told = self.wait_for("the command line", || {
            let merge = format!("{name}={version}");
            let (recipes, artifacts) = (recipes.to_str().unwrap(), artifacts.to_str().unwrap());
            let words = ["deployment", "create", "--recipeDir", recipes, "--artifactDir", artifacts, "--merge", &merge];
            let beside = self.beside.take();
            self.beside.set(beside.clone());
            let beside: Vec<&str> = beside.as_deref().into_iter().flat_map(|one| ["--merge", one]).collect();
            self.cli(&[words.as_slice(), &beside, &["--failure-handling-policy", "ROLLBACK"]].concat())
        });
        told.trim().rsplit(' ').next().unwrap().to_owned()
    }

    /// Deploys `program` as a version of the core.
    fn update(&self, version: &str, program: &Program) -> String {
        let folder = self.dir.path().join("artifacts/marram.Core").join(version);
        fs::create_dir_all(&folder).unwrap();
        program.write(&folder.join("marram-core"));
        let artifact = json!([{"Uri": "s3://updates/marram-core"}]);
        self.offer("marram.Core", version, json!({"Manifests": [{"Platform": {"os": "linux"}, "Artifacts": artifact}]}))
    }

    /// The same with a component beside it that does not come up.
    fn update_that_breaks(&self, version: &str, program: &Program) -> String {
        let bad = json!({"RecipeFormatVersion": "2020-01-25", "ComponentName": "bad", "ComponentVersion": version,
                         "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "exit 3"}}]});
        let recipes = self.dir.path().join("recipes");
        fs::create_dir_all(&recipes).unwrap();
        fs::write(recipes.join("bad.json"), bad.to_string()).unwrap();
        self.beside.set(Some(format!("bad={version}")));
        let id = self.update(version, program);
        self.beside.set(None);
        id
    }

    /// Nothing is left of programs but the installed one, and of their artifacts.
    fn is_free(&self) {
        let (alts, artifacts) = (self.root().join("alts"), self.root().join("packages/artifacts/marram.Core"));
        self.wait_for("the room", || {
            let places = fs::read_dir(&alts).unwrap().flatten().filter(|entry| entry.file_type().unwrap().is_dir());
            let places: Vec<_> = places.map(|entry| entry.file_name().into_string().unwrap()).collect();
            let kept = fs::read_dir(&artifacts).map_or(0, |versions| versions.count());
            (places == ["init"] && kept == 0).then_some(())
        });
    }

    /// How the deployment ended, as the command line tells it.
    fn end_of(&self, id: &str) -> String {
        self.wait_for("the end of the deployment", || {
            let told = self.cli(&["deployment", "status", "-i", id])?;
            (told.contains("SUCCEEDED") || told.contains("FAILED")).then_some(told)
        })
    }

    fn alts(&self) -> Vec<(String, String)> {
        let links = ["current", "old", "new", "broken"];
        let target = |link: &str| Some(fs::read_link(self.root().join("alts").join(link)).ok()?.display().to_string());
        let mut all: Vec<_> = links.iter().filter_map(|link| Some(((*link).to_owned(), target(link)?))).collect();
        for file in ["trial", "returned"] {
            if let Ok(text) = fs::read_to_string(self.root().join("alts").join(file)) {
                all.push((file.to_owned(), text.trim().to_owned()));
            }
        }
        all
    }

    fn current(&self) -> String {
        fs::read_link(self.root().join("alts/current")).unwrap().display().to_string()
    }

    /// The core answers and its component runs.
    fn is_well(&self) {
        let runs = || self.cli(&["component", "details", "-n", "app"])?.contains("State: RUNNING").then_some(());
        self.wait_for("the component", runs);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(loader) = &mut self.loader {
            let _ = loader.kill();
            let _ = loader.wait();
        }
    }
}

enum Program {
    /// A core that works: this one.
    Good,
    Script(&'static str),
}

impl Program {
    fn write(&self, path: &Path) {
        match self {
            Self::Good => drop(fs::copy(env!("CARGO_BIN_EXE_marram-core"), path).unwrap()),
            Self::Script(text) => fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap(),
        }
    }
}

/// CR 4.10: the new program takes over, confirms itself and ends the deployment.
#[test]
fn a_good_version_takes_over() {
    let mut device = Device::new(60);
    device.is_well();
    let id = device.update("1.0.1", &Program::Good);
    let end = device.end_of(&id);
    assert!(end.contains("SUCCEEDED"), "{end}");
    let current = device.current();
    assert!(current.starts_with("1.0.1-"), "{current}");
    assert!(!device.root().join("alts/trial").exists(), "{:?}", device.alts());
    device.is_well();
    // It is what a fresh start finds, too.
    device.cut_power();
    device.start();
    device.is_well();
    assert_eq!(device.current(), current);
}

/// CR 4.10: a version that ends at once, and one that hangs, are given up; the old one is back and says so.
#[test]
fn a_bad_version_is_taken_back() {
    for (program, reason) in [
        (Program::Script("exit 1"), "it ended 3 times"),
        (Program::Script("exec sleep 600"), "it was not up within 8 s"),
        (Program::Script("echo not an interpreter >&2; kill -9 $$"), "it ended 3 times"),
    ] {
        let device = Device::new(8);
        device.is_well();
        let id = device.update("1.0.1", &program);
        let end = device.end_of(&id);
        assert!(end.contains("FAILED") && end.contains("FAILED_ROLLBACK_COMPLETE"), "{end}");
        assert!(end.contains("NUCLEUS_RESTART_FAILURE") && end.contains(reason), "{end}");
        assert_eq!(device.current(), "init", "{:?}", device.alts());
        assert!(!device.root().join("alts/trial").exists());
        device.is_well();
        device.is_free();
    }
}

/// CR 4.10, 4.12: a program that held and was taken back with its deployment leaves its name and the reason, not its bytes; the next one
/// fits where it was. What a cut left is freed by the next start, and so is what the cuts of an update leave.
#[test]
fn a_program_that_is_taken_back_leaves_its_room() {
    let mut device = Device::new(60);
    device.is_well();
    for cuts in [0, 12_u64] {
        let version = format!("1.0.{}", cuts + 1);
        let id = device.update_that_breaks(&version, &Program::Good);
        for cut in 0..cuts {
            std::thread::sleep(Duration::from_millis(100 + (cut * 330) % 900));
            device.cut_power();
            device.start();
        }
        let end = device.end_of(&id);
        assert!(end.contains("FAILED_ROLLBACK_COMPLETE"), "{end}");
        assert_eq!(device.current(), "init", "{:?}", device.alts());
        device.is_well();
        device.is_free();
        let returned = fs::read_to_string(device.root().join("alts/returned")).unwrap();
        assert!(returned.starts_with(&format!("{version}-")) && returned.contains("bad"), "{returned}");
    }
    let returned = fs::read_to_string(device.root().join("alts/returned")).unwrap();
    let name = returned.split_once(' ').unwrap().0.to_owned();
    let (alts, artifact) = (device.root().join("alts"), device.root().join("packages/artifacts/marram.Core/1.0.13"));
    // As if the cut came before the link, before the files, or among them.
    for (is_linked, is_whole) in [(true, true), (false, true), (false, false)] {
        device.cut_power();
        fs::create_dir_all(alts.join(&name)).unwrap();
        fs::create_dir_all(&artifact).unwrap();
        Program::Good.write(&artifact.join("marram-core"));
        if is_whole {
            Program::Good.write(&alts.join(&name).join("marram-core"));
        }
        if is_linked {
            std::os::unix::fs::symlink(&name, alts.join("old")).unwrap();
        }
        device.start();
        device.is_well();
        device.is_free();
        assert_eq!(device.current(), "init", "{:?}", device.alts());
    }
    let end = device.end_of(&device.update("2.0.0", &Program::Good));
    assert!(end.contains("SUCCEEDED") && device.current().starts_with("2.0.0-"), "{end}");
    device.is_well();
    assert!(!alts.join("returned").exists(), "{:?}", device.alts());
}

/// CR 10.3 (2): whenever power goes during an update, a core comes back, the old or the new, and the deployment ends truly.
#[test]
fn power_may_go_at_any_moment() {
    let mut device = Device::new(60);
    device.is_well();
    let id = device.update("1.0.1", &Program::Good);
    // Moments spread over the whole update; a start under way is cut as well.
    for cut in 0..8_u64 {
        std::thread::sleep(Duration::from_millis(40 + cut * 130));
        device.cut_power();
        device.start();
    }
    let end = device.end_of(&id);
    let current = device.current();
    match end.contains("SUCCEEDED") {
        true => assert!(current.starts_with("1.0.1-"), "{current}: {end}"),
        false => assert!(end.contains("FAILED_ROLLBACK_COMPLETE") && current == "init", "{current}: {end}"),
    }
    device.is_well();
}
