#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make test`: everything that must pass. ``test.py [roles [NAME...] | e2e]`` runs one part.

The tests have labs of their own (number CLLMH_TEST_LAB, 1 unless told, and the next one for roles), so that a demo may
go on beside them. KEEP=1 leaves the lab running after the end-to-end part.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import machine
from steps import BUILD, ROOT, StepFailedError, Steps, clock

BIN = ROOT / ".venv/bin"
PLAYBOOK = str(BIN / "ansible-playbook")
PYTHON = str(BIN / "python")
NO_CHANGE_TARGET_S = 45
LONGEST_FIRST = (
    "elasticsearch",
    "site_health",
    "clip_archive",
    "reports",
    "motion_recorder",
    "hub_api",
    "backup_manager",
    "hdd_monitor",
    "syslog_ng",
    "gateway",
    "loki",
)
"""Scenarios that take long begin first, so that the two labs end together."""

ON_DEMAND = {"elasticsearch_cluster", "loki_ha"}
"""Scenarios that `make test` leaves out, since they take three machines and minutes; run when named."""

STAGED = ["cllmh-node", "cllmh-hub", "cllmh-dashboard", "loki", "promtail"]
"""What several parts of a whole run need; the scenario of Elasticsearch stages that itself."""

PYTEST_COUNTS = re.compile(r"^=+ .*?\b(\d+) passed\b.* in [\d.]+s.*=+$", re.MULTILINE)
VITEST_COUNTS = re.compile(r"^\s*Tests\s+(\d+) passed", re.MULTILINE)


class Run:
    """One run of tests: its steps, its lab, and what it counted."""

    def __init__(self, total: int) -> None:
        index = int(os.environ.get("CLLMH_TEST_LAB", "1"))
        self.labs = (index, index + 1)
        for lab in self.labs:
            machine.check(lab)
        self.index = index
        self.env = {
            "CLLMH_LAB": str(index),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
            "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "CLLMH_PROOF": str(BUILD / "e2e.json"),
        }
        self.steps = Steps("test", total)
        self.passed = 0

    def step(self, title: str, *command: str, env: dict[str, str] | None = None) -> str:
        """Run a step and return its output; count the tests it reports."""
        output = self.steps.run(title, *command, env=env or self.env)
        self.count(output)
        return output

    def count(self, output: str) -> None:
        """Count the tests that an output reports, and show those that were skipped."""
        counts = [int(n) for pattern in (PYTEST_COUNTS, VITEST_COUNTS) for n in pattern.findall(output)]
        self.passed += sum(counts)
        for line in output.splitlines():
            if line.startswith("SKIPPED"):
                print(f"      {line}")

    def playbook(self, title: str, name: str, *arguments: str, env: dict[str, str] | None = None) -> str:
        """Run a playbook as a step."""
        return self.step(title, PLAYBOOK, f"playbooks/{name}.yml", *arguments, env=env)

    def remove_lab(self) -> None:
        """Remove machines, also those that a killed run left behind."""
        self.playbook("Remove the test lab", "lab", "-e", "lab_state=absent")


def expect_no_change(title: str, output: str) -> None:
    """Raise StepFailedError where a play changed something."""
    changed = re.findall(r"^(\S+)\s*: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    busy = [host for host, count in changed if count != "0"]
    if not changed or busy:
        print(f"{title}: changed on {', '.join(busy) or 'no host at all ran'}")
        raise StepFailedError(title)


def expect_no_secret(outputs: list[str], state: Path) -> None:
    """Raise StepFailedError where a token, a password or a key stands in an output."""
    files = [*state.glob("tokens/*"), *state.glob("users/*")]
    secrets = {file.read_text(encoding="utf-8").strip() for file in files}
    # The first line of a key's body has its secret number; the last ones repeat the public key, which may be shown.
    secrets |= {file.read_text(encoding="utf-8").splitlines()[1] for file in state.glob("pki/**/*.key")}
    for host in ("node-a", "node-b", "router-a", "router-b"):
        text = (ROOT / f"inventory/lab/host_vars/{host}.yml").read_text(encoding="utf-8")
        secrets |= set(re.findall(r'password: "(.*)"', text))
    if len(secrets) < 6:
        raise StepFailedError("the inventory's secrets were not found, so nothing was proved about them")
    if any(secret in output for secret in secrets for output in outputs):
        print("a secret stands in the output of a playbook (see build/log)")
        raise StepFailedError("secrets")


def prepare(run: Run) -> None:
    """Install what is missing on this machine."""
    run.step("Prepare this machine", sys.executable, "scripts/machine.py", "--tests")


def roles(run: Run, names: list[str]) -> None:
    """Molecule, every role or the named ones, side by side on two labs: most of the time each waits for one machine."""
    known = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")} - {"default"}
    if unknown := set(names) - known:
        raise machine.Refused(f"no scenario {', '.join(unknown)} in molecule/, which has {', '.join(sorted(known))}")
    chosen = names or [
        *(name for name in LONGEST_FIRST if name in known),
        *sorted(known - ON_DEMAND - set(LONGEST_FIRST)),
    ]
    jobs = [(name, [str(BIN / "molecule"), "test", "-s", name, "--destroy=never"]) for name in chosen]
    # Each scenario has a state of its own, and none from an earlier run: molecule would skip what it says was done.
    states = BUILD / "molecule"
    shutil.rmtree(states, ignore_errors=True)

    def lane(lab: int) -> Callable[[str], dict[str, str]]:
        return lambda name: {
            **run.env,
            "CLLMH_LAB": str(lab),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(states / str(lab) / name),
        }

    labs = run.labs[: len(jobs)]
    for lab in labs:
        # Anew: what another clone's killed run left does not know our keys.
        run.playbook(f"Boot test lab {lab}", "lab", "-e", "lab_reset=true", env={**run.env, "CLLMH_LAB": str(lab)})
    run.count(run.steps.side_by_side("Roles on real machines (molecule)", jobs, [lane(lab) for lab in labs]))
    for lab in labs:
        run.playbook(f"Remove test lab {lab}", "lab", "-e", "lab_state=absent", env={**run.env, "CLLMH_LAB": str(lab)})


def e2e(run: Run) -> None:
    """From bare machines to a person in front of the dashboard."""
    run.playbook("Boot a fresh lab", "lab", "-e", "lab_reset=true")
    outputs = [run.playbook("Check on bare machines", "site", "--check", "--diff")]
    outputs.append(run.playbook("Roll out", "site", "--diff"))
    outputs.append(run.playbook("Roll out again", "site"))
    expect_no_change("Roll out again", outputs[-1])
    outputs.append(run.playbook("Check on finished machines", "site", "--check", "--diff"))
    expect_no_change("Check on finished machines", outputs[-1])
    expect_no_secret(outputs, BUILD / "lab" / str(run.index) / "state")
    run.step("Prove clips, logs, disks and names", PYTHON, "scripts/prove.py", "--out", str(BUILD / "e2e.json"))
    run.step("A person at the dashboard (Playwright)", PYTHON, "-m", "pytest", "tests/e2e")
    if not os.environ.get("KEEP"):
        run.remove_lab()


def everything() -> Run:
    """All parts in turn, cheapest first."""
    run = Run(20)
    prepare(run)
    jobs = [("unit tests", ["make", "test-unit"]), ("lint", ["make", "lint"])]
    run.count(run.steps.side_by_side("Unit tests and lint", jobs, [lambda _: run.env] * 2))
    staging = ("artifacts", "-e", json.dumps({"artifacts_names": STAGED}))
    run.playbook("Stage artifacts", *staging)
    expect_no_change("Stage artifacts again", run.playbook("Stage artifacts again", *staging))
    run.remove_lab()
    files = sorted((ROOT / "tests/integration").glob("test_*.py"))
    jobs = [(path.stem, [PYTHON, "-m", "pytest", str(path)]) for path in files]
    run.count(run.steps.side_by_side("Recorder against a simulated DVR", jobs, [lambda _: run.env] * 2))
    run.step("Collection archive", "make", "collection")
    roles(run, [])
    e2e(run)
    return run


def main() -> int:
    """Exit code: 0 all passed, 1 something failed, 2 refused before anything was made, 130 interrupted."""
    part, *names = sys.argv[1:] or ["all"]
    try:
        if part == "roles":
            run = Run(7)
            prepare(run)
            run.playbook("Stage artifacts", "artifacts")
            roles(run, names)
        elif part == "e2e":
            run = Run(10)
            prepare(run)
            run.playbook("Stage artifacts", "artifacts")
            e2e(run)
        else:
            run = everything()
    except machine.Refused as refusal:
        print(f"{sys.argv[0]}: {refusal}", file=sys.stderr)
        return 2
    except StepFailedError as failure:
        print(f"FAILED: {failure}")
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run it again, it clears what is left", file=sys.stderr)
        return 130
    seconds = run.steps.seconds
    if again := seconds.get("roll-out-again"):
        verdict = "within" if again <= NO_CHANGE_TARGET_S else "ABOVE"
        print(f"no-change site.yml: {again:.0f} s, {verdict} the target of {NO_CHANGE_TARGET_S} s")
    (BUILD / "test.json").write_text(json.dumps({"seconds": seconds, "passed": run.passed}, indent=2) + "\n")
    print("times: " + ", ".join(f"{step} {clock(s)}" for step, s in seconds.items()))
    print(f"total: {clock(run.steps.total_seconds())}")
    print(f"{run.passed} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
