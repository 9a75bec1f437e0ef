"""The health check before a run: is the DVR, or what stands for it, there?"""

from cllmh_node.backup.streams import validate_rtsp_stream
from cllmh_node.rtsp.rtsp_target import mask_url


def health_problem(url: str, timeout_s: float) -> str | None:
    """Return what is wrong, None when all is well: http(s) answers 2xx, rtsp has a picture."""
    if url.startswith("rtsp"):
        has_picture = validate_rtsp_stream(url, timeout_s)
        return None if has_picture else f"{mask_url(url)} gives no picture within {timeout_s:g} s"
    import requests  # takes a quarter of the time to start, and is not always wanted

    shown = _without_login(url)
    try:
        with requests.get(url, timeout=timeout_s, stream=True) as answer:
            code = answer.status_code
    except requests.RequestException as error:
        return f"{shown} does not answer: {type(error).__name__}"
    return None if 200 <= code < 300 else f"{shown} answers {code}, 2xx is wanted"


def _without_login(url: str) -> str:
    """Return a URL without user, password and query, which may hold a key."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
