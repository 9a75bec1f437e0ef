"""The disk that a store on this machine writes to."""

import os
from dataclasses import dataclass
from pathlib import Path

from cllmh_hub.log_door.batch import StoreBusyError


@dataclass(frozen=True, slots=True)
class Disk:
    """Takes no more lines above `max_used_percent`.

    Loki says yes to lines that its full disk did not take. It looks at its disk itself, but only every ten seconds;
    this asks the file system before and after each batch (some microseconds).
    """

    folder: Path
    max_used_percent: int

    def check(self) -> None:
        """Raise StoreBusyError when it is too full, or cannot be looked at."""
        try:
            disk = os.statvfs(self.folder)
        except OSError as error:
            raise StoreBusyError(f"its disk at {self.folder} cannot be looked at: {error.strerror}") from error
        # As df counts: what only root may use is not free.
        used = disk.f_blocks - disk.f_bfree
        usable = used + disk.f_bavail
        if usable and used * 100 > self.max_used_percent * usable:
            raise StoreBusyError(
                f"its disk at {self.folder} is {used / usable:.1%} full and at most {self.max_used_percent} % may be:"
                " free some of it, make it larger, or keep lines for a shorter time",
                retry_after_s=10,
            )
