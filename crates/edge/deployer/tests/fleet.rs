//! A whole fleet in one process: real deployers, a bad network between them and the control plane, clocks that jump, crashes.
//! Time is simulated: it goes on when everybody waits, so a fleet of any size keeps the pauses of the product.
//!
//! `MARRAM_SEED` replays what the network and the dice do; `MARRAM_FLEET` sets the number of cores of the large run.

#[path = "fleet/control.rs"]
mod control;
#[allow(dead_code)] // this suite brings a network of its own
#[path = "deployer/fakes.rs"]
mod fakes;
#[path = "fleet/network.rs"]
mod network;
#[path = "fleet/week.rs"]
mod week;
#[allow(dead_code)] // as above
#[path = "deployer/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::Control;
use marram_deployer::Pace;
use marram_dice::Dice;
use network::{CALM, Line, Traffic, Weather};
use serde_json::json;
use tokio::time::Instant;
use world::{Crash, World};

const MINUTE: Duration = Duration::from_secs(60);
const BAD: Weather = Weather {
    cut_percent: 8,
    twice_percent: 8,
    delay: Duration::from_secs(6),
    outage: Duration::from_secs(180),
    ..CALM
};
/// Longest a fleet may take for a deployment.
const LIMIT: Duration = Duration::from_secs(24 * 3600);
const LONGEST_DAY: i64 = 3 * 365 * 86_400_000;

struct Fleet {
    control: Arc<Mutex<Control>>,
    worlds: Vec<Arc<World>>,
    lines: Vec<Arc<Line>>,
    traffic: Arc<Traffic>,
    lives: Arc<AtomicU64>,
    /// Cores whose version 2 does not come up.
    weak: Vec<bool>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Fleet {
    fn start(cores: usize, weather: Weather, crash_percent: u64, seed: u64) -> Self {
        let control = Arc::new(Mutex::new(Control::new(cores)));
        let traffic = Arc::new(Traffic::default());
        let lives = Arc::new(AtomicU64::new(0));
        let mut dice = Dice(seed);
        let mut tasks = tokio::task::JoinSet::new();
        let (mut worlds, mut lines, mut weaknesses) = (Vec::new(), Vec::new(), Vec::new());
        for core in 0..cores {
            let world = World::new();
            let weak = dice.chance(30);
            let second = if weak { "break" } else { "fine" };
            world.publish("app", "1.0.0", json!({"run": "fine"}), &[]);
            world.publish("app", "2.0.0", json!({"run": second}), &[("lib", "^1.0.0")]);
            world.publish("app", "3.0.0", json!({"run": "fine", "bootstrap": "100"}), &[("lib", "^1.1.0")]);
            world.publish("app", "4.0.0", json!({"run": "fine"}), &[("lib", "^1.0.0")]);
            world.publish("app", "5.0.0", json!({"run": "fine"}), &[("lib", "^1.0.0")]);
            world.publish("lib", "1.0.0", json!({"run": "fine"}), &[]);
            world.publish("lib", "1.1.0", json!({"run": "fine"}), &[]);
            let line = Line::new(core, control.clone(), traffic.clone(), weather, Dice(dice.next()));
            tasks.spawn(line.clone().run());
            tasks.spawn(live(world.clone(), line.clone(), crash_percent, lives.clone(), Dice(dice.next())));
            worlds.push(world);
            lines.push(line);
            weaknesses.push(weak);
        }
        Self { control, worlds, lines, traffic, lives, weak: weaknesses, _tasks: tasks }
    }

    fn deploy(&self, number: u64) {
        let told = self.control.lock().unwrap().deploy(number, &json!({"app": {"version": format!("{number}.0.0")}}));
        for (line, messages) in self.lines.iter().zip(told) {
            messages.into_iter().for_each(|message| line.notify(message));
        }
    }

    /// Waits until every core has told the end of deployment `number`.
    async fn until_over(&self, number: u64) {
        let deadline = Instant::now() + LIMIT;
        while !self.control.lock().unwrap().is_over(number) {
            if Instant::now() > deadline {
                let control = self.control.lock().unwrap();
                let open: Vec<String> = control
                    .executions
                    .iter()
                    .enumerate()
                    .filter(|(_, all)| matches!(all[&number].status.as_str(), "QUEUED" | "IN_PROGRESS"))
                    .map(|(core, all)| {
                        format!(
                            "{core}: {:?}, up {}, runs {:?}",
                            all,
                            self.lines[core].is_up(),
                            self.worlds[core].versions()
                        )
                    })
                    .collect();
                panic!("{} cores do not end deployment {number}: {:#?}", open.len(), &open[..open.len().min(5)]);
            }
            tokio::time::sleep(MINUTE / 12).await;
        }
    }

    /// What each core told of deployment `number` is what it is; answers how many failed.
    fn check(&self, number: u64, breaks: bool) -> usize {
        let control = self.control.lock().unwrap();
        let mut failed = 0;
        for (core, world) in self.worlds.iter().enumerate() {
            let execution = &control.executions[core][&number];
            let bad = breaks && self.weak[core];
            let told = (execution.status.as_str(), execution.detailed.as_str());
            let versions = world.versions();
            let wanted = if bad { ("FAILED", "FAILED_ROLLBACK_COMPLETE") } else { ("SUCCEEDED", "SUCCESSFUL") };
            assert_eq!(told, wanted, "core {core} on {number}: {versions:?}");
            let version = if bad { number - 1 } else { number };
            assert_eq!(versions["app"], format!("{version}.0.0"), "core {core} on {number}");
            assert_eq!(versions.contains_key("lib"), version > 1, "core {core} on {number}: {versions:?}");
            failed += usize::from(bad);
        }
        failed
    }

    fn messages(&self) -> u64 {
        self.traffic.up.load(Ordering::Relaxed) + self.traffic.down.load(Ordering::Relaxed)
    }
}

/// The pauses of the product.
fn pace() -> Pace {
    Pace {
        retry: MINUTE,
        checksum_retry: MINUTE,
        checksum_attempts: 3,
        poll: MINUTE / 8,
        report: MINUTE * 5,
        restart_grace: Duration::from_secs(3600),
        min_free_bytes: 0,
    }
}

/// One core after another life: each ends at a random durable step, at a restart it asked for, or never.
async fn live(world: Arc<World>, line: Arc<Line>, crash_percent: u64, lives: Arc<AtomicU64>, mut dice: Dice) {
    loop {
        lives.fetch_add(1, Ordering::Relaxed);
        // a clock that was never set, one that is years ahead, and all between
        let offset = if crash_percent > 0 { dice.below(2 * LONGEST_DAY as u64) as i64 - LONGEST_DAY } else { 0 };
        let at = dice.chance(crash_percent).then(|| dice.below(60) as usize);
        let crash = Arc::new(Crash { at, ..Crash::default() });
        let clock = Arc::new(move || 1_800_000_000_000 + offset);
        let life = world.start_with(crash, pace(), line.clone(), clock);
        life.until_death(std::future::pending()).await;
        drop(life);
        line.reborn();
    }
}

/// CR 4, design 5 ("deployment to 10,000 simulated cores"): through cuts, repeats, wrong order, wrong clocks and crashes, every
/// core ends with its group's last deployment and has told the truth about each. Answers messages a core.
async fn converge(cores: usize, seed: u64) -> f64 {
    let (began, before) = (Instant::now(), processor_seconds());
    let fleet = Fleet::start(cores, BAD, 40, seed);
    fleet.deploy(1);
    fleet.until_over(1).await;
    fleet.check(1, false);
    fleet.deploy(2);
    fleet.until_over(2).await;
    let failed = fleet.check(2, true);
    assert!(failed > 0 && failed < cores, "{failed} of {cores} are weak");
    fleet.deploy(3);
    fleet.until_over(3).await;
    fleet.check(3, false);
    // a deployment that is superseded while it spreads is left out where it was not begun
    fleet.deploy(4);
    tokio::time::sleep(MINUTE / 4).await;
    fleet.deploy(5);
    fleet.until_over(5).await;
    fleet.check(5, false);
    for executions in &fleet.control.lock().unwrap().executions {
        assert!(matches!(executions[&4].status.as_str(), "SUCCEEDED" | "CANCELED"), "{executions:?}");
    }
    let contradictions = &fleet.control.lock().unwrap().contradictions;
    assert!(contradictions.is_empty(), "{contradictions:?}");
    let spent = processor_seconds() - before;
    let each = fleet.messages() as f64 / cores as f64;
    println!(
        "{cores:>6} cores, 5 deployments, bad weather: {:.0} simulated minutes, {each:.1} messages a core, {} cuts, {} repeats, {} lives, \
         {failed} rolled back, {spent:.2} processor seconds ({:.2} ms a core)",
        began.elapsed().as_secs_f64() / 60.0,
        fleet.traffic.cuts.load(Ordering::Relaxed),
        fleet.traffic.repeats.load(Ordering::Relaxed),
        fleet.lives.load(Ordering::Relaxed),
        spent * 1000.0 / cores as f64,
    );
    each
}

/// What one deployment to a fleet costs: messages and bytes a core; processor seconds of this process are printed.
async fn cost(cores: usize, weather: Weather, seed: u64) -> (f64, f64) {
    let fleet = Fleet::start(cores, weather, 0, seed);
    let (began, before) = (Instant::now(), processor_seconds());
    fleet.deploy(1);
    fleet.until_over(1).await;
    fleet.check(1, false);
    let spent = processor_seconds() - before;
    let each = |number: u64| number as f64 / cores as f64;
    let (messages, bytes) = (each(fleet.messages()), each(fleet.traffic.bytes.load(Ordering::Relaxed)));
    println!(
        "{cores:>6} cores: {messages:.1} messages and {bytes:.0} bytes a core, {:.1} simulated minutes, {spent:.2} processor seconds \
         ({:.2} ms a core)",
        began.elapsed().as_secs_f64() / 60.0,
        spent * 1000.0 / cores as f64,
    );
    (messages, bytes)
}

/// User and system time of this process, seconds.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// The cost of a deployment grows linearly: ten times the cores, at most a tenth more messages a core.
async fn grows_linearly(largest: usize, seed: u64) {
    let mut per_core = Vec::new();
    for cores in [largest / 10, largest / 3, largest] {
        per_core.push(cost(cores, CALM, seed).await);
    }
    let (first, last) = (per_core[0], per_core[2]);
    assert!(last.0 <= first.0 * 1.1 && last.1 <= first.1 * 1.1, "{per_core:?}");
}

/// A control plane that needs `minutes` for one message of each core is not asked by all of them again and again: what waits
/// too long is asked again after pauses that double, so the messages a core grow with the logarithm of the wait.
async fn a_slow_control_plane_is_not_stormed(cores: usize, seed: u64) {
    let calm = cost(cores, CALM, seed).await.0;
    for (minutes, most) in [(2, 1.2), (10, 2.5), (40, 4.0)] {
        let slow = Weather { service: MINUTE * minutes / cores as u32, ..CALM };
        let messages = cost(cores, slow, seed).await.0;
        assert!(messages <= calm * most, "{minutes} minutes: {messages} messages a core, calm {calm}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_hundred_cores_converge() {
    converge(300, Dice::of_the_day().0).await;
}

#[tokio::test(start_paused = true)]
async fn cost_grows_linearly() {
    grows_linearly(300, Dice::of_the_day().0).await;
}

#[tokio::test(start_paused = true)]
async fn no_storm_at_a_slow_control_plane() {
    a_slow_control_plane_is_not_stormed(100, Dice::of_the_day().0).await;
}

/// Run by `make soak`. A fleet thirty times as large costs a core as many messages through the same weather.
#[tokio::test(start_paused = true)]
#[ignore = "ten thousand cores take minutes"]
async fn ten_thousand_cores_converge() {
    let cores = std::env::var("MARRAM_FLEET").map_or(10_000, |text| text.parse().unwrap());
    let seed = Dice::of_the_day().0;
    grows_linearly(cores, seed).await;
    a_slow_control_plane_is_not_stormed(cores, seed).await;
    let small = converge(300, seed).await;
    let large = converge(cores, seed).await;
    assert!(large <= small * 1.1, "{large} messages a core, {small} in a small fleet");
}
