"""What `cllmh-node backup` and `backup_manager.py` do with their settings."""

import argparse
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cllmh_node import systemd
from cllmh_node.backup.channel import choose_recorder
from cllmh_node.backup.folder import LockedError, alone_in
from cllmh_node.backup.load import Dynamic, cpu_load
from cllmh_node.backup.logs import logging_to
from cllmh_node.backup.progress import Progress
from cllmh_node.backup.run import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK, BackupRun, Stop
from cllmh_node.backup.settings import BackupSettings
from cllmh_node.config import ConfigError
from cllmh_node.log import event
from cllmh_node.rtsp.rtsp_target import mask_url

logger = logging.getLogger(__name__)

LOOP_PAUSE_S = 5.0
"""Between a run that did not record all and the next one, in seconds, with LOOP."""


def main(argv: Sequence[str]) -> int:
    """Run `backup_manager.py`: as `cllmh-node backup`, but without the other verbs, which take time to import."""
    verb = importlib.import_module("cllmh_node.verbs.backup")
    parser = argparse.ArgumentParser(
        prog="backup_manager.py", description=verb.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.add_arguments(parser)
    try:
        code: int = verb.run(parser.parse_args(argv))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIGURATION
    return code


def backup(settings: BackupSettings, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Run once, or with LOOP until SIGTERM; return the exit code."""
    if dry_run:
        _show(settings, as_json=as_json)
        return EXIT_OK
    progress = Progress(is_quiet="JOURNAL_STREAM" in os.environ)
    with logging_to(settings, progress.clear), _stop_on_signals() as stop:
        try:
            with alone_in(settings.backup_dir):
                return _run(settings, stop, progress, as_json=as_json)
        except KeyboardInterrupt:
            event(logger, "backup_ended_early")
            return EXIT_OK if settings.loop else EXIT_FAILED
        except LockedError as error:
            event(logger, "backup_locked", level=logging.ERROR, text=str(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            event(logger, "backup_not_possible", level=logging.ERROR, text=f"{where}{error.strerror}")
        return EXIT_FAILED


def _run(settings: BackupSettings, stop: Stop, progress: Progress, *, as_json: bool) -> int:
    systemd.notify("READY=1")
    while True:
        totals = BackupRun(settings, stop, progress).run()
        if as_json:
            sys.stdout.write(json.dumps(totals.as_dict(with_channels=True)) + "\n")
            sys.stdout.flush()
        if not settings.loop:
            return totals.exit_code
        if stop.wait(0 if totals.exit_code == EXIT_OK else LOOP_PAUSE_S):
            return EXIT_OK


@contextmanager
def _stop_on_signals() -> Iterator[Stop]:
    """Give what SIGTERM and Ctrl-C set; a second one is as it always was."""
    stop = Stop()

    def told(number: int, _frame: object) -> None:
        stop.set()
        if stop.at_once:
            raise KeyboardInterrupt
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(settings: BackupSettings, *, as_json: bool) -> None:
    """Show what a run would do; nobody is asked and nothing is written."""
    dynamic = Dynamic.of(cpu_load(), settings.max_retries)
    files = f"{settings.backup_dir}/{{}}/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ.mp4"
    channels = [
        {
            "channel": channel,
            "url": mask_url(settings.address(channel).url(settings.rtsp_password)),
            "file": files.format(channel),
        }
        for channel in settings.channels
    ]
    plan = {
        "recorder": choose_recorder(settings),
        "seconds": settings.video_duration,
        "load_percent": dynamic.load_percent,
        "workers": min(dynamic.max_workers, len(channels)),
        "channels_at_a_time": min(dynamic.at_a_time, len(channels)),
        "pause_s": dynamic.retry_delay_s,
        "retries": dynamic.max_retries,
        "channels": channels,
    }
    if as_json:
        sys.stdout.write(json.dumps(plan) + "\n")
        return
    sys.stdout.write(
        f"recorder {plan['recorder']}, {settings.video_duration:g} s each, CPU load {dynamic.load_percent:.0f} %: "
        f"{plan['workers']} workers, {plan['channels_at_a_time']} channels at a time, pauses of {plan['pause_s']} s, "
        f"{plan['retries']} retries\n"
    )
    for channel in channels:
        sys.stdout.write(f"{channel['channel']}  {channel['url']}  {channel['file']}\n")
