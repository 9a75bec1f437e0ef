"""The module disk_prune: what Ansible gets back, and that a check writes nothing."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible.template import Templar, trust_as_template

from cllmh_node.recordings import MARKER
from unit.collection import imported
from unit.recordings_folder import CLIP_BYTES, DAY_S, HOUR_S, Recordings, tree_hash


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
    ansible: Ansible, disk_prune: ModuleType, recordings: Recordings
) -> None:
    recordings.add(HOUR_S)
    documented = set(yaml.safe_load(disk_prune.DOCUMENTATION)["options"])
    assert documented == set(disk_prune.ARGUMENTS)
    examples = yaml.safe_load(disk_prune.EXAMPLES)
    assert len(examples) >= 3
    for example in examples:
        arguments = example["cllmh.cctv.disk_prune"]
        assert set(arguments) <= documented
        places = {"path": str(recordings.root), "index": str(recordings.index)}
        rendered = {name: rendered_value(value) for name, value in arguments.items()}
        answer = ansible(check=True, **{**rendered, **{name: places[name] for name in places if name in arguments}})
        assert "failed" not in answer, example["name"]
        returned = set(yaml.safe_load(disk_prune.RETURN))
        assert returned <= set(answer)


def rendered_value(value: Any) -> Any:
    """Return an argument as a playbook would have it."""
    if not isinstance(value, str) or "{{" not in value:
        return value
    return Templar().template(trust_as_template(value))


def test_the_documented_defaults_are_the_modules(disk_prune: ModuleType) -> None:
    options = yaml.safe_load(disk_prune.DOCUMENTATION)["options"]
    for name, argument in disk_prune.ARGUMENTS.items():
        assert options[name].get("default") == argument.get("default"), name
        assert options[name]["type"] == argument["type"], name
        assert options[name].get("required", False) == argument.get("required", False), name
