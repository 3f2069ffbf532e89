"""Columns freed of the light dilution that the images know."""

from pathlib import Path

import numpy as np
import pytest

from so2cam.core.site import Site
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.column_correction import ColumnCorrection, corrects_columns
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.science.imaging.light_dilution import DilutionState, StateUncertainty


def site_with(mode: str, images: dict[str, object]) -> Site:
    loaded = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml")
    settings = loaded.site.model_dump(mode="json")
    settings["spectrometer"] = {"light_dilution": {"mode": mode}}
    settings["processing"]["background"] = {"mode": "sky-surface"}
    settings["processing"]["light_dilution"] = images
    return Site.model_validate(settings)


FIXED: dict[str, object] = {
    "mode": "fixed",
    "on_extinction_per_km": 0.066,
    "on_extinction_uncertainty_per_km": 0.006,
    "off_extinction_per_km": 0.052,
    "off_extinction_uncertainty_per_km": 0.005,
}
FAR = np.full((2, 2), 5300.0, np.float32)
DILUTION = PlumeDilution(
    DilutionState(6.6e-5, FAR), DilutionState(5.2e-5, FAR), StateUncertainty(6e-6, 5e-6, 1.0, 0.01, 0.1), 1.4, 5300.0
)


def test_columns_are_corrected_where_only_the_images_know_the_dilution() -> None:
    assert corrects_columns(site_with("none", FIXED))
    assert not corrects_columns(site_with("fit", FIXED))
    assert corrects_columns(site_with("fit", {"mode": "spectrum"}))
    assert not corrects_columns(site_with("fit", {"mode": "spectrum"}), pooled=False)
    assert not corrects_columns(site_with("none", {"mode": "none"}))


def test_a_column_grows_with_its_uncertainty() -> None:
    correction = ColumnCorrection(site_with("none", FIXED))
    share, sigma = correction.share(DILUTION)
    assert share == pytest.approx(1 - np.exp(-6.6e-5 * 5300), rel=0.05)
    weak, noise, missed = correction.corrected(1e16, 1e15, 1e14, DILUTION, 0.0)
    assert weak / 1e16 == pytest.approx(1 / (1 - share), rel=0.05)
    assert noise / 1e15 == pytest.approx(weak / 1e16, rel=0.02)
    assert missed / 1e14 == pytest.approx(noise / 1e15)
    assert correction.relative_sigma == pytest.approx(sigma / (1 - share), rel=0.1)
    strong, _, _ = correction.corrected(1e18, 1e15, 1e14, DILUTION, 0.0)
    assert strong / 1e18 > weak / 1e16


def test_noise_below_zero_leaves_the_uncertainty_that_all_columns_share() -> None:
    correction = ColumnCorrection(site_with("none", FIXED))
    correction.corrected(1e18, 1e16, 1e15, DILUTION, 0.0)
    known = correction.relative_sigma
    below, _, _ = correction.corrected(-2e16, 1e16, 1e15, DILUTION, 0.0)
    assert below < -2e16
    assert correction.relative_sigma == known > 0.02


def test_what_cannot_be_told_is_nan() -> None:
    correction = ColumnCorrection(site_with("none", FIXED))
    assert np.isnan(correction.corrected(1e18, 1e16, 0.0, None, 0.0)).all()
    assert np.isnan(correction.corrected(1e19, 1e16, 0.0, DILUTION, 0.0)).all()
