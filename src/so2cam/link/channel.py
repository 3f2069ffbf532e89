"""A connection that carries messages, whoever dialled: made by the one who asks, or by the one who answers."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError
from so2cam.link.messages import MAXIMUM_REPLY_BYTES, MAXIMUM_REQUEST_BYTES, MessageError, Refused
from so2cam.link.protocol import MAXIMUM_PART_BYTES, Answer, Spoken, encode_answer, parse_call
from so2cam.link.service import LinkService, wait_for_events
from so2cam.link.tls import connect_tls
from so2cam.link.tokens import Principal
from so2cam.link.websocket import (
    ClientConnection,
    Connection,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
    connect,
)

MAXIMUM_ANSWER_BYTES: Final = MAXIMUM_REPLY_BYTES + MAXIMUM_PART_BYTES + 4096
PING_S: Final = 15.0
PONG_S: Final = 40.0
"""The answer to a ping may wait behind parts of files for so long, on the slowest of links."""
_AT_ONCE: Final = 8
_LOG = logging.getLogger(__name__)


class Channel(Protocol):
    """Carries messages both ways. A connection of the package websockets is one."""

    def send(self, message: str | bytes) -> None:
        """Send one message."""
        ...

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Return the next message."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Where to dial, what certificate must be shown there, and with which token."""

    host: str
    port: int
    fingerprint: str
    token: str = field(repr=False)

    def dial(self, path: str, timeout_s: float, largest: int = MAXIMUM_ANSWER_BYTES) -> ClientConnection:
        """Connect to a WebSocket. Raises LinkLostError where it cannot be reached, LinkRefusedError where refused."""
        tls, _ = connect_tls(self.host, self.port, self.fingerprint, timeout_s)
        return upgrade(tls, self.host, self.port, path, timeout_s, largest, {"Authorization": f"Bearer {self.token}"})


def upgrade(
    connected: socket.socket, host: str, port: int, path: str, timeout_s: float, largest: int, headers: dict[str, str]
) -> ClientConnection:
    """Turn a connection, with TLS where it leaves this computer, into a WebSocket.

    Raises LinkLostError or LinkRefusedError.
    """
    shown = f"[{host}]" if ":" in host else host
    try:
        channel = connect(
            f"ws://{shown}:{port}{path}",  # the TLS is there already
            sock=connected,
            additional_headers=headers,
            compression=None,
            open_timeout=timeout_s,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            close_timeout=1.0,
            max_size=largest,
            proxy=None,
        )
        # Its life is longer than a block; what ends it is close().
        return channel.__enter__()
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (401, 403):
            raise LinkRefusedError(
                f"{host}:{port} does not accept the token",
                value=status,
                remedy="it was revoked or has expired, or the agent was set up anew: pair again",
            ) from None
        raise LinkLostError(f"{host}:{port} refuses now", value=status, remedy="try again later") from None
    except InvalidHandshake as error:
        raise LinkLostError(f"{host}:{port} is no link: {error}", remedy="check address and port") from None
    except (OSError, EOFError, TimeoutError, WebSocketException) as error:
        raise LinkLostError(f"the connection to {host}:{port} broke: {error}", remedy="it is tried again") from None


def respond(channel: Connection, service: LinkService, who: Principal, peer: str, stop: threading.Event) -> None:
    """Answer what comes over ``channel`` until it ends or ``stop`` is set: the side of the instrument that dialled."""
    slots = threading.BoundedSemaphore(_AT_ONCE)
    sending = threading.Lock()

    def reply(data: str | bytes) -> None:
        try:
            try:
                call = parse_call(data)
            except MessageError as error:
                refusal = Refused(text=error.message, key=error.key, remedy=error.remedy)
                spoken = Spoken(Answer(id=0, result=refusal, code="message"))
            else:
                wait_for_events(service, call, stop)
                spoken = service.answer(who, peer, call)
            message = encode_answer(spoken)
            with sending:
                channel.send(message)
        except (OSError, EOFError, WebSocketException):
            return  # the other side has gone; the reading side ends the connection
        finally:
            slots.release()

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="link-reply") as pool:
        try:
            while not stop.is_set():
                slots.acquire()
                submitted = False
                try:
                    pool.submit(reply, _next(channel, stop))
                    submitted = True
                finally:
                    if not submitted:
                        slots.release()
        except (OSError, EOFError, WebSocketException):
            return
        finally:
            channel.close()


def _next(channel: Connection, stop: threading.Event) -> str | bytes:
    while True:
        try:
            return channel.recv(timeout=0.5)
        except TimeoutError:
            if stop.is_set():
                raise EOFError from None


class Dialler:
    """Keeps a node connected to the station that it calls, and answers there; ``run`` is for a thread of its own."""

    def __init__(self, peer: Callable[[], Peer], service: LinkService, who: Principal, stop: threading.Event) -> None:
        """Prepare. ``peer`` is asked anew before each attempt: it may be paired while this runs."""
        self._peer = peer
        self._service = service
        self._who = who
        self._stop = stop
        self.connected = False

    def run(self) -> None:
        """Dial, answer, and dial again, with growing pauses, until the end."""
        pauses = Pauses()
        while not self._stop.is_set():
            try:
                peer = self._peer()
                channel = peer.dial("/v1/node", 15.0, MAXIMUM_REQUEST_BYTES)
            except LinkError as error:
                if pauses.first:
                    _LOG.warning("the station cannot be called: %s", " ".join(str(error).split()))
                self._stop.wait(pauses.next())
                continue
            _LOG.info("connected to the station %s:%d", peer.host, peer.port)
            pauses = Pauses()
            self.connected = True
            try:
                respond(channel, self._service, self._who, f"{peer.host} (dialled)", self._stop)
            finally:
                self.connected = False
            self._stop.wait(pauses.next())


class Pauses:
    """Pauses between attempts: from ``first_s`` doubling up to ``longest_s``."""

    def __init__(self, first_s: float = 0.25, longest_s: float = 30.0) -> None:
        self._next_s = first_s
        self._longest_s = longest_s
        self.first = True

    def next(self) -> float:
        """Return the next pause [s]."""
        self.first = False
        now, self._next_s = self._next_s, min(self._longest_s, self._next_s * 2)
        return now


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""
        ...


def close_quietly(channel: Closable | None) -> None:
    """End a connection that may be broken already."""
    if channel is not None:
        with contextlib.suppress(OSError, EOFError, WebSocketException):
            channel.close()
