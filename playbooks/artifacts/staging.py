"""What the stagers share: hashes of sources, files that appear whole or not at all, and the entries of the manifest."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What tools leave in a source tree; never part of a version.
_LEFTOVERS = {"__pycache__", "node_modules", "dist", "build", ".venv", "coverage", "test-results", "playwright-report"}


@contextmanager
def workshop(artifacts: Path, name: str) -> Iterator[Path]:
    """Give a scratch directory to stage ``name`` in, on the same filesystem, to one process at a time.

    What a killed run left there is removed.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    with (artifacts / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in artifacts.glob(f".{name}-build-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=f".{name}-build-", dir=artifacts) as scratch:
            yield Path(scratch)


def source_files(tree: Path) -> Iterator[tuple[str, Path]]:
    """Yield (relative name, path) of the files of ``tree`` in a stable order, symbolic links followed."""
    for folder, folders, names in os.walk(tree, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in _LEFTOVERS and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith((".pyc", ".tsbuildinfo")):
                path = Path(folder, name)
                yield path.relative_to(tree).as_posix(), path


def source_version(base: str, tree: Path, *extra: str) -> str:
    """Return ``base`` with eight hex digits of a hash over the files of ``tree`` and the texts ``extra``."""
    digest = hashlib.sha256()
    for name, path in source_files(tree):
        digest.update(f"{name}\0{file_sha256(path)}\n".encode())
    for text in extra:
        digest.update(f"{text}\n".encode())
    return f"{base}+{digest.hexdigest()[:8]}"


def copy_sources(tree: Path, target: Path) -> None:
    """Copy the files of ``tree`` to ``target``; what was a symbolic link becomes its content."""
    for name, path in source_files(tree):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pack(folder: Path, archive: Path) -> str:
    """Pack the files of ``folder`` into ``archive`` and return its sha256.

    The same files give the same bytes. The archive appears under its name only when it is whole.
    """
    partial = archive.with_name(f"{archive.name}.part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    # Wheels are compressed already: the least effort does. No name and no time in the header: the same bytes each time.
    with (
        partial.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            info = tar.gettarinfo(path, path.relative_to(folder).as_posix())
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = "root"
            info.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            if path.is_dir():
                tar.addfile(info)
            else:
                with path.open("rb") as stream:
                    tar.addfile(info, stream)
    partial.replace(archive)
    return file_sha256(archive)


def read_entry(artifacts: Path, name: str) -> dict[str, Any]:
    """Return what is staged under ``name``: its entry in the manifest, empty if there is none."""
    path = artifacts / "entries" / f"{name}.yml"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_entry(artifacts: Path, name: str, entry: dict[str, Any]) -> None:
    """Record ``entry`` (``version``, and ``path`` and ``sha256`` of each file) as staged and verified."""
    path = artifacts / "entries" / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    # JSON is YAML, and needs no library.
    partial.write_text(json.dumps(entry, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)


def is_staged(artifacts: Path, file: dict[str, str] | None) -> bool:
    """Tell whether the file of an entry is there and is what was recorded."""
    if not file:
        return False
    path = artifacts / file["path"]
    return path.is_file() and file_sha256(path) == file["sha256"]


def remove_others(folder: Path, keep: set[Path]) -> None:
    """Delete the files of ``folder`` that are not in ``keep``: older versions, and parts a killed run left."""
    for path in folder.iterdir():
        if path.is_file() and path not in keep:
            path.unlink()
