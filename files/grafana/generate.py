#!/usr/bin/env python3
"""Write the dashboards that role grafana provisions: `.venv/bin/python files/grafana/generate.py`."""

from pathlib import Path

from boards import ALL
from grafana_foundation_sdk.cog.encoder import JSONEncoder

TARGET = Path(__file__).parents[2] / "roles/grafana/files/dashboards"


def as_json(name: str) -> str:
    """Return the file of one dashboard."""
    return JSONEncoder(sort_keys=True, indent=2).encode(ALL[name]().build()) + "\n"


def main() -> None:
    """Write all files."""
    for name in ALL:
        (TARGET / f"{name}.json").write_text(as_json(name), encoding="utf-8")


if __name__ == "__main__":
    main()
