"""A hub for clips on this machine: rclone's SFTP server behind a link that can be cut, and a door without sshd.

`ssh` is a stand-in that does what sshd would: run the forced command with what was asked in SSH_ORIGINAL_COMMAND. The
role's own test (molecule/clip_archive) has the real sshd.
"""

import os
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import yaml

from cllmh_node.clip_store.settings import ClipStoreConfig
from cllmh_node.recordings import MARKER
from free_ports import free_port

SITE = "site-a"
_SSH = """#!{python}
import os, sys
if os.path.exists({cut!r}):
    sys.exit("ssh: connect to host 127.0.0.1: Connection refused")
os.environ["SSH_ORIGINAL_COMMAND"] = sys.argv[-1]
door = ["clip-store", "door", "--config", {config!r}, "--site", {site!r}]
os.execv({python!r}, [{python!r}, "-m", "cllmh_node", *door])
"""


class ClipHub:
    """The hub, its store, and the link to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "clips"
        self.incoming = self.store / ".incoming" / SITE
        self.incoming.mkdir(parents=True)
        (self.store / MARKER).touch()
        self.config_file = folder / "clip_store.yml"
        self.settings: dict[str, Any] = {
            "clips_dir": str(self.store),
            "state_dir": str(folder / "state"),
            "retention": {"max_used_percent": 100},
        }
        self.config_file.write_text(yaml.safe_dump(self.settings))
        self._cut_flag = folder / "cut"
        self._bin = folder / "bin"
        self._bin.mkdir()
        text = _SSH.format(python=sys.executable, cut=str(self._cut_flag), config=str(self.config_file), site=SITE)
        (self._bin / "ssh").write_text(text)
        (self._bin / "ssh").chmod(0o755)
        for key in ("host", "node"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True, timeout=30
            )
        port = free_port()
        self._server = subprocess.Popen(
            [
                *(
                    "rclone",
                    "serve",
                    "sftp",
                    str(self.incoming),
                    f"--addr=127.0.0.1:{port}",
                    "--config=",
                    "--user=clips",
                ),
                *(f"--key={folder / 'host'}", f"--authorized-keys={folder / 'node.pub'}", "--dir-cache-time=0s"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._server.stderr is not None
        for line in self._server.stderr:
            if "listening on" in line.lower():
                break
        self.link = Link(port, self._cut_flag)
        host_key = (folder / "host.pub").read_text().rsplit(" ", 1)[0]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.link.port} {host_key}\n")

    @property
    def path(self) -> str:
        """A search path with the stand-in for ssh."""
        return f"{self._bin}:{os.environ['PATH']}"

    @property
    def config(self) -> ClipStoreConfig:
        """The store's configuration."""
        return ClipStoreConfig.model_validate(self.settings)

    def destination(self) -> dict[str, Any]:
        """Return the hub as a node's configuration names it."""
        return {
            "host": "127.0.0.1",
            "port": self.link.port,
            "user": "clips",
            "key_file": str(self.folder / "node"),
            "known_hosts_file": str(self.folder / "known_hosts"),
        }

    def kept(self) -> dict[str, bytes]:
        """Return what the store keeps, by path."""
        files = [path for path in self.store.rglob("*.mp4") if ".incoming" not in path.parts]
        return {str(path.relative_to(self.store)): path.read_bytes() for path in files}

    def close(self) -> None:
        """End the server and the link."""
        self.link.close()
        self._server.terminate()
        self._server.wait(timeout=10)
        assert self._server.stderr is not None
        self._server.stderr.close()


class Link:
    """A TCP relay that counts what goes to the hub, and can be cut after some bytes of it."""

    def __init__(self, to_port: int, flag: Path) -> None:
        self._to_port = to_port
        self._flag = flag
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._cut_after: int | None = None
        self.sent_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, size_bytes: int) -> None:
        """Cut the link once so many more bytes have gone to the hub; it stays cut until `mend`."""
        self._cut_after = self.sent_bytes + size_bytes

    def mend(self) -> None:
        """Let connections through again."""
        self._cut_after = None
        self._flag.unlink(missing_ok=True)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._flag.exists():
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to_port))
                with self._lock:
                    self._open += [near, far]
                threading.Thread(target=self._relay, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._relay, args=(far, near, False), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:
        with suppress(OSError), closing(source), closing(target):
            while data := source.recv(16384):
                if is_up:
                    with self._lock:
                        self.sent_bytes += len(data)
                    if self._cut_after is not None and self.sent_bytes >= self._cut_after:
                        self._flag.touch()
                        self._cut()
                        return
                target.sendall(data)

    def _cut(self) -> None:
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()
