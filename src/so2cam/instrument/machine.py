"""What becomes of a node when its agent has ended: it stays so, starts anew, or the computer does, or is switched off.

An agent that runs as a service ends with ``RESTART_CODE``, and systemd starts it anew; any other replaces itself by the
same command line. Either way the site file is read anew, and the software that is installed now runs.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NoReturn, Protocol

from so2cam.instrument.errors import InstrumentError

Afterwards = Literal["stay", "restart", "reboot", "power-off"]
_ORDER: Final[tuple[Afterwards, ...]] = ("stay", "restart", "reboot", "power-off")
RESTART_CODE: Final = 75
"""With this exit code a service asks systemd to start it anew (``Restart=on-failure`` is enough for it)"""
_SYSTEMD_S: Final = 15.0


class Machine(Protocol):
    """The computer that an agent runs on, and what starts the agent there."""

    def restart_agent(self) -> int:
        """Have the agent started anew: return the exit code that asks for it, or do not return."""
        ...

    def reboot(self) -> None:
        """Begin to shut the computer down and start it again. Raises InstrumentError."""
        ...

    def power_off(self) -> None:
        """Begin to switch the computer off. Raises InstrumentError."""
        ...


def later(one: Afterwards, other: Afterwards) -> Afterwards:
    """Return what of two wishes is done: the one that goes further."""
    return max(one, other, key=_ORDER.index)


def finish(then: Afterwards, machine: Machine) -> int:
    """Do what was asked for after an agent's end; return the exit code of the program. Raises InstrumentError."""
    if then == "restart":
        return machine.restart_agent()
    if then == "reboot":
        machine.reboot()
    elif then == "power-off":
        machine.power_off()
    return 0


class SystemMachine:
    """The computer that this runs on, with systemd where the agent is its service."""

    def __init__(
        self,
        *,
        service: bool | None = None,
        environment: Mapping[str, str] | None = None,
        run: Callable[[Sequence[str]], int] | None = None,
        replace: Callable[[str, list[str]], NoReturn] = os.execv,
    ) -> None:
        """``service``: whether systemd runs this very process; None: as its environment says."""
        known = os.environ if environment is None else environment
        self._service = "NOTIFY_SOCKET" in known if service is None else service
        self._run = run or _systemctl
        self._replace = replace

    def restart_agent(self) -> int:
        """See ``Machine``."""
        if not self._service:
            self._replace(sys.executable, list(sys.orig_argv))
        return RESTART_CODE

    def reboot(self) -> None:
        """See ``Machine``."""
        self._ask("reboot", "rebooted", "reboot it by hand, or run `so2cam instrument install` there")

    def power_off(self) -> None:
        """See ``Machine``."""
        self._ask("poweroff", "switched off", "switch it off by hand")

    def _ask(self, verb: str, words: str, remedy: str) -> None:
        """Ask systemd, as the power hooks expect it."""
        try:
            code = self._run(["systemctl", verb])
        except (OSError, subprocess.SubprocessError) as error:
            raise InstrumentError(f"the computer cannot be {words}: {error}", remedy=remedy) from None
        if code:
            raise InstrumentError(
                f"the computer cannot be {words}", value=code, remedy=f"allow the agent's account to do it; or {remedy}"
            )


class MadeUpMachine(SystemMachine):
    """The computer of a node whose devices are simulated: it is left alone, and ``say`` says so."""

    def __init__(self, say: Callable[[str], None], *, service: bool | None = None) -> None:
        super().__init__(service=service)
        self._say = say

    def reboot(self) -> None:
        """See ``Machine``."""
        self._say("the computer would be rebooted now; its devices are simulated, so it is not")

    def power_off(self) -> None:
        """See ``Machine``."""
        self._say("the computer would be switched off now; its devices are simulated, so it is not")


def _systemctl(arguments: Sequence[str]) -> int:
    return subprocess.run(arguments, timeout=_SYSTEMD_S, check=False).returncode  # noqa: S603 - named above
