"""docs/benchmarks.md and its plot, made from build/bench/*.json; sections of what was not measured there stay."""

from __future__ import annotations

import json
import re
from typing import Any

from bench.harness import BUILD, ROOT, shown

DOCS = ROOT / "docs"
PLOT = DOCS / "images" / "recorder_scale.svg"
WIDTH, HEIGHT, MARGIN = 640, 320, 48
COLOURS = {"quiet": "#2b6cb0", "quarter_moving": "#c05621"}


INTRODUCTION = (
    "Made by `make bench` and `make bench-docs`; the code is in `tests/bench/`. Each section says when and where it",
    "was measured; what was missed stands beside what was met. The recorder and Motion run as processes, on the same",
    "streams from `tests/bench/source.py`; what they kept is what can be decoded from their files. A full kill run is",
    "1,000 kills and a full soak 30 minutes: `kills` and the seconds of a section tell whether it was one. Power cuts",
    "are machines (qemu without KVM) that are killed: they take ten minutes, root and a Debian mirror, and so they are",
    "not part of `make test`. Benchmarks of logs run the real syslog-ng, nginx, door and Loki with the roles'",
    "configurations, on machines that are namespaces of the one that measures.\n",
)


def write() -> None:
    """Write the sections anew of what was measured in this tree; those of other benchmarks stay as they are."""
    page = DOCS / "benchmarks.md"
    sections = sections_of(page.read_text(encoding="utf-8"))
    for path in sorted(BUILD.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        text = section(document)
        if document["name"] == "recorder_scale":
            PLOT.parent.mkdir(parents=True, exist_ok=True)
            PLOT.write_text(plot(document["rows"]), encoding="utf-8")
            text += f"\n![Cost of a camera against the number of cameras]({PLOT.relative_to(DOCS)})\n"
        sections[document["name"]] = text
    parts = ["# Benchmarks\n", *INTRODUCTION, *(text for _, text in sorted(sections.items()))]
    page.write_text("\n".join(parts), encoding="utf-8")


def sections_of(page: str) -> dict[str, str]:
    """Return the sections of the page by the names of their benchmarks."""
    texts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    return {text.partition("\n")[0]: f"## {text.rstrip()}\n" for text in texts}


def section(document: dict[str, Any]) -> str:
    """Return one benchmark as Markdown."""
    words = {True: "yes", False: "**no**", None: ""}
    lines = [f"## {document['name']}\n", f"{document['date']}, {document['machine']}, {document['seconds']:.0f} s\n"]
    heads = ["metric", "value", "unit", "target", "met"]
    lines += markdown(
        heads,
        [[m["metric"], shown(m["value"]), m["unit"], m["target"] or "", words[m["met"]]] for m in document["metrics"]],
    )
    if document["rows"]:
        heads = list(dict.fromkeys(key for row in document["rows"] for key in row))
        lines += ["", *markdown(heads, [[shown(row.get(head)) for head in heads] for row in document["rows"]])]
    lines += ["", *(f"- {note}" for note in document["notes"])]
    return "\n".join(lines) + "\n"


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows]]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw percent of a core per camera against cameras."""
    most_x = max(row["cameras"] for row in rows)
    most_y = max(2.5, *(row["cpu_percent_per_camera"] * 1.1 for row in rows))

    def point(row: dict[str, Any]) -> tuple[float, float]:
        x = MARGIN + row["cameras"] / most_x * (WIDTH - 2 * MARGIN)
        return x, HEIGHT - MARGIN - row["cpu_percent_per_camera"] / most_y * (HEIGHT - 2 * MARGIN)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">']
    out.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><style>text {{ font-size: 12px }}</style>')
    base, left = HEIGHT - MARGIN, MARGIN
    out.append(f'<path d="M{left} {MARGIN}V{base}H{WIDTH - MARGIN}" fill="none" stroke="#444"/>')
    for row in (row for row in rows if row["scene"] == "quiet"):
        x, _ = point(row)
        out.append(f'<text x="{x:.0f}" y="{base + 16}" text-anchor="middle">{row["cameras"]}</text>')
    for tick in range(int(most_y) + 1):
        y = base - tick / most_y * (HEIGHT - 2 * MARGIN)
        out.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{tick}</text>')
        out.append(f'<path d="M{left} {y:.0f}H{WIDTH - MARGIN}" stroke="#ddd"/>')
    out.append(f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">cameras (1080p25, 4 Mbit/s)</text>')
    out.append(f'<text x="{left}" y="{MARGIN - 26}">percent of a core per camera; the target is 2</text>')
    for number, (scene, colour) in enumerate(COLOURS.items()):
        points = [point(row) for row in rows if row["scene"] == scene]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        out.append(
            f'<text x="{left + number * 150}" y="{MARGIN - 10}" fill="{colour}">{scene.replace("_", " ")}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
