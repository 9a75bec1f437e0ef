"""The command line `cllmh-node VERB`.

Each verb is one small module in `cllmh_node.verbs`: `motion_test.py` there is the verb `motion-test`. A verb module has

* a docstring whose first line is the verb's help,
* `add_arguments(parser)`,
* `run(args) -> int`, the exit code.

Verb modules are all imported to build the help, so what is heavy (FFmpeg, OpenCV) is imported inside `run`.

Exit codes: 0 done, 1 the verb could not do its work, 2 wrong usage or configuration, 130 interrupted.
"""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

from cllmh_node import __version__, verbs
from cllmh_node.config import ConfigError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Verb(Protocol):
    """What a module in `cllmh_node.verbs` offers."""

    __doc__: str | None
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def find_verbs() -> Iterator[tuple[str, Verb]]:
    """Yield (verb name, module), sorted by name."""
    for module in sorted(pkgutil.iter_modules(verbs.__path__), key=lambda found: found.name):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"{verbs.__name__}.{module.name}")
            yield module.name.replace("_", "-"), cast(Verb, loaded)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line, one sub-command a verb."""
    parser = argparse.ArgumentParser(prog="cllmh-node", description="What runs on a CLLMH node.")
    parser.add_argument("--version", action="version", version=f"cllmh-node {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in find_verbs():
        text = (verb.__doc__ or "").strip()
        summary = text.splitlines()[0] if text else ""
        subparser = subparsers.add_parser(
            name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.add_arguments(subparser)
        subparser.set_defaults(run=verb.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) went away. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return code
