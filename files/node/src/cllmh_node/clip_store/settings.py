"""`/etc/cllmh/clip_store.yml` on the hub."""

from pathlib import Path

from cllmh_node.config import Field, ServiceConfig
from cllmh_node.recordings import check_mounted, check_root
from cllmh_node.retention_settings import RetentionConfig


class ClipStoreConfig(ServiceConfig):
    """Where the hub keeps clips, and for how long."""

    clips_dir: Path = Path("/srv/cctv/clips")
    """The store, a recordings folder; a camera in it is called `<site>.<camera>`."""

    mount_point: Path | None = None
    """The mount that the store must be on; while no disk is mounted there, nothing is taken in or deleted."""

    state_dir: Path = Path("/var/lib/cllmh-clips")
    """Directory of the index of what is kept."""

    retention: RetentionConfig = RetentionConfig()
    """When to delete which clips; `cameras` has names such as `site-a.gate`."""

    may_pin: bool = False
    """Whether a clip that is `pinned` on its node never goes here either; otherwise it is kept as `object`."""

    incoming_max_age_s: float = Field(default=7 * 86400.0, ge=3600)
    """What was sent and never verified is deleted when nothing has come to it for so long, in seconds."""

    incoming_max_bytes: int = Field(default=4_000_000_000, ge=1_000_000)
    """What a site has sent and is not verified takes at most this, and so does one file, in bytes; the oldest of more
    is deleted."""

    def checked_root(self) -> Path:
        """Return the store's folder; raise RetentionError when it is not there, or not on the disk of `mount_point`."""
        root = check_root(self.clips_dir)
        if self.mount_point is not None:
            check_mounted(root, self.mount_point)
        return root

    @property
    def index(self) -> Path:
        """The SQLite index of the clips that are kept."""
        return self.state_dir / "index.db"

    def incoming_dir(self, site: str) -> Path:
        """Return where what a site sends lies until it is verified; the only folder its node can reach."""
        return self.clips_dir / ".incoming" / site
