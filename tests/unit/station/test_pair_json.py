"""Rows of the catalogue as one series, also where lines and speed methods changed on the way."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.results import EmissionSeries
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import Term
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.records import Emission, PairRecord
from so2cam.pipeline.series import assemble
from so2cam.pipeline.steps import LineMeasurement
from so2cam.station.pair_json import pair_row, series_of

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def site_with(lines: list[str], methods: list[str]) -> Site:
    settings = load_site(EXAMPLE).site.model_dump(mode="json")
    settings["lines"] = [{**settings["lines"][0], "name": name} for name in lines]
    settings["processing"]["speed"] |= {"methods": methods, "cross_correlation": {}}
    return Site.model_validate(settings)


def record(site: Site, number: int) -> PairRecord:
    time = START + timedelta(seconds=2 * number)
    on, off = (FrameInfo(Path(f"{band}.png"), band, FrameKind.PLUME, time, 0.1, 1.0) for band in Band)
    made = PairRecord(FramePair(on, off))
    for line in site.lines:
        made.lines[line.name] = LineMeasurement(EmissionStatus.OK, QualityFlag.NONE, None, None)
        for method in site.processing.speed.methods:
            value = number + 0.1 * len(line.name)
            made.emissions[line.name, method] = Emission(EmissionStatus.OK, value, {Term.PIXEL_NOISE: 0.1})
    return made


def rows_of(site: Site, numbers: range) -> EmissionSeries:
    return assemble(site, [record(site, number) for number in numbers])


def test_lines_and_methods_that_changed_on_the_way_are_all_there() -> None:
    before, after = site_with(["near", "remote"], ["flow_raw"]), site_with(["near"], ["flow_hybrid", "flow_raw"])
    rows = [pair_row(before, record(before, number)) for number in range(9)]
    rows.append(pair_row(after, record(after, 9)))
    series = series_of(rows)
    assert (series.lines, series.speed_methods) == (("near", "remote"), ("flow_hybrid", "flow_raw"))
    assert len(series.times) == 10, "no row is left out"
    old, new = rows_of(before, range(9)), rows_of(after, range(9, 10))
    np.testing.assert_array_equal(series.emission_rate_kg_s[:9, :, 1], old.emission_rate_kg_s[:, :, 0])
    np.testing.assert_array_equal(series.emission_rate_kg_s[9:, :1, :], new.emission_rate_kg_s)
    np.testing.assert_array_equal(series.uncertainty_terms_kg_s[9:, :1, :], new.uncertainty_terms_kg_s)
    np.testing.assert_array_equal(series.total_emission_rate_kg_s[:9, 1], old.total_emission_rate_kg_s[:, 0])
    assert np.isfinite(series.total_emission_rate_kg_s[:9, 1]).all()
    not_asked = series.status == EmissionStatus.NOT_ASKED
    expected = np.zeros((10, 2, 2), np.bool_)
    expected[:9, :, 0] = expected[9, 1, :] = True
    np.testing.assert_array_equal(not_asked, expected)
    assert np.isnan(series.emission_rate_kg_s[not_asked]).all()
    assert (series.total_status[:9, 0] == EmissionStatus.NOT_ASKED).all()
    assert math.isnan(series.integrated_column_amount_kg_m[9, 1])


def test_rows_of_one_kind_come_back_to_the_last_bit() -> None:
    site = site_with(["near", "remote"], ["flow_raw", "flow_hybrid"])
    found = series_of(pair_row(site, record(site, number)) for number in range(3))
    expected = rows_of(site, range(3))
    for name in set(EmissionSeries.__dataclass_fields__) - {"dilution"}:
        one, other = getattr(found, name), getattr(expected, name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=name, strict=True)
        else:
            assert one == other


def test_no_rows_are_no_series() -> None:
    with pytest.raises(InputError, match="no results"):
        series_of([])
