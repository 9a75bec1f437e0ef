"""Taking in what a node has sent: compared by SHA-256, put where no node can reach it, and noted in the index.

A node can write to its site's folder below `.incoming` only. What is kept has left that folder: nothing that a node
does can change or delete it, and a name that is taken stays taken.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from cllmh_node.archive.claim import Answer, Claim, Verdict
from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.clips.index import ClipIndex, ClipRow
from cllmh_node.recordings import check_root

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Keeper:
    """Keeps what one site sends. Raises RetentionError when the store is not there (its disk is not mounted)."""

    def __init__(self, config: ClipStoreConfig, site: str) -> None:
        self._root = check_root(config.clips_dir)
        self._incoming = config.incoming_dir(site)
        self._site = site
        self._index = ClipIndex(config.index)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def keep(self, claim: Claim) -> Answer:
        """Keep the clip that is claimed, if it has arrived whole; it is on the disk before this returns."""
        camera, date, name = claim.path.split("/")
        kept_path = f"{self._site}.{camera}/{date}/{name}"
        with contextlib.ExitStack() as opened:
            target = opened.enter_context(_folder(self._root, [f"{self._site}.{camera}", date], make=True))
            verdict, size_bytes = self._take(opened, [camera, date], name, target, claim.sha256)
        if verdict == "kept":
            self._index.add_clip(
                ClipRow(
                    camera=f"{self._site}.{camera}",
                    path=kept_path,
                    start=claim.start,
                    end=claim.end,
                    size_bytes=size_bytes,
                    importance=claim.importance,
                    peak_score=claim.peak_score,
                    labels=claim.labels,
                )
            )
        return Answer(path=claim.path, verdict=verdict)

    def _take(
        self, opened: contextlib.ExitStack, folders: list[str], name: str, target: int, sha256: str
    ) -> tuple[Verdict, int]:
        """Move a clip from the site's folder to the store; return what became of it, and its size."""
        kept = _hash_of(target, name)
        if kept is not None:  # asked for again: the answer was lost on the way
            return ("kept" if kept[0] == sha256 else "taken"), kept[1]
        try:
            source = opened.enter_context(_folder(self._incoming, folders, make=False))
        except FileNotFoundError:
            return "missing", 0
        sent = _hash_of(source, name, sync=True)
        if sent is None:
            return "missing", 0
        if sent[0] != sha256:
            os.unlink(name, dir_fd=source)
            return "differs", 0
        # Unlike a rename, a link never takes the place of another file.
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        os.fsync(target)
        os.unlink(name, dir_fd=source)
        return "kept", sent[1]


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
