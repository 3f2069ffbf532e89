"""Light dilution that spectra of some minutes tell together, as a run learns it."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.site import Site
from so2cam.pipeline.bands import effective_wavelengths_nm
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.dilution import build_dilution
from so2cam.pipeline.dilution_agreement import dilution_troubles
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.science.spectra.dilution import DEPTHS
from so2cam.simulate import load_scenario
from so2cam.simulate.run import build_scene
from so2cam.simulate.sitefile import format_site

START = datetime(2026, 1, 15, 14, tzinfo=UTC)
NAN = float("nan")
NOTHING: Any = None
"""Images, at which no source of spectra looks."""


@pytest.fixture(scope="module")
def site() -> Site:
    plain = format_site(build_scene(load_scenario("diluted"), seed=1, pairs=2))[1].model_dump(mode="json")
    plain["spectrometer"]["light_dilution"]["mode"] = "fit"
    plain["processing"]["light_dilution"] |= {"mode": "spectrum", "recalculation_min": 10.0, "variation_in_view": 0.0}
    return Site.model_validate(plain)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def point(seconds: float, depth: float = 0.36, sigma: float = 0.1, **changes: Any) -> ColumnPoint:
    misfit = tuple(float(value) for value in ((DEPTHS - depth) / sigma) ** 2)
    fields = {"diluted": True, "misfit": misfit, **changes}
    return ColumnPoint(at(seconds), 1.6, 1e18, 2e16, **fields)


def depth_of(site: Site, found: PlumeDilution | None) -> float:
    """The depth at 310 nm of the air before the plume."""
    assert found is not None
    on, _ = effective_wavelengths_nm(site)
    return found.on.extinction_per_m * found.distance_m * (on / 310) ** 4


def run(source: DilutionSource | None, points: Sequence[ColumnPoint], pairs: Sequence[float]) -> list[Any]:
    """What holds at pairs, columns coming as their exposures end."""
    assert source is not None
    waiting, found = sorted(points, key=lambda one: one.end), []
    for seconds in pairs:
        while waiting and waiting[0].end <= at(seconds):
            source.add_column(waiting.pop(0))
        found.append(source.at(at(seconds), NOTHING, NOTHING))
    return found


def test_it_is_known_once_enough_spectra_tell_it(site: Site) -> None:
    source = build_dilution(site, Path())
    assert source is not None
    points = [point(5 * n + 1, 0.36 + 0.02 * (-1) ** n) for n in range(40)]
    found = run(source, points, [5.0 * n for n in range(41)])
    # 0.1 / root(n) is within 5 % from the fourth on; tries come with half as many more.
    known = [one is not None for one in found]
    assert not any(known[:4])
    assert all(known[8:])
    assert depth_of(site, found[-1]) == pytest.approx(0.36, abs=0.01)
    first, last = found[known.index(True)], found[-1]
    assert last.uncertainty.on_extinction_per_m < first.uncertainty.on_extinction_per_m
    assert len(source.found) == 1, "one stretch of time, found anew"
    assert source.trouble is None
    # The share of light is measured itself: brightness of the air plays no part, and the bands err alike.
    assert last.on.airlight_ratio == 1
    assert last.uncertainty.airlight_ratio == 0
    assert last.uncertainty.extinction_correlation == 1


def test_a_stretch_of_time_stands_and_the_next_one_follows(site: Site) -> None:
    """Ten minutes of one dilution, then another: the first is not forgotten, and the new one does not wait for long."""
    source = build_dilution(site, Path())
    points = [point(10 * n, 0.3 if n < 120 else 0.45) for n in range(240)]
    found = run(source, points, [10.0 * n + 5 for n in range(240)])
    assert source is not None
    assert 3 <= len(source.found) <= 4
    assert depth_of(site, found[119]) == pytest.approx(0.3, abs=0.01)
    assert depth_of(site, found[239]) == pytest.approx(0.45, abs=0.04)


def test_spectra_of_long_ago_take_no_part(site: Site) -> None:
    points = [point(10 * n, 0.8) for n in range(2)] + [point(700 + 10 * n, 0.3) for n in range(10)]
    found = run(build_dilution(site, Path()), points, [701.0 + 10 * n for n in range(10)])
    assert depth_of(site, found[-1]) == pytest.approx(0.3, abs=0.01)


def test_what_comes_later_changes_nothing_before(site: Site) -> None:
    points = [point(7 * n, 0.3 + 0.001 * n) for n in range(200)]
    pairs = [6.0 * n for n in range(230)]
    whole = run(build_dilution(site, Path()), points, pairs)
    part = run(build_dilution(site, Path()), [one for one in points if one.end <= at(600)], pairs[:100])
    for one, other in zip(whole, part, strict=False):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.extinctions == other.extinctions


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([], "none shows enough SO2"),
        ([point(n, misfit=None) for n in range(9)], "none shows enough SO2"),
        ([point(n) for n in range(2)], "fewer than 3 spectra"),
        ([point(n, sigma=0.5) for n in range(9)], "more than one light dilution explains all spectra together"),
        ([point(n, depth=-0.6, sigma=0.02) for n in range(9)], "no light dilution within the range"),
    ],
)
def test_it_is_refused_where_it_is_not_unique(site: Site, points: list[ColumnPoint], says: str) -> None:
    source = build_dilution(site, Path())
    assert run(source, points, [20.0]) == [None]
    whole = build_dilution(site, Path(), points)
    assert run(whole, points, [20.0]) == [None]
    for one in (source, whole):
        assert one is not None
        assert list(one.found) == []
        assert says in dilution_troubles(one)[0]


def test_a_whole_run_is_known_from_its_first_pair(site: Site) -> None:
    points = [point(10 * n, 0.3 + 0.0005 * n) for n in range(240)]
    source = build_dilution(site, Path(), points)
    assert source is not None
    assert source.frozen
    found = run(source, points, [0.0, 1200.0, 2390.0])
    depths = [depth_of(site, one) for one in found]
    assert len(source.found) == 4
    assert depths == sorted(depths)
    assert depths[1] == pytest.approx(0.36, abs=0.01)
    assert dilution_troubles(source) == ()
    # Processes that share a run get copies.
    copy = run(deepcopy(source), [], [0.0, 1200.0, 2390.0])
    assert [one.extinctions for one in copy] == [one.extinctions for one in found]
    # Too little for each ten minutes, but not for all of it.
    weak = [point(150 * n, 0.36, 0.15) for n in range(16)]
    source = build_dilution(site, Path(), weak)
    assert depth_of(site, run(source, weak, [0.0])[0]) == pytest.approx(0.36, abs=0.01)


def test_columns_that_vary_in_the_view_look_like_dilution(site: Site) -> None:
    points = [point(5 * n, sigma=0.02) for n in range(20)]
    plain = site.model_dump(mode="json")
    plain["processing"]["light_dilution"]["variation_in_view"] = 0.2
    known, unknown = (
        run(build_dilution(one, Path()), points, [100.0])[0] for one in (site, Site.model_validate(plain))
    )
    assert depth_of(site, known) - depth_of(site, unknown) == pytest.approx(np.log1p(0.04), rel=1e-3)
    on, _ = effective_wavelengths_nm(site)
    wider = np.sqrt(unknown.uncertainty.on_extinction_per_m**2 - known.uncertainty.on_extinction_per_m**2)
    assert wider * known.distance_m * (on / 310) ** 4 == pytest.approx(np.log1p(0.04), rel=0.02)


def test_columns_of_an_earlier_run_may_have_a_dilution_of_their_own(site: Site) -> None:
    own = [point(5 * n, diluted=False, misfit=None, light_dilution=(0.3, 0.05)) for n in range(10)]
    found = run(build_dilution(site, Path()), own, [60.0])[0]
    assert depth_of(site, found) == pytest.approx(-np.log(0.7), abs=1e-6)
    lost = [point(5 * n, misfit=None, light_dilution=(NAN, NAN)) for n in range(10)]
    assert run(build_dilution(site, Path()), lost, [60.0]) == [None]
