"""The station's way to the nodes of its instruments: one link for each, for all who ask, with the rights of a person.

A node that the station dials has a link of its own here, beside the one that fetches files; a node that calls in has
one connection, which both use. The token of the station at a node has a role there; what a person may say is decided
here, by that person's role, and written down.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.link.client import LONGEST_CALL_S, LinkClient, dial
from so2cam.link.database import FILE, Database
from so2cam.link.errors import LinkError, LinkRefusedError
from so2cam.link.messages import Command, Done, Refused, Set, Status, StatusResult
from so2cam.link.pairing import Offer, PairingDesk
from so2cam.link.pairings import Pairing, Pairings, change_address, pair
from so2cam.link.protocol import Data, Hello, HelloResult, Role, Spoken, changes, required_role
from so2cam.link.station import NODE
from so2cam.link.tokens import Principal, TokenStore
from so2cam.link.transfer import TransferStatus
from so2cam.station.context import StationContext, StationSite
from so2cam.station.link_ingest import LinkIngest
from so2cam.station.patience import patience_of, takes_items

Note = Callable[[str, dict[str, Any], str], None]
"""Writes down what somebody did: the word for it, its details, and how it ended."""
_LOOK_S: Final = 3.0
_AGAIN_S: Final = 1.0
_CHECK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class NodeLook:
    """How a node is, as far as is known: the latest health record, when it came, and why there is no newer one.

    ``protocol``: of the link, as the node speaks it.
    """

    health: HealthRecord | None = None
    seen: datetime | None = None
    error: str | None = None
    remedy: str | None = None
    protocol: int | None = None

    @property
    def connected(self) -> bool:
        """Whether the node answered the last time it was asked."""
        return self.health is not None and self.error is None


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node of a site: how it is reached, and how it was paired. ``way``: dialled, calls-in, or none: not paired."""

    name: str
    site: str
    way: str
    host: str | None = None
    port: int | None = None
    fingerprint: str | None = None
    role: str | None = None
    receiver: str | None = None
    in_site_file: bool = False

    @property
    def paired(self) -> bool:
        """Whether the station has met it."""
        return self.way != "none"


@dataclass(frozen=True, slots=True)
class Applied:
    """A change of a device's settings: who asked for what, and what the device then had."""

    time: datetime
    who: str
    asked: Mapping[str, bool | int | float]
    applied: Mapping[str, bool | int | float | str | None]


@dataclass(slots=True)
class _Known:
    pairing: Pairing
    client: LinkClient


class Nodes:
    """The nodes of a station, for all threads. ``close`` ends their links."""

    def __init__(self, context: StationContext, ingest: LinkIngest | None = None) -> None:
        """Prepare; nothing is connected yet. ``ingest``: the service that fetches, which nodes that call in reach."""
        self._context = context
        self._ingest = ingest
        self._folder = context.folder / "link"
        self._pairings = Pairings(self._folder / "pairings.json")
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._applied: dict[tuple[str, str], Applied] = {}
        self._looks: dict[str, tuple[float, NodeLook]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._checked: tuple[float, dict[str, Pairing]] = (float("-inf"), {})

    # --- which nodes there are -----------------------------------------------------------------------------------

    def of_site(self, site: StationSite) -> tuple[NodeInfo, ...]:
        """Return the nodes of a site: those of its site file, and others that are paired. Raises LinkError."""
        pairings = {one.name: one for one in self._paired().values() if one.site == site.name}
        found: dict[str, NodeInfo] = {}
        instrument = site.loaded.site.instrument
        for node in () if instrument is None else instrument.nodes:
            link = None if instrument is None else instrument.link_of(node)
            callers = link is not None and link.dial != "station" and self._has_token(node.name)
            info = NodeInfo(node.name, site.name, "calls-in" if callers else "none", in_site_file=True)
            if link is not None and instrument is not None:
                info = replace(info, host=instrument.link_address_of(node), port=link.port)
            found[node.name] = info
        for name, one in pairings.items():
            known = found.get(name)
            found[name] = NodeInfo(
                name,
                site.name,
                "calls-in" if known is not None and known.way == "calls-in" else "dialled",
                one.host,
                one.port,
                one.fingerprint,
                one.role,
                one.receiver,
                known is not None,
            )
        return tuple(found.values())

    def transfer(self, name: str) -> TransferStatus | None:
        """Return how fetching from a node goes; None where nothing is fetched."""
        return None if self._ingest is None else self._ingest.status_of(name)

    # --- asking --------------------------------------------------------------------------------------------------

    def look(self, name: str) -> NodeLook:
        """Return how a node is; it is asked at most once a second, however many look. Never raises a So2camError."""
        with self._lock:
            mine = self._locks.setdefault(name, threading.Lock())
        with mine:
            asked_s, before = self._looks.get(name, (float("-inf"), NodeLook()))
            if time.monotonic() - asked_s < _AGAIN_S:
                return before
            try:
                answer = self._client(name).ask(Status(), patience_s=_LOOK_S)
                if not isinstance(answer, StatusResult):
                    raise LinkRefusedError("the node does not say how it is")
                found = NodeLook(answer.health, datetime.now(UTC), protocol=self._protocol(name, answer.health, before))
            except So2camError as error:
                found = replace(before, error=error.message, remedy=error.remedy)
            self._looks[name] = (time.monotonic(), found)
            return found

    def ask(self, name: str, say: Any, *, patience_s: float = 8.0) -> Any:
        """Ask a question that changes nothing, and return the answer. Raises LinkError."""
        if changes(say):
            raise LinkError("this changes something: it is a command")
        return self._client(name).ask(say, patience_s=patience_s)

    def read(self, name: str, say: Any) -> tuple[Data, bytes]:
        """Ask for bytes. Raises LinkRefusedError where there are none."""
        return self._client(name).read(say)

    def command(self, name: str, command: Command, who: Principal, note: Note) -> Any:
        """Have a command carried out once, for ``who``, and write it down; it is waited for as long as it takes.

        Raises LinkRefusedError where the person may not, or the node refuses; LinkLostError where it does not answer.
        """
        needed = required_role(command)
        detail = {"node": name, **command.model_dump(mode="json", exclude_defaults=True)}
        word = f"instrument.{command.type}"
        if who.role < needed:
            note(word, detail, "denied")
            raise LinkRefusedError(
                f"this needs the role {needed.word}; {who.name} is a {who.role.word}", remedy="ask an admin for a token"
            )
        look = self.look(name) if takes_items(command) else NodeLook()
        patience_s = patience_of(command, look.health if look.connected else None)
        try:
            result = self._client(name).command(command, patience_s=patience_s)
        except So2camError:
            note(word, detail, "failed")
            raise
        self._looks.pop(name, None)
        if isinstance(result, Refused):
            note(word, detail, "refused")
            details = "; ".join(f"{one.device}: {one.text}" for one in result.outcomes if one.text not in result.text)
            text = f"{result.text} ({details})" if details else result.text
            raise LinkRefusedError(text, key=result.key, remedy=result.remedy)
        note(word, detail, "done")
        if isinstance(command, Set) and isinstance(result, Done):
            self.remember(name, command, result, who)
        return result

    def call(self, name: str, say: Any, *, key: str | None, patience_s: float) -> Spoken:
        """Say something to a node as it is, and return its answer as it is; what may be said is the caller's to decide.

        Raises LinkRefusedError where the node is not connected, LinkLostError where it does not answer.
        """
        answer_s = LONGEST_CALL_S if changes(say) else None
        spoken = self._client(name).call(say, key=key, patience_s=patience_s, answer_s=answer_s)
        if changes(say):
            self._looks.pop(name, None)
        return spoken

    def applied(self, name: str, device: str) -> Applied | None:
        """Return the last change of a device's settings since the station started; None where there was none."""
        return self._applied.get((name, device))

    def remember(self, name: str, command: Set, result: Done, who: Principal) -> None:
        """Keep what ``who`` changed of a node's settings, for ``applied``."""
        for outcome in result.outcomes:
            asked: dict[str, bool | int | float] = {}
            for change in command.changes:
                if not change.devices or outcome.device in change.devices:
                    asked |= change.values.model_dump(exclude_none=True)
            self._applied[name, outcome.device] = Applied(datetime.now(UTC), who.name, asked, dict(outcome.values))

    # --- pairing -------------------------------------------------------------------------------------------------

    def join(self, host: str, port: int, code: str) -> Pairing:
        """Pair with the node at ``host`` by the code that it shows, and keep that.

        Raises LinkError where it does not answer, refuses, or belongs to a site that this station does not run.
        """
        found = pair(host, port, code, own=NODE)
        sites = [site.name for site in self._context.sites]
        if found.site not in sites:
            raise LinkRefusedError(
                f"{found.node} belongs to the site {found.site!r}; this station runs {', '.join(sites)}",
                remedy="start the station with its site file too, then pair again",
            )
        self._pairings.add(found)
        self._forget_client(found.name)
        return found

    def move(self, name: str, host: str, port: int, *, unanswered: bool = False) -> Pairing:
        """Keep another address of a node that is paired and dialled; token and certificate stay.

        Raises CertificateError where another instrument answers there, LinkLostError where nobody does, unless
        ``unanswered``.
        """
        moved = change_address(self._pairings, name, host, port, unanswered=unanswered)
        self._forget_client(name)
        return moved

    def forget(self, name: str) -> None:
        """Forget a pairing: the node is neither asked nor fetched from any more. Raises LinkError."""
        if name in self._pairings.all():
            self._pairings.forget(name)
        else:
            self._revoke(name)
        self._forget_client(name)

    def offer(self, role: Role = Role.VIEWER) -> Offer:
        """Make a code for a node that calls in: it is typed there. Raises LinkError."""
        with self._tokens() as (database, tokens):
            return PairingDesk(database, tokens, site=self._context.sites[0].name, node=NODE).offer(role)

    def close(self) -> None:
        """End all links; whoever asks after that makes a new one."""
        with self._lock:
            known, self._known = list(self._known.values()), {}
        for one in known:
            one.client.close()

    # --- helpers -------------------------------------------------------------------------------------------------

    def _protocol(self, name: str, health: HealthRecord, before: NodeLook) -> int | None:
        """Return the protocol that a node speaks; it is asked once for each of its versions."""
        if before.protocol is not None and before.health is not None and before.health.version == health.version:
            return before.protocol
        answer = self._client(name).ask(Hello(), patience_s=_LOOK_S)
        return answer.protocol if isinstance(answer, HelloResult) else None

    def _client(self, name: str) -> LinkClient:
        calling = None if self._ingest is None else self._ingest.calling(name)
        if calling is not None:
            return calling
        pairing = self._paired().get(name)
        if pairing is None:
            raise LinkRefusedError(f"{name} is not connected", remedy="pair with it, or wait until it calls")
        with self._lock:
            known = self._known.get(name)
            if known is not None and known.pairing == pairing:
                return known.client
            made = LinkClient(dial(pairing.peer), patience_s=15.0, answer_s=10.0, connect_s=5.0)
            self._known[name] = _Known(pairing, made)
        if known is not None:
            known.client.close()
        return made

    def _paired(self) -> dict[str, Pairing]:
        with self._lock:
            asked_s, found = self._checked
            if time.monotonic() - asked_s < _CHECK_S:
                return found
        found = self._pairings.all()
        with self._lock:
            self._checked = (time.monotonic(), found)
        return found

    def _forget_client(self, name: str) -> None:
        with self._lock:
            self._checked = (float("-inf"), {})
            known = self._known.pop(name, None)
            self._looks.pop(name, None)
        if known is not None:
            known.client.close()

    def _has_token(self, name: str) -> bool:
        if not (self._folder / FILE).exists():
            return False
        with self._tokens() as (_, tokens):
            now_s = time.time()
            return any(one.name == name and one.is_valid(now_s) for one in tokens.list())

    def _revoke(self, name: str) -> None:
        with self._tokens() as (_, tokens):
            now_s = time.time()
            mine = [one for one in tokens.list() if one.name == name and one.is_valid(now_s)]
            if not mine:
                raise LinkError("this station has not paired with it", key="name", value=name)
            for one in mine:
                tokens.revoke(one.id)

    @contextlib.contextmanager
    def _tokens(self) -> Iterator[tuple[Database, TokenStore]]:
        database = Database(self._folder / FILE)
        try:
            yield database, TokenStore(database)
        finally:
            database.close()
