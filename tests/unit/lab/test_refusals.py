"""Where a lab cannot be had, `make demo` says why in one sentence, and nothing has been made."""

import ipaddress
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unit.lab.scripts import ROOT, lab, machine


@pytest.fixture
def config(tmp_path):
    return {
        "index": 250, "dir": str(tmp_path / "lab"), "cache_dir": str(tmp_path / "cache"), "mirror": "",
        "ssh_key": str(tmp_path / "key"), "known_hosts": str(tmp_path / "known_hosts"), "bridge": "cllmh250",
        "network": "10.77.250.0/24", "gateway": "10.77.250.1", "machines": [],
    }  # fmt: skip


@pytest.fixture
def root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_without_root_it_says_so(config, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(lab.Refused, match="needs root"):
        lab.Lab(config).check()


@pytest.mark.usefixtures("root")
def test_without_room_on_the_disk_it_names_the_disk_and_what_is_needed(config, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(lab.shutil, "disk_usage", lambda _: usage._replace(free=1024**3))
    with pytest.raises(lab.Refused, match=r"1\.0 GiB free and the lab needs 6 GiB"):
        lab.Lab(config).check()


@pytest.mark.usefixtures("root")
def test_a_clash_with_a_network_names_both_and_the_way_out(config, monkeypatch):
    monkeypatch.setattr(lab, "ipv4_routes", lambda: iter([(ipaddress.ip_network("10.0.0.0/8"), "wg0")]))
    with pytest.raises(lab.Refused, match=r"10\.77\.250\.0/24 clashes with 10\.0\.0\.0/8 on wg0: choose .*CLLMH_LAB"):
        lab.Lab(config).check()


@pytest.mark.usefixtures("root")
def test_its_own_bridge_and_the_default_route_are_no_clash(config, monkeypatch):
    routes = [(ipaddress.ip_network("0.0.0.0/0"), "eth0"), (ipaddress.ip_network("10.77.250.0/24"), "cllmh250")]
    monkeypatch.setattr(lab, "ipv4_routes", lambda: iter(routes))
    assert lab.Lab(config).check() == []


@pytest.mark.usefixtures("root")
def test_checking_makes_nothing(config, monkeypatch, tmp_path):
    monkeypatch.setattr(lab, "ipv4_routes", lambda: iter([]))
    lab.Lab(config).check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", ["255", "-1", "one", "1.5"])
def test_a_wrong_lab_number_is_named(monkeypatch, number):
    monkeypatch.setenv("CLLMH_LAB", number)
    with pytest.raises(machine.Refused, match=f"CLLMH_LAB is '{number}'"):
        machine.lab_index()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "release",
    [
        'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"',
        'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian 11"',
    ],
)
def test_another_system_is_refused_by_its_name(monkeypatch, release):
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **kw: release if str(path) == "/etc/os-release" else real(path, **kw)
    )
    with pytest.raises(machine.Refused, match=r"needs Debian 12 or 13, and this is (Ubuntu 24\.04|Debian 11)"):
        machine.check(250)


def test_make_demo_ends_with_2_and_one_sentence():
    """As a user without rights would run it."""
    if os.geteuid() != 0:
        pytest.skip("drops root's rights, so it needs them")
    code = (
        "import os, sys; sys.path.insert(0, 'scripts'); sys.argv = ['demo.py', 'up']; import demo; "
        "os.setgid(65534); os.setuid(65534); sys.exit(demo.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert "run this as root" in done.stderr
