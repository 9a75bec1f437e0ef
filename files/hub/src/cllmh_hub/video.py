"""Fetching a clip from its node's gateway: encrypted, with the hub's certificate, as a stream."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import requests

from cllmh_hub import log
from cllmh_hub.errors import ApiError

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 15
_CHUNK_BYTES = 64 * 1024
_ASKED_HEADERS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")
_GIVEN_HEADERS = ("Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified")
_PASSED_STATUSES = (200, 206, 304, 416)

_logger = logging.getLogger(__name__)


class NodeStream:
    """A node's answer whose body has not been read yet; must be closed."""

    def __init__(self, response: requests.Response, http: requests.Session, node: str) -> None:
        self._response = response
        self._http = http
        self._node = node
        self.status = response.status_code
        self.headers = {name: response.headers[name] for name in _GIVEN_HEADERS if name in response.headers}

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; when the node goes away meanwhile, log it and break the person's connection too."""
        try:
            yield from self._response.iter_content(_CHUNK_BYTES)
        except requests.RequestException as error:
            log.event(_logger, "clip_stream_broken", level=logging.WARNING, node=self._node, error=type(error).__name__)
            raise

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()
        self._http.close()


class NodeVideos:
    """Opens clips on nodes, proving with a client certificate that it is the hub who asks."""

    def __init__(self, *, ca: Path, cert: Path, key: Path) -> None:
        self._ca = str(ca)
        self._cert = (str(cert), str(key))

    def open(self, *, node: str, node_url: str, path: str, method: str, asked: Mapping[str, str]) -> NodeStream:
        """Ask `node` for the clip at `path`, a path from the database; raise ApiError when it gives none."""
        http = requests.Session()
        http.trust_env = False  # the node is asked directly, and trusted by our own CA only
        http.verify = self._ca
        http.cert = self._cert
        headers = {"Accept-Encoding": "identity"}
        headers.update({name: asked[name] for name in _ASKED_HEADERS if name in asked})
        try:
            response = http.request(
                method,
                f"{node_url.rstrip('/')}/clips/{quote(path)}",
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S),
            )
        except requests.Timeout as error:
            http.close()
            raise ApiError(504, "node_timeout", f"Node {node} does not answer; its link may be down.") from error
        except (requests.RequestException, OSError) as error:  # OSError: our own certificate cannot be read
            http.close()
            log.event(_logger, "node_unreachable", level=logging.WARNING, node=node, error=str(error))
            raise ApiError(502, "node_unreachable", f"Node {node} cannot be reached.") from error
        stream = NodeStream(response, http, node)
        if stream.status in _PASSED_STATUSES:
            return stream
        stream.close()
        if stream.status == 404:
            raise ApiError(404, "clip_gone", f"Node {node} no longer has this clip.")
        raise ApiError(502, "node_refused", f"Node {node} answered {stream.status}.")
