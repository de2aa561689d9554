"""The Debian package of the edge runtime: what it holds, under whose name, and that its unit is one."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = pathlib.Path(os.environ.get("MARRAM_CORE_BIN", ROOT / "target/debug/marram-core")).parent


def run(*command):
    environment = {**os.environ, "COMPRESSION": "none"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return run(str(ROOT / "tools/package"), str(BINARIES), str(tmp_path_factory.mktemp("package"))).strip()


def test_package_names_itself(package):
    facts = dict(line.strip().split(": ", 1) for line in run("dpkg-deb", "--field", package).splitlines() if ": " in line)
    assert facts["Package"] == "marram-core"
    assert facts["Version"] == run(str(BINARIES / "marram-core"), "--version").split()[1]
    assert facts["Architecture"] == run("dpkg", "--print-architecture").strip()
    assert facts["Depends"].startswith("libc6 (>= 2.")
    assert "postinst" in run("dpkg-deb", "--info", package)


def test_package_holds_programs_link_and_unit(package):
    held = {}
    for line in run("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        held[path] = (mode, owner)
    assert held["./usr/bin/marram-core"] == held["./usr/bin/marram-jail"] == ("-rwxr-xr-x", "root/root")
    assert "./usr/bin/greengrass-cli -> marram-core" in held
    assert held["./usr/lib/systemd/system/marram-core.service"] == ("-rw-r--r--", "root/root")
    # An image into which it is unpacked stays as it is.
    assert held["./"] == ("drwxr-xr-x", "root/root")
    assert held["./etc/marram-core/"] == ("drwx------", "root/root")
    assert {owner for _, owner in held.values()} == {"root/root"}
    assert not [path for path in held if "/home/" in path or "/root/" in path]


def test_the_installed_unit_is_the_packaged_one_with_other_paths(tmp_path):
    """`marram-core install` writes the unit for the given paths; nothing else of it differs."""
    program = str((BINARIES / "marram-core").resolve())
    unit = tmp_path / "marram-core.service"
    run(program, "install", "--root", str(tmp_path / "root"), "--init-config", str(tmp_path / "config.yaml"), "--unit", str(unit))
    packaged = (ROOT / "packaging/marram-core.service").read_text()
    expected = packaged.replace("/usr/bin/marram-core", program).replace("/var/lib/marram-core", str(tmp_path / "root"))
    assert unit.read_text() == expected.replace("/etc/marram-core/config.yaml", str(tmp_path / "config.yaml"))
    assert unit.stat().st_mode & 0o777 == 0o644
    for line in ("Restart=on-failure", "RestartSec=10", "KillMode=mixed", "ProtectSystem=strict", "LimitCORE=0", "Delegate=yes"):
        assert line in unit.read_text().splitlines()
    if shutil.which("systemd-analyze"):
        said = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
        assert "marram-core.service" not in said.stderr, said.stderr
