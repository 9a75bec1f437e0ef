"""What stagers share that fetch an official release, verified by its own checksum file and by artifacts.lock.yml."""

from __future__ import annotations

import hashlib
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

PROBE_TIMEOUT_S = 5
DOWNLOAD_TIMEOUT_S = 60


class NotThisWayError(Exception):
    """This way of getting the program is not open here; the next one is tried."""


class IntegrityError(Exception):
    """What was fetched is not what is pinned: nothing is staged, no other way is tried."""


def fetch(
    url: str, checksums: str, archive: str, *, algorithm: str, locked: str | None, work: Path
) -> tuple[Path, str]:
    """Download ``url``/``archive`` into ``work`` and verify it; return its path and checksum.

    ``checksums`` is the release's file of checksums, ``locked`` the one that was recorded, if one was. Raises
    NotThisWayError when the release cannot be reached, IntegrityError when the three do not agree.
    """
    path = work / archive
    try:
        with urllib.request.urlopen(f"{url}/{checksums}", timeout=PROBE_TIMEOUT_S) as answer:
            wanted = expected_checksum(answer.read().decode(), archive)
        with urllib.request.urlopen(f"{url}/{archive}", timeout=DOWNLOAD_TIMEOUT_S) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise NotThisWayError(f"release {url}: {error}") from error
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != wanted or locked not in (None, found):
        raise IntegrityError(
            f"{archive}: {algorithm} is {found}; the release says {wanted}, artifacts.lock.yml says {locked}"
        )
    return path, found


def expected_checksum(checksum_file: str, archive: str) -> str:
    """Find an archive's checksum in the text of a `sha256sum` or `sha512sum` style file."""
    for line in checksum_file.splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}|[0-9a-f]{128})\s+\*?(?:\./|dist/)*(\S+)", line.strip())
        if match and match[2] == archive:
            return match[1]
    raise IntegrityError(f"the release's checksum file does not list {archive}")


def record_in_lock(lock_file: Path, name: str, architecture: str, checksum: str) -> None:
    """Put a checksum that was verified for the first time into artifacts.lock.yml, comments kept."""
    text = lock_file.read_text()
    pattern = rf"(?ms)^({name}:\n(?:[ #].*?\n)*?    {architecture}: )null$"
    lock_file.write_text(re.sub(pattern, rf"\g<1>{checksum}", text, count=1))
