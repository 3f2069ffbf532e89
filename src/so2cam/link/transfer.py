"""Fetching files: resumed where they broke off, the newest first, and confirmed when they are safe.

What goes first: health records and other small news, then spectra and frames younger than ``fresh_s`` in the order they
were taken, then the backlog, the oldest first. A fetch from the backlog is left for something fresh, and gone on with
later. A part of a file is kept under the receiver's staging folder with its length as its only state, so that a program
that was killed goes on there. A file that is whole is compared with its SHA-256; then the receiver keeps it, and only
the digest that the receiver read back is told to the node.
"""

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.site_link import Transfer, within_hours
from so2cam.link.channel import Pauses
from so2cam.link.client import LinkClient
from so2cam.link.errors import LinkError, LinkRefusedError
from so2cam.link.limits import Bucket
from so2cam.link.messages import Refused
from so2cam.link.protocol import Confirm, Confirmation, Confirmed, Data, Items, ItemsResult, LinkItem, Read
from so2cam.link.receiving import ItemParts, Receiver

_PAGE: Final = 100
_PAGES: Final = 20
_FEW: Final = 10
_SET_ASIDE_S: Final = 300.0
_CHUNK_S: Final = 2.0
_SMALLEST: Final = 4096
_FORGET: Final = 1.05
_LONGEST_TRAVEL_S: Final = 3.0
_CONFIRM_AT_ONCE: Final = 50
_STALE_S: Final = 7 * 86_400.0
_RANKS: Final = {"frame": 2, "spectrum": 1}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """How the fetching goes. Counts are since the start of the program."""

    items: int = 0
    bytes: int = 0
    waiting: int | None = None
    waiting_bytes: int | None = None
    damaged: int = 0
    """Items whose SHA-256 was wrong when they had arrived; they are fetched again."""
    last_item: LinkItem | None = None
    last_contact: datetime | None = None
    error: str | None = None


class FileTransfer:
    """Fetches what a node keeps, for one receiver. ``run`` is for a thread of its own; or call ``step`` yourself."""

    def __init__(
        self,
        client: LinkClient,
        receiver: Receiver,
        settings: Transfer | None = None,
        *,
        on_item: Callable[[LinkItem], None] = lambda item: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare. ``on_item`` is called after an item was kept and confirmed or is about to be.

        ``now`` and ``clock`` [s] are other clocks, for tests in fast motion.
        """
        self._client = client
        self._receiver = receiver
        self._settings = settings or Transfer()
        self._on_item = on_item
        self._now = now
        self._clock = clock
        self._stop = threading.Event()
        rate = self._settings.bandwidth_bytes_s
        self._bucket = None if rate is None else Bucket(rate, rate, clock)
        self._rate: float | None = None
        self._travel_s = float("inf")
        """The least that an answer took lately: how long it is on its way, however short it is."""
        self._fresh: list[LinkItem] = []
        self._backlog: list[LinkItem] = []
        self._looked_s = float("-inf")
        self._unconfirmed: dict[int, str] = {}
        self._aside: dict[int, float] = {}
        self.status = TransferStatus()
        receiver.staging.mkdir(parents=True, exist_ok=True)
        self._remove_stale()

    def run(self, stop: threading.Event) -> None:
        """Fetch until ``stop`` is set; breaks and errors are waited out."""
        self._stop = stop
        pauses = Pauses(0.1, 10.0)
        while not stop.is_set():
            try:
                worked = self.step()
            except (So2camError, OSError) as error:
                text = " ".join(str(error).split())
                if pauses.first:
                    _LOG.warning("files cannot be fetched: %s", text)
                self._note(error=text)
                self._looked_s = float("-inf")
                stop.wait(pauses.next())
                continue
            if not pauses.first:
                _LOG.info("files are fetched again")
            pauses = Pauses(0.1, 10.0)
            if not worked:
                stop.wait(self._settings.poll_s)

    def step(self) -> bool:
        """Fetch one item, or a part of one from the backlog; return whether there was something to do.

        Raises So2camError or OSError; what was fetched so far is kept.
        """
        now = self._now()
        if not within_hours(self._settings.hours, now):
            return False
        self._look()
        item = self._choose(now)
        if item is None:
            self._flush()
            return False
        digest = self._receiver.kept(item)
        if digest is None:
            digest = self._fetch(item)
        else:
            self._remove(self._parts(item))
        if digest is not None:
            self._keep(item, digest)
        return True

    # --- choosing ------------------------------------------------------------------------------------------------

    def _look(self, *, again: bool = False) -> None:
        """Ask for what is new, at most once in ``poll_s``, and for the backlog when that known is done with."""
        now_s = self._clock()
        if now_s - self._looked_s >= self._settings.poll_s or again:
            self._flush()
            self._fresh = self._newest()
            self._fresh.sort(key=lambda item: (_RANKS.get(item.kind, 0), item.sequence))
            self._looked_s = now_s
        if not self._backlog:
            self._backlog = self._next_backlog()

    def _newest(self) -> list[LinkItem]:
        """Return what is fresh; asked for few by few, since on a slow link a long list is seconds of it."""
        fresh: list[LinkItem] = []
        after: int | None = None
        for _ in range(_PAGE // _FEW):
            found = self._items(Items(waiting=True, order="newest", after=after, limit=_FEW))
            edge = found.now - timedelta(seconds=self._settings.fresh_s)
            some = [item for item in found.items if item.stored >= edge]
            fresh += self._open(tuple(some))
            if len(some) < _FEW:
                break
            after = some[-1].sequence
        return fresh

    def _next_backlog(self) -> list[LinkItem]:
        after: int | None = None
        for _ in range(_PAGES):
            found = self._items(Items(waiting=True, order="oldest", after=after, limit=_PAGE)).items
            if (left := self._open(found)) or len(found) < _PAGE:
                return left
            after = found[-1].sequence
        return []

    def _items(self, say: Items) -> ItemsResult:
        found = self._client.ask(say)
        if not isinstance(found, ItemsResult):
            raise LinkRefusedError("the node does not tell what it keeps")
        self._note(waiting=found.waiting, waiting_bytes=found.waiting_bytes, last_contact=self._now(), error=None)
        return found

    def _open(self, items: tuple[LinkItem, ...]) -> list[LinkItem]:
        """Return the items that are still to be fetched now."""
        now_s = self._clock()
        self._aside = {number: until_s for number, until_s in self._aside.items() if until_s > now_s}
        return [one for one in items if one.sequence not in self._unconfirmed and one.sequence not in self._aside]

    def _choose(self, now: datetime) -> LinkItem | None:
        if self._fresh:
            return self._fresh[0]
        return self._backlog[0] if self._backlog and within_hours(self._settings.backlog_hours, now) else None

    def _drop(self, item: LinkItem) -> None:
        self._fresh = [one for one in self._fresh if one.sequence != item.sequence]
        self._backlog = [one for one in self._backlog if one.sequence != item.sequence]

    def _set_aside(self, item: LinkItem, why: str) -> None:
        _LOG.warning("%s of %s is left for later: %s", item.name, item.node, why)
        self._aside[item.sequence] = self._clock() + _SET_ASIDE_S
        self._drop(item)

    # --- fetching ------------------------------------------------------------------------------------------------

    def _fetch(self, item: LinkItem) -> str | None:
        """Fetch both files and have them kept; None where the item was left for another, set aside or gone."""
        parts = self._parts(item)
        fresh = any(one.sequence == item.sequence for one in self._fresh)
        for path, part, size in (
            (parts.sidecar, "sidecar", item.sidecar_size),
            (parts.main, "main", item.size),
        ):
            if not self._fetch_file(item, path, part, size, fresh=fresh):
                return None
        for path, sha256 in ((parts.sidecar, item.sidecar_sha256), (parts.main, item.sha256)):
            if _sha256_of(path) != sha256:
                self._remove(parts)
                self._note(damaged=self.status.damaged + 1)
                self._set_aside(item, "its SHA-256 is wrong; it is fetched anew")
                return None
        try:
            digest = self._receiver.accept(item, parts)
        except LinkError as error:  # this item cannot be kept; others can
            self._set_aside(item, error.message)
            return None
        self._remove(parts)
        if digest != item.digest:
            raise LinkError(
                "what was kept is not what was fetched", value=item.name, remedy="check the disk of this computer"
            )
        return digest

    def _fetch_file(self, item: LinkItem, path: Path, part: str, size: int, *, fresh: bool) -> bool:
        with path.open("ab") as stream:
            offset = stream.tell()
            if offset > size:
                stream.truncate(0)
                offset = 0
            while offset < size:
                say = Read.model_validate(
                    {"sequence": item.sequence, "part": part, "offset": offset, "length": self._length(size - offset)}
                )
                began_s = self._clock()
                spoken = self._client.call(say)
                result = spoken.answer.result
                if isinstance(result, Refused):
                    if spoken.answer.code == "unknown":
                        self._drop(item)  # deleted there since
                    else:
                        self._set_aside(item, result.text)
                    return False
                data = spoken.payload or b""
                if not isinstance(result, Data) or result.total != size or not data or result.offset != offset:
                    self._set_aside(item, "it is not there as it was told")
                    return False
                stream.write(data)
                stream.flush()
                offset += len(data)
                self._pace(len(data), self._clock() - began_s)
                if self._stop.is_set():
                    return False
                if not fresh and offset < size and self._clock() - self._looked_s >= self._settings.poll_s:
                    self._look()
                    if self._fresh:
                        return False
        return True

    def _length(self, left: int) -> int:
        """Return how much to ask for: what passes in about two seconds, or while a question and its answer travel."""
        most = self._settings.chunk_bytes
        for rate, seconds in (
            (self._rate, max(_CHUNK_S, self._travel_s)),
            (self._settings.bandwidth_bytes_s, _CHUNK_S),
        ):
            if rate is not None:
                most = min(most, max(_SMALLEST, int(rate * seconds)))
        return min(left, most)

    def _pace(self, size: int, took_s: float) -> None:
        self._travel_s = min(took_s, self._travel_s * _FORGET, _LONGEST_TRAVEL_S)
        if size >= _SMALLEST:
            rate = size / max(took_s - 0.9 * self._travel_s, 1e-3)
            self._rate = rate if self._rate is None else 0.5 * (rate + self._rate)
        self._note(bytes=self.status.bytes + size)
        if self._bucket is not None and (pause_s := self._bucket.spend(size)) > 0:
            self._stop.wait(pause_s)

    # --- keeping -------------------------------------------------------------------------------------------------

    def _keep(self, item: LinkItem, digest: str) -> None:
        self._unconfirmed[item.sequence] = digest
        self._drop(item)
        self._note(items=self.status.items + 1, last_item=item)
        self._on_item(item)
        if len(self._unconfirmed) >= _CONFIRM_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        """Tell the node what is safe here."""
        while self._unconfirmed:
            some = list(self._unconfirmed.items())[:_CONFIRM_AT_ONCE]
            say = Confirm(confirmations=tuple(Confirmation(sequence=one, digest=digest) for one, digest in some))
            found = self._client.ask(say)
            if not isinstance(found, Confirmed):
                raise LinkRefusedError("the node does not take confirmations")
            for number in found.unknown:
                _LOG.warning("the node does not keep item %d any more", number)
            for number, _ in some:
                self._unconfirmed.pop(number, None)

    def _parts(self, item: LinkItem) -> ItemParts:
        stem = f"{item.node}-{item.sequence}-{item.digest[:16]}"
        return ItemParts(self._receiver.staging / f"{stem}.main", self._receiver.staging / f"{stem}.sidecar")

    @staticmethod
    def _remove(parts: ItemParts) -> None:
        for path in (parts.main, parts.sidecar):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _remove_stale(self) -> None:
        """Remove parts of items that nobody has gone on with for days."""
        for path in self._receiver.staging.iterdir():
            if path.suffix in (".main", ".sidecar"):
                with contextlib.suppress(OSError):
                    if time.time() - os.stat(path).st_mtime > _STALE_S:  # noqa: PTH116
                        path.unlink()

    def _note(self, **changes: object) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
