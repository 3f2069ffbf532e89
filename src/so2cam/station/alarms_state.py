"""How an alarm rule goes from number to event: a threshold, a time that it must hold, and a value to clear at. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from so2cam.core.site_alarms import AlarmRule


class Step(StrEnum):
    """What a new number brings."""

    NOTHING = "nothing"
    BEGINS = "begins"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class RuleState:
    """Since when the number is beyond the threshold, and whether there is an event."""

    beyond_since: datetime | None = None
    raised: bool = False


def advance(rule: AlarmRule, state: RuleState, value: float | None, now: datetime) -> tuple[RuleState, Step]:
    """Return the state after ``value`` was seen at ``now``, and what that brings.

    None, or NaN, leaves all as it is. Where the clock was set back, the time to hold begins anew.
    """
    if value is None or value != value:
        return state, Step.NOTHING
    limit = rule.clears_at if state.raised else rule.threshold
    beyond = value > limit if rule.above is not None else value < limit
    if not beyond:
        return RuleState(), Step.ENDS if state.raised else Step.NOTHING
    if state.raised:
        return state, Step.NOTHING
    since = state.beyond_since
    if since is None or since > now:
        since = now
    if (now - since).total_seconds() >= rule.for_s:
        return RuleState(since, raised=True), Step.BEGINS
    return RuleState(since), Step.NOTHING
