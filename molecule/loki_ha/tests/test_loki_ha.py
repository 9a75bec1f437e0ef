"""Three hosts are one Loki: a machine that dies during ingest costs neither a line nor an answer.

Figures go to build/loki_ha.json.
"""

import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import testinfra

testinfra_hosts = ["ssh://hub"]

ROOT = Path(__file__).parents[3]
LAB = os.environ.get("CLLMH_LAB", "0")
INGEST = Path(__file__).parents[1] / "files/ingest.py"
HOSTS = {"hub": f"10.77.{LAB}.10", "node-a": f"10.77.{LAB}.21", "node-b": f"10.77.{LAB}.31"}
FIRST, SECOND, AWAY, LONG_AWAY, NO_STORE = (f"{name}-{os.getpid()}" for name in ("1st", "2nd", "3rd", "4th", "5th"))
"""Tenants, others in each run."""
LINES, RATE = 60_000, 2000
PAGE_LINES = 5000
TIMEOUT_S = 90
"""While the store is away, Loki asks it again and again and answers after half a minute."""
FEW_LINES = 100
AWAY_HOURS, LONG_AWAY_HOURS = 47, 8 * 24
"""Hours within and beyond those of which the hosts ask each other (twice loki_out_of_order_hours)."""


def call(name, path, tenant="", body=None):
    """Return what the Loki of a host answers; OSError where it does not."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "X-Scope-OrgID": tenant}
    request = urllib.request.Request(f"http://{HOSTS[name]}:3100{path}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return answer.read()


def lines_of(name, tenant, since_s=3600):
    """Return how often the Loki of a host has each line of a tenant, read page by page."""
    found = Counter()
    start, end = time.time_ns() - since_s * 10**9, time.time_ns() + 10**9
    while True:
        asked = {"query": f'{{job="cctv",site="{tenant}"}}', "start": start, "end": end}
        asked |= {"limit": PAGE_LINES, "direction": "forward"}
        answer = json.loads(call(name, f"/loki/api/v1/query_range?{urllib.parse.urlencode(asked)}", tenant))
        values = [value for stream in answer["data"]["result"] for value in stream["values"]]
        found.update(int(line.split()[1]) for _, line in values)
        if len(values) < PAGE_LINES:
            return found
        # No two lines of a tenant have the same time.
        start = max(int(at) for at, _ in values) + 1


def wait_for(what, condition, timeout_s):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} after {timeout_s} s"
        time.sleep(0.5)


def is_ready(name):
    try:
        return call(name, "/ready").strip() == b"ready"
    except OSError:
        return False


def kill_machine(name):
    """Kill a machine at once, as when its power fails: without its first process, the kernel ends all others."""
    nspawn = Path(f"/var/lib/cllmh-lab/{LAB}/{name}/pid").read_text().strip()
    (first,) = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
    os.kill(int(first), signal.SIGKILL)


def boot_machines():
    """Boot the machines that are not up, with what they had on their disks."""
    lab = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "inventory/lab", "playbooks/lab.yml"]
    lab += ["-e", json.dumps({"lab_only": list(HOSTS)})]
    subprocess.run(lab, cwd=ROOT, check=True, timeout=180, capture_output=True)


@pytest.fixture(scope="module")
def machine(request):
    """Return a function that gives a machine by its name."""
    return lambda name: testinfra.get_host(f"ssh://{name}", ssh_config=request.config.option.ssh_config)


@pytest.fixture(scope="module")
def figures():
    """Keep what was measured, and write it down."""
    measured = {}
    yield measured
    (ROOT / "build/loki_ha.json").write_text(json.dumps(measured, indent=2) + "\n")


def progress(host, tenant):
    """Return what the ingest of a tenant has done so far."""
    answer = host.run(f"cat /root/{tenant}.json")
    return json.loads(answer.stdout) if answer.rc == 0 else {"taken": 0}


def ingest_while_one_dies(host, tenant, victim):
    """Write lines through the hub's nginx, kill a machine after a third of them, and return what that cost."""
    ssh_config = ROOT / "build/lab" / LAB / "ssh_config"
    subprocess.run(["scp", "-q", "-F", str(ssh_config), str(INGEST), "hub:/root/ingest.py"], check=True, timeout=30)
    arguments = f"{tenant} {LINES} {RATE} /root/{tenant}.json"
    host.check_output(f"systemd-run --unit ingest-{tenant} --collect python3 /root/ingest.py {arguments}")
    wait_for("no third of the lines", lambda: progress(host, tenant)["taken"] >= LINES // 3, 120)
    killed = time.time()
    kill_machine(victim)
    wait_for("still writing", lambda: host.run(f"systemctl is-active ingest-{tenant}").stdout.strip() != "active", 240)
    done = progress(host, tenant)
    asked = [question for question in done["asked"] if question["ended"] > killed]
    partial = [question for question in asked if question["found"] is None or question["found"] < question["taken"]]
    found = {name: lines_of(name, tenant) for name in HOSTS if name != victim}
    return {
        "killed": victim,
        "lines": LINES,
        "taken": done["taken"],
        "lost": {name: len(set(range(LINES)) - set(lines)) for name, lines in found.items()},
        "doubled": {name: sum(lines.values()) - len(lines) for name, lines in found.items()},
        "failed_attempts": done["failed"],
        "longest_batch_s": round(done["longest_s"], 2),
        "queries": len(asked),
        "queries_not_whole": len(partial),
        "not_whole_for_s": round(max((question["ended"] - killed for question in partial), default=0.0), 2),
        "longest_query_s": round(max(question["ended"] - question["began"] for question in asked), 2),
    }


def expect_no_cost(cost):
    assert cost["taken"] == LINES, cost
    assert set(cost["lost"].values()) == {0}, cost
    assert set(cost["doubled"].values()) == {0}, cost
    # The question that was on the way to the dead machine may go unanswered; not those that follow.
    assert cost["queries"] > 10, cost
    assert cost["queries_not_whole"] <= 1, cost


def test_the_three_know_each_other(host):
    for name in HOSTS:
        shards = json.loads(call(name, "/ring"))["shards"]
        assert {shard["id"]: shard["state"] for shard in shards} == dict.fromkeys(HOSTS, "ACTIVE")
    assert host.file("/etc/loki/s3.env").mode == 0o600


def test_the_hub_asks_at_its_own_address(host):
    assert host.socket("tcp://127.0.0.1:3100").is_listening
    assert host.check_output("curl -s -m 10 http://127.0.0.1:3100/ready").strip() == "ready"


def test_a_machine_that_dies_during_ingest_costs_no_line_and_no_answer(host, figures):
    figures["first"] = ingest_while_one_dies(host, FIRST, "node-a")
    expect_no_cost(figures["first"])


def test_a_machine_that_comes_back_takes_part_and_the_next_may_die(host, figures):
    boot_machines()
    wait_for("node-a is not ready", lambda: is_ready("node-a"), 120)
    figures["second"] = ingest_while_one_dies(host, SECOND, "node-b")
    expect_no_cost(figures["second"])
    for name in ("hub", "node-a"):
        assert lines_of(name, FIRST) == dict.fromkeys(range(LINES), 1)
    boot_machines()
    wait_for("node-b is not ready", lambda: is_ready("node-b"), 120)


def push_few(tenant, hours=0):
    """Push some lines of so many hours ago."""
    stream = {"job": "cctv", "site": tenant, "kind": "node", "severity": "info"}
    first_ns = time.time_ns() - hours * 3600 * 10**9
    values = [[str(first_ns + n), f"line {n}", {"id": f"{tenant}@{n}"}] for n in range(FEW_LINES)]
    call("hub", "/loki/api/v1/push", tenant, json.dumps({"streams": [{"stream": stream, "values": values}]}).encode())


def has_few(name, tenant, hours=0):
    """Say whether the Loki of a host has each of them once."""
    return lines_of(name, tenant, (hours + 1) * 3600) == dict.fromkeys(range(FEW_LINES), 1)


@pytest.mark.usefixtures("host")  # in the order of this file, as testinfra runs those with a host first
def test_lines_of_a_node_that_was_away_two_days_are_found_at_once():
    push_few(AWAY, AWAY_HOURS)
    assert [name for name in HOSTS if not has_few(name, AWAY, AWAY_HOURS)] == []


@pytest.mark.usefixtures("host")
def test_older_lines_are_found_when_their_chunk_is_in_the_store():
    push_few(LONG_AWAY, LONG_AWAY_HOURS)
    for name in HOSTS:
        call(name, "/flush", body=b"")
    for name in HOSTS:
        wait_for(f"{name} has no old lines", lambda name=name: has_few(name, LONG_AWAY, LONG_AWAY_HOURS), 60)


def test_while_the_store_is_away_new_lines_are_taken_and_found(host):
    host.check_output("systemctl stop s3")
    try:
        push_few(NO_STORE)
        assert has_few("hub", NO_STORE)
    finally:
        host.check_output("systemctl start s3")


def test_the_store_alone_has_every_line_once(host, machine):
    for name in HOSTS:
        # In order: it writes all that it has in memory into the store.
        call(name, "/ingester/shutdown?flush=true&terminate=false", body=b"")
        machine(name).check_output("systemctl stop loki && find /var/lib/loki -mindepth 1 -delete")
    for name in HOSTS:
        machine(name).check_output("systemctl start loki")
    for name in HOSTS:
        wait_for(f"{name} is not ready", lambda name=name: is_ready(name), 120)
    for tenant in (FIRST, SECOND):
        for name in HOSTS:
            assert lines_of(name, tenant) == dict.fromkeys(range(LINES), 1)
    for tenant, hours in ((NO_STORE, 0), (AWAY, AWAY_HOURS), (LONG_AWAY, LONG_AWAY_HOURS)):
        assert [name for name in HOSTS if not has_few(name, tenant, hours)] == []
    assert int(host.check_output("find /srv/s3/loki -type f | wc -l")) > 0
