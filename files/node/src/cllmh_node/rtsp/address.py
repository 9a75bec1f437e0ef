"""Where a camera's stream is, and the one place where a URL with a password is made."""

from dataclasses import dataclass
from urllib.parse import quote

MAX_CREDENTIALS_CHARS = 127
"""FFmpeg cuts user and password, as a URL spells them and with the colon between, silently at this length."""


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """Where a camera's stream is."""

    host: str
    port: int
    path: str
    """With the leading slash, and with the query if there is one."""

    username: str | None = None

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"

    def url(self, password: str | None) -> str:
        """Return the URL for FFmpeg. It holds the password: it must not be shown.

        Raises ValueError when user and password are longer than FFmpeg can take.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = ""
        if self.username is not None:
            user = f"{quote(self.username, safe='')}:{quote(password or '', safe='')}@"
        if len(user) > MAX_CREDENTIALS_CHARS + 1:
            raise ValueError(
                f"user {self.username} and the password are too long for FFmpeg: {len(user) - 1} characters as a URL "
                f"spells them (%40 for @), at most {MAX_CREDENTIALS_CHARS} are possible"
            )
        return f"rtsp://{user}{host}:{self.port}{self.path}"
