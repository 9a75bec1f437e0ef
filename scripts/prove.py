#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prove a lab through its hub, as a person would see it, and write down what was seen.

Usage: ``prove.py --out build/demo.json`` (after playbooks/site.yml; the lab's number is in CLLMH_LAB). Waits until

* each site has a clip of channel 1 that begins before the walking begins and plays to its end, and none of channel 2;
* a marked line of each node, DVR and router is found by the hub's log search;
* the hub knows the disk of each node and the DDNS name of each router.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import requests

import machine
from steps import ROOT

LOOP_S, WALKING_FROM_S = 45.0, 20.0
"""The footage repeats every 45 s of Unix time; somebody walks from second 20 on (tests/fakes/footage.py)."""

TIMEOUT_S = 240.0
POLL_S = 2.0


class NotProvedError(Exception):
    """Something was not there in time; the text says what."""


class Hub:
    """The hub's API, logged in."""

    def __init__(self, url: str, ca_file: Path, username: str, password: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.verify = str(ca_file)
        self.http.trust_env = False
        self.http.headers["X-Requested-With"] = "cllmh"
        answer = self.http.post(f"{url}/api/v1/session", json={"username": username, "password": password}, timeout=10)
        answer.raise_for_status()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(f"{self.url}/api/v1/{path}", params=query, timeout=20)
        answer.raise_for_status()
        return answer.json()

    def video(self, url: str) -> bytes:
        answer = self.http.get(f"{self.url}{url}", timeout=60)
        answer.raise_for_status()
        return answer.content


def await_value(what: str, ask: Callable[[], Any], deadline: float) -> Any:
    """Ask until there is an answer; raise NotProvedError naming what was missing."""
    print(f"waiting for {what}", flush=True)
    while not (value := ask()):
        if time.monotonic() > deadline:
            raise NotProvedError(f"{what}: not there after {TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    return value


def seconds(stamp: str) -> float:
    """Unix time of an ISO 8601 stamp."""
    return datetime.fromisoformat(stamp).timestamp()


def lead_s(start: float) -> float | None:
    """Seconds from a clip's start to the walking; None when it began while somebody walked."""
    phase = start % LOOP_S
    return WALKING_FROM_S - phase if phase < WALKING_FROM_S else None


def play(data: bytes) -> tuple[int, float, float]:
    """Decode a clip to its end: frames, seconds, and how much more its end moves than its first second."""
    with av.open(io.BytesIO(data), mode="r") as container:
        stream = container.streams.video[0]
        previous, moves, last = None, [], 0.0
        for frame in container.decode(stream):
            luma = frame.reformat(width=160, height=120, format="gray").to_ndarray().astype(np.int16)
            if previous is not None:
                moves.append((float(frame.time or 0.0), float((np.abs(luma - previous) > 25).mean())))
            previous, last = luma, float(frame.time or 0.0)
    still = max(move for at, move in moves if at <= 1.0)
    return len(moves) + 1, last, max(move for _, move in moves) - still


def prove_clip(hub: Hub, site: str, camera: str, deadline: float) -> dict[str, Any]:
    """Wait for a clip of this camera that begins before the walking, and play it."""

    def ask() -> Any:
        found = hub.get("clips", site=site, camera=camera, limit=20)["items"]
        return next((clip for clip in found if lead_s(seconds(clip["start"])) is not None), None)

    clip = await_value(f"a clip of {site} {camera}", ask, deadline)
    data = hub.video(clip["video_url"])
    frames, length, movement = play(data)
    if len(data) != clip["bytes"]:
        raise NotProvedError(f"clip {clip['id']} of {camera}: {len(data)} bytes came, the index says {clip['bytes']}")
    if abs(length - clip["seconds"]) > 1.5:
        raise NotProvedError(
            f"clip {clip['id']} of {camera} plays {length:.1f} s, the index says {clip['seconds']:.1f}"
        )
    if movement <= 0.002:
        raise NotProvedError(f"clip {clip['id']} of {camera} does not begin still and then move ({movement:.4f})")
    lead = lead_s(seconds(clip["start"]))
    return {**{key: clip[key] for key in ("id", "site", "camera", "start", "end", "seconds", "bytes")},
            "lead_s": round(lead or 0.0, 1), "frames": frames}  # fmt: skip


class Lab:
    """What the inventory says of this lab, and how to act on its machines."""

    def __init__(self, index: int) -> None:
        self.dir = ROOT / "build" / "lab" / str(index)
        command = [str(ROOT / ".venv/bin/ansible-inventory"), "-i", str(ROOT / "inventory/lab"), "--list"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        self.groups = json.loads(listing.stdout)
        self.hosts: dict[str, dict[str, Any]] = self.groups["_meta"]["hostvars"]
        self.prefix = f"10.77.{index}"

    def address(self, name: str) -> str:
        """Address of a host; the inventory spells it relative to the lab's network."""
        return f"{self.prefix}.{self.hosts[name]['ansible_host'].rsplit('.', 1)[1]}"

    def ssh(self, name: str, *command: str) -> None:
        """Run a command on a machine."""
        subprocess.run(
            ["ssh", "-F", str(self.dir / "ssh_config"), name, *command], check=True, timeout=30, capture_output=True
        )

    def cameras(self, channel: int) -> list[tuple[str, str]]:
        """(site, camera) of all cameras on this channel of their DVR."""
        nodes = [self.hosts[node] for node in self.groups["nodes"]["hosts"]]
        return [
            (node["common_site"], camera["name"])
            for node in nodes
            for camera in node["motion_recorder_cameras"]
            if camera["channel"] == channel
        ]

    def mark(self, mark: str) -> list[tuple[str, str]]:
        """Have each node, DVR and router write one line with the mark; returns (site, host) of each."""
        expected = []
        for dvr in self.groups["dvrs"]["hosts"]:
            about = self.hosts[dvr]["lab_dvr"]
            node, router = about["node"], about["router"]
            site = self.hosts[node]["common_site"]
            self.ssh(node, "logger", "-t", "cllmh-proof", f"{mark}")
            send = ["python3", "/opt/lab/send_syslog.py", "--to", self.address(node)]
            self.ssh(
                dvr, *send, "--from", self.address(dvr), "--port", "5514", "--format", "rfc3164", "--host", dvr, mark
            )
            self.ssh(dvr, *send, "--from", self.address(router), "--port", "5515", "--format", "routeros",
                     "--host", router, mark)  # fmt: skip
            expected += [(site, node), (site, dvr), (site, router)]
        return expected


def prove(index: int) -> dict[str, Any]:
    """All proofs in turn; raises NotProvedError."""
    lab = Lab(index)
    deadline = time.monotonic() + TIMEOUT_S
    ca_file = lab.dir / "state" / "pki" / "ca.crt"
    password = (lab.dir / "state" / "users" / "admin").read_text(encoding="utf-8").strip()
    url = f"https://{lab.address('hub')}"
    hub = Hub(url, ca_file, "admin", password)

    mark = f"proof-{uuid.uuid4().hex[:12]}"
    expected = lab.mark(mark)
    cameras = {
        lab.hosts[node]["common_site"]: lab.hosts[node]["motion_recorder_cameras"]
        for node in lab.groups["nodes"]["hosts"]
    }
    walking = [(site, camera["name"]) for site, found in cameras.items() for camera in found if camera["channel"] == 1]
    still = [(site, camera["name"]) for site, found in cameras.items() for camera in found if camera["channel"] == 2]
    clips = [prove_clip(hub, site, camera, deadline) for site, camera in walking]
    for site, camera in still:
        if found := hub.get("clips", site=site, camera=camera, limit=5)["items"]:
            raise NotProvedError(f"the still camera {site} {camera} has clips: {found}")

    def lines() -> Any:
        found = hub.get("logs", text=mark, limit=50)["items"]
        seen = {(line["site"], line["host"]) for line in found}
        return [line for line in found if (line["site"], line["host"]) in expected] if seen >= set(expected) else None

    found_lines = await_value("a marked line of each node, DVR and router", lines, deadline)

    def sites() -> Any:
        items = hub.get("sites")["items"]
        whole = all(node["disk"] for site in items for node in site["nodes"]) and all(
            router["ddns_name"] for site in items for router in site["routers"]
        )
        return items if whole and all(site["routers"] for site in items) else None

    items = await_value("disks and DDNS names", sites, deadline)
    return {
        "hub_url": url,
        "username": "admin",
        "password": password,
        "ca_file": str(ca_file),
        "sites": [site["name"] for site in items],
        "cameras": [f"{site}/{camera}" for site, camera in walking + still],
        "still_cameras": [f"{site}/{camera}" for site, camera in still],
        "clips": clips,
        "log_mark": mark,
        "log_lines": found_lines,
        "disks": {node["name"]: node["disk"] for site in items for node in site["nodes"]},
        "ddns_names": {router["name"]: router["ddns_name"] for site in items for router in site["routers"]},
    }


def main() -> int:
    """Exit code: 0 proved, 1 not proved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    out: Path = parser.parse_args().out
    started = time.monotonic()
    try:
        facts = prove(machine.lab_index())
    except (NotProvedError, requests.RequestException, subprocess.SubprocessError, OSError) as error:
        print(f"prove: {error}", file=sys.stderr)
        return 1
    facts["seconds"] = round(time.monotonic() - started, 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"proved in {facts['seconds']} s: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
