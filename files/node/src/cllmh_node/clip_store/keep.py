"""Taking in what a node has sent: compared by SHA-256, put where no node can reach it, and noted in the index.

A node can write to its site's folder below `.incoming` only. What is kept has left that folder: nothing that a node
does can change or delete it, and a name that is taken stays taken.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cllmh_node.archive.claim import Answer, Claim, Verdict
from cllmh_node.clip_store.books import open_index
from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.clips.index import ClipRow
from cllmh_node.clips.naming import clip_path, clip_start

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_DAY_S = 86400.0
_START_ERROR_S = 1.0
"""A clip starts at the time in its name, but for so much, in seconds."""


class Keeper:
    """Keeps what one site sends. Raises RetentionError when the store is not there (its disk is not mounted)."""

    def __init__(self, config: ClipStoreConfig, site: str) -> None:
        self._root = config.checked_root()
        self._incoming = config.incoming_dir(site)
        self._site = site
        self._may_pin = config.may_pin
        self._index = open_index(config)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def keep(self, claim: Claim) -> Answer:
        """Keep the clip that is claimed, if it has arrived whole; it is on the disk before this returns.

        Its times and its class decide how long it is kept, so the node's word for them is not enough.
        """
        verdict = self._take(claim) if _has_times_of_its_name(claim, time.time()) else "refused"
        return Answer(path=claim.path, verdict=verdict)

    def _take(self, claim: Claim) -> Verdict:
        """Move a clip from the site's folder to the store; return what became of it."""
        camera, date, name = claim.path.split("/")
        folders = [f"{self._site}.{camera}", date]
        with contextlib.ExitStack() as opened:
            with contextlib.suppress(FileNotFoundError):
                kept = _hash_of(opened.enter_context(_folder(self._root, folders, make=False)), name)
                if kept is not None:  # asked for again: the answer was lost on the way
                    if kept[0] != claim.sha256:
                        return "taken"
                    self._note(claim, kept[1])
                    return "kept"
            try:
                source = opened.enter_context(_folder(self._incoming, [camera, date], make=False))
            except FileNotFoundError:
                return "missing"
            sent = _hash_of(source, name, sync=True)
            if sent is None:
                return "missing"
            if sent[0] != claim.sha256:
                os.unlink(name, dir_fd=source)
                return "differs"
            target = opened.enter_context(_folder(self._root, folders, make=True))
            # The row first: retention forgets a row without a file, but would never find a file without a row.
            self._note(claim, sent[1])
            # Unlike a rename, a link never takes the place of another file.
            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            os.fsync(target)
            os.unlink(name, dir_fd=source)
            return "kept"

    def _note(self, claim: Claim, size_bytes: int) -> None:
        """Add a clip to the index, if it is not there yet."""
        is_lowered = claim.importance == "pinned" and not self._may_pin
        self._index.add_clip(
            ClipRow(
                camera=f"{self._site}.{claim.path.split('/', 1)[0]}",
                path=f"{self._site}.{claim.path}",
                start=claim.start,
                end=claim.end,
                size_bytes=size_bytes,
                importance="object" if is_lowered else claim.importance,
                peak_score=claim.peak_score,
                labels=claim.labels,
            )
        )


def _has_times_of_its_name(claim: Claim, now: float) -> bool:
    """Whether a claim's path and times agree and are possible: retention on the hub goes by them."""
    camera, _, name = claim.path.split("/")
    start = clip_start(name)
    return (
        start is not None
        and str(clip_path(camera, start)) == claim.path
        and abs(claim.start - start) <= _START_ERROR_S
        and claim.start <= claim.end <= min(claim.start, now) + _DAY_S
    )


def _hash_of(folder: int, name: str, *, sync: bool = False) -> tuple[str, int] | None:
    """Return SHA-256 and size of a regular file (brought to the disk with `sync`), None when there is none."""
    try:
        handle = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
        return digest, os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def _folder(root: Path, names: list[str], *, make: bool) -> Iterator[int]:
    """Open a folder below `root` one name at a time, so that no link is followed."""
    handle = os.open(root, _FOLDER)
    try:
        for name in names:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o750, dir_fd=handle)
                    os.fsync(handle)
            inner = os.open(name, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)
