"""What runs on a CLLMH node.

The folders follow the way of the data: rtsp -> ring -> motion -> recorder -> clips -> retention -> reports.
"""

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: that takes longer than all else that retention needs to start."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cllmh-node")
    except PackageNotFoundError:  # run straight from the source tree, not installed
        return "0+source"
