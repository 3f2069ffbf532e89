"""Quality flags of a simulated volcano: raised where they should be, and no number depends on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.results import EmissionSeries
from so2cam.core.status import QualityFlag
from so2cam.formats.sitefile import load_site
from so2cam.pipeline import batch, processor
from so2cam.pipeline.quality import QualityChecks
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

PAIRS = 4


def volcano(folder: Path, name: str) -> Path:
    """A volcano in a quarter of the pixels, for speed."""
    settings = load_scenario(name).model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=2, pairs=PAIRS)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return volcano(tmp_path_factory.mktemp("plain"), "baseline")


def process(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> EmissionSeries:
    monkeypatch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.touch())
    site = load_site(folder / "site.toml")
    return batch.process_folders(site, [folder / "frames"], out, command="test").series


def test_clouds_are_flagged_and_a_clear_sky_is_not(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = process(plain, tmp_path / "clear", monkeypatch).quality_flags
    assert not (clear & (QualityFlag.CLOUD_IN_BACKGROUND | QualityFlag.STALE_FRAME | QualityFlag.SUN_IN_VIEW)).any()
    cloudy = process(volcano(tmp_path / "cloudy", "clouds"), tmp_path / "out", monkeypatch).quality_flags
    assert ((cloudy & QualityFlag.CLOUD_IN_BACKGROUND) != 0).all()


def test_a_frame_that_comes_again_is_flagged_and_changes_nothing_before_it(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hanging"
    for path in plain.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(plain)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    frames = sorted((folder / "frames").rglob("*fltrB*_Plume.png"))
    assert len(frames) == PAIRS
    frames[2].write_bytes(frames[1].read_bytes())
    hanging = process(folder, tmp_path / "1", monkeypatch)
    right = process(plain, tmp_path / "2", monkeypatch)
    stale = (hanging.quality_flags & QualityFlag.STALE_FRAME) != 0
    assert stale.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(hanging.emission_rate_kg_s[0], right.emission_rate_kg_s[0])
    np.testing.assert_array_equal(hanging.integrated_column_amount_kg_m[:2], right.integrated_column_amount_kg_m[:2])


def test_numbers_do_not_depend_on_flags(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flagged = process(plain, tmp_path / "1", monkeypatch)

    class Blind(QualityChecks):
        def of_frames(self, *frames: Any) -> QualityFlag:
            return QualityFlag.NONE

        def of_image(self, *arguments: Any) -> QualityFlag:
            return QualityFlag.NONE

    monkeypatch.setattr(processor, "QualityChecks", Blind)
    blind = process(plain, tmp_path / "2", monkeypatch)
    for name in ("emission_rate_kg_s", "uncertainty_terms_kg_s", "status", "background_level", "background_noise"):
        assert getattr(blind, name).tobytes() == getattr(flagged, name).tobytes(), name
