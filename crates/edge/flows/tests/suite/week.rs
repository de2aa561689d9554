//! A week without a line (TG 6.10, 3.14, CR 9.6) in simulated time: flows go on while the wall clock jumps, the process dies and
//! deployments change locally, and at last everything is told once. `MARRAM_SEED` replays the dice.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use marram_dice::Dice;
use marram_expr::DataType;
use marram_flow::snapshot::{ClockUnit, Condition, Trigger};
use marram_flow_runtime::Deployment;
use marram_flow_runtime::package::seal;
use marram_flow_runtime::replica::ReportedState;
use marram_mqtt::{QoS, TopicFilter};
use marram_types::{ManualClock, Timestamp};
use serde_json::json;

use crate::common::{DEPLOYMENT, READING, S, deployment, flow, on_reading};
use crate::core::{Cloud, Core, Tree, boot_at};

const START: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;
const HOURS: i64 = 7 * 24;
/// Real time a step may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What the triggers by clock pour; readings pour what the deployment says.
const HOURLY: &str = r#"{"l":1.0}"#;
const DAILY: &str = r#"{"l":7.0}"#;

/// The time of the simulation: hours pass for everybody, and the wall clock may be wrong meanwhile.
struct Time {
    hour: i64,
    /// How far the wall clock is off, hours.
    off: i64,
    wall: Arc<ManualClock>,
}

impl Time {
    fn new(off: i64) -> Self {
        Self { hour: 0, off, wall: Arc::new(ManualClock::new(Timestamp::from_secs(START + off * HOUR))) }
    }

    fn shown(&self) -> i64 {
        self.hour + self.off
    }

    fn set(&mut self, off: i64) {
        self.off = off;
        self.wall.set(Timestamp::from_secs(START + self.shown() * HOUR));
    }

    async fn pass(&mut self) {
        self.hour += 1;
        self.set(self.off);
        tokio::time::advance(Duration::from_secs(HOUR as u64)).await;
    }
}

/// When a daily trigger is to fire by a wall clock that may jump: each day at the time of its anchor; once after a step over
/// several firings; anew from where the clock was put back to.
struct Daily {
    anchor: i64,
    last: i64,
}

impl Daily {
    fn armed(at: i64) -> Self {
        Self { anchor: at, last: at }
    }

    fn fires(&mut self, shown: i64) -> bool {
        if shown + 1 < self.last {
            *self = Self { anchor: self.anchor.min(shown), last: shown };
        }
        let fires = (shown - self.anchor) / 24 > (self.last - self.anchor) / 24;
        if fires {
            self.last = shown;
        }
        fires
    }
}

/// A process: its time stands still until it is told to pass, also while it waits for a disk. Whoever drops it has killed it.
struct Life {
    // Goes first: the runtime's end waits for who hears of it.
    _still: std::sync::mpsc::Sender<()>,
    runtime: tokio::runtime::Runtime,
}

impl Life {
    fn begin() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        // Time that is paused goes on by itself while everybody waits, unless blocking work is under way.
        let (still, over) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || over.recv());
        Self { _still: still, runtime }
    }
}

/// What is there without time passing.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            context.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// A dose of `litres` for each dry reading, and those of each hour and of each day.
fn beds(litres: &str) -> Deployment {
    let flow = flow().parameter("litres", DataType::Float32, true, None).step(S {
        name: "water",
        action: "dose",
        args: &[("litres", "${litres}")],
        ..S::default()
    });
    let dry = |litres| on_reading(&format!("{READING}.moisture < 10"), &[litres]);
    let every = |name: &str, unit, litres| Trigger {
        name: name.into(),
        condition: Condition::Clock { count: 1, unit },
        ..dry(litres)
    };
    let (hourly, daily) = (every("Hourly", ClockUnit::Hour, "1"), every("Daily", ClockUnit::Day, "7"));
    deployment(flow.flow, vec![dry(litres), hourly, daily])
}

/// As a local deployment leaves it; answers the package's hash.
fn configure(tree: &Tree, litres: &str) -> String {
    let package = seal(&beds(litres), None).unwrap();
    tree.set(Some(json!({"targets": {"thinggroup/beds": {"bed": package}}})));
    package["sha256"].as_str().unwrap().to_owned()
}

async fn deployed(core: &Core, sha256: &str) {
    let is_it = |entry: &marram_flow_runtime::replica::Reported| {
        entry.sha256 == sha256 && entry.state == ReportedState::Deployed
    };
    soon("the deployment", core.reported(|report| report.deployments.iter().any(is_it))).await;
}

/// A core whose flows are armed, and whose doses are heard; what the life before had begun is over.
async fn up(dir: &std::path::Path, tree: &Arc<Tree>, cloud: &Arc<Cloud>, time: &Time, sha256: &str) -> Core {
    let core = boot_at(dir, tree, cloud, time.wall.clone());
    deployed(&core, sha256).await;
    // Triggers of a journal are armed with the first command; the second one is answered after that.
    quiet(&core).await;
    quiet(&core).await;
    core.device.subscribe(&TopicFilter::new("valve-1/dose").unwrap(), QoS::AtLeastOnce).unwrap();
    core
}

/// Everything that was started has ended; the number of runs of this life.
async fn quiet(core: &Core) -> u64 {
    let all = async {
        loop {
            let status = core.flows.runtime().unwrap().status(DEPLOYMENT).await.unwrap();
            if status.running == 0 {
                return status.started;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("the end of all runs", all).await
}

/// Sends a dry reading, waits for `wanted` doses and for the end of all runs; answers how many runs there are then and what was
/// poured since the last look, sorted.
async fn water(core: &mut Core, wanted: usize) -> (u64, Vec<String>) {
    core.send("valve-1/reading", r#"{"moisture":8}"#).await;
    let mut poured = Vec::new();
    for _ in 0..wanted {
        poured.push(soon("a dose", core.device.recv()).await);
    }
    // Clocks are looked at after each command: the second answer knows what they started.
    quiet(core).await;
    let runs = quiet(core).await;
    while let Poll::Ready(more) = core.device.poll_recv(&mut Context::from_waker(Waker::noop())) {
        poured.push(more);
    }
    let text = |dose: &marram_broker::Received| String::from_utf8(dose.message.payload.to_vec()).unwrap();
    let mut poured: Vec<String> = poured.iter().map(text).collect();
    poured.sort();
    (runs, poured)
}

/// Seven days with a dry reading each hour. Every reading waters; the hourly trigger fires each hour, whatever the wall clock
/// says; the daily one once a day by the wall clock, which is put years ahead, back, and right again; through deaths of the process,
/// some of them at work, and two local deployments. Nothing is sent while there is no line; afterwards every run is told, whole and
/// once.
#[test]
fn flows_go_on_for_a_week() {
    let mut dice = Dice::of_the_day();
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(false));
    let mut time = Time::new(0);
    let mut litres = "2";
    let mut sha256 = configure(&tree, litres);
    let (mut runs, mut days, mut deaths, mut jumps) = (0, 0, 0, 0);
    let mut changes = vec![(120, "4"), (50, "3")];
    while time.hour < HOURS {
        let lasts = if time.hour == 0 { 30 } else { 6 + dice.below(50) as i64 };
        let end = (time.hour + lasts).min(HOURS);
        let life = Life::begin();
        life.runtime.block_on(async {
            let mut core = up(dir.path(), &tree, &cloud, &time, &sha256).await;
            let mut daily = Daily::armed(time.shown());
            let mut known = quiet(&core).await;
            while time.hour < end {
                if dice.below(12) == 0 {
                    // Hours and years ahead, hours and years behind, right.
                    let bound = [12, 3 * 365 * 24][dice.below(2) as usize];
                    let off = dice.below(2 * bound) as i64 - bound as i64;
                    time.off = [off, 0][dice.below(2) as usize];
                    jumps += 1;
                }
                time.pass().await;
                let mut wanted = vec![format!("{{\"l\":{litres}.0}}"), HOURLY.to_owned()];
                if daily.fires(time.shown()) {
                    wanted.push(DAILY.to_owned());
                    days += 1;
                }
                wanted.sort();
                known += wanted.len() as u64;
                runs += wanted.len();
                let watered = water(&mut core, wanted.len()).await;
                assert_eq!(watered, (known, wanted), "hour {}, the clock shows {}", time.hour, time.shown());
                if changes.last().is_some_and(|(at, _)| time.hour >= *at) {
                    litres = changes.pop().unwrap().1;
                    sha256 = configure(&tree, litres);
                    // The host looks at its configuration every few seconds.
                    tokio::task::yield_now().await;
                    tokio::time::advance(Duration::from_secs(6)).await;
                    tokio::time::advance(Duration::from_secs(6)).await;
                    deployed(&core, &sha256).await;
                    daily = Daily::armed(time.shown());
                }
            }
            if dice.below(2) == 0 {
                // Dies with runs at work: what is in the journal is told, as failed if it was cut off, the rest never was.
                for _ in 0..5 {
                    core.send("valve-1/reading", r#"{"moisture":8}"#).await;
                }
                for _ in 0..dice.below(12) {
                    tokio::task::yield_now().await;
                }
            }
        });
        drop(life);
        deaths += 1;
        // It stays away for a while; the clock without a battery is anywhere.
        time.hour += dice.below(4) as i64;
        let off = time.off;
        time.set([off, -30 * 365 * 24, 0][dice.below(3) as usize]);
    }
    assert_eq!(cloud.pages.load(Ordering::Relaxed), 0, "nothing leaves while there is no line");
    assert!(runs > 200 && days > 0 && jumps > 0 && changes.is_empty(), "{runs} runs, {days} daily ones");

    cloud.line.send_replace(true);
    time.set(0);
    let life = Life::begin();
    life.runtime.block_on(async {
        let core = up(dir.path(), &tree, &cloud, &time, &sha256).await;
        let history = core.flows.history().unwrap();
        let told = async {
            while history.stats().unwrap().waiting > 0 || cloud.ended() < runs {
                tokio::task::yield_now().await;
            }
        };
        soon("all of the history", told).await;
        cloud.assert_whole();
        assert!(cloud.finished() >= runs, "{} of {runs} came to their end", cloud.finished());
        assert_eq!(history.stats().unwrap().dropped, 0);
        core.flows.stop().await;
    });
    println!("{runs} runs in {HOURS} h, {days} daily ones, {jumps} jumps, {deaths} deaths, {} told", cloud.ended());
}

/// CR 9.6: a clock that was years ahead and is put right does not silence a daily trigger until it is that late again.
#[test]
fn a_clock_that_is_put_right_does_not_silence_a_trigger() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, cloud) = (Arc::new(Tree::default()), Cloud::new(false));
    let mut time = Time::new(9 * 365 * 24);
    let sha256 = configure(&tree, "2");
    let life = Life::begin();
    life.runtime.block_on(async {
        let mut core = up(dir.path(), &tree, &cloud, &time, &sha256).await;
        time.set(0);
        for hour in 0..50 {
            let is_day = hour > 0 && hour % 24 == 0;
            let (_, poured) = water(&mut core, 1 + usize::from(hour > 0) + usize::from(is_day)).await;
            assert_eq!(poured.iter().any(|one| one == DAILY), is_day, "{hour} h: {poured:?}");
            time.pass().await;
        }
        core.flows.stop().await;
    });
}
