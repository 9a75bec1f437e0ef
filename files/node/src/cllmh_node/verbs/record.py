"""Record cameras when something moves, in the foreground, until SIGTERM or Ctrl-C.

Example: cllmh-node record --config /etc/cllmh/recorder.yml
"""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the recorder's configuration")
    parser.add_argument(
        "--check", action="store_true", help="only say whether the configuration and its password files are right"
    )


def run(args: argparse.Namespace) -> int:
    """Run the recorder."""
    from cllmh_node import log
    from cllmh_node.config import load_config
    from cllmh_node.recorder.fork_server import serve
    from cllmh_node.recorder.plan import OURS, PLAN_VARIABLE, Plan, put_plan, spread
    from cllmh_node.recorder.settings import RecorderConfig
    from cllmh_node.recorder.startup import check_secrets, prepare

    config = load_config(args.config, RecorderConfig)
    names = [camera.name for camera in config.cameras]
    if args.check:
        for name in sorted(set(config.retention.cameras).difference(names)):
            rule = f"{args.config}: retention.cameras.{name}"
            sys.stderr.write(f"{rule}: is no camera here, which are: {', '.join(names)}; it holds for old clips only\n")
        check_secrets(config)
        sys.stdout.write(
            f"{args.config}: right; not looked at: disk, directories, cameras (cllmh-node probe asks them)\n"
        )
        return 0
    log.setup(language=config.language, level=config.log_level)
    lock = prepare(config)
    processes = config.processes or len(os.sched_getaffinity(0))
    plan = Plan(
        config=config.model_dump_json(by_alias=True),
        shards=spread(names, processes),
        status_path=str(config.status_path),
        language=config.language,
        log_level=config.log_level,
        command=(sys.executable, "-P", "-m", "cllmh_node", "record", "--config", str(args.config.absolute())),
    )
    handle = put_plan(plan)
    signal.pthread_sigmask(signal.SIG_BLOCK, OURS)  # until the supervisor takes them they wait
    link, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    server = os.fork()
    if server == 0:  # it has the configuration already, and all that reads it
        link.close()
        serve(config, plan, far_end, parent)
    far_end.close()
    os.set_inheritable(link.fileno(), True)
    os.environ[PLAN_VARIABLE] = f"{handle},{lock},{server},{link.detach()}"
    return _become_supervisor()


def _become_supervisor() -> NoReturn:
    """Go on as the supervisor, in this process: reading the configuration took 27 MB that it does not need."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "cllmh_node.recorder.supervisor"])  # noqa: S606  no shell is wanted
