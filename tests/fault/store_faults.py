"""What the fault tests of the store share: a writer under watch, and the oracle that says what must be there."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.formats.native import FrameRecord, SpectrumRecord, encode_frame, encode_spectrum
from so2cam.formats.png import read_counts
from so2cam.store.items import from_microseconds
from so2cam.store.recovery import RecoveryReport, recover_spool
from so2cam.store.spool import Spool
from so2cam.store.verify import verify_spool

WRITER = Path(__file__).with_name("store_writer.py")
SOURCE = Path(__file__).parents[2] / "src"
LONGEST_WAIT_S = 60.0


def payloads(folder: Path) -> dict[str, Path]:
    """Return a frame for either band and a spectrum, as files, by device."""
    generator = np.random.default_rng(1)
    found = {}
    for band in Band:
        record = FrameRecord(band, FrameKind.PLUME, from_microseconds(10**15), exposure_s=0.1, scale=16)
        image = generator.integers(0, 16 * 1023, (60, 81), dtype=np.uint16)
        found[f"camera-{band.value}"] = encode_frame(image, record, tag="fltrA").data
    spectrum = SpectrumRecord(SpectrumKind.PLUME, from_microseconds(10**15), 0.1)
    found["spectrometer"] = encode_spectrum(np.linspace(280, 400, 512), generator.random(512), spectrum).data
    for name, data in found.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in found}


def environment() -> dict[str, str]:
    """Return what a writer's process needs, the same each time."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return keep | {"PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def command(root: Path, device: str, count: int, payload: Path, *more: str) -> list[str]:
    """Return the writer's command."""
    return [sys.executable, str(WRITER), str(root), device, str(count), str(payload), *more]


@dataclass
class Writer:
    """A writer's process and what it has said."""

    arguments: Sequence[str]
    variables: dict[str, str] = field(default_factory=dict)
    kept: dict[int, str] = field(default_factory=dict)
    begun: int = 0
    refused: list[str] = field(default_factory=list)
    done: bool = False

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.first_kept_s: float | None = None
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            self.arguments, stdout=subprocess.PIPE, env=environment() | self.variables, text=True
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break
            word, _, rest = line.rstrip("\n").partition(" ")
            with self._changed:
                if word == "kept":
                    sequence, digest = rest.split()
                    self.kept[int(sequence)] = digest
                    if self.first_kept_s is None:
                        self.first_kept_s = time.monotonic() - self.started
                elif word == "begin":
                    self.begun += 1
                elif word == "refused":
                    self.refused.append(rest)
                elif word == "done":
                    self.done = True
                self._changed.notify_all()

    def wait_kept(self, count: int) -> None:
        """Wait until ``count`` items are acknowledged."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.kept) >= count, LONGEST_WAIT_S):
                raise AssertionError(f"only {len(self.kept)} items after {LONGEST_WAIT_S} s: {self.refused[-3:]}")

    def wait_refused(self, count: int) -> None:
        """Wait until ``count`` puts were refused."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.refused) >= count, LONGEST_WAIT_S):
                raise AssertionError(f"only {len(self.refused)} refusals")

    def heard(self) -> tuple[dict[int, str], int]:
        """Return what is acknowledged, and how many items were begun."""
        with self._changed:
            return dict(self.kept), self.begun

    def kill(self) -> None:
        """Kill the process at once and hear what it still said."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def stop(self) -> None:
        """Stop the process (SIGSTOP) and wait until it is stopped and was heard."""
        self.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + LONGEST_WAIT_S
        while Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "TtZX":
            assert time.monotonic() < deadline, "the process does not stop"
            time.sleep(0.0005)

    def go_on(self) -> None:
        """Let a stopped process go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> int:
        """Wait for the end of the process; return its exit code."""
        code = self.process.wait(LONGEST_WAIT_S)
        self._thread.join(LONGEST_WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@dataclass(frozen=True)
class Judgement:
    """What the oracle found."""

    report: RecoveryReport
    kept: int
    lost: list[int]
    corrupt: list[str]
    unknown: list[str]


def judge(root: Path, acknowledged: dict[int, str]) -> Judgement:
    """Recover the spool and compare it with what was acknowledged, reading every file at a final name."""
    corrupt = [
        path.name for path in (root / "data").rglob("*.png") if not _whole(path)
    ]  # before recovery: no broken file may ever have its final name
    report = recover_spool(root, node="lead")
    with Spool(root, node="lead") as spool:
        found = spool.find()
        faults = {fault.sequence for fault in verify_spool(spool).faults}
        digests = {item.sequence: item.digest for item in found if item.sequence not in faults}
    known = {path for item in found for path in (item.path, item.sidecar_path)}
    files = {path.relative_to(root).as_posix() for path in (root / "data").rglob("*") if path.is_file()}
    lost = [sequence for sequence, digest in acknowledged.items() if digests.get(sequence) != digest]
    return Judgement(report, len(found), lost, corrupt, sorted(files ^ known))


def _whole(path: Path) -> bool:
    try:
        read_counts(path.read_bytes(), path)
    except FrameFileError:
        return False
    return True
