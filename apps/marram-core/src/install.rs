//! `marram-core install`: writes the systemd unit of a core.
//!
//! The text is that of the Debian package; only its paths differ.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use marram_obs::outln;

use crate::cli::Install;

const UNIT: &str = include_str!("../../../packaging/marram-core.service");
/// Paths in [`UNIT`].
const PROGRAM: &str = "/usr/bin/marram-core";
const ROOT: &str = "/var/lib/marram-core";
const CONFIG: &str = "/etc/marram-core/config.yaml";

/// Writes the unit, and starts it with `--enable`.
pub(crate) fn install(flags: &Install) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let unit = unit(&program, &absolute(&flags.root)?, &absolute(&flags.init_config)?)?;
    let place = &flags.unit;
    fs::create_dir_all(&flags.root).with_context(|| format!("cannot make {}", flags.root.display()))?;
    fs::write(place, unit).with_context(|| format!("cannot write {}", place.display()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o644))
        .with_context(|| format!("cannot set the mode of {}", place.display()))?;
    outln!("{}", place.display());
    if flags.enable {
        let name = place.file_name().context("--unit names no file")?;
        systemctl(&["daemon-reload".as_ref()])?;
        systemctl(&["enable".as_ref(), "--now".as_ref(), name])?;
    }
    Ok(())
}

fn unit(program: &Path, root: &Path, config: &Path) -> anyhow::Result<String> {
    let mut unit = UNIT.to_owned();
    for (from, to) in [(CONFIG, config), (ROOT, root), (PROGRAM, program)] {
        let to = to.to_str().context("a path is not UTF-8")?;
        // Spaces, quotes, `%` and `$` mean something to systemd.
        if !to.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@:,".contains(&b)) {
            bail!("{to} cannot stand in a unit: use letters, digits and /._-+@:,");
        }
        unit = unit.replace(from, to);
    }
    Ok(unit)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} cannot be made absolute", path.display()))
}

fn systemctl(arguments: &[&std::ffi::OsStr]) -> anyhow::Result<()> {
    let status = Command::new("systemctl").args(arguments).status().context("cannot run systemctl")?;
    if !status.success() {
        bail!("systemctl {} failed", arguments.join(" ".as_ref()).to_string_lossy());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that systemd would read otherwise never reaches a unit.
    #[test]
    fn paths_that_mean_something_to_systemd_are_refused() {
        let (program, config) = (Path::new("/opt/core"), Path::new("/c.yaml"));
        let text = unit(program, Path::new("/data/core"), config).unwrap();
        assert!(text.contains("ExecStart=/opt/core loader --root /data/core --init-config /c.yaml"));
        assert!(text.contains("ReadWritePaths=/data/core\n"));
        assert!(![PROGRAM, ROOT, CONFIG].iter().any(|path| text.contains(path)));
        for root in ["/a b", "/a%i", "/a$b", "/a\nExecStartPre=/evil", "/a\"b"] {
            assert!(unit(program, Path::new(root), config).is_err(), "{root}");
        }
    }
}
