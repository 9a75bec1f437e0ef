"""The routers' DDNS names, as the rollout left them in the routers folder."""

import logging
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cllmh_hub import log
from cllmh_hub.contract.reports import Name

_logger = logging.getLogger(__name__)


class RouterFile(BaseModel):
    """One file of the folder."""

    name: Name
    site: Name
    ddns_name: str | None = None
    status: str | None = None


def read_routers(folder: Path) -> list[RouterFile]:
    """Return the routers by name; a file that cannot be used is logged and left out."""
    routers = []
    for path in sorted(folder.glob("*.json")):
        try:
            routers.append(RouterFile.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            log.event(_logger, "router_file_unusable", level=logging.WARNING, path=path, error=type(error).__name__)
    return sorted(routers, key=lambda router: router.name)
