"""Log lines to a syslog server: RFC 5424 or RFC 3164, over UDP or TCP.

Python's own SysLogHandler sends neither header, and blocks for as long as a TCP server hangs.
"""

import logging
import os
import socket
import time
from datetime import UTC, datetime

from cllmh_node.log import syslog_level

APP = "backup_manager"
_LOCAL0 = 16
_TIMEOUT_S = 2.0
_AGAIN_S = 30.0
"""After a failure over TCP the next attempt waits for so long, in seconds; lines between are in the log file only."""

_MAX_BYTES = {"udp": 2048, "tcp": 8192}  # RFC 5426, 3.2: what receivers should take
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SyslogHandler(logging.Handler):
    """Sends each record as one line; what cannot be sent is counted in `lost` and never raised."""

    def __init__(self, server: str, port: int, protocol: str, form: str) -> None:
        """`protocol` is udp or tcp, `form` rfc5424 or rfc3164. Connects at the first line."""
        super().__init__()
        self._address = (server, port)
        self._protocol = protocol
        self._form = form
        self._socket: socket.socket | None = None
        self._not_before = 0.0
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        line = frame(self.format(record), record, self._form, _MAX_BYTES[self._protocol])
        try:
            self._send(line + b"\n" if self._protocol == "tcp" else line)
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        super().close()

    def _send(self, line: bytes) -> None:
        if time.monotonic() < self._not_before:
            raise TimeoutError
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.sendall(line)
        except OSError:
            self._drop()
            self._not_before = time.monotonic() + _AGAIN_S if self._protocol == "tcp" else 0.0
            raise

    def _connected(self) -> socket.socket:
        if self._protocol == "tcp":
            return socket.create_connection(self._address, _TIMEOUT_S)
        family, kind, number, _name, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, number)
        made.connect(address)
        return made

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def frame(text: str, record: logging.LogRecord, form: str, max_bytes: int) -> bytes:
    """Return a line with its header, cut to `max_bytes`."""
    priority = _LOCAL0 * 8 + syslog_level(record.levelno)
    host = socket.gethostname()
    moment = datetime.fromtimestamp(record.created, UTC)
    if form == "rfc5424":
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = f"<{priority}>1 {stamp} {host} {APP} {os.getpid()} - - "
    else:
        stamp = f"{_MONTHS[moment.month - 1]} {moment.day:2d} {moment:%H:%M:%S}"
        head = f"<{priority}>{stamp} {host} {APP}[{os.getpid()}]: "
    return (head + text).encode()[:max_bytes].decode("utf-8", "ignore").encode()
