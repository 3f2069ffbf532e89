"""The processor of spectra: darks, groups, spikes, light dilution, and records that do not depend on neighbours."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.spectra import FitStatus, Spectrum, SpectrumInfo, SpectrumKind
from so2cam.core.spectrometer import (
    Detector,
    Fit,
    LightDilution,
    LineShapeSettings,
    Reference,
    References,
    So2Reference,
    Spectrometer,
)
from so2cam.formats.sitefile import LoadedSpectrometer
from so2cam.pipeline import spectrum_processor
from so2cam.pipeline.fit_parts import fit_parts
from so2cam.pipeline.spectra_batch import assemble_columns, spectrum_order
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.pipeline.spectrum_processor import ColumnRecord, SpectrumProcessor, SpectrumReader
from so2cam.science.spectra.forward import model_spectra

WAVELENGTHS = np.linspace(290.0, 326.0, 361)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Spectrometer(
    line_shape=LineShapeSettings(width_nm=0.6), fit=Fit(window_nm=(309, 317), model_spacing_nm=0.05)
)
COLUMNS = np.array([0.0, 3e17, 1e18, 2e18, 4e18])


def info(
    name: str, second: float, kind: SpectrumKind = SpectrumKind.PLUME, integration_s: float | None = 0.1
) -> SpectrumInfo:
    return SpectrumInfo(Path(name), kind, NOON + timedelta(seconds=second), integration_s, 1)


class Reader(SpectrumReader):
    """Spectra from memory."""

    def __init__(self, **counts: Any) -> None:
        super().__init__(SETTINGS)
        self.counts = counts
        self.reads: list[str] = []

    def read(self, info: SpectrumInfo) -> Spectrum | None:
        self.reads.append(str(info.path))
        values = self.counts.get(str(info.path))
        if values is None:
            self.failures[str(info.path)] = FrameFileError("is empty", file=info.path)
            return None
        return Spectrum(info, WAVELENGTHS[: len(values)], np.asarray(values, np.float64), "0")


@pytest.fixture(scope="module")
def light() -> Any:
    """Counts (5, 361) above the dark, with ``COLUMNS``."""
    settings = SETTINGS.model_copy(update={"fit": Fit(window_nm=(299, 323), model_spacing_nm=0.05)})
    model = SpectralModels(settings, Path()).model(WAVELENGTHS, (299, 323))
    rows = np.tile(np.where(np.isfinite(model.start), model.start, 0.0), (COLUMNS.size, 1))
    rows[:, model.names.index("background_0")] = 3e4
    rows[:, model.so2] = COLUMNS
    out = np.zeros((COLUMNS.size, WAVELENGTHS.size))
    out[:, model.window] = model_spectra(model, rows)
    return out + np.random.default_rng(3).normal(0, 8, out.shape)


def processor(reader: SpectrumReader, *others: SpectrumInfo, **settings: Any) -> SpectrumProcessor:
    return SpectrumProcessor(SETTINGS.model_copy(update=settings), Path(), others, reader)


def spectra(counts: Any, integration_s: float = 0.1) -> list[Spectrum]:
    return [
        Spectrum(info(f"s{n}", n, integration_s=integration_s), WAVELENGTHS, values, "0")
        for n, values in enumerate(counts)
    ]


DARK = info("dark", -10, SpectrumKind.DARK)


def so2(records: list[ColumnRecord]) -> Any:
    return np.array([record.parameters["so2"][0] for record in records])


def test_columns_are_the_truth(light: Any) -> None:
    records = processor(Reader(dark=np.full(361, 1000.0)), DARK).process(spectra(light + 1000))
    sigma = np.array([record.parameters["so2"][1] for record in records])
    assert (np.abs(so2(records) - COLUMNS) < 4 * sigma + 2e-3 * COLUMNS).all()
    assert all(record.status is FitStatus.OK and 0 < record.residual_rms < 0.1 for record in records)


def test_neighbours_and_order_do_not_matter(light: Any) -> None:
    found = spectra(light + 1000)
    reader = Reader(dark=np.full(361, 1000.0))
    together = processor(reader, DARK).process(found)
    alone = [processor(reader, DARK).process([spectrum])[0] for spectrum in found]
    backwards = processor(reader, DARK).process(found[::-1])[::-1]
    assert together == alone == backwards, "to the last bit"


def test_a_bad_neighbour_does_not_matter(light: Any) -> None:
    found = spectra(light + 1000)
    reader = Reader(dark=np.full(361, 1000.0))
    before = processor(reader, DARK).process(found)
    bad = [replace(found[0], counts=values) for values in (np.zeros(361), np.full(361, 65000.0))]
    after = processor(reader, DARK).process([bad[0], *found, bad[1]])
    assert after[1:-1] == before
    assert [after[0].status, after[-1].status] == [FitStatus.TOO_DARK, FitStatus.SATURATED]


def test_spectra_of_two_detectors(light: Any) -> None:
    found = spectra(light + 1000)
    short = replace(found[2], wavelengths_nm=WAVELENGTHS[:300], counts=found[2].counts[:300])
    reader = Reader(dark=np.full(361, 1000.0), short=np.full(300, 1000.0))
    darks = (DARK, info("short", -20, SpectrumKind.DARK))
    alone = processor(reader, DARK).process(found)
    records = processor(reader, *darks).process([found[0], short, found[1]])
    assert [records[0], records[2]] == alone[:2]
    assert records[1].status is FitStatus.OK
    assert records[1].parameters["so2"][0] == pytest.approx(alone[2].parameters["so2"][0], rel=1e-3)


# --- darks -------------------------------------------------------------------------------------------------------


def test_darks_of_different_sizes_end(light: Any) -> None:
    reader = Reader(dark=np.full(361, 1000.0), short=np.full(300, 1000.0))
    found = processor(reader, DARK, info("short", -5, SpectrumKind.DARK))
    assert found.sources(info("s", 0), 361) == ((Path("dark"),), ())
    assert found.sources(info("s", 0), 300) == ((Path("short"),), ())
    assert found.sources(info("s", 0), 200) == (None, ())


def test_darks_are_averaged(light: Any) -> None:
    slope = 10 * (WAVELENGTHS - 290)
    both = Reader(dark=1000 + slope, other=1000 - slope)
    mean = processor(both, DARK, info("other", -5, SpectrumKind.DARK)).process(spectra(light + 1000))
    one = processor(Reader(dark=np.full(361, 1000.0)), DARK).process(spectra(light + 1000))
    np.testing.assert_allclose(so2(mean), so2(one), rtol=1e-9)


def test_an_unreadable_dark_is_read_once(light: Any) -> None:
    reader = Reader(dark=np.full(361, 1000.0))
    found = processor(reader, DARK, info("broken", -1, SpectrumKind.DARK))
    assert {r.status for r in found.process(spectra(light + 1000)) + found.process(spectra(light + 1000))} == {0}
    assert reader.reads.count("broken") == 1
    assert list(reader.failures) == ["broken"]


def test_many_darks_are_not_all_kept() -> None:
    reader = Reader(**{f"d{n}": np.full(361, float(n)) for n in range(200)})
    darks = [info(f"d{n}", 10000 * n, SpectrumKind.DARK) for n in range(200)]
    found = processor(reader, *darks)
    for n in range(200):
        assert found.sources(info("s", 10000 * n + 1), 361)[0] == (Path(f"d{n}"),)
    assert len(found._means) <= 64


@pytest.mark.parametrize(
    ("update", "status"),
    [({}, FitStatus.NO_DARK), ({"require_dark": False}, FitStatus.OK), ({"subtract_dark": False}, FitStatus.OK)],
)
def test_no_dark_of_this_integration_time(light: Any, update: dict[str, Any], status: FitStatus) -> None:
    reader = Reader(dark=np.full(361, 1000.0))
    found = processor(reader, DARK, detector=Detector(**update)).process(spectra(light + 1000, 0.2))
    assert {record.status for record in found} == {status}
    if status is not FitStatus.OK:
        assert all(not record.parameters for record in found)


# --- spikes, bad pixels, dilution --------------------------------------------------------------------------------


def test_a_spike_is_left_out(light: Any) -> None:
    reader = Reader(dark=np.full(361, 1000.0))
    clean = processor(reader, DARK).process(spectra(light + 1000))
    spiked = light + 1000
    spiked[2, 240] += 3000
    repaired = processor(reader, DARK).process(spectra(spiked))
    left = processor(reader, DARK, detector=Detector(spike_sigma=0)).process(spectra(spiked))
    sigma = clean[2].parameters["so2"][1]
    assert abs(so2(repaired)[2] - so2(clean)[2]) < sigma
    assert abs(so2(left)[2] - so2(clean)[2]) > 3 * sigma
    assert [*repaired[:2], *repaired[3:]] == [*clean[:2], *clean[3:]]


def test_a_bad_pixel_does_not_count(light: Any) -> None:
    reader = Reader(dark=np.full(361, 1000.0))
    detector = Detector(bad_pixels=(240,), spike_sigma=0)
    before = processor(reader, DARK, detector=detector).process(spectra(light + 1000))
    spoilt = light + 1000
    spoilt[:, 240] = 65000
    assert processor(reader, DARK, detector=detector).process(spectra(spoilt)) == before


def test_fixed_light_dilution_raises_the_column(light: Any) -> None:
    reader = Reader(dark=np.full(361, 1000.0))
    plain = so2(processor(reader, DARK).process(spectra(light + 1000)))
    fixed = LightDilution(mode="fixed", value=0.3)
    records = processor(reader, DARK, light_dilution=fixed).process(spectra(light + 1000))
    assert (so2(records)[1:] > 1.3 * plain[1:]).all()
    settings = SETTINGS.model_copy(update={"light_dilution": fixed})
    series = assemble_columns(LoadedSpectrometer("x", settings, Path("x"), "0", {}), records)
    assert set(series.light_dilution) == {0.3}
    assert np.isnan(series.light_dilution_uncertainty).all()


def test_fitted_light_dilution_goes_into_the_record(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[Any] = []

    def stand_in(first: Any, second: Any, counts: Any, *, mask: Any, misfit: bool) -> SimpleNamespace:
        windows.extend((first.wavelengths_nm, second.wavelengths_nm))
        result = spectrum_processor.fit_spectra(first, counts, mask=mask)
        result.status[1], result.values[1], result.sigma[1] = FitStatus.DILUTION_NOT_UNIQUE, np.nan, np.nan
        shares = np.tile([0.25, 0.05], (len(counts), 1))
        shares[1] = np.nan
        return SimpleNamespace(light_dilution=shares, result=result, misfit=np.eye(len(counts)))

    monkeypatch.setattr(spectrum_processor, "fit_with_dilution", stand_in)
    reader = Reader(dark=np.full(361, 1000.0))
    records = processor(reader, DARK, light_dilution=LightDilution(mode="fit")).process(spectra(light + 1000))
    assert [record.light_dilution for record in records[::2]] == [(0.25, 0.05)] * 3
    assert records[1].status is FitStatus.DILUTION_NOT_UNIQUE
    # What it tells with others is kept, with the column of the plain fit.
    assert records[1].evidence is not None
    assert records[1].evidence.column > 0
    assert records[1].evidence.misfit == (0.0, 1.0, 0.0, 0.0, 0.0)
    assert np.isnan([*records[1].parameters["so2"], *records[1].light_dilution]).all()
    assert [round(x) for w in windows for x in (w[0], w[-1])] == [306, 316, 312, 322]


def test_a_second_window_outside_the_detector(light: Any) -> None:
    dilution = LightDilution(mode="fit", second_window_nm=(318, 328))
    records = processor(Reader(dark=np.full(361, 1000.0)), DARK, light_dilution=dilution).process(spectra(light + 1000))
    assert {record.status for record in records} == {FitStatus.WINDOW_OUTSIDE}


@pytest.mark.parametrize(
    ("low_nm", "high_nm", "status"),
    [
        (320.5, 321.0, FitStatus.SATURATED),
        (307.0, 307.5, FitStatus.SATURATED),
        (322.5, 323.0, FitStatus.DILUTION_NOT_UNIQUE),
    ],
)
def test_saturation_in_any_window_of_the_light_dilution(
    light: Any, monkeypatch: pytest.MonkeyPatch, low_nm: float, high_nm: float, status: FitStatus
) -> None:
    def stand_in(first: Any, second: Any, counts: Any, *, mask: Any, misfit: bool) -> SimpleNamespace:
        result = spectrum_processor.fit_spectra(first, counts, mask=mask)
        result.status[:] = FitStatus.DILUTION_NOT_UNIQUE
        return SimpleNamespace(
            light_dilution=np.full((len(counts), 2), np.nan), result=result, misfit=np.full((len(counts), 4), np.nan)
        )

    monkeypatch.setattr(spectrum_processor, "fit_with_dilution", stand_in)
    counts = light[2:3] + 1000
    counts[:, slice(*np.searchsorted(WAVELENGTHS, (low_nm, high_nm)))] = 64000.0
    reader = Reader(dark=np.full(361, 1000.0))
    plain = processor(reader, DARK).process(spectra(counts))
    assert [record.status for record in plain] == [FitStatus.OK], "outside the window of the plain fit"
    both = processor(reader, DARK, light_dilution=LightDilution(mode="fit")).process(spectra(counts))
    assert [record.status for record in both] == [status]


# --- optical density ---------------------------------------------------------------------------------------------

OPTICAL_DENSITY = SETTINGS.fit.model_copy(update={"method": "optical-density"})


def test_clear_spectra_of_one_integration_time_are_averaged(light: Any) -> None:
    counts = dict.fromkeys(("a", "b", "far", "longer"), light[0] + 1000) | {"dark": np.full(361, 1000.0)}
    clear = [
        info("a", 5, SpectrumKind.CLEAR),
        info("b", 60, SpectrumKind.CLEAR),
        info("longer", 61, SpectrumKind.CLEAR, 0.2),
        info("far", 9000, SpectrumKind.CLEAR),
        info("broken", 1, SpectrumKind.CLEAR),
    ]
    found = processor(Reader(**counts), DARK, *clear, fit=OPTICAL_DENSITY)
    assert found.sources(info("s", 0), 361) == ((Path("dark"),), (Path("a"), Path("b")))
    assert found.sources(info("s", 9001), 361)[1] == (Path("far"),)


def test_saturated_clear_spectra_are_refused(light: Any) -> None:
    reader = Reader(dark=np.full(361, 1000.0), clear=np.where(WAVELENGTHS > 314, 65000.0, light[0] + 1000))
    found = processor(reader, DARK, info("clear", 5, SpectrumKind.CLEAR), fit=OPTICAL_DENSITY)
    with pytest.raises(InputError, match="saturated within the fit window"):
        found.process(spectra(light + 1000))


def test_examples_are_of_the_fit_that_gave_the_column(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = spectra(light + 1000)[2]
    found.counts[240] += 3000
    reader = Reader(dark=np.full(361, 1000.0), clear=light[0] + 1000)
    clear = info("clear", 5, SpectrumKind.CLEAR)

    def stand_in(first: Any, second: Any, counts: Any, *, mask: Any, misfit: bool) -> SimpleNamespace:
        result = spectrum_processor.fit_spectra(first, counts, mask=mask, light_dilution=0.2)
        return SimpleNamespace(
            light_dilution=np.full((len(counts), 2), 0.2), result=result, misfit=np.full((len(counts), 4), np.nan)
        )

    monkeypatch.setattr(spectrum_processor, "fit_with_dilution", stand_in)
    for settings, ends in (
        ({}, (309, 317)),
        ({"light_dilution": LightDilution(mode="fit")}, (306, 316)),
        ({"fit": OPTICAL_DENSITY, "detector": Detector(bad_pixels=(240,))}, (309, 317)),
    ):
        one = processor(reader, DARK, clear, **settings)
        example = one.example(found, "a fit")
        assert example is not None
        assert tuple(round(x) for x in example.wavelengths_nm[[0, -1]]) == ends
        counted = np.isfinite(example.measured)
        assert (~counted).sum() == 1, "the spike, or the bad pixel, is not shown"
        assert np.abs(example.residual[counted]).max() < 0.1
        record = one.process([found])[0]
        if "fit" not in settings:  # whose residual is of optical densities
            assert np.sqrt(np.mean(example.residual[counted] ** 2)) == pytest.approx(record.residual_rms, rel=1e-9)


# --- models and series -------------------------------------------------------------------------------------------


def test_models_are_kept_and_few() -> None:
    models = SpectralModels(SETTINGS, Path())
    first = models.model(WAVELENGTHS, (309, 317))
    assert models.model(WAVELENGTHS.copy(), (309, 317)) is first
    for n in range(1, 6):
        models.model(WAVELENGTHS + 0.01 * n, (309, 317))
    assert len(models._models) <= 4


def test_errors_name_the_reference(tmp_path: Path) -> None:
    unknown = SETTINGS.model_copy(update={"references": References(so2=So2Reference(table="so2"))})
    with pytest.raises(InputError) as error:
        SpectralModels(unknown, tmp_path)
    assert error.value.key == "spectrometer.references.so2.table"
    np.savetxt(tmp_path / "ring.txt", np.column_stack([np.linspace(300, 312, 50), np.ones(50)]))
    narrow = SETTINGS.model_copy(update={"references": References(ring=Reference(file="ring.txt"))})
    with pytest.raises(InputError, match=r"spectrometer\.references\.ring covers 300\.00 to 312\.00 nm"):
        SpectralModels(narrow, tmp_path).model(WAVELENGTHS, (309, 317))


@pytest.mark.parametrize(
    ("so2", "relative"),
    [
        ({}, 0.07),
        ({"so2": {"table": "so2-vandaele2009-298k"}}, 0.07),
        ({"so2": {"file": "own.txt"}}, 0.07),
        ({"so2": {"file": "own.txt", "relative_uncertainty": 0.02}}, 0.02),
    ],
)
def test_every_table_of_so2_has_a_systematic_uncertainty(so2: dict[str, Any], relative: float) -> None:
    settings = SETTINGS.model_copy(update={"references": References.model_validate(so2)})
    records = [ColumnRecord(info("s", n), FitStatus.OK, {"so2": (x, 1e16)}) for n, x in enumerate((2e18, -1e16))]
    series = assemble_columns(LoadedSpectrometer("x", settings, Path("x"), "0", {}), records)
    assert series.so2_systematic_molec_cm2 == pytest.approx([relative * 2e18, relative * 1e16])


def test_a_series_of_failures_is_all_nan() -> None:
    records = [ColumnRecord(info("s", n), status) for n, status in enumerate((FitStatus.NO_DARK, FitStatus.TOO_DARK))]
    series = assemble_columns(LoadedSpectrometer("x", SETTINGS, Path("x"), "0", {}), records)
    assert series.status.tolist() == [1, 3]
    assert series.parameters == {}
    for values in (series.so2_molec_cm2, series.so2_random_molec_cm2, series.so2_systematic_molec_cm2, series.chi2):
        assert np.isnan(values).all()


def test_order_is_that_of_numbers() -> None:
    names = ["s10", "s9", "S8"]
    assert [i.path.name for i in sorted((info(name, 0) for name in names), key=spectrum_order)] == ["S8", "s9", "s10"]


# --- one spectrum with all that its fit is made of ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["intensity", "optical-density"])
def test_what_is_inspected_is_what_is_processed(light: Any, method: str) -> None:
    reader = Reader(dark=np.full(361, 1000.0), clear=light[0] + 1000)
    fit = SETTINGS.fit.model_copy(update={"method": method})
    found = processor(reader, DARK, info("clear", 5, SpectrumKind.CLEAR), fit=fit)
    some = spectra(light[1:] + 1000)  # the first is the clear one itself
    for spectrum, record in zip(some, found.process(some), strict=True):
        inspected = found.inspect(spectrum)
        assert replace(inspected.record, light=None) == replace(record, light=None)
        assert inspected.darks == 1
        assert (inspected.dark == 1000).all()
        parts = fit_parts(inspected)
        assert parts is not None
        # Lambert and Beer, within what the line shape blurs: 10 % of the mean optical depth.
        column = record.parameters["so2"][0]
        table = found.models.tables.so2.at(parts.wavelengths_nm, "cubic")
        assert parts.densities["so2"].mean() == pytest.approx(column * table.mean(), rel=0.1, abs=1e-3)
        assert {"so2", "o3", "ring"} == set(parts.densities)
        assert parts.so2_measured is not None
        left = parts.so2_measured - parts.densities["so2"]
        assert np.allclose(np.expm1(-left), parts.residual, atol=1e-9)


def test_without_a_dark_or_light_there_are_no_parts(light: Any) -> None:
    dark = processor(Reader()).inspect(spectra(light + 1000)[0])
    assert dark.record.status is FitStatus.NO_DARK
    assert dark.prepared is None
    assert fit_parts(dark) is None
    black = processor(Reader(dark=np.full(361, 1000.0)), DARK).inspect(spectra(0 * light + 1000)[0])
    assert black.record.status is FitStatus.TOO_DARK
    assert black.prepared is not None
    assert fit_parts(black) is None


def test_diluting_light_takes_from_what_so2_takes(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(first: Any, second: Any, counts: Any, *, mask: Any, misfit: bool) -> SimpleNamespace:
        result = spectrum_processor.fit_spectra(first, counts, mask=mask)
        shares = np.tile([0.5, 0.05], (len(counts), 1))
        return SimpleNamespace(light_dilution=shares, result=result, misfit=np.full((len(counts), 4), np.nan))

    monkeypatch.setattr(spectrum_processor, "fit_with_dilution", stand_in)
    reader = Reader(dark=np.full(361, 1000.0))
    window = {"fit": Fit(window_nm=(306, 316), model_spacing_nm=0.05)}
    spectrum = spectra(light + 1000)[2]
    plain = fit_parts(processor(reader, DARK, **window).inspect(spectrum))
    both = fit_parts(processor(reader, DARK, light_dilution=LightDilution(mode="fit"), **window).inspect(spectrum))
    assert plain is not None
    assert both is not None
    share = 1 - 0.5 ** ((310 / both.wavelengths_nm) ** 4)
    expected = -np.log(share + (1 - share) * np.exp(-plain.densities["so2"]))
    assert both.densities["so2"] == pytest.approx(expected, rel=0.05)
    assert both.densities["so2"].mean() < 0.6 * plain.densities["so2"].mean()
