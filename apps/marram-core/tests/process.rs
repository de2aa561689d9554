//! The program as a whole: start, stop, kill, refusals.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

struct Core {
    child: Child,
    ready: Value,
}

struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    fn new(services: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let mut configuration = json!({"system": {"thingName": "T"}, "services": {
            "aws.greengrass.Nucleus": {"configuration": {"awsRegion": "us-east-1"}},
        }});
        if rustix::process::geteuid().is_root() {
            configuration["services"]["aws.greengrass.Nucleus"]["configuration"]["runWithDefault"] =
                json!({"posixUser": "nobody"});
        }
        let all = configuration["services"].as_object_mut().unwrap();
        all.extend(services.as_object().unwrap().clone());
        fs::write(dir.path().join("init.yaml"), configuration.to_string()).unwrap();
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn work(&self, component: &str, file: &str) -> PathBuf {
        self.root().join("work").join(component).join(file)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marram-core"));
        command.arg("run").arg("--root").arg(self.root()).arg("--init-config").arg(self.dir.path().join("init.yaml"));
        command.env("AWS_ACCESS_KEY_ID", "leak").env("MARRAM_LOG", "warn");
        command
    }

    fn start(&self) -> Core {
        self.start_with(&[])
    }

    fn start_with(&self, flags: &[&str]) -> Core {
        let mut child = self.command().args(flags).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Core { child, ready: serde_json::from_str(&line).expect("the ready line is JSON") }
    }
}

impl Core {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "the core does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lines(file: &Path, count: usize) -> Vec<String> {
    wait_for(&format!("line {count} of {}", file.display()), || {
        let text = fs::read_to_string(file).ok()?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// CR 2.6, 2.8, 2.9: components start after what they depend on, in a clean environment, and stop before it; nothing is left.
#[test]
fn components_start_in_order_and_stop_in_reverse() {
    let order = |name: &str| {
        let log = "../../order";
        json!({
            "version": "1.0.0",
            // They write outside of their folders.
            "configuration": {"marram": {"sandbox": {"profile": "off"}}},
            "lifecycle": {
                "run": format!("echo start {name} >> {log}; env > env; echo $$ > pid; sleep 300 & wait"),
                "shutdown": format!("echo stop {name} >> {log}"),
            },
        })
    };
    // Up once its startup is over: what depends on it cannot overtake its first line.
    let mut db = order("db");
    let run = db["lifecycle"].as_object_mut().unwrap().remove("run").unwrap();
    let startup =
        run.as_str().unwrap().replace("echo $$ > pid; sleep 300 & wait", "sleep 300 > /dev/null 2>&1 & echo $! > pid");
    db["lifecycle"]["startup"] = json!(startup);
    let mut app = order("app");
    app["dependencies"] = json!(["db:HARD", "aws.greengrass.Nucleus:SOFT"]);
    let root = Root::new(&json!({"app": app, "db": db}));
    fs::create_dir(root.root()).unwrap();
    fs::write(root.root().join("order"), "").unwrap();
    fs::set_permissions(root.root().join("order"), Permissions::from_mode(0o666)).unwrap();
    let mut core = root.start();
    assert_eq!(core.ready["ready"], true);
    let pids: Vec<String> = ["db", "app"].map(|name| lines(&root.work(name, "pid"), 1).remove(0)).into();
    let environment = fs::read_to_string(root.work("app", "env")).unwrap();
    assert!(environment.contains("AWS_IOT_THING_NAME=T\n") && environment.contains("SVCUID="), "{environment}");
    assert!(!environment.contains("leak"), "{environment}");
    core.signal(rustix::process::Signal::TERM);
    assert!(core.wait().success());
    let got = fs::read_to_string(root.root().join("order")).unwrap();
    assert_eq!(got.lines().collect::<Vec<_>>(), ["start db", "start app", "stop app", "stop db"]);
    assert!(!pids.iter().any(|pid| is_alive(pid)));
    let dump = fs::read_to_string(root.root().join("config/effectiveConfig.yaml")).unwrap();
    assert!(dump.contains("\"thingName\": \"T\""), "{dump}");
    let log = fs::read_to_string(root.root().join("logs/app.log")).unwrap();
    assert!(log.contains("STARTING to RUNNING"), "{log}");
}

/// CR 10.3 (2), SEC-130: after `kill -9` the next run finds and kills what the old one left, in whatever session, and starts
/// everything again, once.
#[test]
fn a_killed_core_leaves_no_orphans_to_the_next() {
    let script = "setsid sh -c 'echo $$ >> pids; exec sleep 300' & \
                  (trap '' TERM HUP; echo lost; sleep 300 & echo $! >> pids; wait) & \
                  echo $$ >> pids; while :; do sleep 300; done";
    let root = Root::new(&json!({"app": {"version": "1.0.0", "lifecycle": {"run": script}}}));
    let mut core = root.start();
    let old = lines(&root.work("app", "pids"), 3);
    core.signal(rustix::process::Signal::KILL);
    core.wait();
    fs::remove_file(root.work("app", "pids")).unwrap();
    let mut core = root.start();
    assert!(!old.iter().any(|pid| is_alive(pid)), "{old:?} survived into the next run");
    let new = lines(&root.work("app", "pids"), 3);
    core.signal(rustix::process::Signal::TERM);
    assert!(core.wait().success());
    assert!(!new.iter().any(|pid| is_alive(pid)), "{new:?} survived the orderly stop");
}

/// Core-runtime 9.3, MA-COMP-12: without a configured user each component of a core that is root has one of its own, the same
/// after a restart, which may open the socket; another core's components run as the core itself.
#[test]
fn components_have_users_of_their_own() {
    let script =
        "id -u > uid; test -w $AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT && echo yes > socket; sleep 300";
    let app = json!({"version": "1.0.0", "lifecycle": {"run": script}});
    let root = Root::new(&json!({"a": app, "b": app}));
    let file = root.dir.path().join("init.yaml");
    let mut configuration: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    configuration["services"]["aws.greengrass.Nucleus"]["configuration"]
        .as_object_mut()
        .unwrap()
        .remove("runWithDefault");
    fs::write(&file, configuration.to_string()).unwrap();
    let own = rustix::process::geteuid();
    let uids = || {
        let mut core = root.start();
        let found = ["a", "b"].map(|name| {
            lines(&root.work(name, "socket"), 1);
            lines(&root.work(name, "uid"), 1).remove(0)
        });
        core.signal(rustix::process::Signal::TERM);
        assert!(core.wait().success());
        for name in ["a", "b"] {
            fs::remove_file(root.work(name, "uid")).unwrap();
        }
        found
    };
    let first = uids();
    assert_eq!(first, uids());
    match own.is_root() {
        true => assert!(first[0] != first[1] && first.iter().all(|uid| uid != "0"), "{first:?}"),
        false => assert_eq!(first, [own.as_raw().to_string(), own.as_raw().to_string()]),
    }
}

/// CR 2.9: the core raises its own limit of open files, and components have the one that it was started with.
#[test]
fn components_keep_the_limit_of_open_files() {
    const SOFT: &str = "321";
    let root = Root::new(&json!({"a": {
        "version": "1.0.0",
        "lifecycle": {"run": "(ulimit -Sn; ulimit -Hn) > limits.new; mv limits.new limits; exec sleep 600"},
    }, "main": {"dependencies": ["a:HARD"]}}));
    let core = root.command();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -Sn {SOFT}; exec \"$0\" \"$@\"")])
        .arg(core.get_program())
        .args(core.get_args());
    command.envs(core.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let core = Core { child, ready: serde_json::from_str(&line).unwrap() };
    let found = lines(&root.work("a", "limits"), 2);
    let own = fs::read_to_string(format!("/proc/{}/limits", core.ready["pid"])).unwrap();
    let own: Vec<&str> =
        own.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(own[0], own[1], "the core raises its own");
    assert_eq!(found, [SOFT, own[1]]);
}

/// CR 3.7: `--init-config` counts at the first start, later only with `--update-config`, and then takes nothing else away.
#[test]
fn the_first_configuration_can_be_updated() {
    let root = Root::new(&json!({"X": {"componentType": "NUCLEUS", "configuration": {"kept": 1}}}));
    let stop = |mut core: Core| {
        core.signal(rustix::process::Signal::TERM);
        assert!(core.wait().success());
        fs::read_to_string(root.root().join("config/effectiveConfig.yaml")).unwrap()
    };
    assert!(stop(root.start()).contains("\"thingName\": \"T\""));
    fs::write(root.dir.path().join("init.yaml"), "system: {thingName: U}\n").unwrap();
    assert!(stop(root.start()).contains("\"thingName\": \"T\""));
    let dump = stop(root.start_with(&["--update-config"]));
    assert!(dump.contains("\"thingName\": \"U\"") && dump.contains("\"kept\": 1"), "{dump}");
}

/// CR 9.1: one core per root, nothing private readable by others, one line and an exit code for each refusal.
#[test]
fn what_is_not_safe_is_refused() {
    let refusal = |command: &mut Command| {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), text)
    };
    let root = Root::new(&json!({}));
    let mut core = root.start();
    let (code, text) = refusal(&mut root.command());
    assert_eq!((code, text.contains("is in use by another core")), (3, true), "{text}");
    core.signal(rustix::process::Signal::TERM);
    assert!(core.wait().success());

    fs::set_permissions(root.root().join("config"), Permissions::from_mode(0o755)).unwrap();
    let (code, text) = refusal(&mut root.command());
    assert_eq!((code, text.contains("can be read by others (mode 0755)")), (3, true), "{text}");
    fs::set_permissions(root.root().join("config"), Permissions::from_mode(0o700)).unwrap();

    let key = root.dir.path().join("key.pem");
    fs::write(&key, "k").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let file = root.dir.path().join("config.yaml");
    fs::write(&file, format!("system:\n  privateKeyPath: {}\n", key.display())).unwrap();
    let (code, text) = refusal(root.command().arg("--config").arg(&file));
    assert_eq!((code, text.contains("key.pem can be read by others")), (3, true), "{text}");

    fs::write(&file, "- no\n- map\n").unwrap();
    let (code, text) = refusal(root.command().arg("--config").arg(&file));
    assert_eq!((code, text.contains("config.yaml: is not a map")), (2, true), "{text}");
}
