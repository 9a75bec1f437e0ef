"""The parameter sets (SPS, PPS, for H.265 VPS too) that a camera sends with its keyframes."""

from collections.abc import Iterator

from cllmh_node.rtsp.sps import Picture, SpsError, read_sps

ParameterSets = dict[int, tuple[bytes, ...]]
"""NAL unit type -> the sets of this type."""

_START = b"\0\0\1"
_TYPES = {"h264": (7, 8), "hevc": (32, 33, 34)}
_SPS = {"h264": ("H264", 7), "hevc": ("H265", 33)}


def parameter_sets(codec: str, data: bytes) -> ParameterSets:
    """Return the sets at the beginning of an access unit or in extradata, both in Annex B form.

    Nothing is looked at from the first slice on: that is where the many bytes are.
    """
    found: ParameterSets = {}
    for nal in _nal_units(data):
        kind = nal[0] & 0x1F if codec == "h264" else nal[0] >> 1 & 0x3F
        if kind in _TYPES.get(codec, ()):
            found[kind] = (*found.get(kind, ()), nal)
        elif kind <= 5 if codec == "h264" else kind < 32:
            break
    return found


def to_extradata(sets: ParameterSets) -> bytes:
    """Return the sets in Annex B form, as decoders and files want them."""
    return b"".join(b"\0" + _START + nal for kind in sorted(sets) for nal in sets[kind])


def picture_of(codec: str, sets: ParameterSets) -> Picture | None:
    """Return the picture's size; None when the sets are broken."""
    name, kind = _SPS[codec]
    try:
        return read_sps(name, sets[kind][0])
    except (SpsError, KeyError):
        return None


def _nal_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units, in which a slice may be cut off: only its type is of use."""
    begin = data.find(_START)
    while begin >= 0:
        begin += len(_START)
        # A slice holds no start code, and to look for the end of a large one would cost time.
        end = data.find(_START, begin, begin + 4096)
        nal = data[begin : end if end >= 0 else begin + 4096].rstrip(b"\0")
        if nal:
            yield nal
        begin = end
