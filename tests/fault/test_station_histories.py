"""Lost and doubled acknowledgements, and crashes at every point: each item is in the archive exactly once."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so2cam.link.protocol import LinkItem
from so2cam.link.receiving import ItemParts
from so2cam.station.archive import STEPS, Archive
from so2cam.station.archive_check import verify_archive
from so2cam.station.catalogue import Catalogue
from so2cam.store.disk import Disk

T0 = datetime(2026, 3, 1, 12, 59, 58, tzinfo=UTC)


class Crash(BaseException):
    """The process ends here."""


class Crashing(Disk):
    """A disk on which the process ends at a step, once."""

    def __init__(self) -> None:
        self.at: str | None = None

    def step(self, name: str) -> None:
        if name == self.at:
            self.at = None
            raise Crash(name)


def item(number: int, copy: int) -> tuple[LinkItem, bytes, bytes]:
    """Items 0 to 3; some share a name, ``copy`` 1 is that of a spool that began anew with other content."""
    main, sidecar = f"image {number} {copy}".encode(), f'{{"number": {number}}}'.encode()
    name = f"2026_{number // 2}.png"
    return (
        LinkItem(
            node="lead",
            sequence=number + 1,
            kind="frame",
            subject="plume",
            device="camera-on",
            time=T0 + timedelta(seconds=number),
            stored=T0,
            name=name,
            size=len(main),
            sha256=hashlib.sha256(main).hexdigest(),
            sidecar_name=name.replace(".png", ".json"),
            sidecar_size=len(sidecar),
            sidecar_sha256=hashlib.sha256(sidecar).hexdigest(),
        ),
        main,
        sidecar,
    )


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 1),
        st.sampled_from(["kept", "acknowledgement lost", "lost on the disk", *STEPS]),
    ),
    min_size=1,
    max_size=14,
)


def test_every_history_ends_with_each_item_once(rounds: Callable[[int, int], int]) -> None:
    @settings(max_examples=rounds(12, 10_000), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(history=EVENTS)
    def check(history: list[tuple[int, int, str]]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="so2cam-history-"))
        try:
            _live_through(folder, history)
        finally:
            shutil.rmtree(folder)

    check()


def _live_through(folder: Path, history: list[tuple[int, int, str]]) -> None:
    """Offer items as a transfer does, again and again, while everything goes wrong."""
    disk = Crashing()
    with Catalogue.open(None, folder) as catalogue:
        archive = Archive(folder / "archive", catalogue, "etna", disk=disk)
        acknowledged: dict[str, str] = {}
        offered: set[tuple[int, int]] = set()
        for number, copy, event in history:
            offered.add((number, copy))
            disk.at = event if event in STEPS else None
            digest = _offer(archive, number, copy)
            if digest is None:  # the process ended; another begins
                archive.close()
                disk.at = None
                archive = Archive(folder / "archive", catalogue, "etna", disk=disk)
            elif event == "kept":
                acknowledged[digest] = digest
            elif event == "lost on the disk":
                file = next(one for one in catalogue.find_files() if one.digest == digest)
                archive.path_of(file).unlink()
        disk.at = None
        for number, copy in sorted(offered):  # what was not acknowledged is offered again until it is
            assert _offer(archive, number, copy) == item(number, copy)[0].digest
        files = catalogue.find_files()
        digests = [file.digest for file in files]
        assert sorted(digests) == sorted(item(*one)[0].digest for one in offered)
        assert set(acknowledged) <= set(digests)
        report = verify_archive(archive, files)
        assert (report.good, report.files) == (True, len(offered))
        assert [fault for fault in report.faults if fault.path.endswith(".png")] == []
        archive.close()


def _offer(archive: Archive, number: int, copy: int) -> str | None:
    """Offer an item once; return the acknowledgement, None where the process ended."""
    one, main, sidecar = item(number, copy)
    try:
        known = archive.kept(one)
        if known is not None:
            return known
        parts = ItemParts(archive.staging / f"{number}-{copy}.main", archive.staging / f"{number}-{copy}.sidecar")
        parts.main.write_bytes(main)
        parts.sidecar.write_bytes(sidecar)
        return archive.accept(one, parts)
    except Crash:
        return None
