"""The station's side of the link, put together: whom it has paired with, and where nodes call in.

Everything lies in one folder of the station: ``pairings.json`` (nodes that it dials), and for nodes that dial it the
certificate and ``link.sqlite`` with their tokens.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from so2cam.link.channel import Channel
from so2cam.link.client import LinkClient, dial
from so2cam.link.database import FILE, Database
from so2cam.link.listener import Listener
from so2cam.link.pairing import PairingDesk
from so2cam.link.pairings import Pairings
from so2cam.link.tls import TlsFiles, ensure_certificate
from so2cam.link.tokens import TokenStore

NODE: Final = "station"
"""How a station calls itself at pairing."""


class StationLinks:
    """The links of one station; a context manager."""

    def __init__(self, folder: Path, site: str, *, tls: TlsFiles | None = None) -> None:
        """Open the folder, made where it is missing. ``tls``: a certificate of one's own. Raises LinkError."""
        self._tls = tls
        self._folder = folder
        self.pairings = Pairings(folder / "pairings.json")
        self._database = Database(folder / FILE)
        self.tokens = TokenStore(self._database)
        self.desk = PairingDesk(self._database, self.tokens, site=site, node=NODE)
        self.listener: Listener | None = None

    def listen(self, address: str, port: int) -> Listener:
        """Wait for nodes that call in. Raises LinkError where the address cannot be had."""
        tls = self._tls or ensure_certificate(self._folder, NODE, (address,))
        listener = Listener(tls, self.tokens, self.desk, address, port)
        listener.start()
        self.listener = listener
        return listener

    def client(self, name: str, *, calls_in: bool = False, patience_s: float = 30.0) -> LinkClient:
        """Return a link to the node ``name``: dialled as it was paired, or where it ``calls_in``. Raises LinkError."""
        connect: Callable[[float], Channel]
        if calls_in and self.listener is not None:
            connect = self.listener.connect_to(name)
        else:
            connect = dial(self.pairings.find(name).peer)
        return LinkClient(connect, patience_s=patience_s)

    def close(self) -> None:
        """Stop listening, and close the folder."""
        with contextlib.ExitStack() as undo:
            undo.callback(self._database.close)
            if self.listener is not None:
                self.listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
