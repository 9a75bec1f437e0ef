"""The CLLMH hub's API: what nodes report, what people see."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cllmh-hub")
except PackageNotFoundError:  # run straight from the source tree, not installed
    __version__ = "0+source"
