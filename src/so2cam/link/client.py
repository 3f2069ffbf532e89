"""The side that asks: one connection for everything, made anew whenever it breaks.

A question is asked again after a break; so is a command, with the same key, so that it takes effect once.
"""

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final

from so2cam.link.channel import Channel, Pauses, Peer, close_quietly
from so2cam.link.errors import LinkLostError, LinkRefusedError
from so2cam.link.messages import Command, MessageError, Refused
from so2cam.link.protocol import (
    Call,
    Data,
    Event,
    Events,
    Hello,
    HelloResult,
    Spoken,
    changes,
    encode_call,
    parse_answer,
)
from so2cam.link.websocket import WebSocketException

_PATH: Final = "/v1/link"
_RATE_S: Final = 0.3
LONGEST_CALL_S: Final = 660.0
"""A command may take so long [s]."""
_LOG = logging.getLogger(__name__)


def dial(peer: Peer) -> Callable[[float], Channel]:
    """Return how to connect to ``peer``; for LinkClient."""
    return lambda timeout_s: peer.dial(_PATH, timeout_s)


class LinkClient:
    """A link to one node, for all threads of a program; a context manager.

    ``connect`` makes a connection: ``dial(peer)``, or that of a ``Listener`` where the node dials. Nothing is connected
    before the first call. ``patience_s`` is how long a call goes on trying when the connection breaks.
    """

    def __init__(
        self,
        connect: Callable[[float], Channel],
        *,
        patience_s: float = 30.0,
        answer_s: float = 20.0,
        connect_s: float = 20.0,
    ) -> None:
        """Prepare. ``answer_s``: a connection that is silent for longer while an answer is waited for is broken."""
        self._connect = connect
        self.patience_s = patience_s
        self._answer_s = answer_s
        self._connect_s = connect_s
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._dialling = threading.Lock()
        self._closed = threading.Event()
        self._channel: Channel | None = None
        self._pending: dict[int, Future[Spoken]] = {}
        self._number = 0
        self._heard_s = 0.0
        self.connections = 0
        """How often a connection was made."""

    # --- asking --------------------------------------------------------------------------------------------------

    def call(
        self, say: Any, *, key: str | None = None, patience_s: float | None = None, answer_s: float | None = None
    ) -> Spoken:
        """Ask, again after a break, and return the answer with its bytes; a refusal is an answer too.

        ``key`` is made where a command needs one. Raises LinkLostError when there is no answer within ``patience_s``
        (for a command: it may have taken effect; ask ``Outcome`` with its key), LinkRefusedError where the credential
        is refused.
        """
        if key is None and changes(say):
            key = f"k-{secrets.token_hex(12)}"
        limit = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        pauses = Pauses(0.05, 2.0)
        while True:
            try:
                spoken = self._ask_once(say, key, limit, answer_s or self._answer_s)
            except LinkRefusedError:
                raise
            except LinkLostError:
                pause = pauses.next()
                if self._closed.is_set() or time.monotonic() + pause >= limit:
                    raise
                self._closed.wait(pause)
                continue
            if spoken.answer.code == "rate" and time.monotonic() + _RATE_S < limit:
                self._closed.wait(_RATE_S)
                continue
            if spoken.answer.code == "credential":
                self._drop(None)
                raise LinkRefusedError(_refusal_text(spoken), remedy="pair again, or use another token")
            return spoken

    def ask(self, say: Any, *, patience_s: float | None = None) -> Any:
        """Ask, and return the result. Raises LinkRefusedError where it is refused, else as ``call``."""
        spoken = self.call(say, patience_s=patience_s)
        result = spoken.answer.result
        if isinstance(result, Refused):
            raise LinkRefusedError(result.text, key=result.key, remedy=result.remedy)
        return result

    def command(self, command: Command, *, key: str | None = None, patience_s: float | None = None) -> Any:
        """Have a command carried out, once, and return its result, a refusal too. Raises as ``call``."""
        return self.call(command, key=key, patience_s=patience_s, answer_s=LONGEST_CALL_S).answer.result

    def read(self, say: Any) -> tuple[Data, bytes]:
        """Ask for bytes. Raises LinkRefusedError where they are refused, else as ``call``."""
        spoken = self.call(say)
        result = spoken.answer.result
        if isinstance(result, Refused) or not isinstance(result, Data) or spoken.payload is None:
            raise LinkRefusedError(_refusal_text(spoken))
        return result, spoken.payload

    def hello(self, patience_s: float | None = None) -> HelloResult:
        """Return who answers."""
        found: HelloResult = self.ask(Hello(), patience_s=patience_s)
        return found

    def events(self, after: int, stop: threading.Event, *, wait_s: float = 10.0) -> Iterator[Event]:
        """Yield events beyond ``after`` as they come, over any number of breaks, until ``stop`` is set."""
        pauses = Pauses(0.25, 10.0)
        while not stop.is_set() and not self._closed.is_set():
            try:
                found = self.ask(Events(after=after, wait_s=wait_s))
            except LinkRefusedError:
                raise
            except LinkLostError:
                stop.wait(pauses.next())
                continue
            pauses = Pauses(0.25, 10.0)
            if found.missed:
                _LOG.warning("some events after %d are not kept any more", after)
            for event in found.events:
                after = event.number
                yield event

    def close(self) -> None:
        """End the connection; calls that wait end with LinkLostError. Again does nothing."""
        self._closed.set()
        self._drop(None)

    def __enter__(self) -> "LinkClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self._channel is not None

    # --- the connection ------------------------------------------------------------------------------------------

    def _ask_once(self, say: Any, key: str | None, limit: float, answer_s: float) -> Spoken:
        channel = self._channel_now(limit)
        future: Future[Spoken] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._pending[number] = future
            alive = self._channel is channel
        try:
            if not alive:
                raise LinkLostError("the connection broke", remedy="try again")
            try:
                with self._sending:
                    channel.send(encode_call(Call.model_construct(id=number, key=key, say=say)))
                return self._await(future, limit, answer_s + getattr(say, "wait_s", 0.0))
            except (OSError, EOFError, WebSocketException) as error:
                self._drop(channel)
                raise LinkLostError(f"the connection broke: {error}", remedy="try again") from None
            except FutureTimeoutError:
                self._drop(channel)  # half open: a new one tells
                raise LinkLostError("no answer came in time", remedy="try again") from None
        finally:
            with self._lock:
                self._pending.pop(number, None)

    def _await(self, future: Future[Spoken], limit: float, silent_s: float) -> Spoken:
        """Wait for an answer. Raises TimeoutError after so long a silence, LinkLostError at ``limit``.

        On a slow connection other answers come first: that is no silence, and no reason to break it.
        """
        asked_s = time.monotonic()
        while True:
            silent_until = max(asked_s, self._heard_s) + silent_s
            try:
                return future.result(max(0.01, min(limit, silent_until) - time.monotonic()))
            except FutureTimeoutError:
                now_s = time.monotonic()
                if now_s >= max(asked_s, self._heard_s) + silent_s:
                    raise
                if now_s >= limit:
                    raise LinkLostError("no answer came in time", remedy="try again") from None

    def _channel_now(self, limit: float) -> Channel:
        with self._dialling:
            if self._closed.is_set():
                raise LinkLostError("the link was closed")
            if self._channel is not None:
                return self._channel
            channel = self._connect(max(0.05, min(self._connect_s, limit - time.monotonic())))
            with self._lock:
                self._channel = channel
                self._heard_s = time.monotonic()
                self.connections += 1
            threading.Thread(target=self._listen, args=(channel,), name="link-answers", daemon=True).start()
            return channel

    def _listen(self, channel: Channel) -> None:
        try:
            while True:
                spoken = parse_answer(channel.recv())
                with self._lock:
                    self._heard_s = time.monotonic()
                    future = self._pending.get(spoken.answer.id)
                if future is not None:
                    with contextlib.suppress(InvalidStateError):  # given up just now
                        future.set_result(spoken)
        except (OSError, EOFError, WebSocketException):
            self._drop(channel)
        except MessageError as error:
            _LOG.warning("an answer cannot be understood: %s", error.message)
            self._drop(channel)

    def _drop(self, channel: Channel | None) -> None:
        """Give a connection up (the present one without ``channel``), and end the calls that wait on it."""
        with self._lock:
            if channel is not None and self._channel is not channel:
                return
            gone, self._channel = self._channel, None
            waiting = list(self._pending.values())
        for future in waiting:
            if not future.done():
                try:
                    future.set_exception(LinkLostError("the connection broke", remedy="try again"))
                except InvalidStateError:  # the answer came just now
                    continue
        close_quietly(gone)


def _refusal_text(spoken: Spoken) -> str:
    result = spoken.answer.result
    return result.text if isinstance(result, Refused) else "the answer is not what was asked for"
