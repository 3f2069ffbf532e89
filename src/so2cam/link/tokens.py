"""Tokens: who may say what. Only their SHA-256 is kept; each can be revoked, and all are listed.

A token is ``so2_ID_SECRET``; the secret has 256 random bits, so that its plain hash tells nothing.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so2cam.link.database import Database
from so2cam.link.errors import LinkError
from so2cam.link.protocol import Role, role_of_word

_TOKEN: Final = re.compile(r"so2_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_USED_S: Final = 60.0
"""The time of last use is noted at most this often, to spare the disk."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who speaks: a token by its id and name, its role, and whose confirmations it may give."""

    id: str
    name: str
    role: Role
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as it is listed; times are seconds since 1970."""

    id: str
    name: str
    role: Role
    receiver: str | None
    created_s: float
    expires_s: float | None
    revoked_s: float | None
    used_s: float | None

    def is_valid(self, now_s: float) -> bool:
        """Return whether it opens anything now."""
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)


_COLUMNS: Final = "id, name, role, receiver, created, expires, revoked, used"


class TokenStore:
    """The tokens of a node."""

    def __init__(self, database: Database, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s

    def create(self, name: str, role: Role, *, receiver: str | None = None, valid_s: float | None = None) -> str:
        """Make a token and return it: the only time that it is seen."""
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        now_s = self._now_s()
        expires = None if valid_s is None else now_s + valid_s
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO token (id, name, role, receiver, secret, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, name, role.word, receiver, _hash(secret), now_s, expires),
            )
        return f"so2_{number}_{secret}"

    def find(self, token: str) -> Principal | None:
        """Return whom a token stands for; None for one that is wrong, expired or revoked."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        number, secret = match.groups()
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT secret, {_COLUMNS} FROM token WHERE id = ?", (number,)).fetchone()  # noqa: S608 - constant
        if row is None or not hmac.compare_digest(row[0], _hash(secret)):
            return None
        record = _record(row[1:])
        now_s = self._now_s()
        if not record.is_valid(now_s):
            return None
        if record.used_s is None or abs(now_s - record.used_s) > _USED_S:
            with self._database.transaction() as connection:
                connection.execute("UPDATE token SET used = ? WHERE id = ?", (now_s, number))
        return Principal(record.id, record.name, record.role, record.receiver)

    def still_valid(self, principal: Principal) -> bool:
        """Return whether the token of one who is connected is valid still, with the same rights."""
        found = self._record(principal.id)
        return (
            found is not None
            and found.is_valid(self._now_s())
            and (found.role, found.receiver) == (principal.role, principal.receiver)
        )

    def list(self) -> list[TokenRecord]:
        """Return all tokens that were ever made, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM token ORDER BY created, id").fetchall()  # noqa: S608 - constant
        return [_record(row) for row in rows]

    def revoke(self, number: str) -> TokenRecord:
        """Make a token worthless. Raises LinkError where there is none of this id; again does nothing more."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE token SET revoked = ? WHERE id = ? AND revoked IS NULL", (self._now_s(), number))
        found = self._record(number)
        if found is None:
            raise LinkError("there is no such token", key="id", value=number, remedy="see so2cam token list")
        return found

    def _record(self, number: str) -> TokenRecord | None:
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM token WHERE id = ?", (number,)).fetchone()  # noqa: S608 - constant
        return None if row is None else _record(row)


def _record(row: sqlite3.Row | tuple[object, ...]) -> TokenRecord:
    number, name, role, receiver, created, expires, revoked, used = row
    return TokenRecord(number, name, role_of_word(role), receiver, created, expires, revoked, used)  # type: ignore[arg-type]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
