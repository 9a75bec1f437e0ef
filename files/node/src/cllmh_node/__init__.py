"""What runs on a CLLMH node.

The folders follow the way of the data: rtsp -> ring -> motion -> recorder -> clips -> retention -> reports.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cllmh-node")
except PackageNotFoundError:  # run straight from the source tree, not installed
    __version__ = "0+source"
