"""The module disk_prune: what Ansible gets back, and that a check writes nothing."""

import fcntl
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from cllmh_node.recordings import MARKER, Space
from cllmh_node.retention_settings import RetentionConfig
from unit.collection import imported
from unit.plugins.examples import examples_of
from unit.recordings_folder import CLIP_BYTES, DAY_S, Recordings, tree_hash

GIB = 2**30

STORED = (  # days old, importance, camera, bytes
    (40, "object", "gate", 10 * GIB),
    (20, "object", "street", 20 * GIB),
    (10, "motion", "gate", GIB),
    (3, "object", "street", 40 * GIB),
    (2, "continuous", "gate", 450 * GIB),
)


@pytest.fixture(scope="module")
def disk_prune() -> Iterator[ModuleType]:
    """The module, imported as Ansible imports it from the collection."""
    with imported("disk_prune") as module:
        yield module


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


class Ansible:
    """Runs the module with arguments and returns its answer."""

    def __init__(self, module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        self.module = module
        self.capsys = capsys
        self.warnings = ""

    def __call__(self, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            self.module.main()
        printed = self.capsys.readouterr()
        # In one process with Ansible's controller side, warnings go straight to the display.
        self.warnings = printed.err
        answer: dict[str, Any] = json.loads(printed.out)
        return answer


@pytest.fixture
def ansible(disk_prune: ModuleType, capsys: pytest.CaptureFixture[str]) -> Ansible:
    return Ansible(disk_prune, capsys)


def test_a_check_tells_what_would_go_and_writes_nothing(ansible: Ansible, recordings: Recordings) -> None:
    old, _ = recordings.add(3 * DAY_S), recordings.add(2 * DAY_S)
    before = tree_hash(recordings.root.parent)
    answer = ansible(check=True, path=str(recordings.root), index=str(recordings.index), max_bytes=CLIP_BYTES)
    assert answer["changed"]
    assert [clip["path"] for clip in answer["deleted"]] == [old]
    assert answer["freed_bytes"] == 0
    assert answer["diff"] == {"before": f"{old}\n", "after": ""}
    assert tree_hash(recordings.root.parent) == before


def test_the_run_does_what_the_check_said_and_a_second_run_nothing(ansible: Ansible, recordings: Recordings) -> None:
    for days in (4, 3, 2):
        recordings.add(days * DAY_S)
    arguments = {"path": str(recordings.root), "index": str(recordings.index), "max_bytes": CLIP_BYTES}
    promised = ansible(check=True, **arguments)
    done = ansible(**arguments)
    assert done["deleted"] == promised["deleted"]
    assert (done["changed"], done["deleted_count"], done["deleted_bytes"]) == (True, 2, 2 * CLIP_BYTES)
    assert len(recordings.files()) == 1
    again = ansible(**arguments)
    assert (again["changed"], again["deleted"]) == (False, [])


def test_sizes_may_have_units(ansible: Ansible, recordings: Recordings) -> None:
    recordings.add(3 * DAY_S)
    recordings.add(2 * DAY_S)
    assert ansible(check=True, path=str(recordings.root), max_bytes="10K")["deleted_count"] == 1
    assert ansible(check=True, path=str(recordings.root), max_bytes="1G")["deleted_count"] == 0


@pytest.mark.parametrize("path", ["/", "/etc", "/var/log"])
def test_system_folders_are_refused(ansible: Ansible, path: str) -> None:
    answer = ansible(path=path, max_bytes=0)
    assert answer["failed"]
    assert "is a system folder" in answer["msg"]


def test_a_folder_without_the_marker_is_refused(ansible: Ansible, recordings: Recordings) -> None:
    recordings.add(3 * DAY_S)
    (recordings.root / MARKER).unlink()
    for check in (True, False):
        assert MARKER in ansible(check=check, path=str(recordings.root), max_bytes=0)["msg"]
    assert len(recordings.files()) == 1


def test_another_pruner_is_waited_for_and_then_named(ansible: Ansible, recordings: Recordings) -> None:
    recordings.add(3 * DAY_S)
    with (recordings.root / MARKER).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another pruner" in ansible(path=str(recordings.root), max_bytes=0, wait_s=0.1)["msg"]
    assert len(recordings.files()) == 1


def test_clips_that_cannot_be_deleted_fail_the_task_after_the_rest_is_done(
    ansible: Ansible, recordings: Recordings
) -> None:
    recordings.add_row("gate/../../escape.mp4", start=1, end=2)
    recordings.add(3 * DAY_S)
    answer = ansible(path=str(recordings.root), index=str(recordings.index), max_bytes=0)
    assert answer["failed"]
    assert "1 clips could not be deleted" in answer["msg"]
    assert answer["deleted_count"] == 1
    assert recordings.files() == set()


def test_what_the_policy_cannot_have_is_a_warning(ansible: Ansible, recordings: Recordings) -> None:
    recordings.add(3 * DAY_S, "pinned")
    answer = ansible(path=str(recordings.root), index=str(recordings.index), max_bytes=0)
    assert (answer["changed"], answer["short_bytes"]) == (False, CLIP_BYTES)
    assert "more were asked for than may be deleted" in " ".join(ansible.warnings.split())


def test_the_examples_of_the_documentation_work(
    ansible: Ansible, disk_prune: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    full = Space(100 * GIB, 95 * GIB, 5 * GIB, 95.0, 1000, 900)
    monkeypatch.setattr(disk_prune.Root, "space", lambda _: full)
    fell_to = []
    for number in itertools.count():
        recordings = Recordings(tmp_path / str(number), now)
        for days, importance, camera, size_bytes in STORED:
            path = recordings.add(days * DAY_S, importance, camera, 100)
            recordings.resize_row(path, size_bytes)
        places = {"path": recordings.root, "index": recordings.index, "mount_point": mount_of(tmp_path)}
        examples = list(examples_of(disk_prune, {name: str(place) for name, place in places.items()}))
        if number == len(examples):
            break
        name, arguments = examples[number]
        before = tree_hash(recordings.root.parent)
        promised = ansible(check=True, **arguments)
        assert tree_hash(recordings.root.parent) == before, name
        done = ansible(**arguments)
        assert "failed" not in done, name
        assert done["plan"] == promised["plan"] == done["deleted"], name
        assert set(yaml.safe_load(disk_prune.RETURN)) <= set(done), name
        assert recordings.files().isdisjoint(clip["path"] for clip in done["deleted"]), name
        fell_to.append({(clip["importance"], clip["reason"]) for clip in done["deleted"]})
    assert fell_to == [
        {("continuous", "free_space")},
        {("object", "max_age"), ("continuous", "quota")},
        {("object", "camera_quota"), ("motion", "class_max_age"), ("continuous", "class_free_space")},
        {("unknown", "free_space")},
    ]


def mount_of(path: Path) -> Path:
    """Return where the disk of a path is mounted."""
    return next(folder for folder in (path, *path.parents) if folder.is_mount())


def test_the_disk_that_is_expected_must_be_mounted(ansible: Ansible, recordings: Recordings) -> None:
    recordings.add(3 * DAY_S)
    for check in (True, False):
        answer = ansible(check=check, path=str(recordings.root), mount_point=str(recordings.root.parent), max_bytes=0)
        assert "no disk is mounted here" in answer["msg"]
    assert len(recordings.files()) == 1


def test_rules_about_cameras_and_classes_are_followed(ansible: Ansible, recordings: Recordings) -> None:
    yard = [recordings.add(days * DAY_S, camera="yard") for days in (4, 3)]
    gate = recordings.add(5 * DAY_S, "continuous", "gate")
    answer = ansible(
        path=str(recordings.root),
        index=str(recordings.index),
        cameras={"yard": {"max_bytes": "10K"}, "attic": {"max_age_s": 60}},
        classes={"continuous": {"max_bytes": 0}, "object": {}},
    )
    assert [(clip["path"], clip["reason"]) for clip in answer["deleted"]] == [
        (yard[0], "camera_quota"),
        (gate, "class_quota"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": {"gate": {"max_byte": 5}}}, "cameras: gate: max_byte. Supported parameters include"),
        ({"cameras": {"gate": {"max_bytes": "much"}}}, "cameras: gate: "),
        ({"cameras": {"gate": 5}}, "cameras: gate: 5: must be a dictionary of min_free_bytes"),
        ({"cameras": {"gate": {"max_age_s": -5}}}, "max_age_s is -5.0, it must be 0 or more"),
        ({"classes": {"pinned": {"max_bytes": 5}}}, "pinned"),
        ({"classes": {"motion": {"max_bytes": 5}}}, "only the recorder's index knows which class a clip has"),
    ],
)
def test_rules_that_cannot_be_are_refused(
    ansible: Ansible, recordings: Recordings, arguments: dict[str, Any], message: str
) -> None:
    recordings.add(3 * DAY_S)
    assert message in ansible(path=str(recordings.root), **arguments)["msg"]
    assert len(recordings.files()) == 1


def test_the_documented_rules_of_a_class_are_the_modules(disk_prune: ModuleType) -> None:
    documented = yaml.safe_load(disk_prune.DOCUMENTATION)["options"]["classes"]["suboptions"]
    accepted = disk_prune.ARGUMENTS["classes"]["options"]
    assert list(documented) == list(accepted)
    for name, options in accepted.items():
        types = {rule: rule_options["type"] for rule, rule_options in documented[name]["suboptions"].items()}
        assert types == {rule: rule_options["type"] for rule, rule_options in options["options"].items()}


def test_the_documented_defaults_are_the_modules(disk_prune: ModuleType) -> None:
    options = yaml.safe_load(disk_prune.DOCUMENTATION)["options"]
    for name, argument in disk_prune.ARGUMENTS.items():
        assert options[name].get("default") == argument.get("default"), name
        assert options[name]["type"] == argument["type"], name
        assert options[name].get("required", False) == argument.get("required", False), name


def test_the_playbook_hands_on_every_rule_of_a_nodes_policy(disk_prune: ModuleType) -> None:
    (play,) = yaml.safe_load((Path(__file__).parents[3] / "playbooks" / "prune.yml").read_text(encoding="utf-8"))
    (handed_on,) = [task["cllmh.cctv.disk_prune"] for task in play["tasks"] if "cllmh.cctv.disk_prune" in task]
    assert set(handed_on) == set(disk_prune.ARGUMENTS) - {"wait_s"}
    assert set(handed_on) - {"path", "mount_point", "index"} == set(RetentionConfig.model_fields)
