"""Who may log in, and how often a wrong password may be given."""

import hashlib
import secrets
import stat
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from cllmh_hub.config import LoginLimits, User, UsersFile
from cllmh_hub.config_file import ConfigError, load_config
from cllmh_hub.contract.answers import Role
from cllmh_hub.models import LoginFailure


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has logged in."""

    name: str
    role: Role

    key: str
    """Changes with the password, so that old sessions end then; says nothing about it."""


class People:
    """The people of the users file."""

    def __init__(self, users: tuple[User, ...]) -> None:
        self._users = {user.name: user for user in users}
        # An unknown name must take as long as a known one, so there is a hash to check for it too.
        self._nobody = users[0].password_hash if users else generate_password_hash(secrets.token_hex())

    @classmethod
    def from_file(cls, path: Path) -> "People":
        """Read the users file; raise ConfigError when it is wrong or others can read it."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        if mode & 0o037:
            raise ConfigError(f"{path}: mode {mode:04o} lets others at the password hashes, it must be 0600 or 0640")
        return cls(load_config(path, UsersFile).users)

    def verify(self, name: str, password: str) -> Person | None:
        """Return the person if the password is right."""
        user = self._users.get(name)
        is_right = check_password_hash(user.password_hash if user else self._nobody, password)
        return _person(user) if user and is_right else None

    def find(self, name: str) -> Person | None:
        """Return the person of that name."""
        user = self._users.get(name)
        return _person(user) if user else None


def _person(user: User) -> Person:
    return Person(user.name, user.role, hashlib.sha256(user.password_hash.encode()).hexdigest()[:16])


class LoginGuard:
    """Counts wrong passwords per address and per user name."""

    def __init__(self, limits: LoginLimits) -> None:
        self._limits = limits
        self._window = timedelta(seconds=limits.window_s)

    def wait_s(self, session: Session, *, address: str, username: str, now: datetime) -> int:
        """Return how many seconds this address or user must wait before the next try; 0 is none."""
        oldest_by_rule = (
            (LoginFailure.address == address, self._limits.failures_per_address),
            (LoginFailure.username == username, self._limits.failures_per_user),
        )
        waits = [0]
        for rule, allowed in oldest_by_rule:
            count, oldest = session.execute(
                select(func.count(), func.min(LoginFailure.at)).where(rule, LoginFailure.at > now - self._window)
            ).one()
            if count >= allowed:
                waits.append(max(1, round((oldest + self._window - now).total_seconds())))
        return max(waits)

    def failed(self, session: Session, *, address: str, username: str, now: datetime) -> None:
        """Count a wrong password, forget those that are too old to count, and commit."""
        session.execute(delete(LoginFailure).where(LoginFailure.at <= now - self._window))
        session.add(LoginFailure(at=now, address=address, username=username))
        session.commit()

    def succeeded(self, session: Session, *, address: str, username: str) -> None:
        """Forget this person's own typing errors from this address, and commit."""
        session.execute(delete(LoginFailure).where(LoginFailure.address == address, LoginFailure.username == username))
        session.commit()
