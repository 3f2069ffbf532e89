"""Light dilution found from two windows, on simulated spectra of known dilution."""

import sys
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.science.spectra.dilution import fit_with_dilution
from so2cam.science.spectra.dilution_table import DilutionTable, build_dilution_table, look_up
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.model import FitModel, build_fit

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from benchmarks import spectra_dilution as bench

pytestmark = pytest.mark.timeout(600)  # the first fit compiles


@pytest.fixture(scope="module")
def models() -> tuple[FitModel, FitModel]:
    return bench.models()


def test_column_and_dilution_are_right_wherever_they_are_given_out() -> None:
    row = bench.measure(400, coadds=20, seed=4)
    assert row["unique_share_strong"] > 0.7
    assert row["within_5_percent"] == 1.0
    assert abs(row["median_bias"]) < 0.005
    # 68 and 95 %, within 3 sigma of some 270 answers
    assert 0.60 < row["within_1_sigma"] < 0.77
    assert row["within_2_sigma"] > 0.91
    assert 0.58 < row["dilution_within_1_sigma"] < 0.78
    assert sum(count for name, count in row.items() if name.startswith("status_")) == 400


def test_without_noise_the_answer_is_exact(models: tuple[FitModel, FitModel]) -> None:
    """Two windows of one spectrum, with backgrounds and shifts of their own, give back what it was made of."""
    counts, so2, dilution = bench.simulated(60, 10**9, 11)
    found = fit_with_dilution(*models, counts)
    strong = (so2 > 700 * MOLEC_CM2_PER_PPM_M) & found.result.ok
    assert strong.sum() > 30
    assert found.result.so2[strong] == pytest.approx(so2[strong], rel=2e-3)
    assert found.light_dilution[strong, 0] == pytest.approx(dilution[strong], abs=2e-3)
    assert found.alternatives[strong, 0, 0] == pytest.approx(found.result.so2[strong])
    assert (np.abs(found.correlation[strong]) <= 1).all()
    assert (found.light_dilution_range[strong, 0] <= found.light_dilution[strong, 0] + 1e-9).all()


def test_an_answer_beyond_what_is_searched_is_at_the_bound(models: tuple[FitModel, FitModel]) -> None:
    """More absorption in the strong bands than any column explains: as of a wrong offset."""
    counts, _, _ = bench.simulated(20, 10**7, 12, columns_ppm_m=(300, 400), dilutions=(-0.4, -0.3))
    found = fit_with_dilution(*models, counts)
    assert (found.result.status == FitStatus.AT_BOUND).all()
    assert np.isnan(found.result.so2).all()
    assert np.isnan(found.light_dilution).all()


def test_windows_that_overlap_count_shared_pixels_once(models: tuple[FitModel, FitModel]) -> None:
    """The same window twice holds no more than one: the uncertainty does not shrink by the root of two."""
    counts, so2, _ = bench.simulated(40, 400, 13)
    chosen = counts[so2 > 1500 * MOLEC_CM2_PER_PPM_M]
    twice = fit_with_dilution(models[0], models[0], chosen, precision=0.2)
    apart = fit_with_dilution(*models, chosen, precision=0.2)
    good = twice.result.ok & apart.result.ok
    assert good.sum() > 10
    assert (twice.result.so2_sigma[good] > 0.8 * apart.result.so2_sigma[good]).all()


def test_a_stricter_precision_gives_fewer_answers(models: tuple[FitModel, FitModel]) -> None:
    counts, _, _ = bench.simulated(60, 10, 14)
    loose, strict = (fit_with_dilution(*models, counts, precision=p).result for p in (0.03, 0.01))
    assert (loose.ok >= strict.ok).all()
    assert loose.ok.sum() > strict.ok.sum()
    assert (strict.so2_sigma[strict.ok] <= 0.01 * strict.so2[strict.ok]).all()
    assert loose.so2[strict.ok] == pytest.approx(strict.so2[strict.ok])


def test_what_is_ignored_is_what_is_lost(models: tuple[FitModel, FitModel]) -> None:
    """Without dilution a diluted column reads low, and in the strong window more so."""
    counts, so2, dilution = bench.simulated(60, 100, 5)
    found = fit_with_dilution(*models, counts)
    strong = (so2 > 1000 * MOLEC_CM2_PER_PPM_M) & (dilution > 0.2) & found.result.ok
    assert strong.sum() > 5
    assert (found.apparent[strong, 0] < 0.9 * so2[strong]).all()
    assert (found.apparent[strong, 0] < found.apparent[strong, 1]).all()
    assert found.result.so2[strong] == pytest.approx(so2[strong], rel=0.06)
    assert found.light_dilution[strong, 0] == pytest.approx(dilution[strong], abs=0.05)


def test_weak_plumes_hold_nothing_about_dilution(models: tuple[FitModel, FitModel]) -> None:
    counts, so2, _ = bench.simulated(400, 10, 6)
    found = fit_with_dilution(*models, counts)
    weak = so2 < 100 * MOLEC_CM2_PER_PPM_M
    assert weak.any()
    assert (found.result.status[weak] == FitStatus.DILUTION_NOT_UNIQUE).all()
    assert np.isnan(found.result.so2[weak]).all()
    assert np.isnan(found.light_dilution[weak]).all()


def test_one_at_a_time_is_the_same(models: tuple[FitModel, FitModel]) -> None:
    counts, _, _ = bench.simulated(12, 10, 7)
    together = fit_with_dilution(*models, counts)
    for row in range(12):
        alone = fit_with_dilution(*models, counts[row])
        assert np.array_equal(alone.result.so2, together.result.so2[row : row + 1], equal_nan=True)
        assert np.array_equal(alone.light_dilution, together.light_dilution[row : row + 1], equal_nan=True)


def test_masked_pixels_do_not_count(models: tuple[FitModel, FitModel]) -> None:
    counts, so2, _ = bench.simulated(40, 100, 8)
    bad = np.zeros(counts.shape, np.bool_)
    bad[:, [250, 290, 330, 380]] = True
    spoiled = np.where(bad, 1e7, counts)
    found = fit_with_dilution(*models, spoiled, mask=~bad)
    good = found.result.ok
    assert good.sum() > 15
    assert found.result.so2[good] == pytest.approx(so2[good], rel=0.06)


def test_failed_spectra_have_a_status(models: tuple[FitModel, FitModel]) -> None:
    counts, _, _ = bench.simulated(3, 10, 9)
    counts[1] = np.nan
    counts[2] = 0.0
    status = fit_with_dilution(*models, counts).result.status
    assert status[1] == FitStatus.BAD_PIXELS
    assert status[2] != FitStatus.OK


def test_what_is_wrong_is_said(models: tuple[FitModel, FitModel]) -> None:
    first, second = models
    with pytest.raises(ValueError, match="columns of the detector"):
        fit_with_dilution(first, second, np.ones((2, 7)))
    with pytest.raises(ValueError, match="mask must have shape"):
        fit_with_dilution(first, second, np.ones((2, bench.PIXELS_NM.size)), mask=np.ones((3, 5)))
    other = build_fit(
        np.linspace(290, 335, 500), fit=Fit(), line_shape=LineShapeSettings(), tables=bench.tables(),
        window_nm=(312.0, 322.0),
    )  # fmt: skip
    with pytest.raises(ValueError, match="one detector"):
        fit_with_dilution(first, other, np.ones((1, bench.PIXELS_NM.size)))
    free = build_fit(
        bench.PIXELS_NM, fit=Fit(), line_shape=LineShapeSettings(), tables=bench.tables(), window_nm=(306.0, 316.0),
        fit_light_dilution=True,
    )  # fmt: skip
    with pytest.raises(ValueError, match="must hold light dilution"):
        fit_with_dilution(free, second, np.ones((1, bench.PIXELS_NM.size)))


def test_table_goes_there_and_back(models: tuple[FitModel, FitModel]) -> None:
    counts, _, _ = bench.simulated(1, 1000, 10)
    typical = fit_spectra(models[0], counts)
    so2 = np.linspace(0, 4000, 21) * MOLEC_CM2_PER_PPM_M
    dilution = np.linspace(0, 0.6, 13)
    table = build_dilution_table(models, typical, 0, so2, dilution)
    assert table.first[:, 0] == pytest.approx(so2, abs=1e14, rel=1e-3)
    for i, j in ((8, 3), (12, 5), (18, 6)):
        answers = look_up(table, table.first[i, j], table.second[i, j])
        assert any(a[0] == pytest.approx(so2[i]) and a[1] == pytest.approx(dilution[j]) for a in answers)
    assert look_up(table, 1e21, 1e10) == ()


def test_a_fold_has_all_its_answers() -> None:
    so2, dilution = np.linspace(0, 4, 9), np.linspace(0, 0.8, 5)
    column, share = np.meshgrid(so2, dilution, indexing="ij")
    table = DilutionTable(so2, dilution, np.abs(column - 2), share)
    assert look_up(table, 1.25, 0.5) == (
        (pytest.approx(0.75), pytest.approx(0.5)),
        (pytest.approx(3.25), pytest.approx(0.5)),
    )
    assert look_up(table, -0.1, 0.5) == ()
