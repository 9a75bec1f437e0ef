"""`make bench [NAME=name] [SHORT=1]`: run benchmarks, show them as tables, keep them in build/bench/."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from bench import report
from bench.harness import BUILD, keep, table

NAMES = (
    "recorder_vs_motion",
    "recorder_scale",
    "recorder_kill",
    "recorder_power_cut",
    "recorder_soak",
    "prune",
    "probe",
    "disk_full",
    "backup",
    "logs_loss",
    "logs_speed",
    "logs_backlog",
    "logs_retention",
    "logs_rotation",
)


def main() -> int:
    """Return the exit code: 0 all ran (whatever the figures are), 1 one could not."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)} (default: all)")
    parser.add_argument(
        "--short", action="store_true", help="the short form: it shows that all works, its figures mean little"
    )
    parser.add_argument("--docs", action="store_true", help="only write docs/benchmarks.md anew from build/bench/")
    options = parser.parse_args()
    if options.docs:
        report.write()
        return 0
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"{', '.join(unknown)}: there is no such benchmark; there are {', '.join(NAMES)}")
    failed = []
    for name in options.names or NAMES:
        began = time.monotonic()
        try:
            result = importlib.import_module(f"bench.{name}").run(options.short)
        except (OSError, TimeoutError, RuntimeError) as error:
            print(f"\n{name}: {error}", file=sys.stderr)
            failed.append(name)
            continue
        path = keep(result, time.monotonic() - began, BUILD / "short" if options.short else BUILD)
        print(f"\n{table(result)}\n-> {path}\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
