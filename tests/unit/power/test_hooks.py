import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from so2cam_power.agent import ask_to_stop
from so2cam_power.board import apply_schedule, tell_board
from so2cam_power.clock import Clock, wait_until
from so2cam_power.commands import run
from so2cam_power.errors import PowerError
from so2cam_power.follower import reachable, start_follower, stop_follower
from so2cam_power.main import main
from so2cam_power.settings import Follower, Settings, load_settings, require_trusted

FOLLOWER = Follower(address="127.0.0.1", start_timeout_s=120, stop_timeout_s=40)
SCHEDULE = "# comment\nBEGIN 2023-04-17 09:00:00\nEND 2037-12-31 23:59:59\nON H8 M0\nOFF H16 M0\n"


class FakeClock(Clock):
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(lambda: self.now, self.pass_time)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


class FakeLines:
    """The two wires to a follower that starts and stops some time after a pulse."""

    def __init__(self, clock: FakeClock, *, on: bool = False, start_s: float = 30, deaf_pulses: int = 0) -> None:
        self.clock, self.on, self.start_s, self.deaf = clock, on, start_s, deaf_pulses
        self.changes_at: float | None = None
        self.pulses: list[int] = []
        self.stops = True

    def pulse_low(self, number: int, duration_s: float) -> None:
        self.clock.pass_time(duration_s)
        self.pulses.append(number)
        if number == 23 and not self.on and self.changes_at is None:
            if self.deaf:
                self.deaf -= 1
            else:
                self.changes_at = self.clock.now + self.start_s
        if number == 16 and self.on and self.stops:
            self.changes_at = self.clock.now + 8

    def pulse_high(self, number: int, duration_s: float) -> None:
        self.clock.pass_time(duration_s)
        self.pulses.append(number)

    def read(self, number: int, pull: int) -> bool:
        return self.on

    def reachable(self, follower: Follower) -> bool:
        if self.changes_at is not None and self.clock.now >= self.changes_at:
            self.on, self.changes_at = not self.on, None
        return self.on


def test_the_follower_is_started_and_waited_for() -> None:
    clock = FakeClock()
    lines = FakeLines(clock)
    outcome = start_follower(FOLLOWER, lines, clock, lines.reachable)
    assert outcome.done
    assert lines.pulses == [23]
    assert outcome.after_s == pytest.approx(31, abs=2)


def test_a_follower_that_is_on_is_left_alone() -> None:
    clock = FakeClock()
    lines = FakeLines(clock, on=True)
    assert start_follower(FOLLOWER, lines, clock, lines.reachable).done
    assert lines.pulses == []


def test_a_follower_that_misses_a_pulse_gets_another() -> None:
    clock = FakeClock()
    lines = FakeLines(clock, deaf_pulses=1)
    outcome = start_follower(FOLLOWER, lines, clock, lines.reachable)
    assert outcome.done
    assert lines.pulses == [23, 23]


def test_a_dead_follower_ends_the_wait_with_what_to_do() -> None:
    clock = FakeClock()
    lines = FakeLines(clock, deaf_pulses=99)
    outcome = start_follower(FOLLOWER, lines, clock, lines.reachable)
    assert not outcome.done
    assert lines.pulses == [23] * 3
    assert clock.now < 130
    assert "check its power, the wire to its GPIO 3" in outcome.text


def test_the_follower_is_stopped_by_one_pulse() -> None:
    clock = FakeClock()
    lines = FakeLines(clock, on=True)
    outcome = stop_follower(FOLLOWER, lines, clock, lines.reachable)
    assert outcome.done
    assert lines.pulses == [16]
    assert stop_follower(FOLLOWER, lines, clock, lines.reachable).text.endswith("was off already")
    lines.on, lines.stops = True, False
    outcome = stop_follower(FOLLOWER, lines, clock, lines.reachable)
    assert not outcome.done
    assert lines.pulses == [16, 16]
    assert "gpio-shutdown" in outcome.text


def test_a_wait_ends_even_where_the_clock_stands_still() -> None:
    asked = []
    assert not wait_until(lambda: bool(asked.append(1)), 10, Clock(lambda: 0.0, lambda _: None))
    assert len(asked) == 12


def test_a_computer_that_refuses_is_there_and_a_silent_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reachable(Follower(address="127.0.0.1", port=port))
    assert reachable(Follower(address="127.0.0.1", port=port))

    def silent(address: tuple[str, int], timeout: float) -> socket.socket:
        assert timeout == 0.2
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert not reachable(Follower(address="127.0.0.1"), timeout_s=0.2)


@contextlib.contextmanager
def agent(path: Path, answer: bytes | None) -> Iterator[list[bytes]]:
    """An agent that reads one line and answers it (None: stays silent)."""
    heard: list[bytes] = []
    done = threading.Event()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    server.settimeout(10)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            heard.append(connection.recv(65_536))
            if answer is not None:
                connection.sendall(answer)
            else:
                done.wait(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        done.set()
        thread.join(10)
        server.close()


def reply(**result: object) -> bytes:
    return json.dumps({"id": 1, "result": result}).encode() + b"\n"


def test_the_agent_is_asked_with_a_message_it_knows(tmp_path: Path) -> None:
    from so2cam.link.messages import Shutdown, parse_request

    with agent(tmp_path / "a.sock", reply(type="done", text="stopping", outcomes=[])) as heard:
        assert ask_to_stop(str(tmp_path / "a.sock"), 5) == "stopping"
    assert parse_request(heard[0]).command == Shutdown()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (reply(type="refused", text="darks are going on"), "refused: darks"),
        (b"nonsense\n", "cannot be understood"),
        (b'{"id": 1, "result": 7}\n', "cannot be understood"),
        (b"", "ended the connection"),
        (None, "did not answer within 0.3 s"),
    ],
)
def test_an_agent_that_does_not_stop_is_an_error_in_time(tmp_path: Path, answer: bytes | None, complaint: str) -> None:
    with agent(tmp_path / "a.sock", answer), pytest.raises(PowerError, match=complaint):
        ask_to_stop(str(tmp_path / "a.sock"), 0.3)


def test_no_agent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PowerError, match="cannot be reached"):
        ask_to_stop(str(tmp_path / "none.sock"), 1)


def settings_file(folder: Path, **values: object) -> Path:
    path = folder / "power.json"
    content = {"node": "lead", "socket": str(folder / "a.sock"), "report_folder": str(folder / "run"), **values}
    path.write_text(json.dumps(content), encoding="utf-8")
    path.chmod(0o644)
    return path


def test_before_shutdown_does_every_step_whatever_the_others_do(tmp_path: Path) -> None:
    clock = FakeClock()
    lines = FakeLines(clock, on=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        follower = {"address": "127.0.0.1", "port": server.getsockname()[1], "stop_timeout_s": 3}
        path = settings_file(tmp_path, follower=follower)
        code = main(["--settings", str(path), "before-shutdown"], lines=lines, clock=clock)
    # There is no agent, and the follower (a server that stays) does not go off; the disks are synced all the same.
    assert code == 1
    assert lines.pulses == [16]
    report = json.loads((tmp_path / "run" / "before-shutdown.json").read_text())
    assert report["done"] is False
    assert "cannot be reached" in report["steps"][0]
    assert "still answers" in report["steps"][1]
    assert report["steps"][2] == "everything is on the disks"


def test_the_wires_are_tested_by_using_them(tmp_path: Path) -> None:
    clock = FakeClock()
    lines = FakeLines(clock, on=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        follower = {"address": "127.0.0.1", "port": server.getsockname()[1], "stop_timeout_s": 3}
        path = settings_file(tmp_path, follower=follower)
        assert main(["--settings", str(path), "test-follower"], lines=lines, clock=clock) == 1
    # A server that stays is a follower that does not stop: the stop wire is broken, and that is on record.
    assert json.loads((tmp_path / "run" / "stop-follower.json").read_text())["done"] is False
    assert main(["--settings", str(settings_file(tmp_path)), "test-follower"]) == 1


def test_after_start_reports_for_the_agent(tmp_path: Path) -> None:
    clock = FakeClock()
    with socket.create_server(("127.0.0.1", 0)) as server:
        path = settings_file(tmp_path, follower={"address": "127.0.0.1", "port": server.getsockname()[1]})
        assert main(["--settings", str(path), "after-start"], lines=FakeLines(clock), clock=clock) == 0
    assert json.loads((tmp_path / "run" / "after-start.json").read_text())["done"] is True
    assert main(["--settings", str(settings_file(tmp_path)), "after-start"]) == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"node": "a", "socket": "b", "more": 1}', "{nonsense"])
def test_wrong_settings_are_one_sentence_and_code_2(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "power.json"
    path.write_text(content)
    path.chmod(0o600)
    assert main(["--settings", str(path), "after-start"]) == 2
    assert "install" in capsys.readouterr().err
    assert main(["--settings", str(tmp_path / "none.json"), "after-start"]) == 2
    assert "is missing" in capsys.readouterr().err


def test_what_others_can_change_is_not_trusted(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    require_trusted(path)
    assert load_settings(path).node == "lead"
    path.chmod(0o664)
    with pytest.raises(PowerError, match=r"others can write to .*power\.json.*chmod go-w"):
        load_settings(path)
    path.chmod(0o644)
    tmp_path.chmod(0o777)
    with pytest.raises(PowerError, match="others can write"):
        load_settings(path)
    tmp_path.chmod(0o700)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    require_trusted(link)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        with pytest.raises(PowerError, match="belongs to another user"):
            require_trusted(link)


def board(tmp_path: Path) -> tuple[Settings, list[Sequence[str]]]:
    folder = tmp_path / "wittypi"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "runScript.sh").write_text("#!/bin/sh\n")
    (folder / "runScript.sh").chmod(0o755)
    (tmp_path / "schedule.wpi").write_text(SCHEDULE)
    settings = Settings(node="lead", socket="", board_folder=str(folder), schedule_file=str(tmp_path / "schedule.wpi"))
    return settings, []


def test_a_new_schedule_reaches_the_board_once(tmp_path: Path) -> None:
    settings, calls = board(tmp_path)

    def runner(arguments: Sequence[str], timeout_s: float) -> str:
        calls.append(arguments)
        return ""

    assert "is new" in apply_schedule(settings, runner)
    assert (tmp_path / "wittypi" / "schedule.wpi").read_text() == SCHEDULE
    assert calls == [[str(tmp_path / "wittypi" / "runScript.sh")]]
    assert "already" in apply_schedule(settings, runner)
    assert len(calls) == 1
    assert [path.name for path in (tmp_path / "wittypi").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        SCHEDULE + "$(reboot)\n",
        SCHEDULE.replace("ON H8 M0", "ON H8 M0; reboot"),
        SCHEDULE.replace("ON H8 M0", "ON `reboot`"),
        SCHEDULE.replace("comment", "comment\x1b[2J"),
        SCHEDULE.replace("BEGIN", "begin"),
        SCHEDULE.replace("OFF H16 M0\n", ""),
        SCHEDULE + "\u00e9\n",
        "#" * 70_000,
    ],
)
def test_no_odd_schedule_ever_reaches_the_board(tmp_path: Path, text: str) -> None:
    settings, _ = board(tmp_path)
    (tmp_path / "schedule.wpi").write_text(text)
    with pytest.raises(PowerError):
        apply_schedule(settings, lambda *_: pytest.fail("the board's program was run"))
    assert not (tmp_path / "wittypi" / "schedule.wpi").exists()


def test_a_link_or_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    settings, _ = board(tmp_path)
    (tmp_path / "schedule.wpi").rename(tmp_path / "other.wpi")
    (tmp_path / "schedule.wpi").symlink_to(tmp_path / "other.wpi")
    with pytest.raises(PowerError, match="cannot be read"):
        apply_schedule(settings, lambda *_: "")
    (tmp_path / "other.wpi").replace(tmp_path / "schedule.wpi")
    helper = tmp_path / "wittypi" / "utilities.sh"
    helper.write_text("")
    helper.chmod(0o666)
    with pytest.raises(PowerError, match=r"others can write to .*utilities\.sh"):
        apply_schedule(settings, lambda *_: "")
    helper.unlink()
    (tmp_path / "wittypi").chmod(0o777)
    with pytest.raises(PowerError, match="others can write"):
        apply_schedule(settings, lambda *_: "")
    with pytest.raises(PowerError, match="name no power board"):
        apply_schedule(Settings(node="lead", socket=""), lambda *_: "")


def test_programs_of_the_system_have_an_end_and_no_shell() -> None:
    assert run(["echo", "$HOME; ls"], 5) == "$HOME; ls\n"
    with pytest.raises(PowerError, match=r"took longer than 0\.2 s"):
        run(["sleep", "5"], 0.2)
    with pytest.raises(PowerError, match="is not installed"):
        run(["no-such-program"], 1)
    with pytest.raises(PowerError, match=r"failed \(\d+\): .*cannot access"):
        run(["ls", "/no/such/folder"], 5)


def test_it_runs_alone_in_an_empty_environment(tmp_path: Path) -> None:
    """As root runs it: isolated, without site packages, without any variable, from a folder of its own."""
    import shutil
    import sys

    import so2cam_power

    source = Path(so2cam_power.__file__).parent
    shutil.copytree(source, tmp_path / "hooks" / "so2cam_power", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "__main__.py", tmp_path / "hooks" / "__main__.py")
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    command = [str(python if python.exists() else sys.executable), "-I", "-S", str(tmp_path / "hooks")]
    path = settings_file(tmp_path)
    done = subprocess.run(
        [*command, "--settings", str(path), "after-start"],
        env={},
        capture_output=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"this computer has no follower to start\n"
    # And it imports nothing but the standard library: without site packages anything else would have failed above.
    listing = "import sys; sys.path.insert(0, sys.argv[1]); import so2cam_power.main; print(*sorted(sys.modules))"
    seen = subprocess.run(
        [*command[:3], "-c", listing, str(tmp_path / "hooks")], env={}, capture_output=True, timeout=60, check=True
    )
    outside = (
        {name.split(".")[0] for name in seen.stdout.decode().split()}
        - set(sys.stdlib_module_names)
        - {"so2cam_power", "__main__"}
    )
    assert outside == set()


def test_the_board_is_told_only_where_it_can_see_a_halt(tmp_path: Path) -> None:
    clock = FakeClock()
    lines = FakeLines(clock)
    with pytest.raises(PowerError, match="serial output on GPIO 14 is off"):
        tell_board(17, lines, clock, tmp_path)
    assert lines.pulses == [], "a board that is told would cut the power at once"
    (tmp_path / "serial0").touch()
    assert "GPIO 17" in tell_board(17, lines, clock, tmp_path)
    assert lines.pulses == [17, 17]
    assert main(["--settings", str(settings_file(tmp_path)), "board-up"], lines=lines, clock=clock) == 0
