"""A small simulated run that tests copy and damage, and the command line called as a person would."""

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from so2cam.cli.main import run
from so2cam.pipeline import batch
from so2cam.simulate import load_scenario, simulate
from so2cam.station.access import Access
from so2cam.station.context import StationContext

PAIRS = 7
PRODUCTS = ("emission_rates.csv", "emission_rates.nc", "quicklook.png")


Call = Callable[..., tuple[int, str, str]]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line gave back."""

    code: int
    out: str
    err: str

    def failed_with(self, *parts: str) -> None:
        """Check that this is one clear message: exit code 2, the parts in it, a remedy, no traceback."""
        assert self.code == 2, self.out + self.err
        assert self.err.count("Error:") == 1, self.err
        assert "Traceback" not in self.err + self.out
        for part in parts:
            assert part in self.err, f"{part!r} is not in: {self.err}"

    def explained(self, *parts: str) -> None:
        """Check for a clear message that says what to do."""
        self.failed_with(*parts)
        assert "What to do:" in self.err

    def said(self, *parts: str) -> None:
        """Check that the run went through and that its summary has the parts."""
        assert self.code == 0, self.out + self.err
        for part in parts:
            assert part in self.out + self.err, f"{part!r} is not in: {self.out}{self.err}"


@dataclass
class Case:
    """One simulated run in a folder of its own. Its files are links: replace them, never write into them."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    methods: str | None = "flow_raw"
    sources: list[Path] = field(default_factory=list)

    @property
    def site(self) -> Path:
        return self.folder / "site.toml"

    @property
    def frames(self) -> Path:
        return self.folder / "frames"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def files(self, pattern: str) -> list[Path]:
        found = sorted(self.frames.rglob(pattern))
        assert found, pattern
        return found

    def plume(self, band: str) -> list[Path]:
        return self.files(f"*fltr{band}*_Plume.png")

    def replace(self, path: Path, data: bytes) -> None:
        path.unlink()
        path.write_bytes(data)

    def edit_site(self, old: str, new: str) -> None:
        text = self.site.read_text()
        assert old in text, old
        self.replace(self.site, text.replace(old, new).encode())

    def run(self, *arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        captured = self.capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def process(self, *extra: object, frames: Sequence[object] | None = None) -> Outcome:
        chosen = [self.frames] if frames is None else frames
        methods = [] if self.methods is None else ["--methods", self.methods]
        return self.run("process", self.site, "--frames", *chosen, "--out", self.out, *methods, *extra)

    def rows(self) -> list[dict[str, str]]:
        with (self.out / "emission_rates.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    def values(self) -> str:
        """All numbers of the run, to compare runs by."""
        return (self.out / "emission_rates.csv").read_text()

    def left_behind(self) -> list[str]:
        """Names of everything in the out folder that is not a product."""
        return sorted(path.name for path in self.out.iterdir() if path.name not in PRODUCTS)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """A function that calls the command line and returns what came of it."""

    def called(*arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return called


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with frames, site.toml and truth.json; not to be changed."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(load_scenario(), folder, seed=1, pairs=PAIRS)
    remove_sidecars(folder)
    return folder


def remove_sidecars(folder: Path) -> None:
    """Make the frames those of a camera that keeps no sensor's clock, so that tests may move them in time."""
    for path in (folder / "frames").rglob("*.json"):
        path.unlink()


@pytest.fixture
def case(simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Case:
    """A copy of the simulated run. The quicklook, which takes longer than all else, is a stand-in."""

    def stand_in(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"quicklook")

    monkeypatch.setattr(batch, "write_quicklook", stand_in)
    folder = tmp_path / "run"
    shutil.copytree(simulated, folder, copy_function=os.link)
    return Case(folder, capsys)


@pytest.fixture
def say(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call the command line, with pairings in the bench's folder; return exit code, output and errors."""
    monkeypatch.setenv("SO2CAM_PAIRINGS", str(bench.folder / "pairings.json"))

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


@pytest.fixture
def context(bench_station: StationContext) -> StationContext:
    """The station of the example of the bench."""
    return bench_station


@pytest.fixture
def access(context: StationContext) -> Iterator[Access]:
    """Who may what at that station."""
    with Access.of_station(context.folder) as opened:
        yield opened
