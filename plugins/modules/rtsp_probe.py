#!/usr/bin/python
# Copyright (c) 2026 CLLMH contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rtsp_probe: arguments in, what the DVR offers out. The work is done in module_utils/rtsp.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rtsp_probe
short_description: List what a DVR, NVR or IP camera offers over RTSP
version_added: 0.1.0
author:
  - The CLLMH engineers (@cllmh)
description:
  - Asks a device for each channel and stream by the RTSP request C(DESCRIBE), and returns codec, picture size, frame
    rate and audio, or what is wrong, in one sentence.
  - All questions go over one connection and open no session, so a device that limits its viewers is not disturbed.
  - A wrong password is tried once, because many devices lock the account after a few failures.
  - Needs nothing but Python on the machine it runs on, which must reach the device; at a site that is the node.
extends_documentation_fragment:
  - cllmh.cctv.attributes
  - cllmh.cctv.attributes.read_only
options:
  host:
    description: Name or address of the device.
    type: str
    required: true
  port:
    description: RTSP port, 1 to 65535.
    type: int
    default: 554
  username:
    description: User of the device. Without it no login is tried.
    type: str
  password:
    description: Password of the user, as it is, without any encoding. It is never shown and is in no URL.
    type: str
  vendor:
    description:
      - How the device spells its paths.
      - V(dahua) is C(/cam/realmonitor?channel=N&subtype=S), V(hikvision) is C(/Streaming/Channels/N0S).
      - V(generic) takes O(path_template).
    type: str
    choices: [dahua, hikvision, generic]
    required: true
  path_template:
    description:
      - Path with C({channel}) and, if wanted, C({stream}) (0 main, 1 sub) in it, for any O(vendor).
      - Required for O(vendor=generic).
    type: str
  channels:
    description:
      - Channels to ask for, each 1 to 256. One that does not exist is returned as an error.
      - Without it all from 1 to O(max_channel) are asked for, and those that do not exist are left out.
    type: list
    elements: int
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
  timeout:
    description: Seconds to wait for the connection, and for each answer.
    type: float
    default: 5
seealso:
  - name: The page about probing
    description: How devices are asked, what each error means and what to do about it.
    link: https://github.com/cllmh/cllmh/blob/main/docs/probe.md
"""

EXAMPLES = r"""
- name: List what the site's DVR offers
  cllmh.cctv.rtsp_probe:
    host: 192.0.2.10
    vendor: dahua
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
  register: dvr
  failed_when: dvr is failed or dvr.streams[0].codec not in ['H264', 'H265']

- name: Ask a camera with paths of its own
  cllmh.cctv.rtsp_probe:
    host: 192.0.2.11
    vendor: generic
    path_template: /live/ch{channel}_{stream}
    channels: [1]
"""

RETURN = r"""
streams:
  description: One entry for each channel and stream that was asked for.
  returned: success
  type: list
  elements: dict
  contains:
    channel:
      description: Channel, from 1 on.
      type: int
      sample: 1
    stream:
      description: V(main) or V(sub).
      type: str
      sample: main
    path:
      description: The path to give to the recorder; it holds no credentials.
      type: str
      sample: /cam/realmonitor?channel=1&subtype=0
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
      description: Frames per second, or null when the device does not say.
      type: float
      sample: 25.0
    audio:
      description: Codec of the sound, or null when there is none.
      type: str
      sample: PCMA
    error:
      description: V(not_found), V(busy), V(timeout), V(protocol), V(no_video), or null.
      type: str
      sample: null
    message:
      description: What is wrong, in one sentence, or null.
      type: str
      sample: null
table:
  description: The same as lines of text, for people.
  returned: success
  type: list
  elements: str
  sample:
    - CHANNEL  STREAM  CODEC  SIZE       FPS  AUDIO  NOTE
    - 1        main    H264   1920x1080  25   -
server:
  description: What the device calls itself, or null.
  returned: success
  type: str
  sample: Rtsp Server/3.0
error:
  description: Why the device as a whole could not be asked, V(unreachable), V(timeout), V(auth) or V(protocol).
  returned: failure
  type: str
  sample: auth
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cllmh.cctv.plugins.module_utils.dvr import STREAMS, VENDORS, table
from ansible_collections.cllmh.cctv.plugins.module_utils.rtsp import RtspError, Target, probe


def main() -> None:
    """Ask and return; fails when the device as a whole cannot be asked."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 554},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "vendor": {"type": "str", "choices": list(VENDORS), "required": True},
            "path_template": {"type": "str"},
            "channels": {"type": "list", "elements": "int"},
            "max_channel": {"type": "int", "default": 16},
            "streams": {"type": "list", "elements": "str", "choices": list(STREAMS), "default": list(STREAMS)},
            "timeout": {"type": "float", "default": 5},
        },
        required_if=[("vendor", "generic", ["path_template"])],
        required_by={"password": "username"},
        supports_check_mode=True,
    )
    given = module.params
    try:
        target = Target(given["host"], given["port"], given["username"], given["password"], given["timeout"])
        answer = probe(
            target,
            given["vendor"],
            channels=given["channels"],
            max_channel=given["max_channel"],
            streams=given["streams"],
            template=given["path_template"],
        )
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    except RtspError as error:
        module.fail_json(msg=str(error), error=error.cause)
    streams = [offer.as_dict() for offer in answer.offers]
    module.exit_json(changed=False, server=answer.server, streams=streams, table=table(answer.offers))


if __name__ == "__main__":
    main()
