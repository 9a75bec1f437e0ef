"""One channel: recorded, checked, renamed; tried again when it was not whole."""

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cllmh_node.backup.load import Dynamic
from cllmh_node.backup.recorded import FINAL, Cause, Recorded, RecordingError, Request
from cllmh_node.backup.settings import BackupSettings
from cllmh_node.backup.streams import Check, check_file
from cllmh_node.clips.naming import clip_path, iso_time
from cllmh_node.log import event

logger = logging.getLogger(__name__)

PART = ".part"
"""Folder below BACKUP_DIR of what is being recorded."""

ASIDE = "-invalid"
"""What is not whole is kept in a folder of this ending, beside the channel's."""

Outcome = Literal["recorded", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class ChannelResult:
    """What became of a channel."""

    channel: int
    outcome: Outcome
    attempts: int
    recorder: str
    path: str | None = None
    """The recording, below BACKUP_DIR."""

    start: float = 0.0
    """Unix seconds (UTC) of the first picture."""

    seconds: float = 0.0
    size_bytes: int = 0
    codec: str | None = None
    cause: Cause | None = None
    text: str | None = None
    aside: tuple[str, ...] = ()
    """Files that were not whole, below BACKUP_DIR."""

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON and reports have it."""
        return {
            "channel": self.channel,
            "outcome": self.outcome,
            "path": self.path,
            "start": iso_time(self.start) if self.path else None,
            "end": iso_time(self.start + self.seconds) if self.path else None,
            "seconds": round(self.seconds, 3),
            "bytes": self.size_bytes,
            "codec": self.codec,
            "recorder": self.recorder,
            "attempts": self.attempts,
            "error": {"cause": self.cause, "text": self.text} if self.cause else None,
            "aside": list(self.aside),
        }


def choose_recorder(settings: BackupSettings) -> str:
    """Return `openrtsp` or `ffmpeg`. openRTSP shows a password in the process list, so `auto` gives it none."""
    if settings.recorder != "auto":
        return settings.recorder
    return "openrtsp" if settings.username is None and shutil.which("openRTSP") else "ffmpeg"


@dataclass(slots=True)
class ChannelJob:
    """What it takes to back up one channel; `run` does it."""

    settings: BackupSettings
    channel: int
    dynamic: Dynamic
    stopping: Callable[[], bool] = lambda: False
    tell: Callable[[float, int], None] = lambda _seconds, _size_bytes: None

    def run(self) -> ChannelResult:
        """Try until a recording is whole, it must end, or the retries are used up."""
        recorder = choose_recorder(self.settings)
        aside: list[str] = []
        attempt = 0
        while not self.stopping():
            attempt += 1
            try:
                recorded = self._record(recorder)
                check = self._check(recorded)
                if check.problem is None:
                    return self._kept(recorded, check, recorder, attempt, tuple(aside))
                aside.append(self._set_aside(recorded, check.problem))
                cause: Cause = recorded.cause or "incomplete"
                text = f"{recorded.text}; {check.problem}" if recorded.text else check.problem
            except RecordingError as error:
                cause, text = error.cause, error.text
            except OSError as error:  # a disk so full that not even a folder can be made; the file stays where it is
                cause, text = "disk", f"the disk refuses: {error.strerror}"
            if self.stopping():
                break
            if cause in FINAL or attempt > self.dynamic.max_retries:
                event(
                    logger, "backup_channel_failed", level=logging.ERROR, channel=self.channel, cause=cause,
                    attempts=attempt, text=text,
                )  # fmt: skip
                return ChannelResult(
                    self.channel, "failed", attempt, recorder, cause=cause, text=text, aside=tuple(aside)
                )
            pause_s = self.dynamic.retry_delay_s
            event(
                logger, "backup_retry", level=logging.WARNING, channel=self.channel, cause=cause, text=text,
                attempt=attempt, retries=self.dynamic.max_retries, pause_s=pause_s,
            )  # fmt: skip
            self._wait(pause_s)
        event(logger, "backup_channel_interrupted", channel=self.channel, seconds=0.0, attempts=attempt)
        return ChannelResult(self.channel, "interrupted", attempt, recorder, aside=tuple(aside))

    def _record(self, recorder: str) -> Recorded:
        """Make one attempt."""
        settings = self.settings
        if recorder == "openrtsp":
            from cllmh_node.backup.recorder_openrtsp import record
        else:
            from cllmh_node.backup.recorder_ffmpeg import record
        return record(
            Request(
                self.channel,
                settings.address(self.channel),
                settings.rtsp_password,
                settings.video_duration,
                settings.backup_dir / PART,
                settings.rtsp_audio,
                self.stopping,
                self.tell,
            )
        )

    def _check(self, recorded: Recorded) -> Check:
        """Say whether a recording is whole. There is no time for that when all must end."""
        if self.stopping():
            return Check(None)
        if recorded.cause == "disk":
            return Check(recorded.text)
        return check_file(recorded.path, self.settings.video_duration, self.stopping)

    def _kept(
        self, recorded: Recorded, check: Check, recorder: str, attempt: int, aside: tuple[str, ...]
    ) -> ChannelResult:
        """Put a recording into its place."""
        is_short = self.stopping() and recorded.seconds < self.settings.video_duration * 0.9
        path = move_into_place(self.settings.backup_dir, recorded.path, str(self.channel), recorded.start)
        size_bytes = (self.settings.backup_dir / path).stat().st_size
        event(
            logger, "backup_channel_interrupted" if is_short else "backup_channel_recorded", channel=self.channel,
            seconds=recorded.seconds, size_bytes=size_bytes, attempts=attempt, path=path,
        )  # fmt: skip
        return ChannelResult(
            self.channel,
            "interrupted" if is_short else "recorded",
            attempt,
            recorder,
            path,
            recorded.start,
            recorded.seconds,
            size_bytes,
            check.codec,
            aside=aside,
        )

    def _set_aside(self, recorded: Recorded, problem: str) -> str:
        """Keep a recording that is not whole, where nobody takes it for one that is."""
        path = move_into_place(self.settings.backup_dir, recorded.path, f"{self.channel}{ASIDE}", recorded.start)
        event(logger, "backup_invalid", level=logging.WARNING, channel=self.channel, text=problem, path=path)
        return path

    def _wait(self, seconds: float) -> None:
        """Wait, but not longer than it may."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopping():
            time.sleep(0.1)


def move_into_place(backup_dir: Path, part: Path, name: str, start: float) -> str:
    """Rename a file to `<name>/<YYYY-MM-DD>/<start>.mp4` below the backup folder, synced; return that path."""
    path = str(clip_path(name, start))
    target = backup_dir / path
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    part.rename(target)
    handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return path
