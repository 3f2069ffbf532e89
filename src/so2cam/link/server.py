"""The server of the link: TLS on one address and port, in a thread of its own."""

import asyncio
import contextlib
import logging
import socket
import threading
from typing import Any, Final

import uvicorn
from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from so2cam.link.channel import PING_S, PONG_S
from so2cam.link.errors import LinkError
from so2cam.link.gate import App
from so2cam.link.limits import Limits
from so2cam.link.messages import MAXIMUM_REQUEST_BYTES
from so2cam.link.tls import TlsFiles
from so2cam.link.websocket import InvalidState

HEAD_BYTES: Final = 16_384
_END_S: Final = 3.0
_START_S: Final = 15.0
_CUT_S, _CUT_TICKS = 0.02, 50
_LOG = logging.getLogger(__name__)


class LinkServer:
    """Serves ``app`` on ``address`` and ``port`` (0: a free one) from ``start`` to ``close``."""

    def __init__(self, app: App, tls: TlsFiles, address: str, port: int, limits: Limits | None = None) -> None:
        self._app = app
        self._tls = tls
        self.address = address
        self.port = port
        self._limits = limits or Limits()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Raises LinkError where the address cannot be had, or the certificate cannot be used."""
        context = self._tls.server_context()
        listener = listen(self.address, self.port)
        self.port = listener.getsockname()[1]
        try:
            self._server = None
            config = uvicorn.Config(
                self._app,
                loop="asyncio",
                http=bounded_http(self._limits),
                ws=BoundedWebSocket,
                ws_max_size=MAXIMUM_REQUEST_BYTES,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PONG_S,
                ws_per_message_deflate=False,
                h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_keep_alive=int(PING_S),
                timeout_graceful_shutdown=1,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ssl_context_factory=lambda _config, _default: context,
            )
            self._server = BoundedServer(config)
        finally:
            if self._server is None:
                listener.close()
        self._thread = threading.Thread(target=self._run, args=(self._server, listener), name="link", daemon=True)
        self._thread.start()
        waiting = threading.Event()
        for _ in range(int(_START_S / 0.02)):
            if self._server.started:
                _LOG.info("the link listens on %s, port %d", self.address, self.port)
                return
            if not self._thread.is_alive():
                break
            waiting.wait(0.02)
        self.close()
        raise LinkError("the server of the link does not start", remedy="see the log")

    @staticmethod
    def _run(server: uvicorn.Server, listener: socket.socket) -> None:
        with contextlib.closing(listener):
            server.run(sockets=[listener])

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """End all connections and stop listening; bounded. Doing it twice is no error."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_END_S)
            if self._thread.is_alive():
                self._server.force_exit = True
                self._thread.join(_END_S)


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises LinkError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise LinkError(
            f"the link cannot listen on {address}, port {port}: {getattr(error, 'strerror', None) or error}",
            key="instrument.link",
            remedy="give an address of this computer and a port that nothing else uses",
        ) from None
    return listener


class BoundedServer(uvicorn.Server):
    """uvicorn's server; what still hangs when it ends is cut off, so that the loop can be closed."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all connections."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Cut):
                connection.cut()
        for _ in range(_CUT_TICKS):
            if self.server_state.connections:
                await asyncio.sleep(_CUT_S)


class _Cut:
    """A connection that can be cut off, whatever its TLS still waits for."""

    _socket: socket.socket | None = None

    def keep_socket(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket: a transport that was closed does not tell it any more."""
        self._socket = transport.get_extra_info("socket")

    def cut(self) -> None:
        """End the connection now."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class BoundedWebSocket(_Cut, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket; at the server's end it says goodbye only where the other side has not done so yet."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.keep_socket(transport)
        super().connection_made(transport)

    def shutdown(self) -> None:
        """Say goodbye, because the server ends."""
        try:
            super().shutdown()
        except InvalidState:  # both have said goodbye, and only the connection's own end is waited for
            self.cut()


def bounded_http(limits: Limits) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with a bound on the connections, and on how long one may say nothing."""

    class BoundedProtocol(_Cut, H11Protocol):
        _first: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            self.keep_socket(transport)
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                _LOG.warning("a connection was refused: there are %d already", limits.connections)
                transport.abort()
                return
            self._first = self.loop.call_later(limits.first_request_s, self._end_silent)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.scope is not None and self._first is not None:
                self._first.cancel()
                self._first = None

        def handle_websocket_upgrade(self, event: Any) -> None:
            if self._first is not None:
                self._first.cancel()
                self._first = None
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._first is not None:
                self._first.cancel()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            try:
                super().shutdown()
            except LocalProtocolError:  # what came was no HTTP: there is nothing to say
                self.cut()

        def _end_silent(self) -> None:
            if not self.transport.is_closing():
                self.transport.abort()

    return BoundedProtocol
