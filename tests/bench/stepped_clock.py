"""A clock that can be set for the recorder alone: the machine's own is shared.

Not libfaketime: with it Python's `time.sleep` fails (clock_nanosleep says EINVAL).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from bench.harness import CACHE

SOURCE = Path(__file__).with_suffix(".c")


def can_be_built() -> bool:
    """Whether this machine has a C compiler and the headers of its library."""
    return shutil.which("gcc") is not None and Path("/usr/include/time.h").exists()


class SteppedClock:
    """The time of day as the programs see it that are started with `env`."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where its file goes."""
        CACHE.mkdir(parents=True, exist_ok=True)
        library = CACHE / "stepped_clock.so"
        command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, timeout=60)
        self._file = folder / "clock"
        self.offset_s = 0.0
        """By how much it is off, in seconds."""
        self.step(0.0)
        self.env = {**os.environ, "LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}

    def now(self) -> float:
        """Return the unix time as those programs see it."""
        return time.time() + self.offset_s

    def step(self, seconds: float) -> None:
        """Set it forwards or backwards."""
        self.offset_s += seconds
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(handle, struct.pack("d", self.offset_s), 0)
        os.close(handle)
