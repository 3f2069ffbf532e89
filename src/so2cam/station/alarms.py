"""Alarms of a site: rules, followed from observation to observation, whose events are kept and told.

    keeper = AlarmKeeper(site, store)
    keeper.observe(observation)              # as often as one likes; each event begins and ends once

``AlarmService`` does this for the supervisor of a station, and ``NotificationService`` sends what is to be told.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from so2cam.core.errors import So2camError
from so2cam.core.intervals import Interval
from so2cam.core.site import Site
from so2cam.core.site_alarms import AlarmLevel, AlarmRule, Alarms, AlarmTarget, NoDataRule
from so2cam.observe.schedule import action_intervals
from so2cam.station.alarms_observation import Measurement, Observation, measure
from so2cam.station.alarms_state import RuleState, Step, advance
from so2cam.station.alarms_store import AlarmStore, Event, Message, retry_at

_LOG = logging.getLogger(__name__)
_LEVELS: Final = ("warning", "alarm")
_LOOK_BACK: Final = timedelta(days=2)


class Sender(Protocol):
    """Who brings a message to a target."""

    def send(self, target: AlarmTarget, title: str, body: str) -> None:
        """Send. Raises So2camError where it did not go out."""


@dataclass(frozen=True, slots=True)
class Change:
    """An event that began or ended just now."""

    event: Event
    step: Step


def alarms_of(site: Site) -> Alarms:
    """Return the alarms of a site: those of its file, or the standard ones."""
    return site.alarms if site.alarms is not None else Alarms()


def rules_of(site: Site) -> tuple[AlarmRule, ...]:
    """Return the rules that hold for a site. Without an instrument in its file, no news of one is no alarm."""
    alarms = alarms_of(site)
    return tuple(
        rule
        for rule in alarms.effective
        if site.instrument is not None
        or rule in alarms.rules
        or not (isinstance(rule, NoDataRule) and rule.of == "health")
    )


def expected_since(site: Site, now: datetime) -> datetime | None:
    """Return since when the schedule wants frames without a break (two days back at most); None where not now."""
    schedule = None if site.instrument is None else site.instrument.schedule
    if schedule is None:
        return now - _LOOK_BACK
    span = Interval(now - _LOOK_BACK, now + timedelta(seconds=1))
    for interval in action_intervals(schedule, site.camera.position, "capture", span):
        if interval.contains(now):
            return interval.start
    return None


class AlarmKeeper:
    """Follows the rules of one site. What it knows is in the store: a new one goes on where the last was."""

    def __init__(self, site: Site, store: AlarmStore) -> None:
        """Events of rules that the site file no longer has are ended at the next observation."""
        self._name, self._alarms, self._store = site.name, alarms_of(site), store
        self._rules = {rule.name: rule for rule in rules_of(site)}
        self._states = store.states(site.name)

    def observe(self, seen: Observation) -> list[Change]:
        """Take what is seen; return the events that begin or end with it."""
        changes = self._end_forgotten(seen.time)
        for rule in self._rules.values():
            for found in measure(rule, seen):
                change = self._follow(rule, found, seen.time)
                if change is not None:
                    changes.append(change)
        return changes

    def _follow(self, rule: AlarmRule, found: Measurement, now: datetime) -> Change | None:
        key = (rule.name, found.subject)
        before = self._states.get(key, RuleState())
        after, step = advance(rule, before, found.value, now)
        if step is Step.BEGINS and found.value is not None:
            event = self._store.begin(
                self._name,
                *key,
                level=rule.level,
                text=f"{found.words}, {_limit(rule)}",
                value=found.value,
                now=now,
                state=after,
                targets=[target.name for target in self._targets(rule.level, rule.targets)],
            )
        elif step is Step.ENDS:
            ended = self._end(rule, found, now)
            self._states[key] = after
            return ended
        else:
            if after != before:
                self._store.keep_state(self._name, *key, after)
            elif after.raised and found.value is not None:
                self._store.worsen(self._name, *key, found.value, higher=rule.above is not None)
            self._states[key] = after
            return None
        self._states[key] = after
        _LOG.warning("%s: %s: %s", event.level, event.rule, event.text)
        return Change(event, Step.BEGINS)

    def _end(self, rule: AlarmRule, found: Measurement, now: datetime) -> Change | None:
        targets = [target.name for target in self._targets(rule.level, rule.targets) if target.tell_end]
        event = self._store.end(self._name, rule.name, found.subject, text=found.words, now=now, targets=targets)
        if event is None:
            return None
        _LOG.info("over: %s: %s", event.rule, found.words)
        return Change(event, Step.ENDS)

    def _end_forgotten(self, now: datetime) -> list[Change]:
        changes = []
        for (name, subject), state in list(self._states.items()):
            if name not in self._rules:
                if state.raised:
                    event = self._store.end(
                        self._name, name, subject, text="the rule is no longer in the site file", now=now, targets=()
                    )
                    if event is not None:
                        changes.append(Change(event, Step.ENDS))
                del self._states[name, subject]
        return changes

    def _targets(self, level: AlarmLevel, names: tuple[str, ...] | None) -> list[AlarmTarget]:
        return [
            target
            for target in self._alarms.targets
            if (names is None or target.name in names) and _LEVELS.index(level) >= _LEVELS.index(target.minimum_level)
        ]


def compose(message: Message, page: str | None = None) -> tuple[str, str]:
    """Return title and text of a message."""
    event = message.event
    over = message.kind == "ended"
    word = "over" if over else event.level.upper()
    title = f"[{word}] {event.site}: {event.rule} ({event.subject})"
    lines = [(event.end_text or event.text) if over else event.text, ""]
    lines.append(f"Site:    {event.site}")
    lines.append(f"Began:   {event.began:%Y-%m-%d %H:%M:%S} UTC")
    if over and event.ended is not None:
        lines.append(f"Ended:   {event.ended:%Y-%m-%d %H:%M:%S} UTC")
        if event.extreme is not None:
            lines.append(f"Worst:   {event.extreme:.4g}")
    lines.append(f"Event:   {event.id}")
    if page is not None:
        lines.append(f"Page:    {page}")
    if not over:
        lines += ["", f"Acknowledge: so2cam alarms acknowledge SITE {event.id} --by NAME"]
    return title, "\n".join(lines)


class Notifier:
    """Sends waiting messages; each goes out once, and what fails is tried again later."""

    def __init__(self, site: Site, store: AlarmStore, sender: Sender) -> None:
        """At its start, messages whose sending a kill cut off are given up as unknown, and logged."""
        alarms = alarms_of(site)
        self._site = site.name
        self._targets = {target.name: target for target in alarms.targets}
        self._page = alarms.page
        self._retry_for = timedelta(hours=alarms.retry_for_h)
        self._store, self._sender = store, sender
        lost = store.recover(self._site)
        if lost:
            _LOG.warning("%d messages may or may not have gone out when the program ended; they are not repeated", lost)

    def send_due(self, now: datetime | None = None) -> int:
        """Send what is due; return how many went out. ``now`` is the present time where it is None."""
        sent = 0
        while (message := self._store.take(self._site, now or datetime.now(UTC))) is not None:
            target = self._targets.get(message.target)
            if target is None:
                self._store.failed(message.id, "there is no such target in the site file now", None)
                continue
            title, body = compose(message, self._page)
            try:
                self._sender.send(target, title, body)
            except So2camError as error:
                at = now or datetime.now(UTC)
                again = retry_at(message.attempts, message.created, at, retry_for=self._retry_for)
                self._store.failed(message.id, error.message, again)
                _LOG.warning(
                    "%s could not be told of event %d: %s; %s",
                    target.name,
                    message.event.id,
                    error.message,
                    "given up" if again is None else f"tried again at {again:%H:%M:%S}",
                )
            else:
                self._store.sent(message.id)
                sent += 1
        return sent


class AlarmService:
    """Follows a site's rules for a supervisor: ``read`` says what is seen, every ``every_s``."""

    def __init__(
        self, site: Site, store: AlarmStore, read: Callable[[datetime], Observation], *, every_s: float = 10.0
    ) -> None:
        """``read`` is called with the present time."""
        self.name = f"alarms/{site.name}"
        self._site, self._store, self._read, self._every_s = site, store, read, every_s

    def run(self, stop: threading.Event) -> None:
        """See ``Service``."""
        keeper = AlarmKeeper(self._site, self._store)
        while not stop.is_set():
            now = datetime.now(UTC)
            seen = self._read(now)
            if seen.expected_since is None:
                seen = replace(seen, expected_since=expected_since(self._site, now))
            keeper.observe(seen)
            stop.wait(self._every_s)


class NotificationService:
    """Sends a site's messages for a supervisor."""

    def __init__(self, site: Site, store: AlarmStore, sender: Sender, *, every_s: float = 2.0) -> None:
        self.name = f"notifications/{site.name}"
        self._site, self._store, self._sender, self._every_s = site, store, sender, every_s

    def run(self, stop: threading.Event) -> None:
        """See ``Service``."""
        notifier = Notifier(self._site, self._store, self._sender)
        while not stop.is_set():
            notifier.send_due()
            stop.wait(self._every_s)


def _limit(rule: AlarmRule) -> str:
    side = "above" if rule.above is not None else "below"
    held = f" for {rule.for_s:g} s" if rule.for_s else ""
    return f"{side} {rule.threshold:g}{held}"
