"""`cllmh-node prune` and the policy as a configuration file has it."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from cllmh_node.cli import main
from cllmh_node.config import ConfigError, load_config
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from cllmh_node.retention import Limits
from cllmh_node.retention_settings import LimitsConfig, RetentionConfig
from unit.recordings_folder import CLIP_BYTES, DAY_S, HOUR_S, Recordings


@pytest.fixture
def recordings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Recordings:
    caplog.set_level(logging.CRITICAL)
    return Recordings(tmp_path)


def configured(recordings: Recordings, retention: dict[str, Any]) -> Path:
    """Write a configuration; return its path."""
    folder = recordings.root.parent
    path = folder / "hdd_monitor.yml"
    document: dict[str, Any] = {"retention": {"max_used_percent": None, **retention}}
    document |= {"recordings_dir": str(recordings.root), "index": str(recordings.index)}
    path.write_text(yaml.safe_dump(document | {"spool_dir": str(folder / "spool")}))
    return path


def test_the_configured_rules_about_cameras_and_classes_are_followed(
    recordings: Recordings, capsys: pytest.CaptureFixture[str]
) -> None:
    yard = [recordings.add(hours * HOUR_S, camera="yard") for hours in (4, 3)]
    gate = recordings.add(5 * DAY_S, "continuous")
    rules = {"cameras": {"yard": {"max_bytes": CLIP_BYTES}}, "classes": {"continuous": {"max_age_s": DAY_S}}}
    path = configured(recordings, rules)
    assert main(["prune", "--config", str(path), "--check", "--json"]) == 0
    promised = json.loads(capsys.readouterr().out)
    assert main(["prune", "--config", str(path), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["plan"] == promised["plan"] == done["deleted"]
    assert {(line["path"], line["reason"]) for line in done["plan"]} == {
        (gate, "class_max_age"),
        (yard[0], "camera_quota"),
    }
    assert (promised["freed_inodes"], promised["short_files"]) == (0, 0)


def test_a_disk_that_is_not_mounted_is_refused(recordings: Recordings, capsys: pytest.CaptureFixture[str]) -> None:
    path = recordings.add(5 * DAY_S)
    place = str(recordings.root.parent)
    config = configured(recordings, {"max_bytes": 0})
    config.write_text(config.read_text() + f"mount_point: {place}\n")
    by_hand = ["--root", str(recordings.root), "--mount-point", place, "--max-bytes", "0"]
    for options in (by_hand, ["--config", str(config)]):
        for check in ([], ["--check"]):
            assert main(["prune", *options, *check]) == 1
            assert f"{place}: no disk is mounted here" in capsys.readouterr().err
    assert recordings.files() == {path}


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        (
            {"cameras": {"gate": {"max_byte": 5}}},
            r"retention\.cameras\.gate\.max_byte: unknown key; did you mean max_bytes",
        ),
        ({"cameras": {"gate": {"max_bytes": -1}}}, r"retention\.cameras\.gate\.max_bytes: -1: "),
        ({"classes": {"pinned": {}}}, r"retention\.classes\.pinned.*'continuous', 'motion' or 'object'"),
        ({"cameras": {"gate": {"max_age_s": 5}}}, r"cameras\.gate\.max_age_s must not be less than min_age_s"),
        ({"classes": {"motion": {"min_age_s": 5}}}, r"retention\.classes\.motion\.min_age_s: unknown key"),
        ({"max_bytes": True}, r"retention\.max_bytes: True: yes and no are no numbers"),
        ({"cameras": {"gate": {"max_used_percent": True}}}, r"gate\.max_used_percent: True: yes and no are no numbers"),
    ],
)
def test_rules_that_cannot_be_are_refused_by_their_place(
    recordings: Recordings, retention: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(configured(recordings, retention), HddMonitorConfig)


def test_the_configuration_has_every_rule_that_retention_knows() -> None:
    policy = RetentionConfig(cameras={"gate": LimitsConfig(max_bytes=5)}, classes={"motion": LimitsConfig()}).policy()
    assert (policy.max_used_percent, policy.min_age_s) == (90.0, 60.0)
    assert (policy.cameras, policy.classes) == ({"gate": Limits(max_bytes=5)}, {"motion": Limits()})
    assert list(LimitsConfig.model_fields) == list(Limits.__dataclass_fields__)
    assert set(RetentionConfig.model_fields) == set(type(policy).__dataclass_fields__)
