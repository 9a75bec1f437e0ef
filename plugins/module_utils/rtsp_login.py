# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""One user and password at one DVR, however many connections use them: a wrong password is sent once.

DVRs lock an account after three to seven failures. So one connection tries, the others wait for what comes of it.
Python's standard library only.
"""

from __future__ import annotations

import threading
import time

PATIENCE_S = 1.0
"""How long the others wait for the one that tries, before another one may: its channel may hang, not the DVR."""

MAX_TRIES = 3
"""How often a login may be tried that never got an answer."""


class LoginGate:
    """Says whether a login is right, once it is known; use `enter` before and `leave` after each login."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._changed = threading.Condition()
        self._right: bool | None = None
        self._tries = 0
        self._under_way = 0
        self._tried_at = 0.0

    @property
    def refused(self) -> bool:
        """Whether the DVR said no."""
        return self._right is False

    def enter(self) -> bool | None:
        """Wait until this login may be sent: True or None (yet unknown); False: it must not, the DVR said no before.

        Raises TimeoutError when the DVR never answered it. Waits no longer than those before wait for their answers.
        """
        with self._changed:
            while self._right is None:
                waited_s = time.monotonic() - self._tried_at
                if not self._under_way or (waited_s >= PATIENCE_S and self._tries < MAX_TRIES):
                    if self._tries >= MAX_TRIES:
                        raise TimeoutError
                    self._tries += 1
                    self._tried_at = time.monotonic()
                    break
                self._changed.wait(max(0.01, PATIENCE_S - waited_s) if self._tries < MAX_TRIES else None)
            if self._right is not False:
                self._under_way += 1
            return self._right

    def leave(self, right: bool | None) -> None:
        """Say what came of it: taken, refused, or (None) no answer. A refusal stands."""
        with self._changed:
            self._under_way -= 1
            if right is not None and self._right is not False:
                self._right = right
            self._changed.notify_all()
