"""The archive: what it acknowledged is there, once, whatever comes again and under whatever name."""

import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so2cam.core.errors import OutputError, So2camError
from so2cam.link.errors import LinkError
from so2cam.link.protocol import LinkItem
from so2cam.link.receiving import ItemParts
from so2cam.station.archive import STEPS, Archive, ArchiveError, Arrival
from so2cam.station.archive_check import export_files, verify_archive
from so2cam.station.catalogue import Catalogue
from so2cam.store.disk import Disk
from so2cam.store.items import item_digest

T0 = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ARRIVAL = Arrival("lead/1/x", "lead", "frame", "plume", "camera-on", T0, "a.png", number=1)


@pytest.fixture
def archive(catalogue: Catalogue, tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive", catalogue, "etna")


def staged(archive: Archive, data: bytes, name: str = "part.tmp") -> Path:
    path = archive.staging / f"{os.urandom(4).hex()}{name}"
    path.write_bytes(data)
    return path


def link_item(main: bytes, sidecar: bytes, *, sequence: int = 1, name: str = "a.png") -> LinkItem:
    stem = name.rpartition(".")[0]
    return LinkItem(
        node="lead",
        sequence=sequence,
        kind="frame",
        subject="plume",
        device="camera-on",
        time=T0,
        stored=T0,
        name=name,
        size=len(main),
        sha256=hashlib.sha256(main).hexdigest(),
        sidecar_name=f"{stem}.json",
        sidecar_size=len(sidecar),
        sidecar_sha256=hashlib.sha256(sidecar).hexdigest(),
    )


def accept(archive: Archive, main: bytes, sidecar: bytes, **values: object) -> str:
    item = link_item(main, sidecar, **values)  # type: ignore[arg-type]
    return archive.accept(item, ItemParts(staged(archive, main), staged(archive, sidecar)))


def stored(archive: Archive) -> dict[str, bytes]:
    paths = [
        p
        for p in archive.root.rglob("*")
        if p.is_file() and not p.name.startswith(".") and archive.staging not in p.parents
    ]
    return {str(p.relative_to(archive.root)): p.read_bytes() for p in paths}


def test_an_item_is_kept_once_and_its_digest_is_that_of_the_disk(archive: Archive) -> None:
    item = link_item(b"image", b"{}")
    assert archive.kept(item) is None
    digest = accept(archive, b"image", b"{}")
    assert archive.kept(item) == digest
    assert digest == item_digest(hashlib.sha256(b"image").hexdigest(), hashlib.sha256(b"{}").hexdigest())
    assert accept(archive, b"image", b"{}") == digest
    assert stored(archive) == {"2026/03/01/12/a.png": b"image", "2026/03/01/12/a.json": b"{}"}
    (file,) = archive.catalogue.find_files("etna")
    assert file.digest == digest


def test_a_node_that_counts_from_one_again_loses_nothing(archive: Archive) -> None:
    first, second = accept(archive, b"old", b"{}"), accept(archive, b"new", b"{}")
    assert first != second
    assert sorted(stored(archive).values()) == [b"new", b"old", b"{}", b"{}"]
    assert "2026/03/01/12/a_n00000001.png" in stored(archive)


def test_a_copy_that_is_gone_or_damaged_is_put_back(archive: Archive) -> None:
    digest = accept(archive, b"image", b"{}")
    path = archive.root / "2026/03/01/12/a.png"
    path.unlink()
    assert accept(archive, b"image", b"{}") == digest
    assert path.read_bytes() == b"image"
    path.write_bytes(b"imagE")
    report = verify_archive(archive, archive.catalogue.find_files("etna"))
    assert [(fault.path, fault.state) for fault in report.faults] == [("2026/03/01/12/a.png", "damaged")]
    assert not report.good
    assert accept(archive, b"image", b"{}") == digest
    report = verify_archive(archive, archive.catalogue.find_files("etna"))
    assert (report.good, report.files, report.bytes) == (True, 1, 7)


def test_what_is_not_as_announced_is_refused(archive: Archive) -> None:
    item = link_item(b"image", b"{}")
    with pytest.raises(LinkError, match="SHA-256"):
        archive.accept(item, ItemParts(staged(archive, b"imagX"), staged(archive, b"{}")))
    assert stored(archive) == {}
    assert archive.catalogue.find_files("etna") == []


HOSTILE = [
    "../a.png",
    "/etc/passwd",
    "a/b.png",
    "..",
    ".hidden.png",
    "a\\b.png",
    "",
    "a\0.png",
    "a..png",
    "é.png",
    "x" * 300,
    "-a.png",
    "a.png ",
    "CON:",
    "~/x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_out(archive: Archive, name: str) -> None:
    main = staged(archive, b"x")
    with pytest.raises(So2camError):
        archive.put(replace(ARRIVAL, name=name), main)
    sidecar = staged(archive, b"x")
    with pytest.raises(So2camError):
        archive.put(replace(ARRIVAL, sidecar_name=name or "/"), main, sidecar)
    assert stored(archive) == {}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=40))
def test_no_name_leads_out_of_the_archive(tmp_path: Path, name: str) -> None:
    root = tmp_path / "one"
    with Catalogue.open(None, root / "catalogue") as catalogue:
        archive = Archive(root / "archive", catalogue, "etna")
        main = staged(archive, os.urandom(8))
        try:
            file, _ = archive.put(replace(ARRIVAL, origin=os.urandom(8).hex(), name=name), main)
        except ArchiveError:
            main.unlink()
        else:
            assert archive.path_of(file).resolve().is_relative_to(archive.root.resolve())
            assert archive.path_of(file).is_file()
        archive.close()
    assert {p.name for p in root.iterdir()} == {"catalogue", "archive"}


def test_an_image_without_a_sidecar_never_stands_beside_that_of_another(archive: Archive) -> None:
    accept(archive, b"image", b'{"ExposureTime": 1}')
    archive.path_of(archive.catalogue.find_files("etna")[0]).unlink()
    file, new = archive.put(replace(ARRIVAL, origin="other", number=None), staged(archive, b"other"))
    assert new
    assert file.name != "a.png"
    assert file.sidecar is None


def test_a_sidecar_may_come_later(archive: Archive) -> None:
    file, _ = archive.put(ARRIVAL, staged(archive, b"image"))
    assert archive.add_sidecar(file, staged(archive, b"{}"))
    (again,) = archive.catalogue.find_files("etna")
    assert again.sidecar == "a.json"
    assert not archive.add_sidecar(again, staged(archive, b"[]"))
    assert verify_archive(archive, [again]).good


class DiesAt(Disk):
    """A disk on which everything ends at a step."""

    def __init__(self, name: str) -> None:
        self.name = name

    def step(self, name: str) -> None:
        if name == self.name:
            raise KeyboardInterrupt(name)


@pytest.mark.parametrize("step", STEPS)
def test_whatever_ends_a_put_the_item_is_there_once_when_it_comes_again(
    catalogue: Catalogue, tmp_path: Path, step: str
) -> None:
    dying = Archive(tmp_path / "archive", catalogue, "etna", disk=DiesAt(step))
    with pytest.raises(KeyboardInterrupt):
        accept(dying, b"image", b"{}")
    dying.close()
    archive = Archive(tmp_path / "archive", catalogue, "etna")
    accept(archive, b"image", b"{}")
    assert stored(archive) == {"2026/03/01/12/a.png": b"image", "2026/03/01/12/a.json": b"{}"}
    report = verify_archive(archive, catalogue.find_files("etna"))
    assert (report.good, report.files, report.faults) == (True, 1, ())


def test_files_that_nobody_knows_are_named(archive: Archive) -> None:
    accept(archive, b"image", b"{}")
    (archive.root / "2026/03/01/12/holiday.jpg").write_bytes(b"x")
    report = verify_archive(archive, archive.catalogue.find_files("etna"))
    assert [(fault.path, fault.state) for fault in report.faults] == [("2026/03/01/12/holiday.jpg", "unknown")]
    assert report.good


def test_export_copies_what_was_kept_and_nothing_else(archive: Archive, tmp_path: Path) -> None:
    accept(archive, b"image", b"{}")
    files = archive.catalogue.find_files("etna")
    assert export_files(archive, files, tmp_path / "out") == 1
    assert (tmp_path / "out/2026/03/01/12/a.png").read_bytes() == b"image"
    assert export_files(archive, files, tmp_path / "out") == 1
    assert export_files(archive, files, tmp_path / "flat", flat=True) == 1
    assert sorted(p.name for p in (tmp_path / "flat").iterdir()) == ["a.json", "a.png"]
    (tmp_path / "flat/a.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="another file"):
        export_files(archive, files, tmp_path / "flat", flat=True)
    archive.path_of(files[0]).write_bytes(b"wrong")
    with pytest.raises(OutputError, match="SHA-256"):
        export_files(archive, files, tmp_path / "third")
    assert not list((tmp_path / "third").rglob("*.png"))
