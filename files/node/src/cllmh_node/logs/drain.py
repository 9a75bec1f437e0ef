"""Empty syslog-ng's disk buffers before a change that would orphan them."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cllmh_node.logs.disk_queue import QueueError, read_fill

_LOOK_EVERY_S = 0.5
_STOP_TIMEOUT_S = 30


class DrainError(Exception):
    """The buffers could not be emptied; the text says how much is left and what would help."""


def drain(config: Path, persist: Path, directories: list[Path], patience_s: float) -> None:
    """Run syslog-ng with `config` until no line waits in `directories`.

    `persist` says which queue file belongs to which destination. It is copied: what a configuration does not use is
    thrown out of it, and this one has no sources, so that journal and files would be read from elsewhere afterwards.

    Raises DrainError when nothing was acknowledged for `patience_s` seconds, or syslog-ng ended by itself.
    """
    left = _waiting(directories)
    if not left:
        return
    with tempfile.TemporaryDirectory(prefix="cllmh-drain-") as private:
        shutil.copy(persist, f"{private}/persist")
        command = ["syslog-ng", "--foreground", "--stderr", "--no-caps", f"--cfgfile={config}"]
        command += [f"--control={private}/control", f"--pidfile={private}/pid", f"--persist-file={private}/persist"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _watch(process, directories, left, patience_s)
            finally:
                process.terminate()
                process.wait(timeout=_STOP_TIMEOUT_S)
    left = _waiting(directories)
    if left:
        raise DrainError(f"{left} lines are left after syslog-ng ended; run the rollout again")


def _watch(process: subprocess.Popen[bytes], directories: list[Path], left: int, patience_s: float) -> None:
    moved_at = time.monotonic()
    while left:
        time.sleep(_LOOK_EVERY_S)
        if process.poll() is not None:
            raise DrainError(f"syslog-ng ended with {process.returncode} while {left} lines waited")
        now = _waiting(directories)
        if now < left:
            moved_at = time.monotonic()
            sys.stdout.write(f"{now} lines left\n")
        elif time.monotonic() - moved_at > patience_s:
            raise DrainError(
                f"{now} lines wait and the hub took none for {patience_s:.0f} s: bring the hub back, or keep the "
                "buffer's size and directory as they were until it is"
            )
        left = now


def _waiting(directories: list[Path]) -> int:
    try:
        return sum(read_fill(directory, 0).lines for directory in directories if directory.exists())
    except QueueError as error:
        raise DrainError(str(error)) from error
