"""The live demo: a simulated instrument as a process of its own, and rates near the truth as they come."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so2cam.cli import demo_live, station_renewed
from so2cam.cli.main import run
from so2cam.cli.pages import page_mount
from so2cam.core.times import parse_utc
from so2cam.formats.sitefile import load_site
from so2cam.simulate.installation import write_installation


def save_after(pairs: int, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have somebody save the site file in the pages when so many pairs have come."""
    restarts: list[Callable[[], None]] = []
    take = demo_live._Follower._take

    def mounted(*arguments: Any, **keywords: Any) -> Any:
        restarts.append(keywords["restart"])
        return page_mount(*arguments, **keywords)

    def taken(follower: Any, *arguments: Any) -> None:
        take(follower, *arguments)
        if len(restarts) == 1 and follower.report.pairs == pairs:
            with site.open("a", encoding="utf-8") as file:
                file.write("# saved in a browser\n")
            restarts[0]()

    monkeypatch.setattr(station_renewed, "page_mount", mounted)
    monkeypatch.setattr(demo_live._Follower, "_take", taken)


def test_rates_come_and_are_near_the_truth(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    save_after(6, out / "site.toml", monkeypatch)
    assert run(["demo", "--pairs", "24", "--for", "100", "--scenario", "ideal", "--out", str(out)]) == 0
    said = capfd.readouterr().out
    addresses = re.findall(r"answers at (http://127.0.0.1:\d+)/", said)
    assert (len(addresses), len(set(addresses))) == (2, 1), "the site file that was saved is taken up"
    shown = re.findall(r"^  \d\d:\d\d:\d\d  upstream .*true", said, re.MULTILINE)
    assert len(shown) >= 5
    errors = [float(text) for text in re.findall(r"flow_raw .* ([+-][0-9.]+) %", said)]
    assert len(errors) == 2
    assert max(abs(error) for error in errors) < 5
    for kind, least in (("frames", 12), ("spectra", 3)):
        words = rf"(\d+) {kind} kept .* (\d+) acknowledged, (\d+) in the archive, (\d+) of them verified"
        account = re.search(words, said)
        assert account is not None, said
        assert len(set(account.groups())) == 1
        assert int(account.group(1)) >= least
    columns = re.search(r"(\d+) SO2 columns of the spectrometer: .*\(([+-][0-9.]+) %\)", said)
    assert columns is not None, said
    assert abs(float(columns.group(2))) < 10
    assert re.search(r"\b([1-9]\d*) pairs calibrated by gas cells and spectrometer", said), said


def test_an_instrument_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("so2cam.cli.demo_live.NODE", "elsewhere")
    assert run(["demo", "--for", "60", "--out", str(tmp_path / "demo")]) == 2


@pytest.mark.parametrize("arguments", [["--for", "3"], ["--period", "2"]])
def test_options_of_the_live_demo_do_not_go_with_batch(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--batch", *arguments, "--out", str(tmp_path / "demo")]) == 2
    assert "does not go with --batch" in capsys.readouterr().err


def test_an_installation_runs_from_its_start(tmp_path: Path) -> None:
    start = parse_utc("2026-03-01T12:00:00.7Z")
    made = write_installation(tmp_path, "ideal", seed=3, start=start, period_s=2.0)
    site = load_site(made.site).site
    assert site.instrument is not None
    (node,) = site.instrument.nodes
    assert site.instrument.acquisition.period_s == 2.0
    assert {device.options["seed"] for device in node.devices} == {3}
    assert [device.type for device in node.devices] == ["camera", "camera", "spectrometer"]
    assert site.processing.speed.methods == ("flow_raw", "cross_correlation"), "the default"
    assert (site.processing.calibration.source, site.instrument.acquisition.spectrum_period_s) == ("joint", 2.0)
    assert made.open_scene().start == start.replace(microsecond=0)
