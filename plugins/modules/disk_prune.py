#!/usr/bin/python
# Copyright (c) 2026 CLLMH contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make room in a recordings folder, predictably."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_prune
short_description: Make room in a recordings folder, predictably
version_added: 0.1.0
description:
  - Deletes recordings until a policy holds - free space, share of the disk, quota, age - and says which and why.
  - With O(index) the recorder's importance decides. First goes C(continuous), then C(motion), then C(object), in each
    the oldest first; C(pinned) never. Without it the dated folders are walked, the oldest clip goes first, and as no
    clip is known to be pinned, none is protected but by its age.
  - Touches only files named like clips, C(CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ.mp4), below a root that holds the
    marker file C(.cllmh-recordings); never follows a symbolic link and never enters a mount below the root.
  - Two pruners never work at once. When the HDD monitor is just making room, the module waits for it up to O(wait_s).
options:
  path:
    description:
      - The recordings folder, absolute and not behind a symbolic link.
      - System folders, and folders without the marker file, are refused. An unmounted disk has no marker.
    type: path
    required: true
  index:
    description: The recorder's index of clips (SQLite). Rows of deleted clips are removed from it.
    type: path
  min_free_bytes:
    description: Keep at least this much free. A number of bytes, or with a unit as in V(20G).
    type: bytes
  max_used_percent:
    description: Use at most this part of the file system, blocks and inodes alike. Above 0, at most 100.
    type: float
  max_bytes:
    description: All recordings together take at most this. A number of bytes, or with a unit as in V(500G).
    type: bytes
  max_age_s:
    description: Delete clips that ended longer ago than this, in seconds.
    type: float
  min_age_s:
    description: Never delete a clip that ended less than this ago, in seconds.
    type: float
    default: 60
  wait_s:
    description: How long to wait for another pruner, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and then returns the same plan, without deleting.
    support: full
  diff_mode:
    description: Shows the paths that go.
    support: full
  platform:
    description: Target OS that the module works on.
    support: full
    platforms: linux
author:
  - The CLLMH engineers (@cllmh)
"""

EXAMPLES = r"""
- name: Keep a tenth of the disk free, the least important clips go first
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    index: /var/lib/cllmh/recorder/index.db
    max_used_percent: 90

- name: Keep four weeks at the most, and never more than 500 GiB
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    index: /var/lib/cllmh/recorder/index.db
    max_age_s: "{{ 28 * 86400 }}"
    max_bytes: 500G

- name: Make 20 GiB of room on a disk that has no index
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    min_free_bytes: 20G
"""

RETURN = r"""
deleted:
  description: The clips that were deleted, or would be in check mode, in this order. The first 1000 of them.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path below the root.
      type: str
      sample: gate/2026-11-22/20261122T025136.123Z.mp4
    bytes:
      description: Size of the file.
      type: int
    importance:
      description: Class of the clip, V(unknown) without an index.
      type: str
    reason:
      description: The rule it fell to, V(max_age), V(quota) or V(free_space).
      type: str
deleted_count:
  description: How many clips were deleted, or would be in check mode.
  returned: success
  type: int
deleted_bytes:
  description: Size of all of them.
  returned: success
  type: int
missing_count:
  description: Rows of the index whose files were gone already; the rows were removed.
  returned: success
  type: int
freed_bytes:
  description: What the file system says was freed; 0 in check mode.
  returned: success
  type: int
short_bytes:
  description: Bytes that the policy asks for beyond all that may be deleted. Above 0 there is a warning too.
  returned: success
  type: int
failed_clips:
  description: Clips that could not be deleted, each with the reason. The first 1000 of them.
  returned: always
  type: list
  elements: dict
before:
  description: The file system before - total_bytes, used_bytes, free_bytes, used_percent, inodes_total, inodes_free.
  returned: success
  type: dict
after:
  description: The same afterwards.
  returned: success
  type: dict
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cllmh.cctv.plugins.module_utils.recordings import BusyError, RetentionError, Root
from ansible_collections.cllmh.cctv.plugins.module_utils.retention import Outcome, Policy, plan, prune

MAX_LISTED = 1000
RETRY_S = 0.5

ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "index": {"type": "path"},
    "min_free_bytes": {"type": "bytes"},
    "max_used_percent": {"type": "float"},
    "max_bytes": {"type": "bytes"},
    "max_age_s": {"type": "float"},
    "min_age_s": {"type": "float", "default": 60},
    "wait_s": {"type": "float", "default": 30},
}

RULES = ("min_free_bytes", "max_used_percent", "max_bytes", "max_age_s", "min_age_s")


def look(path: Path, policy: Policy, index: Path | None) -> Outcome:
    """Return what `work` would do; writes nothing."""
    with Root(path) as root:
        planned = plan(root, policy, index)
        return Outcome(planned.deletions, (), (), planned.before, planned.before, planned.short_bytes)


def work(path: Path, policy: Policy, index: Path | None, wait_s: float) -> Outcome:
    """Prune; when another pruner is at work, try again for `wait_s` seconds."""
    until = time.monotonic() + wait_s
    while True:
        try:
            return prune(path, policy, index)
        except BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(RETRY_S)


def as_result(outcome: Outcome) -> dict[str, Any]:
    """Return what the module answers."""
    listed = [
        {
            "path": deletion.clip.path,
            "bytes": deletion.clip.size_bytes,
            "importance": deletion.clip.importance,
            "reason": deletion.reason,
        }
        for deletion in outcome.deleted[:MAX_LISTED]
    ]
    return {
        "changed": bool(outcome.deleted or outcome.missing),
        "deleted": listed,
        "deleted_count": len(outcome.deleted),
        "deleted_bytes": sum(deletion.clip.size_bytes for deletion in outcome.deleted),
        "missing_count": len(outcome.missing),
        "failed_clips": [{"path": path, "reason": reason} for path, reason in outcome.failed[:MAX_LISTED]],
        "freed_bytes": outcome.freed_bytes,
        "short_bytes": outcome.short_bytes,
        "before": asdict(outcome.before),
        "after": asdict(outcome.after),
        "diff": {"before": "".join(f"{clip['path']}\n" for clip in listed), "after": ""},
    }


def main() -> None:
    """Read the arguments, prune or look, answer."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    path = Path(params["path"])
    index = Path(params["index"]) if params["index"] else None
    try:
        policy = Policy(**{name: params[name] for name in RULES})
        outcome = look(path, policy, index) if module.check_mode else work(path, policy, index, params["wait_s"])
    except (RetentionError, OSError) as error:
        module.fail_json(msg=str(error), failed_clips=[])
    result = as_result(outcome)
    if outcome.short_bytes:
        module.warn(f"{path}: {outcome.short_bytes} bytes more were asked for than may be deleted")
    if outcome.failed:
        first, reason = outcome.failed[0]
        module.fail_json(msg=f"{path}: {len(outcome.failed)} clips could not be deleted, {first}: {reason}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
