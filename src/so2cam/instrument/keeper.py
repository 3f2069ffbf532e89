"""Looks after the spool, beside everything else: recovery at the start, room on the disk, a little checking at a time.

It has a thread of its own, because a disk may take its time or refuse for minutes: capture, commands and the watchdog
wait for nothing here.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.health import DiskHealth, SpoolHealth
from so2cam.core.site_instrument import Storage
from so2cam.instrument.places import Places
from so2cam.instrument.system import read_disk
from so2cam.instrument.threads import VitalThread
from so2cam.store.errors import SpoolDamagedError, SpoolError
from so2cam.store.recovery import recover_spool
from so2cam.store.retention import make_room, wanted_free_bytes
from so2cam.store.spool import Spool, SpoolCounts
from so2cam.store.verify import verify_next

ROUND_S: Final = 10.0
TROUBLE_ROUND_S: Final = 2.0
_YOUNG_S: Final = 20.0
"""Somebody who has just started an agent looks at what it keeps [s]"""
_VERIFY_EVERY_S: Final = 600.0
_VERIFY_ITEMS: Final = 50
_FREE_ITEMS: Final = 1000
_FREE_AFTER: Final = timedelta(hours=1)
"""What is younger stays for the pages, which show pictures of it"""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Freed:
    """What was deleted because somebody asked for room. ``over``: nothing more may go; ``error``: why it ended."""

    items: int = 0
    bytes: int = 0
    over: bool = False
    error: str | None = None


@dataclass(slots=True)
class _State:
    spool: SpoolHealth = field(default_factory=SpoolHealth)
    disks: tuple[DiskHealth, ...] = ()
    recovered: bool = False
    deleted_undelivered: int = 0
    quarantined: int = 0


class Keeper:
    """Keeps the spool of a node from ``start`` to ``stop``.

    ``checking`` says whether checks are welcome now; ``mirrors`` names the folders of copies from which damaged files
    are put back.
    """

    def __init__(
        self,
        places: Places,
        node: str,
        storage: Storage,
        *,
        checking: Callable[[], bool],
        mirrors: Callable[[], Sequence[Path]] = tuple,
        on_change: Callable[[str, str], None],
    ) -> None:
        self._places = places
        self._node = node
        self._storage = storage
        self._checking = checking
        self._mirrors = mirrors
        self._on_change = on_change
        self._state = _State()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._recovered = threading.Event()
        self._verified_s = time.monotonic()
        self._spool: Spool | None = None
        self._trouble: str | None = None
        self._freeing = threading.Lock()
        self._freed: Freed | None = None
        """what came of the wish for room until now; None: there was none"""
        self._over = threading.Event()
        self.thread = VitalThread("keeper", self._run)

    def start(self) -> None:
        """Begin: recovery first."""
        self.thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End; a deletion in progress is finished, or taken up at the next start."""
        self._stopping.set()
        self._wake.set()
        self.thread.join(timeout_s)

    def hurry(self) -> None:
        """Look now: somebody found the disk full."""
        self._wake.set()

    def free_space(self, timeout_s: float) -> Freed:
        """Delete what every receiver has, but for that of the last hour; return what came of it within ``timeout_s``.

        It goes on afterwards where it is not over. Asked again meanwhile, it tells how far it has come.
        """
        with self._freeing:
            if self._freed is None or self._freed.over:
                self._over.clear()
                self._freed = Freed()
        self._wake.set()
        self._over.wait(timeout_s)
        return self._freed or Freed()

    def wait_recovered(self, timeout_s: float) -> bool:
        """Wait until the recovery at the start is done; return whether it is."""
        return self._recovered.wait(timeout_s)

    def spool_health(self) -> SpoolHealth:
        """Return what is kept, as of the last round."""
        return self._state.spool

    def disks(self) -> tuple[DiskHealth, ...]:
        """Return how full the disks are, as of the last round."""
        return self._state.disks

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stopping.is_set():
            trouble: str | None = None
            try:
                if not self._state.recovered:
                    self._recover()
                self._round()
            except SpoolDamagedError as error:
                trouble = error.message
                self._state.recovered = False
                self._close()
            except SpoolError as error:
                trouble = error.message
                self._close()
            self._publish(trouble)
            settled = trouble is None and self._state.recovered and time.monotonic() - began_s > _YOUNG_S
            self._wake.wait(ROUND_S if settled else TROUBLE_ROUND_S)
            self._wake.clear()
        if self._spool is not None:
            with contextlib.suppress(SpoolError):  # the last word of a run; what is wrong was said before
                self._count(self._spool)
        self._close()

    def _recover(self) -> None:
        report = recover_spool(self._places.root, node=self._node)
        self._state.recovered = True
        self._state.quarantined += report.quarantined
        self._recovered.set()
        if report.clean:
            _LOG.info("the spool is in order (%.1f s)", report.duration_s)
            return
        text = (
            f"the spool was brought in order: {report.adopted} items adopted, {report.quarantined} files "
            f"in quarantine, {report.missing} missing, {report.damaged} damaged"
            + (", the journal was built anew" if report.journal_rebuilt else "")
        )
        _LOG.warning("%s", text)
        self._on_change("spool", text)

    def _round(self) -> None:
        spool = self._require_spool()
        storage = self._storage
        self._free(spool)
        wanted = wanted_free_bytes(
            spool,
            minimum_free_fraction=storage.minimum_free_fraction,
            minimum_free_bytes=storage.minimum_free_bytes,
        )
        counts = spool.counts()
        if counts.free_bytes < wanted:
            report = make_room(spool, wanted_free=wanted, delete_undelivered=storage.delete_undelivered)
            if report.undelivered_items:
                self._state.deleted_undelivered += report.undelivered_items
                text = (
                    f"{report.undelivered_items} items that nobody has were deleted to make room, as the site file says"
                )
                _LOG.error("%s", text)
                self._on_change("spool", text)
            if report.delivered_items:
                _LOG.info("%d delivered items were deleted to make room", report.delivered_items)
            counts = spool.counts()
        elif self._checking() and time.monotonic() - self._verified_s > _VERIFY_EVERY_S:
            self._verified_s = time.monotonic()
            checked = verify_next(spool, maximum_items=_VERIFY_ITEMS, mirrors=self._mirrors())
            for fault in checked.faults:
                text = f"{fault.path} {fault.reason}" + (": put back from the mirror" if fault.repaired else "")
                _LOG.log(logging.WARNING if fault.repaired else logging.ERROR, "%s", text)
                self._on_change("spool", text)
            counts = spool.counts()
        self._count(spool, counts)

    def _free(self, spool: Spool) -> None:
        """Delete what every receiver has, where that was asked for. Raises SpoolError."""
        while (freed := self._freed) is not None and not freed.over and not self._stopping.is_set():
            try:
                report = make_room(
                    spool,
                    wanted_free=spool.counts().total_bytes,
                    maximum_items=_FREE_ITEMS,
                    stored_before=datetime.now(UTC) - _FREE_AFTER,
                )
            except SpoolError as error:
                self._freed = replace(freed, over=True, error=error.message)
                self._over.set()
                raise
            over = report.delivered_items < _FREE_ITEMS
            freed = Freed(freed.items + report.delivered_items, freed.bytes + report.delivered_bytes, over)
            self._freed = freed
            if over:
                self._over.set()
                if freed.items:
                    text = f"{freed.items} items ({freed.bytes / 1e6:.0f} MB) that every receiver has were deleted"
                    self._on_change("spool", f"{text}, as somebody asked")

    def _count(self, spool: Spool, counts: SpoolCounts | None = None) -> None:
        last = spool.find(limit=1, order="newest")
        self._state.spool = self._health(counts or spool.counts(), last[0].sequence if last else None)

    def _health(self, counts: SpoolCounts, last: int | None) -> SpoolHealth:
        required = [one for one in counts.backlog if one.required]
        return SpoolHealth(
            items=counts.items,
            undelivered=max((one.items for one in required), default=None),
            undelivered_bytes=max((one.bytes for one in required), default=None),
            last_sequence=last,
            deleted_undelivered=self._state.deleted_undelivered,
            missing=counts.missing + counts.damaged,
            quarantined=self._state.quarantined,
            error=self._trouble,
        )

    def _publish(self, trouble: str | None) -> None:
        before, self._trouble = self._trouble, trouble
        self._state.spool = self._state.spool.model_copy(update={"error": trouble})
        self._state.disks = (read_disk("spool", self._places.root),)
        if trouble != before:
            if trouble is not None:
                _LOG.error("the spool: %s", trouble)
            self._on_change("spool", trouble or "the spool works again")

    def _require_spool(self) -> Spool:
        if self._spool is None:
            self._spool = Spool(self._places.root, node=self._node, layout=self._storage.layout)
        return self._spool

    def _close(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()
