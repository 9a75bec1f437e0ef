"""The account of a camera's time: each second is a clip, quiet, off, or a gap with its cause."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cllmh_node.clips.index import read_clips, read_gaps, read_open_clips, read_spans

Kind = Literal["gap", "clip", "off", "quiet", "unknown"]
"""What a stretch of time was; where several are true, the first of them in this order. Unknown should never be."""

_IN_ORDER: tuple[Kind, ...] = ("gap", "clip", "off", "quiet")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time of one camera that was all of one kind; times are unix seconds (UTC)."""

    camera: str
    start: float
    end: float
    kind: Kind
    cause: str | None = None
    """Of a gap, why."""


def read_coverage(
    index: Path, *, cameras: Sequence[str] = (), since: float | None = None, now: float
) -> Iterator[Stretch]:
    """Yield what each camera's time was, without a hole from its first row (or `since`) to its last row.

    The last row is at most some 5 s old while the recorder runs. A gap that lasts ends at the unix time `now`.
    """
    found: dict[str, list[Stretch]] = {}
    spans = list(read_spans(index, cameras=cameras, since=since))
    latest = {span.camera: span.end for span in spans}
    rows = [
        *(Stretch(span.camera, span.start, span.end, "off" if span.mode == "off" else "quiet") for span in spans),
        *(Stretch(c.camera, c.start, c.end, "clip") for c in read_clips(index, cameras=cameras, since=since)),
        *(
            Stretch(gap.camera, gap.start, now if gap.end is None else gap.end, "gap", gap.cause)
            for gap in read_gaps(index, cameras=cameras, since=since)
        ),
        *(
            Stretch(camera, start, latest.get(camera, start), "clip")
            for camera, start in read_open_clips(index, cameras=cameras)
        ),
    ]
    for row in rows:
        start = row.start if since is None else max(row.start, since)
        # To the millisecond, as a file is named: no slivers between rows.
        found.setdefault(row.camera, []).append(replace(row, start=round(start, 3), end=round(row.end, 3)))
    for camera in sorted(found):
        yield from _account(camera, found[camera])


def _account(camera: str, rows: Iterable[Stretch]) -> Iterator[Stretch]:
    """Cut overlapping stretches of one camera into stretches that follow each other."""
    edges = sorted(
        (at, change, row.kind, row.cause) for row in rows if row.end > row.start for at, change in _ends(row)
    )
    active: Counter[tuple[Kind, str | None]] = Counter()
    last: Stretch | None = None
    for number, (at, change, kind, cause) in enumerate(edges):
        active[kind, cause] += change
        if number + 1 == len(edges) or edges[number + 1][0] == at:
            continue
        now = [which for which, count in active.items() if count > 0]
        kind, cause = min(now, key=lambda which: _IN_ORDER.index(which[0]), default=("unknown", None))
        if last is not None and (last.kind, last.cause) == (kind, cause):
            last = replace(last, end=edges[number + 1][0])
            continue
        if last is not None:
            yield last
        last = Stretch(camera, at, edges[number + 1][0], kind, cause)
    if last is not None:
        yield last


def _ends(row: Stretch) -> tuple[tuple[float, int], tuple[float, int]]:
    return (row.start, 1), (row.end, -1)
