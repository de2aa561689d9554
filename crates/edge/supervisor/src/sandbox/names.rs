//! What a component with a network of its own sees of names: files of its own in place of the host's, and none of the sockets
//! in `/run` through which the host's services would look up names, or run things, for it (SEC-132).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use marram_egress::{Book, INSIDE};
use marram_reach::Policy;

use super::Sandbox;
use crate::process::StepLaunch;

const RUN: &str = "/run";
const HOSTS: &str = "/etc/hosts";
const RESOLVER: &str = "/etc/resolv.conf";

/// Makes the files below `dir`; answers what to put over what, in order.
pub(super) fn cover(
    dir: &Path,
    policy: &Policy,
    sandbox: &Sandbox,
    launch: &StepLaunch,
) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let run = dir.join("run");
    fs::create_dir_all(&run)?;
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    let hosts = dir.join("hosts");
    fs::write(&hosts, Book::of(policy).hosts_file(name.unwrap_or("localhost")))?;
    // Without a domain to search in: a name means what it says.
    let resolver =
        format!("# names of the sandbox; the component's own address is {INSIDE}\nnameserver 127.0.0.1\nsearch .\n");
    let mut mounts = Vec::new();
    if Path::new(HOSTS).exists() {
        mounts.push((hosts, HOSTS.into()));
    }
    // Who looks into the host's services may speak with them.
    let opened = || sandbox.read.iter().chain(&sandbox.write).chain(&sandbox.devices);
    let mut own = sandbox.protected.iter().chain([&launch.work_dir]);
    let is_needed = opened().any(|path| path == Path::new(RUN)) || own.any(|own| own.starts_with(RUN));
    let covers_run = Path::new(RUN).is_dir() && !is_needed;
    if covers_run {
        for path in opened().chain([&sandbox.socket]) {
            let Ok(real) = fs::canonicalize(path) else { continue };
            if let Ok(rest) = real.strip_prefix(RUN) {
                let place = run.join(rest);
                if real.is_dir() {
                    fs::create_dir_all(&place)?;
                } else {
                    place.parent().map_or(Ok(()), fs::create_dir_all)?;
                    fs::OpenOptions::new().create(true).append(true).open(&place)?;
                }
                mounts.push((real, place));
            }
        }
    }
    // Without the file the resolver is looked for at the loopback, where it is.
    if let Ok(real) = fs::canonicalize(RESOLVER) {
        match real.strip_prefix(RUN) {
            Ok(rest) if covers_run => {
                let file = run.join(rest);
                file.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::write(file, resolver)?;
            }
            _ => {
                let file = dir.join("resolv.conf");
                fs::write(&file, resolver)?;
                mounts.push((file, real));
            }
        }
    }
    if covers_run {
        mounts.push((run, RUN.into()));
    }
    Ok(mounts)
}
