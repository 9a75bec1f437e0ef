# Copyright: (c) 2026, The CLLMH engineers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hash a password for the hub's users file."""

from __future__ import annotations

import hashlib

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: scrypt_hash
short_description: Hash a password with scrypt, the way werkzeug checks it
version_added: 0.1.0
description:
  - Returns C(scrypt:N:r:p$salt$hex), the form of C(werkzeug.security.generate_password_hash), so that the
    hub never gets the password itself.
  - The salt is made from O(seed), so that the same password and seed give the same hash and a second run
    changes nothing. It does not depend on the password, or it would be a quick way to guess it.
positional: _input, seed
options:
  _input:
    description: The password.
    type: str
    required: true
  seed:
    description: What makes the salt different for each user and hub, such as C(hub/nadia). It is no secret.
    type: str
    required: true
author:
  - The CLLMH engineers (@cllmh)
"""

EXAMPLES = r"""
# A line of the hub's users file
password_hash: "{{ user.password | cllmh.cctv.scrypt_hash(inventory_hostname ~ '/' ~ user.name) }}"
"""

RETURN = r"""
_value:
  description: The hash, C(scrypt:32768:8:1$salt$hex).
  type: str
"""

# The cost that werkzeug 3 gives new hashes: 32 MiB and some 60 ms a guess.
_N = 2**15
_R = 8
_P = 1
_MAX_MEMORY_BYTES = 132 * _N * _R * _P
_SALT_LABEL = "cllmh.cctv.scrypt_hash/"
_SALT_CHARACTERS = 32


def scrypt_hash(password: str, seed: str) -> str:
    """Return the werkzeug hash of `password`, salted by `seed`; the errors never hold the password."""
    if not isinstance(password, str) or not password:
        raise AnsibleFilterError("scrypt_hash: the password must be a string that is not empty")
    if not isinstance(seed, str) or not seed:
        raise AnsibleFilterError("scrypt_hash: the seed must be a string that is not empty, such as 'hub/nadia'")
    salt = hashlib.sha256((_SALT_LABEL + seed).encode()).hexdigest()[:_SALT_CHARACTERS]
    digest = hashlib.scrypt(password.encode(), salt=salt.encode(), n=_N, r=_R, p=_P, maxmem=_MAX_MEMORY_BYTES)
    return f"scrypt:{_N}:{_R}:{_P}${salt}${digest.hex()}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"scrypt_hash": scrypt_hash}
