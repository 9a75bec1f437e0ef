"""Each machine has control groups of its own: in a shared tree a unit takes away the group of its namesake."""

import pytest

from unit.lab.scripts import lab


@pytest.fixture
def hierarchies(tmp_path, monkeypatch):
    unified, named = tmp_path / "unified", tmp_path / "systemd"
    unified.mkdir()
    named.mkdir()
    table = [
        f"cgroup2 {unified} cgroup2 rw,relatime 0 0",
        f"cgroup {named} cgroup rw,relatime,name=systemd 0 0",
        f"cgroup {tmp_path}/memory cgroup rw,relatime,memory 0 0",
        f"/dev/vda {tmp_path} ext4 rw 0 0",
    ]
    monkeypatch.setattr(lab, "mounts", lambda: [line.split() for line in table])
    return unified, named


@pytest.fixture
def machine(tmp_path):
    def make(name):
        of_lab = type("Lab", (), {"dir": tmp_path / "lab", "index": 7})
        return lab.Machine(of_lab, {"name": name, "release": "trixie", "addresses": ["10.77.7.10"]})

    return make


def test_machines_share_no_group(hierarchies, machine):
    unified, named = hierarchies
    assert set(machine("node-a").control_groups()) == {unified / "cllmh-lab-c7-node-a", named / "cllmh-lab-c7-node-a"}
    assert not set(machine("node-a").control_groups()) & set(machine("node-b").control_groups())


def test_what_a_machine_left_of_its_groups_goes_and_what_lives_stays(hierarchies, machine):
    for group in machine("node-a").control_groups() + machine("node-b").control_groups():
        (group / "payload/system.slice").mkdir(parents=True)
    (hierarchies[0] / "cllmh-lab-c7-node-a/supervisor").mkdir()
    (hierarchies[0] / "cllmh-lab-c7-node-a/supervisor/cgroup.procs").write_text("17")  # still in use
    machine("node-a").remove_control_groups()
    assert sorted(str(path.relative_to(hierarchies[0])) for path in hierarchies[0].rglob("*")) == [
        "cllmh-lab-c7-node-a", "cllmh-lab-c7-node-a/supervisor", "cllmh-lab-c7-node-a/supervisor/cgroup.procs",
        "cllmh-lab-c7-node-b", "cllmh-lab-c7-node-b/payload", "cllmh-lab-c7-node-b/payload/system.slice",
    ]  # fmt: skip
    assert [path.name for path in hierarchies[1].iterdir()] == ["cllmh-lab-c7-node-b"]
