"""The scripts that these tests are about; they are in no package."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lab = _load("lab", "roles/lab/files/lab.py")
machine = _load("machine", "scripts/machine.py")
