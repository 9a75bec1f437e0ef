"""What a node may do on the hub by ssh: the command that sshd runs for its key, whatever it asked for.

* the SFTP subsystem: an SFTP server that has the site's folder of incoming clips as its root;
* `room`: whether there is room for clips;
* `keep`: claims on the input, an answer for each on the output.

All else is refused, a shell too.
"""

import os
import resource
import sys
from collections.abc import Iterator
from typing import TextIO

from pydantic import ValidationError

from cllmh_node.archive.claim import MAX_LINE_BYTES, MAX_LINES, Claim, to_line
from cllmh_node.clip_store.keep import Keeper
from cllmh_node.clip_store.room import make_room
from cllmh_node.clip_store.settings import ClipStoreConfig

_SFTP = ("internal-sftp", "sftp-server")
"""What the command of the SFTP subsystem is called in sshd_config; sshd tells us that as what was asked for."""


class RefusedError(Exception):
    """The node asked for what it may not have; the text is for its log."""


def serve(config: ClipStoreConfig, site: str, asked: str) -> None:
    """Do what was asked, `asked` being sshd's SSH_ORIGINAL_COMMAND. Raises RefusedError, RetentionError."""
    os.umask(0o027)
    command = asked.strip()
    if command == "room":
        sys.stdout.write(to_line(make_room(config)))
    elif command == "keep":
        _keep(config, site, sys.stdin, sys.stdout)
    elif command.split(" ", 1)[0].rpartition("/")[2] in _SFTP:
        _serve_sftp(config, site)
    else:
        raise RefusedError(f"{command[:40]!r}: this account takes clips by SFTP, and knows `room` and `keep`")


def _keep(config: ClipStoreConfig, site: str, claims: TextIO, answers: TextIO) -> None:
    """Answer each claim as soon as it is decided."""
    keeper = Keeper(config, site)
    try:
        for claim in _read_claims(claims):
            answers.write(to_line(keeper.keep(claim)))
            answers.flush()
    finally:
        keeper.close()


def _read_claims(lines: TextIO) -> Iterator[Claim]:
    """Yield the claims; raise RefusedError at what is none."""
    for number in range(1, MAX_LINES + 2):
        line = lines.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if number > MAX_LINES:
            raise RefusedError(f"more than {MAX_LINES} claims in one go")
        if len(line) > MAX_LINE_BYTES:
            raise RefusedError(f"claim {number} is longer than {MAX_LINE_BYTES} characters")
        try:
            yield Claim.model_validate_json(line)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise RefusedError(f"claim {number}: {where}: {problem['msg']}") from None


def _serve_sftp(config: ClipStoreConfig, site: str) -> None:
    """Become an SFTP server that knows nothing but the site's folder, and makes no links."""
    config.checked_root()
    room = make_room(config)
    if not room.has_room:
        raise RefusedError(room.reason)
    folder = config.incoming_dir(site)
    folder.mkdir(parents=True, exist_ok=True)
    command = ["rclone", "serve", "sftp", "--stdio", "--config=", "--log-level=ERROR", "--umask=027"]
    # What comes over a slow link comes late, and not always in order.
    command += ["--vfs-cache-mode=off", "--vfs-write-wait=30s", "--dir-cache-time=0s", "--", str(folder)]
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(config.state_dir)}
    # One file does not fill the disk before the next look at it. A limit that is lower already stays.
    limits = [limit for limit in resource.getrlimit(resource.RLIMIT_FSIZE) if limit != resource.RLIM_INFINITY]
    largest = min([config.incoming_max_bytes, *limits])
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    os.execvpe(command[0], command, env)  # noqa: S606  no shell is wanted
