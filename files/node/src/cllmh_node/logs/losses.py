"""What was lost before or beside the buffers, as syslog-ng and the kernel count it."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

_TIMEOUT_S = 10


def dropped_lines(names: Iterable[str]) -> dict[str, int]:
    """Return, by buffer, the lines that syslog-ng dropped since it started: the buffer was full, or the hub said 400.

    None are known while syslog-ng does not answer.
    """
    command = ["syslog-ng-ctl", "stats"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_stats(done.stdout, names)


def parse_stats(text: str, names: Iterable[str]) -> dict[str, int]:
    """Read `source;id;instance;state;type;number` lines; the id of a destination is `d_<name>#0`."""
    counts = dict.fromkeys(names, 0)
    for line in text.splitlines():
        fields = line.split(";")
        if len(fields) != 6 or fields[0] != "dst.http" or fields[4] != "dropped":
            continue
        name = fields[1].partition("#")[0].removeprefix("d_")
        if name in counts and fields[5].isdigit():
            counts[name] += int(fields[5])
    return counts


def dropped_datagrams(ports: Iterable[int], table: Path = Path("/proc/net/udp")) -> int:
    """Return how many datagrams to these UDP ports the kernel dropped since their sockets were opened."""
    wanted = set(ports)
    total = 0
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) in wanted:
            total += int(fields[-1])
    return total
