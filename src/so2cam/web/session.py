"""Who looks at a page: sign-in by token, kept in a sealed cookie, with the roles of the station's access.

The cookie holds the token, encrypted and signed with a key of the station (``STATION/access/pages.key``), so that a
revoked token opens no page from the next look on, and a restart of the station signs nobody out. Scripts cannot read
it, and other web sites cannot send it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from fastapi import Request
from starlette.requests import HTTPConnection

from so2cam.core.errors import InputError
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal
from so2cam.station.api_gate import asks_for_this_computer, peer_of

COOKIE: Final = "so2cam_session"
LASTS_S: Final = 30 * 86400
_KEY: Final = ("access", "pages.key")
_ANYBODY: Final = Principal("public", "public", Role.VIEWER)
_HERE: Final = Principal("local", "this computer", Role.VIEWER)
_ALONE: Final = Principal("local", "this computer", Role.ADMIN)


class Access(Protocol):
    """What the pages need of the station's access (``station.access``)."""

    def find(self, token: str) -> Principal | None:
        """Return whom a token stands for; None for one that is wrong, expired or revoked."""

    def admit(self, token: str, peer: str) -> Principal:
        """Return whom a token stands for. Raises So2camError with a ``status`` where it is wrong, or too many were."""

    def first_run(self) -> bool:
        """Return whether no admin was ever made."""

    def set_up(self, code: str, name: str, peer: str) -> str:
        """Make the first admin and return the token. Raises So2camError where the code is wrong."""

    def note(
        self, who: Principal, peer: str, action: str, detail: dict[str, Any] | None = None, outcome: str = "done"
    ) -> None:
        """Write down that ``who`` did something."""


class Seal:
    """Seals tokens into cookies and opens them again."""

    def __init__(self, key: bytes) -> None:
        """``key``: 32 bytes, as Fernet writes them."""
        self._fernet = Fernet(key)

    @classmethod
    def of_station(cls, folder: Path) -> "Seal":
        """Return that of the station in ``folder``; its key is made where there is none.

        Raises InputError where the key cannot be read or written, or is no key.
        """
        path = folder.joinpath(*_KEY)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                return cls(path.read_bytes())
            with os.fdopen(handle, "wb") as stream:
                stream.write(Fernet.generate_key())
            return cls(path.read_bytes())
        except OSError as error:
            raise InputError(f"the pages' key cannot be had: {error.strerror or error}", file=path) from None
        except ValueError:
            raise InputError("is no key", file=path, remedy="delete the file; everybody signs in again") from None

    def close(self, token: str) -> str:
        """Return a token sealed."""
        return self._fernet.encrypt(token.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """Return the token in a seal; None where the seal is broken or older than a month."""
        try:
            return self._fernet.decrypt(sealed.encode(), ttl=LASTS_S).decode()
        except (InvalidToken, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who looks at a page."""

    principal: Principal
    peer: str
    signed_in: bool

    @property
    def role(self) -> Role:
        """What they may do."""
        return self.principal.role

    def may(self, role: Role) -> bool:
        """Return whether they may do what needs ``role``."""
        return self.principal.role >= role


@dataclass(frozen=True, slots=True)
class Door:
    """Tells who is at the door. Without ``access`` whoever is on this computer is an admin, as in a demo.

    ``public``: who is not signed in may look; ``local``: who is on this computer may. A page of a strange name that a
    browser on this computer was led to is not this computer: the name asked for must be one of a loopback address.
    """

    access: Access | None
    seal: Seal
    public: bool = False
    local: bool = False

    def visitor(self, request: Request) -> Visitor | None:
        """Return who asks; None where they must sign in first (or, without ``access``, may not come in)."""
        peer = peer_of(request.scope)
        if self.access is None:
            return Visitor(_ALONE, peer, signed_in=False) if asks_for_this_computer(request.scope) else None
        token = self._token(request)
        found = None if token is None else self.access.find(token)
        if found is not None:
            return Visitor(found, peer, signed_in=True)
        if self.public:
            return Visitor(_ANYBODY, peer, signed_in=False)
        return Visitor(_HERE, peer, signed_in=False) if self.local and asks_for_this_computer(request.scope) else None

    def signed_in(self, connection: HTTPConnection) -> Principal | None:
        """Return whom the cookie of a browser stands for; the interface for programs believes it for reading."""
        sealed = connection.cookies.get(COOKIE)
        token = None if sealed is None else self.seal.open(sealed)
        return None if token is None or self.access is None else self.access.find(token)

    def _token(self, request: Request) -> str | None:
        sealed = request.cookies.get(COOKIE)
        if sealed is not None:
            return self.seal.open(sealed)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token else None


def own_path(target: str | None) -> str:
    """Return where to go after the sign-in: ``target`` where it is a page of this station, else the first page."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target
