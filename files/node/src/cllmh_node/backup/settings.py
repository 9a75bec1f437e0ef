"""What the Backup Manager is told: environment variables, from the system or from a `.env` file."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from cllmh_node.backup.messages import load_log_messages
from cllmh_node.config import ConfigError, Field, StrictModel, read_secret
from cllmh_node.recordings import MARKER
from cllmh_node.rtsp.address import CameraAddress
from cllmh_node.rtsp.dvr import MAX_CHANNEL, STREAMS, read_channels, stream_path
from cllmh_node.rtsp.rtsp_target import Target, mask_url

OWN_MARK = ".cllmh-backups"
"""File in the backup folder that says whose it is; who holds its lock is at work there."""

DEFAULT_LOG_FILE = Path("/mnt/Data/Syslog/rtsp/backup_manager.log")

_SUBTYPE = re.compile(r"\{subtype\}")


class BackupSettings(StrictModel):
    """All variables; the environment spells their names in capitals. An empty one counts as not given."""

    rtsp_ip: str
    """Address or name of the DVR."""

    rtsp_port: int = Field(default=554, ge=1, le=65535)
    """Its RTSP port."""

    rtsp_username: str
    """User of the DVR; `-` for a DVR that wants no login."""

    rtsp_password_file: Path | None = None
    """File, mode 0600, with the password on its first line, instead of RTSP_PASSWORD."""

    rtsp_password: str = Field(default="", validate_default=True, repr=False)
    """Password of the user."""

    rtsp_vendor: Literal["dahua", "hikvision", "generic"] = "dahua"
    """How the DVR spells the paths of its channels; `generic` takes RTSP_PATH."""

    rtsp_subtype: Literal[0, 1] = 1
    """0 is the full picture, 1 the small one."""

    rtsp_path: str | None = Field(default=None, validate_default=True)
    """Path with `{channel}` and, if wanted, `{subtype}`, instead of the vendor's."""

    rtsp_audio: bool = True
    """Whether sound is recorded where the camera has it as AAC."""

    channels: tuple[int, ...]
    """A number (4 is the first four), or a list with ranges: `1-4,7`."""

    video_duration: float = Field(gt=0, le=86_400)
    """How long each channel is recorded, in seconds."""

    backup_dir: Path
    """Folder of the recordings, made when it is missing."""

    max_retries: int = Field(default=3, ge=0, le=20)
    """How often a channel is tried again while the CPU is calm; up to twice as often when it is not."""

    recorder: Literal["auto", "openrtsp", "ffmpeg"] = Field(default="auto", validate_default=True)
    """`auto` takes openRTSP only where there is no password that it would show."""

    loop: bool = False
    """Whether a new run begins when one ends, until SIGTERM."""

    expected_kbps: int | None = Field(default=None, ge=1, le=1_000_000)
    """What a channel sends, in kbit/s, to know the room that is needed; 4096, or 1024 with RTSP_SUBTYPE 1."""

    min_free_percent: float = Field(default=5.0, ge=0, le=99)
    """This part of the disk stays free, in percent."""

    hdd_monitor: str | None = None
    """Socket or http:// address of an HDD monitor that is asked for room where its recordings are on the same disk."""

    backup_keep_days: float | None = Field(default=None, gt=0, le=36_500)
    """Backups that ended longer ago than this are deleted, in days; kept for ever when not given."""

    backup_max_bytes: int | None = Field(default=None, gt=0)
    """Backups take at most this, in bytes: the oldest go before a run; no limit when not given."""

    health_check_url: str | None = None
    """Asked before anything is recorded: http(s) must answer 2xx, rtsp must have a picture."""

    health_check_timeout: float = Field(default=10.0, gt=0, le=300)
    """How long that may take, in seconds."""

    log_messages_file: Path | None = None
    """JSON of log texts, event key -> text or {en, id}; the package's own when not given."""

    log_language: Literal["en", "id"] = "en"
    """Language of the log texts: English or Indonesian."""

    log_file: Path = Field(default=DEFAULT_LOG_FILE, validate_default=True)
    """Where the log goes; five files of 10 MB."""

    syslog_server: str | None = None
    """Name or address of the syslog server."""

    syslog_port: int = Field(default=514, ge=1, le=65535)
    """Its port."""

    syslog_protocol: Literal["udp", "tcp"] = "udp"
    """How lines are sent there; over TCP each ends with a line feed."""

    syslog_format: Literal["rfc5424", "rfc3164"] = "rfc5424"
    """The form of the lines."""

    enable_syslog: bool = False
    """Whether the log goes to the syslog server too."""

    backend_token_file: Path | None = None
    """File, mode 0600, with the token that reports carry as `Authorization: Bearer`."""

    backend_ca_file: Path | None = None
    """Certificates (PEM) that may have signed the backend's; the system's when not given."""

    backend_endpoint: str | None = None
    """Where reports are posted to."""

    spool_dir: Path | None = None
    """Where reports wait; below BACKUP_DIR when not given. Without BACKEND_ENDPOINT somebody else sends them."""

    node_name: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Who reports."""

    site_name: str = Field(default="backup", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """The site that reports are about."""

    @property
    def stream(self) -> str:
        """`main` or `sub`."""
        return STREAMS[self.rtsp_subtype]

    @property
    def username(self) -> str | None:
        """User of the DVR, None for none."""
        return None if self.rtsp_username == "-" else self.rtsp_username

    @property
    def target(self) -> Target:
        """The DVR as the probe knows it."""
        return Target(self.rtsp_ip, self.rtsp_port, self.username, self.rtsp_password)

    @property
    def bytes_per_s(self) -> float:
        """What a channel is expected to send, in bytes a second."""
        kbps = self.expected_kbps or (1024 if self.rtsp_subtype else 4096)
        return kbps * 1000 / 8

    def address(self, channel: int) -> CameraAddress:
        """Where a channel is."""
        return CameraAddress(self.rtsp_ip, self.rtsp_port, self.path(channel), self.username)

    def path(self, channel: int) -> str:
        """Return the path of a channel."""
        return _path(self.rtsp_vendor, channel, self.rtsp_subtype, self.rtsp_path)

    @field_validator("rtsp_ip")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        return Target(value).host

    @field_validator("channels", mode="before")
    @classmethod
    def _read_channels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.strip().isdecimal():
            count = int(value.strip()[:6])
            if not 1 <= count <= MAX_CHANNEL:
                raise ValueError(f"it must be 1 to {MAX_CHANNEL}, or a list such as 1-4,7")
            return tuple(range(1, count + 1))
        return tuple(read_channels([item for item in re.split(r"[\s,;]+", value) if item]))

    @field_validator("rtsp_subtype", mode="before")
    @classmethod
    def _is_a_stream(cls, value: object) -> object:
        if value not in (0, 1, "0", "1"):
            raise ValueError("it must be 0 (full picture) or 1 (small one); for another stream write it into RTSP_PATH")
        return int(str(value))

    @field_validator("rtsp_password")
    @classmethod
    def _has_a_password(cls, value: str, info: ValidationInfo) -> str:
        path = info.data.get("rtsp_password_file")
        user = info.data.get("rtsp_username", "")
        if path is not None:
            try:
                value = read_secret(path)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        if user and user != "-":
            if not value:
                raise ValueError("is missing; RTSP_USERNAME=- is for a DVR that wants no login")
            CameraAddress("host", 554, "/", user).url(value)
        return value

    @field_validator("rtsp_path")
    @classmethod
    def _is_a_path(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "rtsp_vendor" in info.data:
            _path(info.data["rtsp_vendor"], 1, 1, value)
        return value

    @field_validator("recorder")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        if shutil.which("ffprobe") is None:
            raise ValueError("ffprobe, which checks recordings, is not installed: apt-get install ffmpeg")
        if value == "openrtsp" and shutil.which("openRTSP") is None:
            raise ValueError("openRTSP is not installed: apt-get install livemedia-utils, or RECORDER=ffmpeg")
        return value

    @field_validator("backup_dir")
    @classmethod
    def _is_a_folder_of_ours(cls, value: Path) -> Path:
        _must_be_writable(value)
        folders = [value, *value.parents]
        taken = next((folder for folder in folders if (folder / MARKER).exists()), None)
        if taken is not None and not (taken / OWN_MARK).exists():
            raise ValueError(f"{taken} is a recorder's folder (it has {MARKER}); backups need a folder of their own")
        return value

    @field_validator("log_file")
    @classmethod
    def _can_be_written(cls, value: Path) -> Path:
        if value.is_dir():
            raise ValueError("is a folder, the name of a file is wanted")
        if value.exists() and not os.access(value, os.W_OK):
            raise ValueError("cannot be written by this user")
        _must_be_writable(value.parent)
        return value

    @field_validator("spool_dir")
    @classmethod
    def _can_hold_reports(cls, value: Path | None) -> Path | None:
        if value is not None:
            _must_be_writable(value)
        return value

    @field_validator("log_messages_file")
    @classmethod
    def _can_be_read(cls, value: Path | None) -> Path | None:
        if value is not None:
            load_log_messages(value)
        return value

    @field_validator("health_check_url")
    @classmethod
    def _can_be_asked(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value, ("http", "https", "rtsp", "rtsps"))
        return value

    @field_validator("enable_syslog")
    @classmethod
    def _has_a_server(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "syslog_server" in info.data and info.data["syslog_server"] is None:
            raise ValueError("SYSLOG_SERVER is missing")
        return value

    @field_validator("backend_token_file")
    @classmethod
    def _is_a_secret(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                read_secret(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("backend_endpoint")
    @classmethod
    def _keeps_the_token(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_url(value, ("http", "https"))
            if info.data.get("backend_token_file") is not None and not value.startswith("https://"):
                raise ValueError("it must begin with https://, as BACKEND_TOKEN_FILE would be sent in clear text")
        return value

    @field_validator("hdd_monitor")
    @classmethod
    def _can_be_reached(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            check_url(value, ("http",))
        return value


def check_url(url: str, schemes: tuple[str, ...]) -> str:
    """Return the URL; raise ValueError, without the URL, when it cannot be one of these schemes."""
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("it must have neither spaces nor control characters")
    try:
        parts = urlsplit(url)
        right = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"it must be an address that begins with {' or '.join(f'{name}://' for name in schemes)}")
    return url


def read_settings(environment: Mapping[str, str]) -> BackupSettings:
    """Read the variables; raise ConfigError that names every one that is missing or wrong, one line each."""
    values = {name: environment.get(name.upper(), "").strip("\r\n") for name in BackupSettings.model_fields}
    try:
        return BackupSettings.model_validate({name: value for name, value in values.items() if value.strip()})
    except ValidationError as error:
        lines = sorted({_explain(detail) for detail in error.errors()})
        # Without the cause: pydantic's own text repeats the values, secrets too.
        raise ConfigError("\n".join(lines)) from None


def from_environment(env_file: Path | None = None) -> BackupSettings:
    """Read the variables of the process and, for those it has not, of a `.env` file. Raises ConfigError."""
    from dotenv import dotenv_values

    values: dict[str, str] = {}
    if env_file is not None:
        try:
            with env_file.open(encoding="utf-8") as file:
                found = dotenv_values(stream=file, interpolate=False)
                values = {name: value or "" for name, value in found.items()}
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise ConfigError(f"{env_file}: cannot be read: {reason}") from None
    return read_settings(values | os.environ)


def find_env_file(*folders: Path) -> Path | None:
    """Return the first `.env` of these folders, None when there is none."""
    return next((path for folder in folders if (path := folder / ".env").is_file()), None)


def _path(vendor: str, channel: int, subtype: int, template: str | None) -> str:
    # The field's own word for it; {stream} is ours and is understood too.
    template = None if template is None else _SUBTYPE.sub("{stream}", template)
    path = stream_path("generic" if template else vendor, channel, STREAMS[subtype], template)
    if re.search(r"[^\x21-\x7e]", path):
        raise ValueError("it must have neither spaces nor control characters")
    return path


def _must_be_writable(folder: Path) -> None:
    """Raise ValueError unless a folder can be written or made."""
    if not folder.is_absolute():
        raise ValueError("must begin with /")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{existing} cannot be written by this user")


def _explain(detail: ErrorDetails) -> str:
    """Return `NAME: value: what is right`."""
    field = str(detail["loc"][0])
    name = field.upper()
    if detail["type"] == "missing":
        text = " ".join((BackupSettings.model_fields[field].description or "").split())
        return f"{name}: is missing. {text}"
    message = mask_url(detail["msg"].removeprefix("Value error, "))
    if field in ("rtsp_password", "health_check_url", "backend_endpoint") or detail["input"] is None:
        return f"{name}: {message}"
    shown = ",".join(map(str, detail["input"])) if isinstance(detail["input"], tuple) else str(detail["input"])
    return f"{name}: {mask_url(shown)[:80]!r}: {message}"
