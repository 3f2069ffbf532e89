"""Where instruments call in: the side of the station, for those that cannot be called themselves.

A node that has paired with the station dials ``/v1/node`` with its token and then answers what the station asks, with
the same messages as if the station had dialled.
"""

import contextlib
import http
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from so2cam.link.channel import MAXIMUM_ANSWER_BYTES, PING_S, PONG_S, Channel, close_quietly
from so2cam.link.errors import LinkLostError
from so2cam.link.limits import Buckets, Limits
from so2cam.link.pairing import MAXIMUM_BYTES, PairingDesk
from so2cam.link.server import listen
from so2cam.link.tls import TlsFiles
from so2cam.link.tokens import TokenStore
from so2cam.link.websocket import Server, ServerConnection, State, WebSocketException, serve

_PAIR_S: Final = 15.0
_LOG = logging.getLogger(__name__)


class Listener:
    """Waits for nodes that call in. ``connect_to`` gives a LinkClient the connection of one of them.

    The name of a node is that of its token: it is given at pairing.
    """

    def __init__(
        self,
        tls: TlsFiles,
        tokens: TokenStore,
        desk: PairingDesk,
        address: str,
        port: int,
        limits: Limits | None = None,
    ) -> None:
        self._tls = tls
        self._tokens = tokens
        self._desk = desk
        self.address, self.port = address, port
        limits = limits or Limits()
        self._pairings = Buckets(limits.pairings_per_s, limits.pairings_at_once)
        self._slots = threading.BoundedSemaphore(limits.connections)
        self._arrived = threading.Condition()
        self._nodes: dict[str, _Hold] = {}
        self._server: Server | None = None
        self._fingerprint = ""

    def start(self) -> None:
        """Listen. Raises LinkError where the address cannot be had, or the certificate cannot be used."""
        self._fingerprint = self._tls.fingerprint()
        context = self._tls.server_context()
        listener = listen(self.address, self.port)
        self.port = listener.getsockname()[1]
        self._server = serve(
            self._serve,
            sock=listener,
            ssl=context,
            process_request=self._admit,
            compression=None,
            open_timeout=15.0,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            close_timeout=1.0,
            max_size=MAXIMUM_ANSWER_BYTES,
            server_header=None,
        )
        threading.Thread(target=self._server.serve_forever, name="link-listener", daemon=True).start()
        _LOG.info("instruments may call in at %s, port %d", self.address, self.port)

    def close(self) -> None:
        """End all connections and stop listening. Again does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        with self._arrived:
            held = list(self._nodes.values())
        for hold in held:
            hold.end()
        with contextlib.suppress(OSError):
            server.shutdown()

    def connect_to(self, node: str) -> Callable[[float], Channel]:
        """Return how to get the connection of a node that called in; for LinkClient."""

        def connect(timeout_s: float) -> Channel:
            limit = time.monotonic() + timeout_s
            with self._arrived:
                while True:
                    hold = self._nodes.get(node)
                    if hold is not None and not hold.taken:
                        hold.taken = True
                        return hold
                    left = limit - time.monotonic()
                    if left <= 0 or not self._arrived.wait(left):
                        raise LinkLostError(
                            f"{node} has not called", remedy="check that it runs, is paired, and reaches this station"
                        )

        return connect

    def nodes(self) -> list[str]:
        """Return the nodes that are connected now."""
        with self._arrived:
            return sorted(self._nodes)

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        if request.path == "/v1/pair":
            allowed = self._pairings.take(str(connection.remote_address[0]))
            return None if allowed else connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "try again later\n")
        word, _, token = request.headers.get("Authorization", "").partition(" ")
        principal = self._tokens.find(token.strip()) if word.lower() == "bearer" else None
        if principal is None:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "a valid token is needed\n")
        if request.path != "/v1/node":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "there is nothing here\n")
        connection.principal = principal  # type: ignore[attr-defined]
        return None

    def _serve(self, connection: ServerConnection) -> None:
        principal = getattr(connection, "principal", None)
        if not self._slots.acquire(blocking=False):
            return
        try:
            if principal is None:
                self._pair(connection)
                return
            hold = _Hold(connection)
            with self._arrived:
                before, self._nodes[principal.name] = self._nodes.get(principal.name), hold
                self._arrived.notify_all()
            if before is not None:
                before.end()
            _LOG.info("%s has called in", principal.name)
            while not hold.ended.wait(1.0) and connection.state is not State.CLOSED:
                pass
            with self._arrived:
                if self._nodes.get(principal.name) is hold:
                    del self._nodes[principal.name]
        finally:
            self._slots.release()

    def _pair(self, connection: ServerConnection) -> None:
        with contextlib.suppress(TimeoutError, OSError, EOFError, WebSocketException):
            for _ in range(2):
                message = connection.recv(timeout=_PAIR_S)
                if len(message) > MAXIMUM_BYTES:
                    return
                connection.send(self._desk.answer(message, self._fingerprint).model_dump_json(exclude_none=True))


class _Hold:
    """The connection of a node, with the thread that keeps it open."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self.ended = threading.Event()
        self.taken = False

    def send(self, message: str | bytes) -> None:
        try:
            self._connection.send(message)
        except WebSocketException:
            self.ended.set()
            raise

    def recv(self, timeout: float | None = None) -> str | bytes:
        try:
            return self._connection.recv(timeout=timeout)
        except (OSError, EOFError, WebSocketException):
            self.ended.set()
            raise

    def close(self) -> None:
        self.end()

    def end(self) -> None:
        close_quietly(self._connection)
        self.ended.set()
