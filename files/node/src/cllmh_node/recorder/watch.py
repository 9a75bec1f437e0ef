"""Watching one camera for motion, with as little decoding as that takes.

Quiet: only keyframes are decoded and compared with the background; where keyframes are far apart or a sub-stream is
watched all is decoded, and a frame compared every `LOOK_S` (see `decode_plan`). What differs is a suspicion: the GOP
that is already in the ring is decoded, then the frames that arrive, until movement near what differs confirms it (and
dates it), or until none came: then it was a ghost, such as the place that a car has left, and becomes background.
Recording: looks as before; what came and stands still goes on counting for `still_s`, each place for itself: those who
pass elsewhere keep no ghost alive.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import numpy as np

from cllmh_node.motion.background import (
    MEMORY_S,
    NOISE_MEMORY_S,
    SETTLE_EVERY_S,
    Background,
    learn,
    learn_noise,
    refresh,
    settle,
)
from cllmh_node.motion.difference import Difference, against_background, areas, between_frames, is_ghost, near
from cllmh_node.motion.luma import Luma, Mask
from cllmh_node.motion.zones import watched
from cllmh_node.recorder.decode_plan import DecodePlan, choose_plan
from cllmh_node.recorder.decoder import LumaDecoder, Picture
from cllmh_node.recorder.settings import MotionSettings
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame
from cllmh_node.rtsp.session import CameraError

STEP_S = 0.4
"""Frames so far apart are compared for movement: long enough for a person who walks to have moved."""

MOVES_NEEDED = 2
"""Comparisons, one after the other, that must show movement: one alone can be a lamp or a damaged frame."""

MOST_SHIFT = 8.0
"""Where the whole picture gets brighter or darker by more grey levels within a step, nothing can be said to move."""

LOOK_S = 0.4
"""How often a stream that is decoded whole is looked at, in seconds. Keyframes are not looked at more often."""

BLIND_S = 10.0
BLIND_TRIES = 3
"""A stream of which nothing could be decoded for so many seconds, and as many tries, shows nothing to anybody."""

SEEN_S = 0.2
"""So far apart the pictures of such a stream are kept, in seconds; they date and confirm what a look found."""

FLICKER_AREAS = 5.0
"""What differs must be so many times as large as what usually does while nothing happens, as in rain..."""

MOST_AREAS = 2.0
"""... but nowhere more than so many times `min_area`."""

LEARNING_FRAMES = 3
"""Looks before anything can be suspected."""

RECORDING_LEARNS = 0.2
"""How much a look counts for a pixel's noise while a clip is written."""

MOST_FRAMES = 200
"""Where two GOPs have more, a suspicion takes only the last: no camera holds up the others for seconds."""

_SLACK_S = 0.02  # frames come a little early or late


class Sight(Enum):
    """What the watch has to say about a frame."""

    NOTHING_NEW = "nothing_new"
    """It was not looked at, or the question is still open."""

    LEARNING = "learning"
    """The scene is not known yet."""

    CLEAR = "clear"
    """Only the background is there."""

    SUSPICION = "suspicion"
    """Something differs; whether it moves is looked at."""

    MOTION = "motion"
    """Something moves, or came and is still there."""


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to one frame."""

    sight: Sight
    since: float = 0.0
    """With MOTION: when it began, as unix seconds (UTC)."""

    score: float = 0.0
    """The part of the picture that the largest area covers, 0..1."""


_NOTHING_NEW = Look(Sight.NOTHING_NEW)


@dataclass(slots=True)
class _Suspicion:
    """A difference that waits for movement."""

    picture: Picture
    difference: Difference
    where: Mask
    until: float
    """Unix seconds (UTC)."""

    recent: deque[Picture] = field(default_factory=deque)
    seen_until: float = 0.0
    """Unix seconds of the latest picture."""

    moves: list[tuple[float, float]] = field(default_factory=list)
    """From when to when, in unix seconds; none overlaps another."""


class MotionWatch:
    """Looks at the frames of one camera, in their order."""

    def __init__(self, settings: MotionSettings, decoder: LumaDecoder, *, is_sub_stream: bool = False) -> None:
        """`is_sub_stream`: what is looked at is a small stream beside the recorded one; all of it is decoded."""
        self._settings = settings
        self._is_sub_stream = is_sub_stream
        self._decoder = decoder
        self._background: Background | None = None
        self._within: Mask | None = None
        self._last: Picture | None = None
        self._settled_at = 0.0
        self._still_s: Luma | None = None
        self._suspicion: _Suspicion | None = None
        self._recent: deque[Picture] = deque()
        self._keyframes_at: deque[float] = deque(maxlen=3)
        self.plan = DecodePlan.KEYFRAMES
        """What is decoded while the camera is quiet."""
        self.stride = 1
        """Under overload (2 and more) only every so many-th keyframe is looked at while the camera is quiet."""
        self.looked_at = 0
        """Pictures looked at."""
        self._flicker = 0.0
        self._clear_looks = 0
        self._skipped = 0
        self._decoded_before = 0
        self._blind_since: float | None = None
        self._blind_tries = 0

    @property
    def decoded(self) -> int:
        """Frames that were decoded."""
        return self._decoded_before + self._decoder.frames

    @property
    def suspects_since(self) -> float | None:
        """When what may move was first seen, as unix seconds (UTC); None while there is nothing to suspect."""
        return None if self._suspicion is None else self._suspicion.picture.at

    @property
    def is_blind(self) -> bool:
        """Whether the latest frame that was to be decoded gave no picture."""
        return self._blind_since is not None

    def look(self, frame: EncodedFrame, ring: PacketRing, *, is_recording: bool) -> Look:
        """Look at a frame that is already in the ring; raise CameraError when nothing has been decoded for long."""
        if frame.is_keyframe:
            self._choose_plan(frame.at)
        if self.plan is not DecodePlan.KEYFRAMES:
            return self._look_densely(frame, is_recording)
        if self._suspicion is not None:
            return self._pursue(
                self._suspicion,
                self._decoder.sequence([frame], every_s=SEEN_S, after=self._suspicion.seen_until),
                frame.at,
            )
        if not frame.is_keyframe:
            return _NOTHING_NEW
        if self._last is not None and 0 <= frame.at - self._last.at < LOOK_S - _SLACK_S:
            return _NOTHING_NEW
        self._skipped += 1
        if self._skipped < self.stride and not is_recording:
            return _NOTHING_NEW
        self._skipped = 0
        picture = self._decoder.keyframe(frame)
        self._tried(frame.at, is_seen=picture is not None)
        if picture is None:
            return _NOTHING_NEW
        look = self._compare(picture, is_recording)
        if self._suspicion is not None:
            look = self._pursue(self._suspicion, self._latest(ring), frame.at)
        return look

    def _latest(self, ring: PacketRing) -> Iterator[Picture]:
        """Yield the pictures of the GOP that the latest keyframe has ended, and of that keyframe."""
        frames = ring.last_gops(2)
        if len(frames) > MOST_FRAMES:
            frames = ring.last_gops(1)
        self._decoder.restart()
        return self._decoder.sequence(frames, every_s=SEEN_S)

    def resume(self, decoder: LumaDecoder) -> None:
        """Go on with a new session of the same camera; what is known of the scene stays."""
        self._decoded_before += self._decoder.frames
        self._decoder = decoder
        self._last = None
        self._suspicion = None
        self._recent.clear()
        self._keyframes_at.clear()
        self._blind_since, self._blind_tries = None, 0

    def take_over_from(self, other: "MotionWatch") -> None:
        """Know the scene as another watch does that saw it until now, in another stream of the same camera.

        Both see pictures of the same size where the streams' aspect ratios are the same; otherwise the scene is
        learned anew.
        """
        self._background, self._within, self._settled_at = other._background, other._within, other._settled_at

    def _choose_plan(self, at: float) -> None:
        """Choose what to decode; a plan begins at a keyframe, since nothing else can be decoded first."""
        self._keyframes_at.append(at)
        times = list(self._keyframes_at)
        plan = choose_plan(
            max((later - earlier for earlier, later in pairwise(times)), default=0.0),
            look_every_s=self._settings.look_every_s,
            is_sub_stream=self._is_sub_stream,
            is_overloaded=self.stride > 1,
        )
        if plan is not self.plan:
            self.plan = plan
            self._suspicion = None
            self._recent.clear()
            self._decoder.restart()

    def _look_densely(self, frame: EncodedFrame, is_recording: bool) -> Look:
        """Decode each frame, keep a picture every `SEEN_S` and compare one every `LOOK_S`."""
        look = _NOTHING_NEW
        last_at = self._recent[-1].at if self._recent else 0.0
        decoded = self._decoder.pictures
        pictures = list(self._decoder.sequence([frame], every_s=SEEN_S, after=last_at))
        self._tried(frame.at, is_seen=self._decoder.pictures > decoded)
        for picture in pictures:
            self._recent.append(picture)
            while self._recent[0].at < picture.at - 2 * LOOK_S - STEP_S:
                self._recent.popleft()
            if self._suspicion is not None:
                look = self._pursue(self._suspicion, [picture], picture.at)
            elif self._last is None or picture.at >= self._last.at + LOOK_S - _SLACK_S or picture.at < self._last.at:
                look = self._compare(picture, is_recording)
                if self._suspicion is not None:
                    look = self._pursue(self._suspicion, list(self._recent), picture.at)
        return look

    def _tried(self, at: float, *, is_seen: bool) -> None:
        """Take down whether a frame of the unix time `at` gave a picture."""
        if is_seen:
            self._blind_since, self._blind_tries = None, 0
            return
        self._blind_tries += 1
        if self._blind_since is None:
            self._blind_since = at
        elif at - self._blind_since >= BLIND_S and self._blind_tries >= BLIND_TRIES:
            self._blind_since, self._blind_tries = None, 0
            raise CameraError("camera_lost", f"its pictures could not be decoded for {BLIND_S:.0f} s")

    def _compare(self, picture: Picture, is_recording: bool) -> Look:
        """Compare a picture with the background; a suspicion is begun where it is worth one."""
        self.looked_at += 1
        last, self._last = self._last, picture
        elapsed_s = min(max(0.0, picture.at - last.at), MEMORY_S) if last else 1.0
        if self._background is None or self._background.mean.shape != picture.luma.shape:
            self._background = Background.first(picture.luma)
            self._settled_at = picture.at
            has_areas = self._settings.zones or self._settings.masks
            areas = (picture.luma.shape, self._settings.zones, self._settings.masks)
            self._within = watched(*areas) if has_areas else None
            return Look(Sight.LEARNING)
        difference = self._difference(picture)
        if not self._background.is_settled:
            if abs(picture.at - self._settled_at) >= SETTLE_EVERY_S:
                self._settled_at = picture.at
                self._background = settle(self._background, picture.luma)
            if len(self._background.samples) <= LEARNING_FRAMES and not self._background.is_settled:
                return Look(Sight.LEARNING)
        else:
            if last is not None and last.luma.shape == picture.luma.shape:
                # Those who come and go are hardly learned, what never ends is learned all the same.
                elapsed_s *= RECORDING_LEARNS if is_recording else 1.0
                self._background = learn_noise(self._background, last.luma, picture.luma, elapsed_s)
            if not difference.blobs.any():
                self._background = learn(self._background, picture.luma, difference.blobs, elapsed_s)
        if not difference.blobs.any():
            self._clear_looks += 1
            share = max(1.0 / self._clear_looks, 1.0 - math.exp(-elapsed_s / NOISE_MEMORY_S))
            self._flicker += share * (difference.score - self._flicker)
            return Look(Sight.CLEAR, score=difference.score)
        if is_recording:
            return self._follow(last, picture, difference)
        where = np.ones_like(difference.blobs) if difference.is_light_change else near(difference.blobs)
        until = picture.at + self._settings.confirm_s + self._settings.min_duration_s
        self._suspicion = _Suspicion(picture, difference, where, until)
        return Look(Sight.SUSPICION, score=difference.score)

    def _difference(self, picture: Picture) -> Difference:
        """Return what a picture shows that the background does not."""
        assert self._background is not None
        return against_background(
            self._background,
            picture.luma,
            sigmas=self._settings.sigmas,
            min_area=self._least_area,
            within=self._within,
        )

    @property
    def _least_area(self) -> float:
        """The part of the picture from which on an area counts."""
        least = self._settings.min_area
        return min(max(least, FLICKER_AREAS * self._flicker), MOST_AREAS * least)

    def _follow(self, last: Picture | None, picture: Picture, difference: Difference) -> Look:
        """Look at a picture with something in it while the clip goes on."""
        if difference.is_light_change and last is not None:
            self._take_over(picture, difference)
            return Look(Sight.CLEAR, score=difference.score)
        moving = difference.blobs if last is None else self._moving(last, picture, near(difference.blobs))
        over = self._over(picture, difference.blobs, near(moving), picture.at - last.at if last else 0.0)
        if over.any():
            self._refresh(picture, near(over))
        if not (difference.blobs & ~over).any():
            return Look(Sight.CLEAR, score=difference.score)
        return Look(Sight.MOTION, picture.at, difference.score)

    def _over(self, picture: Picture, blobs: Mask, moving: Mask, elapsed_s: float) -> Mask:
        """Return of the blobs what is a ghost, or has stood for `still_s` seconds without moving."""
        assert self._background is not None
        if self._still_s is None or self._still_s.shape != blobs.shape:
            self._still_s = np.zeros_like(picture.luma)
        stands = blobs & ~moving
        self._still_s = np.where(stands > 0, self._still_s + np.float32(max(0.0, elapsed_s)), np.float32(0))
        over = np.zeros_like(blobs)
        for area in areas(stands):
            if self._still_s[area > 0].max() > self._settings.still_s or is_ghost(self._background, picture.luma, area):
                over |= area
        return over

    def _pursue(self, suspicion: _Suspicion, pictures: Iterable[Picture], at: float) -> Look:
        """Look for movement in pictures that follow each other, up to the unix time `at`."""
        score = suspicion.difference.score
        for picture in pictures:
            while suspicion.recent and suspicion.recent[0].at < picture.at - 2 * STEP_S:
                suspicion.recent.popleft()
            earlier = next((old for old in reversed(suspicion.recent) if old.at <= picture.at - STEP_S), None)
            suspicion.recent.append(picture)
            suspicion.seen_until = picture.at
            if earlier is None or (suspicion.moves and earlier.at < suspicion.moves[-1][1]):
                continue
            moving = self._moving(earlier, picture, suspicion.where)
            if moving.any():
                suspicion.where |= near(moving)
                suspicion.moves.append((earlier.at, picture.at))
                lasts_s = picture.at - suspicion.moves[0][0]
                if len(suspicion.moves) >= MOVES_NEEDED and lasts_s >= self._settings.min_duration_s:
                    self._end_suspicion(picture)
                    self._still_s = None
                    return Look(Sight.MOTION, suspicion.moves[0][0], score)
        if at < suspicion.until:
            return Look(Sight.SUSPICION, score=score)
        latest = suspicion.recent[-1] if suspicion.recent else suspicion.picture
        self._take_over(latest, suspicion.difference)
        self._end_suspicion(latest)
        return Look(Sight.CLEAR, score=score)

    def _end_suspicion(self, picture: Picture) -> None:
        self._suspicion = None
        self._last = picture
        if self.plan is DecodePlan.KEYFRAMES:
            self._decoder.restart()

    def _moving(self, earlier: Picture, later: Picture, where: Mask) -> Mask:
        """Return what moves between two pictures within `where`; nothing while the light changes."""
        assert self._background is not None
        # What moves shows at its edges first, so half of the area is asked for.
        difference = between_frames(
            earlier.luma,
            later.luma,
            self._background,
            sigmas=self._settings.sigmas,
            min_area=self._least_area / 2,
            within=self._within,
        )
        is_steady = not difference.is_light_change and difference.shift < MOST_SHIFT
        return difference.blobs & where if is_steady else np.zeros_like(where)

    def _take_over(self, picture: Picture, difference: Difference) -> None:
        """Make what differs part of the background."""
        self._refresh(picture, np.ones_like(difference.blobs) if difference.is_light_change else near(difference.blobs))

    def _refresh(self, picture: Picture, where: Mask) -> None:
        assert self._background is not None
        self._background = refresh(self._background, picture.luma, where)
