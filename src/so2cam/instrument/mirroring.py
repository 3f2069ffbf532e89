"""The thread that copies everything to an external disk, where the site file names one. Nothing ever waits for it."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from so2cam.core.health import DiskHealth
from so2cam.core.site_instrument import Mirror as MirrorSettings
from so2cam.core.site_instrument import Storage
from so2cam.instrument.places import Places
from so2cam.instrument.threads import VitalThread
from so2cam.store.errors import SpoolError
from so2cam.store.mirror import Mirror, MirrorPlace, MirrorState, MirrorStatus
from so2cam.store.spool import Spool

_RETRY_S = 5.0
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
    ) -> None:
        self._places = places
        self._node = node
        self._storage = storage
        self._settings = settings
        self._on_change = on_change
        self._status = MirrorStatus(MirrorState.ABSENT, "not looked for yet")
        self._stopping = threading.Event()
        self.thread = VitalThread("mirror", self._run)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End; a copy in progress is taken up at the next start."""
        self._stopping.set()
        self.thread.join(timeout_s)

    @property
    def status(self) -> MirrorStatus:
        """How the mirror stands."""
        return self._status

    def folders(self) -> tuple[Path, ...]:
        """Return where copies are now, laid out as in the spool; none while no disk is there."""
        path = self._status.path
        return () if path is None or self._status.state in (MirrorState.ABSENT, MirrorState.ERROR) else (path,)

    def disk(self) -> DiskHealth:
        """Return the disk as a part of the health record."""
        status = self._status
        return DiskHealth(
            name="mirror",
            path=str(status.path or self._settings.label or self._settings.path or ""),
            present=status.state is not MirrorState.ABSENT,
            free_bytes=status.free_bytes,
            total_bytes=status.total_bytes,
            note=status.detail or None,
        )

    def _run(self) -> None:
        path = None if self._settings.path is None else Path(self._settings.path).expanduser()
        place = MirrorPlace(
            label=self._settings.label,
            path=path,
            folder=self._settings.folder,
            make_room=self._settings.when_full == "drop-delivered",
        )
        while not self._stopping.is_set():
            try:
                with Spool(self._places.root, node=self._node, layout=self._storage.layout) as spool:
                    Mirror(spool, place).run(self._stopping, on_status=self._hear)
            except SpoolError as error:
                _LOG.warning("the mirror waits: %s", " ".join(str(error).split()))
            self._stopping.wait(_RETRY_S)

    def _hear(self, status: MirrorStatus) -> None:
        before, self._status = self._status, status
        if status.state is not before.state and {status.state, before.state} != {
            MirrorState.BEHIND,
            MirrorState.CURRENT,
        }:
            self._on_change("mirror", f"{before.state.value} -> {status.state.value}: {status.detail}")
