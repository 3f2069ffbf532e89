"""The service that answers other programs: the API on the address of the site file."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from so2cam.core.errors import InputError, So2camError
from so2cam.station.context import StationContext
from so2cam.station.services import ServiceState

if TYPE_CHECKING:
    from fastapi import FastAPI

_LOG = logging.getLogger(__name__)
SHORTEST_TOKEN = 16


class ApiError(So2camError):
    """The interface cannot be served."""


class ApiServer:
    """The service. ``port`` is the real one after it was bound."""

    def __init__(
        self,
        context: StationContext,
        services: Callable[[], Sequence[ServiceState]],
        build: "Callable[[StationContext, Callable[[], Sequence[ServiceState]], str | None], FastAPI] | None" = None,
    ) -> None:
        """Bind the address. Raises ApiError where that is taken, InputError for a token file that is none."""
        settings = context.settings.api
        self._context, self._services, self._build = context, services, build
        self.token = None
        if settings.token_file is not None:
            self.token = read_token(Path(context.sites[0].loaded.path.parent, settings.token_file))
        family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((settings.address, settings.port))
            self._socket.listen(64)
        except OSError as error:
            self._socket.close()
            raise ApiError(
                f"{settings.address}:{settings.port} cannot be had: {error.strerror or error}",
                key="station.api",
                remedy="another program has this port, or another station runs: choose another in the site file",
            ) from error
        self.address, self.port = settings.address, int(self._socket.getsockname()[1])

    @property
    def name(self) -> str:
        """The service's name."""
        return "api"

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"

    def run(self, stop: threading.Event) -> None:
        """Answer until told to stop."""
        import uvicorn

        from so2cam.station.api import build_api

        if self._build is None:
            app = build_api(self._context, self._services, token=self.token)
        else:
            app = self._build(self._context, self._services, self.token)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="off")
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        ended = threading.Event()

        def watch() -> None:
            while not stop.wait(0.2) and not ended.is_set():
                pass
            server.should_exit = True

        watcher = threading.Thread(target=watch, name="so2cam-api-stop", daemon=True)
        watcher.start()
        try:
            server.run(sockets=[self._socket.dup()])
        finally:
            ended.set()

    def close(self) -> None:
        """Let go of the address."""
        self._socket.close()


def read_token(path: Path) -> str:
    """Return the token in a file. Raises InputError where there is none, or one that is too short."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the token cannot be read: {error}", file=path, key="station.api.token_file", remedy="write one into it"
        ) from None
    if len(token) < SHORTEST_TOKEN:
        raise InputError(
            f"the token is shorter than {SHORTEST_TOKEN} characters",
            file=path,
            key="station.api.token_file",
            remedy='make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    return token
