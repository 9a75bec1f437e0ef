"""What the recorder says of itself, by its status file."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """What the recorder last said of itself."""

    age_s: float | None
    """Seconds since it did; None when it never did."""
    cameras: dict[str, dict[str, Any]]
    """Camera name -> state, since, last_frame_at and more, as the recorder writes them."""

    @property
    def lost(self) -> list[str]:
        """Cameras that send nothing at present."""
        return sorted(name for name, camera in self.cameras.items() if camera.get("state") == "lost")


def read_recorder_status(path: Path, now: float) -> RecorderStatus:
    """Read the recorder's status file; a missing or broken one is a recorder that never spoke."""
    try:
        data = json.loads(path.read_bytes())
        at = datetime.fromisoformat(data["at"])
        cameras = {str(name): dict(camera) for name, camera in data["cameras"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RecorderStatus(None, {})
    return RecorderStatus(max(0.0, now - at.timestamp()), cameras)
