"""The commands around a station: alarms, publish, timelapse; and the services that a station runs for them."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.cli.main import run
from so2cam.core.health import ClockHealth, HealthRecord, Level
from so2cam.core.status import EmissionStatus
from so2cam.simulate import load_scenario, simulate

pytest.importorskip("sqlalchemy")
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.catalogue_records import PairRow, Rate
from so2cam.station.context import StationContext, open_station
from so2cam.station.publish_services import OutwardPaths, outward_services, site_folder

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
ALARMS = """
[alarms]
[[alarms.rules]]
type = "emission-rate"
name = "strong"
above = 4.0
[[alarms.targets]]
name = "duty"
url_file = "mail.url"
"""
PUBLICATION = """
[publication]
configuration = "rclone.conf"
[[publication.remotes]]
name = "copy"
remote = "copy:TARGET"
every_s = 5.0
"""


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volcano")
    simulate(load_scenario("ideal"), folder, seed=1, pairs=6)
    return folder


@pytest.fixture
def site(volcano: Path, tmp_path: Path) -> Path:
    text = (volcano / "site.toml").read_text(encoding="utf-8")
    (tmp_path / "rclone.conf").write_text("[copy]\ntype = local\n")
    path = tmp_path / "site.toml"
    path.write_text(text + ALARMS + PUBLICATION.replace("TARGET", str(tmp_path / "copy")), encoding="utf-8")
    return path


@pytest.fixture
def station(site: Path) -> Iterator[StationContext]:
    context = open_station([site])
    yield context
    context.close()


def add_rates(context: StationContext, rate: float) -> None:
    name = context.sites[0].name
    now = datetime.now(UTC)
    rows = []
    for second in range(60, 0, -1):
        at = now - timedelta(seconds=second)
        found = Rate(at, "total", "flow_raw", rate, 0.1, 0.2, 10.0, 1.0, 270.0, 0.5, int(EmissionStatus.OK))
        rows.append(PairRow(at, 0, "{}", (found,)))
    begun = context.catalogue.begin_run(
        name, f"{now:%Y-%m-%d}", "live", settings_sha256="0", software_version="1", inputs=()
    )
    context.catalogue.add_pairs(name, begun.id, rows)


def add_health(context: StationContext, level: Level) -> None:
    now = datetime.now(UTC)
    record = HealthRecord(
        time=now,
        node="lead",
        site=context.sites[0].name,
        version="1",
        reason="minute",
        level=level,
        summary="camera-on does not answer",
        activity="capture",
        clock=ClockHealth(quality="ntp", maximum_error_s=0.01),
    )
    context.catalogue.add_health(context.sites[0].name, "lead", now, record.model_dump_json())


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed (apt install rclone)")
def test_a_station_raises_alarms_and_publishes(
    station: StationContext, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_rates(station, 5.0)
    add_health(station, Level.ALARM)
    (tmp_path / "mail.url").write_text("json://127.0.0.1:9\n")
    outward = outward_services(station)
    assert {service.name.split("/")[0] for service in outward.services} == {
        *("alarms", "notifications", "page", "keogram", "timelapse", "publish"),
    }
    stop = threading.Event()
    threads = [threading.Thread(target=service.run, args=(stop,)) for service in outward.services]
    copy, limit = tmp_path / "copy", time.monotonic() + 60
    try:
        for thread in threads:
            thread.start()
        while time.monotonic() < limit and not (
            (copy / "index.html").exists() and outward.alarms.events() and outward.alarms.messages()[0].attempts
        ):
            stop.wait(0.1)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    events = {event.rule: event for event in outward.alarms.events()}
    outward.close()
    assert "strong" in events
    assert events["strong"].value == pytest.approx(5.0)
    assert "5.0 ± 0.22 kg/s" in (copy / "index.html").read_text(encoding="utf-8").replace("5.00", "5.0")
    assert (copy / "last-24-hours.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert run(["alarms", "list", str(site), "--json"]) == 3
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["rule"] == "strong"
    assert run(["alarms", "acknowledge", str(site), str(events["strong"].id), "--by", "Ana", "--note", "seen"]) == 0
    assert run(["alarms", "history", str(site)]) == 0
    said = capsys.readouterr().out
    assert "Ana: seen" in said
    assert "duty: began is waiting" in said
    assert run(["publish", str(site)]) == 0
    assert run(["publish", str(site), "--state"]) == 0
    assert run(["publish", str(site), "--check"]) == 0
    assert run(["publish", str(site), "--list"]) == 0
    assert "index.html" in capsys.readouterr().out


def test_without_a_station_it_is_said(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["alarms", "list", str(site)]) == 2
    assert run(["publish", str(site)]) == 2
    assert run(["publish", str(site), "--remote", "moon"]) == 2
    assert run(["publish", str(site), "--list", "--check"]) == 2
    assert run(["alarms", "test", str(site), "--target", "nobody"]) == 2
    said = capsys.readouterr().err
    for words in ("kept no alarms here", "no station here", "no such remote", "give one of", "no such target"):
        assert words in said


def test_a_test_message_that_fails_is_said(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("apprise")
    assert run(["alarms", "test", str(site)]) == 3
    assert "cannot be read" in capsys.readouterr().err
    (site.parent / "mail.url").write_text("json://127.0.0.1:9\n")
    (site.parent / "mail.url").chmod(0o644)
    assert run(["alarms", "test", str(site)]) == 3
    said = capsys.readouterr().err
    assert "was not sent" in said
    assert "others can read its file" in said


def test_nothing_raised_is_said(site: Path, station: StationContext, capsys: pytest.CaptureFixture[str]) -> None:
    AlarmStore(OutwardPaths(station.folder).alarms).close()
    assert run(["alarms", "list", str(site)]) == 0
    assert "no alarm; 6 rules are watched" in capsys.readouterr().out
    assert run(["alarms", "acknowledge", str(site), "5"]) == 2


def test_folders_are_those_of_the_station(station: StationContext) -> None:
    assert site_folder(station.sites[0].name) == station.sites[0].results.name


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (apt install ffmpeg)")
def test_a_day_as_video_and_keogram(volcano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, keogram = tmp_path / "day.mp4", tmp_path / "line.png"
    arguments = ["timelapse", str(volcano / "site.toml"), "--frames", str(volcano / "frames")]
    assert run([*arguments, "--out", str(out), "--keogram", str(keogram), "--line", "downstream"]) == 0
    said = capsys.readouterr().out
    assert "6 images" in said
    assert "6 pairs" in said
    assert out.stat().st_size > 1000
    assert keogram.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "give --out"),
        (["--out", "a.gif"], "no kind of video"),
        (["--keogram", "a.jpg"], "a keogram is a PNG"),
        (["--keogram", "a.png", "--line", "x"], "no such line"),
        (["--out", "a.mp4", "--day", "1999-01-01"], "no frames of this day"),
    ],
)
def test_bad_requests_are_said(
    volcano: Path,
    more: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["timelapse", str(volcano / "site.toml"), "--frames", str(volcano / "frames"), *more]) == 2
    assert words in capsys.readouterr().err
