"""What holds of every plan, for policies and recordings drawn by chance."""

import random
from contextlib import closing
from pathlib import Path

import pytest

from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.clips.naming import clip_path
from cllmh_node.recordings import Clip, Root, Space
from cllmh_node.retention import Limits, Plan, Policy, plan
from cllmh_node.retention_policy import IMPORTANCE_ORDER, Scope
from unit.recordings_folder import HOUR_S, NOW, Recordings

CAMERAS = ("attic", "gate", "yard")


def drawn_limits(chance: random.Random, total_bytes: int) -> Limits:
    """Return one to three rules, some of which ask for much, some for nothing."""
    rules = {
        "min_free_bytes": chance.randrange(2 * total_bytes),
        "max_used_percent": chance.uniform(1, 100),
        "max_bytes": chance.randrange(total_bytes),
        "max_age_s": chance.uniform(1, 60) * HOUR_S,
    }
    return Limits(**{name: rules[name] for name in chance.sample(sorted(rules), chance.randint(1, 3))})


class Drawn:
    """Recordings and a policy; what is stored is in `clips` by path, with whether it is safe."""

    def __init__(self, folder: Path, seed: int) -> None:
        chance = random.Random(seed)
        self.recordings = Recordings(folder)
        self.clips: dict[str, tuple[ClipRow, bool]] = {}
        with closing(ClipIndex(self.recordings.index)) as index:
            for _ in range(chance.randint(1, 60)):
                camera, end = chance.choice(CAMERAS), NOW - chance.uniform(0, 60) * HOUR_S
                importance = chance.choice(("pinned", *IMPORTANCE_ORDER))
                row = ClipRow(camera, str(clip_path(camera, end - 10)), end - 10, end, chance.randint(1, 9), importance)
                self.clips[row.path] = (row, chance.random() < 0.3)
                index.add_clip(row)
            index.set_safe([path for path, (_, is_safe) in self.clips.items() if is_safe], NOW)
            self.open = chance.choice(list(self.clips))
            index.clip_opened("gate", self.open, "motion")
        stored = self.total(Scope())
        free = chance.randint(1, stored)
        self.space = Space(stored + free, stored, free, 100 * stored / (stored + free), 100, chance.randint(0, 100))
        overall = drawn_limits(chance, stored)
        self.policy = Policy(
            *(getattr(overall, name) for name in Limits.__dataclass_fields__),
            min_age_s=chance.choice((60.0, HOUR_S)),
            cameras={name: drawn_limits(chance, stored) for name in CAMERAS if chance.random() < 0.4},
            classes={name: drawn_limits(chance, stored) for name in IMPORTANCE_ORDER if chance.random() < 0.4},
        )

    def planned(self, monkeypatch: pytest.MonkeyPatch) -> Plan:
        monkeypatch.setattr(Space, "of", lambda _: self.space)
        with Root(self.recordings.root) as root:
            return plan(root, self.policy, self.recordings.index, NOW)

    def total(self, scope: Scope) -> int:
        return sum(row.size_bytes for row, _ in self.clips.values() if scope.has(as_clip(row)))

    def may_go(self, row: ClipRow) -> bool:
        is_old = row.end < NOW - self.policy.min_age_s
        return row.importance != "pinned" and row.path != self.open and is_old

    def turn(self, row: ClipRow) -> tuple[int, bool, float]:
        """Return what puts a clip before or after others of its scope."""
        return IMPORTANCE_ORDER.index(row.importance), not self.clips[row.path][1], row.start


def as_clip(row: ClipRow) -> Clip:
    return Clip(row.path, row.start, row.end, row.size_bytes, row.importance)


@pytest.mark.parametrize("seed", range(30))
def test_every_plan_keeps_the_order_meets_the_policy_and_takes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    drawn = Drawn(tmp_path, seed)
    found = drawn.planned(monkeypatch)
    gone = [deletion.clip.path for deletion in found.deletions]
    rows = {path: row for path, (row, _) in drawn.clips.items()}
    assert len(set(gone)) == len(gone)
    assert all(drawn.may_go(rows[path]) for path in gone)
    left = [row for path, row in rows.items() if path not in gone and drawn.may_go(row)]
    for scope, limits in drawn.policy.scopes():
        own_left = [row for row in left if scope.has(as_clip(row))]
        for rule in ("max_age", "quota", "free_space"):
            taken = [d.clip.path for d in found.deletions if d.reason == scope.reason(rule)]
            turns = [drawn.turn(rows[path]) for path in taken if scope.has(as_clip(rows[path]))]
            assert turns == sorted(turns)
            if rule != "max_age" and turns:  # what is left had its turn later
                assert all(drawn.turn(row) > turns[-1] for row in own_left)
        if limits.max_age_s is not None:
            assert all(row.end >= NOW - limits.max_age_s for row in own_left)
        if limits.max_bytes is not None:
            kept = drawn.total(scope) - sum(rows[path].size_bytes for path in gone if scope.has(as_clip(rows[path])))
            assert kept <= limits.max_bytes or not own_left
    enough = drawn.policy.min_free_bytes or 0
    freed = sum(rows[path].size_bytes for path in gone)
    if found.short_bytes or found.short_files:  # in some scope all is gone that may go
        assert any(not any(scope.has(as_clip(row)) for row in left) for scope, _ in drawn.policy.scopes())
    else:
        assert drawn.space.free_bytes + freed >= enough
    if gone and found.deletions[-1].reason == "free_space" and drawn.policy.max_used_percent is None:
        assert drawn.space.free_bytes + freed - rows[gone[-1]].size_bytes < enough  # the last one was needed
