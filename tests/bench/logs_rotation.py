"""Lines into files that are rotated while Promtail tails them into a real Loki: what a query finds of them.

Ours is what the roles set up on a hub, with a new file each few seconds instead of each hour: files keep their names
until Loki has their last line, and Promtail starts with the first line that Loki lacks. The stock recipe is beside
it: one file, which logrotate renames before it tells syslog-ng to open a new one. Both are run once with rotations
alone and once with Promtail killed between them and Loki away for a while.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.harness import ROOT, Progress, Result, Row, at_least, at_most, plain
from bench.logs import loki
from bench.logs.network import wait_until_open
from bench.logs.node import installed_config_version
from bench.logs.roles import Authority, artifact, render
from bench.processes import wait_for
from free_ports import free_ports

RATE = 10_000
"""Lines a second."""

FILE_S = 5
"""Seconds after which ours begins a new file, and after which the stock recipe's is rotated."""

STRIKE_S = 7
"""Seconds between two kills of Promtail."""

LINE = re.compile(r"bench (\d+) ")
FILLER = "The01person02went03through04the05gate06and07stood08for09a10while"
SITE = "warung"
RESUME = ROOT / "roles" / "promtail" / "files" / "promtail_resume.py"
SHIPPED = ROOT / "roles" / "promtail" / "files" / "promtail_shipped.py"


def run(short: bool) -> Result:
    """Measure; the short form is a fifth of the rate for ten seconds, ours only."""
    seconds, rate = (10, RATE // 5) if short else (45, RATE)
    progress = Progress("logs_rotation")
    rows = []
    for way, struck in (
        [("ours", True)] if short else [(way, struck) for way in ("ours", "stock") for struck in (False, True)]
    ):
        folder = Path(tempfile.mkdtemp(prefix="cllmh-rotation-"))
        try:
            rows.append(measured(Hub(folder, stock=way == "stock"), seconds, rate, struck, progress))
        finally:
            shutil.rmtree(folder)
    result = Result("logs_rotation", rows=rows)
    ours = [row for row in rows if row["way"] == "ours"]
    result.metrics = [
        plain("lines", _sum(ours, "lines"), "lines"),
        at_most("lost", _sum(ours, "lost"), "lines", 0),
        at_most("doubled", _sum(ours, "doubled"), "lines", 0),
        plain("rotations", _sum(ours, "rotations"), "files"),
        plain("kills_of_promtail", _sum(ours, "kills"), "kills"),
    ]
    if not short:
        result.metrics.insert(1, at_least("rate", min(float(str(row["rate"])) for row in ours), "lines/s", 0.95 * RATE))
        result.metrics.append(plain("lost_by_the_stock_recipe", _sum(rows, "lost") - _sum(ours, "lost"), "lines"))
    return result


@dataclass
class Hub:
    """Loki, syslog-ng and Promtail as processes on this machine, with their files in one folder."""

    folder: Path
    stock: bool

    def __post_init__(self) -> None:
        ports = ("loki", "loki_grpc", "promtail", "dvr", "router", "dvr_tls", "router_tls")
        self.ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        self.loki_url = f"http://127.0.0.1:{self.ports['loki']}"
        self.sites = self.folder / "sites"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (self.folder / "promtail").mkdir()
        (self.sites / SITE).mkdir(parents=True)
        certificate, key = Authority().issue("hub", "hub", "127.0.0.1")
        for name, text in {"ca.crt": certificate, "host.crt": certificate, "host.key": key}.items():
            (self.folder / name).write_text(text)
        self._configure()

    def _configure(self) -> None:
        folder, ports = self.folder, self.ports
        values: dict[str, Any] = {
            "loki_http_address": "127.0.0.1",
            "loki_http_port": ports["loki"],
            "loki_grpc_port": ports["loki_grpc"],
            "loki_data_dir": str(folder / "loki"),
        }
        (folder / "loki.yml").write_text(render("loki", "etc/loki/loki.yml.j2", values))
        values = {
            "__syslog_ng_config_version": installed_config_version(),
            "syslog_ng_kind": "hub",
            "syslog_ng_timezone": "UTC",
            "syslog_ng_group": "root",
            "syslog_ng_listen_address": "127.0.0.1",
            "syslog_ng_sites_dir": str(self.sites),
            "syslog_ng_devices_file": str(folder / "devices.csv"),
            "syslog_ng_devices": [{"name": "dvr", "kind": "dvr", "address": "127.0.0.1", "site": SITE}],
            **{
                f"syslog_ng_{name}_file": str(folder / f"host.{ending}")
                for name, ending in (("cert", "crt"), ("key", "key"))
            },
            "syslog_ng_ca_file": str(folder / "ca.crt"),
            **{f"syslog_ng_{name}_port": ports[name] for name in ("dvr", "router", "dvr_tls", "router_tls")},
        }
        (folder / "devices.csv").write_text(render("syslog_ng", "etc/syslog-ng/devices.csv.j2", values))
        config = render("syslog_ng", "etc/syslog-ng/hub.conf.j2", values)
        hourly, last = "${R_YEAR}-${R_MONTH}-${R_DAY}T${R_HOUR}.log", "  destination(d_site);"
        if hourly not in config or last not in config:
            raise RuntimeError("role syslog_ng does not write files by the hour any more")
        part = f'  rewrite {{ set("$(/ ${{R_UNIXTIME}} {FILE_S})" value(".bench.part")); }};\n'
        config = config.replace(hourly, "stock.log" if self.stock else "${.bench.part}.log").replace(last, part + last)
        (folder / "syslog-ng.conf").write_text(config)
        values = {
            "promtail_paths": [str(self.sites / "*/*.log")],
            "promtail_loki_url": self.loki_url,
            "promtail_http_port": ports["promtail"],
            "promtail_data_dir": str(folder / "promtail"),
        }
        (folder / "promtail.yml").write_text(render("promtail", "etc/promtail/promtail.yml.j2", values))
        rule: dict[str, Any] = {
            "name": "bench",
            "paths": [str(self.sites / "*/*.log")],
            "user": "root",
            "group": "root",
        }
        if self.stock:
            reopen = f"syslog-ng-ctl reopen --control={folder}/control"
            rule |= {"mode": "0640", "max_bytes": 0, "postrotate": reopen}
        else:
            shipped = f'{sys.executable} {SHIPPED} {self.loki_url} "$1" 2'
            rule |= {"interval": "hourly", "max_bytes": 0, "prerotate": shipped}
        values = {"logrotate_sets": [rule]}
        (folder / "logrotate.conf").write_text(render("logrotate", "etc/logrotate.d/cllmh.j2", values))
        (folder / "logrotate.conf").chmod(0o644)

    def start(self, name: str) -> None:
        """Start a program; Promtail's unit compares its files with Loki first."""
        folder = self.folder
        commands = {
            "loki": [str(artifact("loki")), f"-config.file={folder}/loki.yml"],
            "promtail": [str(artifact("promtail")), f"-config.file={folder}/promtail.yml"],
            "syslog-ng": [
                "syslog-ng", "--foreground", "--no-caps", f"--cfgfile={folder}/syslog-ng.conf",
                f"--persist-file={folder}/persist", f"--control={folder}/control", f"--pidfile={folder}/pid",
            ],
        }  # fmt: skip
        if name == "promtail" and not self.stock:
            positions, files = str(folder / "promtail" / "positions.yml"), str(self.sites / "*/*.log")
            resume = [sys.executable, str(RESUME), positions, self.loki_url, "2097152", files]
            # The unit begins again until Loki can be asked.
            wait_for(lambda: subprocess.run(resume, timeout=90, check=False).returncode == 0, 90, "Promtail's start", 1)
        with (folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(commands[name], stdout=out, stderr=out)

    def kill(self, name: str) -> None:
        """End a program as a power cut would."""
        self.processes[name].kill()
        self.processes[name].wait(20)

    def strike(self, loki_too: bool) -> None:
        """Kill Promtail, and Loki with it or not; start what was killed again."""
        self.kill("promtail")
        if loki_too:
            self.kill("loki")
            self.start("loki")
        self.start("promtail")

    def rotate(self) -> None:
        """Run logrotate once; what may not be rotated yet makes it fail, which is as it should be."""
        state = f"{self.folder}/logrotate.state"
        command = ["logrotate", "--force", "--state", state, f"{self.folder}/logrotate.conf"]
        subprocess.run(command, capture_output=True, timeout=60, check=False)

    def rotated(self) -> int:
        """Return how many files have been rotated."""
        return sum(1 for path in self.sites.rglob("*") if re.search(r"\.log\.\d", path.name))

    def counted(self) -> int:
        """Return how many lines Loki has."""
        try:
            return loki.count(self.loki_url, SITE, f'{{site="{SITE}"}}', 3600)
        except OSError:
            return -1

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start all; end all."""
        try:
            for name in ("loki", "syslog-ng", "promtail"):
                self.start(name)
            wait_for(lambda: self.counted() >= 0, 60, "Loki to answer", 0.3)
            wait_until_open("127.0.0.1", self.ports["dvr"])
            yield
        finally:
            for process in self.processes.values():
                process.kill()
                process.wait(20)


def measured(hub: Hub, seconds: int, rate: int, struck: bool, progress: Progress) -> Row:
    """Send lines for some seconds while files are rotated; return what Loki has of them in the end."""
    way = "stock" if hub.stock else "ours"
    began_ns, ended, kills = time.time_ns(), threading.Event(), 0
    striker = threading.Thread()

    def rotating() -> None:
        # The stock recipe's is as often as ours; ours takes what Loki has of the files that are complete.
        while not ended.wait(FILE_S if hub.stock else 1):
            hub.rotate()

    with hub.running():
        rotator = threading.Thread(target=rotating)
        rotator.start()
        try:
            began, sent, strike_at = time.monotonic(), 0, STRIKE_S
            with socket.create_connection(("127.0.0.1", hub.ports["dvr"])) as connection:
                while sent < seconds * rate:
                    due = min(int((time.monotonic() - began) * rate), seconds * rate)
                    connection.sendall("".join(f"<14>bench {n} {FILLER}\n" for n in range(sent, due)).encode())
                    sent = due
                    time.sleep(0.05)
                    if struck and time.monotonic() - began > strike_at and not striker.is_alive():
                        striker = threading.Thread(target=hub.strike, args=(kills % 3 == 1,))
                        striker.start()
                        kills, strike_at = kills + 1, time.monotonic() - began + STRIKE_S
                    progress(f"{way}{', struck' if struck else ''}: {sent} lines sent")
                took_s = time.monotonic() - began
            if kills:
                striker.join()
            settled = _settled(hub, sent, progress)
            ended.set()
            rotator.join(60)
            # Once more at rest: what is complete by now.
            hub.rotate()
            found: dict[int, int] = {}
            for _, _, text in loki.lines(hub.loki_url, SITE, f'{{site="{SITE}"}}', began_ns, time.time_ns()):
                if match := LINE.match(text):
                    found[int(match[1])] = found.get(int(match[1]), 0) + 1
            # A count shows doubles that a list of lines may not.
            counted = hub.counted()
        finally:
            ended.set()
            rotator.join(60)
        rotations = hub.rotated()
    return {
        "way": way,
        "struck": "yes" if struck else "no",
        "lines": sent,
        "rate": round(sent / took_s),
        "rotations": rotations,
        "kills": kills,
        "lost": sent - len(found),
        "doubled": max(counted, sum(found.values())) - len(found),
        "all_in_loki_after_s": round(settled, 1),
    }


def _settled(hub: Hub, sent: int, progress: Progress, patience_s: float = 20) -> float:
    """Wait until Loki has all, or gets nothing more for a while; return how long that took."""
    began = changed = time.monotonic()
    last = -1
    while (now := hub.counted()) < sent and time.monotonic() - changed < patience_s:
        if now != last:
            last, changed = now, time.monotonic()
        progress(f"{now} of {sent} lines are in Loki")
        time.sleep(0.5)
    return time.monotonic() - began


def _sum(rows: list[Row], key: str) -> int:
    return sum(int(str(row[key])) for row in rows)
