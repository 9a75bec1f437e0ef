#!/usr/bin/python
# Copyright (c) 2026 CLLMH contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rtsp_probe: arguments in, what cameras offer out. The work is done in module_utils/survey.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rtsp_probe
short_description: List what cameras, DVRs and NVRs offer over RTSP
version_added: 0.1.0
author:
  - The CLLMH engineers (@cllmh)
description:
  - Asks one DVR for each of its channels (O(host)), or hundreds of cameras at once (O(cameras)), by the RTSP request
    C(DESCRIBE), and returns codec, picture size, frame rate and audio, or what is wrong, in one sentence.
  - Never fails because of what a camera answers, unless that is asked for with O(fail_on).
  - Opens no session, so a device that limits its viewers is not disturbed, unless O(receive_s) is given.
  - A wrong password is sent once to each device, because many lock the account after a few failures. What is left there
    with the same user and password is answered without asking.
  - Needs nothing but Python on the machine it runs on, which must reach the device; at a site that is the node.
extends_documentation_fragment:
  - cllmh.cctv.attributes
  - cllmh.cctv.attributes.read_only
options:
  cameras:
    description: The streams to ask for, one by one.
    type: list
    elements: dict
    suboptions:
      name:
        description: What to call it in the result.
        type: str
        required: true
      host:
        description: Name or address of the device.
        type: str
        required: true
      port:
        description: RTSP port, 1 to 65535. The default is 554, with O(cameras[].tls) 322.
        type: int
      path:
        description: Path with its query, as the vendor spells it, without user or password.
        type: str
        required: true
      username:
        description: User of the device. Without it no login is tried.
        type: str
      password:
        description: Password of the user, as it is, without any encoding. It is never shown and is in no URL.
        type: str
      tls:
        description: Ask over RTSPS, that is RTSP over TLS.
        type: bool
        default: false
  host:
    description: Name or address of a DVR, whose channels are asked for.
    type: str
  port:
    description: RTSP port of the DVR, 1 to 65535. The default is 554, with O(tls) 322.
    type: int
  username:
    description: User of the DVR. Without it no login is tried.
    type: str
  password:
    description: Password of the user, as it is, without any encoding. It is never shown and is in no URL.
    type: str
  tls:
    description: Ask the DVR over RTSPS, that is RTSP over TLS.
    type: bool
    default: false
  validate_certs:
    description:
      - Whether a device that is asked over RTSPS must have a certificate that is trusted and bears its name.
      - Most DVRs sign their own. Give such a certificate as O(ca_file) where you can get it. With V(false) the stream
        is encrypted, but whoever sits in between can pose as the device and see the Digest login.
    type: bool
    default: true
  ca_file:
    description: File with the certificates that are trusted, PEM, instead of the system's.
    type: path
  vendor:
    description:
      - How the DVR spells its paths.
      - V(dahua) is C(/cam/realmonitor?channel=N&subtype=S), V(hikvision) is C(/Streaming/Channels/N0S).
      - V(generic) takes O(path_template).
      - V(auto) asks the first channels in each spelling, O(path_template) first if given, and takes the first that the
        DVR answers.
    type: str
    choices: [auto, dahua, hikvision, generic]
    default: auto
  path_template:
    description:
      - Path with C({channel}) and, if wanted, C({stream}) (0 main, 1 sub) in it, for any O(vendor). Other braces, and a
        path without the channel, are refused.
      - Required for O(vendor=generic).
    type: str
  channels:
    description:
      - Channels to ask for, numbers and ranges such as V(1-16), each 1 to 256. One that does not exist is returned as
        an error.
      - Without it all from 1 to O(max_channel) are asked for, and those that do not exist are left out.
    type: list
    elements: str
  max_channel:
    description: The last channel to ask for when O(channels) is not given, 1 to 256.
    type: int
    default: 16
  streams:
    description: Which streams of each channel to ask for.
    type: list
    elements: str
    choices: [main, sub]
    default: [main, sub]
  receive_s:
    description:
      - Watch each stream for so many seconds, at most 600, and return what came. 0 for not at all.
      - This takes a session of the device for each stream that is being watched. A device that has no more is asked
        again when one is free.
    type: float
    default: 0
  connections_per_host:
    description: Connections to one host at a time, at most, 1 to 256. A device that takes fewer keeps those.
    type: int
    default: 16
  timeout_s:
    description: Seconds to wait for a connection, and for each answer.
    type: float
    default: 5
    aliases: [timeout]
  total_timeout_s:
    description: Seconds for everything. What is not answered by then has the error V(timeout).
    type: float
    default: 120
  fail_on:
    description: Fail when any stream has one of these errors. The result is complete all the same.
    type: list
    elements: str
    choices: [unreachable, timeout, auth, not_found, busy, protocol, no_video]
    default: []
seealso:
  - name: The page about probing
    description: How devices are asked, what each error means and what to do about it.
    link: https://github.com/cllmh/cllmh/blob/main/docs/probe.md
"""

EXAMPLES = r"""
- name: List what the site's DVR offers
  cllmh.cctv.rtsp_probe:
    host: 192.0.2.10
    username: admin
    password: "{{ dvr_password }}"
  register: dvr

- name: Show it
  ansible.builtin.debug:
    msg: "{{ dvr.table }}"

- name: Refuse a DVR whose first channel is not H.264 or H.265
  cllmh.cctv.rtsp_probe:
    host: 192.0.2.10
    vendor: hikvision
    username: admin
    password: "{{ dvr_password }}"
    channels: [1]
    streams: [main]
    fail_on: [unreachable, timeout, auth, not_found, busy, protocol, no_video]
  register: dvr
  failed_when: dvr is failed or dvr.streams[0].codec not in ['H264', 'H265']

- name: Watch 64 channels for 5 seconds each, on at most 8 connections
  cllmh.cctv.rtsp_probe:
    host: 192.0.2.10
    vendor: dahua
    username: admin
    password: "{{ dvr_password }}"
    channels: [1-64]
    streams: [main]
    receive_s: 5
    connections_per_host: 8

- name: Ask two cameras, one of them over TLS with a certificate of its own
  cllmh.cctv.rtsp_probe:
    cameras:
      - name: gate
        host: 192.0.2.11
        path: /live/ch1_0
        username: viewer
        password: "{{ gate_password }}"
      - name: yard
        host: 192.0.2.12
        path: /Streaming/Channels/101
        username: viewer
        password: "{{ yard_password }}"
        tls: true
    validate_certs: false
"""

RETURN = r"""
streams:
  description: One entry for each stream that was asked for, in the order of the question.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the camera; of a DVR's stream its channel and V(main) or V(sub).
      type: str
      sample: 1 main
    host:
      description: The device that was asked.
      type: str
      sample: 192.0.2.10
    port:
      description: Its RTSP port.
      type: int
      sample: 554
    path:
      description: The path to give to the recorder; it holds no credentials.
      type: str
      sample: /cam/realmonitor?channel=1&subtype=0
    channel:
      description: Channel of a DVR, from 1 on, or null.
      type: int
      sample: 1
    stream:
      description: V(main) or V(sub) of a DVR's channel, or null.
      type: str
      sample: main
    ok:
      description: Whether there is video to be had.
      type: bool
      sample: true
    codec:
      description: Codec of the video in capitals, or null.
      type: str
      sample: H264
    width:
      description: Width in pixels, or null when the device does not say.
      type: int
      sample: 1920
    height:
      description: Height in pixels, or null when the device does not say.
      type: int
      sample: 1080
    fps:
      description: Frames per second as the device says, else as received, else null.
      type: float
      sample: 25.0
    audio:
      description: Codec of the sound, or null when there is none.
      type: str
      sample: PCMA
    received:
      description:
        - What came with O(receive_s), or null - V(seconds) from the first packet on, V(packets), V(packets_lost),
          V(frames), V(keyframes), V(keyframe_interval_s), V(fps), V(bit_rate_bps). An interval or a rate is null where
          too little came to say.
      type: dict
    error:
      description:
        - V(unreachable), V(timeout), V(auth), V(not_found), V(busy), V(protocol), V(no_video), or null.
      type: str
      sample: null
    message:
      description: What is wrong, in one sentence, or null.
      type: str
      sample: null
counts:
  description: How many streams are V(ok), and how many have each error that occurred.
  returned: success
  type: dict
  sample: {ok: 30, busy: 2}
table:
  description: The same as lines of text, for people.
  returned: success
  type: list
  elements: str
  sample:
    - NAME    CODEC  SIZE       FPS  AUDIO  NOTE
    - 1 main  H264   1920x1080  25   -
vendor:
  description: Whose paths the DVR answers; null where V(auto) found none, and with O(cameras).
  returned: success
  type: str
  sample: dahua
devices:
  description: The devices that were asked, each with V(host), V(port), V(server) and V(methods) as they say, or null.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cllmh.cctv.plugins.module_utils.dvr import STREAMS, VENDORS
from ansible_collections.cllmh.cctv.plugins.module_utils.offer import CAUSES, Question, counts, table
from ansible_collections.cllmh.cctv.plugins.module_utils.probing import Devices, Limits, ask_all
from ansible_collections.cllmh.cctv.plugins.module_utils.rtsp_target import Target, Tls, port_of
from ansible_collections.cllmh.cctv.plugins.module_utils.survey import AUTO, Survey, Wanted, survey

LOGIN: dict[str, dict[str, Any]] = {
    "port": {"type": "int"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "tls": {"type": "bool", "default": False},
}
CAMERA: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    **LOGIN,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "cameras": {"type": "list", "elements": "dict", "options": CAMERA, "required_by": {"password": "username"}},
    "host": {"type": "str"},
    **LOGIN,
    "validate_certs": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "vendor": {"type": "str", "choices": [AUTO, *VENDORS], "default": AUTO},
    "path_template": {"type": "str"},
    "channels": {"type": "list", "elements": "str"},
    "max_channel": {"type": "int", "default": 16},
    "streams": {"type": "list", "elements": "str", "choices": list(STREAMS), "default": list(STREAMS)},
    "receive_s": {"type": "float", "default": 0},
    "connections_per_host": {"type": "int", "default": 16},
    "timeout_s": {"type": "float", "default": 5, "aliases": ["timeout"]},
    "total_timeout_s": {"type": "float", "default": 120},
    "fail_on": {"type": "list", "elements": "str", "choices": list(CAUSES), "default": []},
}


def target_of(given: dict[str, Any], common: dict[str, Any]) -> Target:
    """Return the device of a camera or of the whole task; raises ValueError."""
    tls = Tls(common["validate_certs"], common["ca_file"]) if given["tls"] else None
    port = port_of(given["port"], tls)
    return Target(given["host"], port, given["username"], given["password"], common["timeout_s"], tls)


def question_of(camera: dict[str, Any], common: dict[str, Any]) -> Question:
    """Return what to ask of one of the cameras; raises ValueError that names it."""
    try:
        return Question(camera["name"], target_of(camera, common), camera["path"])
    except ValueError as error:
        raise ValueError(f"camera {camera['name']}: {error}") from error


def ask(params: dict[str, Any]) -> Survey:
    """Ask for the cameras, or for the channels of the DVR; raises ValueError."""
    limits = Limits(params["connections_per_host"], params["total_timeout_s"], params["receive_s"])
    if params["cameras"] is None:
        names = ("vendor", "channels", "max_channel", "streams")
        wanted = Wanted(**{name: params[name] for name in names}, template=params["path_template"])
        return survey(target_of(params, params), wanted, limits)
    devices: Devices = {}
    offers = ask_all([question_of(camera, params) for camera in params["cameras"]], limits, devices)
    return Survey(None, offers, devices)


def as_result(found: Survey) -> dict[str, Any]:
    """Return what the module answers."""
    devices = [
        {"host": host, "port": port, "server": device.server, "methods": list(device.methods)}
        for (host, port), device in found.devices.items()
    ]
    return {
        "changed": False,
        "streams": [offer.as_dict() for offer in found.offers],
        "counts": counts(found.offers),
        "table": table(found.offers),
        "vendor": found.vendor,
        "devices": devices,
    }


def main() -> None:
    """Ask and return; fails on the errors of `fail_on` only."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("cameras", "host")],
        required_one_of=[("cameras", "host")],
        required_if=[("vendor", "generic", ["path_template"])],
        required_by={"password": "username"},
        supports_check_mode=True,
    )
    try:
        found = ask(module.params)
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    result = as_result(found)
    unwanted = [offer for offer in found.offers if offer.error in module.params["fail_on"]]
    if unwanted:
        first = unwanted[0].message
        module.fail_json(msg=f"{len(unwanted)} of {len(found.offers)} streams cannot be had. {first}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
