"""Camera scenes with exact truth: drawn by numpy from a fixed seed, encoded as a camera would, kept in a folder.

`SCENES` says what there is; `make_scene(name, folder)` gives the file and the seconds in which somebody is in the
picture. A scene without events must not be recorded at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]
"""Grey levels 0..255, rows x columns."""

Event = tuple[float, float]
"""Seconds from the first frame: the first pixel comes in, the last one goes out."""

LEAD_S = 20.0
"""Nothing happens before, in seconds: a recorder learns the scene meanwhile."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A file and what happens in it."""

    path: Path
    fps: int
    duration_s: float
    events: list[Event]
    scene_class: str


@dataclass(frozen=True, slots=True)
class Walk:
    """Somebody passes the part of the picture between two edges, say two walls; it hides him before and after."""

    begins_s: float
    ends_s: float
    height: float = 0.35
    """Of the figure, as a part of the picture's height."""

    feet: float = 0.85
    """Where the ground is, as a part of the picture's height from the top."""

    left: float = 0.0
    right: float = 1.0
    """The edges, as parts of the picture's width."""

    grey: float = 60.0
    """What the figure differs by from what is behind, in grey levels; legs by half of it."""

    leftwards: bool = False

    @property
    def event(self) -> Event:
        """The truth."""
        return (self.begins_s, self.ends_s)


@dataclass(slots=True)
class Stage:
    """What a scene is drawn on."""

    width: int
    height: int
    seed: int

    def generator(self, salt: int = 0) -> np.random.Generator:
        """Return random numbers that are the same in each run."""
        return np.random.default_rng((self.seed, salt))

    def ground(self) -> Picture:
        """Return a yard: a wall with windows, a floor, soft and fine structure."""
        generator = self.generator()
        picture = np.full((self.height, self.width), 105, np.float32)
        picture[round(self.height * 0.55) :] = 85
        for octave, strength in ((6, 22.0), (24, 12.0), (96, 8.0)):
            rough = generator.normal(0, strength, (octave * 9 // 16 + 1, octave)).astype(np.float32)
            picture += cv2.resize(rough, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        for column in range(5):
            x, y = round(self.width * (0.06 + 0.19 * column)), round(self.height * 0.15)
            size = (round(self.width * 0.09), round(self.height * 0.22))
            shade = float(generator.uniform(40, 190))
            cv2.rectangle(picture, (x, y), (x + size[0], y + size[1]), shade, -1)
        return np.clip(cv2.GaussianBlur(picture, (0, 0), self.width / 900), 16, 235)

    def radial(self, x: float, y: float, reach: float) -> Picture:
        """Return 1 at a point (parts of width and height), falling off to 0 within some `reach` (part of the width)."""
        rows, columns = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        far = np.hypot(columns - x * self.width, rows - y * self.height) / (reach * self.width)
        return np.asarray(np.exp(-(far**2)), np.float32)


@dataclass(slots=True)
class Play:
    """A scene that can be drawn: the picture at each second, before people and noise."""

    duration_s: float
    picture: Callable[[float], Picture]
    walks: list[Walk]
    noise: float = 2.0
    """Of the sensor, standard deviation in grey levels."""

    over: Callable[[Picture, float], None] = lambda _picture, _at_s: None
    """Draws what lies over everything, people included."""


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """One entry of `SCENES`."""

    scene_class: str
    what: str
    build: Callable[[Stage], Play]


def draw_person(picture: Picture, walk: Walk, at_s: float) -> None:
    """Draw somebody who walks, where he is at a time; about 0.2 x (his height)^2 pixels."""
    if not walk.begins_s <= at_s < walk.ends_s:
        return
    rows, columns = picture.shape
    tall = walk.height * rows
    half = 0.19 * tall  # of his width at the widest stride
    share = (at_s - walk.begins_s) / (walk.ends_s - walk.begins_s)
    share = 1 - share if walk.leftwards else share
    left, right = walk.left * columns, walk.right * columns
    x = left - half + share * (right - left + 2 * half)
    feet = walk.feet * rows
    stride = 0.15 * tall * np.sin((at_s - walk.begins_s) * 5.0)
    body = np.zeros_like(picture)
    bits = 4  # of sub-pixel precision

    def point(px: float, py: float) -> tuple[int, int]:
        return (round(px * 2**bits), round(py * 2**bits))

    hip, shoulder = feet - 0.46 * tall, feet - 0.84 * tall
    for swing in (stride, -stride):
        thick = max(1, round(0.09 * tall))
        cv2.line(body, point(x, hip), point(x + swing, feet - thick / 2), 0.5, thick, cv2.LINE_AA, bits)
    size = (round(0.12 * tall * 2**bits), round(0.21 * tall * 2**bits))
    cv2.ellipse(body, point(x, (hip + shoulder) / 2), size, 0, 0, 360, 1.0, -1, cv2.LINE_8, bits)
    cv2.circle(body, point(x, feet - 0.92 * tall), round(0.08 * tall * 2**bits), 1.0, -1, cv2.LINE_8, bits)
    body[:, : max(0, round(left))] = 0
    body[:, round(right) :] = 0
    picture += walk.grey * cv2.GaussianBlur(body, (0, 0), 0.6)


# --- what happens --------------------------------------------------------------------------------------------------


def _still(stage: Stage) -> Callable[[float], Picture]:
    ground = stage.ground()
    return lambda _at_s: ground


def _quiet_day(stage: Stage) -> Play:
    ground = stage.ground()
    return Play(90, lambda at_s: ground * np.float32(1 + 0.08 * np.sin(at_s / 25)), [])


def _people(stage: Stage) -> Play:
    walks = [Walk(21.3, 27.9, grey=-55), Walk(44.6, 53.2, height=0.5, feet=0.95, leftwards=True), Walk(70.1, 78.8)]
    return Play(90, _still(stage), walks)


def _small_far_person(stage: Stage) -> Play:
    # 0.2 x height^2 x rows / columns of the picture: 0.20, 0.30, 0.50 and 0.25 % of it at 16:9
    walks = [
        Walk(21.7, 33.7, height=0.133, feet=0.60, right=0.8, grey=45),
        Walk(47.2, 59.2, height=0.163, feet=0.62, left=0.2, grey=-45, leftwards=True),
        Walk(73.9, 84.9, height=0.211, feet=0.66, grey=40),
        Walk(99.3, 110.3, height=0.149, feet=0.60, left=0.3, grey=-40),
    ]
    return Play(120, _still(stage), walks)


def _dusk_noise(stage: Stage) -> Play:
    dark = np.float32(0.25) * stage.ground() + 14
    walks = [Walk(22.4, 29.4, grey=16), Walk(45.1, 53.1, grey=-14, leftwards=True)]
    walks.append(Walk(70.8, 79.8, height=0.25, feet=0.7, grey=16))
    return Play(95, lambda _at_s: dark, walks, noise=8.0)


def _dusk_noise_empty(stage: Stage) -> Play:
    dark = np.float32(0.25) * stage.ground() + 14
    return Play(95, lambda _at_s: dark, [], noise=8.0)


def _infrared_ground(stage: Stage) -> Picture:
    return np.asarray((0.35 * stage.ground() + 45) * (0.25 + 0.9 * stage.radial(0.5, 0.55, 0.45)), np.float32)


def _infrared(stage: Stage) -> Play:
    ground = _infrared_ground(stage)
    walks = [Walk(23.1, 31.1, grey=18), Walk(46.3, 54.3, grey=14, leftwards=True)]
    walks.append(Walk(71.2, 80.2, height=0.2, feet=0.68, left=0.2, right=0.8, grey=20))
    return Play(95, lambda _at_s: ground, walks, noise=5.0)


def _infrared_empty(stage: Stage) -> Play:
    ground = _infrared_ground(stage)
    return Play(95, lambda _at_s: ground, [], noise=5.0)


def _lamp(stage: Stage, walks: list[Walk]) -> Play:
    dark = np.float32(0.45) * stage.ground() + 10
    light = 75 * stage.radial(0.35, 0.2, 0.4) + 18

    def picture(at_s: float) -> Picture:
        is_on = 30.4 <= at_s < 52.7 or at_s >= 75.2
        return dark + light if is_on else dark

    return Play(100, picture, walks, noise=3.0)


def _lamp_on_off(stage: Stage) -> Play:
    return _lamp(stage, [])


def _lamp_on_off_person(stage: Stage) -> Play:
    return _lamp(stage, [Walk(28.2, 35.2, grey=45), Walk(72.6, 79.6, grey=40, leftwards=True)])


def _ramp(stage: Stage, walks: list[Walk]) -> Play:
    ground = stage.ground() * np.float32(0.75)
    moments, gains = [25.0, 31.0, 45.0, 47.0, 65.0, 66.0, 80.0, 90.0], [1.0, 1.5, 1.5, 0.7, 0.7, 1.2, 1.2, 0.9]

    def picture(at_s: float) -> Picture:
        return np.asarray(np.minimum(ground * np.float32(np.interp(at_s, moments, gains)), 235), np.float32)

    return Play(100, picture, walks)


def _exposure_ramp(stage: Stage) -> Play:
    return _ramp(stage, [])


def _exposure_ramp_person(stage: Stage) -> Play:
    return _ramp(stage, [Walk(26.3, 33.3, grey=50), Walk(63.4, 70.4, grey=-45, leftwards=True)])


def _branches(stage: Stage, walks: list[Walk]) -> Play:
    ground = stage.ground()
    rows, columns = np.mgrid[0 : stage.height, 0 : stage.width].astype(np.float32)
    leaf = max(2, stage.width // 160)
    rough = stage.generator(1).choice([30.0, 60.0, 110.0], (stage.height // leaf + 1, stage.width // leaf + 1))
    leaves = cv2.resize(rough.astype(np.float32), (stage.width, stage.height), interpolation=cv2.INTER_LINEAR)
    crown = stage.radial(0.93, 0.18, 0.13) + stage.radial(0.08, 0.1, 0.1)
    phase = stage.generator(2).uniform(0, 2 * np.pi, (4, 6)).astype(np.float32)
    phases = cv2.resize(phase, (stage.width, stage.height), interpolation=cv2.INTER_LINEAR)

    def picture(at_s: float) -> Picture:
        wind = 0.35 + 0.65 * (0.5 + 0.5 * np.sin(at_s / 4.1)) * (0.5 + 0.5 * np.sin(at_s / 11.3 + 1))
        sway = np.float32(0.011 * stage.width * wind)
        dx = (sway * (np.sin(3.3 * at_s + phases) + 0.5 * np.sin(1.3 * at_s + 2 * phases))).astype(np.float32)
        moved_crown = cv2.remap(crown, columns + dx, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        moved = cv2.remap(leaves, columns + dx, rows + dx / 3, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(np.where(moved_crown > 0.45, moved, ground), np.float32)

    return Play(120, picture, walks)


def _swaying_branches(stage: Stage) -> Play:
    return _branches(stage, [])


def _swaying_branches_person(stage: Stage) -> Play:
    return _branches(stage, [Walk(41.4, 48.4, grey=55), Walk(80.7, 88.7, grey=-45, leftwards=True)])


def _raining(stage: Stage, walks: list[Walk]) -> Play:
    ground = np.float32(0.8) * stage.ground()

    def over(picture: Picture, at_s: float) -> None:
        generator = stage.generator(1000 + round(at_s * 1000))
        streaks = np.zeros_like(picture)
        thick = max(1, stage.width // 640)
        for _ in range(140):
            x, y = generator.uniform(0, stage.width), generator.uniform(0, stage.height)
            long = generator.uniform(0.03, 0.1) * stage.height
            end = (round(x - 0.12 * long), round(y + long))
            cv2.line(streaks, (round(x), round(y)), end, float(generator.uniform(15, 60)), thick, cv2.LINE_AA)
        picture += streaks

    return Play(100, lambda _at_s: ground, walks, noise=3.0, over=over)


def _rain(stage: Stage) -> Play:
    return _raining(stage, [])


def _rain_person(stage: Stage) -> Play:
    return _raining(stage, [Walk(31.2, 38.2, grey=55), Walk(68.9, 76.9, grey=-40, leftwards=True)])


def _clock(stage: Stage, walks: list[Walk]) -> Play:
    size = stage.height / 360 * 0.7

    def over(picture: Picture, at_s: float) -> None:
        text = (datetime(2026, 1, 2, 21, 58, 31, tzinfo=UTC) + timedelta(seconds=at_s)).strftime("%Y-%m-%d %H:%M:%S")
        corner = (round(stage.width * 0.03), round(stage.height * 0.09))
        for grey, thick in ((16.0, 3), (235.0, 1)):
            thick = max(1, round(thick * stage.height / 360))
            cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, size, grey, thick, cv2.LINE_AA)

    return Play(120, _still(stage), walks, over=over)


def _clock_overlay(stage: Stage) -> Play:
    return _clock(stage, [])


def _clock_overlay_person(stage: Stage) -> Play:
    return _clock(stage, [Walk(40.7, 47.7, grey=50), Walk(85.2, 93.2, grey=-45, leftwards=True)])


def _ir(stage: Stage, walks: list[Walk]) -> Play:
    day, night = np.float32(0.5) * stage.ground() + 10, _infrared_ground(stage)

    def picture(at_s: float) -> Picture:
        is_night = 32.3 <= at_s < 70.6
        since_s = at_s - (70.6 if at_s >= 70.6 else 32.3)
        shown = night if is_night else day
        # The filter flips, then the exposure finds its level within a second and a half.
        return shown * np.float32(1 - 0.8 * np.exp(-since_s / 0.4)) if since_s >= 0 else shown

    return Play(100, picture, walks, noise=4.0)


def _ir_cut(stage: Stage) -> Play:
    return _ir(stage, [])


def _ir_cut_person(stage: Stage) -> Play:
    return _ir(stage, [Walk(30.2, 38.2, grey=35), Walk(68.1, 76.1, grey=35, leftwards=True)])


def _parked_object(stage: Stage) -> Play:
    """Somebody leaves a box, somebody takes it away; in between nothing moves."""
    ground = stage.ground()
    with_box = ground.copy()
    x, y = round(stage.width * 0.55), round(stage.height * 0.72)
    size = (round(stage.width * 0.07), round(stage.height * 0.12))
    cv2.rectangle(with_box, (x, y), (x + size[0], y + size[1]), 190.0, -1)
    walks = [Walk(24.2, 32.2, grey=-50), Walk(110.3, 118.3, grey=-50, leftwards=True)]

    def picture(at_s: float) -> Picture:
        return with_box if 29.1 <= at_s < 113.4 else ground

    return Play(190, picture, walks)


def _short_events(stage: Stage) -> Play:
    generator = stage.generator(5)
    walks: list[Walk] = []
    for number in range(16):
        lasts_s = (0.5, 1.0, 2.0, 5.0)[number % 4]
        begins_s = round(LEAD_S + 16 * number + float(generator.uniform(0, 3)), 2)
        span = min(0.9, 0.12 + 0.15 * lasts_s)
        left = float(generator.uniform(0.05, 0.95 - span))
        grey = float(generator.choice([-55, 60]))
        walks.append(Walk(begins_s, begins_s + lasts_s, left=left, right=left + span, grey=grey))
    return Play(LEAD_S + 16 * 16, _still(stage), walks)


SCENES: dict[str, SceneSpec] = {
    "quiet_day": SceneSpec("quiet", "nothing happens, clouds pass", _quiet_day),
    "people": SceneSpec("people", "people of 2 to 5 % of the picture by day", _people),
    "small_far_person": SceneSpec("small_far_person", "figures of 0.2 to 0.5 % of the picture", _small_far_person),
    "dusk_noise": SceneSpec("dusk_noise", "dark and noisy, low contrast", _dusk_noise),
    "dusk_noise_empty": SceneSpec("dusk_noise", "dark and noisy, nobody", _dusk_noise_empty),
    "infrared": SceneSpec("infrared", "infra-red light, vignette, noise, low contrast", _infrared),
    "infrared_empty": SceneSpec("infrared", "infra-red light, nobody", _infrared_empty),
    "lamp_on_off": SceneSpec("lamp_on_off", "a lamp goes on and off, nobody", _lamp_on_off),
    "lamp_on_off_person": SceneSpec("lamp_on_off", "somebody walks while the lamp goes on", _lamp_on_off_person),
    "exposure_ramp": SceneSpec("exposure_ramp", "the exposure changes within 1 to 10 s, nobody", _exposure_ramp),
    "exposure_ramp_person": SceneSpec("exposure_ramp", "somebody walks meanwhile", _exposure_ramp_person),
    "swaying_branches": SceneSpec("swaying_branches", "two trees in gusts, nobody", _swaying_branches),
    "swaying_branches_person": SceneSpec("swaying_branches", "and somebody walks", _swaying_branches_person),
    "rain": SceneSpec("rain", "140 streaks in each frame, nobody", _rain),
    "rain_person": SceneSpec("rain", "and somebody walks", _rain_person),
    "clock_overlay": SceneSpec("clock_overlay", "date and time in the picture, nobody", _clock_overlay),
    "clock_overlay_person": SceneSpec("clock_overlay", "and somebody walks", _clock_overlay_person),
    "ir_cut": SceneSpec("ir_cut", "the filter flips to infra-red and back, nobody", _ir_cut),
    "ir_cut_person": SceneSpec("ir_cut", "somebody walks while it flips", _ir_cut_person),
    "parked_object": SceneSpec("parked_object", "a box is left, later it is taken away", _parked_object),
    "short_events": SceneSpec("short_events", "visits of 0.5, 1, 2 and 5 s, four of each", _short_events),
}
"""All scenes by name."""


def make_scene(
    name: str,
    folder: Path,
    *,
    gop_s: float = 2.0,
    fps: int = 10,
    width: int = 640,
    height: int = 360,
    seed: int = 1,
) -> Scene:
    """Return a scene as a file in `folder` (H.264 in MP4, no B-frames, keyframes every `gop_s` seconds).

    A file that is there already is not made again, unless this module has changed. KeyError: no such scene.
    """
    spec = SCENES[name]
    stage = Stage(width, height, seed)
    play = spec.build(stage)
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    path = folder / f"{name}-{width}x{height}-{fps}fps-gop{gop_s:g}-seed{seed}-{recipe}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        _encode(unfinished, play, stage, gop_s=gop_s, fps=fps)
        unfinished.replace(path)
    return Scene(path, fps, play.duration_s, [walk.event for walk in play.walks], spec.scene_class)


def _encode(path: Path, play: Play, stage: Stage, *, gop_s: float, fps: int) -> None:
    gop = str(max(1, round(gop_s * fps)))
    options = {"preset": "veryfast", "crf": "25", "g": gop, "keyint_min": gop, "sc_threshold": "0", "bf": "0"}
    noise = _noise(stage, play.noise)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = stage.width, stage.height, "yuv420p"
        for number in range(round(play.duration_s * fps)):
            at_s = number / fps
            picture = play.picture(at_s).copy()
            for walk in play.walks:
                draw_person(picture, walk, at_s)
            play.over(picture, at_s)
            picture += noise()
            luma = np.clip(picture, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _noise(stage: Stage, sigma: float) -> Callable[[], Picture]:
    """Return a source of noise: random cuts out of a few large fields, since new numbers for each frame are slow."""
    generator = stage.generator(9)
    room = 64
    fields = generator.normal(0, sigma, (8, stage.height + room, stage.width + room)).astype(np.float32)

    def cut() -> Picture:
        field, y, x = int(generator.integers(8)), int(generator.integers(room)), int(generator.integers(room))
        return np.asarray(fields[field, y : y + stage.height, x : x + stage.width])

    return cut
