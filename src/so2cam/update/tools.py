"""The programs that an update runs: Python, pip, systemctl, so2cam itself. Tests give others."""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Output:
    """What a program said: its exit code, standard output, and standard error."""

    code: int
    text: str = ""
    error: str = ""

    @property
    def said(self) -> str:
        """The last lines that it said, errors first."""
        return "\n".join((self.error.strip() or self.text.strip()).splitlines()[-6:])


Run = Callable[[Sequence[str], float], Output]
"""Runs a program with its arguments, for at most so long [s]."""


@dataclass(frozen=True, slots=True)
class Tools:
    """How programs are run, and how time goes: ``clock_s`` never goes back."""

    run: Run
    clock_s: Callable[[], float]
    sleep: Callable[[float], None]


def computer_tools() -> Tools:
    """Return those of this computer."""
    return Tools(_run, time.monotonic, time.sleep)


def _run(arguments: Sequence[str], timeout_s: float) -> Output:
    if shutil.which(arguments[0]) is None:
        return Output(127, error=f"{arguments[0]} is not there")
    try:
        # In a session of its own: a connection that breaks ends neither it nor what runs it.
        done = subprocess.run(  # noqa: S603 - no shell, arguments as planned
            list(arguments),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return Output(124, error=f"took longer than {timeout_s:g} s")
    except OSError as error:
        return Output(126, error=error.strerror or str(error))
    return Output(done.returncode, done.stdout, done.stderr)
