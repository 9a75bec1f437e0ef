"""The collection's modules as Ansible imports them."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

COLLECTIONS = Path(__file__).parents[2] / "collections"


@contextmanager
def imported(module: str) -> Iterator[ModuleType]:
    """Import a module of plugins/modules through Ansible's own loader, and forget it afterwards."""
    finder = _AnsibleCollectionFinder(paths=[str(COLLECTIONS)])
    known = set(sys.modules)
    finder._install()
    try:
        yield importlib.import_module(f"ansible_collections.cllmh.cctv.plugins.modules.{module}")
    finally:
        finder._remove()
        for name in set(sys.modules) - known:
            if name.startswith("ansible_collections"):
                del sys.modules[name]
