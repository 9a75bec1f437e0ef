"""syslog-ng's reliable disk queue (`*.rqf`), as much of its header as tells how full it is.

The header is mapped into syslog-ng's memory, so that the file tells the present state: magic, version, byte order,
then read head, write head and length, three cache positions, and head and length of the backlog (sent, not yet
acknowledged).
Versions 2 (syslog-ng 3.38) and 3 (4.8) have these fields at the same places (syslog-ng, modules/diskq/qdisk.c).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER_BYTES = 0x60
_VERSIONS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Fill:
    """What waits in a buffer."""

    lines: int
    """Lines that the hub has not acknowledged."""

    used_bytes: int
    """Bytes they take in the queue file."""


class QueueError(Exception):
    """A queue file cannot be understood; the text says which and why."""


def read_fill(directory: Path, size_bytes: int) -> Fill:
    """Return what waits in all queue files of `directory`, each a ring of `size_bytes`."""
    fills = [_read(path, size_bytes) for path in sorted(directory.glob("*.rqf"))]
    return Fill(sum(fill.lines for fill in fills), sum(fill.used_bytes for fill in fills))


def _read(path: Path, size_bytes: int) -> Fill:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            file_bytes = path.stat().st_size
    except OSError as error:
        raise QueueError(f"{path}: cannot be read: {error.strerror}") from error
    if not header:  # made, not yet written
        return Fill(0, 0)
    if len(header) < _HEADER_BYTES or header[:4] != b"SLRQ" or header[4] not in _VERSIONS:
        raise QueueError(
            f"{path}: begins with {header[:5]!r}, which is no reliable disk queue of syslog-ng 3.38 to 4.8"
        )
    order = ">" if header[5] else "<"
    _, write_head, length = struct.unpack_from(f"{order}3q", header, 8)
    backlog_head, backlog_length = struct.unpack_from(f"{order}2q", header, 0x50)
    used_bytes = write_head - backlog_head
    if used_bytes < 0:  # it has wrapped round
        used_bytes += max(size_bytes, file_bytes)
    return Fill(length + backlog_length, used_bytes)
