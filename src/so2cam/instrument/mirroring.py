"""The thread that copies everything to an external disk, where the site file names one. Nothing ever waits for it.

The disk can be released, so that somebody may pull it out: the copy under way is finished, nothing is written any more,
all is forced to the disk, and it is unmounted. It is taken back when somebody says so, or when it, or another one, is
plugged in again.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from so2cam.core.health import DiskHealth
from so2cam.core.site_instrument import Mirror as MirrorSettings
from so2cam.core.site_instrument import Storage
from so2cam.instrument.disks import DiskMounts, SystemMounts
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.places import Places
from so2cam.instrument.threads import VitalThread
from so2cam.store.errors import SpoolError
from so2cam.store.mirror import Mirror, MirrorPlace, MirrorState, MirrorStatus
from so2cam.store.mounts import FoundDisk, check_folder, find_by_label
from so2cam.store.spool import Spool

RETRY_S: Final = 5.0
RELEASE_S: Final = 60.0
"""The copies under way may take so long [s]"""
MOUNT_S: Final = 10.0
"""A disk may take so long to be mounted [s]"""
_NOT_IN_USE: Final = (MirrorState.ABSENT, MirrorState.RELEASED)
_POLL_S: Final = 0.1
_LOG = logging.getLogger(__name__)


class MirrorThread:
    """Mirrors the spool of a node from ``start`` to ``stop``."""

    def __init__(
        self,
        places: Places,
        node: str,
        storage: Storage,
        settings: MirrorSettings,
        on_change: Callable[[str, str], None],
        *,
        mounts: DiskMounts | None = None,
        find: Callable[[str], FoundDisk] = find_by_label,
    ) -> None:
        self._places = places
        self._node = node
        self._storage = storage
        self._settings = settings
        self._on_change = on_change
        self._mounts = mounts or SystemMounts()
        self._find = find
        self._status = MirrorStatus(MirrorState.ABSENT, "not looked for yet")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._held = False
        self._gone = False
        """since it was released, the disk was seen not to be there"""
        self._halt = threading.Event()
        """set: nothing is to be written"""
        self._idle = threading.Event()
        self._idle.set()
        self.thread = VitalThread("mirror", self._run)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End; a copy in progress is taken up at the next start."""
        self._stopping.set()
        self._halt.set()
        self.thread.join(timeout_s)

    @property
    def status(self) -> MirrorStatus:
        """How the mirror stands."""
        return self._status

    def folders(self) -> tuple[Path, ...]:
        """Return where copies are now, laid out as in the spool; none while no disk is there, or it is released."""
        path = self._status.path
        if path is None or self._held or self._status.state in (*_NOT_IN_USE, MirrorState.ERROR):
            return ()
        return (path,)

    def disk(self) -> DiskHealth:
        """Return the disk as a part of the health record."""
        status = self._status
        return DiskHealth(
            name="mirror",
            path=str(status.path or self._settings.label or self._settings.path or ""),
            present=status.state not in _NOT_IN_USE,
            free_bytes=status.free_bytes,
            total_bytes=status.total_bytes,
            note=status.detail or None,
        )

    # --- pulling it out ------------------------------------------------------------------------------------------

    def release(self) -> str:
        """Take the disk out of use, so that it may be pulled; return in words what may be done now.

        Raises InstrumentError where it cannot be; then it is in use as before.
        """
        with self._one_at_a_time:
            if self._held:
                return self._status.detail
            with self._lock:
                self._held, self._gone = True, False
                self._halt.set()
            words = ""
            try:
                if not self._idle.wait(RELEASE_S):
                    raise InstrumentError("the disk is still being written to", remedy="try again in a minute")
                words = self._let_go()
            finally:
                if not words:
                    self._go_on()
            released = replace(self._status, state=MirrorState.RELEASED, detail=words, path=None, items=0, bytes=0)
            self._hear(replace(released, free_bytes=None, total_bytes=None))
            return words

    def take_back(self) -> str:
        """Use the disk again, mounted where it is not; return in words what came of it."""
        with self._one_at_a_time:
            if not self._held:
                return f"the disk was not released: {self._status.detail}"
            trouble = ""
            if self._settings.label is not None and self._locate().path is None:
                try:
                    self._mounts.mount()
                except InstrumentError as error:
                    trouble = f" ({error.message})"
            until = time.monotonic() + MOUNT_S
            while (found := self._locate()).path is None and not trouble and time.monotonic() < until:
                if self._stopping.wait(_POLL_S):
                    break
            self._go_on()
            if found.path is None:
                return f"it is used as soon as it is plugged in; now {found.problem}{trouble}"
            return f"{found.path} is used again"

    def _let_go(self) -> str:
        """Force all to the disk and unmount it; return what may be done. Raises InstrumentError."""
        found, label = self._locate(), self._settings.label
        if found.path is None:
            return f"no disk is in use ({found.problem}): what is plugged in may be pulled"
        behind = self._status.backlog
        left = f"; {behind} items are not on it yet" if behind else "; everything is on it"
        self._mounts.flush(found.path)
        if label is None:
            return f"nothing is written to {found.path} any more{left}. Unmount it by hand, then you may pull it"
        self._mounts.unmount(found.path)
        if self._locate().path is not None:
            raise InstrumentError(f"the disk {label!r} is mounted still", remedy="close what uses it, and try again")
        return f"you may pull the disk {label!r}{left}"

    def _go_on(self) -> None:
        with self._lock:
            self._held = False
            if not self._stopping.is_set():
                self._halt.clear()

    def _locate(self) -> FoundDisk:
        if self._settings.label is not None:
            return self._find(self._settings.label)
        return check_folder(Path(self._settings.path or "").expanduser(), other_than=self._places.root)

    def _look_for_disk(self) -> None:
        """While it is released: a disk that was away and is there again was plugged in to be used."""
        if self._locate().path is None:
            self._gone = True
        elif self._gone and self._one_at_a_time.acquire(blocking=False):
            try:
                if self._held:
                    self._go_on()
                    self._on_change("mirror", "a disk was plugged in: it is used")
            finally:
                self._one_at_a_time.release()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        path = None if self._settings.path is None else Path(self._settings.path).expanduser()
        place = MirrorPlace(
            label=self._settings.label,
            path=path,
            folder=self._settings.folder,
            make_room=self._settings.when_full == "drop-delivered",
        )
        while not self._stopping.is_set():
            with self._lock:
                held = self._held
                if not held:
                    self._idle.clear()
            if held:
                self._look_for_disk()
                self._stopping.wait(RETRY_S / 5)
                continue
            try:
                with Spool(self._places.root, node=self._node, layout=self._storage.layout) as spool:
                    Mirror(spool, place, find=self._find).run(self._halt, on_status=self._hear)
            except SpoolError as error:
                _LOG.warning("the mirror waits: %s", " ".join(str(error).split()))
            finally:
                self._idle.set()
            self._halt.wait(RETRY_S)

    def _hear(self, status: MirrorStatus) -> None:
        before, self._status = self._status, status
        if status.state is not before.state and {status.state, before.state} != {
            MirrorState.BEHIND,
            MirrorState.CURRENT,
        }:
            self._on_change("mirror", f"{before.state.value} -> {status.state.value}: {status.detail}")
