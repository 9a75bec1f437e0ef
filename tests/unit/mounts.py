"""Real mounts for tests that run as root; the others are skipped."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@contextmanager
def tmpfs(folder: Path, options: str = "size=4m") -> Iterator[None]:
    """Mount an empty file system of its own."""
    with _mounted(folder, b"tmpfs", b"tmpfs", 0, options.encode()):
        yield


@contextmanager
def bind(source: Path, folder: Path) -> Iterator[None]:
    """Show `source` at `folder`, too."""
    with _mounted(folder, bytes(source), None, MS_BIND, None):
        yield


def make_read_only(folder: Path) -> None:
    """Remount a tmpfs read-only, as the kernel does with a disk that has errors."""
    _mount(b"tmpfs", folder, b"tmpfs", MS_REMOUNT | MS_RDONLY, None)


@contextmanager
def _mounted(folder: Path, source: bytes, kind: bytes | None, flags: int, options: bytes | None) -> Iterator[None]:
    _mount(source, folder, kind, flags, options)
    try:
        yield
    finally:
        _libc.umount2(bytes(folder), _MNT_DETACH)


def _mount(source: bytes, folder: Path, kind: bytes | None, flags: int, options: bytes | None) -> None:
    if _libc.mount(source, bytes(folder), kind, flags, options) != 0:
        pytest.skip(f"no mounts here: {os.strerror(ctypes.get_errno())}")
