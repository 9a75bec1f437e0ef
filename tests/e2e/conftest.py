"""The lab that `make test-e2e` has rolled out and proved; what was proved is in the file CLLMH_PROOF names."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def proof():
    """What scripts/prove.py wrote: hub_url, username, password, ca_file, sites, cameras, clips, log_mark, ..."""
    path = Path(os.environ.get("CLLMH_PROOF", ROOT / "build/demo.json"))
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make demo` or `make test-e2e` first")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def lab_dir():
    """Folder with the lab's ssh_config and the controller's state."""
    return ROOT / "build/lab" / os.environ.get("CLLMH_LAB", "0")


@pytest.fixture(scope="session")
def ssh(lab_dir):
    """Run a shell line on a machine of the lab; gives the finished process."""

    def run(machine, line, check=True):
        command = ["ssh", "-F", str(lab_dir / "ssh_config"), machine, line]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)

    return run


@pytest.fixture(scope="session")
def screenshots():
    """Folder for what a person would see."""
    folder = ROOT / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
