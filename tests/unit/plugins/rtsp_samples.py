"""RTSP texts and parameter sets for tests: SPS from x264 and x265, SDP as Dahua and Hikvision devices write it."""

from base64 import b64encode
from pathlib import Path

# Encoded by Debian's ffmpeg (testsrc2): (codec, width, height, frames/s or None, SPS).
SPS_SAMPLES = [
    ("H264", 768, 576, 10.0, "6742c01fda030049b011000003000100000300140f1832a0"),
    ("H264", 1920, 1080, 25.0, "6742c028da01e0089f97011000000300100000030320f1832a"),
    ("H264", 704, 480, 15.0, "6742c016da02c0f6c044000003000400000300783c58ba80"),
    ("H264", 1280, 720, 30.0, "6764001facd9405005bb0110000003001000000303c0f1831960"),
    ("H264", 1920, 1080, 25.0, "674d4028f403c0227ef011000003000100000300321f162ea0"),  # interlaced
    (
        "H265",
        1920,
        1080,
        25.0,
        "420101016000000300900000030000030078a003c0801107cb965654a4c2f0168080000003008000000c84",
    ),
    (
        "H265",
        2592,
        1944,
        20.0,
        "420101016000000300900000030000030096a001442007a1f2e595952930bc05a02000000300200000030281",
    ),
]

SPS_768X576 = bytes.fromhex(SPS_SAMPLES[0][4])
PPS = bytes.fromhex("68ce3c80")

DAHUA_SDP = f"""v=0
o=- 2251938191 2251938191 IN IP4 0.0.0.0
s=RTSP Session/2.0
c=IN IP4 0.0.0.0
t=0 0
a=control:*
a=range:npt=now-
a=packetization-supported:DH
m=video 0 RTP/AVP 96
a=control:trackID=0
a=framerate:25.000000
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;profile-level-id=42C028;sprop-parameter-sets={
    b64encode(bytes.fromhex(SPS_SAMPLES[1][4])).decode()
},{b64encode(PPS).decode()}
a=recvonly
m=audio 0 RTP/AVP 8
a=control:trackID=1
a=rtpmap:8 PCMA/8000
a=recvonly
""".replace("\n", "\r\n").encode()

HIKVISION_SDP = f"""v=0
o=- 1109162014219182 1109162014219192 IN IP4 192.0.2.10
s=Media Presentation
e=NONE
b=AS:5100
t=0 0
a=control:rtsp://192.0.2.10:554/Streaming/Channels/101/
m=video 0 RTP/AVP 96
b=AS:5000
a=recvonly
a=x-dimensions:2592,1944
a=control:rtsp://192.0.2.10:554/Streaming/Channels/101/trackID=1
a=rtpmap:96 H265/90000
a=fmtp:96 sprop-sps={b64encode(bytes.fromhex(SPS_SAMPLES[6][4])).decode()}; sprop-pps=RAHA8vA8kA==
a=Media_header:MEDIAINFO=494D4B48010200000400000100000000000000000000000000000000000000000000000000000000;
a=appversion:1.0
""".encode()


def write_stream(path: Path, pictures: int = 20, gop: int = 5, size_bytes: int = 4000) -> Path:
    """Write an Annex B file with real headers and made-up pictures, for what never decodes them."""
    nals = []
    for number in range(pictures):
        if number % gop == 0:
            nals += [SPS_768X576, PPS, b"\x65\x88" + bytes([number + 1]) * size_bytes]
        else:
            nals.append(b"\x41\x9a" + bytes([number + 1]) * (size_bytes // 10))
    path.write_bytes(b"".join(b"\0\0\0\1" + nal for nal in nals))
    return path
