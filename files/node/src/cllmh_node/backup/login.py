"""Is the login right? Asked once before a run: sixteen wrong logins at a time would lock the account."""

from cllmh_node.backup.settings import BackupSettings
from cllmh_node.rtsp.rtsp import RtspClient
from cllmh_node.rtsp.rtsp_target import RtspError

TRIED_CHANNELS = 2
"""A user may be kept from one channel; refused at so many, the login is taken for wrong."""


def refused_login(settings: BackupSettings) -> str | None:
    """Return what the DVR says when it refuses the login, None when it takes it or gives no answer."""
    if settings.username is None:
        return None
    said: str | None = None
    for channel in settings.channels[:TRIED_CHANNELS]:
        try:
            with RtspClient(settings.target) as client:
                client.describe(settings.path(channel))
        except RtspError as error:
            if error.cause == "auth":
                said = str(error)
                continue
        return None
    return said
