"""The budget in the product: its terms add up to the two uncertainties that stand beside it, whatever they are."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from netCDF4 import Dataset

from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair, Provenance
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import RANDOM_TERMS, Term, random_part, systematic_part
from so2cam.formats.products import write_emission_netcdf
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.records import Emission, PairRecord
from so2cam.pipeline.series import assemble
from so2cam.pipeline.steps import LineMeasurement

SITE = load_site(Path(__file__).resolve().parents[2] / "examples/villarrica/site.toml").site
START = datetime(2026, 1, 15, 14, tzinfo=UTC)
PROVENANCE = Provenance("1", "x", {}, "00" * 32, (), "so2cam", START)
BUDGETS = st.dictionaries(st.sampled_from(list(Term)), st.floats(0, 1e3), min_size=1)
EMISSIONS = st.one_of(
    st.builds(lambda budget: Emission(EmissionStatus.OK, 2.0, budget, 5.0, 0.5, 270.0), BUDGETS),
    st.sampled_from([Emission(EmissionStatus.LINE_MASKED), Emission(EmissionStatus.NO_NEXT_PAIR)]),
)


def record(index: int, values: list[Emission]) -> PairRecord:
    def info(band: Band) -> FrameInfo:
        path = Path(f"{index}{band}.png")
        return FrameInfo(path, band, FrameKind.PLUME, START + timedelta(seconds=4 * index), 0.1, 1.0)

    made = PairRecord(FramePair(info(Band.ON), info(Band.OFF)))
    keys = [(line.name, method) for line in SITE.lines for method in SITE.processing.speed.methods]
    assert len(keys) == 4
    made.emissions = dict(zip(keys, values, strict=True))
    made.lines = {line.name: LineMeasurement(EmissionStatus.OK, QualityFlag.NONE, None, None) for line in SITE.lines}
    return made


def root_sum(values: Any) -> Any:
    return np.sqrt(np.sum(np.square(values), axis=-1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(EMISSIONS, min_size=4, max_size=4), min_size=1, max_size=5))
def test_terms_in_the_product_add_up(values: list[list[Emission]]) -> None:
    series = assemble(SITE, [record(index, emissions) for index, emissions in enumerate(values)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rates.nc"
        write_emission_netcdf(path, series, PROVENANCE)
        with Dataset(path) as dataset:
            dataset.set_auto_mask(False)
            terms = dataset["emission_rate_uncertainty_term"]
            assert terms.dimensions == ("time", "line", "speed_method", "uncertainty_term")
            names = dataset["uncertainty_term"][:].tolist()
            is_random = np.array([Term(name) in RANDOM_TERMS for name in names])
            sigma = terms[:]
            for part, wanted in (("random", is_random), ("systematic", ~is_random)):
                stated = dataset[f"emission_rate_{part}_uncertainty"][:]
                np.testing.assert_allclose(root_sum(sigma[..., wanted]), stated, rtol=1e-12, atol=0)
            missing = dataset["emission_rate_status"][:] != EmissionStatus.OK
    # A term without a part in a value is 0, and all terms of a value that is missing are missing.
    assert np.array_equal(np.isnan(sigma), np.repeat(missing[..., None], len(names), axis=-1))
    first = values[0][0]
    if first.budget:
        stored = {Term(name): value for name, value in zip(names, sigma[0, 0, 0].tolist(), strict=True)}
        assert stored == {term: first.budget.get(term, 0.0) for term in Term}


@settings(max_examples=50, deadline=None)
@given(BUDGETS)
def test_the_two_parts_hold_every_term_once(budget: dict[Term, float]) -> None:
    together = float(np.hypot(random_part(budget), systematic_part(budget)))
    assert np.isclose(together, root_sum(np.array(list(budget.values()))), rtol=1e-12)
