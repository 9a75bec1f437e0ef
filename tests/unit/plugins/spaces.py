"""File systems that say what a test needs."""

import pytest

from cllmh_node.recordings import Space


def with_space(monkeypatch: pytest.MonkeyPatch, used_bytes: int, free_bytes: int, inodes_used: int = 0) -> None:
    """Let the file system have this much room; only statvfs itself can be asked for the real one."""
    total = used_bytes + free_bytes
    space = Space(total, used_bytes, free_bytes, 100.0 * used_bytes / total, 1000, 1000 - inodes_used)
    monkeypatch.setattr(Space, "of", lambda _: space)
