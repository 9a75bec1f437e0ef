# SPDX-License-Identifier: MIT
"""What this machine must be and have before anything is made: checked first, in one sentence each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASES = {"12", "13"}
PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ffmpeg": "ffmpeg",
    "curl": "curl",
    "git": "git",
}
"""Command -> Debian package that has it."""

TEST_PACKAGES = {
    "chromium": "chromium",
    "syslog-ng": "syslog-ng-core",
    "logrotate": "logrotate",
    "motion": "motion",
    "rclone": "rclone",
    "mvn": "maven",
}
BENCH_PACKAGES = {
    "motion": "motion",
    "ffmpeg": "ffmpeg",
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "gcc": "build-essential",
    "syslog-ng": "syslog-ng-core",
    "nft": "nftables",
    "ip": "iproute2",
}
FILES = {
    "/usr/share/doc/opencv-doc/examples/data/vtest.avi": "opencv-doc",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
"""File -> Debian package that has it."""

TEST_FILES = {
    "/usr/lib/syslog-ng/*/libhttp.so": "syslog-ng-mod-http",
    "/usr/lib/syslog-ng/*/libadd-contextual-data.so": "syslog-ng-mod-add-contextual-data",
}
"""The same, needed by tests and benchmarks alone; the name is a pattern."""


class Refused(Exception):
    """This machine cannot do it; the text says why and what would help."""


def lab_index() -> int:
    """Number of the lab, from CLLMH_LAB."""
    text = os.environ.get("CLLMH_LAB", "0")
    if not text.isdigit() or int(text) > 254:
        raise Refused(f"CLLMH_LAB is {text!r}; it must be a number from 0 to 254")
    return int(text)


def check(index: int) -> None:
    """Raise Refused where the lab cannot be had; nothing has been made then."""
    if os.geteuid() != 0:
        raise Refused("run this as root: it boots machines, mounts their disks and makes a bridge")
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    if release.get("ID", "").strip('"') != "debian" or release.get("VERSION_ID", "").strip('"') not in RELEASES:
        name = release.get("PRETTY_NAME", "this system").strip('"')
        raise Refused(f"the lab needs Debian 12 or 13, and this is {name}")
    config = {
        "index": index, "dir": f"/var/lib/cllmh-lab/{index}", "cache_dir": "/var/cache/cllmh-lab", "mirror": "",
        "ssh_key": "", "known_hosts": "", "bridge": f"cllmh{index}", "network": f"10.77.{index}.0/24",
        "gateway": f"10.77.{index}.1", "machines": [],
    }  # fmt: skip
    command = [sys.executable, str(ROOT / "roles/lab/files/lab.py"), "check"]
    done = subprocess.run(command, input=json.dumps(config), text=True, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise Refused(done.stderr.strip().removeprefix("lab: "))


def missing_packages(commands: dict[str, str], files: dict[str, str]) -> list[str]:
    """Debian packages that are still to be installed, so that `commands` can be run."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    wanted = {package for command, package in commands.items() if not shutil.which(command, path=path)}
    wanted |= {package for pattern, package in files.items() if not any(Path("/").glob(pattern.removeprefix("/")))}
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
        wanted.add("python3-venv")
    return sorted(wanted)


def main() -> int:
    """Install what is missing: ``machine.py [--tests | --bench]``."""
    if "--bench" in sys.argv:
        packages = missing_packages(BENCH_PACKAGES, {**FILES, **TEST_FILES})
    elif "--tests" in sys.argv:
        packages = missing_packages({**PACKAGES, **TEST_PACKAGES}, {**FILES, **TEST_FILES})
    else:
        packages = missing_packages(PACKAGES, FILES)
    if packages:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # A broken third-party list must not stop Debian's own packages from being found.
        subprocess.run(["apt-get", "update", "--quiet"], env=env, check=False)
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
        if code := subprocess.run(install, env=env, check=False).returncode:
            return code
    return subprocess.run([str(ROOT / "scripts/venv.sh")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
