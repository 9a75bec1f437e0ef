"""Where log lines go: a file with rotation, standard error, and a syslog server."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler

from cllmh_node.backup.messages import in_both_languages, load_log_messages
from cllmh_node.backup.settings import BackupSettings
from cllmh_node.backup.syslog import SyslogHandler
from cllmh_node.config import ConfigError
from cllmh_node.log import StructuredFormatter

LOG_BYTES = 10_000_000
LOG_FILES = 5


@contextmanager
def logging_to(settings: BackupSettings, before_console: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Send all lines of this process there, until the end of the `with` block. Raises ConfigError.

    `before_console` is called before each line on standard error: it takes the progress line away.
    """
    catalogue = None
    if settings.log_messages_file is not None:
        catalogue = in_both_languages(load_log_messages(settings.log_messages_file))
    plain = StructuredFormatter(language=settings.log_language, catalogue=catalogue)
    handlers: list[logging.Handler] = []
    try:
        settings.log_file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = RotatingFileHandler(
            settings.log_file, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8", delay=False
        )
    except OSError as error:
        raise ConfigError(f"LOG_FILE: {error.filename}: cannot be written: {error.strerror}") from None
    file.setFormatter(plain)
    handlers.append(file)
    console = logging.StreamHandler(sys.stderr)
    to_journal = "JOURNAL_STREAM" in os.environ
    console.setFormatter(
        StructuredFormatter(language=settings.log_language, catalogue=catalogue, to_journal=True)
        if to_journal
        else _TextOnly(language=settings.log_language, catalogue=catalogue)
    )
    console.addFilter(lambda _record: not before_console())
    handlers.append(console)
    if settings.enable_syslog and settings.syslog_server is not None:
        syslog = SyslogHandler(
            settings.syslog_server, settings.syslog_port, settings.syslog_protocol, settings.syslog_format
        )
        syslog.setFormatter(StructuredFormatter(language=settings.log_language, catalogue=catalogue, bare=True))
        handlers.append(syslog)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = handlers
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        for handler in handlers:
            handler.close()


class _TextOnly(StructuredFormatter):
    """For people at a terminal or in a pipe: the text without the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text, one line."""
        return " ".join(self.text(record).splitlines())
