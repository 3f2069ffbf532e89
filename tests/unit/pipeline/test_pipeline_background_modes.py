"""Every sky-background mode through the chain, by name and by number."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from so2cam.core.records import Band, FrameKind
from so2cam.core.site import BACKGROUND_NUMBERS, Background, BackgroundName, Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.plan import plan_run
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.references import build_references
from so2cam.science.imaging.background_modes import MODE_NUMBERS, BackgroundMode
from so2cam.simulate import load_scenario, simulate


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path, float]:
    """A volcano under a sky that its clear-sky frames show as it is, so that every mode's assumptions hold."""
    folder = tmp_path_factory.mktemp("steady")
    result = simulate(load_scenario("ideal"), folder, seed=3, pairs=2)
    amount = float(result.truth.line("upstream").integrated_column_amount_kg_m[0])
    return load_site(result.site).site, result.frames, amount


def run(site: Site, frames: Path, **background: Any) -> PairRecord:
    settings = site.model_dump(mode="json")
    settings["processing"]["background"] = background
    site = Site.model_validate(settings)
    plan = plan_run(site, [frames])
    reader = FrameReader(site)
    darks = DarkLibrary([f for f in plan.frames if f.kind is FrameKind.DARK], site.processing, reader)
    processor = Processor(site, build_references(site, plan.frames, darks, reader), darks)
    records: list[PairRecord] = []
    for pair in plan.pairs:
        on, off = reader.read(pair.on), reader.read(pair.off)
        assert on is not None
        assert off is not None
        assert (on.info.band, off.info.band) == (Band.ON, Band.OFF)
        records += processor.push(pair, on, off)
    return (records + processor.finish())[0]


@pytest.mark.parametrize("mode", get_args(BackgroundName))
def test_column_amount_where_the_assumptions_hold(steady: tuple[Site, Path, float], mode: str) -> None:
    site, frames, amount = steady
    measured = run(site, frames, mode=mode).lines["upstream"]
    assert measured.status is EmissionStatus.OK
    assert measured.ica is not None
    assert measured.ica.value == pytest.approx(amount, rel=0.03)


def test_given_areas_are_used(steady: tuple[Site, Path, float]) -> None:
    site, frames, amount = steady
    gradients = {"y_gradient_rectangle": [500, 250, 600, 310], "x_gradient_rectangle": [20, 30, 80, 90]}
    apart = run(site, frames, mode="scale-gradient-xy", scale_rectangle=[500, 30, 600, 90], **gradients)
    assert apart.lines["upstream"].ica is not None
    assert apart.lines["upstream"].ica.value == pytest.approx(amount, rel=0.03)
    # Two rectangles at one height give no gradient along y, whatever would be found automatically.
    beside = run(site, frames, mode="scale-gradient-xy", scale_rectangle=[200, 240, 260, 300], **gradients)
    assert beside.lines["upstream"].status is EmissionStatus.NO_SKY


def test_level_of_the_sky_is_one_quantity_whatever_the_mode(steady: tuple[Site, Path, float]) -> None:
    site, frames, _ = steady
    levels = [run(site, frames, mode=mode).background_level for mode in ("sky-surface", "polynomial", "rectangle", 99)]
    np.testing.assert_allclose(levels, levels[0], atol=1e-12)


@pytest.mark.parametrize("number", list(BACKGROUND_NUMBERS))
def test_numbers_are_those_of_the_science(number: int) -> None:
    name = Background.model_validate({"mode": number}).mode
    assert name == Background.model_validate({"mode": str(number)}).mode == BACKGROUND_NUMBERS[number]
    assert MODE_NUMBERS[number] is BackgroundMode(name)


@pytest.mark.parametrize(
    "background",
    [
        {"mode": 8},
        {"mode": True},
        {"mode": "sky"},
        {"mode": "scale", "scale_rectangle": [10, 10, 10, 40]},
        {"mode": "scale", "scale_rectangle": [40, 10, 10, 40]},
        {"mode": "scale", "scale_rectangle": [600, 10, 700, 40]},
        {"mode": "profile-y", "y_profile": [100, 300, 20]},
        {"mode": "profile-xy", "x_profile": [100, 30, 30]},
    ],
)
def test_modes_and_areas_without_sense_are_refused(
    steady: tuple[Site, Path, float], background: dict[str, Any]
) -> None:
    settings = steady[0].model_dump(mode="json")
    settings["processing"]["background"] = background
    with pytest.raises(ValidationError):
        Site.model_validate(settings)
