"""How the hub's programs say who they are to Elasticsearch."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl, UrlConstraints

from cllmh_hub.config_file import StrictModel


class ElasticsearchLogin(StrictModel):
    """A user of the cluster."""

    urls: Annotated[
        tuple[Annotated[HttpUrl, UrlConstraints(allowed_schemes=["https"])], ...],  # a password goes there
        Field(min_length=1),
    ]
    """Of the machines of the cluster; any of them will do."""

    ca_file: Path = Path("/etc/cllmh/pki/ca.crt")
    username: str
    password_file: Path
