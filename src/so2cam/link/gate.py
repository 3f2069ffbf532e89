"""What stands before the link's pages: tokens, bounded messages, bounded connections.

Nothing of a request but its head is read before its token is known. What has none is refused there, whatever the
address asked for, so that a page that is added later is behind the gate by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from so2cam.core.errors import So2camError
from so2cam.link.messages import MAXIMUM_REQUEST_BYTES
from so2cam.link.tokens import TokenStore

OPEN_PATHS: Final = frozenset({"/v1/pair"})
"""What may be asked without a token: only to pair, by WebSocket."""
OPEN_REQUESTS: Final = frozenset({("POST", "/v1/pair"), ("GET", "/align")})
"""And by HTTP: to pair, and the page that asks who one is; it holds nothing of the node."""
OPEN_FOLDER: Final = "/static/so2cam/"
"""The page's own files, the same everywhere."""
BODY_S: Final = 15.0
_LOG = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI application around another: lets in who has a token."""

    def __init__(self, app: App, tokens: TokenStore) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        websocket = scope["type"] == "websocket"
        if not _is_open(scope):
            try:
                principal = await asyncio.to_thread(self._tokens.find, bearer_of(scope))
            except So2camError as error:
                _LOG.warning("tokens cannot be looked up: %s", " ".join(str(error).split()))
                await refuse(scope, send, 503, "the tokens cannot be looked up now")
                return
            if principal is None:
                await refuse(scope, send, 401, "a valid token is needed: Authorization: Bearer TOKEN")
                return
            scope.setdefault("state", {})["principal"] = principal
        if websocket:
            await self._app(scope, receive, send)
            return
        body = await bounded_body(scope, receive, send)
        if body is not None:
            await self._app(scope, Replay(body, receive), send)


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    if scope["type"] == "websocket":
        return path in OPEN_PATHS
    method = scope["method"]
    return (method, path) in OPEN_REQUESTS or (method == "GET" and path.startswith(OPEN_FOLDER))


class Replay:
    """Gives a body that was read already, and then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the next message of the request."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


def bearer_of(scope: Scope) -> str:
    """Return the token of a request's head; empty where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            word, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if word.lower() == "bearer" else ""
    return ""


async def bounded_body(scope: Scope, receive: Receive, send: Send, most: int = MAXIMUM_REQUEST_BYTES) -> bytes | None:
    """Return the body of a request, of ``most`` bytes; None where it was refused, or the connection ended."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    await refuse(scope, send, 413, f"a message has at most {most} bytes")
                    return None
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        await refuse(scope, send, 408, "the message did not come in time")
        return None


async def refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    """Answer a request or WebSocket with ``status`` and ``text`` (no quotes in it)."""
    body = b'{"detail":"' + text.encode() + b'"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    kind = "http"
    if scope["type"] == "websocket":
        kind = "websocket.http"
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
    elif status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})
