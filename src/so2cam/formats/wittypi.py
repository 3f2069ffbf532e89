"""The schedule file of Witty Pi power boards (``schedule.wpi``): written, and read back.

::

    # comment
    BEGIN 2023-04-17 09:00:00      the loop starts here (local time of the computer, which is UTC here)
    END   2038-01-01 12:00:00      and is left here
    ON    H8 M0                    states in turn; D, H, M, S: days, hours, minutes, seconds
    OFF   H16 M0

WAIT at the end of a state keeps the board from ending it; such files are refused here, because what follows is then
not in the file. A power plan of one day with up to two on times gets the comments ``# on_time=``, ``# off_time=``,
``# on_time_2=``, ``# off_time_2=`` too, by which older programs read the times.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.power_plan import PowerPlan, PowerState

TITLE: Final = "# Raspberry Pi start-up/shut-down schedule script"
MAXIMUM_BYTES: Final = 65_536
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_EDGE: Final = re.compile(r"(BEGIN|END)\s+(\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2})")
_STATE: Final = re.compile(r"(ON|OFF)((?:\s+[DHMS]\d{1,5})+)(\s+WAIT)?")
_DURATION: Final = re.compile(r"([DHMS])(\d{1,5})")
_UNITS: Final = {"D": "days", "H": "hours", "M": "minutes", "S": "seconds"}
_DAY: Final = timedelta(days=1)


class PowerScheduleError(So2camError):
    """A power board's schedule file cannot be used."""


def format_wittypi(plan: PowerPlan, *, comments: tuple[str, ...] = ()) -> str:
    """Return ``plan`` as the text of a schedule file, with ``comments`` (one line each) below its title.

    Times are written in UTC to the second. Raises PowerScheduleError where a time has a fraction of a second, which the
    file cannot say, or a comment has several lines.
    """
    if any("\n" in comment or "\r" in comment for comment in comments):
        raise PowerScheduleError("a comment of the power schedule has several lines", value=comments)
    lines = [TITLE, *_daily_comments(plan), *(f"# {comment}" for comment in comments)]
    lines += [f"BEGIN {_second(plan.begin):{_TIME}}", f"END {_second(plan.end):{_TIME}}"]
    lines += [f"{'ON' if state.on else 'OFF'} {_words(state.duration)}" for state in plan.states]
    return "\n".join(lines) + "\n"


def parse_wittypi(text: str, *, file: str | None = None) -> PowerPlan:
    """Return the plan that a schedule file says, with its times taken as UTC.

    Raises PowerScheduleError, with the line, for anything that is no schedule: an unknown word, a time that is none,
    BEGIN, END or the states missing, states that do not alternate, WAIT, or more than 64 kB.
    """
    if len(text) > MAXIMUM_BYTES:
        raise PowerScheduleError("is too long for a power schedule", file=file, value=len(text), remedy=_REMEDY)
    edges: dict[str, datetime] = {}
    states: list[PowerState] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if (edge := _EDGE.fullmatch(line)) is not None:
            if edge[1] in edges:
                raise _wrong(file, number, line, f"{edge[1]} stands there twice")
            edges[edge[1]] = _parse_time(edge[2], file, number, line)
        elif (state := _STATE.fullmatch(line)) is not None:
            if state[3]:
                raise _wrong(file, number, line, "WAIT leaves the next switching to another program")
            states.append(PowerState(state[1] == "ON", _parse_duration(state[2], file, number, line)))
        else:
            raise _wrong(file, number, line, "is no line of a power schedule")
    for word in ("BEGIN", "END"):
        if word not in edges:
            raise PowerScheduleError(f"has no line {word}", file=file, remedy=_REMEDY)
    try:
        return PowerPlan(edges["BEGIN"], edges["END"], tuple(states))
    except ValueError as error:
        raise PowerScheduleError(str(error), file=file, remedy=_REMEDY) from None


_REMEDY: Final = "write it anew with `so2cam instrument schedule`"


def _wrong(file: str | None, number: int, line: str, message: str) -> PowerScheduleError:
    return PowerScheduleError(message, file=file, key=f"line {number}", value=line, remedy=_REMEDY)


def _parse_time(text: str, file: str | None, number: int, line: str) -> datetime:
    try:
        return datetime.strptime(" ".join(text.split()), _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise _wrong(file, number, line, f"{text!r} is no time") from None


def _parse_duration(text: str, file: str | None, number: int, line: str) -> timedelta:
    parts = _DURATION.findall(text)
    units = [unit for unit, _ in parts]
    if len(set(units)) != len(units):
        raise _wrong(file, number, line, "a unit stands there twice")
    return timedelta(**{_UNITS[unit]: int(count) for unit, count in parts})


def _second(time: datetime) -> datetime:
    if time.microsecond:
        raise PowerScheduleError("a power schedule has whole seconds", value=time.isoformat())
    return time.astimezone(UTC)


def _words(duration: timedelta) -> str:
    seconds = duration // timedelta(seconds=1)
    if timedelta(seconds=seconds) != duration:
        raise PowerScheduleError("a power schedule has whole seconds", value=str(duration))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    # Hours may pass 24, as in the always-on form "ON H24 M0" that existing files have.
    return f"H{hours} M{minutes}" + (f" S{seconds}" if seconds else "")


def _daily_comments(plan: PowerPlan) -> list[str]:
    if plan.cycle != _DAY or len(plan.states) > 4 or plan.states[0].duration == _DAY:
        return []
    lines, time = [], plan.begin.astimezone(UTC)
    for index in range(0, len(plan.states), 2):
        suffix = "" if index == 0 else f"_{index // 2 + 1}"
        lines.append(f"# on_time{suffix}={time:%H:%M}")
        time += plan.states[index].duration
        lines.append(f"# off_time{suffix}={time:%H:%M}")
        time += plan.states[index + 1].duration
    return lines
