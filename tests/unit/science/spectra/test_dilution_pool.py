"""One light dilution of many spectra, none of which tells it alone: on simulated spectra and on plain curves."""

import sys
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.science.spectra.dilution import DEPTHS, fit_with_dilution
from so2cam.science.spectra.dilution_pool import LEAST_SPECTRA, POOL_TEXT, PoolStatus, pool_dilution
from so2cam.science.spectra.model import FitModel

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from benchmarks import spectra_dilution as bench

pytestmark = pytest.mark.timeout(600)  # the first fit compiles


def curves(depths: FloatArray, sigma: float) -> FloatArray:
    """Misfit of spectra that each tell a depth with 1 sigma."""
    return ((DEPTHS - depths[:, None]) / sigma) ** 2


@pytest.fixture(scope="module")
def models() -> tuple[FitModel, FitModel]:
    return bench.models()


@pytest.mark.parametrize(
    ("share", "columns"), [(0.3, (300.0, 1500.0)), (0.0, (300.0, 1500.0)), (0.5, (1000.0, 3000.0))]
)
def test_spectra_of_one_coadd_tell_it_together(
    models: tuple[FitModel, FitModel], share: float, columns: tuple[float, float]
) -> None:
    groups, size = 20, 15
    counts, _, _ = bench.simulated(groups * size, 1, 21, columns_ppm_m=columns, dilutions=(share, share))
    found = fit_with_dilution(*models, counts, misfit=True)
    known = np.isfinite(found.misfit).all(axis=1)
    assert known.mean() > 0.95
    assert (found.misfit[known].min(axis=1) == 0).all()
    pools = [
        pool_dilution(DEPTHS, found.misfit[part][known[part]])
        for part in (slice(group * size, (group + 1) * size) for group in range(groups))
    ]
    good = [pool for pool in pools if pool.status is PoolStatus.OK]
    assert len(good) > 0.8 * groups
    errors = np.array([(pool.share - share) / pool.uncertainty for pool in good])
    # 20 draws of unit variance: mean within 3.5 sigma of it, scatter within its own
    assert abs(errors.mean()) < 3.5 / np.sqrt(len(good))
    assert 0.5 < errors.std() < 1.5
    whole = pool_dilution(DEPTHS, found.misfit[known])
    assert whole.share == pytest.approx(share, abs=max(3 * whole.uncertainty, 0.004))
    assert whole.uncertainty < 0.5 * np.median([pool.uncertainty for pool in good])
    # What each tells by itself is next to nothing.
    assert (found.result.status == FitStatus.DILUTION_NOT_UNIQUE).mean() > 0.9


def test_the_misfit_goes_with_the_answer_of_a_spectrum_that_tells_it_alone(models: tuple[FitModel, FitModel]) -> None:
    counts, _, _ = bench.simulated(30, 100, 22, columns_ppm_m=(800.0, 2500.0), dilutions=(0.1, 0.5))
    found = fit_with_dilution(*models, counts, misfit=True)
    good = np.flatnonzero(found.result.ok)
    assert good.size > 20
    for row in good:
        depth = -np.log1p(-found.light_dilution[row, 0])
        assert abs(DEPTHS[np.argmin(found.misfit[row])] - depth) < 0.06
    assert np.isnan(fit_with_dilution(*models, counts[:2]).misfit).all(), "only where it is asked for"


def test_a_spectrum_without_so2_tells_nothing(models: tuple[FitModel, FitModel]) -> None:
    counts, _, _ = bench.simulated(8, 1, 23, columns_ppm_m=(0.0, 5.0))
    assert np.isnan(fit_with_dilution(*models, counts, misfit=True).misfit).all()


def test_a_pool_is_the_weighted_mean() -> None:
    depths = np.array([0.33, 0.39, 0.36, 0.36])
    pool = pool_dilution(DEPTHS, curves(depths, 0.06))
    assert (pool.status, pool.spectra) == (PoolStatus.OK, 4)
    assert pool.share == pytest.approx(1 - np.exp(-0.36), rel=1e-6)
    assert pool.depth_sigma == pytest.approx(0.03, rel=1e-6)
    assert pool.uncertainty == pytest.approx(0.03 * np.exp(-0.36), rel=1e-6)


def test_spectra_that_scatter_more_than_their_noise_say_so() -> None:
    depths = 0.36 + 0.1 * np.random.default_rng(4).standard_normal(40)
    pool = pool_dilution(DEPTHS, curves(depths, 0.02))
    assert pool.status is PoolStatus.OK
    assert pool.depth_sigma == pytest.approx(depths.std(ddof=1) / np.sqrt(40), rel=0.02)
    assert pool.depth_sigma > 3 * 0.02 / np.sqrt(40)


@pytest.mark.parametrize(
    ("misfit", "status"),
    [
        (curves(np.full(LEAST_SPECTRA - 1, 0.3), 0.02), PoolStatus.TOO_FEW),
        (curves(np.full(5, 0.3), 0.2), PoolStatus.NOT_UNIQUE),
        (np.zeros((5, DEPTHS.size)), PoolStatus.NOT_UNIQUE),
        (curves(np.full(5, -0.5), 0.02), PoolStatus.AT_BOUND),
        (curves(np.full(5, 2.5), 0.02), PoolStatus.AT_BOUND),
        (np.minimum(curves(np.full(5, 0.3), 0.05), curves(np.full(5, 1.2), 0.05)), PoolStatus.NOT_UNIQUE),
    ],
)
def test_no_answer_without_a_single_dilution(misfit: FloatArray, status: PoolStatus) -> None:
    pool = pool_dilution(DEPTHS, misfit)
    assert pool.status is status
    assert np.isnan(pool.share)
    assert np.isnan(pool.uncertainty)
    assert POOL_TEXT[status]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="23 columns"):
        pool_dilution(DEPTHS, np.zeros((5, 7)))
