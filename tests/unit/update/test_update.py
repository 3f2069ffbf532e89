"""Updating: what is offered, the environment beside the old one, the switch, and what gives the old one back."""

import json
import os
import signal
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from so2cam.cli.main import run
from so2cam.cli.update import say, unbroken
from so2cam.update import applying
from so2cam.update.applying import apply, confirm, give_back
from so2cam.update.errors import UpdateError
from so2cam.update.layout import LastUpdate, Layout
from so2cam.update.offers import Offer, offer_of_index, offer_of_wheel
from so2cam.update.parts import AGENT, STATION, Part
from so2cam.update.places import program_of
from so2cam.update.tools import Output, Tools

NEW = Offer("0.2.0", "file:///so2cam-0.2.0-py3-none-any.whl")


def environment(place: Path, version: str, *, system: bool = False) -> None:
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text(f"include-system-site-packages = {str(system).lower()}\n", encoding="utf-8")
    (place / "bin" / "python").write_text("", encoding="utf-8")
    (place / "version").write_text(version, encoding="utf-8")


@dataclass
class Computer:
    """A computer with environments at ``link``, a service that runs what the link leads to, and a clock of its own."""

    link: Path
    running: str | None = "0.1.0"
    fails: dict[str, str] = field(default_factory=dict)
    """what goes wrong: a word of the command, and the version with which it does, or any"""
    devices: dict[str, dict[str, str]] = field(default_factory=dict)
    findings: dict[str, dict[str, str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    now_s: float = 0.0
    interrupt: bool = False

    @property
    def tools(self) -> Tools:
        return Tools(self.run, lambda: self.now_s, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.interrupt:
            self.interrupt = False
            raise KeyboardInterrupt

    def run(self, arguments: Sequence[str], timeout_s: float) -> Output:
        assert timeout_s > 0
        self.ran.append(" ".join(arguments))
        if arguments[0] == "systemctl":
            return self._system(arguments[1])
        prefix = Path(arguments[0]).parent.parent
        if "venv" in arguments:
            environment(Path(arguments[-1]), "none", system="--system-site-packages" in arguments)
            return self._or_fails("venv", "")
        if "pip" in arguments:
            (prefix / "version").write_text(NEW.version, encoding="utf-8")
            return self._or_fails("pip", "")
        version = (prefix / "version").read_text(encoding="utf-8")
        for word in ("--version", "check", "compile", "doctor", "status"):
            if word in arguments:
                return self._or_fails(word, version, self._answer(word, version))
        raise AssertionError(arguments)

    def _answer(self, word: str, version: str) -> str:
        if word == "doctor":
            bad = self.findings.get(version, {})
            lines = [
                {"topic": topic, "title": topic, "verdict": "bad", "text": text, "remedy": ""}
                for topic, text in bad.items()
            ]
            return json.dumps({"lines": lines})
        if word == "status":
            if self.running is None:
                return ""
            states = self.devices.get(self.running, {"camera-on": "capturing"})
            devices = [{"name": name, "state": state} for name, state in states.items()]
            services = [{"name": "live", "state": "running"}]
            return json.dumps({"version": self.running, "devices": devices, "alarms": [], "services": services})
        return f"so2cam {version}"

    def _or_fails(self, word: str, version: str, text: str = "") -> Output:
        if self.fails.get(word, "-") in (version, "any"):
            return Output(2, "", f"{word} went wrong")
        return Output(0, text)

    def _system(self, word: str) -> Output:
        if word == "restart":
            version = (self.link / "version").read_text(encoding="utf-8")
            self.running = None if self.fails.get("start") == version else version
            return Output(1, "", "job failed") if self.fails.get("restart") == version else Output(0)
        return Output(0, "active\n") if self.running else Output(3, "failed\n")


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    environment(tmp_path / "so2cam.d" / "0.1.0", "0.1.0", system=True)
    (tmp_path / "so2cam").symlink_to("so2cam.d/0.1.0")
    return Computer(tmp_path / "so2cam")


def part(tmp_path: Path, node: str | None = "lead") -> Part:
    return Part(tmp_path / "site.toml", node, AGENT if node else STATION)


def update(computer: Computer, tmp_path: Path, node: str | None = "lead", **more: Any) -> applying.Outcome:
    return apply(Layout(computer.link), part(tmp_path, node), NEW, computer.tools, computer.said.append, **more)


# --- what goes well --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["lead", None])
def test_a_new_version_is_built_beside_checked_switched_to_and_seen_well(
    computer: Computer, tmp_path: Path, node: str | None
) -> None:
    outcome = update(computer, tmp_path, node)
    assert outcome == applying.Outcome(True, "0.2.0")
    layout = Layout(computer.link)
    assert computer.link.readlink() == Path("so2cam.d/0.2.0")
    assert (layout.folder / "0.1.0" / "pyvenv.cfg").exists(), "the one before stands there still"
    assert layout.last() == LastUpdate("0.1.0", "0.2.0", "done")
    assert layout.sees_system(), "it sees the system's packages as the one before did"
    words = [one.replace(str(tmp_path), "") for one in computer.ran]
    assert (
        f"-m pip install --quiet --disable-pip-version-check so2cam[{'instrument' if node else 'station'}] @"
        in " ".join(words)
    )
    checked = next(place for place, one in enumerate(words) if " check " in one)
    restarted = next(place for place, one in enumerate(words) if "systemctl restart" in one)
    assert checked < restarted
    assert computer.now_s >= applying.STEADY_S, "one that falls again at once is not well"


def test_the_first_update_moves_an_environment_that_stands_at_the_place_itself(tmp_path: Path) -> None:
    environment(tmp_path / "so2cam", "0.1.0")
    computer = Computer(tmp_path / "so2cam")
    assert update(computer, tmp_path).done
    assert computer.link.readlink() == Path("so2cam.d/0.2.0")
    back = give_back(Layout(computer.link), part(tmp_path), computer.tools, computer.said.append)
    assert (back.done, back.version, computer.running) == (True, "0.1.0", "0.1.0")
    assert computer.link.readlink() == Path("so2cam.d/0.1.0")


def test_what_is_older_than_the_one_before_is_removed(computer: Computer, tmp_path: Path) -> None:
    environment(tmp_path / "so2cam.d" / "0.0.9", "0.0.9")
    update(computer, tmp_path)
    assert sorted(one.name for one in (tmp_path / "so2cam.d").iterdir() if one.is_dir()) == ["0.1.0", "0.2.0"]


def test_the_same_version_again_stands_beside_the_first(computer: Computer, tmp_path: Path) -> None:
    update(computer, tmp_path)
    assert update(computer, tmp_path).done
    assert computer.link.readlink() == Path("so2cam.d/0.2.0-2")


def test_without_a_restart_only_the_link_is_switched(computer: Computer, tmp_path: Path) -> None:
    assert update(computer, tmp_path, restart=False).done
    assert computer.running == "0.1.0"
    assert not any("systemctl restart" in one for one in computer.ran)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "version", "said"),
    [
        ("venv", "any", "cannot be made"),
        ("pip", "any", "cannot be installed"),
        ("--version", "0.2.0", "does not run"),
        ("check", "0.2.0", "refuses the site file"),
        ("doctor", "0.2.0", "doctor of the new version does not run"),
    ],
)
def test_what_goes_wrong_before_the_switch_changes_nothing(
    computer: Computer, tmp_path: Path, word: str, version: str, said: str
) -> None:
    computer.fails[word] = version
    with pytest.raises(UpdateError, match=said):
        update(computer, tmp_path)
    assert computer.link.readlink() == Path("so2cam.d/0.1.0")
    assert not (tmp_path / "so2cam.d" / "0.2.0").exists()
    assert not any("systemctl restart" in one for one in computer.ran)


def test_the_doctor_stops_what_is_new_and_not_what_was_so_before(computer: Computer, tmp_path: Path) -> None:
    computer.findings = {"0.1.0": {"GPS": "no fix"}, "0.2.0": {"GPS": "no fix", "installation": "3 files differ"}}
    assert update(computer, tmp_path).done
    assert "  as before: GPS: no fix" in computer.said
    computer.findings["0.2.0"] = {"GPS": "no fix"}
    computer.running = "0.1.0"
    (tmp_path / "so2cam.d" / "0.2.0" / "version").write_text("0.1.0", encoding="utf-8")
    computer.findings["0.2.0"] = {"camera": "cannot be opened"}
    with pytest.raises(UpdateError, match="finds what the old one does not: camera"):
        update(computer, tmp_path)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"restart": "0.2.0"}, "does not start: job failed"),
        ({"start": "0.2.0"}, "is failed"),
        ({"status": "0.2.0"}, "does not answer: status went wrong"),
    ],
)
def test_a_service_that_does_not_come_up_well_is_given_back(
    computer: Computer, tmp_path: Path, fault: dict[str, str], why: str
) -> None:
    computer.fails = fault
    outcome = update(computer, tmp_path)
    assert not outcome.done
    assert why in outcome.why
    assert outcome.why.endswith("it runs again")
    assert computer.link.readlink() == Path("so2cam.d/0.1.0")
    assert computer.running == "0.1.0"
    assert Layout(computer.link).last() == LastUpdate("0.1.0", "0.2.0", "given back")
    with pytest.raises(UpdateError, match="no update to go back from"):
        give_back(Layout(computer.link), part(tmp_path), computer.tools, computer.said.append)


def test_a_device_that_fails_with_the_new_version_only_gives_the_old_one_back(
    computer: Computer, tmp_path: Path
) -> None:
    computer.devices = {"0.1.0": {"a": "capturing", "b": "waiting"}, "0.2.0": {"a": "waiting", "b": "waiting"}}
    outcome = update(computer, tmp_path)
    assert (outcome.done, "what was well is not: a;" in outcome.why) == (False, True)
    computer.devices["0.2.0"]["a"] = "capturing"
    assert update(computer, tmp_path).done, "b was not well before"


def test_an_interruption_after_the_switch_gives_the_old_one_back(computer: Computer, tmp_path: Path) -> None:
    computer.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        update(computer, tmp_path)
    assert computer.link.readlink() == Path("so2cam.d/0.1.0")
    assert computer.running == "0.1.0"


def test_an_update_that_was_cut_off_is_seen_kept_or_given_back(computer: Computer, tmp_path: Path) -> None:
    layout = Layout(computer.link)
    environment(layout.folder / "0.2.0", "0.2.0")
    with pytest.raises(UpdateError, match="no update was cut off"):
        confirm(layout)
    layout.note(LastUpdate("0.1.0", "0.2.0", "switched"))
    layout.switch("0.2.0")  # and here the power went
    with pytest.raises(UpdateError, match="was cut off"):
        update(computer, tmp_path)
    assert confirm(layout) == "0.2.0"
    layout.note(LastUpdate("0.1.0", "0.2.0", "switched"))
    assert give_back(layout, part(tmp_path), computer.tools, computer.said.append).version == "0.1.0"


def test_two_updates_at_once_are_refused(computer: Computer, tmp_path: Path) -> None:
    with Layout(computer.link).locked(), pytest.raises(UpdateError, match="another update goes on"):
        update(computer, tmp_path)


def test_a_place_without_an_environment_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="is no environment"):
        _ = Layout(tmp_path / "nothing").current
    (tmp_path / "so2cam").symlink_to("so2cam.d/gone")
    with pytest.raises(UpdateError, match="where no environment"):
        _ = Layout(tmp_path / "so2cam").current


def test_a_link_that_cannot_be_put_leaves_the_environment_where_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path / "so2cam", "0.1.0")
    environment(tmp_path / "so2cam.d" / "0.2.0", "0.2.0")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UpdateError, match="cannot be switched: No space"):
        Layout(tmp_path / "so2cam").switch("0.2.0")
    assert (tmp_path / "so2cam" / "pyvenv.cfg").is_file()


def test_services_name_the_link_and_not_the_version_behind_it(computer: Computer, tmp_path: Path) -> None:
    assert program_of(tmp_path / "so2cam.d" / "0.1.0") == tmp_path / "so2cam" / "bin" / "so2cam"
    environment(tmp_path / "so2cam.d" / "0.2.0", "0.2.0")
    assert program_of(tmp_path / "so2cam.d" / "0.2.0") == tmp_path / "so2cam.d" / "0.2.0" / "bin" / "so2cam"
    assert program_of(Path("/usr")) == Path("/usr/bin/so2cam")


# --- what is offered -------------------------------------------------------------------------------------------------


def wheel(path: Path, name: str = "so2cam", version: str = "0.2.0") -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("so2cam/__init__.py", "")
        packed.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n\nwords\n")
    return path


def test_a_wheel_says_which_version_it_is(tmp_path: Path) -> None:
    offer = offer_of_wheel(wheel(tmp_path / "a.whl"), tmp_path)
    assert (offer.version, offer.requirement("station")) == (
        "0.2.0",
        f"so2cam[station] @ {(tmp_path / 'a.whl').as_uri()}",
    )
    assert offer.pip_options() == ("--no-index", "--find-links", str(tmp_path))
    for name, content, said in (("b.whl", b"junk", "is no wheel"), ("c.whl", None, "cannot be read")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UpdateError, match=said):
            offer_of_wheel(tmp_path / name)
    with pytest.raises(UpdateError, match="no wheel of so2cam"):
        offer_of_wheel(wheel(tmp_path / "d.whl", "other"))
    damaged = bytearray((tmp_path / "a.whl").read_bytes())
    damaged[damaged.index(b"words")] ^= 1
    (tmp_path / "a.whl").write_bytes(damaged)
    with pytest.raises(UpdateError, match="is damaged"):
        offer_of_wheel(tmp_path / "a.whl")


def test_the_index_is_asked_by_pip(tmp_path: Path) -> None:
    asked: list[str] = []
    answers = [
        Output(0, json.dumps({"install": [{"metadata": {"version": "0.3.0"}}]})),
        Output(1, "", "ERROR: No matching distribution"),
        Output(0, "{}"),
    ]

    def run_(arguments: Sequence[str], _timeout_s: float) -> Output:
        asked.append(" ".join(arguments))
        return answers.pop(0)

    tools = Tools(run_, lambda: 0.0, lambda _: None)
    assert offer_of_index(Path("/p"), tools).requirement("instrument") == "so2cam[instrument]==0.3.0"
    assert asked[0].endswith("--report - so2cam")
    for _ in range(2):
        with pytest.raises(UpdateError, match="does not offer so2cam==9"):
            offer_of_index(Path("/p"), tools, "9", tmp_path)
    assert f"--no-index --find-links {tmp_path} so2cam==9" in asked[1]


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_in_use_and_offered(
    computer: Computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("so2cam.cli.update.computer_tools", lambda: computer.tools)
    found, at = str(wheel(tmp_path / "a.whl")), str(computer.link)
    assert run(["update", "check", "--wheel", found, "--at", at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"in_use": "0.1.0", "offered": "0.2.0", "cut_off": False}
    site = str(tmp_path / "site.toml")
    assert run(["update", "apply", site, "--wheel", found, "--at", at]) == 2
    assert run(["update", "apply", site, "--node", "lead", "--wheel", found, "--at", at, "--version", "9"]) == 2
    assert "--node NAME, or --station" in capsys.readouterr().err
    assert run(["update", "apply", site, "--node", "lead", "--wheel", found, "--at", at]) == 0
    assert "so2cam 0.2.0 runs, and is well" in capsys.readouterr().out
    assert run(["update", "rollback", site, "--node", "lead", "--at", at]) == 0
    assert computer.running == "0.1.0"
    computer.fails["start"] = "0.2.0"
    assert run(["update", "apply", site, "--node", "lead", "--wheel", found, "--at", at]) == 1
    assert "the version before was given back" in " ".join(capsys.readouterr().err.split())


def test_a_broken_connection_does_not_end_an_update_and_a_wish_to_end_does(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    with unbroken():
        os.kill(os.getpid(), signal.SIGHUP)
        say("still here")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before
    assert "still here" in capsys.readouterr().out


def test_who_looked_on_and_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def gone(*words: object, **_: object) -> None:
        asked.append(words)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("so2cam.cli.update.console.print", gone)
    say("to nobody")
    assert asked == [("to nobody",)]
