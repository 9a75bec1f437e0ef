"""What the verbs of `cllmh-hub` have in common."""

import argparse
import runpy
import sys
from pathlib import Path


def add_config(parser: argparse.ArgumentParser, default: Path) -> None:
    """Add the option `--config`."""
    parser.add_argument(
        "--config", type=Path, default=default, metavar="FILE", help="configuration (default: %(default)s)"
    )


def serve(module: str, config: Path, bind: str, *, workers: int, threads: int, options: tuple[str, ...]) -> None:
    """Serve `create_app_from(config)` of a module by gunicorn; ends by SystemExit.

    `config` must have been read once before: a wrong file is one clear sentence there and a stack trace in gunicorn.
    """
    sys.argv = [
        "gunicorn",
        *("--bind", bind),
        *("--workers", str(workers), "--worker-class", "gthread", "--threads", str(threads)),
        *("--umask", "0117"),  # a unix socket of mode 0660: only nginx, by its group, and we
        "--no-control-socket",
        *options,
        f"{module}:create_app_from({str(config)!r})",
    ]
    runpy.run_module("gunicorn", run_name="__main__")
