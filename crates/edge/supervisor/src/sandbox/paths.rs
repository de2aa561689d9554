//! Which paths a profile opens.
//!
//! Only what is listed is open. A folder that holds files of the core is opened around them, entry by entry.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use marram_launch::Files;

use super::{Profile, Sandbox, SandboxError};
use crate::process::StepLaunch;

/// Programs and libraries.
const SYSTEM: [&str; 10] =
    ["/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store"];

/// More of the host for `standard`: names, certificates, what programs ask of the kernel.
const HOST: [&str; 10] = [
    "/etc",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/var/lib/ca-certificates",
    "/var/lib/dbus/machine-id",
];

/// Of `/etc` for `strict`: what a program needs to start, and certificates.
const ETC: [&str; 16] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale.alias",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/pki",
    "/etc/os-release",
    "/etc/python3",
];

/// Beside them where it has a network.
const NAMES: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/run/systemd/resolve",
    "/run/NetworkManager",
];

/// Of `/proc` for `strict`; its own entry comes beside them.
const PROC: [&str; 6] =
    ["/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/loadavg", "/proc/filesystems"];

/// What only root can read of `/etc`, for components that are root without its capabilities.
const ROOTS_OWN: [&str; 7] =
    ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssh"];

/// Nodes that every program may use.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Variables that lead TLS libraries to certificates; recipes set them for control planes with their own root.
const TRUST: [&str; 8] = [
    "GG_ROOT_CA_PATH",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// Largest file of trusted roots; that of Mozilla has 200 KiB.
const TRUST_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Links that a program's name is followed through.
const LINKS_MAX: usize = 8;
/// Words of a script that are looked at as programs.
const WORDS_MAX: usize = 256;

/// Refuses declarations that would open files of the core.
pub(super) fn check_declared(sandbox: &Sandbox) -> Result<(), SandboxError> {
    for path in sandbox.read.iter().chain(&sandbox.write).chain(&sandbox.devices) {
        if !path.is_absolute() {
            return Err(SandboxError::Relative(path.clone()));
        }
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if meets(path, &sandbox.protected) || meets(&real, &sandbox.protected) {
            return Err(SandboxError::Protected(path.clone()));
        }
    }
    Ok(())
}

/// Fills in what the profile opens to a process of user `uid`.
pub(super) fn fill(files: &mut Files, launch: &StepLaunch, sandbox: &Sandbox, uid: u32) {
    let mut hidden = sandbox.protected.clone();
    if uid == 0 {
        hidden.extend(ROOTS_OWN.map(PathBuf::from));
    }
    let mut read = |path: &Path| around(path, &hidden, &mut files.read);
    SYSTEM.iter().for_each(|path| read(Path::new(path)));
    match sandbox.profile {
        Profile::Strict => {
            ETC.iter().chain(&PROC).for_each(|path| read(Path::new(path)));
            read(Path::new("/proc/self"));
            if sandbox.network == Some(true) || sandbox.egress.is_some() {
                NAMES.iter().for_each(|path| read(Path::new(path)));
                if let Ok(file) = fs::canonicalize("/etc/resolv.conf") {
                    read(&file);
                }
            }
        }
        Profile::Standard | Profile::Off => {
            HOST.iter().for_each(|path| read(Path::new(path)));
            // Elsewhere than usual: its folder, because the file is replaced when the network changes.
            if let Some(folder) = fs::canonicalize("/etc/resolv.conf").ok().as_deref().and_then(Path::parent) {
                read(folder);
            }
        }
    }
    for program in programs(&launch.script) {
        if !meets(&program, &sandbox.protected) {
            files.read.push(program);
        }
    }
    let trusted = launch.environment.iter().filter(|(name, _)| TRUST.contains(&name.as_str()));
    for path in trusted.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute()) {
        let real = fs::canonicalize(&path).unwrap_or(path);
        let opens = if real.is_dir() { !meets(&real, &sandbox.protected) } else { holds_certificates(&real) };
        if opens {
            files.read.push(real);
        }
    }
    files.read.extend(sandbox.artifacts.iter().chain(&sandbox.read).cloned());
    files.write.push(launch.work_dir.clone());
    files.write.extend(sandbox.write.iter().cloned());
    files.devices.extend(DEVICES.map(PathBuf::from));
    files.devices.extend(sandbox.devices.iter().cloned());
    files.connect.push(sandbox.socket.clone());
}

/// A variable opens a file only when certificates are all there is in it.
fn holds_certificates(file: &Path) -> bool {
    let is_small = file.metadata().is_ok_and(|found| found.is_file() && found.len() <= TRUST_MAX_BYTES);
    let text = if is_small { fs::read(file).unwrap_or_default() } else { Vec::new() };
    let text = String::from_utf8_lossy(&text);
    text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY-----")
}

/// The home of a user that was chosen for the component, if it is a home: owned by the user, apart from the core.
pub(super) fn home(launch: &StepLaunch, sandbox: &Sandbox, core_uid: u32) -> Option<PathBuf> {
    let (home, uid) = (&launch.user.home, launch.user.identity.uid);
    let is_apart = uid != 0 && uid != core_uid && !sandbox.own_user && home != Path::new("/");
    let is_owned = || home.metadata().is_ok_and(|found| found.is_dir() && found.uid() == uid);
    (is_apart && !meets(home, &sandbox.protected) && is_owned()).then(|| home.clone())
}

/// The public folders, where no private one can be put over them.
pub(super) fn shared(protected: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    ["/tmp", "/var/tmp", "/dev/shm"].into_iter().map(PathBuf::from).filter(|place| !meets(place, protected))
}

/// Whether one lies in the other, either way.
fn meets(path: &Path, protected: &[PathBuf]) -> bool {
    protected.iter().any(|own| own.starts_with(path) || path.starts_with(own))
}

/// `path`, or what is in it beside `hidden`.
fn around(path: &Path, hidden: &[PathBuf], open: &mut Vec<PathBuf>) {
    if hidden.iter().any(|own| path.starts_with(own)) {
        return;
    }
    if !hidden.iter().any(|own| own.starts_with(path)) {
        return open.push(path.to_owned());
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        // A link would open what it leads to; that is listed itself or stays closed.
        if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            around(&entry.path(), hidden, open);
        }
    }
}

/// Programs that a script names by absolute paths outside the system's folders: naming one declares it. With it comes the
/// tree it is installed in, `<tree>/bin/<program>` beside `<tree>/lib`, and the same for each file that links lead to.
fn programs(script: &str) -> Vec<PathBuf> {
    let is_end = |c: char| c.is_whitespace() || ";&|<>()\"'`=".contains(c);
    let mut found = Vec::new();
    for word in script.split(is_end).filter(|word| word.starts_with('/')).take(WORDS_MAX) {
        let mut path = PathBuf::from(word);
        for _ in 0..LINKS_MAX {
            if SYSTEM.iter().any(|system| path.starts_with(system)) {
                break;
            }
            let Ok(target) = path.metadata() else { break };
            if !target.is_file() || target.permissions().mode() & 0o111 == 0 {
                break;
            }
            found.push(tree_of(&path).unwrap_or_else(|| path.clone()));
            match fs::read_link(&path) {
                Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
                Err(_) => break,
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn tree_of(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let tree = folder.parent()?;
    let is_tree = folder.ends_with("bin") && tree.join("lib").is_dir() && tree.components().count() > 2;
    // A home with `bin` and `lib` in it is still a home.
    let is_home = [".ssh", ".bashrc", ".profile", ".aws"].iter().any(|name| tree.join(name).exists());
    (is_tree && !is_home).then(|| tree.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-131: what holds the core's files is opened around them.
    #[test]
    fn a_folder_is_opened_around_the_core() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["a/core/config", "a/other", "b"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        std::os::unix::fs::symlink(at("a/core"), at("a/way")).unwrap();
        let hidden = [at("a/core")];
        for (path, expected) in [("", vec![at("a/other"), at("b")]), ("b", vec![at("b")]), ("a/core/config", vec![])] {
            let mut open = Vec::new();
            around(&at(path), &hidden, &mut open);
            open.sort();
            assert_eq!(open, expected, "{path:?}");
        }
    }

    /// SEC-131: a program outside the system's folders is opened with the tree it belongs to, and with that of its target.
    #[test]
    fn a_named_program_is_declared() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["real/bin", "real/lib", "venv/bin", "venv/lib", "home/bin", "home/lib", "home/.ssh"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["real/bin/python3.11", "home/bin/tool", "alone"] {
            fs::write(at(file), "").unwrap();
            fs::set_permissions(at(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(at("data"), "").unwrap();
        std::os::unix::fs::symlink("python3", at("venv/bin/python")).unwrap();
        std::os::unix::fs::symlink(at("real/bin/python3.11"), at("venv/bin/python3")).unwrap();
        let script = format!(
            "exec {} -u x.py; /usr/bin/env \"{}\" && {} <{} /no/such /etc/passwd",
            at("venv/bin/python").display(),
            at("home/bin/tool").display(),
            at("alone").display(),
            at("data").display(),
        );
        assert_eq!(programs(&script), [at("alone"), at("home/bin/tool"), at("real"), at("venv")]);
    }
}
