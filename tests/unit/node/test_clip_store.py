"""The hub's store of clips: what it takes from a node, keeps out of its reach, and lets go."""

import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.archive.claim import Claim
from cllmh_node.clip_store import room
from cllmh_node.clip_store.door import RefusedError, serve
from cllmh_node.clip_store.keep import Keeper
from cllmh_node.clip_store.room import make_room, prune_store
from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.clips.index import read_clips
from cllmh_node.clips.naming import clip_start
from cllmh_node.recordings import MARKER, RetentionError
from unit.mounts import needs_root, tmpfs
from unit.node.clip_hub import SITE


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
