//! What a component tries that it must not get (security 9.2, SEC-130, SEC-132): a process inside the sandbox makes the
//! attempts and says how each ended; the expectation follows from what the host offers, as the supervisor reports it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr as Address, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use marram_reach::Policy;
use marram_supervisor::{
    Egress, OwnUsers, Profile, ResourceLimits, RunAs, Sandbox, SandboxError, StartError, StepEnd, StepLaunch, lacking,
};
use nix::sched::CloneFlags;
use nix::unistd::Pid;
use rustix::net::{AddressFamily, SocketType, socket};

use crate::host::{Host, is_alive, pids};

/// Where the prober inside the sandbox finds what it is to attack.
const TARGETS: &str = "MARRAM_PROBE";

/// A core's root as a component finds it, in `host`'s folder.
struct Fort {
    host: Host,
    own_users: Option<OwnUsers>,
    abstract_name: String,
    _listener: UnixListener,
    /// Of the host's: the one that is declared to held components, another, one with IPv6, and one for datagrams.
    ports: [u16; 4],
    run_socket: Option<(PathBuf, UnixListener)>,
}

/// Answers each connection with what it sends first.
fn echo(address: &str) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut byte = [0];
                let _ = stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte));
            });
        }
    });
    port
}

fn echo_datagrams() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Ok((_, from)) = socket.recv_from(&mut byte) {
            let _ = socket.send_to(&byte, from);
        }
    });
    port
}

impl Fort {
    fn new() -> Self {
        let host = Host::new();
        let root = host.dir.path();
        let private = |path: &str, mode: u32| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "secret").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        // Readable by mode, so that only the sandbox stands before them where the user is the core's.
        private("config/core.db", 0o644);
        private("keys/private.pem.key", 0o644);
        private("other/data", 0o644);
        private("packages/artifacts/victim/1.0.0/code", 0o644);
        private("packages/artifacts/probe/1.0.0/code", 0o444);
        fs::create_dir_all(root.join("private")).unwrap();
        fs::set_permissions(root.join("private"), fs::Permissions::from_mode(0o711)).unwrap();
        if rustix::process::geteuid().is_root() {
            let setuid = root.join("packages/artifacts/probe/1.0.0/id");
            fs::copy("/usr/bin/id", &setuid).unwrap();
            fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
        }
        let abstract_name = format!("marram-abuse-{}", root.file_name().unwrap().to_str().unwrap());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let run_socket = is_root.then(|| {
            let path = PathBuf::from(format!("/run/{abstract_name}"));
            let listener = UnixListener::bind(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            (path, listener)
        });
        let ports = [echo("127.0.0.1:0"), echo("127.0.0.1:0"), echo("[::1]:0"), echo_datagrams()];
        let own_users = is_root.then(|| OwnUsers::open(&root.join("config/users"), "00000000").unwrap());
        Self {
            own_users,
            _listener: UnixListener::bind_addr(&address).unwrap(),
            abstract_name,
            host,
            ports,
            run_socket,
        }
    }

    /// The user of its own, where the test can give one; else, or when `shared`, that of the core.
    fn user(&self, component: &str, shared: bool) -> (RunAs, bool) {
        match self.own_users.as_ref().filter(|_| !shared) {
            Some(users) => (users.of(component, &self.host.dir.path().join(component)).unwrap(), true),
            None => (marram_supervisor::Users::default().resolve(&[], true).unwrap(), false),
        }
    }

    fn launch(&self, profile: Profile, shared: bool, script: &str) -> StepLaunch {
        let root = self.host.dir.path();
        let (user, own_user) = self.user("probe", shared);
        let mut launch = self.host.launch("probe", "run", script);
        launch.timeout = Some(Duration::from_secs(60));
        launch.environment.push(("HOME".into(), user.home.display().to_string()));
        launch.user = user;
        launch.sandbox = Some(Sandbox {
            profile,
            network: None,
            egress: None,
            read: Vec::new(),
            write: Vec::new(),
            devices: Vec::new(),
            artifacts: vec![root.join("packages/artifacts/probe")],
            socket: root.join("ipc.socket"),
            private: root.join("private/probe"),
            protected: vec![root.to_owned()],
            own_user,
            required: false,
        });
        launch
    }

    /// What held components declare: one port of the host's loopback, under two names and as seen from elsewhere.
    fn egress(&self) -> Egress {
        let declared = self.ports[0];
        let rules = format!(
            r#"[{{"host": "localhost", "port": {declared}}}, {{"host": "inside.localhost", "port": {declared}}},
                {{"host": "*.wild.localhost", "port": {declared}}}]"#
        );
        Egress {
            policy: Arc::new(Policy::parse(&serde_json::from_str(&rules).unwrap()).unwrap()),
            services: Vec::new(),
        }
    }

    /// Runs the prober in the sandbox; each attempt and how it ended.
    async fn probe(&self, profile: Profile, shared: bool, held: bool) -> BTreeMap<String, String> {
        let root = self.host.dir.path();
        let exe = std::env::current_exe().unwrap();
        let script = format!("exec {} --ignored --exact abuse::prober --nocapture", exe.display());
        let mut launch = self.launch(profile, shared, &script);
        launch.sandbox.as_mut().unwrap().egress = held.then(|| self.egress());
        let [declared, other, six, datagrams] = self.ports;
        let (root, core, name) = (root.display(), std::process::id(), &self.abstract_name);
        let targets = format!("{root} {core} {name} {declared} {other} {six} {datagrams} {held}");
        launch.environment.push((TARGETS.into(), targets));
        assert_eq!(self.host.run(launch).await, StepEnd::Exited(0), "{}", self.host.log("probe"));
        let log = self.host.log("probe");
        let told = log.lines().filter_map(|line| line.split("stdout. probe ").nth(1)?.split(". {").next());
        told.filter_map(|line| line.split_once(' ')).map(|(name, end)| (name.to_owned(), end.to_owned())).collect()
    }
}

impl Drop for Fort {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.run_socket {
            let _ = fs::remove_file(path);
        }
    }
}

/// How a connection ends that sends a byte and wants it back.
fn talk(address: impl ToSocketAddrs) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let try_it = || {
        let all: Vec<Address> = address.to_socket_addrs().map_err(|_| ErrorKind::NotFound)?.collect();
        let mut stream = TcpStream::connect_timeout(all.first().ok_or(ErrorKind::NotFound)?, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])
    };
    try_it().map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied => "denied".to_owned(),
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
        ErrorKind::NotFound => "no-name".to_owned(),
        _ => error.to_string(),
    })
}

/// The same with one datagram.
fn shout(address: &str) -> Result<(), String> {
    let try_it = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.connect(address)?;
        socket.send(b"x")?;
        socket.recv(&mut [0; 512]).map(drop)
    };
    try_it().map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied => "denied".to_owned(),
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        _ => error.to_string(),
    })
}

/// Not a test of its own: the process inside the sandbox.
#[test]
#[ignore = "the other tests run it inside their sandboxes"]
fn prober() {
    let targets = std::env::var(TARGETS).unwrap_or_default();
    let [root, core, name, declared, other, six, datagrams, held] = targets.split(' ').collect::<Vec<_>>()[..] else {
        return;
    };
    let (root, core) = (PathBuf::from(root), core.parse::<i32>().unwrap());
    let pid = Pid::from_raw(core);
    let tell = |what: &str, end: Result<(), String>| {
        println!("probe {what} {}", end.map_or_else(|error| error, |()| "done".to_owned()));
    };
    let file = |result: std::io::Result<()>| {
        result.map_err(|error| match error.kind() {
            // File rules answer a move between folders with the latter.
            ErrorKind::PermissionDenied | ErrorKind::CrossesDevices => "denied".to_owned(),
            ErrorKind::NotFound => "absent".to_owned(),
            ErrorKind::ConnectionRefused => "refused".to_owned(),
            _ => error.to_string(),
        })
    };
    let call = |result: nix::Result<()>| {
        result.map_err(|error| match error {
            nix::Error::EPERM | nix::Error::EACCES => "denied".to_owned(),
            other => other.to_string(),
        })
    };
    let read = |path: PathBuf| file(fs::File::open(path).and_then(|mut file| file.read(&mut [0; 1])).map(drop));
    // A socket or a namespace of the core's would be a way around everything below.
    let leaks = |entry: &fs::DirEntry| {
        let link = fs::read_link(entry.path()).unwrap_or_default();
        ["socket:", "net:", "user:"].iter().any(|kind| link.to_string_lossy().starts_with(kind))
    };
    let leaked = fs::read_dir("/proc/self/fd").map(|all| all.flatten().filter(leaks).count());
    tell("descriptors", Err(leaked.map_or_else(|error| error.to_string(), |count| count.to_string())));
    tell("own-work", file(fs::write("own", "x")));
    tell("own-artifact", read(root.join("packages/artifacts/probe/1.0.0/code")));
    tell("library", read("/usr/bin/id".into()));
    tell("null", file(fs::OpenOptions::new().write(true).open("/dev/null").map(drop)));
    tell("hosts", read("/etc/hosts".into()));
    tell("own-tmp", file(fs::write("/tmp/marram-abuse-inside", "x")));
    tell("config", read(root.join("config/core.db")));
    tell("key", read(root.join("keys/private.pem.key")));
    tell("other-work", read(root.join("other/data")));
    tell("other-work-list", file(fs::read_dir(root.join("other")).map(drop)));
    tell("other-artifact", read(root.join("packages/artifacts/victim/1.0.0/code")));
    tell("change-artifact", file(fs::write(root.join("packages/artifacts/probe/1.0.0/new"), "x")));
    tell("change-system", file(fs::write("/usr/lib/marram-abuse", "x")));
    tell("link-out", {
        let _ = std::os::unix::fs::symlink(root.join("config/core.db"), "link");
        read("link".into())
    });
    tell("foreign-tmp", read(std::env::temp_dir().join(name)));
    tell("core-environment", read(format!("/proc/{core}/environ").into()));
    tell("core-memory", read(format!("/proc/{core}/mem").into()));
    tell("core-files", file(fs::read_link(format!("/proc/{core}/fd/0")).map(drop)));
    tell("trace-core", call(nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty())));
    tell("read-core", {
        let remote = nix::sys::uio::RemoteIoVec { base: 0x1000, len: 1 };
        let mut buffer = [0; 1];
        let local = &mut [std::io::IoSliceMut::new(&mut buffer)];
        call(nix::sys::uio::process_vm_readv(pid, local, &[remote]).map(drop))
    });
    let core = rustix::process::Pid::from_raw(core).unwrap();
    let errno = |result: rustix::io::Result<()>| {
        result.map_err(|error| match error {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => "denied".to_owned(),
            other => other.to_string(),
        })
    };
    tell("signal-core", errno(rustix::process::test_kill_process(core)));
    tell(
        "mount",
        call(nix::mount::mount(None::<&str>, "/", None::<&str>, nix::mount::MsFlags::MS_PRIVATE, None::<&str>)),
    );
    tell("namespace", call(nix::sched::unshare(CloneFlags::CLONE_NEWUSER)));
    tell("network-namespace", call(nix::sched::unshare(CloneFlags::CLONE_NEWNET)));
    tell("mount-namespace", call(nix::sched::unshare(CloneFlags::CLONE_NEWNS)));
    for (what, path) in [("host-network", format!("/proc/{core}/ns/net")), ("init-network", "/proc/1/ns/net".into())] {
        let joined = fs::File::open(path).and_then(|namespace| {
            let moved = nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET);
            moved.map_err(std::io::Error::from)
        });
        tell(what, file(joined));
    }
    tell("pivot", call(nix::unistd::pivot_root("/", "/")));
    tell("unmount", call(nix::mount::umount("/proc")));
    tell("chroot", call(nix::unistd::chroot("/")));
    tell("hostname", call(nix::unistd::sethostname("marram-abuse")));
    tell("internet", errno(socket(AddressFamily::INET, SocketType::DGRAM, None).map(drop)));
    tell("raw", errno(socket(AddressFamily::INET, SocketType::RAW, Some(rustix::net::ipproto::ICMP)).map(drop)));
    tell("packets", errno(socket(AddressFamily::PACKET, SocketType::RAW, None).map(drop)));
    for (what, family, kind, protocol) in [
        ("raw-tcp", AddressFamily::INET, SocketType::RAW, Some(rustix::net::ipproto::TCP)),
        ("raw-6", AddressFamily::INET6, SocketType::RAW, Some(rustix::net::ipproto::ICMPV6)),
        ("packets-cooked", AddressFamily::PACKET, SocketType::DGRAM, None),
        ("machine", AddressFamily::from_raw(40), SocketType::STREAM, None),
        ("bluetooth", AddressFamily::BLUETOOTH, SocketType::STREAM, None),
        ("field-bus", AddressFamily::CAN, SocketType::RAW, None),
        ("express", AddressFamily::from_raw(44), SocketType::RAW, None),
    ] {
        tell(what, errno(socket(family, kind, protocol).map(drop)));
    }
    tell("host-loopback", talk(format!("127.0.0.1:{other}")));
    tell("host-loopback-6", talk(format!("[::1]:{six}")));
    tell("datagram", shout(&format!("127.0.0.1:{datagrams}")));
    tell("declared", talk(format!("127.0.0.1:{declared}")));
    tell("tunnel", file(fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").map(drop)));
    // What would leave this machine is only tried where it cannot.
    if held == "true" {
        tell("declared-name", talk(format!("inside.localhost:{declared}")));
        tell("declared-below", talk(format!("a.b.wild.localhost:{declared}")));
        tell("undeclared-name", talk(format!("secret-data.undeclared.example:{declared}")));
        tell("above-declared", talk(format!("wild.localhost:{declared}")));
        tell("undeclared-port", talk(format!("inside.localhost:{other}")));
        tell("elsewhere", talk(format!("192.0.2.1:{declared}")));
        tell("elsewhere-6", talk(format!("[2001:db8::1]:{declared}")));
        tell("other-loopback", talk(format!("127.0.0.2:{declared}")));
        tell("metadata", talk("169.254.169.254:80"));
        tell("metadata-declared-port", talk(format!("169.254.169.254:{declared}")));
        tell("open-resolver", shout("8.8.8.8:53"));
        tell("open-resolver-tcp", talk("8.8.8.8:53"));
        tell("datagram-out", shout("192.0.2.1:9999"));
        tell("multicast", shout("239.255.255.250:1900"));
        tell("own-loopback", {
            let own = echo("127.0.0.1:0");
            talk(format!("127.0.0.1:{own}"))
        });
    }
    tell("run-socket", file(UnixStream::connect(format!("/run/{name}")).map(drop)));
    tell("docker", file(UnixStream::connect("/var/run/docker.sock").map(drop)));
    let write = |path: &str| file(fs::OpenOptions::new().write(true).open(path).map(drop));
    tell("kernel-setting", write("/proc/sys/kernel/hostname"));
    tell("magic-key", write("/proc/sysrq-trigger"));
    tell("kernel-log", write("/dev/kmsg"));
    tell("memory", read("/dev/mem".into()));
    tell("shadow", read("/etc/shadow".into()));
    tell("init-environment", read("/proc/1/environ".into()));
    tell("init-root", file(fs::read_dir("/proc/1/root").map(drop)));
    tell("core-root", file(fs::read_dir(format!("/proc/{}/root", pid.as_raw())).map(drop)));
    tell("core-maps", read(format!("/proc/{}/maps", pid.as_raw()).into()));
    tell("init-signal", errno(rustix::process::test_kill_process(rustix::process::Pid::INIT)));
    tell("hard-link", file(fs::hard_link(root.join("config/core.db"), "hard")));
    tell("move-out", file(fs::rename("own", root.join("other/own"))));
    tell("node", {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        errno(mknodat(CWD, "node", FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 1)))
    });
    tell("priority", errno(rustix::process::setpriority_process(None, -20)));
    let dump = rustix::process::getrlimit(rustix::process::Resource::Core);
    tell("core-dump", Err(format!("{:?}", dump.maximum)));
    tell("crypto", errno(socket(AddressFamily::from_raw(38), SocketType::SEQPACKET, None).map(drop)));
    tell("abstract", {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        file(UnixStream::connect_addr(&address).map(drop))
    });
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    for (what, name) in [("capabilities", "CapPrm:"), ("bounding", "CapBnd:"), ("privileges", "NoNewPrivs:")] {
        tell(what, Err(field(name)));
    }
    let setuid = std::process::Command::new(root.join("packages/artifacts/probe/1.0.0/id")).arg("-u").output();
    let euid = setuid.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    tell("setuid", Err(euid.unwrap_or_else(|error| error.kind().to_string())));
    std::io::stdout().flush().unwrap();
}

/// Attempts that are made where nothing of them can leave the machine.
const ONLY_HELD: [&str; 15] = [
    "declared-name",
    "declared-below",
    "undeclared-name",
    "above-declared",
    "undeclared-port",
    "elsewhere",
    "elsewhere-6",
    "other-loopback",
    "metadata",
    "metadata-declared-port",
    "open-resolver",
    "open-resolver-tcp",
    "datagram-out",
    "multicast",
    "own-loopback",
];

/// SEC-130, SEC-132, security 9.1: the matrix of attempts, for both profiles, with a user of its own and with the core's.
#[tokio::test]
async fn what_a_component_tries_ends_as_its_profile_says() {
    let fort = Fort::new();
    let offer = fort.host.supervisor.offer();
    let temporary = std::env::temp_dir().join(&fort.abstract_name);
    fs::write(&temporary, "of the host").unwrap();
    let can_hold = fort.host.supervisor.network_obstacle().is_none();
    let mut wrong = Vec::new();
    let mut probes = std::collections::BTreeSet::new();
    for (profile, held) in
        [(Profile::Standard, false), (Profile::Strict, false), (Profile::Standard, true), (Profile::Strict, true)]
    {
        for shared in [false, true] {
            if held && !can_hold {
                continue;
            }
            let own_user = fort.user("probe", shared).1;
            let found = fort.probe(profile, shared, held).await;
            probes.extend(found.keys().cloned());
            let (rules, filters) = (offer.landlock > 0, offer.syscalls);
            let strict = profile == Profile::Strict;
            let when = |fenced: bool| if fenced { "denied" } else { "done" };
            let network = |open: &'static str, when_held: &'static str| match held {
                true => when_held,
                false if strict && (filters || offer.landlock >= 4) => "denied",
                false => open,
            };
            for (what, expected) in [
                ("own-work", "done"),
                ("own-artifact", "done"),
                ("library", "done"),
                ("null", "done"),
                ("hosts", when(strict && rules && !held)),
                ("config", when(rules)),
                ("key", when(rules)),
                ("other-work", when(rules)),
                ("other-work-list", when(rules)),
                ("link-out", when(rules)),
                ("other-artifact", when(rules)),
                ("change-artifact", when(rules || own_user)),
                ("change-system", "denied"),
                ("core-environment", "denied"),
                ("core-memory", "denied"),
                ("core-files", "denied"),
                ("trace-core", "denied"),
                ("read-core", "denied"),
                ("signal-core", when(own_user || offer.landlock >= 6)),
                ("mount", "denied"),
                ("namespace", when(filters)),
                ("chroot", "denied"),
                ("hostname", "denied"),
                ("internet", when(strict && filters && !held)),
                ("raw", "denied"),
                ("packets", "denied"),
                ("crypto", when(filters)),
                // Their names belong to the network.
                ("abstract", if held { "refused" } else { when(offer.landlock >= 6) }),
                ("descriptors", "0"),
                ("network-namespace", "denied"),
                ("mount-namespace", "denied"),
                ("host-network", "denied"),
                ("init-network", "denied"),
                ("pivot", "denied"),
                ("unmount", "denied"),
                ("raw-tcp", "denied"),
                ("raw-6", "denied"),
                ("packets-cooked", "denied"),
                ("machine", "denied"),
                ("bluetooth", "denied"),
                ("field-bus", "denied"),
                ("express", "denied"),
                ("host-loopback", network("done", "refused")),
                ("host-loopback-6", network("done", "refused")),
                ("datagram", network("done", "refused")),
                ("declared", network("done", "done")),
                ("declared-name", "done"),
                ("declared-below", "done"),
                ("undeclared-name", "no-name"),
                ("above-declared", "no-name"),
                ("undeclared-port", "refused"),
                ("elsewhere", "reset"),
                ("elsewhere-6", "reset"),
                ("other-loopback", "reset"),
                ("metadata", "refused"),
                ("metadata-declared-port", "reset"),
                ("open-resolver", "refused"),
                ("open-resolver-tcp", "refused"),
                ("datagram-out", "refused"),
                ("own-loopback", "done"),
                ("run-socket", if held { "absent" } else { when(offer.landlock >= 9) }),
                ("kernel-setting", "denied"),
                ("magic-key", "denied"),
                ("kernel-log", "denied"),
                ("shadow", "denied"),
                ("init-environment", "denied"),
                ("init-root", "denied"),
                ("core-root", "denied"),
                ("core-maps", "denied"),
                ("init-signal", when(own_user || offer.landlock >= 6)),
                ("hard-link", "denied"),
                ("move-out", "denied"),
                ("node", "denied"),
                ("priority", "denied"),
                ("core-dump", "Some(0)"),
                ("privileges", "1"),
                ("capabilities", "0000000000000000"),
            ] {
                let got = found.get(what).map(String::as_str);
                let is_skipped = got.is_none() && !held && ONLY_HELD.contains(&what);
                let is_absent = got == Some("absent")
                    && match what {
                        "run-socket" => fort.run_socket.is_none(),
                        _ => expected != "done",
                    };
                let case = format!("{what}, {profile:?}, held {held}, own user {own_user}, {offer:?}");
                if !(is_skipped || is_absent || got == Some(expected)) {
                    wrong.push(format!("{case}: {got:?}, not {expected}"));
                }
            }
            if own_user {
                assert_eq!(found["setuid"], fort.user("probe", false).0.identity.uid.to_string());
            }
            if rustix::process::geteuid().is_root() {
                assert_eq!(found["bounding"], "0000000000000000");
            }
            if offer.mounting.is_some() {
                assert_eq!(found["own-tmp"], "done");
                assert!(!PathBuf::from("/tmp/marram-abuse-inside").exists(), "its /tmp is not ours");
                assert_ne!(found["foreign-tmp"], "done");
            }
        }
    }
    fs::remove_file(temporary).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(probes.len() >= 60, "{} probes", probes.len());
}

/// Security 9.1, core-runtime 2.11: a fork bomb stops at the limit on processes, and is gone with its component.
#[tokio::test]
async fn a_fork_bomb_is_bounded() {
    const PIDS: u64 = 24;
    let fort = Fort::new();
    let (held_memory, held) = fort.host.supervisor.holds();
    assert!(held_memory == held || !held, "controllers come together");
    let (user, own_user) = fort.user("probe", false);
    // Without either the doctor says that no limit holds.
    let bounded = held || own_user;
    let script = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); (sleep 300 & echo $! >> pids) || break; done; echo $i > count; sleep 300";
    let mut launch = fort.launch(Profile::Standard, false, script);
    launch.user = user;
    launch.limits = ResourceLimits { pids: Some(PIDS), ..ResourceLimits::default() };
    launch.timeout = None;
    let process = fort.host.supervisor.start(launch).unwrap();
    let list = fort.host.dir.path().join("probe/pids");
    let start = Instant::now();
    loop {
        let log = fort.host.log("probe");
        if !bounded || log.contains("ork") || process_count(&list) >= PIDS as usize {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{log}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = pids(&list, 1).await;
    if bounded {
        let alive = all.iter().filter(|pid| is_alive(**pid)).count();
        assert!(alive <= PIDS as usize, "{alive} processes");
    }
    fort.host.supervisor.stop("probe").await;
    process.wait().await;
    assert!(!all.iter().any(|pid| is_alive(*pid)), "{all:?}");
}

fn process_count(list: &std::path::Path) -> usize {
    fs::read_to_string(list).unwrap_or_default().lines().count()
}

/// Core-runtime 2.11, 10.3 (13): a component that eats its memory is killed, and its end is told as such where a cgroup
/// holds the limit.
#[tokio::test]
async fn a_memory_hog_is_killed_and_reported() {
    let fort = Fort::new();
    let hog = "exec awk 'BEGIN { s = \"xxxxxxxxxxxxxxxx\"; while (1) s = s s }'";
    let mut launch = fort.launch(Profile::Standard, false, hog);
    launch.limits = ResourceLimits { memory_kb: Some(32 * 1024), ..ResourceLimits::default() };
    let end = fort.host.run(launch).await;
    match fort.host.supervisor.holds().0 {
        true => assert_eq!(end, StepEnd::OutOfMemory),
        false => assert!(!matches!(end, StepEnd::TimedOut | StepEnd::Exited(0)), "{end:?}"),
    }
}

/// SEC-131: no declaration opens the core's files, and with `require` a missing layer stops the start.
#[tokio::test]
async fn what_would_open_the_core_is_not_started() {
    let fort = Fort::new();
    let root = fort.host.dir.path();
    for (path, refused) in [("/", true), (root.to_str().unwrap(), true), ("relative", true), ("/usr/share", false)] {
        let mut launch = fort.launch(Profile::Standard, false, "exit 0");
        launch.sandbox.as_mut().unwrap().read.push(path.into());
        match (fort.host.supervisor.start(launch), refused) {
            (Err(StartError::Sandbox(SandboxError::Protected(_) | SandboxError::Relative(_))), true) => {}
            (Ok(process), false) => assert_eq!(process.wait().await, StepEnd::Exited(0)),
            (other, _) => panic!("{path}: {other:?}"),
        }
    }
    let mut launch = fort.launch(Profile::Standard, false, "exit 0");
    launch.sandbox.as_mut().unwrap().required = true;
    let lacking = lacking(fort.host.supervisor.offer());
    match fort.host.supervisor.start(launch) {
        Ok(process) if lacking.is_empty() => assert_eq!(process.wait().await, StepEnd::Exited(0)),
        Err(StartError::Sandbox(SandboxError::Lacking(told))) => assert_eq!(told, lacking.join(", ")),
        other => panic!("{other:?} with {lacking:?} missing"),
    }
}

/// CR 2.8: the shutdown script of a component reaches what its run script started, in both kinds of users.
#[tokio::test]
async fn a_shutdown_script_ends_what_run_started() {
    let fort = Fort::new();
    let process =
        fort.host.supervisor.start(fort.launch(Profile::Standard, false, "echo $$ > pids; exec sleep 300")).unwrap();
    let all = pids(&fort.host.dir.path().join("probe/pids"), 1).await;
    let mut shutdown = fort.launch(Profile::Standard, false, "kill $(cat pids)");
    shutdown.step = "shutdown";
    let own_user = fort.user("probe", false).1;
    let end = fort.host.run(shutdown).await;
    // With the core's own user it could as well end the core, so there the core ends the process by itself.
    if own_user || fort.host.supervisor.offer().landlock < 6 {
        assert_eq!(end, StepEnd::Exited(0));
    } else {
        assert_ne!(end, StepEnd::Exited(0));
        fort.host.supervisor.stop("probe").await;
    }
    assert_eq!(process.wait().await, StepEnd::Signaled(15));
    assert!(!is_alive(all[0]));
}

/// SEC-138: one start after another, each with a sandbox and a network made anew; what a start takes is printed.
#[tokio::test]
async fn sandboxes_are_made_again_and_again() {
    const STARTS: u32 = 20;
    let fort = Fort::new();
    let mut told = Vec::new();
    let can_hold = fort.host.supervisor.network_obstacle().is_none();
    for (profile, held) in [
        (None, false),
        (Some(Profile::Standard), false),
        (Some(Profile::Strict), false),
        (Some(Profile::Standard), can_hold),
    ] {
        let mut took = Duration::ZERO;
        for _ in 0..STARTS {
            let mut launch = fort.launch(profile.unwrap_or(Profile::Standard), false, "exit 0");
            launch.sandbox = launch.sandbox.filter(|_| profile.is_some());
            if let Some(sandbox) = &mut launch.sandbox {
                sandbox.egress = held.then(|| fort.egress());
            }
            let start = Instant::now();
            assert_eq!(fort.host.run(launch).await, StepEnd::Exited(0));
            took += start.elapsed();
            // The next one makes its network anew.
            fort.host.supervisor.stop("probe").await;
        }
        told.push((profile, held, took / STARTS));
    }
    println!("start to end of `exit 0`: {told:?}");
}
