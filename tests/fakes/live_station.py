"""A real station with a simulated instrument, each a process of its own, started by the commands that people use."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from so2cam.simulate.installation import NODE, write_installation

PATIENCE_S = 120.0
ROLES = ("viewer", "operator", "admin")


@dataclass(slots=True)
class LiveStation:
    """The two processes. ``url`` has no slash at its end; ``tokens`` by role."""

    folder: Path
    scenario: str = "ideal"
    period_s: float = 2.0
    tokens: dict[str, str] = field(default_factory=dict)
    url: str = ""
    site: str = ""
    said: list[str] = field(default_factory=list)
    _instrument: "subprocess.Popen[bytes] | None" = None
    _station: "subprocess.Popen[bytes] | None" = None

    @property
    def site_file(self) -> Path:
        """The site file of both."""
        return self.folder / "site.toml"

    def start(self) -> None:
        """Write the installation, start both, pair them, make a token of each role, and wait for an emission rate."""
        begin = datetime.now(UTC) - timedelta(seconds=10)
        self._port = _free_port()
        write_installation(self.folder, self.scenario, seed=1, start=begin, period_s=self.period_s, port=self._port)
        text = self.site_file.read_text(encoding="utf-8")
        name = re.search(r'^name = "(.*)"$', text, re.MULTILINE)
        assert name is not None
        self.site = name[1]
        text = text.replace("api = { port = 0 }", f"api = {{ port = {_free_port()} }}")
        self.site_file.write_text(text, encoding="utf-8")
        self.start_instrument()
        self._pair()
        for role in ROLES:
            made = self.command("token", "create", "site.toml", "--station", "--name", f"the {role}", "--role", role)
            self.tokens[role] = made.split()[0]
        self.start_station()
        self.wait(lambda: any(rate["emission_rate_kg_s"] is not None for rate in self.ask("rates/latest?valid=true")))

    _port: int = 0

    def start_instrument(self) -> None:
        """Start the instrument's agent."""
        log = (self.folder / "instrument.log").open("ab")
        with log:
            self._instrument = subprocess.Popen(
                [*_PROGRAM, "instrument", "run", "site.toml", "--node", NODE, "--tied"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def start_station(self) -> None:
        """Start the station, and wait until it says where its pages are."""
        self._station = subprocess.Popen(
            [*_PROGRAM, "station", "run", "site.toml", "--quiet"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said.clear()
        threading.Thread(target=self._listen, args=(self._station,), daemon=True).start()
        self.wait(lambda: self._address() is not None)
        self.url = self._address() or ""
        self.wait(lambda: self.ask("health", check=False) is not None)

    def stop_instrument(self) -> None:
        """End the instrument's agent."""
        self._instrument = _end(self._instrument)

    def stop_station(self) -> None:
        """End the station."""
        self._station = _end(self._station)

    def stop(self) -> None:
        """End both."""
        self.stop_station()
        self.stop_instrument()

    def ask(self, what: str, *, check: bool = True) -> Any:
        """Return what the interface says of the site: ``what`` stands below /api/v1/sites/SITE."""
        request = urllib.request.Request(  # noqa: S310 - an address of this computer
            f"{self.url}/api/v1/sites/{quote(self.site)}/{what}",
            headers={"Authorization": f"Bearer {self.tokens['admin']}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return json.loads(answer.read())
        except OSError:
            if check:
                raise
            return None

    def command(self, *arguments: str) -> str:
        """Return what a command of so2cam prints."""
        done = subprocess.run(
            [*_PROGRAM, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds. Raises AssertionError with what the processes said where it does not in time."""
        until = time.monotonic() + PATIENCE_S
        while not holds():
            for process in (self._instrument, self._station):
                assert process is None or process.poll() is None, self._story()
            assert time.monotonic() < until, self._story()
            time.sleep(0.2)

    def _pair(self) -> None:
        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        self.wait(answers)
        said = self.command("pair", "offer", "site.toml", "--node", NODE, "--receiver", "station")
        code = re.search(r"\b[A-Z0-9]{6}-[A-Z0-9]{5,6}\b", said)
        assert code is not None, said
        place = f"127.0.0.1:{self._port}"
        self.command("pair", "join", place, "--code", code[0], "--site", "site.toml", "--station", "--name", NODE)

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.said.append(line.decode(errors="replace").rstrip())

    def _address(self) -> str | None:
        found = (re.search(r"open (http\S+)/ in a browser", line) for line in self.said)
        return next((match[1] for match in found if match is not None), None)

    def _story(self) -> str:
        log = self.folder / "instrument.log"
        tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        return "\n".join([*self.said[-30:], "--- instrument", tail])


_PROGRAM = [sys.executable, "-P", "-m", "so2cam"]


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
