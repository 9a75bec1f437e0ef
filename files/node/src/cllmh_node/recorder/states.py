"""The states of one camera and what leads from one to the next."""

from enum import StrEnum

from cllmh_node.recorder.watch import Sight


class CameraState(StrEnum):
    """What a camera's recorder is doing."""

    STARTING = "starting"
    """Connected or connecting; the scene is being learned."""

    QUIET = "quiet"
    """Nothing happens; only keyframes are decoded."""

    SUSPICIOUS = "suspicious"
    """Something differs; whether it moves is looked at."""

    RECORDING = "recording"
    """Something moves, or came and is still there."""

    POST_ROLL = "post_roll"
    """Nothing moves any more; the clip goes on for a while."""

    LOST = "lost"
    """No video."""

    OFF = "off"
    """Not to be recorded now, by its mode or schedule; there is no session."""


WRITING = frozenset({CameraState.RECORDING, CameraState.POST_ROLL})
"""States in which there is a clip."""


def next_state(state: CameraState, sight: Sight, *, may_end: bool) -> CameraState:
    """Return the state after a frame was looked at.

    `may_end`: the frame is a keyframe and the post-roll is over. A clip ends only there, so that the next one can
    begin where this one ends.
    """
    if sight is Sight.MOTION:
        return CameraState.RECORDING
    if state in WRITING:
        # Not without having looked: a keyframe can be damaged, or left out under overload.
        if may_end and (state is CameraState.POST_ROLL or sight is not Sight.NOTHING_NEW):
            return CameraState.QUIET
        return CameraState.POST_ROLL if sight is Sight.CLEAR else state
    match sight:
        case Sight.LEARNING:
            return CameraState.STARTING
        case Sight.CLEAR:
            return CameraState.QUIET
        case Sight.SUSPICION:
            return CameraState.SUSPICIOUS
    return CameraState.STARTING if state in (CameraState.LOST, CameraState.OFF) else state
