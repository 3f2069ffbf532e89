"""A day without the station, in fast motion: when it is back, the newest comes at once, and everything comes once.

Files are a hundredth of their true size, and take a hundred times as long: the times are those of a true link.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.site_link import Transfer
from so2cam.link.database import Database
from so2cam.link.errors import LinkLostError
from so2cam.link.eventlog import EventLog
from so2cam.link.ledger import Ledger
from so2cam.link.protocol import Call, LinkItem, Role, Spoken, encode_answer
from so2cam.link.receiving import SpoolReceiver
from so2cam.link.service import LinkService, NodeFace
from so2cam.link.tokens import Principal
from so2cam.link.transfer import FileTransfer
from so2cam.store.disk import Disk
from so2cam.store.items import StoreItem
from so2cam.store.spool import Spool

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAME_BYTES = 6_000
SCALE = 100.0
RATE = 1e6
"""Of the link [bytes/s]: four times what two cameras make"""
TRAVEL_S = 0.03
STATION = Principal("station", "station", Role.OPERATOR, "station")


class QuickDisk(Disk):
    """A disk that forces nothing out: no power is cut here."""

    def sync(self, descriptor: int) -> None:
        """Do nothing."""

    def sync_folder(self, folder: Path) -> None:
        """Do nothing."""


class Instrument:
    """Two cameras that take a frame every ``period_s``, and records of health, as time passes."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.passed_s = 0.0
        self.period_s = 5.0
        self._frame_s = 0.0
        self._health_s = 0.0
        self.newest = BEGIN
        self.frames = 0
        self.capturing = True

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.passed_s)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; what is due meanwhile is captured."""
        until_s = self.passed_s + seconds
        while self.capturing and min(self._frame_s, self._health_s) <= until_s:
            if self._health_s <= self._frame_s:
                self.passed_s = self._health_s
                self._health_s += 300.0
                self._put("health", "lead", 500)
            else:
                self.passed_s = self._frame_s
                self._frame_s += self.period_s
                for camera in ("camera-on", "camera-off"):
                    self._put("frame", camera, FRAME_BYTES)
                    self.frames += 1
                self.newest = self.now()
        self.passed_s = until_s

    def _put(self, kind: str, device: str, size: int) -> None:
        stem = f"{device}_{kind}_{round(self.passed_s * 1000):010d}"
        data = f"{stem} ".encode() * (size // (len(stem) + 1))
        self.spool.put(StoreItem(kind, "plume", device, self.now(), stem, ".png", data))


class FastLink:
    """Asks a service as a LinkClient does; what is said takes the time of a slow link, which may be ``broken``."""

    def __init__(self, service: LinkService, instrument: Instrument) -> None:
        self._service = service
        self._instrument = instrument
        self.broken = False

    def call(self, say: Any) -> Spoken:
        if self.broken:
            raise LinkLostError("the station is away")
        spoken = self._service.answer(STATION, "fast", Call.model_construct(id=1, key=None, say=say))
        size = len(encode_answer(spoken)) + (SCALE - 1) * len(spoken.payload or b"")
        self._instrument.pass_time(2 * TRAVEL_S + size / RATE)
        return spoken

    def ask(self, say: Any) -> Any:
        return self.call(say).answer.result


@pytest.mark.timeout(3600 if os.environ.get("SO2CAM_FAULT") == "full" else 300)
def test_a_day_without_the_station(tmp_path: Path, linked: Any, rounds: Callable[[int, int], int]) -> None:
    with (
        Spool(tmp_path / "spool", node="lead", now=lambda: instrument.now(), disk=QuickDisk()) as spool,
        Spool(tmp_path / "kept", node="main", disk=QuickDisk()) as kept,
    ):
        instrument = Instrument(spool)
        databases = [Database(tmp_path / name, durable=False) for name in ("link.sqlite", "events.sqlite")]
        face = NodeFace("etna", "lead", "0", lambda command, errand: linked.Done(text="no"), dict, instrument.now)
        service = LinkService(
            face, spool, Ledger(databases[0]), EventLog(databases[1], now=instrument.now), None, linked.LIMITS
        )
        link = FastLink(service, instrument)
        newest: list[datetime] = [BEGIN]

        def on_item(item: LinkItem) -> None:
            if item.kind == "frame":
                newest[0] = max(newest[0], item.time)

        transfer = FileTransfer(
            link,  # type: ignore[arg-type]
            SpoolReceiver(kept),
            Transfer(chunk_bytes=4096),
            on_item=on_item,
            now=instrument.now,
            clock=lambda: instrument.passed_s,
        )
        for _ in range(20):
            transfer.step()
        link.broken = True
        instrument.pass_time(5.0)
        with pytest.raises(LinkLostError):
            transfer.step()
        instrument.period_s = rounds(160, 10)
        instrument.pass_time(86_400.0)
        instrument.period_s = 5.0
        instrument._frame_s = instrument.passed_s
        link.broken = False
        back_s, backlog = instrument.passed_s, spool.backlog()[0].items
        ages: list[float] = []
        drained_s = None
        while instrument.capturing or spool.backlog()[0].items:
            worked = transfer.step()
            if not worked:
                instrument.pass_time(1.0)
            if instrument.passed_s - back_s > 30.0:
                ages.append((instrument.now() - newest[0]).total_seconds())
            if drained_s is None and spool.backlog()[0].items < 20:
                drained_s, instrument.capturing = instrument.passed_s - back_s, False
        sources = [item.origin.sequence for item in kept.find() if item.origin is not None]
        assert sorted(sources) == [item.sequence for item in spool.find()]
        assert backlog > rounds(1_300, 17_000)
        assert max(ages) <= 30.0
        assert drained_s is not None
        print(
            f"{backlog} items waited; the newest frame was at most {max(ages):.0f} s old, {drained_s / 3600:.1f} h long"
        )
        for database in databases:
            database.close()
