"""The command line `cllmh-node VERB`.

Each verb is one small module in `cllmh_node.verbs`: `motion_test.py` there is the verb `motion-test`. A verb module has

* a docstring whose first line is the verb's help,
* `add_arguments(parser)`,
* `run(args) -> int`, the exit code.

Only the verb that is named is imported, all of them for the help; what is heavy (FFmpeg, OpenCV) is imported inside
`run`.

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


def verb_names() -> list[str]:
    """Return the names of all verbs, sorted."""
    modules = [module.name for module in pkgutil.iter_modules(verbs.__path__)]
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def find_verbs(names: Sequence[str]) -> Iterator[tuple[str, Verb]]:
    """Yield (verb name, module)."""
    for name in names:
        loaded = importlib.import_module(f"{verbs.__name__}.{name.replace('-', '_')}")
        yield name, cast(Verb, loaded)


def build_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the command line with some verbs, one sub-command a verb."""
    parser = argparse.ArgumentParser(prog="cllmh-node", description="What runs on a CLLMH node.")
    parser.add_argument("--version", action="version", version=f"cllmh-node {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in find_verbs(names):
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
    words = sys.argv[1:] if argv is None else argv
    known = verb_names()
    args = build_parser([words[0]] if words and words[0] in known else known).parse_args(words)
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
