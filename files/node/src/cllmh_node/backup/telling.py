"""Reports: one for each channel and one for each run, in a spool until the backend has them."""

import threading

from cllmh_node.backup.channel import ChannelResult
from cllmh_node.backup.settings import BackupSettings
from cllmh_node.reports import Spool

SPOOL = ".spool"
"""Folder below BACKUP_DIR of reports that wait, when no other is given."""

ATTEMPTS = 3
"""How often a backend that is away is tried at the end of a run; the next run tries again."""

_TIMEOUT_S = 2.0  # to connect and to answer: SIGTERM has to end a run within 5 s


class Telling:
    """Puts reports into the spool, and sends them where there is a backend."""

    def __init__(self, settings: BackupSettings) -> None:
        """Without a backend and a spool nothing is told."""
        self._settings = settings
        self._folder = settings.spool_dir
        if self._folder is None and settings.backend_endpoint is not None:
            self._folder = settings.backup_dir / SPOOL
        self._spool = None if self._folder is None else Spool(self._folder)

    def channel(self, result: ChannelResult) -> None:
        """Tell what became of a channel."""
        if self._spool is not None:
            self._spool.put("backup_channel", result.as_dict())

    def run(self, summary: dict[str, object]) -> None:
        """Tell how a run ended."""
        if self._spool is not None:
            self._spool.put("backup_run", summary)

    def send(self, stop: threading.Event, attempts: int = 1) -> None:
        """Send what waits; what is left after so many attempts waits for the next time."""
        settings, folder = self._settings, self._folder
        if settings.backend_endpoint is None or folder is None:
            return
        # Not before something is to be sent: it takes a quarter of the time to start.
        from cllmh_node.reports.sender import Sender, SenderConfig

        sender = Sender(
            SenderConfig(
                spool_dir=folder,
                hub_url=settings.backend_endpoint,
                node=settings.node_name,
                site=settings.site_name,
                token_file=settings.backend_token_file,
                ca_file=settings.backend_ca_file,
                timeout_s=_TIMEOUT_S,
            )
        )
        for attempt in range(attempts):
            if attempt and stop.wait(sender.back_off_s()):
                return
            if stop.is_set() or sender.send_waiting(stop):
                return
