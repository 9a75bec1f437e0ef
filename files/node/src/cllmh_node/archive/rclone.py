"""rclone (Debian's, 1.60 or later), run with a configuration of its own that no other user can read."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cllmh_node.archive.settings import BucketDestination, HubDestination
from cllmh_node.config import read_secret

_END_S = 10.0
_CHECK_S = 1.0


class ArchiveError(Exception):
    """Clips cannot be sent or verified now; the text says what refused and why. Trying later is right."""


class StoppedError(ArchiveError):
    """The hours are over (or another rate begins), or the run was told to end: no fault."""


@dataclass(frozen=True, slots=True)
class Rclone:
    """rclone with one remote, named `to:`."""

    folder: Path
    """Private folder with `rclone.conf`; lists of files are put here, too."""

    remote: str
    """Where clips go, such as `to:bucket/prefix`."""

    idle_timeout_s: float
    """A connection that brings nothing for so long is given up."""

    def copy(
        self, root: Path, paths: Sequence[str], max_bytes_per_s: int | None, go_on: Callable[[], bool]
    ) -> str | None:
        """Copy clips that are not there yet; return None, or what rclone complained of first when it did not copy all.

        What was copied has arrived only when it is verified. Raises StoppedError as soon as `go_on()` is false.
        """
        limit = [f"--bwlimit={max_bytes_per_s}B"] if max_bytes_per_s else []
        # One at a time: a link that is cut takes one clip with it.
        flags = ["--transfers=1", "--checkers=2", "--ignore-checksum", *limit]
        code, _, complaint = self._run("copy", [str(root), self.remote], paths, flags, go_on)
        return complaint if code else None

    def md5(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the MD5 that the remote has of each of these files, by path; those it has none of are left out."""
        code, said, complaint = self._run("hashsum", ["MD5", self.remote], paths, [], lambda: True)
        lines = [line.split("  ", 1) for line in said.splitlines()]
        found = {line[1]: line[0] for line in lines if len(line) == 2 and len(line[0]) == 32}
        if code and not found:
            raise ArchiveError(f"the copies cannot be verified: {complaint}")
        return found

    def _run(
        self, verb: str, arguments: list[str], paths: Sequence[str], flags: list[str], go_on: Callable[[], bool]
    ) -> tuple[int, str, str]:
        """Run rclone over some files; return its exit code, its output and its first complaint."""
        files = self.folder / "files"
        files.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        # Without traversing, each file is asked for by name: a day's folder may have thousands.
        command = [
            *("rclone", verb, *arguments, f"--config={self.folder / 'rclone.conf'}", f"--files-from-raw={files}"),
            *("--retries=1", "--low-level-retries=1", "--contimeout=20s", f"--timeout={self.idle_timeout_s:.0f}s"),
            *("--no-traverse", "--use-json-log", "--log-level=ERROR", *flags),
        ]
        # Nothing of ours: RCLONE_... variables would change what it does.
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)}
        with (self.folder / "out").open("w+b") as out, (self.folder / "err").open("w+b") as err:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
            except FileNotFoundError:
                raise ArchiveError("rclone is not installed here: apt install rclone") from None
            code = _wait(process, go_on)
            out.seek(0)
            err.seek(0)
            said = out.read().decode(errors="replace")
            return code, said, _complaint(err.read().decode(errors="replace"))


@contextmanager
def rclone_for(destination: HubDestination | BucketDestination, idle_timeout_s: float) -> Iterator[Rclone]:
    """Give an rclone that knows the destination; its configuration is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cllmh-archive-") as name:  # 0700
        folder = Path(name)
        path = ""
        if isinstance(destination, HubDestination):
            section = _hub_section(destination)
        else:
            section = _bucket_section(destination)
            path = f"{destination.bucket}/{destination.prefix.strip('/')}"
        config = folder / "rclone.conf"
        config.touch(mode=0o600)
        config.write_text("[to]\n" + "".join(f"{key} = {value}\n" for key, value in section.items()), encoding="utf-8")
        yield Rclone(folder, f"to:{path}", idle_timeout_s)


def _hub_section(hub: HubDestination) -> dict[str, str]:
    return {
        "type": "sftp",
        "host": hub.host,
        "port": str(hub.port),
        "user": hub.user,
        "key_file": str(hub.key_file),
        "known_hosts_file": str(hub.known_hosts_file),
        # The hub verifies, see `destination`; it has no shell that could be asked for a hash.
        "disable_hashcheck": "true",
        "shell_type": "none",
    }


def _bucket_section(bucket: BucketDestination) -> dict[str, str]:
    section = {
        "type": "s3",
        "provider": bucket.provider,
        "access_key_id": bucket.access_key_id,
        "secret_access_key": read_secret(bucket.secret_key_file),
        "endpoint": bucket.endpoint or "",
        "region": bucket.region or "",
        "env_auth": "false",
        "no_check_bucket": "true",
        # In one piece, the server checks the MD5 and says it; in several it would only repeat what we said.
        "upload_cutoff": "5G",
    }
    return {key: value for key, value in section.items() if value}


def _wait(process: "subprocess.Popen[bytes]", go_on: Callable[[], bool]) -> int:
    """Wait until the process ends; end it and raise StoppedError as soon as `go_on()` is false."""
    try:
        while True:
            try:
                return process.wait(timeout=_CHECK_S)
            except subprocess.TimeoutExpired:
                if not go_on():
                    raise StoppedError("the hours are over, or the run was told to end") from None
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _complaint(log: str) -> str:
    """Return the first error in rclone's log, which is the cause of the others."""
    lines = [line for line in log.splitlines() if line.strip()]
    for line in lines:
        try:
            return str(json.loads(line)["msg"]).strip()
        except (ValueError, KeyError, TypeError):
            continue
    return lines[-1].strip() if lines else "rclone said nothing"
