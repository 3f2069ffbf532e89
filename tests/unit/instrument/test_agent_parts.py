"""The small parts of the agent: channel, logs, watchdog, clock quality, memory, places, threads."""

import contextlib
import json
import logging
import os
import re
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from so2cam.core.errors import So2camError
from so2cam.core.site_instrument import Instrument, Node, Storage
from so2cam.instrument import threads
from so2cam.instrument.channel import MAXIMUM_LINE_BYTES, Channel, ChannelClosedError
from so2cam.instrument.clock_quality import ClockQuality, judge_clock, parse_tracking, timesyncd_quality
from so2cam.instrument.logs import AgentLog, Folding
from so2cam.instrument.memory import Memory, load_memory, save_memory
from so2cam.instrument.places import places_of, socket_to_ask, socket_to_serve
from so2cam.instrument.system import boot_id, describe_throttled, read_disk, read_system
from so2cam.instrument.threads import VitalThread
from so2cam.instrument.watchdog import Watchdog

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

# --- the line to a device's process ------------------------------------------------------------------------------


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


def test_messages_pass_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    sender = threading.Thread(target=lambda: [one.send({"n": n, "x": "y" * 5000}) for n in range(100)])
    sender.start()
    received = [other.receive(5.0) for _ in range(100)]
    sender.join()
    assert [message["n"] for message in received if message is not None] == list(range(100))
    assert other.receive(0.0) is None
    one.close()
    with pytest.raises(ChannelClosedError):
        other.receive(1.0)
    with pytest.raises(ChannelClosedError):
        other.send({"a": 1})
    other.close()
    other.close()


@pytest.mark.parametrize(
    "line",
    [b"x\n", b"[1]\n", b"\xff\xfe\n", b"y" * (MAXIMUM_LINE_BYTES + 100_000)],
    ids=["no json", "no object", "no utf-8", "too long"],
)
def test_what_is_no_message_ends_the_line(line: bytes) -> None:
    one, other = socket.socketpair()
    channel = Channel(other)

    def send() -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the line may be ended before all is sent
            one.sendall(line)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(ChannelClosedError):
        channel.receive(5.0)
    channel.close()
    sender.join(5)
    assert not sender.is_alive()
    one.close()  # not before: who still sends would find no socket


# --- logs --------------------------------------------------------------------------------------------------------


def make_log(tmp_path: Path) -> AgentLog:
    return AgentLog(folder=tmp_path / "logs", size=10_000, files=2, verbose=False, journal=True)


def test_repeated_messages_are_folded_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = make_log(tmp_path)
    log.open()
    logger = logging.getLogger("so2cam.test")
    try:
        for number in range(50):
            logger.warning("frame %d is late by %.1f s", number, number / 10, extra={"device": "camera-on"})
        logger.warning("frame %d is late by %.1f s", 3, 0.1, extra={"device": "camera-off"})
        logger.error("another thing")
    finally:
        log.close()
    lines = [json.loads(line) for line in (tmp_path / "logs" / "agent.log").read_text().splitlines()]
    assert [line["message"] for line in lines[:3]] == [
        "frame 0 is late by 0.0 s", "frame 3 is late by 0.1 s", "another thing",
    ]  # fmt: skip
    assert re.fullmatch(r"frame 49 is late by 4\.9 s \(at \d\d:\d\d:\d\d, and 48 more like it\)", lines[3]["message"])
    assert lines[3]["device"] == "camera-on"
    assert len(lines) == 4
    assert lines[0]["level"] == "warning"
    assert lines[0]["time"].endswith("Z")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "<4>camera-on: frame 0 is late by 0.0 s"
    assert shown[2] == "<3>another thing"


def test_log_files_turn_over(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.open()
    try:
        for number in range(500):
            logging.getLogger("so2cam.test").info("%s", chr(97 + number % 26) * (number % 300 + 30))
    finally:
        log.close()
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "logs").iterdir()}
    assert set(sizes) == {"agent.log", "agent.log.1", "agent.log.2"}
    assert max(sizes.values()) <= 10_000


def test_a_log_that_cannot_be_written_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file")
    log = AgentLog(folder=tmp_path / "logs", size=10_000, files=2, verbose=False, journal=False, node="lead")
    log.open()
    logging.getLogger("so2cam.test").info("still there")
    log.close()
    shown = capsys.readouterr().err
    assert "no log files" in shown
    assert "lead still there" in shown


def test_folding_forgets_what_is_old() -> None:
    folding = Folding(window_s=0.0)
    for number in range(1000):
        record = logging.LogRecord("so2cam.x", logging.INFO, "", 0, "a" * (number + 1), (), None)
        assert folding.filter(record)
    assert folding.summaries(everything=True) == []


# --- systemd -----------------------------------------------------------------------------------------------------


def test_systemd_hears_what_it_expects(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(os.fspath(path))
        listener.settimeout(5)
        watchdog = Watchdog(
            {"NOTIFY_SOCKET": os.fspath(path), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
        )
        assert watchdog.wanted
        assert watchdog.interval_s == 60.0
        watchdog.ready("two\ndevices")
        assert listener.recv(100) == b"READY=1\nSTATUS=two devices"
        watchdog.alive("well")
        assert listener.recv(100) == b"WATCHDOG=1\nSTATUS=well"
        watchdog.show("stalled")
        assert listener.recv(100) == b"STATUS=stalled"
        watchdog.stopping()
        assert listener.recv(100) == b"STOPPING=1"
    watchdog.alive("nobody listens any more")


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "60", "WATCHDOG_PID": "1"}])
def test_without_systemd_nothing_is_sent(environment: dict[str, str]) -> None:
    watchdog = Watchdog(environment)
    assert not watchdog.wanted
    assert watchdog.interval_s is None
    watchdog.ready("")


# --- the clock ---------------------------------------------------------------------------------------------------

GPS = "50505300,PPS,1,1772366400.1,0.000000123,-0.0000002,0.0000003,-5.2,0.001,0.01,0.000000001,0.000012,16.0,Normal"
NTP = "C0A80505,192.168.5.5,2,1772366400.1,-0.000250,0.0001,0.0003,-5.2,0.001,0.01,0.000900,0.000150,64.2,Normal"
LOST = "00000000,,0,0.0,0.000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised"


def test_chrony_tells_gps_from_servers() -> None:
    gps, ntp, lost = parse_tracking(GPS), parse_tracking(NTP), parse_tracking(LOST)
    assert gps is not None
    assert ntp is not None
    assert lost is not None
    assert (gps.quality, ntp.quality, lost.quality) == ("gps", "ntp", "free")
    assert ntp.offset_s == -0.00025
    assert ntp.maximum_error_s == pytest.approx(0.00025 + 0.00045 + 0.00015)
    for text in ("", "506 Cannot talk to daemon", NTP.replace("-0.000250", "x")):
        assert parse_tracking(text) is None


def test_a_clock_that_was_never_set_is_known_and_nothing_is_taken_on_trust(tmp_path: Path) -> None:
    assert judge_clock(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), ClockQuality("gps")).quality == "unset"
    assert judge_clock(NOW, ClockQuality("gps", 1e-6, 1e-5)) == ClockQuality("gps", 1e-6, 1e-5)
    assert judge_clock(NOW, ClockQuality("free")).quality in ("free", "synchronised")
    assert judge_clock(NOW).quality in ("free", "synchronised")
    assert timesyncd_quality(tmp_path) is None
    (tmp_path / "synchronized").touch()
    assert timesyncd_quality(tmp_path) == ClockQuality("ntp")


# --- memory, places, the computer --------------------------------------------------------------------------------


def test_memory_counts_starts_and_boots_and_outlives_damage(tmp_path: Path) -> None:
    path = tmp_path / "state" / "memory.json"
    memory = load_memory(path)
    memory.note_start("boot-1")
    memory.note_start("boot-1")
    memory.note_start("boot-2")
    assert (memory.starts, memory.boots) == (3, 2)
    memory.used = {"camera-on": {"100000": 5}}
    memory.last_darks = NOW
    memory.battery = "recovering"
    assert save_memory(path, memory)
    assert load_memory(path) == memory
    for broken in (b"{", b"[]", b'{"starts": "x", "boots": 1}', b'{"starts": 1, "boots": 1, "battery": "flat"}'):
        path.write_bytes(broken)
        assert load_memory(path) == Memory()
    (tmp_path / "file").write_text("")
    assert not save_memory(tmp_path / "file" / "memory.json", memory)


def test_places_of_a_node_and_its_socket(tmp_path: Path) -> None:
    node = Node(name="lead")
    instrument = Instrument(nodes=(node,), storage=Storage(folder="data"))
    places = places_of(instrument, node, tmp_path / "site.toml")
    assert places.root == tmp_path / "data" / "lead"
    own = socket_to_serve(tmp_path / "site.toml", "lead", {})
    assert own == socket_to_ask(tmp_path / "site.toml", "lead")
    assert own != socket_to_serve(tmp_path / "other.toml", "lead", {})
    assert socket_to_serve(tmp_path / "site.toml", "lead", {"RUNTIME_DIRECTORY": "/run/so2cam"}) == Path(
        "/run/so2cam/lead.sock"
    )


def test_the_computer_is_read_and_the_firmwares_bits_are_named(tmp_path: Path) -> None:
    found = read_system([os.getpid()], boots=2, starts=3)
    assert (found.boots, found.starts) == (2, 3)
    if Path("/proc/meminfo").exists():
        assert found.agent_memory_bytes is not None
        assert 5e6 < found.agent_memory_bytes < 5e9
        assert boot_id()
    assert describe_throttled(0x50005) == (
        "under-voltage now", "throttled now", "under-voltage since the start", "was throttled since the start",
    )  # fmt: skip
    assert describe_throttled(None) == ()
    disk = read_disk("spool", tmp_path)
    assert disk.present
    assert disk.free_fraction is not None
    assert 0 <= disk.free_fraction <= 1
    assert not read_disk("spool", tmp_path / "gone").present


# --- threads -----------------------------------------------------------------------------------------------------


def test_a_thread_that_fails_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threads, "AGAIN_S", 0.0)
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ZeroDivisionError

    thread = VitalThread("keeper", work)
    assert not thread.revive(), "it was never started"
    thread.start()
    assert thread.join(5)
    assert thread.revive()
    assert thread.join(5)
    assert thread.revive()
    assert thread.join(5)
    assert not thread.revive(), "it has finished"
    assert len(runs) == 3
    assert thread.failures == 2


def test_what_ends_a_thread_is_in_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    threads.log_failures()

    def work() -> None:
        raise So2camError("a part is missing")

    thread = threading.Thread(target=work, name="broken")
    thread.start()
    thread.join(5)
    assert "broken" in caplog.text
    assert "a part is missing" in caplog.text
