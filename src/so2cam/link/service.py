"""What a node answers, whoever asks and by whatever way: rights, limits, the ledger, files, events, pictures."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.core.supervision import SupervisionPoint
from so2cam.link.aiming import Examine, ExamineResult, Sight, SightResult
from so2cam.link.errors import LinkError
from so2cam.link.eventlog import EventLog
from so2cam.link.ledger import Do, Errand, Ledger
from so2cam.link.limits import Buckets, Limits
from so2cam.link.local import refused
from so2cam.link.messages import Command, Refused
from so2cam.link.preview import MEDIA, Picture, Previews
from so2cam.link.protocol import (
    Answer,
    AnyResult,
    Call,
    Code,
    Confirm,
    Confirmed,
    Data,
    Events,
    Hello,
    HelloResult,
    Items,
    ItemsResult,
    LogLine,
    Logs,
    LogsResult,
    Outcome,
    Preview,
    Read,
    ScheduleSettings,
    ScheduleSettingsResult,
    Settings,
    SettingsResult,
    Spoken,
    changes,
    link_item,
    needs_receiver,
    required_role,
)
from so2cam.link.tokens import Principal, TokenStore
from so2cam.store.errors import UnknownItemError
from so2cam.store.spool import Spool

_LOG = logging.getLogger(__name__)
_AUDIT = logging.getLogger("so2cam.audit")
_POLL_S: Final = 0.5
_EXAMINED_S: Final = 5.0
"""What an examination found is told again for so long."""
_MEDIA: Final = {".png": "image/png", ".json": "application/json", ".csv": "text/csv", ".txt": "text/plain"}
_NO_ERRAND: Final = Errand("question")
Values = dict[str, bool | int | float | str | None]


def _cannot_examine() -> ExamineResult:
    raise LinkError("this node cannot examine itself", remedy="run so2cam instrument doctor on it")


@dataclass(frozen=True, slots=True)
class NodeFace:
    """What the link asks of a node.

    ``handle`` carries a command out, as of ``ledger.Do``: of the same errand it takes effect once. ``settings`` are
    those of each device. ``sight`` is what the cameras should see; ``examine`` looks whether all is well, and may take
    some seconds. ``schedule`` is the one that is followed; ``logs`` gives lines of the log.
    """

    site: str
    node: str
    version: str
    handle: Do
    settings: Callable[[], dict[str, Values]]
    now: Callable[[], datetime]
    sight: Callable[[], SightResult] = lambda: SightResult(cameras=())
    examine: Callable[[], ExamineResult] = _cannot_examine
    schedule: Callable[[], ScheduleSettingsResult] | None = None
    logs: Callable[[Logs], Sequence[LogLine]] = lambda said: ()


class _DeniedError(Exception):
    def __init__(self, code: Code, text: str, remedy: str) -> None:
        super().__init__(text)
        self.code, self.text, self.remedy = code, text, remedy


class LinkService:
    """Answers calls; for all threads. What it is given stays its owner's to close."""

    def __init__(
        self,
        face: NodeFace,
        spool: Spool,
        ledger: Ledger,
        events: EventLog,
        tokens: TokenStore | None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare. ``tokens``: asked at each call whether one is valid still; None where the one who asks has none."""
        self.face = face
        self.events = events
        self.limits = limits or Limits()
        self._spool = spool
        self._ledger = ledger
        self._tokens = tokens
        self._previews = Previews(spool)
        self._examining = threading.Lock()
        self._examined: tuple[float, ExamineResult] | None = None
        self._commands = Buckets(self.limits.commands_per_s, self.limits.commands_at_once)
        self._calls = Buckets(self.limits.calls_per_s, self.limits.calls_at_once)

    def answer(self, who: Principal, peer: str, call: Call) -> Spoken:
        """Answer one call. Never raises: what goes wrong is a refusal.

        A question for events is answered at once; the server does the waiting.
        """
        said: tuple[AnyResult, bytes | None, Code]
        refusal = Refused(text="this failed in a way that nobody expected", remedy="see the log of the agent")
        said = refusal, None, "refused"
        with SupervisionPoint("one call of the link") as point:
            said = self._said(who, peer, call)
        if point.error is not None:
            _LOG.error("a call of %s (%s) failed", who.name, call.say.type, exc_info=point.error)
        result, payload, code = said
        return Spoken(Answer.model_construct(id=call.id, result=result, code=code), payload)

    def _said(self, who: Principal, peer: str, call: Call) -> tuple[AnyResult, bytes | None, Code]:
        """Return what is answered; errors that are expected are refusals."""
        try:
            self._require_allowed(who, call)
            return self._answer(who, peer, call)
        except _DeniedError as denied:
            self._note_denied(who, peer, call, denied)
            return Refused(text=denied.text, remedy=denied.remedy), None, denied.code
        except UnknownItemError as error:
            return refused(error), None, "unknown"
        except So2camError as error:
            return refused(error), None, "refused"

    def _require_allowed(self, who: Principal, call: Call) -> None:
        said = call.say
        if self._tokens is not None and not self._tokens.still_valid(who):
            raise _DeniedError("credential", "the token is not valid any more", "pair again, or use another token")
        needed = required_role(said)
        if who.role < needed:
            raise _DeniedError(
                "role", f"{said.type} needs the role {needed.word}; this token is a {who.role.word}'s", "use another"
            )
        if needs_receiver(said) and who.receiver is None:
            raise _DeniedError(
                "role", f"{said.type} needs the token of a receiver", "pair with so2cam pair offer --receiver NAME"
            )
        if changes(said) and call.key is None:
            raise _DeniedError("message", f"{said.type} needs a key", "give each command a key of its own")
        if not self._calls.take(who.id) or (changes(said) and not self._commands.take(who.id)):
            raise _DeniedError("rate", "too many calls in a short time", "wait a moment")

    def _note_denied(self, who: Principal, peer: str, call: Call, denied: _DeniedError) -> None:
        if not changes(call.say) or denied.code == "rate":
            return
        _AUDIT.warning("%s (%s) from %s: %s denied: %s", who.name, who.id, peer, call.say.type, denied.text)
        try:
            key = f"denied:{secrets.token_hex(16)}"
            self._ledger.deny(who, peer, key, call.say.model_dump_json(), denied.text)
        except So2camError as error:
            _LOG.warning("the ledger cannot be written: %s", error.message)

    def _answer(self, who: Principal, peer: str, call: Call) -> tuple[AnyResult, bytes | None, Code]:
        said = call.say
        if isinstance(said, Hello):
            return self._hello(who), None, "ok"
        if isinstance(said, Outcome):
            carried = self._ledger.outcome(who.id, said.key)
            if carried is None:
                return Refused(text="no command of this key is known", key="key"), None, "unknown"
            return carried.result, None, _code(carried.result)
        if isinstance(said, Events):
            return self.events.after(said.after, said.limit), None, "ok"
        if isinstance(said, Settings):
            return SettingsResult(devices=self.face.settings()), None, "ok"
        if isinstance(said, ScheduleSettings):
            return self._schedule_settings(), None, "ok"
        if isinstance(said, Logs):
            return LogsResult(lines=tuple(self.face.logs(said))), None, "ok"
        if isinstance(said, Preview):
            return self._preview(said)
        if isinstance(said, Sight):
            return self.face.sight(), None, "ok"
        if isinstance(said, Examine):
            return self._examine(), None, "ok"
        if isinstance(said, Items):
            return self._items(who, said), None, "ok"
        if isinstance(said, Read):
            return self._read(said)
        if isinstance(said, Confirm):
            return self._confirm(who, said), None, "ok"
        if not changes(said):
            return self.face.handle(said, _NO_ERRAND), None, "ok"
        return self._command(who, peer, call.key or "", said)

    def _schedule_settings(self) -> AnyResult:
        if self.face.schedule is None:
            return Refused(text="this node has no schedule")
        return self.face.schedule()

    def _hello(self, who: Principal) -> HelloResult:
        face = self.face
        return HelloResult.model_validate(
            {
                "site": face.site,
                "node": face.node,
                "version": face.version,
                "time": face.now(),
                "role": who.role.word,
                "receiver": who.receiver,
            }
        )

    def _command(self, who: Principal, peer: str, key: str, said: Command) -> tuple[AnyResult, None, Code]:
        carried = self._ledger.carry_out(who, peer, key, said, self.face.handle)
        if carried.new:
            how = "refused" if isinstance(carried.result, Refused) else "done"
            _AUDIT.info("%s (%s) from %s: %s %s: %s", who.name, who.id, peer, said.type, key, how)
            self.events.add("command", f"{who.name}: {said.type}: {how}")
        return carried.result, None, _code(carried.result)

    def resume(self, stop: threading.Event) -> None:
        """Carry out what was begun before this start; for a thread of its own."""
        try:
            for entry, carried in self._ledger.resume(self.face.handle, stop):
                how = "refused" if isinstance(carried.result, Refused) else "done"
                _AUDIT.info("%s (%s), begun before the start: %s: %s", entry.name, entry.who, entry.key, how)
                self.events.add("command", f"{entry.name}: begun before the start: {how}")
        except So2camError as error:
            _LOG.warning("commands of before are not gone on with: %s", " ".join(str(error).split()))

    def _items(self, who: Principal, said: Items) -> ItemsResult:
        spool = self._spool
        waiting, size = None, None
        if who.receiver is not None:
            if who.receiver not in spool.receivers():
                spool.add_receiver(who.receiver)
            for backlog in spool.backlog():
                if backlog.receiver == who.receiver:
                    waiting, size = backlog.items, backlog.bytes
        if said.waiting:
            found = spool.undelivered(
                who.receiver or "", limit=said.limit, order=said.order, after=said.after, kind=said.kind
            )
        else:
            found = spool.find(kind=said.kind, after=said.after or 0, limit=said.limit, order=said.order)
        return ItemsResult(
            items=tuple(link_item(item, self.face.node) for item in found),
            now=self.face.now(),
            waiting=waiting,
            waiting_bytes=size,
        )

    def _read(self, said: Read) -> tuple[AnyResult, bytes | None, Code]:
        item = self._spool.get(said.sequence)
        sidecar = said.part == "sidecar"
        total = item.sidecar_size if sidecar else item.size
        if said.offset > total:
            return Refused(text=f"the file has {total} bytes", key="offset"), None, "refused"
        data = self._spool.read(item, sidecar=sidecar, offset=said.offset, length=min(said.length, total - said.offset))
        name = item.sidecar_name if sidecar else item.name
        media = _MEDIA.get("." + name.rpartition(".")[2], "application/octet-stream")
        return (
            Data(media=media, size=len(data), offset=said.offset, total=total, sequence=item.sequence, time=item.time),
            data,
            "ok",
        )

    def _confirm(self, who: Principal, said: Confirm) -> Confirmed:
        new, unknown = 0, []
        for one in said.confirmations:
            try:
                new += self._spool.mark_delivered(one.sequence, one.digest, who.receiver or "")
            except UnknownItemError:
                unknown.append(one.sequence)
        return Confirmed(new=new, unknown=tuple(unknown))

    def _preview(self, said: Preview) -> tuple[AnyResult, bytes | None, Code]:
        picture: Picture | None
        if said.sequence is not None:
            picture = self._previews.of(said.device, said.width, said.sequence, said.form)
        else:
            picture = self._previews.latest(said.device, said.width, said.after, said.form)
        if picture is None:
            return Refused(text="there is no newer picture yet", key="after"), None, "unknown"
        size = len(picture.data)
        data = Data(media=MEDIA[said.form], size=size, total=size, sequence=picture.sequence, time=picture.time)
        return data, picture.data, "ok"

    def _examine(self) -> ExamineResult:
        with self._examining:
            if self._examined is None or time.monotonic() - self._examined[0] > _EXAMINED_S:
                self._examined = (time.monotonic(), self.face.examine())
            return self._examined[1]


class EventFeed:
    """Tells what is new in a spool, and of new health records, as events; ``run`` is for a thread of its own."""

    def __init__(
        self, events: EventLog, spool: Spool, health: Callable[[], HealthRecord | None], stop: threading.Event
    ) -> None:
        self._events = events
        self._spool = spool
        self._health = health
        self._stop = stop
        found = spool.find(limit=1, order="newest")
        self._after = found[0].sequence if found else 0
        self._health_time: datetime | None = None

    def run(self) -> None:
        """Look again and again until the end."""
        while not self._stop.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        """Tell what is new now."""
        for item in self._spool.find(after=self._after, limit=200):
            self._after = item.sequence
            if item.kind != "health":
                text = f"{item.device}: {item.kind} {item.subject}"
                self._events.add("item", text, sequence=item.sequence, device=item.device)
        record = self._health()
        if record is not None and record.time != self._health_time:
            self._health_time = record.time
            self._events.add("health", record.summary, health=record)


def wait_for_events(service: LinkService, call: Call, stop: threading.Event) -> None:
    """Where the call is a question for events that waits, wait; in a thread that may be held up."""
    if isinstance(call.say, Events) and call.say.wait_s > 0:
        limit = time.monotonic() + call.say.wait_s
        while not stop.is_set() and (left := limit - time.monotonic()) > 0:
            if service.events.wait(call.say.after, min(left, _POLL_S)):
                return


def _code(result: AnyResult) -> Code:
    return "refused" if isinstance(result, Refused) else "ok"
