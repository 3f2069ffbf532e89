"""Columns that calibrate: from spectra and from products, in the order in which they become known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import Provenance
from so2cam.core.spectra import ColumnSeries, DilutionEvidence, FitStatus, SpectrumInfo, SpectrumKind
from so2cam.formats.column_products import write_columns_csv, write_columns_netcdf
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline import columns as columns_module
from so2cam.pipeline.columns import ColumnPoint, columns_from_product, columns_from_spectra, point_of
from so2cam.pipeline.output import hash_file
from so2cam.pipeline.spectrum_processor import ColumnRecord, Evidence
from so2cam.science.spectra.dilution import DEPTHS

START = datetime(2026, 1, 15, 14, tzinfo=UTC)
NAN = float("nan")
PROVENANCE = Provenance("1", "x", {}, "00" * 32, (), "so2cam", START)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_series(count: int = 6, **changes: Any) -> ColumnSeries:
    """Columns of which the second failed and the third has no finite uncertainty."""
    status = np.zeros(count, np.int64)
    status[1:2] = int(FitStatus.TOO_DARK)
    so2 = np.where(status == 0, 1e17 * (1 + np.arange(count)), np.nan)
    random = np.where(status == 0, 2e16, np.nan)
    random[2:3] = 0.0
    one = np.where(status == 0, 0.1, np.nan)
    fields: dict[str, Any] = {
        "times": tuple(at(8 * index) for index in range(count)),
        "files": tuple(f"{index}.npy" for index in range(count)),
        "so2_molec_cm2": so2,
        "so2_random_molec_cm2": random,
        "so2_systematic_molec_cm2": random,
        "status": status,
        "light_dilution": one,
        "light_dilution_uncertainty": one / 5,
    }
    fields |= {"parameters": {"so2": (so2, random)}, "evidence": None}
    for name in ColumnSeries.__dataclass_fields__:
        fields.setdefault(name, one)
    return ColumnSeries(**{**fields, **changes})


def test_the_product_gives_its_valid_columns(tmp_path: Path) -> None:
    series = make_series()
    write_columns_netcdf(tmp_path / "columns.nc", series, PROVENANCE)
    write_columns_csv(tmp_path / "columns.csv", series)
    for name in ("columns.nc", "columns.csv"):
        found = columns_from_product(tmp_path / name)
        assert [point.time for point in found.points] == [at(8 * index) for index in (0, 3, 4, 5)]
        assert [point.column_molec_cm2 for point in found.points] == pytest.approx([1e17, 4e17, 5e17, 6e17])
        assert {point.sigma_molec_cm2 for point in found.points} == {2e16}
        assert all(point.end == point.time for point in found.points), "a product does not tell exposures"
        assert found.hashes == {str(tmp_path / name): hash_file(tmp_path / name)}
        assert found.points[0].light_dilution[0] == pytest.approx(0.1)
    assert columns_from_product(tmp_path / "columns.nc").points[0].light_dilution[1] == pytest.approx(0.02)


def test_columns_of_a_product_come_in_order_of_time(tmp_path: Path) -> None:
    times = tuple(at(seconds) for seconds in (40, 0, 8, 32, 16, 24))
    write_columns_netcdf(tmp_path / "columns.nc", make_series(times=times), PROVENANCE)
    found = columns_from_product(tmp_path / "columns.nc").points
    assert [point.time for point in found] == [at(seconds) for seconds in (16, 24, 32, 40)]


@pytest.mark.parametrize("name", ["columns.nc", "columns.csv"])
def test_a_product_without_a_valid_column(tmp_path: Path, name: str) -> None:
    lost = make_series(status=np.full(6, int(FitStatus.TOO_DARK)), so2_molec_cm2=np.full(6, NAN))
    if name.endswith("nc"):
        write_columns_netcdf(tmp_path / name, lost, PROVENANCE)
    else:
        write_columns_csv(tmp_path / name, lost)
    with pytest.raises(InputError, match="no valid column") as caught:
        columns_from_product(tmp_path / name)
    assert caught.value.file == tmp_path / name
    assert caught.value.remedy


def test_what_is_no_product(tmp_path: Path) -> None:
    for name in ("columns.nc", "columns.csv", "columns.txt"):
        (tmp_path / name).write_text("nothing of the kind")
        with pytest.raises(InputError):
            columns_from_product(tmp_path / name)
    with pytest.raises(InputError):
        columns_from_product(tmp_path / "missing.csv")


def spectrum(seconds: float, column: float = 1e18, sigma: float = 2e16, **changes: Any) -> ColumnRecord:
    info = SpectrumInfo(
        path=Path(f"{seconds}.npy"),
        kind=SpectrumKind.PLUME,
        time=at(seconds),
        integration_time_s=changes.pop("integration_time_s", 0.5),
        coadds=changes.pop("coadds", 4),
    )
    status = changes.pop("status", FitStatus.OK)
    return ColumnRecord(info, status, parameters={"so2": (column, sigma)}, **changes)


def test_the_point_of_a_spectrum() -> None:
    point = point_of(spectrum(10, light_dilution=(0.2, 0.03), light=np.ones(5)))
    assert point is not None
    assert (point.column_molec_cm2, point.sigma_molec_cm2, point.exposure_s) == (1e18, 2e16, 2.0)
    assert point.end == at(11)
    assert point.light_dilution == (0.2, 0.03)
    assert point.light is not None
    for lost in (
        spectrum(0, status=FitStatus.TOO_DARK),
        spectrum(0, column=NAN),
        spectrum(0, sigma=float("inf")),
        spectrum(0, sigma=0.0),
    ):
        assert point_of(lost) is None
    # Names that tell neither exposure nor coadds.
    bare = point_of(spectrum(0, integration_time_s=None, coadds=None))
    assert bare is not None
    assert bare.end == bare.time


@pytest.fixture
def loaded() -> LoadedSite:
    return load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml")


class Fitted:
    """Stands for the spectra of a folder and their fits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, records: list[ColumnRecord]) -> None:
        self.limits: list[Any] = []
        self.plume = records
        self.hashes = {"a.npy": "00" * 32}

        def plan(spectrometer: Any, folders: Any, *, start: Any, end: Any) -> "Fitted":
            self.limits.append((start, end))
            return self

        monkeypatch.setattr(columns_module, "spectrometer_of", lambda loaded: None)
        monkeypatch.setattr(columns_module, "plan_spectra", plan)
        monkeypatch.setattr(columns_module, "require_spectra", lambda *_: None)
        monkeypatch.setattr(columns_module, "fit_files", lambda *_, **__: (records, self))


def test_columns_come_by_the_ends_of_their_exposures(loaded: LoadedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    long = spectrum(10, coadds=40)  # 0 to 20 s
    Fitted(monkeypatch, [long, spectrum(18), spectrum(2), spectrum(19, coadds=4)])
    found = columns_from_spectra(loaded, [Path("x")])
    assert [point.time for point in found.points] == [at(2), at(18), at(10), at(19)]
    assert [point.end for point in found.points] == sorted(point.end for point in found.points)
    assert found.hashes == {"a.npy": "00" * 32}
    assert found.notes == ()


def test_what_has_no_column_is_told(loaded: LoadedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    Fitted(monkeypatch, [spectrum(0), spectrum(8, status=FitStatus.TOO_DARK), spectrum(16, column=NAN)])
    found = columns_from_spectra(loaded, [Path("x")])
    assert found.notes == ("2 of 3 spectra have no column and calibrate nothing",)
    assert len(found.points) == 1


def test_no_column_at_all(loaded: LoadedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    Fitted(monkeypatch, [spectrum(0, status=FitStatus.TOO_DARK)])
    with pytest.raises(InputError, match="none of 1 spectra gives a column"):
        columns_from_spectra(loaded, [Path("x")])


def test_spectra_around_the_frames_are_fitted_too(loaded: LoadedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = Fitted(monkeypatch, [spectrum(0)])
    columns_from_spectra(loaded, [Path("x")], start=at(0), end=at(100))
    columns_from_spectra(loaded, [Path("x")])
    assert fitted.limits == [(at(-300), at(400)), (None, None)]


def test_the_end_of_a_point() -> None:
    assert ColumnPoint(at(0), 3.0, 1.0, 1.0).end == at(1.5)


# --- light dilution of many spectra together ---------------------------------------------------------------------

MISFIT = tuple(float(value) for value in (DEPTHS - 0.3) ** 2)


def test_the_point_of_a_spectrum_that_tells_its_dilution_with_others_only() -> None:
    record = spectrum(10, status=FitStatus.DILUTION_NOT_UNIQUE, column=NAN, evidence=Evidence(7e17, 1e16, MISFIT))
    assert point_of(record) is None
    point = point_of(record, pooled=True)
    assert point is not None
    assert (point.column_molec_cm2, point.sigma_molec_cm2, point.end) == (7e17, 1e16, at(11))
    assert point.diluted
    assert point.misfit == MISFIT
    thin = point_of(spectrum(0, evidence=Evidence(1e15, 1e16, None)), pooled=True)
    assert thin is not None
    assert thin.misfit is None
    for lost in (None, Evidence(NAN, NAN, None), Evidence(1e17, 0.0, MISFIT)):
        assert point_of(spectrum(0, evidence=lost), pooled=True) is None


def test_the_product_keeps_what_spectra_tell_together(tmp_path: Path) -> None:
    misfit = np.array([MISFIT] * 6)
    misfit[3] = np.nan
    evidence = DilutionEvidence(np.full(6, 5e17), np.array([1e16, 1e16, 1e16, 1e16, 1e16, NAN]), DEPTHS, misfit)
    write_columns_netcdf(tmp_path / "columns.nc", make_series(evidence=evidence), PROVENANCE)
    alone = columns_from_product(tmp_path / "columns.nc")
    assert not alone.diluted
    together = columns_from_product(tmp_path / "columns.nc", pooled=True)
    assert together.diluted
    assert [point.time for point in together.points] == [at(8 * index) for index in range(5)]
    assert [point.misfit for point in together.points] == [MISFIT, MISFIT, MISFIT, None, MISFIT]
    assert {point.column_molec_cm2 for point in together.points} == {5e17}

    other = DilutionEvidence(evidence.so2_molec_cm2, evidence.so2_random_molec_cm2, DEPTHS + 0.05, misfit)
    write_columns_netcdf(tmp_path / "columns.nc", make_series(evidence=other), PROVENANCE)
    with pytest.raises(InputError, match="other depths"):
        columns_from_product(tmp_path / "columns.nc", pooled=True)
