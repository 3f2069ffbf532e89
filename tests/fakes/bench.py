"""A simulated installation in a folder of its own, and its agents as processes: what a person would start."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.instrument.places import socket_to_ask
from so2cam.link.local import LocalClient
from so2cam.link.messages import Command, Result, Status, StatusResult
from so2cam.store.items import StoredItem
from so2cam.store.spool import Spool

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"
SMALL = "width_px = 64, height_px = 48"
"""Frames of the simulated cameras: small, so that tests are about the agent"""


def camera(name: str = "camera-on", band: str = "on", driver: str = "simulated", options: str = "", **keys: str) -> str:
    """Return the table of a camera."""
    chosen = options or f"seed = 1, {SMALL}"
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return (
        f'[[instrument.nodes.devices]]\ntype = "camera"\nname = "{name}"\nband = "{band}"\ndriver = "{driver}"\n'
        f"exposure_s = 0.02\nmaximum_exposure_s = 0.15\n{more}options = {{ {chosen} }}\n"
    )


def spectrometer(name: str = "spectrometer", driver: str = "simulated", options: str = "seed = 1") -> str:
    """Return the table of a spectrometer."""
    return (
        f'[[instrument.nodes.devices]]\ntype = "spectrometer"\nname = "{name}"\ndriver = "{driver}"\n'
        f"integration_time_s = 0.02\nmaximum_integration_time_s = 0.1\noptions = {{ {options} }}\n"
    )


def faulty(inner: str, control: Path, *, small: bool = True) -> str:
    """Return the options of a faulty device around ``inner``, steered by the file ``control``."""
    size = f", {SMALL}" if small else ""
    return f'inner = {{ driver = "{inner}", options = {{ seed = 1{size} }} }}, control = "{control}"'


@dataclass
class Bench:
    """An installation of one node ``lead`` (or more) in ``folder``."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def site(self) -> Path:
        return self.folder / "site.toml"

    def root(self, node: str = "lead") -> Path:
        """The node's spool."""
        return self.folder / "data" / node

    def log(self, node: str = "lead") -> str:
        """What the agents of a node wrote to their standard error."""
        path = self.folder / f"{node}.err"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def write(self, nodes: dict[str, Sequence[str]], *, period_s: float = 0.5, extra: str = "") -> None:
        """Write the site file: devices of each node, the first of several the lead."""
        head = EXAMPLE.read_text(encoding="utf-8").partition("[instrument.acquisition]")[0]
        text = (
            f'{head}[instrument.acquisition]\nperiod_s = {period_s}\n\n[instrument.storage]\nfolder = "data"\n{extra}\n'
        )
        for index, (name, devices) in enumerate(nodes.items()):
            role = "single" if len(nodes) == 1 else "follower" if index else "lead"
            text += f'\n[[instrument.nodes]]\nname = "{name}"\nrole = "{role}"\n' + "\n".join(devices)
        self.site.write_text(text, encoding="utf-8")

    def start(
        self, node: str = "lead", *arguments: str, prefix: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start the agent of a node, or of all, as a person would."""
        with (self.folder / f"{node}.err").open("ab") as errors, (self.folder / f"{node}.out").open("ab") as output:
            process = subprocess.Popen(
                [
                    *prefix,
                    sys.executable,
                    "-m",
                    "so2cam",
                    "instrument",
                    "run",
                    str(self.site),
                    "--node",
                    node,
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def ask(self, command: Command, node: str = "lead", timeout_s: float = 30.0) -> Result:
        """Ask the agent of a node."""
        with LocalClient(socket_to_ask(self.site, node), node=node, timeout_s=timeout_s) as client:
            return client.ask(command)

    def health(self, node: str = "lead") -> HealthRecord:
        """The health of a node."""
        result = self.ask(Status(), node)
        assert isinstance(result, StatusResult), result
        return result.health

    def wait_for(
        self, wanted: Callable[[HealthRecord], bool], node: str = "lead", timeout_s: float = 40.0
    ) -> HealthRecord:
        """Wait until the health of a node is as wanted; fail with its log after ``timeout_s``."""
        limit = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < limit:
            try:
                last = record = self.health(node)
                if wanted(record):
                    return record
            except So2camError as error:
                last = error
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout_s} s; last seen: {last}\n{self.log(node)}")

    def wait_stored(self, count: int = 1, node: str = "lead", timeout_s: float = 40.0) -> HealthRecord:
        """Wait until every device that captures has kept so many items."""
        return self.wait_for(
            lambda record: (
                bool(record.devices)
                and all(device.stored >= count for device in record.devices if device.role != "power")
            ),
            node,
            timeout_s,
        )

    def stop(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> float:
        """Stop an agent as a person would; return how long that took [s]."""
        began = time.monotonic()
        process.send_signal(number)
        process.wait(20)
        return time.monotonic() - began

    def end(self) -> None:
        """End whatever of this bench still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def items(self, node: str = "lead", kind: str | None = None, device: str | None = None) -> list[StoredItem]:
        """What was acknowledged."""
        with Spool(self.root(node), node=node) as spool:
            return spool.find(kind=kind, device=device)

    def sidecar(self, item: StoredItem, node: str = "lead") -> dict[str, Any]:
        """The sidecar of an item."""
        content: dict[str, Any] = json.loads((self.root(node) / item.sidecar_path).read_bytes())
        return content

    def broken(self, node: str = "lead") -> list[str]:
        """Acknowledged items that are not on the disk as they were acknowledged."""
        found = []
        for item in self.items(node):
            for path, sha256 in ((item.path, item.sha256), (item.sidecar_path, item.sidecar_sha256)):
                file = self.root(node) / path
                if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                    found.append(path)
        return found


def workers(parent: int) -> list[int]:
    """The processes of devices that the agent ``parent`` has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found
