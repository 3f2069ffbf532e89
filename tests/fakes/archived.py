"""A station whose archive holds a simulated volcano of a past day, in a process of its own: for tests of set-up pages.

The volcano is simulated once for all processes of a test run, and copied.
"""

import contextlib
import fcntl
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so2cam.core.site_station import WatchedFolder
from so2cam.link.protocol import Role
from so2cam.station.access import Access
from so2cam.station.context import open_station
from so2cam.station.watch import FolderWatcher

PAIRS = 80
SCENARIO = "baseline"
_STATION = """
[station]
folder = "station"
[station.api]
port = {port}
loopback = "closed"
"""


def simulated(shared: Path) -> Path:
    """Return the folder of the simulated volcano, below ``shared``; it is made where it is not there yet."""
    shared.mkdir(parents=True, exist_ok=True)
    made = shared / "volcano"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "truth.json").exists():
            shutil.rmtree(made, ignore_errors=True)
            command = [sys.executable, "-P", "-m", "so2cam", "simulate", "--out", str(made)]
            options = ["--pairs", str(PAIRS), "--scenario", SCENARIO, "--seed", "1"]
            done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
    return made


@dataclass
class ArchivedStation:
    """The station: ``url``, ``tokens`` by role, ``site`` (its name), ``day`` of its frames. ``pages``: the module."""

    folder: Path
    shared: Path
    pages: Any
    tokens: dict[str, str] = field(default_factory=dict)
    site: str = ""
    day: str = ""
    _station: Any = None
    _first: str = ""

    @property
    def url(self) -> str:
        """Where its pages are."""
        return str(self._station.url)

    @property
    def site_file(self) -> Path:
        """Its site file."""
        return self.folder / "site.toml"

    @property
    def state(self) -> Path:
        """The folder of the station."""
        return self.folder / "station"

    def start(self) -> None:
        """Copy the volcano, start the station, and wait until all its frames are archived and processed."""
        volcano = simulated(self.shared)
        shutil.copytree(volcano, self.folder, dirs_exist_ok=True)
        text = (volcano / "site.toml").read_text(encoding="utf-8")
        self.site = str(re.search(r'^name = "(.*)"', text, re.MULTILINE)[1])  # type: ignore[index]
        self._station = self.pages.PagesStation(self.folder, self.pages.free_port())
        text += _STATION.format(port=self._station.port)
        self.site_file.write_text(text, encoding="utf-8")
        self._archive()
        self._first = text
        with Access.of_station(self.state) as access:
            self.tokens = {role.word: access.create(f"the {role.word}", role) for role in Role}
        self._station.tokens = self.tokens
        self._station.start()
        self.wait_processed()

    def _archive(self) -> None:
        """Take all files into the archive, as a watched folder would: before the station runs, so all come in time."""
        context = open_station([self.site_file])
        try:
            for folder in ("frames", "spectra"):
                watched = WatchedFolder(name=folder, folder=str(self.folder / folder), settle_s=0.0)
                watcher = FolderWatcher(context, context.sites[0], watched)
                watcher.look()
                watcher.look()
        finally:
            context.close()

    def wait_processed(self, pairs: int = PAIRS - 4) -> None:
        """Wait until the live service has processed at least so many pairs."""

        def enough() -> bool:
            with contextlib.suppress(Exception), self._station.catalogue() as catalogue:  # being made
                rows = catalogue.rates(self.site, line="total", limit=100_000)
                self.day = f"{rows[-1].time:%Y-%m-%d}" if rows else ""
                return len({row.time for row in rows}) >= pairs
            return False

        self.pages.wait_for(enough, (self.folder / "log").read_text()[-3000:], 120.0)

    def stop(self) -> None:
        """Stop it."""
        self._station.stop()

    def restart(self) -> None:
        """Stop it and start it again."""
        self._station.stop()
        self._station.start()

    def fresh_draft(self) -> None:
        """Bring the site file back to what it was at first, without a draft; the station is started anew if needed."""
        changed = self.site_file.read_text(encoding="utf-8") != self._first
        drafts = self.state / "setup"
        if not changed and not drafts.exists():
            return
        self._station.stop(kill=True)  # at once: it may be in the middle of a day
        shutil.rmtree(drafts, ignore_errors=True)
        self.site_file.write_text(self._first, encoding="utf-8")
        self._station.start()

    def enter(self, page: Any, role: str = "admin") -> None:
        """Sign a page in with the token of a role."""
        form = {"token": self.tokens[role], "next": "/"}
        page.context.request.post(f"{self.url}/session", form=form, max_redirects=0)
        page.goto(f"{self.url}/")

    def catalogue(self) -> Any:
        """Open its catalogue from here: a context manager."""
        return self._station.catalogue()
