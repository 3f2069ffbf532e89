"""Where fetched items go: the protocol of a receiver, and the spool of another node as one.

The transfer fetches both files of an item into the receiver's staging folder, checks their SHA-256, and gives them to
``accept``. Only the digest that ``accept`` returns is told to the source, which may then delete its own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from so2cam.link.errors import LinkError
from so2cam.link.protocol import LinkItem
from so2cam.store.items import Origin, StoreItem
from so2cam.store.spool import Spool


@dataclass(frozen=True, slots=True)
class ItemParts:
    """The two files of an item, whole and with the right SHA-256; in the receiver's staging folder."""

    main: Path
    sidecar: Path


class Receiver(Protocol):
    """Keeps items of other nodes."""

    @property
    def staging(self) -> Path:
        """A folder for files that are being fetched, on the file system where they will be kept."""
        ...

    def kept(self, item: LinkItem) -> str | None:
        """Return the digest of an item that was accepted before (same ``item.source``), None where it was not.

        Asked before an item is fetched, so that one whose confirmation was lost is confirmed without fetching it again.
        """
        ...

    def accept(self, item: LinkItem, parts: ItemParts) -> str:
        """Keep the item durably, and return its digest (``store.items.item_digest``) of what is on the disk.

        When it returns, both files are forced to the disk. It may move the files away or leave them (then the caller
        removes them). An item that was accepted before (same ``item.source``) gives its digest again and is kept once.
        Raises So2camError where it cannot be kept; then it is offered again later.
        """
        ...


class SpoolReceiver:
    """The spool of the lead, which gathers what its followers keep."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    @property
    def staging(self) -> Path:
        """A folder beside the spool's own temporary files."""
        return self._spool.root / "state" / "fetched"

    def kept(self, item: LinkItem) -> str | None:
        """Return the digest of an item that the spool has."""
        with self._spool.journal() as journal:
            known = journal.by_origin(Origin(*item.source))
        return None if known is None else known.digest

    def accept(self, item: LinkItem, parts: ItemParts) -> str:
        """Put the item into the spool, to the byte as it was. Raises So2camError where it cannot be kept."""
        node, sequence = item.source
        stem, dot, suffix = item.name.rpartition(".")
        try:
            kept = self._spool.put(
                StoreItem(
                    kind=item.kind,
                    subject=item.subject,
                    device=item.device,
                    time=item.time,
                    stem=stem,
                    suffix=dot + suffix,
                    data=parts.main.read_bytes(),
                    sidecar=parts.sidecar.read_bytes(),
                    origin=Origin(node, sequence),
                )
            )
        except ValueError as error:
            raise LinkError(
                f"an item of {node} cannot be kept here: {error}", value=item.name, remedy="see that node's log"
            ) from None
        return kept.item.digest
