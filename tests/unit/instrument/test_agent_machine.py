"""What becomes of a node after its agent's end: restart, reboot, off; each asked for once, whatever is killed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from so2cam.formats.sitefile import load_site
from so2cam.instrument.agent import NodeAgent
from so2cam.instrument.commands import Commander
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.machine import RESTART_CODE, MadeUpMachine, SystemMachine, finish, later
from so2cam.link.ledger import Errand
from so2cam.link.messages import Done, Restart, Shutdown

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"


class FakeMachine:
    """A computer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def restart_agent(self) -> int:
        self.told.append("restart")
        return RESTART_CODE

    def reboot(self) -> None:
        self.told.append("reboot")

    def power_off(self) -> None:
        self.told.append("power-off")


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str = "boot-1") -> NodeAgent:
    monkeypatch.setattr("so2cam.instrument.agent.boot_id", lambda: boot)
    site = load_site(EXAMPLE).site
    assert site.instrument is not None
    storage = site.instrument.storage.model_copy(update={"folder": str(tmp_path / "data")})
    site = site.model_copy(update={"instrument": site.instrument.model_copy(update={"storage": storage})})
    return NodeAgent(site, tmp_path / "site.toml", "lead", tmp_path / "a.sock")


def text(result: Any) -> str:
    assert isinstance(result, Done)
    return result.text


@pytest.mark.parametrize(
    ("command", "told", "code"),
    [
        (Restart(), ["restart"], RESTART_CODE),
        (Restart(computer=True), ["reboot"], 0),
        (Shutdown(), [], 0),
        (Shutdown(power_off=True), ["power-off"], 0),
    ],
    ids=["restart", "reboot", "stop", "off"],
)
def test_each_command_ends_the_agent_and_the_computer_does_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, told: list[str], code: int
) -> None:
    agent, machine = make(tmp_path, monkeypatch), FakeMachine()
    Commander(agent).handle(command, Errand("k-1"))
    assert agent.stopping
    assert finish(agent._then, machine) == code
    assert machine.told == told
    with pytest.raises(InstrumentError, match="is stopping"):
        Commander(agent).handle(command, Errand("k-2"))


def test_the_wish_that_goes_further_is_done() -> None:
    assert later("restart", "stay") == later("stay", "restart") == "restart"
    assert later("power-off", "reboot") == later("reboot", "power-off") == "power-off"


def test_a_restart_that_was_cut_off_is_done_when_the_agent_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = make(tmp_path, monkeypatch)
    assert "was started anew" in text(Commander(again).handle(Restart(), Errand("k-1", again=True)))
    assert not again.stopping


def test_a_computer_is_rebooted_once_for_a_command_whatever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reboot = Restart(computer=True)
    Commander(make(tmp_path, monkeypatch)).handle(reboot, Errand("k-1"))
    killed = make(tmp_path, monkeypatch)  # the same boot: it was not rebooted yet
    Commander(killed).handle(reboot, Errand("k-1", again=True))
    assert killed._then == "reboot"
    after = make(tmp_path, monkeypatch, "boot-2")
    assert "was rebooted" in text(Commander(after).handle(reboot, Errand("k-1", again=True)))
    assert not after.stopping
    other = make(tmp_path, monkeypatch, "boot-2")  # another command of which nothing was done
    Commander(other).handle(reboot, Errand("k-2", again=True))
    assert other._then == "reboot"


def test_a_service_is_started_anew_by_systemd_and_another_program_by_itself() -> None:
    replaced: list[tuple[str, list[str]]] = []

    class ReplacedError(Exception):
        pass

    def replace(program: str, arguments: list[str]) -> NoReturn:
        replaced.append((program, arguments))
        raise ReplacedError

    service = {"NOTIFY_SOCKET": "/run/systemd/notify"}
    assert SystemMachine(environment=service, replace=replace).restart_agent() == RESTART_CODE
    assert replaced == []
    with pytest.raises(ReplacedError):
        SystemMachine(environment={}, replace=replace).restart_agent()
    with pytest.raises(ReplacedError):  # one that another process runs is not the service
        SystemMachine(service=False, environment=service, replace=replace).restart_agent()
    assert replaced == [(sys.executable, sys.orig_argv)] * 2


def test_systemd_is_asked_and_its_refusal_said() -> None:
    asked: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> int:
        asked.append(arguments)
        return 0

    finish("reboot", SystemMachine(environment={}, run=run))
    finish("power-off", SystemMachine(environment={}, run=run))
    assert asked == [["systemctl", "reboot"], ["systemctl", "poweroff"]]
    with pytest.raises(InstrumentError, match="cannot be rebooted") as caught:
        SystemMachine(environment={}, run=lambda _: 1).reboot()
    assert "allow the agent's account" in (caught.value.remedy or "")

    def missing(_: Sequence[str]) -> int:
        raise FileNotFoundError("systemctl")

    with pytest.raises(InstrumentError, match="cannot be switched off"):
        SystemMachine(environment={}, run=missing).power_off()


def test_a_computer_of_simulated_devices_is_left_alone() -> None:
    said: list[str] = []
    finish("reboot", MadeUpMachine(said.append))
    finish("power-off", MadeUpMachine(said.append))
    assert [("rebooted" in one, "so it is not" in one) for one in said] == [(True, True), (False, True)]
