"""Where lines come from: a device on a TCP connection, a service that writes a file, a service that uses the journal.

Each line says its source and its number, from 0 on, and ends with a mark: cut ones do not count as arrived. A device on
TCP learns neither that a line arrived nor that it did not: what it wrote within `UNREAD_S` before the program that it
sends to is killed may be in a socket then, and is listed as `unread`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TICK_S = 0.02
UNREAD_S = 1.0
LINE = re.compile(r"bench (\w+) (\d{7}) (\d+) \w+ \.$")
FILLER = "The01person02went03through04the05gate06and07stood08for09a10while"


def line(source: str, number: int) -> str:
    """Return a line of some 110 bytes, with the time at which it was made in microseconds."""
    return f"bench {source} {number:07d} {time.time_ns() // 1000} {FILLER} ."


class Emitter(threading.Thread):
    """Sends `total` lines at `rate` a second, later where it is held back; nothing is given up."""

    def __init__(self, source: str, total: int, rate: float) -> None:
        super().__init__(name=source, daemon=True)
        self.source = source
        self.total = total
        self.sent = 0
        self.late_s = 0.0
        """How far it is behind its rate."""

        self.written: list[tuple[float, int, int]] = []
        """When (time.time) the lines from this number to that were made."""

        self._rate = rate
        self._ended = threading.Event()
        self._may_go = threading.Event()
        self._may_go.set()
        self._resting = threading.Event()

    def run(self) -> None:
        """Send until all is sent or `stop` is called."""
        began = time.monotonic()
        while self.sent < self.total and not self._ended.is_set():
            if not self._may_go.is_set():
                self._resting.set()
                self._may_go.wait()
                self._resting.clear()
            due = min(self.total, int((time.monotonic() - began) * self._rate))
            # At most a tenth of a second's lines at once: what was held back is caught up with, and not in one burst.
            now = min(due - self.sent, max(1, int(self._rate / 10)))
            if now > 0:
                self.written.append((time.time(), self.sent, self.sent + now))
                self.send([self.text(number) for number in range(self.sent, self.sent + now)])
            self.late_s = (due - self.sent) / self._rate
            if self.sent >= due:
                time.sleep(TICK_S)
        self._resting.set()
        self.close()

    def text(self, number: int) -> str:
        """Return a line as it is handed over."""
        return line(self.source, number)

    def send(self, lines: list[str]) -> None:
        """Hand lines over and count them in `sent`; may block."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""

    def pause(self) -> None:
        """Return when it sends nothing more."""
        self._may_go.clear()
        if self.is_alive():
            self._resting.wait(30)

    def go_on(self) -> None:
        """Let it send again."""
        self._may_go.set()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self._may_go.set()


class Device(Emitter):
    """Syslog over TCP."""

    def __init__(self, source: str, total: int, rate: float, address: str, port: int) -> None:
        super().__init__(source, total, rate)
        self._to = (address, port)
        self._connection: socket.socket | None = None
        self.unread: set[int] = set()
        """Numbers that may have been in a socket when their receiver was killed."""

    def send(self, lines: list[str]) -> None:
        while not self._ended.is_set():
            try:
                if self._connection is None:
                    self._connection = socket.create_connection(self._to, timeout=2)
                    self._connection.settimeout(None)
                break
            except OSError:
                time.sleep(0.1)
        else:
            return
        self.sent += len(lines)
        try:
            self._connection.sendall("".join(f"<134>{text}\n" for text in lines).encode())
        except OSError:
            # What was written since the receiver ended went without an error until its answer came.
            self.receiver_killed()
            self.close()

    def receiver_killed(self) -> None:
        """Write down what may have been in a socket; called when its receiver was killed, or is found gone."""
        since = time.time() - UNREAD_S
        for at, first, end in reversed(self.written):
            if at < since:
                return
            self.unread |= set(range(first, end))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class ServiceFile(Emitter):
    """A file that a service writes."""

    def __init__(self, source: str, total: int, rate: float, path: Path) -> None:
        super().__init__(source, total, rate)
        self._file = path.open("a", encoding="ascii")

    def send(self, lines: list[str]) -> None:
        self._file.write("".join(f"{text}\n" for text in lines))
        self._file.flush()
        self.sent += len(lines)

    def close(self) -> None:
        self._file.close()


class Service(Emitter):
    """A service that writes to the journal; a journal that is behind holds it back."""

    def __init__(self, source: str, total: int, rate: float, path: Path) -> None:
        super().__init__(source, total, rate)
        self._path = path
        self._connection: socket.socket | None = None

    def send(self, lines: list[str]) -> None:
        for text in lines:
            while not self._ended.is_set():
                try:
                    if self._connection is None:
                        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                        self._connection.connect(str(self._path))
                    self._connection.send(f"MESSAGE={text}\nPRIORITY=6\nSYSLOG_IDENTIFIER=bench\n".encode())
                    self.sent += 1
                    break
                except OSError:
                    self.close()
                    time.sleep(0.05)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def emitting(*emitters: Emitter) -> Iterator[None]:
    """Start emitters; end them, whatever happens."""
    for emitter in emitters:
        emitter.start()
    try:
        yield
    finally:
        for emitter in emitters:
            emitter.stop()
        for emitter in emitters:
            emitter.join(20)
