"""Watching one camera for motion, with as little decoding as that takes.

Quiet: only keyframes are decoded and compared with the background. What differs is a suspicion: the GOP that is
already in the ring is decoded, then the frames that arrive, until movement near what differs confirms it (and dates
it), or until none came: then it was a ghost, such as the place that a parked car has left, and becomes background.
Recording: keyframes again; what came and stands still goes on counting for `still_s`.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from cllmh_node.motion.background import Background, learn, refresh, settle
from cllmh_node.motion.difference import Difference, against_background, between_frames, is_ghost, near
from cllmh_node.motion.luma import Mask
from cllmh_node.recorder.decoder import LumaDecoder, Picture
from cllmh_node.recorder.settings import MotionSettings
from cllmh_node.ring import PacketRing
from cllmh_node.rtsp.frame import EncodedFrame

STEP_S = 0.4
"""Frames so far apart are compared for movement: long enough for a person who walks to have moved."""

MOVES_NEEDED = 2
"""Comparisons that must show movement: one alone can be a damaged frame."""

LEARNING_FRAMES = 3
"""Keyframes before anything can be suspected."""


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
    """With MOTION: the part of the picture that the largest area covers, 0..1."""


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
    moves: list[float] = field(default_factory=list)


class MotionWatch:
    """Looks at the frames of one camera, in their order."""

    def __init__(self, settings: MotionSettings, decoder: LumaDecoder) -> None:
        self._settings = settings
        self._decoder = decoder
        self._background: Background | None = None
        self._last: Picture | None = None
        self._moved_at = 0.0
        self._suspicion: _Suspicion | None = None
        self.stride = 1
        """Under overload only every so many-th keyframe is looked at while the camera is quiet."""
        self.looked_at = 0
        """Keyframes looked at."""
        self._skipped = 0

    def look(self, frame: EncodedFrame, ring: PacketRing, *, is_recording: bool) -> Look:
        """Look at a frame that is already in the ring."""
        if self._suspicion is not None:
            return self._pursue(self._suspicion, [frame])
        if not frame.is_keyframe:
            return _NOTHING_NEW
        self._skipped += 1
        if self._skipped < self.stride and not is_recording:
            return _NOTHING_NEW
        self._skipped = 0
        self.looked_at += 1
        picture = self._decoder.keyframe(frame)
        if picture is None:
            return _NOTHING_NEW
        last, self._last = self._last, picture
        elapsed_s = picture.at - last.at if last else 1.0
        if self._background is None or self._background.mean.shape != picture.luma.shape:
            self._background = Background.first(picture.luma)
            return Look(Sight.LEARNING)
        difference = against_background(
            self._background, picture.luma, sigmas=self._settings.sigmas, min_area=self._settings.min_area
        )
        if not self._background.is_settled:
            self._background = settle(self._background, picture.luma)
            if len(self._background.samples) <= LEARNING_FRAMES and not self._background.is_settled:
                return Look(Sight.LEARNING)
        elif not difference.blobs.any():
            self._background = learn(self._background, picture.luma, difference.blobs, elapsed_s)
        if not difference.blobs.any():
            return Look(Sight.CLEAR)
        if is_recording:
            return self._follow(last, picture, difference)
        where = np.ones_like(difference.blobs) if difference.is_light_change else near(difference.blobs)
        self._suspicion = _Suspicion(picture, difference, where, picture.at + self._settings.confirm_s)
        self._decoder.restart()
        return self._pursue(self._suspicion, ring.last_gops(2))

    def resume(self, decoder: LumaDecoder) -> None:
        """Go on with a new session of the same camera; what is known of the scene stays."""
        self._decoder = decoder
        self._last = None
        self._suspicion = None

    def _follow(self, last: Picture | None, picture: Picture, difference: Difference) -> Look:
        """Look at a keyframe with something in it while the clip goes on."""
        assert self._background is not None
        if last is None or self._moves(last, picture, near(difference.blobs)):
            self._moved_at = picture.at
        elif (
            difference.is_light_change
            or picture.at - self._moved_at > self._settings.still_s
            or is_ghost(self._background, picture.luma, difference.blobs)
        ):
            self._take_over(picture, difference)
            return Look(Sight.CLEAR)
        return Look(Sight.MOTION, picture.at, difference.score)

    def _pursue(self, suspicion: _Suspicion, frames: list[EncodedFrame]) -> Look:
        """Look for movement in whole GOPs."""
        for picture in self._decoder.sequence(frames):
            while suspicion.recent and suspicion.recent[0].at < picture.at - 2 * STEP_S:
                suspicion.recent.popleft()
            earlier = next((old for old in reversed(suspicion.recent) if old.at <= picture.at - STEP_S), None)
            suspicion.recent.append(picture)
            if earlier is not None and self._moves(earlier, picture, suspicion.where):
                suspicion.moves.append(earlier.at)
                if len(suspicion.moves) >= MOVES_NEEDED:
                    self._end_suspicion(picture)
                    self._moved_at = picture.at
                    return Look(Sight.MOTION, suspicion.moves[0], suspicion.difference.score)
        if frames[-1].at < suspicion.until:
            return Look(Sight.SUSPICION)
        self._take_over(suspicion.picture, suspicion.difference)
        self._end_suspicion(suspicion.picture)
        return Look(Sight.CLEAR)

    def _end_suspicion(self, picture: Picture) -> None:
        self._suspicion = None
        self._last = picture
        self._decoder.restart()

    def _moves(self, earlier: Picture, later: Picture, where: Mask) -> bool:
        assert self._background is not None
        # What moves shows at its edges first, so half of the area is asked for.
        difference = between_frames(
            earlier.luma,
            later.luma,
            self._background,
            sigmas=self._settings.sigmas,
            min_area=self._settings.min_area / 2,
        )
        return not difference.is_light_change and bool((difference.blobs & where).any())

    def _take_over(self, picture: Picture, difference: Difference) -> None:
        """Make what differs part of the background."""
        assert self._background is not None
        where = np.ones_like(difference.blobs) if difference.is_light_change else near(difference.blobs)
        self._background = refresh(self._background, picture.luma, where)
