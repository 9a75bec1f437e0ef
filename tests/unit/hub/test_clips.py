"""Clips, gaps and their video."""

from typing import Any

import pytest
from requests.exceptions import ChunkedEncodingError

from cllmh_hub.app import create_app
from cllmh_hub.config import HubConfig
from unit.hub.certificates import Certificates
from unit.hub.helpers import Browser, Reporter, clip, error_code
from unit.hub.servers import CLIP_BYTES, CLIP_PATH, Server


def items(browser: Browser, url: str) -> list[dict[str, Any]]:
    response = browser.get(url)
    assert response.status_code == 200, response.get_json()
    found: list[dict[str, Any]] = response.get_json()["items"]
    return found


def starts(browser: Browser, query: str) -> list[str]:
    return [item["start"][11:16] for item in items(browser, f"/api/v1/clips?{query}")]


def gap(minute: int = 0, end: int | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "camera": "gate",
        "start": f"2026-11-22T03:{minute:02}:00.000Z",
        "end": None if end is None else f"2026-11-22T03:{end:02}:00.000Z",
        "cause": "network",
        **changes,
    }


def test_a_clip_is_listed_with_all_that_is_known(nadia: Browser, node_a: Reporter) -> None:
    node_a.report("clip_closed", clip(labels=["person"], importance="object"))
    [found] = items(nadia, "/api/v1/clips")
    number = found.pop("id")
    assert found == {
        "site": "site-a",
        "node": "node-a",
        "camera": "gate",
        "start": "2026-11-22T03:00:00.000Z",
        "end": "2026-11-22T03:00:12.500Z",
        "seconds": 12.5,
        "bytes": 123456,
        "importance": "object",
        "peak_score": 8.25,
        "labels": ["person"],
        "video_url": f"/api/v1/clips/{number}/video",
    }


def test_a_clip_reported_anew_replaces_what_was_known(nadia: Browser, node_a: Reporter) -> None:
    node_a.report("clip_closed", clip())
    node_a.report("clip_closed", clip(importance="pinned"))
    assert [item["importance"] for item in items(nadia, "/api/v1/clips")] == ["pinned"]


def test_deleted_clips_are_gone_from_their_node_only(nadia: Browser, node_a: Reporter, node_b: Reporter) -> None:
    for node in (node_a, node_b):
        node.report("clip_closed", clip())
    node_a.report("clips_deleted", {"paths": [clip()["path"], clip(minute=9)["path"]], "reason": "disk"})
    assert [item["node"] for item in items(nadia, "/api/v1/clips")] == ["node-b"]


def test_clips_are_found_by_site_camera_and_time(nadia: Browser, node_a: Reporter, node_b: Reporter) -> None:
    for minute in (1, 2, 3):
        node_a.report("clip_closed", clip(minute=minute))
    node_a.report("clip_closed", clip("yard", minute=4))
    node_b.report("clip_closed", clip("shop", minute=5))
    assert starts(nadia, "") == ["03:05", "03:04", "03:03", "03:02", "03:01"]
    assert starts(nadia, "site=site-b") == ["03:05"]
    assert starts(nadia, "site=site-a&camera=gate") == ["03:03", "03:02", "03:01"]
    # A clip that reaches into the asked time belongs to it; one that begins at its end does not.
    assert starts(nadia, "from=2026-11-22T03:02:05Z&to=2026-11-22T03:04:00Z") == ["03:03", "03:02"]
    assert starts(nadia, "from=2026-11-22T10:02:05%2B07:00&to=2026-11-22T10:04:00%2B07:00") == ["03:03", "03:02"]


def test_pages_follow_each_other_without_loss_although_new_clips_come(nadia: Browser, node_a: Reporter) -> None:
    for number in range(5):  # all begin at the same moment
        node_a.report("clip_closed", clip(f"camera{number}"))
    first = nadia.get("/api/v1/clips?limit=2").get_json()
    node_a.report("clip_closed", clip(minute=30))
    second = nadia.get(f"/api/v1/clips?limit=2&before={first['next']}").get_json()
    third = nadia.get(f"/api/v1/clips?limit=2&before={second['next']}").get_json()
    cameras = [item["camera"] for page in (first, second, third) for item in page["items"]]
    assert cameras == ["camera4", "camera3", "camera2", "camera1", "camera0"]
    assert third["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=many",
        "from=yesterday",
        "from=2026-11-22T03:00:00",
        "before=1",
        "before=99999999999999999.1",
        "site=a%27--",
        "colour=red",
        "from=2026-11-22T03:00:00Z&to=2026-11-22T02:00:00Z",
    ],
)
@pytest.mark.parametrize("url", ["/api/v1/clips", "/api/v1/gaps"])
def test_a_faulty_question_is_refused(nadia: Browser, url: str, query: str) -> None:
    response = nadia.get(f"{url}?{query}")
    assert (response.status_code, error_code(response)) == (400, "invalid_request")


def test_a_gap_is_open_until_its_end_is_reported(nadia: Browser, node_a: Reporter) -> None:
    node_a.report("gap", gap(1))
    assert items(nadia, "/api/v1/gaps") == [{"site": "site-a", "node": "node-a", **gap(1)}]
    node_a.report("gap", gap(1, 3))
    assert items(nadia, "/api/v1/gaps") == [{"site": "site-a", "node": "node-a", **gap(1, 3)}]


def test_a_late_report_does_not_open_a_gap_again(nadia: Browser, node_a: Reporter) -> None:
    node_a.report("gap", gap(1, 3))
    node_a.report("gap", gap(1))
    assert items(nadia, "/api/v1/gaps")[0]["end"] is not None


def test_gaps_are_found_by_camera_and_time_and_an_open_one_lasts_till_now(nadia: Browser, node_a: Reporter) -> None:
    node_a.report("gap", gap(1, 3))
    node_a.report("gap", gap(4))
    node_a.report("gap", gap(5, 6, camera="yard"))
    found = items(nadia, "/api/v1/gaps?camera=gate&from=2026-11-22T03:30:00Z")
    assert [item["start"][14:16] for item in found] == ["04"]
    page = nadia.get("/api/v1/gaps?limit=1").get_json()
    assert page["items"][0]["camera"] == "yard"
    assert len(items(nadia, f"/api/v1/gaps?before={page['next']}")) == 2


def video_url(browser: Browser, node: Reporter, **changes: Any) -> str:
    node.report("clip_closed", clip(**changes))
    return str(items(browser, "/api/v1/clips")[0]["video_url"])


def test_a_clip_plays_from_its_node(nadia: Browser, node_a: Reporter, fake_node: Server) -> None:
    response = nadia.get(video_url(nadia, node_a))
    assert (response.status_code, response.data) == (200, CLIP_BYTES)
    assert response.headers["Content-Type"] == "video/mp4"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Cache-Control"].startswith("private")
    assert response.headers.get("Server") != "nginx"  # nothing of the node but what the video needs
    assert "x=1" not in response.headers.get("Set-Cookie", "")
    method, path, headers = fake_node.asked[-1]
    assert (method, path) == ("GET", f"/clips/{CLIP_PATH}")
    assert "Cookie" not in headers


def test_a_player_can_seek(nadia: Browser, node_a: Reporter) -> None:
    response = nadia.get(video_url(nadia, node_a), headers={"Range": "bytes=1000-1999"})
    assert (response.status_code, response.data) == (206, CLIP_BYTES[1000:2000])
    assert response.headers["Content-Range"] == f"bytes 1000-1999/{len(CLIP_BYTES)}"
    assert response.headers["Content-Length"] == "1000"


def test_a_range_behind_the_end_is_refused_as_http_wants_it(nadia: Browser, node_a: Reporter) -> None:
    response = nadia.get(video_url(nadia, node_a), headers={"Range": "bytes=999999-"})
    assert (response.status_code, response.headers["Content-Range"]) == (416, f"bytes */{len(CLIP_BYTES)}")


def test_a_players_question_for_the_size_moves_no_video(nadia: Browser, node_a: Reporter, fake_node: Server) -> None:
    response = nadia.ask("HEAD", video_url(nadia, node_a))
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(len(CLIP_BYTES))
    assert fake_node.asked[-1][0] == "HEAD"


def test_a_clip_that_the_hub_does_not_know_is_not_asked_for(nadia: Browser, fake_node: Server) -> None:
    response = nadia.get("/api/v1/clips/77/video")
    assert (response.status_code, error_code(response)) == (404, "clip_unknown")
    assert fake_node.asked == []


def test_a_clip_that_the_node_has_lost_is_named(nadia: Browser, node_a: Reporter) -> None:
    response = nadia.get(video_url(nadia, node_a, minute=1))
    assert (response.status_code, error_code(response)) == (404, "clip_gone")


def test_a_node_that_is_away_is_named(nadia: Browser, node_b: Reporter) -> None:
    response = nadia.get(video_url(nadia, node_b))
    assert (response.status_code, error_code(response)) == (502, "node_unreachable")
    assert "node-b" in response.get_json()["error"]["message"]


def test_a_node_that_does_not_answer_is_given_up(
    nadia: Browser, node_a: Reporter, fake_node: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cllmh_hub.video._READ_TIMEOUT_S", 0.2)
    fake_node.mode = "silent"
    response = nadia.get(video_url(nadia, node_a))
    assert (response.status_code, error_code(response)) == (504, "node_timeout")


def test_a_node_that_fails_is_named(nadia: Browser, node_a: Reporter, fake_node: Server) -> None:
    fake_node.mode = "broken"
    response = nadia.get(video_url(nadia, node_a))
    assert (response.status_code, error_code(response)) == (502, "node_refused")


def test_a_node_that_goes_away_while_it_sends_breaks_the_video_visibly(
    nadia: Browser, node_a: Reporter, fake_node: Server, caplog: pytest.LogCaptureFixture
) -> None:
    fake_node.mode = "dies"
    with pytest.raises(ChunkedEncodingError):
        nadia.get(video_url(nadia, node_a))
    assert "clip_stream_broken" in [record.getMessage() for record in caplog.records]


def test_a_node_with_a_foreign_certificate_gets_nothing(
    settings: dict[str, Any], certificates: Certificates, clock: Any
) -> None:
    settings["tls"]["ca"] = str(certificates.other_ca)
    app = create_app(HubConfig.model_validate(settings), now=clock)
    nadia, node_a = Browser(app.test_client()), Reporter(app.test_client(), "node-a", "site-a", clock)
    nadia.log_in()
    assert error_code(nadia.get(video_url(nadia, node_a))) == "node_unreachable"


def test_a_missing_certificate_of_our_own_is_an_error_not_a_crash(
    settings: dict[str, Any], clock: Any, tmp_path: Any
) -> None:
    settings["tls"]["key"] = str(tmp_path / "missing.key")
    app = create_app(HubConfig.model_validate(settings), now=clock)
    nadia, node_a = Browser(app.test_client()), Reporter(app.test_client(), "node-a", "site-a", clock)
    nadia.log_in()
    assert error_code(nadia.get(video_url(nadia, node_a))) == "node_unreachable"
