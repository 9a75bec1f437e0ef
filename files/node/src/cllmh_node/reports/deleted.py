"""What retention deleted, told to log and hub alike by HDD monitor, recorder and `cllmh-node prune`."""

import logging
from itertools import groupby

from cllmh_node.log import event
from cllmh_node.reports.spool import Spool
from cllmh_node.retention import Outcome

logger = logging.getLogger(__name__)

_PATHS_PER_REPORT = 500


def report_deleted(spool: Spool | None, outcome: Outcome) -> None:
    """Tell log and hub what was deleted and what could not be; the log alone when there is no spool."""
    deletions = sorted(outcome.deleted, key=lambda deletion: deletion.reason)
    for reason, group in groupby(deletions, key=lambda deletion: deletion.reason):
        clips = [deletion.clip for deletion in group]
        paths = [clip.path for clip in clips]
        size_bytes = sum(clip.size_bytes for clip in clips)
        event(logger, "clips_deleted", count=len(paths), reason=reason, size_bytes=size_bytes)
        _put_deleted(spool, paths, reason)
    _put_deleted(spool, list(outcome.missing), "missing")
    if outcome.failed:
        path, text = outcome.failed[0]
        event(logger, "clips_not_deleted", level=logging.ERROR, count=len(outcome.failed), path=path, text=text)
    if outcome.index_problem:
        event(logger, "prune_failed", level=logging.ERROR, text=outcome.index_problem)


def _put_deleted(spool: Spool | None, paths: list[str], reason: str) -> None:
    """Spool `clips_deleted` in pieces of a size that the hub takes."""
    if spool is None:
        return
    for first in range(0, len(paths), _PATHS_PER_REPORT):
        spool.put("clips_deleted", {"paths": paths[first : first + _PATHS_PER_REPORT], "reason": reason})
