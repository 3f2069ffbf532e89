"""Who may look at a station and change it: tokens with roles, the first admin, and the account of what was changed.

One object for the interface for programs, the web pages and ``so2cam token``; several processes may open it at once.
Tokens are those of ``link.tokens`` (kept as hashes, revocable, listed) in a file of their own, so that the token of an
instrument that calls in opens no page.

    access = Access.of_station(context.folder)
    who = access.admit(token, peer)          # Principal; raises AccessRefusedError (status 401 or 429)
    access.require(who, Role.OPERATOR)       # raises AccessRefusedError (status 403)
    access.note(who, peer, "alarm.acknowledge", {"alarm": 7})

There is no password to begin with: while no admin was ever made, ``setup_code`` gives a code that ``so2cam station
run`` shows on its console, and ``set_up`` makes the first admin of it.
"""

import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from so2cam.core.errors import So2camError
from so2cam.link.database import Database
from so2cam.link.limits import Bucket, Buckets
from so2cam.link.pairing import new_code, plain_code
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal, TokenRecord, TokenStore

FOLDER: Final = "access"
FILE: Final = "access.sqlite"
LOCAL: Final = Principal("local", "this computer", Role.VIEWER)
"""Who asks without a token where that is allowed: on a loopback address with ``loopback = "open"``."""
CONSOLE: Final = Principal("console", "console", Role.ADMIN)
"""Whoever has the computer itself: ``so2cam token``."""
KEPT: Final = 50_000
_WRONG_PER_S: Final = 0.2
_WRONG_AT_ONCE: Final = 10.0
_LONGEST_DETAIL: Final = 2000
_AUDIT: Final = """CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, who TEXT NOT NULL, name TEXT NOT NULL, peer TEXT NOT NULL,
    action TEXT NOT NULL, detail TEXT NOT NULL, outcome TEXT NOT NULL) STRICT"""


class AccessRefusedError(So2camError):
    """Somebody may not do this. ``status`` is that of HTTP: 401 no valid token, 403 the role is too low, 429 wait."""

    def __init__(self, status: int, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A line of the account: who did what, when (seconds since 1970), from where, and what came of it.

    ``detail`` is JSON; ``outcome`` is ``done``, ``refused`` (it could not be done) or ``denied`` (the role is too low).
    """

    number: int
    time_s: float
    who: str
    name: str
    peer: str
    action: str
    detail: str
    outcome: str


class Access:
    """The tokens of a station's interface and pages, and its audit log; for all threads. A context manager."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time) -> None:
        """Open the file, made where it is missing, readable by its owner alone. Raises LinkError."""
        self._database = Database(path)
        self._tokens = TokenStore(self._database, now_s)
        self._now_s = now_s
        self._wrong = Buckets(_WRONG_PER_S, _WRONG_AT_ONCE)
        self._codes = Bucket(_WRONG_PER_S, _WRONG_AT_ONCE)
        self._code: str | None = None
        self._lock = threading.Lock()
        with self._database.transaction() as connection:
            connection.execute(_AUDIT)

    @classmethod
    def of_station(cls, folder: Path) -> Self:
        """Open that of the station which keeps its things in ``folder`` (``StationContext.folder``)."""
        return cls(folder / FOLDER / FILE)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- who asks ------------------------------------------------------------------------------------------------

    def find(self, token: str) -> Principal | None:
        """Return whom a token stands for; None for one that is wrong, expired or revoked."""
        return self._tokens.find(token)

    def role_of(self, token: str) -> Role | None:
        """Return the role of a token; None for one that is wrong, expired or revoked."""
        found = self._tokens.find(token)
        return None if found is None else found.role

    def admit(self, token: str, peer: str) -> Principal:
        """Return whom a token stands for. ``peer`` is the address it came from.

        Raises AccessRefusedError: 401 for a wrong token; 429 where too many wrong ones came from ``peer``. A right
        token is let in even then, so that nobody is locked out by others behind the same address.
        """
        found = self._tokens.find(token)
        if found is not None:
            return found
        if not self._wrong.take(peer):
            raise AccessRefusedError(429, "too many wrong tokens", remedy="wait a minute")
        raise AccessRefusedError(401, "a valid token is needed", remedy="so2cam token create SITE --station")

    def still_valid(self, principal: Principal) -> bool:
        """Return whether the token of one who is signed in is valid still, with the same role."""
        return principal in (LOCAL, CONSOLE) or self._tokens.still_valid(principal)

    def require(self, principal: Principal, least: Role) -> None:
        """Raise AccessRefusedError (403) where the role of ``principal`` is below ``least``."""
        if principal.role < least:
            raise AccessRefusedError(403, f"this needs the role {least.word}", remedy="ask an admin for a token")

    # --- tokens --------------------------------------------------------------------------------------------------

    def create(
        self, name: str, role: Role, *, by: Principal = CONSOLE, peer: str = "", valid_s: float | None = None
    ) -> str:
        """Make a token and return it: the only time that it is seen. ``valid_s``: it expires after so long."""
        token = self._tokens.create(name, role, valid_s=valid_s)
        self.note(by, peer, "token.create", {"id": token[4:12], "name": name, "role": role.word})
        return token

    def list(self) -> Sequence[TokenRecord]:
        """Return all tokens that were ever made, the oldest first."""
        return self._tokens.list()

    def revoke(self, number: str, *, by: Principal = CONSOLE, peer: str = "") -> TokenRecord:
        """Make a token worthless, from the next request on. Raises LinkError where there is none of this id."""
        record = self._tokens.revoke(number)
        self.note(by, peer, "token.revoke", {"id": record.id, "name": record.name})
        return record

    # --- the first admin -----------------------------------------------------------------------------------------

    def first_run(self) -> bool:
        """Return whether no admin was ever made."""
        return not any(record.role is Role.ADMIN for record in self._tokens.list())

    def setup_code(self) -> str | None:
        """Return the code with which the first admin is made; None where there is one.

        It is made once in a process, kept in its memory only, and shown where ``so2cam station run`` was started.
        """
        with self._lock:
            if not self.first_run():
                self._code = None
            elif self._code is None:
                self._code = new_code()
            return self._code

    def set_up(self, code: str, name: str, peer: str) -> str:
        """Make the first admin, called ``name``, and return the token. The code works once.

        Raises AccessRefusedError: 401 for a wrong code, 429 after too many, 403 where there is an admin already.
        """
        with self._lock:
            if not self.first_run():
                raise AccessRefusedError(403, "there is an admin already", remedy="sign in with a token")
            if not self._codes.take():
                raise AccessRefusedError(429, "too many codes were tried", remedy="wait a minute")
            if self._code is None or not hmac.compare_digest(
                plain_code(code).encode(), plain_code(self._code).encode()
            ):
                raise AccessRefusedError(401, "the code is wrong", remedy="it is shown where the station was started")
            token = self.create(name, Role.ADMIN, by=Principal("setup", name, Role.ADMIN), peer=peer)
            self._code = None
            return token

    # --- the account ---------------------------------------------------------------------------------------------

    def note(
        self, who: Principal, peer: str, action: str, detail: Mapping[str, Any] | None = None, outcome: str = "done"
    ) -> None:
        """Write down that ``who`` did something, as ``alarm.acknowledge``. No secret belongs into ``detail``."""
        text = json.dumps(detail or {}, default=str)
        if len(text) > _LONGEST_DETAIL:
            text = json.dumps({"cut": text[: _LONGEST_DETAIL // 2]})
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO audit (time, who, name, peer, action, detail, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._now_s(), who.id, who.name, peer, action, text, outcome),
            )
            connection.execute("DELETE FROM audit WHERE number <= ?", ((cursor.lastrowid or 0) - KEPT,))

    def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        """Return the latest lines of the account, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT number, time, who, name, peer, action, detail, outcome FROM audit ORDER BY number DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [AuditEntry(*row) for row in rows]
