# Copyright: (c) 2026, The CLLMH engineers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RTSP path of a DVR's channel."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.cllmh.cctv.plugins.module_utils import dvr

DOCUMENTATION = r"""
name: stream_path
short_description: Return the RTSP path of a channel in a vendor's spelling
version_added: 0.1.0
description:
  - Uses the same table as the module M(cllmh.cctv.rtsp_probe).
positional: _input, vendor, stream
options:
  _input:
    description: Number of the channel, 1 and up.
    type: int
    required: true
  vendor:
    description: Who made the DVR.
    type: str
    required: true
    choices: [dahua, hikvision]
  stream:
    description: The full picture or the small one.
    type: str
    default: main
    choices: [main, sub]
author:
  - The CLLMH engineers (@cllmh)
"""

EXAMPLES = r"""
# /cam/realmonitor?channel=2&subtype=0
path: "{{ 2 | cllmh.cctv.stream_path('dahua') }}"
"""

RETURN = r"""
_value:
  description: The path with its query.
  type: str
"""


def stream_path(channel: int, vendor: str, stream: str = "main") -> str:
    """Return the path; raise AnsibleFilterError that names what cannot be right."""
    try:
        return dvr.stream_path(vendor, channel, stream)
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"stream_path: {error}") from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"stream_path": stream_path}
