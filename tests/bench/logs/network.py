"""A network of its own for a benchmark, and machines on it: namespaces, which end with the processes in them.

A machine has its own network, its own /etc and /var (overlays; what was written stays when its programs are killed) and
its own /run, so that the roles' files can be used as they are. It shares processes, clock and installed programs with
this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.processes import wait_for

NETWORK = "10.77.0"
"""The first three numbers of the machines' addresses; nobody outside sees them."""

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, linux/sched.h
_BRIDGE = "bench"
_SETUP = """
set -e
for folder in etc var; do
    mkdir -p "$1/$folder/upper" "$1/$folder/work"
    mount -t overlay bench -o "lowerdir=/$folder,upperdir=$1/$folder/upper,workdir=$1/$folder/work" "/$folder"
done
mount -t tmpfs bench /run
ip link set lo up
echo ready
exec sleep infinity
"""


@contextlib.contextmanager
def network_of_its_own() -> Iterator[None]:
    """Give this thread, and all that it starts, a network with nothing but loopback and a bridge to machines."""
    if os.geteuid() != 0:
        raise RuntimeError("needs root: it makes machines with a network of their own")
    libc = ctypes.CDLL(None, use_errno=True)

    def call(done: int) -> None:
        if done:
            raise OSError(ctypes.get_errno(), "cannot change the network namespace")

    with Path("/proc/thread-self/ns/net").open("rb") as before:
        call(libc.unshare(_NEW_NETWORK))
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", _BRIDGE, "type", "bridge")
            _run("ip", "address", "add", f"{NETWORK}.1/24", "dev", _BRIDGE)
            _run("ip", "link", "set", _BRIDGE, "up")
            yield
        finally:
            call(libc.setns(before.fileno(), _NEW_NETWORK))


class Machine:
    """A machine with its disk in `folder`, which outlives its programs."""

    def __init__(self, folder: Path, number: int) -> None:
        """Bring up its network at the address `NETWORK.number`; the calling thread must outlive it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = f"{NETWORK}.{number}"
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        # Ends with the thread that made it: a benchmark that is killed leaves no machine.
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--propagation", "private",
             "bash", "-c", _SETUP, "machine", str(folder)],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the machine {folder.name} did not come up")
        link = f"m{number}"
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        _run("ip", "link", "set", link, "master", _BRIDGE, "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def path(self, name: str) -> Path:
        """Return where a file of the machine is to be found from outside."""
        return Path(f"/proc/{self._holder.pid}/root{name}")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def run(self, *command: str) -> str:
        """Run a command in the machine to its end; return what it says."""
        done = subprocess.run([*self._inside(), *command], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.folder.name}: {' '.join(command)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def start(self, name: str, *command: str) -> None:
        """Start a program that stays in the foreground; its output is in `folder/name.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.programs[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._inside(), *command], stdout=log, stderr=log
            )

    def processes(self, *names: str) -> list[psutil.Process]:
        """Return the processes of these programs (of all where none is named), with those that they started."""
        found = []
        for name in names or self.programs:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.programs[name].pid)
                found += [process, *process.children(recursive=True)]
        return found

    def kill(self, *names: str) -> None:
        """End these programs (all where none is named) as a failing machine does: nothing is flushed by them."""
        processes = self.processes(*names)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for name in names or self.programs:
            self.programs[name].wait(20)
        psutil.wait_procs(processes, timeout=20)

    def end(self, *names: str) -> None:
        """Ask these programs to end, and wait until they have."""
        for name in names:
            self.programs[name].terminate()
            self.programs[name].wait(120)

    def stall(self) -> None:
        """Hold all programs where they are."""
        for process in self.processes():
            process.suspend()

    def go_on(self) -> None:
        """Let them go on."""
        for process in self.processes():
            process.resume()

    def cut_off(self, other: str) -> None:
        """Drop every packet from and to an address, without a word to either side."""
        self.run("nft", "add", "table", "inet", "cut")
        for hook, end in (("input", "saddr"), ("output", "daddr")):
            self.run("nft", "add", "chain", "inet", "cut", hook, f"{{ type filter hook {hook} priority 0; }}")
            self.run("nft", "add", "rule", "inet", "cut", hook, "ip", end, other, "drop")

    def join_again(self) -> None:
        """Let the packets pass again."""
        self.run("nft", "delete", "table", "inet", "cut")

    def cpu_s(self, *names: str) -> float:
        """Return the CPU time that these programs have used since they were started."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes(*names))

    def stop(self) -> None:
        """End the programs in order, and the machine with them."""
        for program in self.programs.values():
            program.terminate()
        until = time.monotonic() + 20
        with contextlib.suppress(subprocess.TimeoutExpired):
            for program in self.programs.values():
                program.wait(max(0.1, until - time.monotonic()))
        self.kill()
        self._holder.kill()
        self._holder.wait(10)

    def _inside(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", f"--mount=/proc/{self._holder.pid}/ns/mnt"]


def wait_until_open(address: str, port: int, seconds: float = 30) -> None:
    """Wait until somebody listens there."""

    def connected() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return True
        return False

    wait_for(connected, seconds, f"{address}:{port} to listen")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)
