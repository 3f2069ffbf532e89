"""Messages over a Unix socket: the way people and the power hooks of the same computer speak to an agent.

Who may open the socket is decided by its permissions (0660, in a folder of the agent's): there is no other login.
A connection may send any number of requests, one after the other. What is too long, no message, or too slow ends in a
refusal or a closed connection, and never disturbs others: every wait is bounded, and so is the number of connections.
"""

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.link.messages import (
    MAXIMUM_REPLY_BYTES,
    MAXIMUM_REQUEST_BYTES,
    Command,
    MessageError,
    Refused,
    Reply,
    Request,
    Result,
    encode,
    parse_reply,
    parse_request,
)

MAXIMUM_CONNECTIONS: Final = 16
IDLE_S: Final = 60.0
"""A connection without a request for this long is closed."""
LONGEST_PATH_BYTES: Final = 100
"""Longer paths no system takes for a socket."""
_SEND_S: Final = 5.0
_POLL_S: Final = 0.2
_LOG = logging.getLogger(__name__)


class NotRunningError(So2camError):
    """No agent answers on the socket."""


class LocalServer:
    """Serves ``handle`` on the Unix socket ``path`` from ``start`` to ``close``.

    ``handle`` is called in a thread of the connection, perhaps in several at once; a So2camError that it raises becomes
    a refusal. ``node`` is the name that requests may ask for.
    """

    def __init__(self, path: Path, node: str, handle: Callable[[Command], Result]) -> None:
        self.path = path
        self._node = node
        self._handle = handle
        self._closing = threading.Event()
        self._slots = threading.BoundedSemaphore(MAXIMUM_CONNECTIONS)
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Raises So2camError where another agent listens there, or the socket cannot be made."""
        require_short(self.path)
        if _answers(self.path):
            raise So2camError(
                "another agent of this node is running already",
                file=self.path,
                remedy="stop it first (so2cam instrument shutdown), or choose another node",
            )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            listener.bind(os.fspath(self.path))
            self.path.chmod(0o660)
            listener.listen(MAXIMUM_CONNECTIONS)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise So2camError(
                f"the socket for commands cannot be made: {error.strerror or error}",
                file=self.path,
                remedy="check the permissions of its folder",
            ) from error
        self._socket = listener
        self._acceptor = threading.Thread(target=self._accept, name="link-local", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening and end all connections; bounded. Doing it twice is no error."""
        self._closing.set()
        if self._acceptor is not None:
            self._acceptor.join(2.0)
        with self._lock:
            threads = list(self._threads)
        limit = time.monotonic() + 2.0
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, limit - time.monotonic()))
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        listener = self._socket
        if listener is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not self._closing.is_set():
                if not selector.select(_POLL_S):
                    continue
                try:
                    connection, _ = listener.accept()
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE):
                        self._closing.wait(_POLL_S)
                    continue
                self._serve_in_thread(connection)

    def _serve_in_thread(self, connection: socket.socket) -> None:
        if not self._slots.acquire(blocking=False):
            refusal = Refused(text="too many connections at once", remedy="try again in a moment")
            connection.settimeout(_POLL_S)
            with contextlib.suppress(OSError):
                connection.sendall(encode(Reply(id=0, result=refusal)))
            connection.close()
            return
        thread = threading.Thread(target=self._serve, args=(connection,), name="link-local-client", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_POLL_S)
                for line in self._lines(connection):
                    connection.settimeout(_SEND_S)
                    connection.sendall(encode(self._answer(line)))
                    connection.settimeout(_POLL_S)
        except OSError as error:
            _LOG.info("a connection for commands ended early: %s", error.strerror or error)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            self._slots.release()

    def _lines(self, connection: socket.socket) -> Iterator[bytes]:
        """Yield whole lines; one too long is yielded as it is, and is the last."""
        pending = b""
        last = time.monotonic()
        while not self._closing.is_set() and time.monotonic() - last < IDLE_S:
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                continue
            if not data:
                return
            pending += data
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                yield line
                last = time.monotonic()
                if self._closing.is_set():
                    return
            if len(pending) > MAXIMUM_REQUEST_BYTES:
                yield pending
                return

    def _answer(self, line: bytes) -> Reply:
        try:
            request = parse_request(line)
        except MessageError as error:
            return Reply(id=0, result=refused(error))
        if request.node is not None and request.node != self._node:
            refusal = Refused(text=f"this is node {self._node!r}, not {request.node!r}", remedy="name the right node")
            return Reply(id=request.id, result=refusal)
        try:
            result = self._handle(request.command)
        except So2camError as error:
            result = refused(error)
        reply = Reply(id=request.id, result=result)
        if len(encode(reply)) > MAXIMUM_REPLY_BYTES:
            reply = Reply(id=request.id, result=Refused(text="the answer is too long to send"))
        return reply


class LocalClient:
    """A connection to the agent that listens on ``path``; a context manager."""

    def __init__(self, path: Path, *, node: str | None = None, timeout_s: float = 15.0) -> None:
        """Connect. Raises NotRunningError where nobody listens, and So2camError where it is not allowed."""
        require_short(path)
        self.path = path
        self._node = node
        self._timeout_s = timeout_s
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            self._socket.close()
            raise NotRunningError(
                "the agent is not running", file=path, remedy="start it: so2cam instrument run SITE --node NAME"
            ) from None
        except OSError as error:
            self._socket.close()
            raise So2camError(
                f"the agent cannot be reached: {error.strerror or error}",
                file=path,
                remedy="use the account that the agent runs under, or one of its group",
            ) from error

    def ask(self, command: Command) -> Result:
        """Return the agent's result. Raises So2camError where no right answer comes in time."""
        self._number += 1
        request = Request(id=self._number, node=self._node, command=command)
        pending = b""
        limit = time.monotonic() + self._timeout_s
        try:
            self._socket.sendall(encode(request))
            while b"\n" not in pending:
                data = self._receive(limit)
                if not data:
                    raise self._ended()
                pending += data
                if len(pending) > MAXIMUM_REPLY_BYTES:
                    raise MessageError("the agent's answer is too long", file=self.path)
        except TimeoutError:
            raise So2camError(
                f"the agent did not answer within {self._timeout_s:g} s",
                file=self.path,
                remedy="see its log; restart it if that lasts",
            ) from None
        except OSError:
            raise self._ended() from None
        return parse_reply(pending.partition(b"\n")[0]).result

    def _receive(self, limit: float) -> bytes:
        self._socket.settimeout(max(0.001, limit - time.monotonic()))
        return self._socket.recv(65_536)

    def _ended(self) -> NotRunningError:
        return NotRunningError(
            "the agent ended the connection", file=self.path, remedy="see its log; it may be stopping"
        )

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def __enter__(self) -> "LocalClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refused(error: So2camError) -> Refused:
    """Return the refusal that explains ``error``."""
    return Refused(text=error.message, key=error.key, remedy=error.remedy)


def require_short(path: Path) -> None:
    """Raise So2camError where a path is too long for a socket."""
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise So2camError(
            f"the socket's path is longer than {LONGEST_PATH_BYTES} bytes", file=path, remedy="give a shorter folder"
        )


def _answers(path: Path) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(os.fspath(path))
    except OSError:
        return False
    finally:
        probe.close()
    return True
