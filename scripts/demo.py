#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make demo` and `make demo-down`: two sites and a hub on this machine, rolled out, proved, left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import machine
from steps import BUILD, ROOT, StepFailedError, Steps, clock

PLAYBOOK = str(ROOT / ".venv/bin/ansible-playbook")
PYTHON = str(ROOT / ".venv/bin/python")


def up(index: int) -> int:
    """Make the demo; a second call brings it to the same state again."""
    machine.check(index)
    env = {"CLLMH_LAB": str(index), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    proof = BUILD / "demo.json"
    proof.unlink(missing_ok=True)
    steps = Steps("demo", 5)
    steps.run("Prepare this machine", sys.executable, "scripts/machine.py", env=env)
    steps.run("Stage artifacts", PLAYBOOK, "playbooks/artifacts.yml", env=env)
    steps.run("Boot the lab", PLAYBOOK, "playbooks/lab.yml", env=env)
    steps.run("Roll out hub and sites", PLAYBOOK, "playbooks/site.yml", env=env)
    steps.run("Prove clips, logs, disks and names", PYTHON, "scripts/prove.py", "--out", str(proof), env=env)
    facts = json.loads(proof.read_text(encoding="utf-8"))
    facts["seconds"] = steps.total_seconds()
    proof.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    show(facts, steps)
    return 0


def show(facts: dict[str, Any], steps: Steps) -> None:
    """Say what to open and what was proved."""
    clips, lines = facts["clips"], facts["log_lines"]
    print("\nOpen      ", facts["hub_url"], "(from this machine; its private CA:", f"{facts['ca_file']})")
    print("User      ", facts["username"])
    print("Password  ", facts["password"])
    print("\nProved")
    for clip in clips:
        print(
            f"  clip      {clip['site']} {clip['camera']}: {clip['seconds']:.0f} s, begins "
            f"{clip['lead_s']:.1f} s before the walking, plays to its end ({clip['frames']} frames)"
        )
    print("  no clip   of the still cameras:", ", ".join(facts["still_cameras"]))
    print("  log lines", ", ".join(f"{line['site']}/{line['host']}" for line in lines))
    for node, disk in facts["disks"].items():
        print(f"  disk      {node}: {disk['state']}, {disk['used_percent']:.0f} % used")
    for router, name in facts["ddns_names"].items():
        print(f"  DDNS      {router}: {name}")
    print("\nTimes     ", ", ".join(f"{step} {clock(s)}" for step, s in steps.seconds.items()))
    print("Total     ", clock(steps.total_seconds()))
    print(
        f"\nssh -F build/lab/{machine.lab_index()}/ssh_config node-a    looks inside; `make demo-down` removes it all"
    )


def down(index: int) -> int:
    """Remove all that `up` made; the base trees stay as a cache."""
    if os.geteuid() != 0:
        raise machine.Refused("run this as root: it removes machines, mounts and a bridge")
    if not (ROOT / ".venv/bin/ansible-playbook").exists():
        subprocess.run([sys.executable, str(ROOT / "scripts/machine.py")], check=True)
    env = {"CLLMH_LAB": str(index), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    Steps("demo-down", 1).run("Remove the lab", PLAYBOOK, "playbooks/lab.yml", "-e", "lab_state=absent", env=env)
    (BUILD / "demo.json").unlink(missing_ok=True)
    return 0


def main() -> int:
    """Exit code: 0 done, 1 failed on the way, 2 refused before anything was made, 130 interrupted."""
    try:
        return {"up": up, "down": down}[sys.argv[1]](machine.lab_index())
    except machine.Refused as refusal:
        print(f"{sys.argv[0]}: {refusal}", file=sys.stderr)
        return 2
    except StepFailedError:
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again, it goes on from what is whole", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
