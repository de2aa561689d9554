//! Networks of components: whose they are and how long they last (SEC-132, SEC-138).

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use marram_reach::Policy;
use marram_supervisor::{Egress, Profile, Sandbox, StepEnd, StepLaunch};

use crate::host::{Host, is_alive, pids};

fn launch(host: &Host, component: &str, step: &'static str, script: &str, rules: &str) -> StepLaunch {
    let root = host.dir.path();
    let policy = Policy::parse(&serde_json::from_str(rules).unwrap()).unwrap();
    let mut launch = host.launch(component, step, script);
    launch.timeout = Some(Duration::from_secs(60));
    launch.sandbox = Some(Sandbox {
        profile: Profile::Standard,
        network: None,
        egress: Some(Egress { policy: Arc::new(policy), services: Vec::new() }),
        read: Vec::new(),
        write: Vec::new(),
        devices: Vec::new(),
        artifacts: Vec::new(),
        socket: root.join("ipc.socket"),
        private: root.join("private").join(component),
        protected: vec![root.to_owned()],
        own_user: false,
        required: false,
    });
    launch
}

/// The network namespaces that scripts wrote down.
fn namespaces(host: &Host, component: &str) -> Vec<String> {
    let text = fs::read_to_string(host.dir.path().join(component).join("ns")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn open_sockets() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:") || link.to_string_lossy().starts_with("net:"))
        .count()
}

/// SEC-132: a component has one network for its steps, apart from the host's and from other components'; with its last process
/// the core lets go of it.
#[tokio::test]
async fn a_component_has_one_network_for_all_its_steps() {
    const TELL: &str = "readlink /proc/self/ns/net >> ns";
    let host = Host::new();
    if let Some(obstacle) = host.supervisor.network_obstacle() {
        eprintln!("no networks here: {obstacle}");
        let refused = host.supervisor.start(launch(&host, "a", "run", "true", "[]")).unwrap_err().to_string();
        assert!(refused.contains("cannot hold the component to its marram.sandbox.egress"), "{refused}");
        return;
    }
    fs::create_dir_all(host.dir.path().join("private")).unwrap();
    let rules = r#"[{"host": "a.plant", "port": 8883}]"#;
    // Everything that the runtime and the supervisor open by themselves is there.
    assert_eq!(host.run(launch(&host, "other", "install", TELL, rules)).await, StepEnd::Exited(0));
    host.supervisor.stop("other").await;
    let before = open_sockets();
    assert_eq!(host.run(launch(&host, "a", "install", TELL, rules)).await, StepEnd::Exited(0), "{}", host.log("a"));
    let script = format!("{TELL}; echo $$ > pids; exec sleep 300");
    let process = host.supervisor.start(launch(&host, "a", "run", &script, rules)).unwrap();
    let run = pids(&host.dir.path().join("a/pids"), 1).await;
    assert_eq!(host.run(launch(&host, "a", "shutdown", TELL, rules)).await, StepEnd::Exited(0), "{}", host.log("a"));
    let [install, running, shutdown] = &namespaces(&host, "a")[..] else { panic!("{:?}", namespaces(&host, "a")) };
    assert!(install == running && running == shutdown, "{install} {running} {shutdown}");
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(*running != own.to_string_lossy() && *running != namespaces(&host, "other")[0]);
    assert!(open_sockets() > before);
    assert!(host.supervisor.stop("a").await);
    process.wait().await;
    assert!(!is_alive(run[0]));
    let start = Instant::now();
    while open_sockets() > before {
        assert!(start.elapsed() < Duration::from_secs(10), "{} sockets, {before} before", open_sockets());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another declaration is another network.
    let other = r#"[{"host": "b.plant", "port": 8883}]"#;
    assert_eq!(host.run(launch(&host, "a", "install", TELL, rules)).await, StepEnd::Exited(0));
    assert_eq!(host.run(launch(&host, "a", "install", TELL, other)).await, StepEnd::Exited(0));
    let all = namespaces(&host, "a");
    assert_ne!(all[3], all[4]);
}

/// SEC-132: the component sees names of its own, and none of the sockets of the host's services.
#[tokio::test]
async fn names_are_the_components_own() {
    let host = Host::new();
    if host.supervisor.network_obstacle().is_some() {
        return;
    }
    fs::create_dir_all(host.dir.path().join("private")).unwrap();
    let rules = r#"[{"host": "Broker.Plant", "port": 8883}, {"host": "10.0.0.1", "port": 80}]"#;
    let script = "cat /etc/hosts > hosts; cat /etc/resolv.conf > resolv; ls /run > run; read line; echo end > input";
    let process = host.supervisor.start(launch(&host, "a", "run", script, rules)).unwrap();
    let read = |file: &str| fs::read_to_string(host.dir.path().join("a").join(file)).unwrap_or_default();
    let start = Instant::now();
    while !host.dir.path().join("a/run").exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", host.log("a"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // CR 2.8: standard input stays open as long as the process lives.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(read("input"), "");
    host.supervisor.stop("a").await;
    process.wait().await;
    let hosts = read("hosts");
    assert!(hosts.starts_with("127.0.0.1 localhost\n") && hosts.ends_with(" broker.plant\n"), "{hosts}");
    assert!(read("resolv").contains("nameserver 127.0.0.1\n"), "{}", read("resolv"));
    assert!(read("run").lines().count() <= 1, "{}", read("run"));
}
