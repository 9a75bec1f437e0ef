"""Connecting to Elasticsearch. Its client takes a second to load: import this only where it is needed."""

import logging
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from cllmh_hub.config_file import read_secret
from cllmh_hub.elasticsearch_login import ElasticsearchLogin


def connect(login: ElasticsearchLogin, *, password_file: Path | None = None, **options: Any) -> Elasticsearch:
    """Return a client that speaks to whichever machine answers; raise ConfigError where there is no password.

    `password_file` is taken instead of the login's; `options` are the client's own.
    """
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)  # it has a line for each request
    return Elasticsearch(
        [str(url) for url in login.urls],
        ca_certs=str(login.ca_file),
        basic_auth=(login.username, read_secret(password_file or login.password_file)),
        **options,
    )
