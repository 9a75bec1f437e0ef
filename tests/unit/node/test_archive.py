"""Clips reach the hub, are safe only when the hub has verified them, and nothing a node does can take them back."""

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.archive import destination as destinations
from cllmh_node.archive import run
from cllmh_node.archive.claim import Claim
from cllmh_node.archive.rclone import ArchiveError, rclone_for
from cllmh_node.archive.run import archive, unsafe_clips
from cllmh_node.archive.settings import ArchiveConfig, BucketDestination
from cllmh_node.clip_store import room
from cllmh_node.clip_store.door import RefusedError, serve
from cllmh_node.clip_store.keep import Keeper
from cllmh_node.clip_store.room import make_room, prune_store
from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.clips.index import ClipIndex, read_clips
from cllmh_node.clips.naming import clip_start
from cllmh_node.config import ConfigError, load_config
from cllmh_node.recordings import MARKER, RetentionError
from fakes.fake_s3 import FakeS3
from unit.mounts import needs_root, tmpfs
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


# --- the hub's store ---


@pytest.fixture
def store(tmp_path: Path) -> ClipStoreConfig:
    config = ClipStoreConfig(clips_dir=tmp_path / "clips", state_dir=tmp_path / "state")
    config.incoming_dir(SITE).mkdir(parents=True)
    (config.clips_dir / MARKER).touch()
    return config


def places(store: ClipStoreConfig) -> dict[str, Any]:
    return {"clips_dir": str(store.clips_dir), "state_dir": str(store.state_dir)}


def at_the_door(
    settings: dict[str, Any], folder: Path, asked: str, said: str = "", env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Do what sshd does for a node that asks for something."""
    config = folder / "clip_store.yml"
    config.write_text(json.dumps(settings))
    return subprocess.run(
        [sys.executable, "-m", "cllmh_node", "clip-store", "door", "--config", str(config), "--site", SITE],
        input=said,
        env={**os.environ, **(env or {}), "SSH_ORIGINAL_COMMAND": asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


PATH = "gate/2026-11-22/20261122T030405.678Z.mp4"


def claim(content: bytes, path: str = PATH, importance: str = "motion", **changes: Any) -> Claim:
    start = clip_start(path.rsplit("/", 1)[1]) or 0.0
    return Claim.model_validate(
        {
            "path": path,
            "sha256": hashlib.sha256(content).hexdigest(),
            "start": start,
            "end": start + 10,
            "importance": importance,
            **changes,
        }
    )


def sent(store: ClipStoreConfig, content: bytes, path: str = PATH) -> Path:
    file = store.incoming_dir(SITE) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_a_clip_that_is_kept_is_out_of_its_nodes_reach(store: ClipStoreConfig) -> None:
    file = sent(store, b"video")
    assert Keeper(store, SITE).keep(claim(b"video")).verdict == "kept"
    assert not file.exists()
    assert (store.clips_dir / f"{SITE}.{PATH}").read_bytes() == b"video"


def test_a_lost_answer_can_be_asked_for_again(store: ClipStoreConfig) -> None:
    sent(store, b"video")
    assert [Keeper(store, SITE).keep(claim(b"video")).verdict for _ in range(2)] == ["kept", "kept"]
    assert len(list(read_clips(store.index))) == 1


def test_a_kept_clip_cannot_be_overwritten(store: ClipStoreConfig) -> None:
    sent(store, b"video")
    Keeper(store, SITE).keep(claim(b"video"))
    sent(store, b"other")
    assert Keeper(store, SITE).keep(claim(b"other")).verdict == "taken"
    assert (store.clips_dir / f"{SITE}.{PATH}").read_bytes() == b"video"


def test_half_a_clip_is_not_kept(store: ClipStoreConfig) -> None:
    file = sent(store, b"vid")
    assert Keeper(store, SITE).keep(claim(b"video")).verdict == "differs"
    assert not file.exists()
    assert Keeper(store, SITE).keep(claim(b"video")).verdict == "missing"


def test_one_site_cannot_have_the_clip_of_another(store: ClipStoreConfig) -> None:
    sent(store, b"video")
    assert Keeper(store, "site-b").keep(claim(b"video")).verdict == "missing"


@pytest.mark.parametrize(
    ("path", "times"),
    [
        (PATH, {"end": 1e300}),
        (PATH, {"start": 4e9, "end": 4e9}),
        (PATH, {"end": 1.0}),
        ("gate/2099-11-22/20991122T030405.678Z.mp4", {}),
        ("gate/2026-11-21/20261122T030405.678Z.mp4", {}),
        ("gate/2026-99-99/20269999T030405.678Z.mp4", {}),
    ],
)
def test_a_node_cannot_say_that_its_clips_are_to_be_kept_for_ever(
    store: ClipStoreConfig, path: str, times: dict[str, float]
) -> None:
    sent(store, b"video", path)
    assert Keeper(store, SITE).keep(claim(b"video", path, **times)).verdict == "refused"
    assert list(read_clips(store.index)) == []


@pytest.mark.parametrize(("may_pin", "importance"), [(False, "object"), (True, "pinned")])
def test_a_node_pins_on_the_hub_only_if_the_hub_lets_it(store: ClipStoreConfig, may_pin: bool, importance: str) -> None:
    sent(store, b"video")
    Keeper(store.model_copy(update={"may_pin": may_pin}), SITE).keep(claim(b"video", importance="pinned"))
    assert [row.importance for row in read_clips(store.index)] == [importance]


def test_a_claim_for_what_was_never_sent_leaves_nothing_behind(store: ClipStoreConfig) -> None:
    assert Keeper(store, SITE).keep(claim(b"video")).verdict == "missing"
    sent(store, b"vid")
    assert Keeper(store, SITE).keep(claim(b"video")).verdict == "differs"
    assert {path.name for path in store.clips_dir.iterdir()} == {MARKER, ".incoming"}


def test_a_hub_that_dies_while_it_keeps_a_clip_knows_of_every_file(
    store: ClipStoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(store, b"video")

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "unlink", die)  # the clip is in its place by then
    with pytest.raises(KeyboardInterrupt):
        Keeper(store, SITE).keep(claim(b"video"))
    assert [row.path for row in read_clips(store.index)] == [f"{SITE}.{PATH}"]


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_leads_nowhere(store: ClipStoreConfig, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside" / PATH
    outside.parent.mkdir(parents=True)
    outside.write_bytes(b"video")
    file = store.incoming_dir(SITE) / PATH
    if link == "file":
        file.parent.mkdir(parents=True)
        file.symlink_to(outside)
    else:
        (store.incoming_dir(SITE) / "gate").symlink_to(tmp_path / "outside/gate")
    with pytest.raises(OSError, match=r"(symbolic links|Not a directory)"):
        Keeper(store, SITE).keep(claim(b"video"))
    assert outside.exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "this account takes clips by SFTP"),
        ("cat /etc/passwd", "this account takes clips by SFTP"),
        ("keep; id", "this account takes clips by SFTP"),
        ("/bin/sh", "this account takes clips by SFTP"),
    ],
)
def test_the_door_knows_nothing_else(store: ClipStoreConfig, asked: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        serve(store, SITE, asked)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense\n", "Invalid JSON"),
        (claim(b"").model_copy(update={"path": "../../etc/passwd"}).model_dump_json(), "path"),
        (claim(b"").model_copy(update={"path": f".{PATH}"}).model_dump_json(), "path"),
        (claim(b"").model_copy(update={"importance": "gold"}).model_dump_json(warnings=False), "importance"),
        ('{"path": "' + "a" * 5000 + '"}', "longer than 4096"),
    ],
)
def test_a_hostile_claim_is_refused_with_its_reason(
    store: ClipStoreConfig, tmp_path: Path, line: str, said: str
) -> None:
    done = at_the_door(places(store), tmp_path, "keep", line)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_the_store_keeps_the_important_longer(store: ClipStoreConfig) -> None:
    keeper = Keeper(store, SITE)
    for number, importance in enumerate(["motion", "continuous", "object"]):
        path = f"gate/2026-11-2{number}/2026112{number}T030405.678Z.mp4"
        sent(store, b"v" * 1000, path)
        keeper.keep(claim(b"v" * 1000, path, importance))
    quota = store.model_copy(update={"retention": store.retention.model_copy(update={"max_bytes": 1000})})
    prune_store(quota, time.time())
    assert [row.importance for row in read_clips(store.index)] == ["object"]


def test_what_was_never_verified_goes_after_a_week(store: ClipStoreConfig) -> None:
    file = sent(store, b"half")
    os.utime(file, (0, 0))  # the clip's own time, which rclone sets
    prune_store(store, time.time())
    assert file.exists()
    prune_store(store, time.time() + 8 * 86400)
    assert not file.exists()
    assert store.incoming_dir(SITE).exists()


def test_on_a_full_disk_what_was_left_unverified_goes_first_but_not_what_is_under_way(
    store: ClipStoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(store, b"video")
    Keeper(store, SITE).keep(claim(b"video"))
    left = sent(store, b"half")
    monkeypatch.setattr(room, "is_below_floor", lambda *_: True)
    prune_store(store, time.time() + 5 * 3600)
    assert left.exists()
    prune_store(store, time.time() + 7 * 3600)
    assert not left.exists()
    assert (store.clips_dir / f"{SITE}.{PATH}").exists()


def test_what_a_site_sends_and_leaves_unverified_is_limited(store: ClipStoreConfig) -> None:
    limited = store.model_copy(update={"incoming_max_bytes": 1_000_000})
    files: list[Path] = []
    for day in (1, 2, 3):
        file = sent(store, b"v" * 400_000, f"gate/2026-11-2{day}/2026112{day}T030405.678Z.mp4")
        while files and file.stat().st_ctime_ns <= files[-1].stat().st_ctime_ns:
            file.touch()  # no finer than the kernel's tick
        files.append(file)
    other = store.incoming_dir("site-b") / PATH
    other.parent.mkdir(parents=True)
    other.write_bytes(b"v" * 400_000)
    prune_store(limited, time.time())
    assert [file.exists() for file in (*files, other)] == [False, True, True, True]


def test_one_file_cannot_be_larger_than_what_a_site_may_send(store: ClipStoreConfig, tmp_path: Path) -> None:
    rclone = tmp_path / "rclone"
    rclone.write_text('#!/bin/sh\nfor folder; do :; done\nhead -c 3000000 /dev/zero > "$folder/endless"\n')
    rclone.chmod(0o755)
    done = at_the_door(
        {**places(store), "incoming_max_bytes": 1_000_000, "retention": {"max_used_percent": 100}},
        tmp_path,
        "internal-sftp",
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (store.incoming_dir(SITE) / "endless").stat().st_size == 1_000_000, done.stderr


@needs_root
def test_a_store_whose_disk_is_not_mounted_takes_and_deletes_nothing(store: ClipStoreConfig) -> None:
    mount_point = store.clips_dir
    config = store.model_copy(update={"mount_point": mount_point})
    file = sent(store, b"video")
    assert "no disk is mounted here" in make_room(config).reason
    for refused in (lambda: Keeper(config, SITE), lambda: prune_store(config, time.time() + 8 * 86400)):
        with pytest.raises(RetentionError, match="no disk is mounted here"):
            refused()
    with pytest.raises(RetentionError, match="no disk is mounted here"):
        serve(config, SITE, "internal-sftp")
    assert file.exists()
    with tmpfs(mount_point):
        (mount_point / MARKER).touch()
        assert prune_store(config, time.time()).deleted == ()


# --- the store's index ---


@pytest.mark.parametrize("loss", ["deleted", "damaged"])
def test_an_index_that_is_lost_is_built_from_the_files(
    store: ClipStoreConfig, caplog: pytest.LogCaptureFixture, loss: str
) -> None:
    sent(store, b"video")
    with closing(Keeper(store, SITE)) as keeper:
        keeper.keep(claim(b"video"))
    store.index.unlink()
    if loss == "damaged":
        store.index.write_bytes(b"no index" * 1000)
        assert "index of clips cannot be used" in make_room(store).reason
    prune_store(store, time.time())
    assert [(row.camera, row.path, row.start) for row in read_clips(store.index)] == [
        (f"{SITE}.gate", f"{SITE}.{PATH}", claim(b"").start)
    ]
    assert ("index_damaged" in caplog.text) == (loss == "damaged")
    assert make_room(store).has_room
    gone = store.model_copy(update={"retention": store.retention.model_copy(update={"max_age_s": 3600.0})})
    prune_store(gone, time.time() + 2 * 86400)
    assert not (store.clips_dir / f"{SITE}.{PATH}").exists()


@pytest.mark.parametrize("asked", ["keep", "room"])
def test_a_damaged_index_is_a_sentence_at_the_door(store: ClipStoreConfig, tmp_path: Path, asked: str) -> None:
    store.state_dir.mkdir()
    store.index.write_bytes(b"no index" * 1000)
    done = at_the_door(places(store), tmp_path, asked, claim(b"video").model_dump_json())
    assert "index.db: the index of clips cannot be used" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert '"has_room":true' not in done.stdout


def test_an_unmounted_store_takes_nothing(store: ClipStoreConfig) -> None:
    (store.clips_dir / MARKER).unlink()
    assert not make_room(store).has_room
    with pytest.raises(RetentionError, match="mounted"):
        Keeper(store, SITE)


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
