"""The commands: ``after-start``, ``before-shutdown``, ``apply-schedule``, ``set-clock``,
``board-up``, ``test-follower``.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from so2cam_power.agent import ask_to_stop
from so2cam_power.board import apply_schedule, tell_board
from so2cam_power.clock import Clock
from so2cam_power.errors import PowerError
from so2cam_power.follower import start_follower, stop_follower
from so2cam_power.gpio import HeaderLines, Lines
from so2cam_power.report import write_report
from so2cam_power.rtc import set_clock
from so2cam_power.settings import DEFAULT_PATH, Follower, Settings, load_settings

_HALTED_S = 15.0


def after_start(settings: Settings, lines: Lines, clock: Clock) -> int:
    """Start the follower; exit code 1 where it does not come up."""
    if settings.follower is None:
        _say("this computer has no follower to start")
        return 0
    outcome = start_follower(settings.follower, lines, clock)
    write_report(settings, "after-start", dataclasses.asdict(outcome))
    _say(outcome.text)
    return 0 if outcome.done else 1


def before_shutdown(settings: Settings, lines: Lines, clock: Clock) -> int:
    """Ask the agent to stop, stop the follower, force everything to the disks: each step whatever the others do."""
    steps: list[Callable[[], str]] = [lambda: ask_to_stop(settings.socket, settings.agent_timeout_s, clock)]
    follower = settings.follower
    if follower is not None:
        steps.append(lambda: _stopped(settings, follower, lines, clock))
    steps.append(_sync)
    texts: list[str] = []
    failed = False
    for step in steps:
        try:
            texts.append(step())
        except PowerError as error:
            texts.append(str(error))
            failed = True
        _say(texts[-1])
    write_report(settings, "before-shutdown", {"done": not failed, "steps": texts})
    return 1 if failed else 0


def test_follower(settings: Settings, lines: Lines, clock: Clock) -> int:
    """Switch the follower off and on again, to see that both wires do what they are for; 1 where one does not."""
    if settings.follower is None:
        raise PowerError("this computer has no follower")
    _say(_stopped(settings, settings.follower, lines, clock))
    # A computer that was just told to stop needs a moment until it can be woken.
    clock.sleep(_HALTED_S)
    return after_start(settings, lines, clock)


def _stopped(settings: Settings, follower: Follower, lines: Lines, clock: Clock) -> str:
    outcome = stop_follower(follower, lines, clock)
    write_report(settings, "stop-follower", dataclasses.asdict(outcome))
    if not outcome.done:
        raise PowerError(outcome.text)
    return outcome.text


def _board_up(settings: Settings, lines: Lines, clock: Clock) -> str:
    if settings.board_up_gpio is None:
        return "there is no power board that must be told"
    return tell_board(settings.board_up_gpio, lines, clock)


def _sync() -> str:
    os.sync()
    return "everything is on the disks"


def main(arguments: Sequence[str], *, lines: Lines | None = None, clock: Clock | None = None) -> int:
    """Run one command: 0 done, 1 something did not work (said on standard error), 2 wrong settings or usage."""
    parser = argparse.ArgumentParser(
        prog="so2cam-power", description="What root does for the instrument; run by systemd.", allow_abbrev=False
    )
    parser.add_argument("--settings", type=Path, default=DEFAULT_PATH, help="settings file (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("after-start", help="start the follower")
    commands.add_parser("before-shutdown", help="stop the agent and the follower, sync")
    commands.add_parser("apply-schedule", help="give the power board the agent's schedule")
    commands.add_parser("set-clock", help="set the system's clock by the power board's, where that is ahead")
    commands.add_parser("board-up", help="tell the power board that the computer is up")
    commands.add_parser("test-follower", help="switch the follower off and on again, to test the wires")
    given = parser.parse_args(list(arguments))
    try:
        settings = load_settings(given.settings)
    except PowerError as error:
        _say(str(error))
        return 2
    header = lines or HeaderLines()
    try:
        if given.command == "after-start":
            return after_start(settings, header, clock or Clock())
        if given.command == "before-shutdown":
            return before_shutdown(settings, header, clock or Clock())
        if given.command == "test-follower":
            return test_follower(settings, header, clock or Clock())
        if given.command == "board-up":
            _say(_board_up(settings, header, clock or Clock()))
        elif given.command == "set-clock":
            _say("there is no power board" if settings.board is None else set_clock(settings.board))
        else:
            _say(apply_schedule(settings))
    except PowerError as error:
        _say(str(error))
        return 1
    except OSError as error:
        _say(f"{given.command} failed: {error}")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
