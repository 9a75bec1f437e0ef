"""The gate passes what is well, names what is not, and lets nothing else through."""

import subprocess
from pathlib import Path

import pytest

testinfra_hosts = ["ssh://node-a"]

ROOT = Path(__file__).resolve().parents[3]


def gate(*arguments):
    """Ask the gate once, without patience; returns the finished process."""
    command = [
        ROOT / ".venv/bin/ansible-playbook", "-i", ROOT / "inventory/lab", ROOT / "molecule/site_health/converge.yml",
        "-e", "site_health_retries=1", "-e", "site_health_delay_s=1", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def stopped(host):
    """Stop a unit for the length of a test."""
    units = []

    def stop(unit):
        host.check_output(f"systemctl stop {unit}")
        units.append(unit)

    yield stop
    for unit in units:
        host.check_output(f"systemctl start {unit}")


def test_a_recorder_that_does_not_run_stops_the_rollout(host, stopped):
    stopped("cllmh-recorder")
    host.check_output("rm -f /var/lib/cllmh/recorder/status.json")
    answer = gate("--limit", "node-a")
    assert answer.returncode != 0
    assert "Ask recorder and disk" in answer.stdout


def test_a_node_whose_logs_do_not_leave_stops_the_rollout(stopped):
    stopped("syslog-ng")
    answer = gate("--limit", "node-a")
    assert answer.returncode != 0
    assert "Find the marked line at the hub" in answer.stdout
