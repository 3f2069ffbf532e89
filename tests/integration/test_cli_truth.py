"""``so2cam truth``."""

from pathlib import Path

import pytest

from so2cam.cli import truth as cli_truth
from so2cam.cli.main import run


@pytest.mark.timeout(300)
def test_a_short_comparison_writes_its_tables_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "truth"
    assert run(["truth", "--scenario", "ideal", "--pairs", "20", "--jobs", "1", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for part in ("ideal", "flow_raw", "spectrometer", "cells", "truth.csv"):
        assert part in text
    for name in ("truth.csv", "truth.md", "truth.png", "ideal/truth.json", "ideal/cells/emission_rates.csv"):
        assert (out / name).is_file()
    assert not (out / "ideal" / "frames").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "nowhere"], "nowhere"),
        (["--all", "--scenario", "ideal"], "exclude each other"),
        (["--pairs", "3"], "20"),
        ([], ""),
    ],
)
def test_bad_usage_is_code_2(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--out", str(tmp_path / "truth")] if arguments else []
    assert run(["truth", *arguments, *place]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "truth").exists()


def test_frames_of_an_earlier_run_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "ideal" / "frames" / "kept.png"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert run(["truth", "--scenario", "ideal", "--out", str(tmp_path)]) == 2
    assert "already holds frames" in capsys.readouterr().err
    assert kept.exists()


def test_interrupted_it_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_truth, "run_scenarios", interrupted)
    assert run(["truth", "--out", str(tmp_path)]) == 130
    assert "no table was written" in capsys.readouterr().err
    assert not (tmp_path / "truth.csv").exists()
