"""Footage for the simulated DVR, encoded once."""

import os
from pathlib import Path

import pytest

from fakes.fake_dvr import Footage
from fakes.footage import FPS, make_footage


@pytest.fixture(scope="session")
def channels(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, bool], Footage]:
    """Channel 1, in which people walk for a part of the loop, and channel 2, in which nothing ever moves."""
    cache = Path(os.environ.get("CLLMH_FOOTAGE", tmp_path_factory.getbasetemp().parent / "cllmh-footage"))
    return {(number, False): Footage.load(file, FPS) for number, file in make_footage(cache).items()}
