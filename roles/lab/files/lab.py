#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Test machines for CLLMH: real Debian systems in systemd-nspawn on a private bridge.

Usage: ``lab.py up|down|check < lab.json`` (root; standard library only).

The configuration read from standard input::

    {"index": 0, "dir": "/var/lib/cllmh-lab/0", "cache_dir": "/var/cache/cllmh-lab",
     "mirror": "", "ssh_key": "/path/ssh_key", "known_hosts": "/path/known_hosts",
     "bridge": "cllmh0", "network": "10.77.0.0/24", "gateway": "10.77.0.1", "extra_addresses": ["10.77.0.2"],
     "machines": [{"name": "hub", "release": "trixie", "addresses": ["10.77.0.10"]}], "reset": false}

``up`` makes what is missing and clears what a killed run left; ``down`` removes machines, mounts, bridge and
NAT rules of this lab and nothing else; ``check`` says whether this machine can hold it. The answer on standard
output is one JSON object: ``{"changed": bool, "actions": [...]}``. Progress goes to standard error. Exit codes: 0 done,
1 failed on the way, 2 refused before anything was made.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BASE_PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,python3,python3-apt,iproute2,iputils-ping,ca-certificates,openssh-server,"
    "logrotate,procps,curl"
)
"""A small Debian server: what the installer's "SSH server" task leaves, and no product package."""

BASE_REVISION = 2
"""Raise it when the base tree's content changes: an old tree is then built anew."""

NEEDED_FREE_BYTES = 6 * 1024**3
"""Two base trees (about 0.4 GiB each), overlays and recordings of a demo."""

INOTIFY_INSTANCES = 1024
BOOT_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0


class Refused(Exception):
    """The lab cannot be made on this machine; the text says why and what would help."""


def say(text: str) -> None:
    """One line of progress for a person."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str, quiet: bool = False, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a command; a failure carries its last lines of output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode and not quiet:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {' '.join(command)}\n{tail}")
    return done


class Machine:
    """One nspawn machine: an overlay (shared base below, its own files above) and the process that runs it."""

    def __init__(self, lab: Lab, spec: dict[str, Any]) -> None:
        self.lab = lab
        self.name: str = spec["name"]
        self.release: str = spec["release"]
        self.addresses: list[str] = spec["addresses"]
        self.dir = lab.dir / self.name
        self.root = self.dir / "root"
        self.pid_file = self.dir / "pid"
        # Short, because the kernel allows 15 letters for the name of the network interface made from it.
        self.nspawn_name = f"c{lab.index}-{self.name}"
        self.unit = f"cllmh-lab-{lab.index}-{self.name}.service"

    def pid(self) -> int | None:
        """Process id of this machine's systemd-nspawn, or None; a reused id is not taken for it."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            return None
        return pid if f"--machine={self.nspawn_name}" in command else None

    def is_up(self) -> bool:
        """The process lives and ssh answers."""
        return self.pid() is not None and port_open(self.addresses[0], 22)

    def stop(self, *, in_order: bool = True) -> None:
        """Power the machine off in order, or at once; then take its mounts away."""
        pid = self.pid()
        if pid is not None:
            if in_order:
                os.kill(pid, signal.SIGTERM)  # nspawn then powers the machine off
            if not in_order or not wait_until(lambda: self.pid() is None, STOP_TIMEOUT_S):
                kill(pid)
        # A killed nspawn leaves its machine running: whoever has this overlay as its root is one of its processes.
        wait_until(self.is_dead, STOP_TIMEOUT_S)
        run("ip", "link", "delete", f"vb-{self.nspawn_name}", quiet=True)
        for mount in mounts_below(self.dir):
            run("umount", "--lazy", mount)
        self.remove_control_groups()
        self.pid_file.unlink(missing_ok=True)

    def processes(self) -> list[int]:
        """Processes that live in this machine, by the device number of their root folder."""
        if not os.path.ismount(self.root):
            return []
        device = self.root.stat().st_dev
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "root").stat().st_dev == device:
                    found.append(int(entry.name))
        return found

    def is_dead(self) -> bool:
        """Kill what is left of the machine; true when nothing was."""
        left = self.processes()
        for process in left:
            kill(process)
        return not left

    def remove(self) -> None:
        """Delete the machine's files; nothing of it is kept, so it is not asked to end in order."""
        self.stop(in_order=False)
        if self.dir.exists():
            shutil.rmtree(self.dir)

    def start(self) -> None:
        """Mount the overlay, write what makes this machine itself, boot."""
        for part in ("upper", "work", "root"):
            (self.dir / part).mkdir(parents=True, exist_ok=True)
        base = self.lab.base(self.release)
        run(
            "mount", "-t", "overlay", f"cllmh-lab-{self.lab.index}", "-o",
            f"lowerdir={base},upperdir={self.dir / 'upper'},workdir={self.dir / 'work'}", str(self.root),
        )  # fmt: skip
        self.personalise()
        command = [
            "systemd-nspawn", f"--directory={self.root}", "--boot", f"--machine={self.nspawn_name}",
            f"--network-bridge={self.lab.bridge}", "--resolv-conf=off", "--register=no", "--keep-unit",
            "--console=pipe",
        ]  # fmt: skip
        log = (self.dir / "console.log").open("ab")
        if Path("/run/systemd/system").is_dir():
            # A host with systemd: a unit of its own gives the machine a delegated control group.
            run("systemd-run", f"--unit={self.unit}", "--collect", "--property=Delegate=yes",
                "--property=KillMode=mixed", *command)  # fmt: skip
            shown = run("systemctl", "show", "--property=MainPID", "--value", self.unit)
            pid = int(shown.stdout)
        else:
            for group in self.control_groups():
                group.mkdir(exist_ok=True)
            env = {**os.environ, "UNIFIED_CGROUP_HIERARCHY": "yes"}
            pid = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True,
                preexec_fn=self.enter_control_groups,
            ).pid  # fmt: skip
        log.close()
        self.pid_file.write_text(f"{pid}\n")

    def control_groups(self) -> list[Path]:
        """Control groups of this machine alone, where no systemd on the host gives it one.

        Without them all machines share one tree, and a unit that ends in one takes away the group of its namesake that
        starts in another (systemd then says 219/CGROUP).
        """
        hierarchies = [
            point
            for _, point, kind, options, *_ in mounts()
            if kind == "cgroup2" or "name=systemd" in options.split(",")
        ]
        return [Path(hierarchy) / f"cllmh-lab-{self.nspawn_name}" for hierarchy in sorted(set(hierarchies))]

    def enter_control_groups(self) -> None:
        """Move this process into the machine's control groups."""
        for group in self.control_groups():
            (group / "cgroup.procs").write_text("0")

    def remove_control_groups(self) -> None:
        """Remove what the machine left of its control groups, the innermost first."""
        for group in self.control_groups():
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):  # a process that still ends; the next machine uses it as it is
                    Path(folder).rmdir()

    def personalise(self) -> None:
        """Name, addresses, host key and the controller's key; written through the overlay before the boot."""
        lab = self.lab
        prefix = lab.network.prefixlen
        write(self.root / "etc/hostname", f"{self.name}\n")
        hosts = "".join(f"{m['addresses'][0]} {m['name']}\n" for m in lab.all_machines)
        write(self.root / "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{hosts}")
        lines = ["[Match]", "Name=host0", "[Network]", f"Gateway={lab.gateway}", "LinkLocalAddressing=no"]
        lines += [f"Address={address}/{prefix}" for address in self.addresses]
        write(self.root / "etc/systemd/network/10-host0.network", "\n".join(lines) + "\n")
        resolv = self.root / "etc/resolv.conf"
        resolv.unlink(missing_ok=True)
        write(resolv, Path("/etc/resolv.conf").read_text())
        write(self.root / "root/.ssh/authorized_keys", ssh_key(lab.ssh_key, "cllmh-lab"), 0o600)
        lab.host_key(self.name)
        shutil.copyfile(lab.host_keys / self.name, self.root / "etc/ssh/ssh_host_ed25519_key")
        (self.root / "etc/ssh/ssh_host_ed25519_key").chmod(0o600)


class Lab:
    """All machines of one lab index, their bridge and their NAT rule."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.index = int(config["index"])
        self.dir = Path(config["dir"])
        self.cache_dir = Path(config["cache_dir"])
        self.mirror: str = config["mirror"]
        self.ssh_key = Path(config["ssh_key"])
        self.known_hosts = Path(config["known_hosts"])
        self.bridge: str = config["bridge"]
        self.network = ipaddress.ip_network(config["network"])
        self.gateway: str = config["gateway"]
        self.extra_addresses: list[str] = config.get("extra_addresses", [])
        self.reset: bool = bool(config.get("reset", False))
        self.all_machines: list[dict[str, Any]] = config["machines"]
        only = config.get("only") or [m["name"] for m in self.all_machines]
        self.machines = [Machine(self, m) for m in self.all_machines if m["name"] in only]
        self.partial = len(self.machines) < len(self.all_machines)
        self.table = f"cllmh_lab_{self.index}"

    def base(self, release: str) -> Path:
        return self.cache_dir / f"base-{release}-{BASE_REVISION}"

    @property
    def host_keys(self) -> Path:
        """Folder of the machines' ssh host keys, kept across resets so that known_hosts stays true."""
        return self.dir / "host_keys"

    def host_key(self, name: str) -> str:
        """Public ssh host key of a machine."""
        return ssh_key(self.host_keys / name, name)

    def plan(self) -> list[str]:
        """What `up` would do, as sentences; empty when all stands."""
        todo = [f"build base tree {r}" for r in self.releases() if not self.base(r).is_dir()]
        if not Path(f"/sys/class/net/{self.bridge}").exists():
            todo.append(f"make bridge {self.bridge}")
        verb = "reset" if self.reset else "boot"
        todo += [f"{verb} {m.name}" for m in self.machines if self.reset or not m.is_up()]
        return todo

    def releases(self) -> list[str]:
        return sorted({m.release for m in self.machines})

    def check(self) -> list[str]:
        """Raise Refused, with the remedy, where this machine cannot hold the lab; makes nothing."""
        if os.geteuid() != 0:
            raise Refused("the lab needs root (machines, mounts, a bridge): run it as root or with sudo")
        there = next(p for p in (self.cache_dir, *self.cache_dir.parents) if p.exists())
        free = shutil.disk_usage(there).free
        if free < NEEDED_FREE_BYTES:
            raise Refused(
                f"{there} has {free / 1024**3:.1f} GiB free and the lab needs {NEEDED_FREE_BYTES / 1024**3:.0f} GiB: "
                "make room, or set lab_cache_dir and lab_dir"
            )
        for network, device in ipv4_routes():
            if device != self.bridge and network.prefixlen and network.overlaps(self.network):
                raise Refused(
                    f"the lab's network {self.network} clashes with {network} on {device}: "
                    "choose another with CLLMH_LAB=<number from 0 to 254>"
                )
        return []

    def check_commands(self) -> None:
        """Raise Refused where a command is missing that the lab is made with."""
        missing = [c for c in ("systemd-nspawn", "mmdebstrap", "ip", "nft", "ssh-keygen") if not shutil.which(c)]
        if missing:
            raise Refused(
                f"missing commands: {', '.join(missing)}; "
                "apt-get install systemd-container mmdebstrap iproute2 nftables openssh-client"
            )

    def up(self) -> list[str]:
        self.check()
        self.check_commands()
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        todo = self.plan()
        self.build_bases()
        self.make_network()
        for machine in self.machines:
            if self.reset or not machine.is_up():
                machine.remove() if self.reset else machine.stop()
                say(f"booting {machine.name} (Debian {machine.release}, {machine.addresses[0]})")
                machine.start()
        for machine in self.machines:
            if not wait_until(machine.is_up, BOOT_TIMEOUT_S):
                tail = (machine.dir / "console.log").read_text(errors="replace")[-1500:]
                raise RuntimeError(f"{machine.name} did not answer on ssh within {BOOT_TIMEOUT_S:.0f} s:\n{tail}")
        self.write_ssh_files()
        return todo

    def build_bases(self) -> None:
        """One tree per Debian release, built beside and renamed when whole; labs that start together build it once."""
        with (self.cache_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for release in self.releases():
                base = self.base(release)
                if base.is_dir():
                    continue
                partial = base.with_suffix(".partial")
                for mount in mounts_below(partial):
                    run("umount", "--lazy", mount)
                if partial.exists():
                    say(f"clearing the half-built tree {partial}")
                    shutil.rmtree(partial)
                say(f"building the base tree of Debian {release} (about a minute)")
                started = time.monotonic()
                run(
                    "mmdebstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", "--quiet",
                    "--skip=cleanup/apt/lists", '--aptopt=Acquire::Languages "none"',
                    '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*',
                    '--customize-hook=systemctl --root="$1" enable systemd-networkd ssh',
                    '--customize-hook=systemctl --root="$1" mask systemd-networkd-wait-online.service',
                    '--customize-hook=: > "$1"/etc/machine-id',
                    release, str(partial), *([self.mirror] if self.mirror else []),
                )  # fmt: skip
                partial.rename(base)
                say(f"built Debian {release} in {time.monotonic() - started:.0f} s")

    def make_network(self) -> None:
        """Bridge, the host's addresses on it, forwarding and a NAT table of our own (removed as a whole)."""
        if not Path(f"/sys/class/net/{self.bridge}").exists():
            run("ip", "link", "add", self.bridge, "type", "bridge")
        for address in [self.gateway, *self.extra_addresses]:
            run("ip", "address", "replace", f"{address}/{self.network.prefixlen}", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
        # Each machine's systemd takes about six; the kernel's 128 are for all machines and the host together.
        instances = Path("/proc/sys/fs/inotify/max_user_instances")
        if int(instances.read_text()) < INOTIFY_INSTANCES:
            instances.write_text(f"{INOTIFY_INSTANCES}\n")
        run("nft", "delete", "table", "ip", self.table, quiet=True)
        rule = f"ip saddr {self.network} ip daddr != {self.network} masquerade"
        run("nft", f"table ip {self.table} {{ chain out {{ type nat hook postrouting priority srcnat; {rule}\n}}\n}}\n")

    def write_ssh_files(self) -> None:
        """known_hosts for Ansible, and ssh_config beside it: `ssh -F ssh_config node-a`."""
        known, config = [], []
        for spec in self.all_machines:
            address, name = spec["addresses"][0], spec["name"]
            known.append(f"{address},{name} {' '.join(self.host_key(name).split()[:2])}\n")
            config.append(f"Host {name}\n  HostName {address}\n")
        options = {
            "User": "root",
            "IdentityFile": self.ssh_key,
            "UserKnownHostsFile": self.known_hosts,
            "StrictHostKeyChecking": "yes",
            "ControlMaster": "auto",
            "ControlPath": self.dir / "ssh-%C",
            "ControlPersist": "60s",
        }
        config.append("Host *\n" + "".join(f"  {key} {value}\n" for key, value in options.items()))
        write(self.known_hosts, "".join(known))
        write(self.known_hosts.with_name("ssh_config"), "".join(config))

    def down(self) -> list[str]:
        """Remove the chosen machines; with all of them, the network and the lab's folder too."""
        actions = [f"remove {m.name}" for m in self.machines if m.dir.exists()]
        for machine in self.machines:
            machine.remove()
        if self.partial:
            return actions
        if Path(f"/sys/class/net/{self.bridge}").exists():
            run("ip", "link", "delete", self.bridge)
            actions.append(f"remove bridge {self.bridge}")
        if shutil.which("nft"):
            run("nft", "delete", "table", "ip", self.table, quiet=True)
        for mount in mounts_below(self.dir):
            run("umount", "--lazy", mount)
        if self.dir.exists():
            shutil.rmtree(self.dir)
        with contextlib.suppress(OSError):  # another lab is still there
            self.dir.parent.rmdir()
        return actions


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.write_text(text)
    path.chmod(mode)


def ipv4_routes() -> Iterator[tuple[ipaddress.IPv4Network, str]]:
    """Networks this machine has routes to, with their devices; /proc/net/route has them in little-endian hex."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        device, destination, *_, mask, _mtu, _window, _irtt = line.split()
        address, netmask = (ipaddress.IPv4Address(bytes.fromhex(x)[::-1]) for x in (destination, mask))
        yield ipaddress.IPv4Network(f"{address}/{netmask}"), device


def ssh_key(path: Path, comment: str) -> str:
    """Public key of an ed25519 pair, which is made where it is missing."""
    public = path.with_name(f"{path.name}.pub")
    if not (path.exists() and public.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    return public.read_text()


def port_open(address: str, port: int) -> bool:
    """The port answers with something: a listening socket alone may be a machine that is going down."""
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            connection.settimeout(10)  # a busy machine forks slowly
            return bool(connection.recv(1))
    except OSError:
        return False


def wait_until(condition: Any, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def kill(pid: int) -> None:
    """End a process by force; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def mounts() -> list[list[str]]:
    """The table of mounts; a row is device, mount point, type, options and two numbers."""
    return [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]


def mounts_below(folder: Path) -> Iterator[str]:
    """Mount points inside a folder, deepest first."""
    points = [row[1] for row in mounts()]
    inside = [p for p in points if p == str(folder) or p.startswith(f"{folder}/")]
    yield from sorted(inside, key=len, reverse=True)


def main() -> int:
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb not in ("up", "down", "check"):
        print("usage: lab.py up|down|check < lab.json", file=sys.stderr)
        return 2
    lab = Lab(json.load(sys.stdin))
    try:
        if verb == "check" or os.geteuid() != 0:
            lab.check()
            return 0
        with Path(f"/run/lock/cllmh-lab-{lab.index}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            actions = getattr(lab, verb)()
    except Refused as refusal:
        say(f"lab: {refusal}")
        return 2
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        say(f"lab: {error}")
        return 1
    print(json.dumps({"changed": bool(actions), "actions": actions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
