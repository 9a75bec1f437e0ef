"""Where a camera's stream is, and the one place where a URL with a password is made."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """Where a camera's stream is."""

    host: str
    port: int
    path: str
    """With the leading slash, and with the query if there is one."""

    username: str | None = None

    def url(self, password: str | None) -> str:
        """Return the URL for FFmpeg. It holds the password: it must not be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = ""
        if self.username is not None:
            user = f"{quote(self.username, safe='')}:{quote(password or '', safe='')}@"
        return f"rtsp://{user}{host}:{self.port}{self.path}"
