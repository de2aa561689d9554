//! A week without a line (CR 4.5, 9.6): deployments by hand at the device while the clock jumps and the core dies; what the control
//! plane wanted meanwhile is done when the line is back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marram_deploy::DeploymentStatus;
use marram_deployer::Deployer;
use marram_dice::Dice;
use marram_edge_ports::{Deployments as _, LocalConfigurationUpdate, LocalDeploymentRequest};
use serde_json::json;

use crate::control::Control;
use crate::network::{CALM, Line, Traffic};
use crate::world::{Crash, World};
use crate::{MINUTE, pace};

const HOUR: Duration = Duration::from_secs(3600);
const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_800_000_000_000;

/// Recipe and artifact of a version of `tool`, as somebody carries them to the device.
fn carry(folder: &Path, version: &str) -> LocalDeploymentRequest {
    let recipe = format!(
        "RecipeFormatVersion: 2020-01-25\nComponentName: tool\nComponentVersion: {version}\nManifests:\n  - Lifecycle: {{run: fine}}\n    \
         Artifacts: [{{URI: 's3://bucket/tool.sh'}}]\n"
    );
    let (recipes, artifacts) = (folder.join(version), folder.join(format!("{version}-artifacts")));
    let own = artifacts.join("tool").join(version);
    std::fs::create_dir_all(&recipes).unwrap();
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(recipes.join("tool.yaml"), recipe).unwrap();
    std::fs::write(own.join("tool.sh"), format!("tool {version}")).unwrap();
    LocalDeploymentRequest {
        add: [("tool".into(), version.to_owned())].into(),
        configuration: [(
            "tool".into(),
            LocalConfigurationUpdate { merge: Some(json!({"of": version})), reset: vec![] },
        )]
        .into(),
        recipe_directory: Some(recipes),
        artifact_directory: Some(artifacts),
        ..LocalDeploymentRequest::default()
    }
}

/// A core that is there whenever it is needed, life after life.
struct Site {
    world: Arc<World>,
    line: Arc<Line>,
    control: Arc<Mutex<Control>>,
    traffic: Arc<Traffic>,
    clock: Arc<AtomicI64>,
    alive: Mutex<Option<Deployer>>,
    lives: AtomicU64,
}

impl Site {
    async fn live(self: Arc<Self>, mut dice: Dice) {
        loop {
            let at = Some(dice.below(90) as usize);
            let clock = self.clock.clone();
            let clock = Arc::new(move || clock.load(Ordering::Relaxed));
            let crash = Arc::new(Crash { at, ..Crash::default() });
            let life = self.world.start_with(crash, pace(), self.line.clone(), clock);
            self.lives.fetch_add(1, Ordering::Relaxed);
            *self.alive.lock().unwrap() = Some(life.deployer.clone());
            life.until_death(std::future::pending()).await;
            self.alive.lock().unwrap().take();
            drop(life);
            self.line.reborn();
        }
    }

    /// Deploys by hand. The core may die before it answers: then the operator asks again.
    async fn deploy(&self, request: &LocalDeploymentRequest) {
        for _ in 0..100 {
            let alive = self.alive.lock().unwrap().clone();
            let Some(deployer) = alive else {
                tokio::time::sleep(MINUTE).await;
                continue;
            };
            // A process that died never answers.
            let made = tokio::time::timeout(MINUTE, deployer.create_local(request.clone())).await;
            let Ok(Ok(id)) = made else { continue };
            for _ in 0..100 {
                tokio::time::sleep(MINUTE).await;
                let alive = self.alive.lock().unwrap().clone();
                let Some(status) = alive.and_then(|deployer| deployer.local_status(&id).ok()) else { continue };
                match status.status {
                    DeploymentStatus::Queued | DeploymentStatus::InProgress => {}
                    DeploymentStatus::Succeeded => return,
                    _ => panic!("{status:?}"),
                }
            }
        }
        panic!("the local deployment does not end: {:?}", self.world.versions());
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.world.versions()
    }
}

/// CR 4.5, 9.6: each day of a week without a line a version is brought to the device and runs with its configuration, whatever the
/// clock shows and wherever the core dies; not a message leaves. When the line is back, the deployment of the control plane that
/// waited is carried out and told once, and what was deployed by hand stays.
#[tokio::test(start_paused = true)]
async fn a_week_of_local_deployments() {
    let mut dice = Dice::of_the_day();
    let control = Arc::new(Mutex::new(Control::new(1)));
    let traffic = Arc::new(Traffic::default());
    let line = Line::new(0, control.clone(), traffic.clone(), CALM, Dice(dice.next()));
    let world = World::new();
    for version in ["1.0.0", "2.0.0"] {
        world.publish("app", version, json!({"run": "fine"}), &[]);
    }
    let site = Arc::new(Site {
        world: world.clone(),
        line: line.clone(),
        control: control.clone(),
        traffic,
        clock: Arc::new(AtomicI64::new(START_MS)),
        alive: Mutex::default(),
        lives: AtomicU64::new(0),
    });
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(line.clone().run());
    tasks.spawn(site.clone().live(Dice(dice.next())));
    let tell = |number: u64| {
        let told = control.lock().unwrap().deploy(number, &json!({"app": {"version": format!("{number}.0.0")}}));
        told.into_iter().flatten().for_each(|message| line.notify(message));
    };
    let over = async |number: u64| {
        for _ in 0..24 * 60 {
            if site.control.lock().unwrap().is_over(number) {
                return;
            }
            tokio::time::sleep(MINUTE).await;
        }
        panic!("{:?}", site.control.lock().unwrap().executions);
    };
    tell(1);
    over(1).await;

    line.sever(true);
    world.cloud.lock().unwrap().unreachable = true;
    // What was on its way is there before the week begins.
    tokio::time::sleep(HOUR).await;
    let before = site.traffic.up.load(Ordering::Relaxed);
    tell(2);
    let files = tempfile::tempdir().unwrap();
    for day in 0..7 {
        // Right, years ahead, never set.
        let off = [0, 9 * 365 * DAY_MS, -START_MS][dice.below(3) as usize];
        site.clock.store(START_MS + day * DAY_MS + off, Ordering::Relaxed);
        let version = format!("1.{day}.0");
        site.deploy(&carry(files.path(), &version)).await;
        assert_eq!(site.versions()["tool"], version, "day {day}, clock off by {off} ms");
        assert_eq!(
            world.services()["tool"]["configuration"],
            json!({"of": version}),
            "day {day}, clock off by {off} ms"
        );
        assert_eq!(site.versions()["app"], "1.0.0", "there is no line");
        tokio::time::sleep(HOUR * 20).await;
    }
    assert_eq!(site.traffic.up.load(Ordering::Relaxed), before, "nothing leaves while there is no line");

    site.clock.store(START_MS + 7 * DAY_MS, Ordering::Relaxed);
    world.cloud.lock().unwrap().unreachable = false;
    line.sever(false);
    over(2).await;
    assert_eq!(control.lock().unwrap().executions[0][&2].status, "SUCCEEDED");
    assert_eq!(control.lock().unwrap().contradictions, Vec::<String>::new());
    let wanted = [("app", "2.0.0"), ("tool", "1.6.0")].map(|(name, version)| (name.to_owned(), version.to_owned()));
    assert_eq!(site.versions(), wanted.into(), "both are there");
    let lives = site.lives.load(Ordering::Relaxed);
    assert!(lives > 3, "{lives} lives");
    println!("{lives} lives");
}
