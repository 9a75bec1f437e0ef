"""hdd_monitor.py works by itself: a YAML file and a folder, no Ansible and no hub."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from cllmh_node.config import load_config
from cllmh_node.hdd_monitor.config import HddMonitorConfig
from free_ports import free_port
from unit.recordings_folder import HOUR_S, Recordings

FOLDER = Path(__file__).parents[3] / "files" / "hdd_monitor"


def example() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "hdd_monitor.example.yml").read_text())
    return found


def test_the_example_is_a_right_configuration() -> None:
    config = load_config(FOLDER / "hdd_monitor.example.yml", HddMonitorConfig)
    assert (config.index, config.spool_dir, config.listen) == (None, None, "127.0.0.1:8080")


def test_it_prunes_a_folder_without_an_index_and_answers(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    old = recordings.add(30 * 24 * HOUR_S)
    script = shutil.copy(FOLDER / "hdd_monitor.py", tmp_path)
    port = free_port()
    changes = {"recordings_dir": str(recordings.root), "listen": f"127.0.0.1:{port}", "retention": {"max_age_s": 86400}}
    (tmp_path / "hdd_monitor.yml").write_text(yaml.safe_dump({**example(), **changes, "interval_s": 0.1}))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        service = subprocess.Popen([sys.executable, script], cwd=tmp_path, env=environment)
        try:
            for _ in range(4):  # READY=1, then a sign of life for each look
                listener.recv(100)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/disk", timeout=20) as answer:
                disk = json.load(answer)
        finally:
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == 0
    assert disk["last_prune"]["deleted"] == 1
    assert not (recordings.root / old).exists()
    assert disk["growth"]["reason"] == "no index of clips was seen yet"
    assert (tmp_path / "state" / "growth.json").exists()


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    script = shutil.copy(FOLDER / "hdd_monitor.py", tmp_path)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"{tmp_path}/hdd_monitor.yml: cannot be read" in done.stderr
