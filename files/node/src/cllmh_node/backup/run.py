"""One run: health, dynamic values, room, batches of channels, reports, totals."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from cllmh_node import systemd
from cllmh_node.backup.channel import ChannelResult, choose_recorder
from cllmh_node.backup.folder import delete_old, recover
from cllmh_node.backup.health import health_problem
from cllmh_node.backup.load import CALM_PERCENT, Dynamic, cpu_load
from cllmh_node.backup.login import refused_login
from cllmh_node.backup.progress import Progress
from cllmh_node.backup.recorded import Cause
from cllmh_node.backup.room import look_for_room
from cllmh_node.backup.settings import BackupSettings
from cllmh_node.backup.telling import ATTEMPTS, Telling
from cllmh_node.backup.worker import FORK, Board, begin, work
from cllmh_node.clips.naming import iso_time
from cllmh_node.log import event

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION, EXIT_HEALTH = 0, 1, 2, 3

STOP_S = 3.0
"""So long the processes have to finish their files when all must end, in seconds; then they are killed."""

_LOOK_EVERY_S = 0.2


class Stop(threading.Event):
    """Set when all must end. `at_once`: nothing is being recorded, so whatever is waited for may be broken off."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = True


@dataclass(slots=True)
class Totals:
    """What came of a run."""

    start: float
    """Unix seconds (UTC)."""

    channels: int
    results: list[ChannelResult] = field(default_factory=list)
    exit_code: int = EXIT_OK
    end: float = 0.0

    def count(self, outcome: str) -> int:
        """Return how many channels ended so."""
        return sum(result.outcome == outcome for result in self.results)

    def as_dict(self, *, with_channels: bool) -> dict[str, object]:
        """Return it as JSON and reports have it."""
        found: dict[str, object] = {
            "exit_code": self.exit_code,
            "start": iso_time(self.start),
            "end": iso_time(self.end),
            "channels": self.channels,
            "recorded": self.count("recorded"),
            "interrupted": self.count("interrupted"),
            "failed": self.count("failed"),
            "seconds": round(sum(result.seconds for result in self.results), 3),
            "bytes": sum(result.size_bytes for result in self.results),
        }
        if with_channels:
            ordered = sorted(self.results, key=lambda result: result.channel)
            found["results"] = [result.as_dict() for result in ordered]
        return found


class BackupRun:
    """A run over all channels; nobody else is at work in the folder."""

    def __init__(self, settings: BackupSettings, stop: Stop, progress: Progress) -> None:
        """`stop` is set when all must end."""
        self._settings = settings
        self._stop = stop
        self._progress = progress
        self._telling = Telling(settings)
        self._board = Board(settings.channels)
        self._totals = Totals(time.time(), len(settings.channels))

    def run(self) -> Totals:
        """Back up all channels, in batches; tell how it went."""
        settings, totals = self._settings, self._totals
        event(
            logger, "backup_started", channels=len(settings.channels), seconds=settings.video_duration,
            dvr=settings.target.authority, recorder=choose_recorder(settings),
        )  # fmt: skip
        if choose_recorder(settings) == "openrtsp" and settings.username is not None:
            event(logger, "backup_password_visible", level=logging.WARNING, recorder="openRTSP")
        recover(settings.backup_dir)
        delete_old(settings)
        problem = None
        if settings.health_check_url is not None:
            problem = health_problem(settings.health_check_url, settings.health_check_timeout)
        if problem is not None:
            event(logger, "backup_health_failed", level=logging.ERROR, text=problem)
            return self._end(EXIT_HEALTH)
        refused = refused_login(settings)
        if refused is not None:
            self._all_failed(settings.channels, "auth_failed", refused)
        else:
            self._stop.at_once = False
            self._batches()
        recover(settings.backup_dir)
        return self._end(EXIT_OK if totals.count("recorded") == totals.channels else EXIT_FAILED)

    def _end(self, exit_code: int) -> Totals:
        """Write the end line, and tell."""
        totals = self._totals
        totals.exit_code, totals.end = exit_code, time.time()
        event(
            logger, "backup_finished", level=logging.INFO if exit_code == EXIT_OK else logging.ERROR,
            channels=totals.channels, recorded=totals.count("recorded"), interrupted=totals.count("interrupted"),
            failed=totals.count("failed"), seconds=totals.end - totals.start,
            size_bytes=sum(result.size_bytes for result in totals.results), exit_code=exit_code,
        )  # fmt: skip
        self._telling.run(totals.as_dict(with_channels=False))
        self._telling.send(self._stop, ATTEMPTS)
        self._stop.at_once = True
        return totals

    def _batches(self) -> None:
        """Go through the channels in batches, each of the size that the CPU's load allows by then."""
        waiting = deque(self._settings.channels)
        died: set[int] = set()
        is_first = True
        while waiting and not self._stop.is_set():
            dynamic = Dynamic.of(cpu_load(), self._settings.max_retries)
            self._say(dynamic)
            if not is_first and self._stop.wait(dynamic.retry_delay_s):
                break
            is_first = False
            batch = [waiting.popleft()]
            # One whose process died goes alone: what killed that might kill it again, and the others with it.
            while (
                waiting and batch[0] not in died and len(batch) < dynamic.concurrency_limit and waiting[0] not in died
            ):
                batch.append(waiting.popleft())
            room = look_for_room(self._settings, len(batch))
            if room.unasked is not None:
                event(logger, "backup_room_unknown", level=logging.WARNING, text=room.unasked)
            if room.problem is not None:
                event(logger, "backup_no_room", level=logging.ERROR, text=room.problem)
                self._all_failed(batch, "no_room", room.problem)
                continue
            for channel in self._batch(batch, dynamic):
                event(logger, "backup_worker_died", level=logging.ERROR, channel=channel)
                if channel in died:
                    self._all_failed([channel], "worker_died", "its process ended without a word, twice")
                else:
                    died.add(channel)
                    waiting.append(channel)
            self._telling.send(self._stop)
        for channel in waiting:
            self._done(ChannelResult(channel, "interrupted", 0, choose_recorder(self._settings)))

    def _batch(self, batch: Sequence[int], dynamic: Dynamic) -> list[int]:
        """Back up some channels, each in a process; return those whose process died."""
        processes = min(dynamic.max_workers, len(batch))
        with ProcessPoolExecutor(processes, FORK, begin, (self._board, os.getpid())) as pool:
            futures = {pool.submit(work, self._settings, channel, dynamic): channel for channel in batch}
            pending = set(futures)
            deadline = float("inf")
            while pending:
                done, pending = wait(pending, _LOOK_EVERY_S)
                self._look()
                for future in done:
                    self._take(futures[future], future)
                if self._stop.is_set() and not self._board.stopping:
                    self._board.stop()
                    deadline = time.monotonic() + STOP_S
                if time.monotonic() > deadline:
                    self._board.kill()
                    deadline = float("inf")
        self._look()
        died = [channel for future, channel in futures.items() if isinstance(future.exception(), BrokenProcessPool)]
        self._board.forget(died)
        if self._stop.is_set():
            for channel in died:
                self._done(ChannelResult(channel, "interrupted", 1, choose_recorder(self._settings)))
            return []
        return died

    def _take(self, channel: int, future: Future[ChannelResult]) -> None:
        """Take a result; a process that died has none."""
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            return
        if error is None:
            self._done(future.result())
            return
        self._all_failed([channel], "defect", type(error).__name__, error)

    def _done(self, result: ChannelResult) -> None:
        self._totals.results.append(result)
        self._telling.channel(result)

    def _all_failed(self, channels: Sequence[int], cause: Cause, text: str, error: BaseException | None = None) -> None:
        recorder = choose_recorder(self._settings)
        for channel in channels:
            event(
                logger, "backup_channel_failed", level=logging.ERROR, exc_info=error, channel=channel, cause=cause,
                attempts=0, text=text,
            )  # fmt: skip
            self._done(ChannelResult(channel, "failed", 0, recorder, cause=cause, text=text))

    def _look(self) -> None:
        """Write what the processes say, and draw how far they are."""
        lines = self._board.lines
        while not lines.empty():
            record = lines.get()
            logging.getLogger(record.name).handle(record)
        self._progress.draw(self._board)
        systemd.notify("WATCHDOG=1")

    def _say(self, dynamic: Dynamic) -> None:
        """Say how much is done at a time, and why."""
        is_calm = dynamic.load_percent <= CALM_PERCENT
        event(
            logger, "backup_dynamic_calm" if is_calm else "backup_dynamic_loaded", load_percent=dynamic.load_percent,
            workers=dynamic.max_workers, channels=dynamic.concurrency_limit, pause_s=dynamic.retry_delay_s,
            retries=dynamic.max_retries, calm_percent=CALM_PERCENT,
        )  # fmt: skip
