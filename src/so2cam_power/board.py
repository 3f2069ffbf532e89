"""Handing the power board's own software a new schedule; telling a board without it that the computer is up.

The agent, which is not root, writes the file; here it is checked letter by letter before root uses it, and root runs
the board's program only where nobody but root could have changed it.
"""

import os
import re
import secrets
from pathlib import Path

from so2cam_power.clock import Clock
from so2cam_power.commands import Runner, run
from so2cam_power.errors import PowerError
from so2cam_power.gpio import Lines
from so2cam_power.settings import Settings, require_trusted

_LINE = re.compile(r"(?:#[ -~]*|(?:BEGIN|END) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d|(?:ON|OFF)(?: [DHMS]\d{1,5}){1,4})?")
_LONGEST = 65_536
_SERIAL = ("serial0", "ttyAMA0")
"""Serial lines of the header: of a Raspberry Pi to 4, and of a 5."""


def apply_schedule(settings: Settings, runner: Runner = run) -> str:
    """Copy the agent's schedule to the board's folder and run the board's program; return what was done.

    Raises PowerError where the settings name no file or folder, the file is no schedule, or somebody other than root
    can change the folder. A schedule that is there already is not applied again.
    """
    if settings.board_folder is None or settings.schedule_file is None:
        raise PowerError("the settings name no power board's software; nothing to do")
    text = read_schedule(Path(settings.schedule_file))
    folder = Path(settings.board_folder)
    program = folder / "runScript.sh"
    try:
        # The program reads others beside it.
        for each in (program, *sorted(folder.glob("*.sh"))):
            require_trusted(each)
    except FileNotFoundError:
        raise PowerError(f"{program} is missing: install the board's software into {folder}") from None
    target = folder / "schedule.wpi"
    try:
        if target.read_bytes() == text:
            return f"{target} is as wanted already"
    except FileNotFoundError:
        pass
    _replace(target, text)
    runner([str(program)], 60.0)
    return f"{target} is new, and {program} has set the next times"


def tell_board(gpio: int, lines: Lines, clock: Clock, devices: Path = Path("/dev")) -> str:
    """Tell the board that the computer is up; from then on the board cuts the power when the computer has halted.

    Without that a computer that halts keeps its power, and the board's alarm cannot start it again. The board sees a
    halt by the serial output (GPIO 14), which is low from then on: where it is not in use, it is low all the time, and
    the board would cut the power at once. So it is told nothing there: PowerError. (Firmware and programs of Witty Pi
    3 and 4: one pulse for the first, two for the second, whose line is also that of its lamp.)
    """
    if not any((devices / name).exists() for name in _SERIAL):
        raise PowerError(
            "the serial output on GPIO 14 is off, by which the board sees a halt: install the node again "
            "(enable_uart=1) and restart it"
        )
    for _ in range(2):
        lines.pulse_high(gpio, 0.5)
        clock.sleep(0.5)
    return f"the board knows by GPIO {gpio} that the computer is up"


def read_schedule(path: Path) -> bytes:
    """Return the schedule file's bytes. Raises PowerError for a link, a file that is too long, or any odd line."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PowerError(f"{path} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise PowerError(f"{path} is too long for a schedule")
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise PowerError(f"{path} is no schedule: it holds other signs than plain text") from None
    for number, line in enumerate(lines, 1):
        if not _LINE.fullmatch(line):
            # What it says instead is not shown: a log is no place for lines of files that root alone may read.
            raise PowerError(f"{path}, line {number}, is no line of a schedule")
    words = [line.split(" ", 1)[0] for line in lines if line and not line.startswith("#")]
    if words[:2] != ["BEGIN", "END"] or "ON" not in words[2:] or "OFF" not in words[2:]:
        raise PowerError(f"{path} is no schedule: it needs BEGIN, END, ON and OFF")
    return data


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PowerError(f"{target} cannot be written: {error.strerror}") from None
