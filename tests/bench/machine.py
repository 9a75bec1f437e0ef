"""A Debian machine that can lose its power: qemu without KVM, a boot image shared by all, a data disk each.

The boot image has this host's release, Debian's cloud kernel, Python and this tree's recorder. It is never written to;
the first process is a shell script that mounts the data disk and starts the recorder, again and again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.harness import ROOT
from bench.processes import end_left_behind, wait_for

BUILD = ROOT / "build" / "bench-machines"
NODE = ROOT / "files" / "node"
HOST = "10.0.2.2"
"""The host's loopback interface, as qemu's user network shows it to the machine."""

DISK = "/srv/cctv"
"""Where the machine has its data disk."""

CONFIG = "machine.yml"
"""The recorder's configuration, on the data disk."""

MEMORY_MB = 512
TIMEOUT_S = 600

_PACKAGES = "linux-image-cloud-amd64,initramfs-tools,udev,kmod,python3,iproute2,e2fsprogs"
_MODULES = "virtio_pci\nvirtio_blk\nvirtio_net\next4\n"
_FIRST_PROCESS = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
mount -t ext4 /dev/vdb {DISK}
export PYTHONPATH=/opt/cllmh PYTHONDONTWRITEBYTECODE=1
while :; do
  python3 -m cllmh_node record --config {DISK}/{CONFIG}
  sleep 1
done
"""


class BootImage:
    """Kernel, initrd and root file system of the machines; kept for as long as the recorder's sources stay the same."""

    def __init__(self, folder: Path) -> None:
        """`folder` has the three files."""
        self.disk = folder / "root.ext4"
        self.kernel = folder / "vmlinuz"
        self.initrd = folder / "initrd.img"

    @classmethod
    def made(cls) -> BootImage:
        """Return the image, made now (some two minutes) unless it is there already; earlier ones are removed."""
        sources = [NODE / "requirements.lock", Path(__file__), *sorted((NODE / "src").rglob("*.*"))]
        digest = hashlib.sha256()
        for path in sources:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.read_bytes())
        folder = BUILD / f"boot-{digest.hexdigest()[:8]}"
        if not folder.exists():
            for other in BUILD.glob("boot-*"):
                shutil.rmtree(other)
            unfinished = BUILD / "boot-unfinished"
            unfinished.mkdir(parents=True)
            cls(unfinished)._make(unfinished / "root")
            unfinished.rename(folder)
        return cls(folder)

    def _make(self, root: Path) -> None:
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        modules = f'printf %s "{_MODULES}" > "$1/etc/initramfs-tools/modules"'
        few = 'echo MODULES=list > "$1/etc/initramfs-tools/conf.d/few"'
        hook = f'mkdir -p "$1/etc/initramfs-tools/conf.d" && {few} && {modules}'
        _run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", f"--essential-hook={hook}",
             release, str(root))  # fmt: skip
        app = root / "opt/cllmh"
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
             "--no-deps", "--target", str(app), "--requirement", str(NODE / "requirements.lock"))  # fmt: skip
        shutil.copytree(NODE / "src/cllmh_node", app / "cllmh_node", ignore=shutil.ignore_patterns("__pycache__"))
        _run(sys.executable, "-m", "compileall", "-q", str(app / "cllmh_node"))
        first = root / "sbin/first-process"
        first.write_text(_FIRST_PROCESS, encoding="utf-8")
        first.chmod(0o755)
        (root / DISK.removeprefix("/")).mkdir(parents=True)
        for target, pattern in ((self.kernel, "vmlinuz-*"), (self.initrd, "initrd.img-*")):
            (found,) = (root / "boot").glob(pattern)
            shutil.copy(found, target)
        _run("mkfs.ext4", "-q", "-d", str(root), str(self.disk), "2G")
        shutil.rmtree(root)


class Machine:
    """One machine and its data disk; the disk outlives each loss of power."""

    def __init__(self, image: BootImage, name: str, recorder_config: str) -> None:
        """Make the data disk, ext4, with the recorder's configuration on it."""
        self._image = image
        self.folder = BUILD / f"run-{name}"
        self.disk = self.folder / "data.ext4"
        self.console = self.folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        content = self.folder / "content"
        content.mkdir(parents=True)
        (content / CONFIG).write_text(recorder_config, encoding="utf-8")
        _run("mkfs.ext4", "-q", "-d", str(content), str(self.disk), "1G")

    def power_on(self) -> None:
        """Boot. What the guest has flushed is in the image; what it has not written is in its own memory only."""
        command = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-m", str(MEMORY_MB),
            "-nodefaults", "-display", "none", "-no-reboot", "-rtc", "base=utc",
            "-serial", f"file:{self.console}",
            "-nic", "user,model=virtio-net-pci",
            "-drive", f"file={self._image.disk},format=raw,if=virtio,readonly=on",
            "-drive", f"file={self.disk},format=raw,if=virtio,cache=writeback",
            "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append",
            "root=/dev/vda ro init=/sbin/first-process console=ttyS0 net.ifnames=0 mitigations=off quiet panic=-1",
        ]  # fmt: skip
        self.console.unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def cut_power(self) -> None:
        """End the machine at once: its memory is gone, its page cache too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def lines(self, event: str) -> list[str]:
        """Return the recorder's log lines of one event since the last boot; raise RuntimeError when it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self.folder.name} ended by itself; see {self.folder}/qemu.log and console.log")
        text = self.console.read_text(encoding="utf-8", errors="replace") if self.console.exists() else ""
        return [line for line in text.splitlines() if f"event={event} " in line]

    @contextlib.contextmanager
    def disk_copy(self) -> Iterator[Path]:
        """Mount a copy of the data disk, read-write, so that its journal is replayed as at a boot; yield the folder."""
        copy, folder = self.folder / "copy.ext4", self.folder / "mounted"
        _run("cp", "--sparse=always", str(self.disk), str(copy))
        folder.mkdir(exist_ok=True)
        _run("mount", "-o", "loop", str(copy), str(folder))
        try:
            yield folder
        finally:
            wait_for(lambda: _unmounted(folder), 20, f"{folder} to be unmounted")
            copy.unlink()


def clear() -> None:
    """End the processes and undo the mounts of a run that was ended itself, and remove its machines' disks."""
    end_left_behind(f"{BUILD}/run-")
    for folder in BUILD.glob("run-*/mounted"):
        if folder.is_mount():
            wait_for(functools.partial(_unmounted, folder), 20, f"{folder} to be unmounted")
    for run in BUILD.glob("run-*"):
        shutil.rmtree(run)
    shutil.rmtree(BUILD / "boot-unfinished", ignore_errors=True)


def _unmounted(folder: Path) -> bool:
    return subprocess.run(["umount", str(folder)], capture_output=True, timeout=60, check=False).returncode == 0


def _run(*command: str) -> None:
    """Run a tool; raise RuntimeError with what it said."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    env = {**os.environ, "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
