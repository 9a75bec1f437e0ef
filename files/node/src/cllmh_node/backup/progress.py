"""How far a run is: one line that is rewritten on a terminal, a plain line now and then in a pipe."""

import shutil
import sys
import time
from typing import TextIO

from cllmh_node.backup.worker import ENDED, RECORDING, Board

PLAIN_EVERY_S = 10.0
_MB = 1_000_000


class Progress:
    """Draws a board on standard error; call `clear` before anything else is written there."""

    def __init__(self, out: TextIO | None = None, *, is_quiet: bool = False) -> None:
        """`is_quiet`: nothing is drawn, as under systemd."""
        self._out = out or sys.stderr
        self._is_terminal = self._out.isatty()
        self._is_quiet = is_quiet
        self._said_at = time.monotonic()
        self._is_drawn = False

    def draw(self, board: Board) -> None:
        """Show the board as it is now."""
        now = time.monotonic()
        if self._is_quiet or (not self._is_terminal and now - self._said_at < PLAIN_EVERY_S):
            return
        self._said_at = now
        line = summary(board)
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._out.write("\r" + line[:width].ljust(width))
            self._is_drawn = True
        else:
            self._out.write(f"{line}\n")
        self._out.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._is_drawn:
            self._out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._out.flush()
            self._is_drawn = False


def summary(board: Board) -> str:
    """Return the board as one line: channels, seconds, bytes."""
    slots = board.slots
    ended = sum(slot.state == ENDED for slot in slots)
    recording = [slot for slot in slots if slot.state == RECORDING]
    seconds = max((slot.seconds for slot in recording), default=0.0)
    size_bytes = sum(slot.bytes for slot in slots)
    return (
        f"{ended} of {len(slots)} channels done, {len(recording)} recording, {seconds:.0f} s, {size_bytes / _MB:.1f} MB"
    )
