"""The recorder's first process: it starts the shards, watches over them and does nothing else.

It uses the standard library only: this process lives as long as the service and shall cost next to nothing.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cllmh_node import log
from cllmh_node.log import event
from cllmh_node.recorder.fork_server_process import ForkServerProcess
from cllmh_node.recorder.kinship import adopt_orphans
from cllmh_node.recorder.plan import INDEX_DAMAGED_CODE, OURS, PLAN_VARIABLE, Plan, get_plan
from cllmh_node.recorder.shard_process import ShardProcess
from cllmh_node.systemd import notify, watchdog_interval_s

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 4.5
"""Shards that have not ended so long after SIGTERM are killed, in seconds."""

_TICK_S = 1.0
_STATUS_FILE_EVERY_S = 5.0
_NOT_HEARD_YET = {
    "state": "starting",
    **dict.fromkeys(("channel", "since", "last_frame_at", "codec", "width", "height", "fps", "error")),
}
"""What is said of a camera whose shard has not spoken yet."""

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class Supervisor:
    """Runs the shards of a plan until it is told to stop."""

    def __init__(self, plan: Plan, server: ForkServerProcess) -> None:
        self._status_path = Path(plan.status_path)
        self._server = server
        self._shards = [ShardProcess(number, names) for number, names in enumerate(plan.shards)]
        self._is_ready = False
        self.is_index_damaged = False
        """Whether a shard could not use the index any more: then all must stop, and begin anew."""
        self._known: dict[str, dict[str, Any]] = {}
        self._disk_problem: str | None = None
        self._is_file_refused = False
        self._written: tuple[object, ...] = ()
        self._next_file = 0.0

    def run(self) -> int:
        """Record until SIGTERM or SIGINT; return the exit code."""
        adopt_orphans()  # the shards, which the fork server makes
        watchdog_s = watchdog_interval_s() or float("inf")
        next_watchdog = 0.0
        cameras = sum(len(shard.cameras) for shard in self._shards)
        event(logger, "recorder_started", cameras=cameras, processes=len(self._shards))
        try:
            while not self._is_told_to_stop(min(_TICK_S, watchdog_s)) and not self.is_index_damaged:
                self._watch_server()
                for shard in self._shards:
                    self._watch(shard)
                now = time.monotonic()
                if all(shard.is_well for shard in self._shards):
                    if not self._is_ready:
                        self._is_ready = True
                        notify(f"READY=1\nSTATUS={cameras} cameras in {len(self._shards)} processes")
                    if now >= next_watchdog:
                        notify("WATCHDOG=1")
                        next_watchdog = now + watchdog_s
                self._tell_disk()
                self._write_status_file()
        finally:
            if not self.is_index_damaged:
                notify("STOPPING=1")
            self._stop()
            self._server.end()
        self._say_stopped()
        return 0

    def _say_stopped(self) -> None:
        """Say how it ended: a shard that did not say goodbye may have left clips open."""
        left = [name for shard in self._shards if shard.pid or not shard.is_clean for name in shard.cameras]
        if left:
            event(logger, "clips_left_open", level=logging.WARNING, cameras=tuple(left))
        else:
            event(logger, "recorder_stopped")

    def _is_told_to_stop(self, timeout_s: float) -> bool:
        """Wait for a signal: to stop, that a child ended, or that shards can be made."""
        found = signal.sigtimedwait(OURS, timeout_s)
        return found is not None and found.si_signo in _STOP_SIGNALS

    def _watch(self, shard: ShardProcess) -> None:
        """Hear a shard; start it again when it has ended, and end it when it is stuck."""
        shard.hear()
        pid = shard.pid
        if shard.is_stuck():
            event(logger, "shard_stuck", level=logging.ERROR, shard=shard.number, pid=pid, cameras=shard.cameras)
            shard.send(signal.SIGKILL)
        code = shard.ended()
        if code is not None:
            event(logger, "shard_ended", level=logging.ERROR, shard=shard.number, pid=pid, code=code)
            self.is_index_damaged = self.is_index_damaged or code == INDEX_DAMAGED_CODE
        if shard.is_due and self._server.is_ready:
            shard.start(self._server)

    def _watch_server(self) -> None:
        """Start the fork server again when it has ended; the shards do not mind."""
        pid = self._server.pid
        code = self._server.watch()
        if code is not None:
            event(logger, "fork_server_ended", level=logging.ERROR, pid=pid, code=code)

    def _stop(self) -> None:
        """End all shards; those that do not end by themselves are killed."""
        for shard in self._shards:
            shard.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WITHIN_S
        while any(self._lives(shard) for shard in self._shards):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            signal.sigtimedwait({signal.SIGCHLD}, min(left, _TICK_S))
        for shard in self._shards:
            if shard.pid is not None:
                event(logger, "shard_stuck", level=logging.ERROR, shard=shard.number, pid=shard.pid)
                shard.send(signal.SIGKILL)

    def _lives(self, shard: ShardProcess) -> bool:
        shard.hear()
        return shard.ended() is None and shard.pid is not None

    def _tell_disk(self) -> None:
        """Log once that the recordings' disk cannot be used, and once that it can be again."""
        told = [shard.said.get("shard", {}).get("disk") for shard in self._shards]
        problem = next((text for text in told if text is not None), None)
        if problem is not None and self._disk_problem is None:
            event(logger, "disk_failed", level=logging.ERROR, text=problem)
        elif problem is None and self._disk_problem is not None and all(shard.is_well for shard in self._shards):
            event(logger, "disk_returned")
        else:
            return
        self._disk_problem = problem

    def _write_status_file(self) -> None:
        """Say how the cameras are to other programs on this node, such as the HDD monitor's health page.

        Every 5 s, and sooner when a state has changed.
        """
        cameras = dict(self._cameras())
        states = tuple((name, camera.get("state")) for name, camera in cameras.items())
        if states == self._written and time.monotonic() < self._next_file:
            return
        shards = [
            {"pid": shard.pid, "cameras": list(shard.cameras), **shard.said.get("shard", {})} for shard in self._shards
        ]
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps(
            {"at": at, "pid": os.getpid(), "cameras": cameras, "shards": shards, "disk": self._disk_problem}
        )
        temporary = self._status_path.with_suffix(".tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._status_path)
            self._is_file_refused = False
        except OSError as error:  # a full disk; who reads the file sees that it is old
            if not self._is_file_refused:
                event(logger, "status_not_written", level=logging.ERROR, path=error.filename, text=error.strerror)
            self._is_file_refused = True
        self._written = states
        self._next_file = time.monotonic() + _STATUS_FILE_EVERY_S

    def _cameras(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each camera's state as its shard last told it; those of a shard that ended are lost."""
        for shard in self._shards:
            if shard.said:
                self._known.update(shard.said["cameras"])
            for name in shard.cameras:
                known = self._known.get(name) or {**_NOT_HEARD_YET, "camera": name}
                if shard.pid is None:
                    error = {"cause": "restart", "text": "the recorder's process ended and starts again"}
                    known = {**known, "state": "lost", "error": error}
                yield name, known


def main() -> int:
    """Run the plan that `cllmh-node record` has left in the environment."""
    plan_file, lock, pid, link = (int(number) for number in os.environ.pop(PLAN_VARIABLE).split(","))
    plan = get_plan(plan_file)
    log.setup(language=plan.language, level=plan.log_level)
    supervisor = Supervisor(plan, ForkServerProcess(plan_file, pid, link))
    code = supervisor.run()
    if supervisor.is_index_damaged:
        os.close(lock)  # or it would keep ourselves out
        os.close(plan_file)
        os.execv(plan.command[0], plan.command)  # noqa: S606  no shell is wanted
    return code


if __name__ == "__main__":
    sys.exit(main())
