"""What the supervisor has to know: which shard runs which cameras, and where its status goes."""

import json
import os
import signal
from dataclasses import asdict, dataclass

INDEX_DAMAGED_CODE = 4
"""Exit code of a shard that cannot use the index any more."""

PLAN_VARIABLE = "CLLMH_RECORDER_PLAN"
"""Environment variable with what the supervisor inherits: the numbers of the open files that hold the plan and the
lock, the fork server's process id, and the number of the socket to it."""

READY = b"ready"
"""What the fork server says once it has loaded everything; later, a shard's process id for each number it gets."""

NEWS = signal.SIGUSR1
"""The signal that goes with it, since the supervisor waits for signals only."""

OURS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, NEWS})
"""The signals that the supervisor waits for; they are blocked in all processes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The recorder's processes. Plain values, so that the supervisor needs nothing but the standard library."""

    config: str
    """The checked configuration as JSON; it holds no secret."""

    shards: tuple[tuple[str, ...], ...]
    """The names of the cameras of each shard."""

    status_path: str
    language: str
    log_level: str
    command: tuple[str, ...]
    """What starts the recorder anew, when its index has to be built anew."""


def spread(cameras: list[str], processes: int) -> tuple[tuple[str, ...], ...]:
    """Deal the cameras out to `processes` shards, never more shards than cameras.

    In turns, since cameras that stand next to each other in a configuration are often alike.
    """
    count = max(1, min(processes, len(cameras)))
    return tuple(tuple(cameras[number::count]) for number in range(count))


def put_plan(plan: Plan) -> int:
    """Write the plan into a file in memory; return its number, which child processes inherit."""
    handle = os.memfd_create("cllmh-recorder-plan", 0)
    os.write(handle, json.dumps(asdict(plan)).encode())
    return handle


def get_plan(handle: int) -> Plan:
    """Read what `put_plan` wrote."""
    data = json.loads(os.pread(handle, os.fstat(handle).st_size, 0))
    shards = tuple(tuple(names) for names in data["shards"])
    return Plan(**{**data, "shards": shards, "command": tuple(data["command"])})
