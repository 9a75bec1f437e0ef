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
  - Rules may be about all recordings, about single O(cameras) and about single O(classes). All of them are optional,
    and all given ones hold together. What one rule takes counts for the others.
  - With O(index) the recorder's importance decides. First goes C(continuous), then C(motion), then C(object); in each
    first what is safe elsewhere, then the oldest; C(pinned) never. A camera over its quota gives before others do.
  - Without O(index) the dated folders are walked, the oldest clip goes first, and as no clip is known to be pinned,
    none is protected but by its age. Rules about classes are refused then.
  - Touches only files named like clips, C(CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ.mp4), below a root that holds the
    marker file C(.cllmh-recordings); never follows a symbolic link and never enters a mount below the root. Folders
    that became empty are removed, but not today's.
  - Plans first, then acts. The plan is the same in check mode; its cost grows with what goes, not with what is stored.
  - Two pruners never work at once. When the HDD monitor is just making room, the module waits for it up to O(wait_s).
options:
  path:
    description:
      - The recordings folder, absolute and not behind a symbolic link.
      - System folders, and folders without the marker file, are refused. An unmounted disk has no marker.
    type: path
    required: true
  mount_point:
    description:
      - Where the disk of the recordings is mounted. When given, nothing is done unless a disk is mounted there and
        O(path) is on it.
    type: path
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
    description:
      - All recordings together take at most this. A number of bytes, or with a unit as in V(500G).
      - Without O(index) every file has to be looked at to know how much there is.
    type: bytes
  max_age_s:
    description: Delete clips that ended longer ago than this, in seconds.
    type: float
  min_age_s:
    description:
      - Never delete a clip that ended less than this ago, in seconds.
      - What the recorder is writing is never deleted, whatever this is.
    type: float
    default: 60
  cameras:
    description:
      - Rules about single cameras, a dictionary from the camera's name (its folder) to a dictionary of rules.
      - The rules are V(min_free_bytes) and V(max_used_percent) (while the disk has less room, this camera's clips may
        go), V(max_bytes) (a quota) and V(max_age_s), each written as for all recordings.
    type: dict
  classes:
    description: Rules about single classes of importance. Needs O(index).
    type: dict
    suboptions:
      continuous:
        description: What was recorded because everything was.
        type: dict
        suboptions: &limits
          min_free_bytes:
            description: While less than this is free, clips of this class may go. A number of bytes, or with a unit.
            type: bytes
          max_used_percent:
            description: While more than this is used, blocks or inodes, clips of this class may go.
            type: float
          max_bytes:
            description: Clips of this class together take at most this. A number of bytes, or with a unit.
            type: bytes
          max_age_s:
            description: Delete clips of this class that ended longer ago than this, in seconds.
            type: float
      motion:
        description: What was recorded because something moved.
        type: dict
        suboptions: *limits
      object:
        description: What shows a person or a vehicle.
        type: dict
        suboptions: *limits
  wait_s:
    description: How long to wait for another pruner, in seconds.
    type: float
    default: 30
extends_documentation_fragment:
  - cllmh.cctv.attributes
attributes:
  check_mode:
    support: full
    details: Returns the plan that a run would follow, and writes nothing.
  diff_mode:
    support: full
    details: Shows the paths that go.
  platform:
    platforms: linux
author:
  - The CLLMH engineers (@cllmh)
"""

EXAMPLES = r"""
- name: Keep a tenth of the disk free, the least important clips go first
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    mount_point: /srv/cctv
    index: /var/lib/cllmh/recorder/index.db
    max_used_percent: 90

- name: Keep four weeks at the most, and never more than 500 GiB
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    index: /var/lib/cllmh/recorder/index.db
    max_age_s: "{{ 28 * 86400 }}"
    max_bytes: 500G

- name: Give the busy street 50 GiB, and keep what merely moved for a week
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    index: /var/lib/cllmh/recorder/index.db
    max_used_percent: 90
    cameras:
      street:
        max_bytes: 50G
    classes:
      continuous:
        max_used_percent: 70
      motion:
        max_age_s: "{{ 7 * 86400 }}"

- name: Make 20 GiB of room on a disk that has no index
  cllmh.cctv.disk_prune:
    path: /srv/cctv/recordings
    min_free_bytes: 20G
"""

RETURN = r"""
plan:
  description: What goes by the policy, in this order; the same in check mode and for real. The first 1000 clips.
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
      description:
        - The rule it fell to, V(max_age), V(quota) or V(free_space); with C(camera_) or C(class_) before it when
          the rule is about its camera or its class, as in V(camera_quota).
      type: str
deleted:
  description: The clips that were deleted, or would be in check mode, in this order. The first 1000 of them.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path below the root; the other fields are those of RV(plan).
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
freed_inodes:
  description: How many inodes the file system says were freed; 0 in check mode.
  returned: success
  type: int
short_bytes:
  description: Bytes that the policy asks for beyond all that may be deleted. Above 0 there is a warning too.
  returned: success
  type: int
short_files:
  description: The same for files (inodes).
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
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.cllmh.cctv.plugins.module_utils.recordings import BusyError, RetentionError, Root
from ansible_collections.cllmh.cctv.plugins.module_utils.retention import (
    IMPORTANCE_ORDER,
    Deletion,
    Limits,
    Outcome,
    Policy,
    plan,
    prune,
)

MAX_LISTED = 1000
RETRY_S = 0.5

LIMITS: dict[str, dict[str, Any]] = {
    "min_free_bytes": {"type": "bytes"},
    "max_used_percent": {"type": "float"},
    "max_bytes": {"type": "bytes"},
    "max_age_s": {"type": "float"},
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "mount_point": {"type": "path"},
    "index": {"type": "path"},
    **LIMITS,
    "min_age_s": {"type": "float", "default": 60},
    "cameras": {"type": "dict"},
    "classes": {"type": "dict", "options": {name: {"type": "dict", "options": LIMITS} for name in IMPORTANCE_ORDER}},
    "wait_s": {"type": "float", "default": 30},
}


def policy_of(params: dict[str, Any]) -> Policy:
    """Return the policy that the arguments describe; raise RetentionError when they cannot be one."""
    cameras = {name: camera_limits(name, rules) for name, rules in (params["cameras"] or {}).items()}
    classes = {name: Limits(**rules) for name, rules in (params["classes"] or {}).items() if rules}
    limits = {name: params[name] for name in LIMITS}
    return Policy(**limits, min_age_s=params["min_age_s"], cameras=cameras, classes=classes)


def camera_limits(name: str, rules: Any) -> Limits:
    """Return the rules about a camera. Ansible checks rules of fixed names only; this does it alike."""
    if not isinstance(rules, dict):
        raise RetentionError(f"cameras: {name}: {rules!r}: must be a dictionary of {', '.join(LIMITS)}")
    checked = ArgumentSpecValidator(LIMITS).validate(rules)
    if checked.error_messages:
        raise RetentionError(f"cameras: {name}: {'; '.join(checked.error_messages)}")
    return Limits(**checked.validated_parameters)


def look(path: Path, policy: Policy, index: Path | None, mount_point: Path | None) -> Outcome:
    """Return what `work` would do; writes nothing."""
    with Root(path, mount_point) as root:
        return Outcome.promised(plan(root, policy, index))


def work(path: Path, policy: Policy, index: Path | None, mount_point: Path | None, wait_s: float) -> Outcome:
    """Prune; when another pruner is at work, try again for `wait_s` seconds."""
    until = time.monotonic() + wait_s
    while True:
        try:
            return prune(path, policy, index, mount_point=mount_point)
        except BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(RETRY_S)


def listed(deletions: Iterable[Deletion]) -> list[dict[str, Any]]:
    """Return deletions as the module answers them."""
    return [
        {
            "path": deletion.clip.path,
            "bytes": deletion.clip.size_bytes,
            "importance": deletion.clip.importance,
            "reason": deletion.reason,
        }
        for deletion in deletions
    ]


def as_result(outcome: Outcome) -> dict[str, Any]:
    """Return what the module answers."""
    deleted = listed(outcome.deleted[:MAX_LISTED])
    return {
        "changed": bool(outcome.deleted or outcome.missing),
        "plan": listed(outcome.planned[:MAX_LISTED]),
        "deleted": deleted,
        "deleted_count": len(outcome.deleted),
        "deleted_bytes": sum(deletion.clip.size_bytes for deletion in outcome.deleted),
        "missing_count": len(outcome.missing),
        "failed_clips": [{"path": path, "reason": reason} for path, reason in outcome.failed[:MAX_LISTED]],
        "freed_bytes": outcome.freed_bytes,
        "freed_inodes": outcome.freed_inodes,
        "short_bytes": outcome.short_bytes,
        "short_files": outcome.short_files,
        "before": asdict(outcome.before),
        "after": asdict(outcome.after),
        "diff": {"before": "".join(f"{clip['path']}\n" for clip in deleted), "after": ""},
    }


def main() -> None:
    """Read the arguments, prune or look, answer."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    path = Path(params["path"])
    index, mount_point = (Path(params[name]) if params[name] else None for name in ("index", "mount_point"))
    try:
        policy = policy_of(params)
        if module.check_mode:
            outcome = look(path, policy, index, mount_point)
        else:
            outcome = work(path, policy, index, mount_point, params["wait_s"])
    except (RetentionError, OSError) as error:
        module.fail_json(msg=str(error), failed_clips=[])
    result = as_result(outcome)
    if outcome.short_bytes or outcome.short_files:
        short = f"{outcome.short_bytes} bytes and {outcome.short_files} files"
        module.warn(f"{path}: {short} more were asked for than may be deleted")
    if outcome.failed:
        first, reason = outcome.failed[0]
        module.fail_json(msg=f"{path}: {len(outcome.failed)} clips could not be deleted, {first}: {reason}", **result)
    if outcome.index_problem:
        module.fail_json(msg=outcome.index_problem, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
