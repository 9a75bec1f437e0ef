"""What the supervisor has to know: which shard runs which cameras, and where its status goes."""

import json
import os
from dataclasses import asdict, dataclass

INDEX_DAMAGED_CODE = 4
"""Exit code of a shard that cannot use the index any more."""

PLAN_VARIABLE = "CLLMH_RECORDER_PLAN_FD"
"""Environment variable with the number of the open file that holds the plan."""


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
