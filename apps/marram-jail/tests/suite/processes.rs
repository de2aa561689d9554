//! Real processes through the real launcher: what a component may keep, and that nothing escapes its end.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use marram_supervisor::{ResourceLimits, StepEnd};

use crate::host::{BOTH, Host, Means, is_alive, pids, supervisor, survivors, user};

/// CR 2.8-2.10, SEC-130: user, groups, environment, directory, session and privileges of a step are those asked for.
#[tokio::test]
async fn a_step_runs_as_asked() {
    let host = Host::new();
    let script = "echo $(id -u):$(id -g) $SVCUID ${HOME-none} $PWD; echo oops >&2; \
                  grep -E 'NoNewPrivs|CapEff|Groups' /proc/self/status; ulimit -c; exit 7";
    assert_eq!(host.run(host.launch("a", "run", script)).await, StepEnd::Exited(7));
    let log = host.log("a");
    let user = user().identity;
    let work = host.dir.path().join("a");
    let line = format!(
        "[INFO] (Copier) a: stdout. {}:{} t0ken none {}. {{scriptName=services.a.lifecycle.run.Script",
        user.uid,
        user.gid,
        work.display()
    );
    assert!(log.contains(&line), "{line} in {log}");
    assert!(log.contains("[WARN] (Copier) a: stderr. oops. "), "{log}");
    assert!(log.contains("NoNewPrivs:\t1"), "{log}");
    if user.uid != 0 {
        assert!(log.contains("CapEff:\t0000000000000000"), "{log}");
        assert_eq!(fs::metadata(&work).unwrap().uid(), user.uid);
    }
    assert_eq!(fs::metadata(&work).unwrap().permissions().mode() & 0o777, 0o700);
}

/// CR 2.8: SIGTERM, then SIGKILL; children in the background, in other sessions and without a parent end as well.
#[tokio::test]
async fn nothing_escapes_the_stop() {
    for means in BOTH {
        let host = Host::with(means);
        // A process that leaves both its session and its parents is held by a cgroup only.
        let (orphan, count) = match means {
            Means::Cgroups => ("(setsid sleep 300 & echo $! >> pids) &", 4),
            Means::Sessions => ("", 3),
        };
        let script = format!(
            "trap '' TERM; (trap '' TERM; sleep 300 & echo $! >> pids; wait) & \
             setsid sh -c 'echo $$ >> pids; trap \"\" TERM; while :; do sleep 300; done' & \
             {orphan} echo $$ >> pids; while :; do sleep 300; done"
        );
        let process = host.supervisor.start(host.launch("a", "run", &script)).unwrap();
        let other = host.supervisor.start(host.launch("b", "run", "echo $$ > pids; exec sleep 300")).unwrap();
        let all = pids(&host.dir.path().join("a/pids"), count).await;
        let others = pids(&host.dir.path().join("b/pids"), 1).await;
        for pid in &all {
            assert_eq!(host.supervisor.owner_of(*pid).as_deref(), Some("a"), "SEC-133: {pid}");
        }
        assert_eq!(host.supervisor.owner_of(others[0]).as_deref(), Some("b"));
        assert_eq!(host.supervisor.owner_of(std::process::id()), None);
        let end = tokio::spawn(process.wait());
        assert!(host.supervisor.stop("a").await);
        assert_eq!(end.await.unwrap(), StepEnd::Signaled(9));
        assert!(!all.iter().any(|pid| is_alive(*pid)), "{all:?}");
        assert!(is_alive(others[0]), "the other component lives");
        assert!(host.supervisor.stop("b").await);
        assert_eq!(other.wait().await, StepEnd::Signaled(15));
    }
}

/// CR 1.7: a step that takes too long is killed with what it started.
#[tokio::test]
async fn a_step_out_of_time_is_killed() {
    for means in BOTH {
        let host = Host::with(means);
        let mut launch = host.launch("a", "install", "sleep 300 & echo $! > pids; sleep 300");
        launch.timeout = Some(Duration::from_millis(300));
        let process = host.supervisor.start(launch).unwrap();
        let child = pids(&host.dir.path().join("a/pids"), 1).await[0];
        assert_eq!(process.wait().await, StepEnd::TimedOut);
        assert!(!is_alive(child));
    }
}

/// CR 2.11: a paused component does nothing, and a stop gets through to it.
#[tokio::test]
async fn a_paused_component_stands_still_and_can_be_stopped() {
    for means in BOTH {
        let host = Host::with(means);
        let script = "echo $$ > pids; while :; do echo x >> ticks; sleep 0.01; done";
        let process = host.supervisor.start(host.launch("a", "run", script)).unwrap();
        let ticks = host.dir.path().join("a/ticks");
        let size = || fs::metadata(&ticks).map_or(0, |found| found.len());
        let grows = async |from: u64| {
            let start = Instant::now();
            while size() <= from && start.elapsed() < Duration::from_secs(10) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            size() > from
        };
        assert!(grows(2).await);
        host.supervisor.set_frozen("a", true).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let frozen = size();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(size(), frozen);
        host.supervisor.set_frozen("a", false).unwrap();
        assert!(grows(frozen).await);
        host.supervisor.set_frozen("a", true).unwrap();
        assert!(host.supervisor.stop("a").await);
        assert_eq!(process.wait().await, StepEnd::Signaled(15));
    }
}

/// CR 2.11, 10.3 (13): a memory limit holds whatever the kernel offers for it.
#[tokio::test]
async fn a_memory_limit_holds() {
    for means in BOTH {
        let host = Host::with(means);
        let mut launch = host.launch("a", "run", "exec awk 'BEGIN { s = \"xxxxxxxxxxxxxxxx\"; while (1) s = s s }'");
        launch.limits = ResourceLimits { memory_kb: Some(16 * 1024), cpus: Some(1.0), pids: None };
        launch.timeout = Some(Duration::from_secs(30));
        let end = host.run(launch).await;
        assert!(!matches!(end, StepEnd::TimedOut | StepEnd::Exited(0)), "{end:?}");
    }
}

/// SEC-130: what cannot be bound is not started.
#[tokio::test]
async fn the_launcher_fails_closed() {
    let host = Host::new();
    let mut launch = host.launch("a", "run", "echo started");
    launch.shell = "no-such-shell".to_owned();
    assert_eq!(host.run(launch).await, StepEnd::Exited(125));
    let log = host.log("a");
    assert!(log.contains("marram-jail: cannot execute no-such-shell"), "{log}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_marram-jail"))
        .args(["--cgroup", "/no/such/group/cgroup.procs", "--", "sh", "-c", "echo started"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(output.stdout.is_empty());
}

/// CR 10.3 (2): what a run left behind is found by its record alone, and dies; a stranger with a recorded number does not.
#[tokio::test]
async fn the_next_run_sweeps_what_is_recorded() {
    let script = "echo $$ >> pids; setsid sleep 300 & echo $! >> pids; \
                  sh -c 'trap \"\" TERM; sleep 300 & echo $! >> pids; wait' & wait";
    for means in BOTH {
        let host = Host::with(means);
        let process = host.supervisor.start(host.launch("a", "run", script)).unwrap();
        let all = pids(&host.dir.path().join("a/pids"), 3).await;
        let record = fs::read_to_string(host.dir.path().join("processes")).unwrap();
        let mut stranger = std::process::Command::new("setsid").args(["sleep", "300"]).spawn().unwrap();
        let forged = format!("{record}{} 1 a\n", stranger.id());
        fs::write(host.dir.path().join("processes"), forged).unwrap();
        drop(supervisor(host.dir.path(), means));
        assert!(survivors(&all).await.is_empty(), "{means:?}: {all:?}");
        assert!(is_alive(stranger.id()), "{means:?}: its start time is not the recorded one");
        process.wait().await;
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
