"""The last seconds of a camera, encoded, in memory: what a clip's pre-roll is made of."""

from collections import deque
from collections.abc import Iterator

from cllmh_node.rtsp.frame import EncodedFrame


class PacketRing:
    """Whole groups of pictures (GOPs), newest last, bounded by seconds and by bytes.

    Frames before the first keyframe are not kept: nothing could be decoded from them.
    """

    def __init__(self, max_bytes: int) -> None:
        """Hold at most `max_bytes` of encoded data."""
        self._max_bytes = max_bytes
        self._gops: deque[list[EncodedFrame]] = deque()
        self._bytes = 0
        self._longest_gop_s = 0.0
        self._lost_until = 0.0

    @property
    def size_bytes(self) -> int:
        """Encoded bytes held now."""
        return self._bytes

    @property
    def longest_gop_s(self) -> float:
        """The longest time between two keyframes seen, in seconds."""
        return self._longest_gop_s

    def append(self, frame: EncodedFrame, keep_s: float) -> None:
        """Add a frame, and let go what is not needed for the last `keep_s` seconds."""
        if frame.is_keyframe:
            if self._gops:
                self._longest_gop_s = max(self._longest_gop_s, frame.at - self._gops[-1][0].at)
            self._gops.append([])
        elif not self._gops:
            if self._lost_until:  # the rest of a GOP that did not fit
                self._lost_until = frame.at
            return
        self._gops[-1].append(frame)
        self._bytes += len(frame.data)
        while len(self._gops) > 1 and self._gops[1][0].at <= frame.at - keep_s:
            self._forget_oldest()
        while self._bytes > self._max_bytes:
            self._lost_until = self._gops[0][-1].at
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._bytes -= sum(len(old.data) for old in self._gops.popleft())

    @property
    def lost_until(self) -> float:
        """Unix time of the latest frame that went for lack of memory although its seconds were to be kept."""
        return self._lost_until

    def since(self, at: float) -> Iterator[EncodedFrame]:
        """Yield all frames from the keyframe at or before the unix time `at` (or the oldest there is)."""
        first = 0
        for index, gop in enumerate(self._gops):
            if gop[0].at <= at:
                first = index
        for index, gop in enumerate(self._gops):
            if index >= first:
                yield from gop

    def last_gops(self, count: int) -> list[EncodedFrame]:
        """Return the pictures of the last `count` GOPs, the unfinished one included."""
        return [frame for gop in list(self._gops)[-count:] for frame in gop if not frame.is_audio]

    def clear(self) -> None:
        """Forget everything: after a break nothing older joins what comes."""
        self._gops.clear()
        self._bytes = 0
        self._longest_gop_s = self._lost_until = 0.0
