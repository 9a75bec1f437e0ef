"""Motion is seen in small luma pictures: noise, light and ghosts are not motion."""

import av
import numpy as np
import pytest

from cllmh_node.motion.background import SETTLED_FRAMES, Background, learn, settle
from cllmh_node.motion.difference import against_background, between_frames, is_ghost
from cllmh_node.motion.luma import Luma, small_luma
from unit.node.scenes import room

SHAPE = (120, 160)
RNG = np.random.default_rng(11)
SCENE = room()[::2, ::2].astype(np.float32)


def seen(picture: Luma = SCENE, noise: float = 2.0) -> Luma:
    """What the sensor gives of a picture."""
    return (picture + RNG.normal(0, noise, SHAPE)).astype(np.float32)


def person(left: int, grey: float = 230.0) -> Luma:
    """The scene with somebody in it, 10 x 35 pixels."""
    picture = SCENE.copy()
    picture[60:95, left : left + 10] = grey
    return picture


def learned(pictures: list[Luma] | None = None, noise: float = 2.0, frames: int = 30) -> Background:
    """A background learned from the first pictures, then from the still scene."""
    shown = pictures or [seen(noise=noise) for _ in range(SETTLED_FRAMES)]
    background = Background.first(shown[0])
    for picture in shown[1:]:
        background = settle(background, picture)
    nothing = np.zeros(SHAPE, np.uint8)
    for _ in range(frames if pictures is None else 0):
        background = learn(background, seen(noise=noise), nothing, 1.0)
    return background


@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0, 8.0])
def test_noise_alone_is_not_motion(noise: float) -> None:
    background = learned(noise=noise)
    for _ in range(50):
        found = against_background(background, seen(noise=noise), sigmas=5.0, min_area=0.004)
        assert not found.blobs.any()


def test_noise_is_not_motion_while_the_scene_is_still_being_learned() -> None:
    background = Background.first(seen(noise=4.0))
    for _ in range(SETTLED_FRAMES - 1):
        background = settle(background, seen(noise=4.0))
        assert not against_background(background, seen(noise=4.0), sigmas=5.0, min_area=0.004).blobs.any()


def test_somebody_who_enters_is_seen_where_he_is() -> None:
    found = against_background(learned(), seen(person(70)), sigmas=5.0, min_area=0.004)
    rows, columns = np.nonzero(found.blobs)
    assert abs(rows.min() - 60) <= 2
    assert abs(columns.min() - 70) <= 2
    assert found.score == pytest.approx(350 / found.blobs.size, rel=0.3)


def test_a_bird_is_too_small() -> None:
    picture = SCENE.copy()
    picture[10:16, 10:16] = 250
    assert not against_background(learned(), seen(picture), sigmas=5.0, min_area=0.004).blobs.any()


def test_a_picture_that_gets_brighter_as_a_whole_is_not_motion() -> None:
    assert not against_background(learned(), seen(SCENE + 20), sigmas=5.0, min_area=0.004).blobs.any()


def test_somebody_is_seen_though_the_picture_gets_brighter() -> None:
    assert against_background(learned(), seen(person(70) + 20), sigmas=5.0, min_area=0.004).blobs.any()


def test_lights_that_go_on_are_known_as_such() -> None:
    found = against_background(learned(), seen(255 - SCENE), sigmas=5.0, min_area=0.004)
    assert found.is_light_change


def test_the_scene_is_learned_without_those_who_walk_through_it() -> None:
    background = learned([seen(person(10 + 12 * number)) for number in range(SETTLED_FRAMES)])
    assert np.abs(background.mean - SCENE).max() < 10


def test_movement_shows_between_two_frames_and_standing_does_not() -> None:
    background = learned()
    moved = between_frames(seen(person(60)), seen(person(66)), background, sigmas=5.0, min_area=0.002)
    stood = between_frames(seen(person(60)), seen(person(60)), background, sigmas=5.0, min_area=0.002)
    assert moved.blobs.any()
    assert not stood.blobs.any()


def test_the_place_that_somebody_left_is_a_ghost() -> None:
    background = learned([seen(person(70)) for _ in range(SETTLED_FRAMES)])
    left = seen()
    found = against_background(background, left, sigmas=5.0, min_area=0.004)
    assert found.blobs.any()
    assert is_ghost(background, left, found.blobs)


def test_somebody_who_stands_there_is_no_ghost() -> None:
    background = learned()
    standing = seen(person(70))
    found = against_background(background, standing, sigmas=5.0, min_area=0.004)
    assert not is_ghost(background, standing, found.blobs)


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(1920, 1080, (90, 160)), (720, 1280, (284, 160)), (16, 4096, (320, 160)), (4096, 16, (1, 160))],
)
def test_the_small_picture_is_small_whatever_the_shape_of_the_cameras(
    width: int, height: int, shape: tuple[int, int]
) -> None:
    assert small_luma(av.VideoFrame(width, height, "yuv420p")).shape == shape
