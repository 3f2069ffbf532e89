"""The schedule: daily times of the old programs (crontab) as windows of the instrument, all in UTC."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from so2cam.core.site_schedule import Action, Schedule, Window
from so2cam.formats.legacy.account import Account, Outcome
from so2cam.formats.legacy.files import FileKind, Found, FoundFile, distinct
from so2cam.formats.legacy.parse import parse_crontab

DARKNESS_DEG: Final = -12.0
"""Elevation of the sun below which darks are taken: the old times alone reach into daylight in some seasons."""
_DAILY = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) \* \* \*")
_WHERE: Final = "instrument.schedule.windows"


@dataclass(frozen=True, slots=True)
class _Job:
    file: str
    key: str
    clock: str


def convert_schedule(
    found: Found, *, is_utc: bool, left_out: Mapping[Action, str], account: Account
) -> Schedule | None:
    """Return the schedule of capture and darks; None where no crontab tells both, start and stop.

    ``left_out`` are actions with the reason why they cannot be carried. The rows are settled in the account.
    """
    files = distinct([file for file in found.of_kind(FileKind.CRONTAB) if file.text is not None])
    for file in files if len(files) > 1 else ():
        _settle(_jobs(file), Outcome.LOOK, f"several schedules were found, and `{_WHERE}` has none", account)
    if len(files) != 1:
        return None
    jobs = _jobs(files[0])
    if not is_utc:
        _settle(jobs, Outcome.LOOK, "this installation's clock was not on UTC, as which so2cam takes times", account)
        return None
    start, stop, darks = jobs.get("start"), jobs.get("stop"), jobs.get("darks")
    if start is None or stop is None or start.clock == stop.clock:
        why = f"needs a daily time to start and one to stop; `{_WHERE}` has neither"
        _settle(jobs, Outcome.LOOK, why, account)
        return None
    windows: list[Window] = []
    for action, job, window in (
        ("capture", start, Window(do="capture", start=start.clock, end=stop.clock)),
        ("darks", darks, None if darks is None else _darks(darks, start)),
    ):
        if job is None or window is None:
            continue
        jobs_of = {"start": start, "stop": stop} if action == "capture" else {"darks": job}
        if (reason := left_out.get(window.do)) is not None:
            _settle(jobs_of, Outcome.LOOK, f"is not carried to `{_WHERE}`: {reason}", account)
            account.notice(f"The old time for {action} ({job.clock}) is not carried: {reason}.")
            continue
        index = len(windows)
        windows.append(window)
        for name, one in jobs_of.items():
            key = "end" if name == "stop" else "start"
            note = "daily, UTC"
            if name == "darks":
                note = f"daily, UTC; once the sun is {-DARKNESS_DEG:g} degrees below the horizon"
            account.carry(one.file, one.key, f"{_WHERE}[{index}].{key}", note)
    return Schedule(windows=tuple(windows)) if windows else None


def _darks(darks: _Job, start: _Job) -> Window | None:
    """Return the window of darks: from their old time, or dusk where that is later, at the latest as capture begins."""
    if darks.clock == start.clock:
        return None
    return Window(do="darks", start=darks.clock, end=start.clock, sun_below_deg=DARKNESS_DEG)


def _jobs(file: FoundFile) -> dict[str, _Job]:
    """Return the first active daily job of each kind: start, stop, darks."""
    jobs: dict[str, _Job] = {}
    for row in parse_crontab(file.text or ""):
        daily = _DAILY.fullmatch(row.key)
        kind = kind_of_job(row.value)
        if daily is None or not row.is_active or kind is None or kind in jobs:
            continue
        minute, hour = int(daily[1]), int(daily[2])
        if minute < 60 and hour < 24:
            jobs[kind] = _Job(file.name, f"{row.key} {row.value}".strip(), f"{hour:02d}:{minute:02d}")
    return jobs


def kind_of_job(command: str) -> str | None:
    """Return what a command of the old program does: start, stop or darks; None for anything else."""
    program, _, options = command.lower().partition(" ")
    if "-d" in options.split() or "dark" in program:
        return "darks"
    if program.startswith("start_"):
        return "start"
    return "stop" if program.startswith("stop_") else None


def _settle(jobs: Mapping[str, _Job], outcome: Outcome, note: str, account: Account) -> None:
    for job in jobs.values():
        account.settle(job.file, job.key, outcome, note)
