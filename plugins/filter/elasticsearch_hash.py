# Copyright: (c) 2026, The CLLMH engineers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hash a password for Elasticsearch's users file."""

from __future__ import annotations

import base64
import hashlib

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: elasticsearch_hash
short_description: Hash a password for Elasticsearch's file realm
version_added: 0.1.0
description:
  - Returns C({PBKDF2}rounds$salt$hash), one of the forms that the file realm of Elasticsearch checks, so that its
    machines never get the password itself.
  - The salt is made from O(seed), so that the same password and seed give the same hash and a second run
    changes nothing. It does not depend on the password, or it would be a quick way to guess it.
positional: _input, seed
options:
  _input:
    description: The password.
    type: str
    required: true
  seed:
    description: What makes the salt different for each user and cluster, such as C(logs/reader). It is no secret.
    type: str
    required: true
author:
  - The CLLMH engineers (@cllmh)
"""

EXAMPLES = r"""
# A line of Elasticsearch's users file
content: "{{ user }}:{{ password | cllmh.cctv.elasticsearch_hash('logs/' ~ user) }}"
"""

RETURN = r"""
_value:
  description: The hash, C({PBKDF2}10000$salt$hash).
  type: str
"""

# Elasticsearch's own default of rounds; it knows a few numbers only.
_ROUNDS = 10_000
_HASH_BYTES = 32
_SALT_LABEL = "cllmh.cctv.elasticsearch_hash/"


def elasticsearch_hash(password: str, seed: str) -> str:
    """Return the PBKDF2 hash (HMAC-SHA-512) of `password`, salted by `seed`; the errors never hold the password."""
    if not isinstance(password, str) or not password:
        raise AnsibleFilterError("elasticsearch_hash: the password must be a string that is not empty")
    if not isinstance(seed, str) or not seed:
        raise AnsibleFilterError("elasticsearch_hash: the seed must be a string that is not empty")
    salt = hashlib.sha256((_SALT_LABEL + seed).encode()).digest()
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, dklen=_HASH_BYTES)
    return f"{{PBKDF2}}{_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"elasticsearch_hash": elasticsearch_hash}
