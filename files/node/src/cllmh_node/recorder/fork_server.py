"""The process that has loaded what a shard needs, and makes each shard by forking itself.

Loading takes more than a second of a core, a fork some milliseconds: a shard that ended is back at once, and what was
loaded is in memory once. It has one thread and opens nothing, so that a fork is safe. Not multiprocessing's fork
server: that takes its children along when it ends, and brings a third process.
"""

import argparse
import gc
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

from cllmh_node import log
from cllmh_node.recorder.kinship import die_with
from cllmh_node.recorder.plan import NEWS, READY, Plan, get_plan

if TYPE_CHECKING:
    from cllmh_node.recorder.settings import RecorderConfig

_MAX_MESSAGE_BYTES = 64


def serve(config: "RecorderConfig", plan: Plan, link: socket.socket, parent: int) -> NoReturn:
    """Fork shards for the supervisor `parent`, at the other end of `link`, for as long as it lives."""
    die_with(parent, signal.SIGKILL)
    # A fork has none of the threads that numpy's library would start; and the pictures are tiny.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    importlib.import_module("cllmh_node.recorder.shard")
    gc.collect()
    gc.freeze()  # or each fork's first collection would copy all of the memory that they share
    link.send(READY)
    os.kill(parent, NEWS)
    while True:
        message, handles, _, _ = socket.recv_fds(link, _MAX_MESSAGE_BYTES, 1)
        if not message:
            os._exit(0)
        pid = _fork_shard(config, plan, int(message), socket.socket(fileno=handles[0]), link, parent)
        link.send(str(pid).encode())


def _fork_shard(
    config: "RecorderConfig", plan: Plan, number: int, shard_link: socket.socket, link: socket.socket, parent: int
) -> int:
    """Fork a shard, which becomes a child of the supervisor since its own parent ends at once; return its pid."""
    with shard_link:
        read, write = os.pipe()
        middle = os.fork()
        if middle == 0:
            middle = os.getpid()
            pid = os.fork()
            if pid:
                os.write(write, str(pid).encode())
                os._exit(0)
            os.close(read)
            os.close(write)
            link.close()
            _be_shard(config, plan, number, shard_link, middle, parent)
        os.close(write)
        pid = int(os.read(read, _MAX_MESSAGE_BYTES))
        os.close(read)
        os.waitpid(middle, 0)
        return pid


def _be_shard(
    config: "RecorderConfig", plan: Plan, number: int, link: socket.socket, middle: int, parent: int
) -> NoReturn:
    """Run a shard in this process, and end it."""
    from cllmh_node.recorder import shard

    code = 1
    try:
        while os.getppid() == middle:
            time.sleep(0.001)
        die_with(parent, signal.SIGTERM)
        code = shard.run(config, plan, number, link)
    except SystemExit:
        code = 0
    except BaseException:  # noqa: BLE001  told, and then the process ends
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # Without the interpreter's own end: it would wait for threads that are connecting.
        os._exit(code)


def main() -> NoReturn:
    """Run for the supervisor that has lost the one it had."""
    from cllmh_node.recorder.settings import RecorderConfig

    parser = argparse.ArgumentParser()
    for name in ("plan", "link", "parent"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    plan = get_plan(args.plan)
    log.setup(language=plan.language, level=plan.log_level)
    serve(RecorderConfig.model_validate_json(plan.config), plan, socket.socket(fileno=args.link), args.parent)


if __name__ == "__main__":
    main()
