"""A simulated instrument and its station as processes of their own: what a person would start, for tests of pages."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so2cam.cli.link_places import home_of
from so2cam.core.site_link import Link
from so2cam.link.pairing import PairingDesk
from so2cam.link.protocol import Role
from so2cam.link.tokens import TokenStore
from so2cam.station.access import Access


@dataclass
class Home:
    """A bench (``tests/fakes/bench.py``) with a link, and a station with its pages at ``url``."""

    bench: Any
    url: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    _station: "subprocess.Popen[bytes] | None" = None

    def write(
        self,
        devices: dict[str, Sequence[str]],
        ports: dict[str, int],
        api: int,
        extra: str = "",
        period_s: float = 0.5,
    ) -> None:
        """Write the site file: devices and port of each node."""
        text = f"[station]\nlive = false\ntransfer = {{ poll_s = 0.2 }}\napi = {{ port = {api} }}\n{extra}"
        with_ports = {
            name: [f'link = {{ port = {ports[name]}, address = "127.0.0.1" }}\n', *tables]
            for name, tables in devices.items()
        }
        self.bench.write(with_ports, extra=text, period_s=period_s)
        self.url = f"http://127.0.0.1:{api}"

    def start_station(self) -> None:
        """Start the station, with a token for each role, and wait until it answers."""
        folder = self.bench.folder / "station"
        if not self.tokens:
            with Access.of_station(folder) as access:
                self.tokens = {role.word: access.create(f"a {role.word}", role) for role in Role}
        with (self.bench.folder / "station.log").open("ab") as log:
            self._station = subprocess.Popen(
                [sys.executable, "-m", "so2cam", "station", "run", str(self.bench.site), "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(os.environ),
                start_new_session=True,
            )
        limit = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/sign-in", timeout=5):  # noqa: S310 - http, on this computer
                    return
            except (urllib.error.URLError, OSError):
                assert self._station.poll() is None, self.log
                assert time.monotonic() < limit, self.log
                time.sleep(0.1)

    def stop_station(self) -> None:
        """Stop the station, if it runs."""
        if self._station is not None and self._station.poll() is None:
            self._station.terminate()
            try:
                self._station.wait(20)
            except subprocess.TimeoutExpired:
                self._station.kill()
                self._station.wait(10)

    @property
    def log(self) -> str:
        """What the station wrote to its log."""
        path: Path = self.bench.folder / "station.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def code(self, node: str = "lead", receiver: str | None = "station", role: Role = Role.OPERATOR) -> str:
        """Make a code at a node, as ``so2cam pair offer`` does."""
        home = home_of(self.bench.site, node)
        database = home.database()
        try:
            return (
                PairingDesk(database, TokenStore(database), site=home.site, node=home.name).offer(role, receiver).code
            )
        finally:
            database.close()

    def link_of(self, node: str = "lead") -> Link:
        """How a node is reached."""
        link = home_of(self.bench.site, node).link
        assert link is not None
        return link

    def sidecars(self, node: str = "lead", **wanted: object) -> list[dict[str, Any]]:
        """The sidecars of a node's frames and spectra that have these values, the oldest first."""
        found = []
        for item in self.bench.items(node):
            content = json.loads((self.bench.root(node) / item.sidecar_path).read_bytes())
            if all(content.get(key) == value for key, value in wanted.items()):
                found.append(content)
        return found

    def end(self) -> None:
        """End whatever still runs."""
        self.stop_station()
        self.bench.end()
