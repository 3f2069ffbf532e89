"""A zip of archived files has them whole, and says what is not there."""

import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from so2cam.station.archive_zip import NOT_HERE, path_in, zip_of
from so2cam.station.catalogue import ArchivedFile

T0 = datetime(2026, 3, 1, 12, 0, 8, tzinfo=UTC)


@dataclass
class FakeArchive:
    root: Path

    def path_of(self, file: ArchivedFile, *, sidecar: bool = False) -> Path:
        return self.root / str(file.sidecar_path if sidecar else file.path)


@dataclass
class FakeSite:
    archive: FakeArchive


def file(site: str, number: int, *, sidecar: bool = True, size: int = 600_000) -> ArchivedFile:
    name = f"{number}.png"
    beside = f"{number}.json" if sidecar else None
    return ArchivedFile(
        *(number, site, str(number), "a", "frame", "plume", "camera-on", T0, T0, "2026/03/01/12", name, size, "0"),
        *(beside, 600_000, "1", "kept"),
    )


def test_a_zip_has_all_that_is_there_and_names_the_rest(tmp_path: Path) -> None:
    sites: dict[str, Any] = {name: FakeSite(FakeArchive(tmp_path / name)) for name in ("etna", "hill")}
    content = {}
    for name in sites:
        folder = tmp_path / name / "2026/03/01/12"
        folder.mkdir(parents=True)
        for number, suffix in ((1, "png"), (1, "json"), (2, "png")):
            content[f"{name}/2026/03/01/12/{number}.{suffix}"] = bytes([number]) * 600_000
            (folder / f"{number}.{suffix}").write_bytes(bytes([number]) * 600_000)
    files = [file(name, number) for name in sites for number in (1, 2)]
    pieces = list(zip_of(sites, files))
    assert max(len(piece) for piece in pieces) < 400_000, "nothing is gathered"
    made = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert made.testzip() is None
    missing = made.read(NOT_HERE).decode().splitlines()
    assert [line.partition(":")[0] for line in missing] == [f"{name}/2026/03/01/12/2.json" for name in sites]
    assert {name: made.read(name) for name in made.namelist() if name != NOT_HERE} == content
    assert made.infolist()[0].date_time == (2026, 3, 1, 12, 0, 8)


def test_files_of_one_site_lie_in_their_hours(tmp_path: Path) -> None:
    site: Any = FakeSite(FakeArchive(tmp_path))
    (tmp_path / "2026/03/01/12").mkdir(parents=True)
    (tmp_path / "2026/03/01/12/1.png").write_bytes(b"x")
    made = zipfile.ZipFile(io.BytesIO(b"".join(zip_of({"etna": site}, [file("etna", 1, sidecar=False, size=1)]))))
    assert made.namelist() == ["2026/03/01/12/1.png"]
    assert path_in(site, file("etna", 1, sidecar=False), "main") == tmp_path / "2026/03/01/12/1.png"
    assert path_in(site, file("etna", 1, sidecar=False), "sidecar") is None
    assert path_in(site, file("etna", 2), "main") is None


class BreakingFile(io.BytesIO):
    """A file of a disk that fails after the first piece."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(size)


@dataclass
class BreakingPath:
    content: bytes

    def open(self, mode: str) -> io.BytesIO:
        return BreakingFile(self.content)


def test_what_is_cut_off_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "2026/03/01/12").mkdir(parents=True)
    (tmp_path / "2026/03/01/12/1.png").write_bytes(bytes(1000))
    archive: Any = FakeArchive(tmp_path)
    broken: Any = FakeArchive(tmp_path)
    broken.path_of = lambda *_, **__: BreakingPath(bytes(600_000))
    sites: dict[str, Any] = {"etna": FakeSite(archive), "hill": FakeSite(broken)}
    files = [file(site, 1, sidecar=False) for site in sites]
    made = zipfile.ZipFile(io.BytesIO(b"".join(zip_of(sites, files))))
    assert made.testzip() is None
    shorter, failed = made.read(NOT_HERE).decode().splitlines()
    assert shorter == "etna/2026/03/01/12/1.png: is here, but cut off after 1000 of 600000 bytes"
    assert failed.startswith("hill/2026/03/01/12/1.png: is here, but cut off after 262144 of 600000 bytes")
    assert "Input/output error" in failed
