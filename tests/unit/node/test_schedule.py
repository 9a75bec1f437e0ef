"""When a camera is recorded: the weekly schedule on the site's own clock."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from cllmh_node.recorder.schedule import mode_at
from cllmh_node.recorder.settings import CameraSettings

JAKARTA = ZoneInfo("Asia/Jakarta")
BERLIN = ZoneInfo("Europe/Berlin")


def camera(*entries: dict[str, Any], mode: str = "motion") -> CameraSettings:
    return CameraSettings.model_validate(
        {"name": "gate", "host": "192.0.2.1", "path": "/", "mode": mode, "schedule": entries}
    )


def mode(settings: CameraSettings, local: str, zone: ZoneInfo = JAKARTA, fold: int = 0) -> str:
    return mode_at(settings, datetime.fromisoformat(local).replace(tzinfo=zone, fold=fold).timestamp(), zone)


NIGHTS = {"days": ["mon-fri"], "from": "18:00", "to": "06:00", "mode": "continuous"}


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-11-23T17:59:59", "motion"),  # a Monday
        ("2026-11-23T18:00:00", "continuous"),
        ("2026-11-24T05:59:59", "continuous"),
        ("2026-11-24T06:00:00", "motion"),
        ("2026-11-28T05:00:00", "continuous"),  # Saturday morning belongs to Friday's night
        ("2026-11-28T19:00:00", "motion"),
        ("2026-11-23T05:00:00", "motion"),  # Monday morning: Sunday has no night
    ],
)
def test_a_night_goes_across_midnight_and_belongs_to_the_day_it_begins(local: str, expected: str) -> None:
    assert mode(camera(NIGHTS), local) == expected


def test_the_week_goes_round_from_sunday_to_monday() -> None:
    settings = camera({"days": ["sun"], "from": "22:00", "to": "02:00", "mode": "off"})
    assert mode(settings, "2026-11-30T01:00:00") == "off"
    assert mode(settings, "2026-11-30T02:00:00") == "motion"


def test_days_may_go_round_the_weekend() -> None:
    settings = camera({"days": ["fri-mon"], "mode": "continuous"}, mode="off")
    assert mode(settings, "2026-11-29T12:00:00") == "continuous"
    assert mode(settings, "2026-11-26T12:00:00") == "off"


def test_six_in_the_morning_is_that_of_the_wall_clock_in_summer_and_in_winter() -> None:
    for day in ("2026-07-07", "2026-12-08"):
        assert mode(camera(NIGHTS), f"{day}T05:59:59", BERLIN) == "continuous"
        assert mode(camera(NIGHTS), f"{day}T06:00:00", BERLIN) == "motion"


def test_the_hour_that_autumn_repeats_has_its_mode_twice() -> None:
    settings = camera({"days": ["sun"], "from": "02:00", "to": "03:00", "mode": "off"})
    assert [mode(settings, "2026-10-25T02:30:00", BERLIN, fold) for fold in (0, 1)] == ["off", "off"]
    assert mode(settings, "2026-10-25T03:00:00", BERLIN) == "motion"


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (
            [NIGHTS, {"days": ["tue"], "from": "05:00", "to": "07:00", "mode": "off"}],
            "two entries hold at once, on tue 05:00",
        ),
        ([{"mode": "off"}, {"days": ["sun"], "mode": "motion"}], "on sun 00:00"),
        (
            [{"days": ["sun"], "from": "23:00", "to": "01:00", "mode": "off"}, {"days": ["mon"], "mode": "off"}],
            "on mon 00:00",
        ),
        ([{"days": ["someday"], "mode": "off"}], "neither one of mon, tue"),
        ([{"from": 1080, "mode": "off"}], "in quotes"),
        ([{"from": "24:30", "mode": "off"}], 'from "00:00" to "24:00"'),
        ([{"mode": "sometimes"}], "'motion', 'continuous' or 'off'"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused_with_the_reason(entries: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        camera(*entries)


def test_off_needs_no_quotes() -> None:
    assert camera(mode="off") == camera(mode=False)  # type: ignore[arg-type]
