"""Rules about single cameras and single classes, beside those about all."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cllmh_node.clips.index import ClipIndex
from cllmh_node.recordings import RetentionError, Root
from cllmh_node.retention import Limits, Plan, Policy, plan, prune
from unit.plugins.spaces import with_space
from unit.recordings_folder import CLIP_BYTES, DAY_S, HOUR_S, NOW, Recordings


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


def make_plan(recordings: Recordings, policy: Policy, *, indexed: bool = True) -> Plan:
    with Root(recordings.root) as root:
        return plan(root, policy, recordings.index if indexed else None, NOW)


def reasons(recordings: Recordings, policy: Policy, *, indexed: bool = True) -> list[tuple[str, str]]:
    found = make_plan(recordings, policy, indexed=indexed)
    return [(deletion.clip.path, deletion.reason) for deletion in found.deletions]


def test_a_camera_over_its_quota_gives_before_the_others(recordings: Recordings) -> None:
    oldest = recordings.add(9 * HOUR_S, "continuous", "gate")
    greedy = [recordings.add(hours * HOUR_S, "object", "yard") for hours in (4, 3, 2)]
    policy = Policy(max_bytes=2 * CLIP_BYTES, cameras={"yard": Limits(max_bytes=2 * CLIP_BYTES)})
    assert reasons(recordings, policy) == [(greedy[0], "camera_quota"), (oldest, "quota")]


def test_a_cameras_quota_leaves_the_others_alone(recordings: Recordings) -> None:
    recordings.add(9 * HOUR_S, camera="gate")
    paths = [recordings.add(hours * HOUR_S, camera="yard") for hours in (4, 3)]
    policy = Policy(cameras={"yard": Limits(max_bytes=CLIP_BYTES), "attic": Limits(max_bytes=0)})
    for indexed in (True, False):
        assert reasons(recordings, policy, indexed=indexed) == [(paths[0], "camera_quota")]


def test_a_camera_over_its_quota_gives_its_lesser_class_first_and_never_what_is_pinned(recordings: Recordings) -> None:
    recordings.add(20 * HOUR_S, "pinned")
    old_object, motion = recordings.add(9 * HOUR_S, "object"), recordings.add(2 * HOUR_S, "motion")
    found = make_plan(recordings, Policy(cameras={"gate": Limits(max_bytes=CLIP_BYTES // 2)}))
    assert [deletion.clip.path for deletion in found.deletions] == [motion, old_object]
    assert found.short_bytes == CLIP_BYTES // 2


def test_a_class_over_its_quota_gives_its_oldest_over_all_cameras(recordings: Recordings) -> None:
    recordings.add(9 * HOUR_S, "object")
    paths = [recordings.add(hours * HOUR_S, camera=name) for hours, name in ((5, "yard"), (4, "gate"), (3, "yard"))]
    policy = Policy(classes={"motion": Limits(max_bytes=CLIP_BYTES)})
    assert reasons(recordings, policy) == [(path, "class_quota") for path in paths[:2]]


def test_what_one_quota_takes_counts_for_all_it_belongs_to(recordings: Recordings) -> None:
    first, second = (recordings.add(hours * HOUR_S) for hours in (5, 4))
    third = recordings.add(3 * HOUR_S, camera="yard")
    policy = Policy(
        max_bytes=CLIP_BYTES,
        cameras={"gate": Limits(max_bytes=CLIP_BYTES)},
        classes={"motion": Limits(max_bytes=2 * CLIP_BYTES)},
    )
    assert reasons(recordings, policy) == [(first, "camera_quota"), (second, "quota")]
    assert third not in dict(reasons(recordings, policy))


def test_cameras_and_classes_have_ages_of_their_own(recordings: Recordings) -> None:
    continuous = recordings.add(2 * DAY_S, "continuous")
    motion = recordings.add(2 * DAY_S - 60, "motion")
    yard = [recordings.add(age * HOUR_S, camera="yard") for age in (40, 2)]
    policy = Policy(
        max_age_s=30 * DAY_S,
        cameras={"yard": Limits(max_age_s=DAY_S)},
        classes={"continuous": Limits(max_age_s=DAY_S)},
    )
    assert reasons(recordings, policy) == [(yard[0], "camera_max_age"), (continuous, "class_max_age")]
    assert motion in recordings.files()


def test_a_class_may_go_long_before_the_disk_is_full_and_only_it(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings.add(9 * HOUR_S, "motion")
    continuous = [recordings.add(hours * HOUR_S, "continuous") for hours in (5, 4, 3)]
    with_space(monkeypatch, used_bytes=80_000, free_bytes=20_000)
    policy = Policy(max_used_percent=90, classes={"continuous": Limits(max_used_percent=60)})
    assert reasons(recordings, policy) == [(path, "class_free_space") for path in continuous[:2]]
    far = make_plan(recordings, Policy(max_used_percent=90, classes={"continuous": Limits(min_free_bytes=10**9)}))
    assert [deletion.clip.path for deletion in far.deletions] == continuous
    assert far.short_bytes == 0  # they may go for it; that there be so much room was not asked


def test_a_cameras_clips_may_go_before_the_disk_is_full(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = recordings.add(9 * HOUR_S, "continuous", "gate")
    own = recordings.add(1 * HOUR_S, "object", "attic")
    with_space(monkeypatch, used_bytes=90_000, free_bytes=10_000)
    policy = Policy(min_free_bytes=25_000, cameras={"attic": Limits(min_free_bytes=20_000)})
    assert reasons(recordings, policy) == [(own, "camera_free_space"), (other, "free_space")]


def test_files_that_the_policy_cannot_have_are_counted_like_bytes(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings.add(9 * HOUR_S)
    recordings.add(8 * HOUR_S, "pinned")
    with_space(monkeypatch, used_bytes=1000, free_bytes=99_000, inodes_used=905)
    found = make_plan(recordings, Policy(max_used_percent=90))
    assert (len(found.deletions), found.short_bytes, found.short_files) == (1, 0, 4)


def test_a_file_that_is_being_written_is_never_taken(recordings: Recordings) -> None:
    growing, closed = recordings.add(2 * DAY_S), recordings.add(1 * DAY_S)
    with closing(ClipIndex(recordings.index)) as index:
        index.clip_opened("gate", growing, "motion")
    policy = Policy(max_bytes=0, max_age_s=HOUR_S, cameras={"gate": Limits(max_bytes=0)}, min_age_s=0)
    assert [path for path, _ in reasons(recordings, policy)] == [closed]
    assert [deletion.clip.path for deletion in prune(recordings.root, policy, recordings.index, NOW).deleted] == [
        closed
    ]
    assert growing in recordings.files()


def test_without_an_index_what_was_written_to_just_now_is_not_taken(recordings: Recordings) -> None:
    recordings.add(9)
    closed = recordings.add(11)
    assert reasons(recordings, Policy(max_bytes=0, min_age_s=0), indexed=False) == [(closed, "quota")]


def test_without_an_index_rules_about_classes_are_refused(recordings: Recordings) -> None:
    recordings.add(9 * HOUR_S)
    for limits in (Limits(max_bytes=0), Limits(max_age_s=HOUR_S), Limits(min_free_bytes=10**18)):
        with pytest.raises(RetentionError, match="classes: motion: only the recorder's index knows"):
            make_plan(recordings, Policy(classes={"motion": limits}), indexed=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": {"pinned": Limits(max_bytes=0)}}, "'pinned': there are rules for continuous, motion, object only"),
        ({"cameras": {"gate": Limits(max_age_s=5)}}, "max_age_s of gate is 5, less than min_age_s, which is 60"),
        ({"classes": {"motion": Limits(max_age_s=5)}}, "max_age_s of motion is 5, less than min_age_s"),
    ],
)
def test_rules_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RetentionError, match=message):
        Policy(**values)
