"""The spool against a model in memory: whatever is done in whatever order, both say the same."""

import errno
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from so2cam.core.records import Band, FrameKind
from so2cam.core.site_camera import Files
from so2cam.formats.names import parse_image_name
from so2cam.formats.native import FrameRecord, encode_frame, json_safe
from so2cam.formats.png import read_counts
from so2cam.store.disk import STEPS, Disk
from so2cam.store.errors import SpoolError, SpoolWriteError
from so2cam.store.items import StoredItem, StoreItem, numbered_stem
from so2cam.store.recovery import recover_spool
from so2cam.store.retention import make_room
from so2cam.store.spool import Spool
from so2cam.store.verify import verify_spool

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class ModelDisk(Disk):
    """Fails at the next call of ``name``, ends the process at ``step``, and takes nothing back once it has ended."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.cut: str | None = None
        self.ended = False
        self.free = 10**9

    def _call(self, name: str) -> None:
        if self.ended:
            raise OSError(errno.EIO, "the process has ended")
        if name == self.name:
            self.name = None
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def step(self, name: str) -> None:
        if name == self.cut:
            self.cut, self.ended = None, True
            raise EndError

    def sync(self, descriptor: int) -> None:
        self._call("sync")  # forcing things out costs time and shows nothing here

    def write(self, descriptor: int, data: memoryview) -> int:
        self._call("write")
        return super().write(descriptor, data)

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename")
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._call("remove")
        super().remove(path)

    def free_bytes(self, path: Path) -> int:
        return self.free


class EndError(Exception):
    """Stands for the end of the process."""


class SpoolMachine(RuleBasedStateMachine):
    """Puts, confirms, deletes, damages, fails, ends and recovers, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.disk = ModelDisk()
        self.kept: dict[int, tuple[StoredItem, bytes]] = {}
        self.delivered: set[int] = set()
        self.made = 0
        self.highest = 0

    @initialize()
    def open(self) -> None:
        self.spool = Spool(self.root, disk=self.disk, node="n")

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.root)

    def item(self, second: int) -> StoreItem:
        self.made += 1
        return StoreItem(
            "frame",
            "plume",
            "camera-on",
            BEGIN + timedelta(minutes=17 * second),
            f"frame{second}",
            ".png",
            self.made.to_bytes(4, "big") * 5,
        )

    @rule(second=st.integers(0, 8))
    def put(self, second: int) -> None:
        item = self.item(second)
        stored = self.spool.put(item).item
        assert stored.sequence > self.highest
        self.highest = stored.sequence
        self.kept[stored.sequence] = (stored, item.data)

    @rule(second=st.integers(0, 8), call=st.sampled_from(["sync", "write", "rename"]))
    def put_while_the_disk_refuses(self, second: int, call: str) -> None:
        self.disk.name = call
        with pytest.raises(SpoolWriteError):
            self.spool.put(self.item(second))
        assert self.disk.name is None

    @rule(second=st.integers(0, 8), step=st.sampled_from(STEPS))
    def put_while_the_process_ends(self, second: int, step: str) -> None:
        item = self.item(second)
        self.disk.cut = step
        with pytest.raises(EndError):
            self.spool.put(item)
        self.spool.close()
        self.disk = ModelDisk()
        recover_spool(self.root, node="n", disk=self.disk)
        self.spool = Spool(self.root, disk=self.disk, node="n")
        for stored in self.spool.find():
            if stored.sequence not in self.kept:
                assert self.spool.read(stored) == item.data
                assert STEPS.index(step) >= STEPS.index("main-renamed")
                self.kept[stored.sequence] = (stored, item.data)
                self.highest = max(self.highest, stored.sequence)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.kept)))
        new = self.spool.mark_delivered(sequence, self.kept[sequence][0].digest)
        assert new == (sequence not in self.delivered)
        self.delivered.add(sequence)

    @rule(count=st.integers(1, 3), undelivered=st.booleans())
    def make_room(self, count: int, undelivered: bool) -> None:
        self.disk.free = 0
        try:
            report = make_room(self.spool, wanted_free=10**9, delete_undelivered=undelivered, maximum_items=count)
        finally:
            self.disk.free = 10**9
        gone = sorted(self.kept.keys() & self.delivered)[:count]
        assert report.delivered_items == len(gone)
        for sequence in gone:
            del self.kept[sequence]
        rest = sorted(self.kept)[: count - len(gone)] if undelivered else []
        assert report.undelivered_items == len(rest)
        for sequence in rest:
            del self.kept[sequence]

    @rule()
    def recover(self) -> None:
        report = recover_spool(self.root, node="n", disk=self.disk, full=True)
        assert report.clean, report.details

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def damage_and_put_back(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.kept)))
        stored, content = self.kept[sequence]
        path = self.spool.path_of(stored)
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        assert [fault.sequence for fault in verify_spool(self.spool).faults] == [sequence]
        assert sequence not in {item.sequence for item in self.spool.undelivered(limit=1000)}
        with pytest.raises(SpoolError):
            self.spool.read(stored)
        path.write_bytes(content)
        assert verify_spool(self.spool).good
        self.delivered.discard(sequence)  # for the receivers it is new again

    @invariant()
    def says_what_the_model_says(self) -> None:
        if not hasattr(self, "spool"):
            return
        found = self.spool.find()
        assert found == [self.kept[sequence][0] for sequence in sorted(self.kept)]
        assert [self.spool.read(item) for item in found] == [self.kept[item.sequence][1] for item in found]
        waiting = [item.sequence for item in self.spool.undelivered(limit=10_000)]
        assert waiting == sorted(self.kept.keys() - self.delivered)
        counts = self.spool.counts()
        assert (counts.items, counts.bytes) == (len(found), sum(item.total_bytes for item in found))
        assert counts.backlog[0].items == len(waiting)
        assert counts.backlog[0].bytes == sum(self.kept[sequence][0].total_bytes for sequence in waiting)
        files = {path.relative_to(self.root).as_posix() for path in (self.root / "data").rglob("*") if path.is_file()}
        assert files == {path for item in found for path in (item.path, item.sidecar_path)}
        assert not any((self.root / ".incoming").iterdir())


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_anything_becomes_something_that_json_holds(value: Any) -> None:
    text = json.dumps(json_safe(value), allow_nan=False)
    assert json.dumps(json_safe(json.loads(text)), allow_nan=False) == text


@given(
    time=st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)),  # noqa: DTZ001 - hypothesis wants them naive
    exposure_us=st.integers(1, 10_000_000),
    gain=st.sampled_from([1.0, 2.0, 1.5, 7.937]),
    kind=st.sampled_from(FrameKind),
    whole=st.booleans(),
    number=st.none() | st.integers(0, 10**12),
    scale=st.sampled_from([1, 16, 256]),
)
def test_every_name_that_is_written_is_read(
    time: datetime, exposure_us: int, gain: float, kind: FrameKind, whole: bool, number: int | None, scale: int
) -> None:
    counts = np.array([[0, 1, 65535], [7, 8, 9]], np.uint16)
    record = FrameRecord(
        band=Band.OFF,
        kind=kind,
        time=time.replace(tzinfo=UTC),
        exposure_s=exposure_us / 1e6,
        gain=gain,
        scale=scale,
        cell_ppm_m=304.0 if kind is FrameKind.CELL else None,
    )
    encoded = encode_frame(counts, record, tag="fltrB", generation=1, whole_seconds=whole)
    stem = encoded.stem if number is None else numbered_stem(encoded.stem, number)
    info = parse_image_name(Path(f"{stem}.png"), Files())
    assert (info.band, info.kind, info.gain, info.cell_ppm_m) == (Band.OFF, kind, gain, record.cell_ppm_m)
    assert round(info.exposure_s * 1e6) == exposure_us
    assert timedelta(0) <= record.start - info.start_time < timedelta(seconds=1 if whole else 0.001001)
    np.testing.assert_array_equal(read_counts(encoded.data, "x"), counts / np.float32(scale))
