"""Errands: what a command asked a device to take is taken once, whatever is killed in between.

An errand is kept on the disk before a device hears of it. Its device's process is told, and told again when a new
process runs in its place; after a start of the agent all that are open are gone on with. Each item bears the mark of
its command (``store.items.Mark``), of which the spool keeps one: a process is told which items are there already, and
one that two processes took is kept once.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from so2cam.core.errors import So2camError
from so2cam.instrument.errand_store import Errand, ErrandStore
from so2cam.instrument.supervise import OrderReply
from so2cam.link.errors import UnfinishedError
from so2cam.store.spool import Spool

START_S: Final = 60.0
"""A process may take so long to be up again [s]"""
LONGEST_S: Final = 900.0
"""An errand is given up when its device has had none of it for so long [s]"""
_POLL_S: Final = 0.5
_AGAIN_S: Final = 1.0
_LOG = logging.getLogger(__name__)


class KeptItems:
    """What a node's spool knows of errands."""

    def __init__(self, open_spool: Callable[[], Spool]) -> None:
        self._open_spool = open_spool

    def marked(self, command: str, device: str) -> Mapping[int, int]:
        """Return the sequence numbers of the items that are kept, by number in the set."""
        with self._open_spool() as spool:
            return spool.marked(command, device)

    def void(self, command: str, device: str, of: int) -> Mapping[int, int]:
        """Have no more items of a set be kept; return those that are."""
        with self._open_spool() as spool:
            return spool.void(command, device, of)


class Device(Protocol):
    """The process of a device, as its supervisor shows it."""

    @property
    def process_id(self) -> int | None:
        """The number of the process; None where none runs."""
        ...

    def tell(self, order: Mapping[str, Any]) -> None:
        """Give an order that has no answer."""
        ...


@dataclass(slots=True)
class _Open:
    """An errand under way."""

    errand: Errand
    since_s: float
    again: bool
    """the agent or the device's process was started anew since it was begun: it may take longer"""
    given_to: int | None = None
    not_before_s: float = 0.0
    accepted: OrderReply | None = None


class Errands:
    """The errands of a node; for all threads. ``run`` is for a thread of its own."""

    def __init__(
        self,
        open_store: Callable[[], ErrandStore],
        devices: Mapping[str, Device],
        kept: KeptItems,
    ) -> None:
        """Prepare."""
        self._open_store = open_store
        self._devices = devices
        self._kept = kept
        self._store: ErrandStore | None = None
        self._closed = False
        self._changed = threading.Condition(threading.RLock())
        self._open: dict[tuple[str, str], _Open] = {}

    # --- for commands --------------------------------------------------------------------------------------------

    def carry_out(
        self, errand: str, orders: Mapping[str, tuple[Mapping[str, Any], int]], timeout_s: float, *, whole: bool
    ) -> dict[str, OrderReply]:
        """Have devices take sets of items, once for each ``errand``; return what became of it, by device.

        ``orders``: what each device is told, and how many items that are; of an errand that is known already, what was
        told then holds. Waits until all is kept, or without ``whole`` until the devices have accepted it, at most
        ``timeout_s``, and ``START_S`` more where a process was started anew: what is not accepted or kept then is given
        up, and never kept. Raises UnfinishedError where the agent stops
        meanwhile, InstrumentError where the errand cannot be kept on the disk: nothing was done.
        """
        with self._changed:
            store = self._opened()
            known = store.of(errand)
            if not known:
                known = [Errand(errand, name, order, items) for name, (order, items) in orders.items()]
                store.begin(known)
                for one in known:
                    self._take_up(one, again=False)
            self._changed.notify_all()
            began_s = time.monotonic()
            while waiting := [one for one in self._waiting(errand) if whole or one.accepted is None]:
                more_s = START_S if any(one.again for one in waiting) else 0.0
                left = began_s + timeout_s + more_s - time.monotonic()
                if left <= 0:
                    self._give_up(waiting, f"did not answer within {timeout_s:g} s")
                else:
                    self._changed.wait(min(left, _POLL_S))
            accepted = {one.errand.device: one.accepted for one in self._waiting(errand)}
            return {
                one.device: accepted.get(one.device) or OrderReply(one.state == "done", one.text, self._values(one))
                for one in self._opened().of(errand)
            }

    def _waiting(self, errand: str) -> list[_Open]:
        return [one for (number, _), one in self._open.items() if number == errand]

    def _values(self, one: Errand) -> dict[str, Any]:
        kept = self._kept.marked(one.id, one.device)
        return {"stored": len(kept), "sequences": ", ".join(str(sequence) for sequence in list(kept.values())[:10])}

    # --- the thread ----------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Go on with what is open, until the end."""
        told = ""
        while not stop.is_set():
            with self._changed:
                try:
                    self._opened()
                    self._pursue(time.monotonic())
                    told = ""
                except UnfinishedError:
                    return
                except So2camError as error:
                    if error.message != told:
                        _LOG.warning("errands wait: %s", " ".join(str(error).split()))
                    told = error.message
                self._changed.wait(_POLL_S)

    def close(self) -> None:
        """Close the store: who waits for an errand is told that it goes on later."""
        with self._changed:
            self._closed = True
            store, self._store = self._store, None
            self._open.clear()
            if store is not None:
                store.close()
            self._changed.notify_all()

    def _opened(self) -> ErrandStore:
        if self._closed:
            raise UnfinishedError("the agent stops; the command goes on when it runs again", remedy="ask again later")
        if self._store is None:
            self._store = self._open_store()
            for errand in self._store.open():
                self._take_up(errand, again=True)
        return self._store

    def _take_up(self, errand: Errand, *, again: bool) -> None:
        if errand.state == "open":
            self._open[errand.id, errand.device] = _Open(errand, time.monotonic(), again)

    def _pursue(self, now_s: float) -> None:
        for one in list(self._open.values()):
            device = self._devices.get(one.errand.device)
            process = None if device is None else device.process_id
            if one.given_to is not None and one.given_to == process:
                continue
            one.again = one.again or one.given_to is not None
            if device is None or now_s - one.since_s > LONGEST_S:
                self._give_up([one], "is not there")
            elif process is not None and now_s >= one.not_before_s:
                self._give(one, device, process)

    def _give(self, one: _Open, device: Device, process: int) -> None:
        errand = one.errand
        kept = self._kept.marked(errand.id, errand.device)
        if len(kept) >= errand.items:
            self._end(one, "done", f"{len(kept)} kept")
            return
        one.given_to = process
        device.tell({**errand.order, "errand": errand.id, "kept": list(kept)})

    def _give_up(self, some: list[_Open], why: str) -> None:
        for one in some:
            errand = one.errand
            device = self._devices.get(errand.device)
            if device is not None and device.process_id is None:
                why = "is not running now"
            elif device is not None:
                device.tell({"do": "forget", "errand": errand.id})
            kept = self._kept.void(errand.id, errand.device, errand.items)
            whole = len(kept) == errand.items
            self._end(one, "done" if whole else "failed", f"{len(kept)} kept" if whole else f"{errand.device} {why}")

    def _end(self, one: _Open, state: str, text: str) -> None:
        self._opened().end(one.errand.id, one.errand.device, state, text)
        self._open.pop((one.errand.id, one.errand.device), None)
        self._changed.notify_all()

    # --- what processes say --------------------------------------------------------------------------------------

    def hear(self, device: str, message: Mapping[str, Any]) -> None:
        """Take note of what a device's process says of an errand; called by the device's thread."""
        with self._changed:
            one = self._open.get((str(message["errand"]), device))
            if one is None:
                return
            state, text = str(message["state"]), str(message["text"])
            try:
                if state == "accepted":
                    one.accepted = OrderReply(True, text, dict(message["values"]))
                    one.since_s = time.monotonic()
                elif state == "now" and (one.again or one.accepted is not None):
                    one.given_to, one.not_before_s = None, time.monotonic() + _AGAIN_S
                else:
                    self._end(one, "done" if state == "done" else "failed", text)
            except So2camError as error:  # the disk refuses: it is asked for again, and told again
                _LOG.warning("an errand waits: %s", " ".join(str(error).split()))
                one.again, one.given_to, one.not_before_s = True, None, time.monotonic() + _AGAIN_S
            self._changed.notify_all()
