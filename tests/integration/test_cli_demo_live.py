"""The live demo: what it refuses, and what it writes. That it runs is shown by ``tests/browser/test_demo.py``."""

from pathlib import Path

import pytest

from so2cam.cli.main import run
from so2cam.core.times import parse_utc
from so2cam.formats.sitefile import load_site
from so2cam.simulate.installation import write_installation


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
