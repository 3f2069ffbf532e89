"""What stands before the station's interface: who asks, whether they may, and the account of what they changed.

All below ``/api/`` and ``/metrics`` is behind it, what is added later too. Nothing of a request but its head is read
before its token is known; bodies are bounded. Whoever reads needs a viewer's token, whoever changes something an
operator's (single addresses ask for more), and every change is in the account. Pages have their own sign-in.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import HTTPConnection

from so2cam.core.errors import So2camError
from so2cam.link.gate import App, Message, Receive, Replay, Scope, Send, bearer_of, bounded_body, refuse
from so2cam.link.limits import Buckets, Limits
from so2cam.link.messages import MAXIMUM_REQUEST_BYTES
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal
from so2cam.station.access import LOCAL, Access, AccessRefusedError

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEHIND: Final = ("/api/", "/metrics")
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_LOG = logging.getLogger(__name__)

SignedIn = Callable[[HTTPConnection], Principal | None]
"""Says who is signed in at the pages; believed for reading only."""


class ApiGate:
    """An ASGI application around another: lets in who may.

    ``open_reads``: whoever asks on this computer may read without a token. A page of a strange name that a browser
    on this computer was led to is not this computer: the name asked for must be one of a loopback address. A
    WebSocket needs a token always: a browser lets any page open one.
    """

    def __init__(
        self,
        app: App,
        access: Access,
        *,
        open_reads: bool = False,
        signed_in: SignedIn | None = None,
        limits: Limits | None = None,
        large: Mapping[str, int] | None = None,
    ) -> None:
        """``large``: how many bytes a message may have, by the end of its address, where that is more than usual."""
        self._app, self._access = app, access
        self._open_reads, self._signed_in = open_reads, signed_in
        limits = limits or Limits()
        self._large = large or {}
        self._calls = Buckets(limits.calls_per_s, limits.calls_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket") or not scope["path"].startswith(_BEHIND):
            await self._app(scope, receive, send)
            return
        peer = peer_of(scope)
        websocket = scope["type"] == "websocket"
        reads = not websocket and scope["method"] in READS
        try:
            who = await self._admit(scope, peer, reads=reads)
        except AccessRefusedError as error:
            await refuse(scope, send, error.status, error.message)
            return
        except So2camError as error:
            _LOG.warning("tokens cannot be looked up: %s", " ".join(str(error).split()))
            await refuse(scope, send, 503, "the tokens cannot be looked up now")
            return
        if not self._calls.take(f"{who.id} {peer}"):
            await refuse(scope, send, 429, "too many calls")
            return
        scope.setdefault("state", {})["principal"] = who
        if reads or websocket:
            await self._app(scope, receive, send)
            return
        if who.role < Role.OPERATOR:
            await asyncio.to_thread(self._note, who, peer, scope, 403)
            await refuse(scope, send, 403, "the role of the token is too low")
            return
        most = next((size for end, size in self._large.items() if scope["path"].endswith(end)), MAXIMUM_REQUEST_BYTES)
        body = await bounded_body(scope, receive, send, most)
        if body is not None:
            await self._change(who, peer, scope, Replay(body, receive), send)

    async def _admit(self, scope: Scope, peer: str, *, reads: bool) -> Principal:
        token = bearer_of(scope)
        if not token and reads:
            if self._open_reads and asks_for_this_computer(scope):
                return LOCAL
            signed = None if self._signed_in is None else self._signed_in(HTTPConnection(scope))
            if signed is not None:
                return signed
        if not token:
            raise AccessRefusedError(401, "a valid token is needed: Authorization: Bearer TOKEN")
        return await asyncio.to_thread(self._access.admit, token, peer)

    async def _change(self, who: Principal, peer: str, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            await asyncio.to_thread(self._note, who, peer, scope, status)

    def _note(self, who: Principal, peer: str, scope: Scope, status: int) -> None:
        outcome = "done" if status < 400 else "denied" if status == 403 else "refused"
        action = f"{scope.get('method', 'WebSocket')} {scope['path']}"
        try:
            self._access.note(who, peer, action, {"status": status}, outcome)
        except So2camError as error:
            _LOG.warning("the account cannot be kept: %s", " ".join(str(error).split()))


def peer_of(scope: Scope) -> str:
    """Return the address that a request came from."""
    client = scope.get("client")
    return "unknown" if client is None else str(client[0])


def asks_for_this_computer(scope: Scope) -> bool:
    """Return whether the name asked for is one of this computer itself, not another that leads to it."""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1").lower()
            return (host if host.endswith("]") else host.rpartition(":")[0] or host) in _LOCAL_NAMES
    return False
