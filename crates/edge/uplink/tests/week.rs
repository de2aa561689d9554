//! A week without a line (CR 7.6, 9.6): components publish by a moved clock, the core is killed, the disk fills, and at last the
//! line comes back. `MARRAM_SEED` replays the dice.

#[allow(dead_code)] // shared with the tests of the line
#[path = "line/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use marram_broker::LocalClient;
use marram_dice::Dice;
use marram_edge_ports::{CloudMessages, CloudPublish, PortError};
use marram_types::{ManualClock, Timestamp};
use marram_uplink::{LineSettings, PublishLimits, SpoolOptions, Uplink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use site::{DEADLINE, Site, message, network};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

const HOURS: i64 = 7 * 24;
const START: i64 = 1_800_000_000;
/// Sent when a write would make a file too large; its default action ends the process.
const SIGXFSZ: i32 = 25;

/// A core's uplink that dies like a killed process: what it had written so far is all that the next one finds.
struct Core {
    clock: Arc<ManualClock>,
    settings: Option<LineSettings>,
    max_bytes: u64,
    folder: tempfile::TempDir,
    uplink: Uplink,
}

impl Core {
    fn start(settings: Option<LineSettings>, max_bytes: u64, clock: Arc<ManualClock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SpoolOptions { dir: folder.path().to_owned(), max_bytes };
        let uplink = Uplink::start(settings.clone(), options, clock.clone()).unwrap();
        Self { clock, settings, max_bytes, folder, uplink }
    }

    fn kill(&mut self) {
        let next = tempfile::tempdir().unwrap();
        copy(self.folder.path(), next.path());
        let options = SpoolOptions { dir: next.path().to_owned(), max_bytes: self.max_bytes };
        // The line of the killed core is cut off before its successor's is there.
        let gone =
            std::mem::replace(&mut self.uplink, Uplink::start(None, options.clone(), self.clock.clone()).unwrap());
        drop(gone);
        self.folder = next;
    }

    async fn reconnect(&self) {
        self.uplink.reconfigure(self.settings.clone()).await;
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn fill_disk(full: bool) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: if full { Some(0) } else { maximum }, maximum }).unwrap();
}

/// What came, in order, until `last`; every message of a topic is there once, or again directly after a cut.
async fn read_until(reader: &mut LocalClient, last: u64) -> (Vec<u64>, usize) {
    let (mut seen, mut repeats): (Vec<u64>, usize) = (Vec::new(), 0);
    while seen.last() != Some(&last) {
        let received = timeout(DEADLINE, reader.recv()).await;
        let received = received.unwrap_or_else(|_| panic!("stuck after {:?}, {last} is missing", seen.last()));
        let n: u64 = std::str::from_utf8(&received.message.payload).unwrap().parse().unwrap();
        match seen.last() {
            Some(before) if n <= *before => {
                assert!(seen.contains(&n), "{n} came after {before}: out of order");
                repeats += 1;
            }
            _ => seen.push(n),
        }
    }
    (seen, repeats)
}

/// CR 7.6, 9.6 [M]: seven days of messages, killed about once a day, the disk full for some hours, the clock years ahead or never
/// set for some: what was accepted arrives, in order, none lost, none twice; what expired meanwhile does not; the cuts after that
/// cost repeats of what was in flight only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_offline() {
    let mut dice = Dice::of_the_day();
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let site = Site::start().await;
    let mut reader = site.reader();
    let (switch, up) = watch::channel(false);
    let port = network(site.address, up).await;
    let settings = site.settings(port);
    let in_flight = settings.in_flight;
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(START)));
    let mut core = Core::start(Some(settings), 2_621_440, clock.clone());
    let (mut accepted, mut perhaps, mut expired) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut number, mut kills, mut refused) = (0, 0, 0);
    for hour in 0..HOURS {
        // The last day is kept right: what is worth something for a day only is counted.
        let is_off = hour < HOURS - 28 && dice.below(12) == 0;
        let off = if is_off { [9 * 365 * 86_400, -START][dice.below(2) as usize] } else { 0 };
        clock.set(Timestamp::from_secs(START + hour * 3600 + off));
        let full = (70..74).contains(&hour);
        fill_disk(full);
        for _ in 0..4 {
            number += 1;
            match core.uplink.publish("c", message("t", number as usize)).await {
                Ok(()) => accepted.insert(number),
                Err(PortError::Service { .. }) if full => {
                    refused += 1;
                    false
                }
                Err(error) => panic!("hour {hour}: {error}"),
            };
        }
        fill_disk(false);
        // worth something for a day only
        number += 1;
        let brief = CloudPublish { message_expiry_seconds: Some(86_400), ..message("t", number as usize) };
        core.uplink.publish("c", brief).await.unwrap();
        if is_off {
            perhaps.insert(number);
        } else if hour + 24 < HOURS {
            expired.insert(number);
        } else {
            accepted.insert(number);
        }
        if dice.below(24) == 0 || hour == 71 {
            kills += 1;
            // killed while messages are being written: they were not acknowledged, so they may be there or not
            let uplink = core.uplink.clone();
            let first = number + 1;
            number += 8;
            perhaps.extend(first..=number);
            let writing = tokio::spawn(async move {
                for n in first..first + 8 {
                    let _ = uplink.publish("c", message("t", n as usize)).await;
                }
            });
            for _ in 0..dice.below(40) {
                tokio::task::yield_now().await;
            }
            core.kill();
            core.reconnect().await;
            writing.abort();
        }
    }
    assert_eq!(refused, 16, "a full disk refuses");
    number += 1;
    core.uplink.publish("c", message("t", number as usize)).await.unwrap();
    accepted.insert(number);
    switch.send_replace(true);
    let (seen, repeats) = read_until(&mut reader, number).await;
    let seen: BTreeSet<u64> = seen.into_iter().collect();
    let lost: Vec<_> = accepted.difference(&seen).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), accepted.len());
    assert!(seen.is_disjoint(&expired), "expired messages arrived");
    assert!(seen.iter().all(|n| accepted.contains(n) || perhaps.contains(n)), "messages that were refused arrived");
    assert_eq!(repeats, 0, "nothing was ever sent before, so nothing may come twice");
    println!("{} accepted in {HOURS} h, {kills} kills, {} expired", accepted.len(), expired.len());

    // The days after: a line that breaks while it delivers, and a core that dies with it.
    let mut cuts = 0;
    let first = number + 1;
    for round in 0..8 {
        for _ in 0..20 {
            number += 1;
            core.uplink.publish("c", message("t", number as usize)).await.unwrap();
        }
        if dice.below(3) == 0 {
            core.kill();
            core.reconnect().await;
            cuts += 1;
        }
        switch.send_replace(round % 2 == 1);
        cuts += 1;
    }
    switch.send_replace(true);
    let (seen, repeats) = read_until(&mut reader, number).await;
    assert_eq!(seen, (first..=number).collect::<Vec<_>>());
    // Settled marks need no sync: a kill may repeat what was settled since the last write.
    println!("{repeats} repeats after {cuts} cuts, {in_flight} in flight");
}

/// CR 7.6 (3): a spool that fills in the week does what is configured: QoS 0 goes first, then the caller is told, and what was
/// taken stays.
#[tokio::test]
async fn a_full_spool_keeps_what_it_took() {
    let site = Site::start().await;
    let mut reader = site.reader();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(START)));
    let mut core = Core::start(Some(site.settings(site.address.port())), 40_000, clock.clone());
    core.uplink.reconfigure(None).await;
    core.uplink.set_limits(PublishLimits { keep_qos0_offline: true, ..PublishLimits::default() });
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for n in 0..HOURS as usize {
        clock.set(Timestamp::from_secs(START + n as i64 * 3600));
        let owner = ["a", "b"][n % 2];
        let payload = format!("{n:0400}").into_bytes();
        let qos = u8::from(n % 4 != 0);
        let sent = CloudPublish { topic: "t".into(), qos, payload: payload.into(), ..CloudPublish::default() };
        match core.uplink.publish(owner, sent).await {
            Ok(()) if qos == 1 => accepted.push(n as u64),
            Ok(()) => {}
            Err(_) => refused += 1,
        }
        if n % 50 == 49 {
            core.kill();
            core.uplink.set_limits(PublishLimits { keep_qos0_offline: true, ..PublishLimits::default() });
        }
    }
    assert!(refused > 50, "{refused} refused");
    core.reconnect().await;
    let mut seen = Vec::new();
    while seen.len() < accepted.len() {
        let received = timeout(DEADLINE, reader.recv()).await.unwrap();
        let n: u64 = std::str::from_utf8(&received.message.payload).unwrap().parse().unwrap();
        if !n.is_multiple_of(4) {
            seen.push(n);
        }
    }
    assert_eq!(seen, accepted);
}

/// CR 4.1, 7.6: what parts of the core tell of trouble goes over the line from memory when the spool takes nothing, and is acknowledged by the
/// control plane; a component is told that its message is not kept, and without a line so is the core.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_core_speaks_on_a_full_disk() {
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let site = Site::start().await;
    let mut reader = site.reader();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(START)));
    let core = Core::start(None, 2_621_440, clock);
    core.uplink.publish("com.example.A", message("t", 1)).await.unwrap();
    fill_disk(true);
    let offline = core.uplink.publish("DeploymentService", message("t", 2)).await;
    core.uplink.reconfigure(Some(site.settings(site.address.port()))).await;
    let mut connection = core.uplink.connection();
    timeout(DEADLINE, connection.wait_for(|up| *up)).await.unwrap().unwrap();
    let refused = core.uplink.publish("com.example.A", message("t", 3)).await;
    let told = core.uplink.publish("DeploymentService", message("t", 4)).await;
    let denied = core.uplink.publish("FleetStatusService", message("bad", 5)).await;
    fill_disk(false);
    assert!(offline.is_err() && refused.is_err() && denied.is_err(), "{offline:?} {refused:?} {denied:?}");
    told.unwrap();
    let (seen, repeats) = read_until(&mut reader, 4).await;
    assert_eq!((seen, repeats), (vec![1, 4], 0));
    core.uplink.stop().await;
}
