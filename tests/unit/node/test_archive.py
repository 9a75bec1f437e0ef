"""Clips reach the hub, are safe only when the hub has verified them, and nothing a node does can take them back."""

import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.archive import destination as destinations
from cllmh_node.archive import run
from cllmh_node.archive.rclone import ArchiveError, rclone_for
from cllmh_node.archive.run import archive, unsafe_clips
from cllmh_node.archive.settings import ArchiveConfig, BucketDestination
from cllmh_node.clips.index import ClipIndex, read_clips
from cllmh_node.config import ConfigError, load_config
from cllmh_node.recordings import MARKER
from fakes.fake_s3 import FakeS3
from unit.node.clip_hub import SITE, ClipHub
from unit.recordings_folder import HOUR_S, Recordings, safe_paths

needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="Debian's rclone is not installed here")
KEY = {"key_file": "/k", "known_hosts_file": "/h"}


@pytest.fixture
def site(tmp_path: Path) -> Recordings:
    """A node's recordings: a continuous, an old and a new motion clip, and one that is pinned."""
    recordings = Recordings(tmp_path / "node", now=time.time())
    for number, (age_s, importance) in enumerate(
        [(90.0, "motion"), (9 * HOUR_S, "motion"), (5 * HOUR_S, "continuous"), (2 * HOUR_S, "pinned")]
    ):
        path = recordings.add(age_s, importance, size_bytes=200_000)
        (recordings.root / path).write_bytes(os.urandom(200_000 + number))
    return recordings


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClipHub]:
    clip_hub = ClipHub(tmp_path / "hub")
    monkeypatch.setenv("PATH", clip_hub.path)
    yield clip_hub
    clip_hub.close()


def node(site: Recordings, **settings: Any) -> ArchiveConfig:
    """Return the node's configuration."""
    values: dict[str, Any] = {
        "recordings_dir": str(site.root),
        "index": str(site.index),
        "lock_file": str(site.index.parent / "archive.lock"),
        "send": "all",
        **settings,
    }
    if "bucket" not in values:
        values.setdefault("hub", {"host": "127.0.0.1", **KEY})
    return ArchiveConfig.model_validate(values)


def on_the_hub(site: Recordings) -> dict[str, bytes]:
    """Return what the hub should keep when it keeps all."""
    return {f"{SITE}.{path}": (site.root / path).read_bytes() for path in site.files()}


# --- what is sent ---


def test_the_most_important_goes_first_and_in_a_class_the_oldest(site: Recordings) -> None:
    order = [(clip.importance, round((site.now - clip.end) / HOUR_S)) for clip in unsafe_clips(node(site))]
    assert order == [("pinned", 2), ("motion", 9), ("motion", 0), ("continuous", 5)]


def test_important_leaves_out_what_was_recorded_without_a_reason(site: Recordings) -> None:
    assert {clip.importance for clip in unsafe_clips(node(site, send="important"))} == {"pinned", "motion"}
    pinned_only = node(site, send="important", important=["pinned"])
    assert {clip.importance for clip in unsafe_clips(pinned_only)} == {"pinned"}


def test_what_is_safe_is_not_sent_again(site: Recordings) -> None:
    path = next(unsafe_clips(node(site))).path
    ClipIndex(site.index).set_safe([path], site.now)
    assert path not in {clip.path for clip in unsafe_clips(node(site))}


def test_what_is_to_be_sent_is_found_without_looking_at_the_other_clips(site: Recordings) -> None:
    with closing(sqlite3.connect(site.index)) as connection:
        for statement in (run._SELECT_UNSAFE, run._COUNT_UNSAFE):
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("motion",))]
            assert len(steps) == 1
            assert steps[0].startswith("SEARCH clips USING INDEX clips_to_go (importance=? AND")


def test_a_wrong_path_of_the_index_is_an_error_and_makes_none(site: Recordings) -> None:
    wrong = site.index.with_name("indx.db")
    with pytest.raises(ArchiveError, match=r"indx\.db: the index of clips cannot be read: No such file"):
        archive(node(site, index=str(wrong)))
    assert not wrong.exists()


def test_a_lock_that_cannot_be_made_is_a_sentence(site: Recordings) -> None:
    lock = site.index.parent / "nowhere/archive.lock"
    with pytest.raises(ArchiveError, match=r"nowhere/archive\.lock: cannot be made or written: No such file"):
        archive(node(site, lock_file=str(lock)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_root_does_not_lock_the_service_out(site: Recordings) -> None:
    config = node(site)
    os.chown(site.index, 65534, 65534)
    with pytest.raises(ArchiveError, match="belongs to nobody, who must send its clips: runuser -u nobody"):
        archive(config)
    assert not config.lock_file.exists()


# --- the hub ---


@needs_rclone
def test_clips_arrive_at_the_hub_and_are_safe(site: Recordings, hub: ClipHub) -> None:
    (site.root / "gate/.secret").write_text("no clip")
    result = archive(node(site, hub=hub.destination(), batch_clips=3))
    assert (result.clips, result.failed, result.left, result.is_fault) == (4, 0, 0, False)
    assert hub.kept() == on_the_hub(site)
    assert safe_paths(site.index) == site.files()
    rows = {row.path: (row.camera, row.importance) for row in read_clips(hub.config.index)}
    lowered = {
        clip.path: "object" if clip.importance == "pinned" else clip.importance for clip in read_clips(site.index)
    }
    assert rows == {f"{SITE}.{path}": (f"{SITE}.gate", importance) for path, importance in lowered.items()}
    assert not list(hub.incoming.rglob("*.mp4"))


@needs_rclone
def test_a_cut_costs_the_clip_in_transfer_and_the_next_run_sends_the_rest(site: Recordings, hub: ClipHub) -> None:
    config = node(site, hub=hub.destination())
    hub.link.cut_after(500_000)
    result = archive(config)
    assert result.is_fault
    assert (result.clips, safe_paths(site.index)) == (0, set())
    hub.link.mend()
    assert archive(config).clips == 4
    assert hub.kept() == on_the_hub(site)
    total = sum(len(content) for content in on_the_hub(site).values())
    assert hub.link.sent_bytes < total + 200_000 + 100_000  # the clip that was cut, and what SSH itself says


@needs_rclone
def test_a_clip_that_was_damaged_on_its_way_is_not_safe_and_is_sent_anew(
    site: Recordings, hub: ClipHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = destinations.Hub.verified

    def damaged(self: Any, root: Path, clips: Any) -> frozenset[str]:
        file = hub.incoming / clips[0].path
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        return ask(self, root, clips)

    with monkeypatch.context() as patch:
        patch.setattr(destinations.Hub, "verified", damaged)
        result = archive(node(site, hub=hub.destination()))
    first = next(unsafe_clips(node(site))).path
    assert (result.clips, result.failed, result.left) == (3, 1, 1)
    assert safe_paths(site.index) == site.files() - {first}
    assert archive(node(site, hub=hub.destination())).clips == 1
    assert hub.kept() == on_the_hub(site)


@needs_rclone
def test_a_hub_with_another_key_gets_nothing(site: Recordings, hub: ClipHub) -> None:
    wrong = (hub.folder / "node.pub").read_text().rsplit(" ", 1)[0]
    (hub.folder / "known_hosts").write_text(f"[127.0.0.1]:{hub.link.port} {wrong}\n")
    result = archive(node(site, hub=hub.destination()))
    assert result.is_fault
    assert "mismatch" in (result.stopped or "")
    assert not list(hub.incoming.rglob("*.mp4"))


@needs_rclone
def test_no_key_and_no_secret_is_in_an_argument_or_left_on_the_disk(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p%ss=word\n")
    secret.chmod(0o600)
    bucket = BucketDestination(bucket="clips", prefix="site-a", access_key_id="id", secret_key_file=secret)
    with rclone_for(bucket, 60) as rclone:
        config = rclone.folder / "rclone.conf"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert "p%ss=word" in config.read_text()
        assert "word" not in rclone.remote
    assert not config.exists()


@needs_rclone
def test_a_hub_without_room_is_a_sentence(site: Recordings, hub: ClipHub) -> None:
    (hub.store / MARKER).unlink()
    result = archive(node(site, hub=hub.destination()))
    assert "the hub takes no clips now" in (result.stopped or "")
    assert "Is its disk mounted?" in (result.stopped or "")


# --- a bucket ---


def bucket_of(s3: FakeS3, tmp_path: Path, name: str = "clips") -> dict[str, Any]:
    secret = tmp_path / "secret"
    secret.write_text("s3kr%t/+\n")
    secret.chmod(0o600)
    return {
        "endpoint": s3.endpoint,
        "region": "us-east-1",
        "bucket": name,
        "prefix": SITE,
        "access_key_id": "id",
        "secret_key_file": str(secret),
    }


@needs_rclone
def test_clips_arrive_in_a_bucket_and_are_safe(site: Recordings, tmp_path: Path) -> None:
    with FakeS3("clips") as s3:
        result = archive(node(site, bucket=bucket_of(s3, tmp_path)))
        assert (result.clips, result.left) == (4, 0)
        assert s3.objects == {f"{SITE}/{path}": (site.root / path).read_bytes() for path in site.files()}
    assert safe_paths(site.index) == site.files()


@needs_rclone
def test_what_a_bucket_holds_otherwise_than_sent_is_not_safe(site: Recordings, tmp_path: Path) -> None:
    with FakeS3("clips") as s3:
        s3.is_damaging = True
        result = archive(node(site, bucket=bucket_of(s3, tmp_path)))
    assert (result.clips, result.left, result.is_fault) == (0, 4, True)
    assert safe_paths(site.index) == set()


@needs_rclone
def test_a_bucket_that_is_not_there_is_named_as_the_reason(
    site: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeS3("clips") as s3:
        result = archive(node(site, bucket=bucket_of(s3, tmp_path, "clops")))
    assert "NoSuchBucket" in (result.stopped or "")
    assert "s3kr" not in caplog.text + str(result)


# --- hours ---


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_hours_are_those_of_the_site(site: Recordings) -> None:
    night = {"days": ["mon-fri"], "from": "22:00", "to": "06:00"}
    config = node(site, timezone="Asia/Jakarta", hours=[night], max_bytes_per_s=50_000)
    assert config.rate_at(at("2026-11-25T15:30:00")) == (True, 50_000)  # 22:30 in Jakarta
    assert config.rate_at(at("2026-11-25T22:59:00")) == (True, 50_000)
    assert config.rate_at(at("2026-11-25T23:00:00")) == (False, None)
    assert config.rate_at(at("2026-11-28T16:00:00")) == (False, None)  # Saturday


def test_hours_may_have_a_limit_of_their_own(site: Recordings) -> None:
    hours = [{"from": "08:00", "to": "18:00", "max_bytes_per_s": 20_000}, {"from": "18:00", "to": "08:00"}]
    config = node(site, hours=hours)
    assert config.rate_at(at("2026-11-25T09:00:00")) == (True, 20_000)
    assert config.rate_at(at("2026-11-25T19:00:00")) == (True, None)


@needs_rclone
def test_outside_the_hours_nothing_is_sent_and_that_is_no_fault(site: Recordings, hub: ClipHub) -> None:
    minute = datetime.now(UTC)
    hours = [
        {"days": ["mon-sun"], "from": f"{(minute.hour + 2) % 24:02d}:00", "to": f"{(minute.hour + 3) % 24:02d}:00"}
    ]
    result = archive(node(site, hub=hub.destination(), hours=hours))
    assert (result.clips, result.left, result.is_fault) == (0, 4, False)
    assert hub.link.sent_bytes == 0


@needs_rclone
def test_a_run_ends_with_its_hours_in_the_midst_of_a_clip(site: Recordings, hub: ClipHub) -> None:
    config = node(site, hub=hub.destination(), max_bytes_per_s=20_000)
    result = archive(config, go_on=lambda: hub.link.sent_bytes < 40_000)
    assert result.stopped is not None
    assert not result.is_fault
    assert result.left == 4
    assert hub.link.sent_bytes < 400_000


# --- configuration ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"send": "none"}, "send"),
        ({"bucket": {"bucket": "clips", "prefix": "a", "access_key_id": "i", "secret_key_file": "/s"}}, "exactly one"),
        ({"hours": [{"from": 1080}]}, "time of day in quotes"),
        ({"hub": {"host": "-oProxyCommand=id", **KEY}}, "hub.host"),
        ({"timezone": "Asia/Jakartta"}, "timezone"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = tmp_path / "archive.yml"
    file.write_text(json.dumps({"send": "all", "hub": {"host": "hub", **KEY}, **change}))
    with pytest.raises(ConfigError, match=said):
        load_config(file, ArchiveConfig)


def test_two_runs_do_not_collide(site: Recordings) -> None:
    import fcntl

    config = node(site)
    with config.lock_file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ArchiveError, match="another run is at work"):
            archive(config)
