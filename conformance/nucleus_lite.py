"""The original nucleus lite, built elsewhere, run unmodified by a systemd of its own: its daemons are systemd units, and it
starts components by asking systemd. Needs root: the systemd lives in namespaces and sees this machine's files below a layer."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

from waiting import LOGS, PATIENCE, until

#: Where the peer was installed: `bin` and `lib/systemd/system` below it.
PREFIX = pathlib.Path(os.environ.get("MARRAM_NUCLEUS_LITE", "build/peers/lite"))
#: What the unit files of the peer bring up, in the order of its own start script.
SOCKETS = ("aws_iot_tes", "aws_iot_mqtt", "gg_config", "gg_health", "gg_fleet_status", "gg_deployment", "gg_pubsub",
           "ipc_component", "gg-ipc.socket")
SERVICES = ("core.ggconfigd", "core.iotcored", "core.tesd", "core.ggdeploymentd", "core.gg-fleet-statusd", "core.ggpubsubd",
            "core.gghealthd", "core.ggipcd", "aws.greengrass.TokenExchangeService")
#: The machine's own units that a system of nothing but the peer needs.
BASIC = ("basic.target", "dbus.service", "dbus.socket", "final.target", "local-fs.target", "local-fs-pre.target",
         "multi-user.target", "network.target", "paths.target", "shutdown.target", "slices.target", "sockets.target",
         "swap.target", "sysinit.target", "systemd-journald.service",
         "systemd-journald.socket", "timers.target", "umount.target")
#: Mounts of the new namespace, then systemd as its first process. $1: folder with `over` (files laid over the machine's).
BOOT = r"""
set -e
mount -t proc proc /proc
for place in etc var/lib; do
  mkdir -p "$1/over/$place" "$1/work/$place"
  mount -t overlay overlay -o "lowerdir=/$place,upperdir=$1/over/$place,workdir=$1/work/$place" "/$place"
done
mkdir -p /etc/greengrass /var/lib/greengrass
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  umount -R /sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd,xattr cgroup /sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
mount --bind "$1/units" /lib/systemd/system
mount -t tmpfs tmpfs /etc/systemd/system
mount -t tmpfs tmpfs /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/dbus /run/greengrass /run/generators
mount --bind /run/generators /lib/systemd/system-generators
export container=lxc
exec /lib/systemd/systemd --unit=basic.target --log-target=journal
"""


class Lite:
    """One core. `configuration`: its `config.yaml`. What it keeps outlasts `stop`, as on a device that is switched off."""

    def __init__(self, folder, configuration):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "over/var/lib/greengrass"
        self.root.mkdir(parents=True)
        etc = self.folder / "over/etc/greengrass"
        etc.mkdir(parents=True)
        (etc / "config.yaml").write_text(configuration)
        self._write_units()
        self.process = self.first = self.journal = None
        self.log_file = self.folder / "journal.log"
        LOGS["nucleus lite"] = self.log_file

    def _write_units(self):
        units = self.folder / "units"
        units.mkdir()
        for name in BASIC:
            shutil.copy(pathlib.Path("/lib/systemd/system") / name, units / name)
        for unit in (PREFIX / "lib/systemd/system").iterdir():
            shutil.copy(unit, units / unit.name)
        wants = units / "sockets.target.wants"
        wants.mkdir()
        for name in ("dbus.socket", "systemd-journald.socket"):
            (wants / name).symlink_to(f"../{name}")

    def trust(self, root):
        """The certificate stands among those the machine trusts: the peer fetches artifacts with those, not with `rootCaPath`."""
        file = self.folder / "over/etc/ssl/certs/ca-certificates.crt"
        file.parent.mkdir(parents=True)
        known = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
        file.write_text((known.read_text() if known.exists() else "") + pathlib.Path(root).read_text())

    def boot(self):
        """Systemd runs, the core does not."""
        groups = [pathlib.Path("/sys/fs/cgroup") / name for name in ("systemd", "unified", "")]
        self.groups = [group / f"peer-{os.getpid()}-{self.folder.name}" for group in groups if (group / "cgroup.procs").exists()]
        for group in self.groups:
            group.mkdir(exist_ok=True)
        join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self.groups)
        spaces = "exec unshare --pid --fork --mount --cgroup --ipc --uts --propagation private"
        with open(self.folder / "boot.log", "ab") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f'{join}{spaces} -- bash -c "$0" boot "$1"', BOOT, str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.first = until("systemd", lambda: children.read_text().split())[0]
        until("the system", lambda: self.sh("systemctl is-active basic.target", check=False).strip() == "active")
        # Following begins with a journal that is there.
        self.sh("systemctl start systemd-journald && journalctl --sync")
        with open(self.log_file, "ab") as log:
            follow = "journalctl -f --no-tail -o short-precise --no-hostname | grep --line-buffered -vE ']: [DT]\\['"
            self.journal = subprocess.Popen([*self._inside(), "bash", "-c", follow], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        """As the peer's start script does it."""
        if not self.first:
            self.boot()
        sockets = " ".join(f"ggl.{name}.socket" for name in SOCKETS)
        services = " ".join(f"ggl.{name}.service" for name in SERVICES)
        self.sh(f"systemctl -q enable greengrass-lite.target {sockets} {services} && systemctl start greengrass-lite.target")

    def _inside(self):
        return ["nsenter", "-t", self.first, "--pid", "--mount", "--cgroup", "--ipc", "--uts"]

    def sh(self, command, check=True, seconds=PATIENCE):
        """A command line within the core's system; its output."""
        done = subprocess.run([*self._inside(), "bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=seconds)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}"
        return done.stdout

    def program(self, name, *arguments, seconds=PATIENCE):
        """One of the peer's programs, in its root folder."""
        return self.sh(" ".join(["cd /var/lib/greengrass &&", str(PREFIX.resolve() / "bin" / name), *arguments]), seconds=seconds)

    def stop_core(self):
        self.sh("systemctl stop greengrass-lite.target 'ggl.*'")

    def said(self, pattern):
        """Lines of the journal that match."""
        return [line for line in self.log_file.read_text(errors="replace").splitlines() if re.search(pattern, line)]

    def processes(self):
        """{pid on this machine: program} of the peer's daemons."""
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                program = os.readlink(path / "exe")
                here = os.readlink(path / "ns/pid") == os.readlink(f"/proc/{self.first}/ns/pid")
            except OSError:
                continue
            if here and program.startswith(str(PREFIX.resolve())):
                found[int(path.name)] = os.path.basename(program)
        return found

    def halt(self):
        """The power is cut."""
        if self.first:
            os.kill(int(self.first), signal.SIGKILL)
            self.process.wait()
            if self.journal:
                self.journal.wait()
            self.first = None

    def close(self):
        LOGS.pop("nucleus lite", None)
        self.halt()
        for group in self.groups:
            for inner in sorted(group.rglob("*"), reverse=True):
                if inner.is_dir():
                    inner.rmdir()
            group.rmdir()
