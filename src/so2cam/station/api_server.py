"""The service that answers other programs and people: the interface on the address of the site file.

On a loopback address it may speak plain HTTP and be read without a token (``station.api.loopback``); on any other one
there is TLS and a token, always. The certificate is the one that the station shows to instruments that call in.
"""

import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from so2cam.core.errors import So2camError
from so2cam.core.site_station import Api
from so2cam.link.limits import Limits
from so2cam.link.station import NODE
from so2cam.link.tls import TlsFiles, ensure_certificate, made_files
from so2cam.station.access import Access
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.context import StationContext
from so2cam.station.nodes import Nodes
from so2cam.station.runs import Runs
from so2cam.station.services import ServiceState

if TYPE_CHECKING:
    from fastapi import FastAPI

    Mount = Callable[[FastAPI, Access], None]
    """Puts pages into the application before it is served."""

_LOG = logging.getLogger(__name__)
_LINK: Final = "link"
_IDLE_S: Final = 20
_LARGEST_MESSAGE: Final = 1 << 20


class ApiError(So2camError):
    """The interface cannot be served."""


class ApiServer:
    """The service. ``port`` is the real one after it was bound; ``fingerprint`` that of its certificate with TLS."""

    def __init__(
        self,
        context: StationContext,
        services: Callable[[], Sequence[ServiceState]],
        access: Access,
        *,
        alarms: AlarmStore | None = None,
        mount: "Mount | None" = None,
        nodes: Nodes | None = None,
        runs: Runs | None = None,
    ) -> None:
        """Bind the address. Raises ApiError where that is taken, LinkError for a certificate that is none."""
        settings = context.settings.api
        self._context, self._services, self._mount = context, services, mount
        self.access, self._alarms, self._nodes, self._runs = access, alarms, nodes, runs
        self._tls: ssl.SSLContext | None = None
        self.fingerprint: str | None = None
        if not settings.is_open:
            files = tls_of(settings, context.sites[0].loaded.path.parent, context.folder)
            self._tls, self.fingerprint = files.server_context(), files.fingerprint()
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
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

    def run(self, stop: threading.Event) -> None:
        """Answer until told to stop."""
        import uvicorn

        from so2cam.link.server import HEAD_BYTES, BoundedServer, BoundedWebSocket, bounded_http
        from so2cam.station.api import build_api

        app = build_api(
            self._context,
            self._services,
            access=self.access,
            open_reads=self._context.settings.api.is_open,
            alarms=self._alarms,
            nodes=self._nodes,
            runs=self._runs,
        )
        app.state.stop = stop  # what waits for something new need not wait any longer
        if self._mount is not None:
            self._mount(app, self.access)
        context = self._tls
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=bounded_http(Limits()),
            ws=BoundedWebSocket,
            ws_max_size=_LARGEST_MESSAGE,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=2,
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_context_factory=None if context is None else lambda _config, _default: context,
        )
        server = BoundedServer(config)
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


def tls_of(settings: Api, base: Path, folder: Path) -> TlsFiles:
    """Return the certificate of a station: its owner's (relative to ``base``), or one that is made in ``folder``.

    Raises LinkError where it cannot be made.
    """
    if settings.certificate is not None and settings.key is not None:
        return TlsFiles(base / settings.certificate, base / settings.key)
    every = ipaddress.ip_address(settings.address).is_unspecified
    return ensure_certificate(folder / _LINK, NODE, () if every else (settings.address,))


def known_certificate(settings: Api, base: Path, folder: Path) -> TlsFiles | None:
    """Return the certificate of a station where it is there already; nothing is made."""
    if settings.certificate is not None and settings.key is not None:
        return TlsFiles(base / settings.certificate, base / settings.key)
    files = made_files(folder / _LINK)
    return files if files.certificate.exists() else None
