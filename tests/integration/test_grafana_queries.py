"""Every query of every dashboard against a real Loki with lines of nodes, routers and DVRs, and what they find."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from loki_server import ROOT, WHY_NOT, LokiServer, Pushed, nanoseconds, running_loki

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(hours=1)
SITES = ("site-a", "site-b")
FOLDER = ROOT / "roles/grafana/files/dashboards"
VALUES = {"$__auto": "60s", "$__range": "3600s", "$__interval": "60s", "$kind": ".+", "$severity": ".+"}
TYPED = {"${device:regex}": "", "${search:regex}": ""}
TEXTS = (
    ("node", "warning", 'event=camera_lost camera=gate cause=network text="no route" msg="Camera gate is lost"'),
    ("router", "err", "ether2 link down"),
    ("router", "info", "ether2 link up (speed 1G, full duplex)"),
    ("node", "info", 'event=camera_returned camera=gate seconds=93.5 msg="Camera gate is back"'),
    ("node", "info", 'event=clip_closed camera=gate seconds=12.4 path=gate/x.mp4 msg="Camera gate recorded"'),
    ("node", "err", 'event=disk_failed text="read-only" msg="Nothing can be recorded"'),
    ("dvr", "warning", "HDD error, channel 3"),
)


def queries() -> list[tuple[str, str, str, str]]:
    """Return dashboard, panel, expression and query type of every query."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                found.append((path.stem, panel["title"], target["expr"], target["queryType"]))
    return found


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LokiServer]:
    with running_loki(tmp_path_factory.mktemp("loki")) as server:
        for site in SITES:
            lines = []
            for index, (kind, severity, text) in enumerate(TEXTS):
                at = BEGIN + timedelta(minutes=5 * (index + 1))
                more = {"topics": "interface,info"} if kind == "router" else {}
                name = f"f9aa28aa@{index + 1:016x}"
                lines.append(
                    Pushed(nanoseconds(at), text, name, at.isoformat(), f"{kind}-{site[-1]}", kind, severity, more)
                )
            server.push(site, lines)
        yield server


def ask(loki: LokiServer, expr: str, over: str, site: str = "site-a|site-b", **values: str) -> list[Any]:
    """Return what Loki answers to a query, with the variables filled in as Grafana does."""
    for variable, value in {"$site": site, **VALUES, **TYPED, **values}.items():
        expr = expr.replace(variable, value)
    asked: dict[str, Any] = {"query": expr}
    if over == "range":
        asked |= {"start": nanoseconds(BEGIN), "end": nanoseconds(NOW), "step": "60s", "limit": 1000}
    else:
        asked |= {"time": nanoseconds(NOW)}
    path = "query_range" if over == "range" else "query"
    answer = loki.ask(f"/loki/api/v1/{path}?{urlencode(asked)}", "|".join(SITES))
    result: list[Any] = answer["data"]["result"]
    return result


@pytest.mark.parametrize(("dashboard", "panel", "expr", "over"), queries(), ids=lambda part: str(part)[:24])
def test_a_query_is_answered_and_finds_lines(
    loki: LokiServer, dashboard: str, panel: str, expr: str, over: str
) -> None:
    site = "site-a" if dashboard == "site" else "site-a|site-b"
    result = ask(loki, expr, over, site)
    assert result, f"{dashboard}: {panel}: nothing found by {expr}"
    labels = [series.get("metric", series.get("stream", {})) for series in result]
    assert not any("__error__" in found for found in labels), labels


def of_panel(dashboard: str, title: str) -> list[tuple[str, str]]:
    return [(expr, over) for name, panel, expr, over in queries() if (name, panel) == (dashboard, title)]


def test_the_time_without_video_is_that_of_the_gaps(loki: LokiServer) -> None:
    (expr, over), _ = of_panel("camera_gaps", "By camera")
    found = {(row["metric"]["site"], row["metric"]["camera"]): float(row["value"][1]) for row in ask(loki, expr, over)}
    assert found == {("site-a", "gate"): 93.5, ("site-b", "gate"): 93.5}


def test_cameras_and_router_stand_in_one_list(loki: LokiServer) -> None:
    ((expr, over),) = of_panel("camera_gaps", "Cameras and router, in the order of time")
    values = [value for stream in ask(loki, expr, over, "site-a") for value in stream["values"]]
    texts = [text for _, text in sorted(values)]
    assert [re.split(r"[ =]", text)[1] for text in texts] == ["camera_lost", "link", "link", "camera_returned"]


@pytest.mark.parametrize(
    ("kind", "severity", "device", "search", "found"),
    [
        (".+", ".+", "", "", 7),
        ("router", ".+", "", "", 2),
        (".+", "err|warning", "", "", 4),
        (".+", ".+", "ROUTER", "", 2),
        (".+", ".+", "", "hdd", 1),
        (".+", ".+", "", r"speed 1G, full duplex\)", 1),
        (".+", ".+", "nobody", "", 0),
    ],
)
def test_lines_are_chosen_by_kind_severity_device_and_text(
    loki: LokiServer, kind: str, severity: str, device: str, search: str, found: int
) -> None:
    ((expr, over),) = of_panel("logs", "Lines")
    given = {"$kind": kind, "$severity": severity, "${device:regex}": device, "${search:regex}": search}
    values = [value for stream in ask(loki, expr, over, "site-a", **given) for value in stream["values"]]
    assert len(values) == found


def test_the_variable_site_has_the_sites(loki: LokiServer) -> None:
    for path in FOLDER.glob("*.json"):
        for variable in json.loads(Path(path).read_text())["templating"]["list"]:
            if variable["type"] == "query":
                asked = urlencode({"query": variable["query"]["stream"], "start": nanoseconds(BEGIN)})
                answer = loki.ask(f"/loki/api/v1/label/{variable['query']['label']}/values?{asked}", "|".join(SITES))
                assert answer["data"] == list(SITES)
