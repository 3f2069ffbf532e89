"""A watched folder: half-written files, locks, late sidecars, all names; nothing is taken before it is whole."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.site_station import WatchedFolder
from so2cam.formats.png_writing import write_png
from so2cam.station.context import StationContext, open_station
from so2cam.station.watch import FolderWatcher
from so2cam.station.wholeness import is_whole

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
NAME = "2026-03-01T120000_fltrA_1ag_99980ss_Plume.png"


@dataclass
class Watched:
    folder: Path
    context: StationContext
    watcher: FolderWatcher

    def look(self) -> int:
        return self.watcher.look()

    def kept(self) -> list[str]:
        return [file.path for file in self.context.catalogue.find_files()]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folder = tmp_path / "arriving"
    folder.mkdir()
    yield from _open(tmp_path, folder, settle_s=0.0)


def _open(tmp_path: Path, folder: Path, settle_s: float) -> Iterator[Watched]:
    site = tmp_path / "site.toml"
    site.write_bytes(EXAMPLE.read_bytes())
    context = open_station([site], folder=tmp_path / "station")
    setting = WatchedFolder(name="ftp", folder=str(folder), settle_s=settle_s)
    yield Watched(folder, context, FolderWatcher(context, context.sites[0], setting))
    context.sites[0].archive.close()
    context.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    counts = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    return write_png(counts)


def test_a_whole_file_is_kept_once(watched: Watched, image: bytes) -> None:
    (watched.folder / "sub" / "deep").mkdir(parents=True)
    (watched.folder / "sub" / "deep" / NAME).write_bytes(image)
    assert [watched.look(), watched.look()] == [1, 0]
    assert watched.kept() == [f"2026/03/01/12/{NAME}"]
    (file,) = watched.context.catalogue.find_files()
    assert (file.kind, file.subject, file.device, file.node) == ("frame", "plume", "camera-on", "watch-ftp")
    assert (watched.folder / "sub" / "deep" / NAME).read_bytes() == image, "the folder is only read"


def test_another_watcher_does_not_keep_it_again(watched: Watched, image: bytes) -> None:
    (watched.folder / NAME).write_bytes(image)
    watched.look()
    setting = WatchedFolder(name="ftp", folder=str(watched.folder), settle_s=0.0)
    again = FolderWatcher(watched.context, watched.context.sites[0], setting)
    assert again.look() == 0
    assert again.counts.known == 0, "it is known before it is read"
    os.utime(watched.folder / NAME)  # touched, or copied here again
    assert again.look() == 0
    assert len(watched.kept()) == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_half_written_image_waits_for_its_end(watched: Watched, image: bytes, share: float) -> None:
    path = watched.folder / NAME
    path.write_bytes(image[: int(share * len(image))])
    assert watched.look() == 0
    assert path in watched.watcher.waiting
    path.write_bytes(image)
    assert watched.look() == 1
    assert watched.watcher.waiting == {}


def test_a_locked_file_waits_and_says_so(watched: Watched, image: bytes) -> None:
    (watched.folder / NAME).write_bytes(image)
    lock = watched.folder / f"{NAME.removesuffix('.png')}.lock"
    lock.write_bytes(b"")
    assert watched.look() == 0
    assert "lock" in watched.watcher.waiting[watched.folder / NAME]
    lock.unlink()
    assert watched.look() == 1


def test_a_file_that_still_grows_is_not_touched(tmp_path: Path, image: bytes) -> None:
    folder = tmp_path / "arriving"
    folder.mkdir()
    for watched in _open(tmp_path, folder, settle_s=30.0):
        path = folder / NAME
        path.write_bytes(image)
        assert watched.look() == 0
        assert not watched.watcher.settled
        old = time.time() - 3600
        os.utime(path, (old, old))  # what has not changed for an hour was there before
        assert watched.look() == 1
        assert watched.watcher.settled


def test_a_sidecar_comes_with_its_image_or_later(watched: Watched, image: bytes) -> None:
    first, second = NAME, NAME.replace("120000", "120004")
    (watched.folder / first).write_bytes(image)
    (watched.folder / first).with_suffix(".json").write_bytes(b'{"ExposureTime": 99980}')
    (watched.folder / second).write_bytes(image + b"")
    assert watched.look() == 2
    files = watched.context.catalogue.find_files()
    assert [file.sidecar is not None for file in files] == [True, False]
    (watched.folder / second).with_suffix(".json").write_bytes(b'{"ExposureTime": 99980}')
    watched.look()
    watched.look()
    files = watched.context.catalogue.find_files()
    assert [file.sidecar is not None for file in files] == [True, True]
    assert watched.watcher.counts.sidecars == 1
    path = watched.context.sites[0].archive.path_of(files[1], sidecar=True)
    assert path.read_bytes() == b'{"ExposureTime": 99980}'
    (stale,) = watched.context.catalogue.days(files[0].site, stale=True)
    assert stale.day == "2026-03-01"


@pytest.mark.parametrize("name", ["notes.png", "a b c.png", "2026-13-01T120000_fltrA_1ag_99980ss_Plume.png", "x.png"])
def test_what_is_no_frame_is_named_not_dropped_in_silence(watched: Watched, image: bytes, name: str) -> None:
    (watched.folder / name).write_bytes(image)
    assert watched.look() == 0
    assert list(watched.watcher.waiting) == [watched.folder / name]
    assert watched.look() == 0


def test_hidden_and_other_files_are_not_looked_at(watched: Watched, image: bytes) -> None:
    for name in (f".{NAME}", f"{NAME}.tmp", f"{NAME}.part", "readme.md"):
        (watched.folder / name).write_bytes(image)
    (watched.folder / "loop").symlink_to(watched.folder)
    (watched.folder / "nowhere.png").symlink_to(watched.folder / "missing")
    assert watched.look() == 0
    assert watched.watcher.waiting == {}


def test_a_folder_that_is_gone_is_told_and_tried_again(watched: Watched, image: bytes) -> None:
    moved = watched.folder.rename(watched.folder.with_name("away"))
    with pytest.raises(InputError, match="no folder"):
        watched.look()
    moved.rename(watched.folder)
    (watched.folder / NAME).write_bytes(image)
    assert watched.look() == 1


def test_a_file_that_vanishes_is_forgotten(watched: Watched, image: bytes) -> None:
    path = watched.folder / NAME
    path.write_bytes(image[:100])
    watched.look()
    path.unlink()
    assert watched.look() == 0
    assert watched.watcher.waiting == {}


def test_new_files_in_an_old_folder_are_found(watched: Watched, image: bytes) -> None:
    old = time.time() - 3600
    (watched.folder / NAME).write_bytes(image)
    os.utime(watched.folder, (old, old))
    assert [watched.look(), watched.look()] == [1, 0]
    (watched.folder / NAME.replace("120000", "120004")).write_bytes(image)
    assert watched.look() == 1


@pytest.mark.parametrize(
    ("name", "data", "whole"),
    [
        ("a.png", b"", False),
        ("a.png", b"\x89PNG\r\n\x1a\n", False),
        ("a.txt", b"1 2\n", True),
        ("a.fits", b"x" * 2880, True),
        ("a.fits", b"x" * 2881, False),
        ("a.npy", b"\x93NUMPY\x01\x00", False),
    ],
)
def test_wholeness(tmp_path: Path, name: str, data: bytes, whole: bool) -> None:
    (tmp_path / name).write_bytes(data)
    assert is_whole(tmp_path / name) is whole
    assert not is_whole(tmp_path / "missing.png")


def test_an_array_is_whole_when_it_is_as_long_as_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100.0).reshape(2, 50))
    data = path.read_bytes()
    assert is_whole(path)
    for size in (len(data) - 1, len(data) + 1, 90, 20):
        path.write_bytes((data + b"x")[:size])
        assert not is_whole(path), size
