"""The products: what every emission-rate file must be, and that each can be read back."""

import csv
import dataclasses
import hashlib
import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from netCDF4 import Dataset

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Provenance
from so2cam.core.results import EmissionSeries
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.times import format_utc, parse_utc
from so2cam.core.uncertainty import Term
from so2cam.formats.products import (
    CSV_COLUMNS,
    TIME_UNITS,
    VARIABLES,
    read_emission_csv,
    read_emission_netcdf,
    write_emission_csv,
    write_emission_netcdf,
)
from so2cam.formats.sitefile import settings_hash

START = datetime(2018, 3, 26, 14, 44, 8, 123456, UTC)
HEADER = (
    "time,line,speed_method,emission_rate_kg_s,random_uncertainty_kg_s,systematic_uncertainty_kg_s,plume_speed_m_s,"
    "plume_speed_uncertainty_m_s,plume_direction_deg,integrated_column_amount_kg_m,status"
)


def make_series(
    pairs: int = 6,
    lines: tuple[str, ...] = ("gas1", "gas 2"),
    methods: tuple[str, ...] = ("flow_raw", "cross_correlation"),
) -> EmissionSeries:
    """A series with valid and missing values, missing exactly where the status is not OK."""
    rng = np.random.default_rng(1)
    shape = (pairs, len(lines), len(methods))
    reasons = [EmissionStatus.FLOW_UNRELIABLE, EmissionStatus.LINE_MASKED, EmissionStatus.NO_CORRELATION]
    status = np.where(rng.random(shape) < 0.3, rng.choice([int(r) for r in reasons], shape), 0)
    if pairs:
        status[-1] = EmissionStatus.NO_NEXT_PAIR
    total_status = np.where((status == 0).all(axis=1), 0, int(EmissionStatus.PART_MISSING))

    def values(low: float, high: float, where: np.ndarray) -> np.ndarray:
        return np.where(where, rng.uniform(low, high, where.shape), np.nan)

    ok, total_ok = status == 0, total_status == 0
    everywhere = np.ones(pairs, bool)
    return EmissionSeries(
        times=tuple(START + timedelta(seconds=4.1 * i) for i in range(pairs)),
        lines=lines,
        speed_methods=methods,
        emission_rate_kg_s=values(-0.1, 5, ok),
        random_uncertainty_kg_s=values(0.01, 0.2, ok),
        systematic_uncertainty_kg_s=values(0.1, 1, ok),
        status=status.astype(np.int64),
        plume_speed_m_s=values(2, 12, ok),
        plume_speed_uncertainty_m_s=values(0.1, 1, ok),
        plume_direction_deg=values(-180, 180, ok),
        integrated_column_amount_kg_m=values(0, 2, ok.any(axis=2)),
        integrated_column_amount_uncertainty_kg_m=values(0.01, 0.1, ok.any(axis=2)),
        total_emission_rate_kg_s=values(0, 9, total_ok),
        total_random_uncertainty_kg_s=values(0.01, 0.3, total_ok),
        total_systematic_uncertainty_kg_s=values(0.1, 2, total_ok),
        total_status=total_status.astype(np.int64),
        background_level=values(-0.02, 0.02, everywhere),
        background_noise=values(0.005, 0.01, everywhere),
        quality_flags=np.full(pairs, int(QualityFlag.FEW_SKY_PIXELS | QualityFlag.LARGE_PAIR_OFFSET), np.int64),
        pair_offset_s=values(-1, 1, everywhere),
        calibration_slope_molec_cm2=values(6e18, 8e18, everywhere),
        calibration_slope_uncertainty_molec_cm2=values(2e17, 3e17, everywhere),
        calibration_offset_molec_cm2=values(-2e17, 2e17, everywhere),
        calibration_offset_uncertainty_molec_cm2=values(1e16, 3e16, everywhere),
        calibration_number=np.arange(pairs, dtype=np.int64) // 2 - 1,
        extinction_per_m=values(1e-5, 1e-4, np.ones((pairs, 2), bool)),
        extinction_uncertainty_per_m=values(1e-6, 1e-5, np.ones((pairs, 2), bool)),
        uncertainty_terms_kg_s=values(0, 0.3, np.repeat(ok[..., None], len(Term), axis=-1)),
    )


def make_provenance(site: str = "villarrica") -> Provenance:
    settings = {"site": site, "processing": {"pairing": {"tolerance_s": 2.0}}}
    return Provenance(
        software_version="0.1.0",
        site_name=site,
        settings=settings,
        settings_sha256=settings_hash(settings),
        input_sha256=(("plume/2018-03-26T144408_fltrA.png", "01" * 32), ("dark/Dunkel-Bild.png", "02" * 32)),
        command="so2cam process site.toml",
        created=datetime(2026, 1, 2, 3, 4, 5, 6000, UTC),
    )


class EmissionProductConformance:
    """What an ``emission_rates.nc`` must be, whoever wrote it. Hand it a path and call ``check``."""

    DIMENSIONS = {
        "emission_rate": ("time", "line", "speed_method"),
        "emission_rate_random_uncertainty": ("time", "line", "speed_method"),
        "emission_rate_systematic_uncertainty": ("time", "line", "speed_method"),
        "emission_rate_status": ("time", "line", "speed_method"),
        "plume_speed": ("time", "line", "speed_method"),
        "plume_speed_uncertainty": ("time", "line", "speed_method"),
        "plume_direction": ("time", "line", "speed_method"),
        "integrated_column_amount": ("time", "line"),
        "integrated_column_amount_uncertainty": ("time", "line"),
        "total_emission_rate": ("time", "speed_method"),
        "total_emission_rate_random_uncertainty": ("time", "speed_method"),
        "total_emission_rate_systematic_uncertainty": ("time", "speed_method"),
        "total_emission_rate_status": ("time", "speed_method"),
        "background_level": ("time",),
        "background_noise": ("time",),
        "image_quality_flags": ("time",),
        "calibration_slope": ("time",),
        "calibration_slope_uncertainty": ("time",),
        "calibration_offset": ("time",),
        "calibration_offset_uncertainty": ("time",),
        "calibration_number": ("time",),
        "extinction": ("time", "band"),
        "extinction_uncertainty": ("time", "band"),
        "emission_rate_uncertainty_term": ("time", "line", "speed_method", "uncertainty_term"),
        "pair_time_offset": ("time",),
        "time": ("time",),
        "line": ("line",),
        "speed_method": ("speed_method",),
        "band": ("band",),
        "uncertainty_term": ("uncertainty_term",),
        "input_file": ("input",),
        "input_sha256": ("input",),
    }
    UNITS = {
        "emission_rate": "kg s-1",
        "plume_speed": "m s-1",
        "plume_direction": "degree",
        "integrated_column_amount": "kg m-1",
        "total_emission_rate": "kg s-1",
        "background_level": "1",
        "background_noise": "1",
        "calibration_slope": "cm-2",
        "calibration_offset": "cm-2",
        "extinction": "m-1",
        "emission_rate_uncertainty_term": "kg s-1",
        "pair_time_offset": "s",
    }
    ATTRIBUTES = (
        "title",
        "source",
        "history",
        "references",
        "software_version",
        "settings",
        "settings_sha256",
        "site",
        "command",
        "date_created",
    )
    FLAGS = ("emission_rate_status", "total_emission_rate_status", "image_quality_flags")

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        with Dataset(self.path) as dataset:
            dataset.set_auto_mask(False)
            self.check_structure(dataset)
            self.check_metadata(dataset)
            self.check_flags(dataset)
            self.check_missing(dataset, "emission_rate")
            self.check_missing(dataset, "total_emission_rate")
            self.check_uncertainties(dataset)
        self.check_xarray()

    def check_structure(self, dataset: Dataset) -> None:
        assert dataset.data_model == "NETCDF4"
        assert set(dataset.dimensions) == {"time", "line", "speed_method", "band", "uncertainty_term", "input"}
        assert {name: variable.dimensions for name, variable in dataset.variables.items()} == self.DIMENSIONS
        for name in ("line", "speed_method", "band", "uncertainty_term", "input_file", "input_sha256"):
            assert dataset[name].dtype is str
        assert dataset["band"][:].tolist() == ["on", "off"]
        assert dataset["uncertainty_term"][:].tolist() == [term.value for term in Term]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in dataset["input_sha256"][:])

    def check_metadata(self, dataset: Dataset) -> None:
        assert dataset.Conventions == "CF-1.11"
        for name in self.ATTRIBUTES:
            assert dataset.getncattr(name), f"global attribute {name}"
        assert "featureType" not in dataset.ncattrs()
        assert json.loads(dataset.settings)
        parse_utc(dataset.date_created)
        assert dataset["time"].units == "milliseconds since 1970-01-01 00:00:00"
        assert dataset["time"].dtype == np.int64
        for name, variable in dataset.variables.items():
            assert variable.long_name, name
            if variable.dtype == np.float64:
                assert re.fullmatch(r"1|(kg|m|cm|s|degree)(-?\d)?( (kg|m|cm|s|degree)-?\d)*", variable.units), name
                assert math.isnan(variable.getncattr("_FillValue")), name
                expected = self.UNITS[re.sub("(_random|_systematic)?_uncertainty$", "", name)]
                assert variable.units == expected, name
            for other in getattr(variable, "ancillary_variables", "").split():
                assert dataset[other].dimensions == variable.dimensions

    def check_flags(self, dataset: Dataset) -> None:
        for name in self.FLAGS[:2]:
            status = dataset[name]
            assert status.dtype == np.int8
            assert status.flag_values.dtype == np.int8
            known = dict(zip(status.flag_values.tolist(), status.flag_meanings.split(), strict=True))
            assert known == {int(member): member.name.lower() for member in EmissionStatus}
            assert set(np.unique(status[:]).tolist()) <= set(known)
            assert all(f"{meaning}: " in status.comment for meaning in known.values())
        quality = dataset["image_quality_flags"]
        assert quality.dtype == np.int32
        assert quality.flag_masks.dtype == np.int32
        masks = dict(zip(quality.flag_masks.tolist(), quality.flag_meanings.split(), strict=True))
        assert masks == {int(member): str(member.name).lower() for member in QualityFlag}
        assert not (np.asarray(quality[:]) & ~sum(masks)).any()

    def check_missing(self, dataset: Dataset, name: str) -> None:
        """Missing exactly where the status is not OK; value and both uncertainties stand or fall together."""
        missing = dataset[f"{name}_status"][:] != EmissionStatus.OK
        for variable in (name, f"{name}_random_uncertainty", f"{name}_systematic_uncertainty"):
            assert np.array_equal(np.isnan(dataset[variable][:]), missing), variable

    def check_uncertainties(self, dataset: Dataset) -> None:
        for name in ("plume_speed", "integrated_column_amount", "calibration_slope", "calibration_offset"):
            value, sigma = dataset[name][:], dataset[f"{name}_uncertainty"][:]
            assert np.isfinite(sigma[np.isfinite(value)]).all(), name
        for name in self.DIMENSIONS:
            if name.endswith("_uncertainty"):
                assert not (dataset[name][:] < 0).any(), name

    def check_xarray(self) -> None:
        with xr.open_dataset(self.path, engine="netcdf4") as dataset, Dataset(self.path) as raw:
            raw.set_auto_mask(False)
            assert set(dataset.coords) >= {"time", "line", "speed_method"}
            assert dataset["time"].dtype.kind == "M"
            decoded = (dataset["time"].values - np.datetime64(0, "ms")) / np.timedelta64(1, "us")
            assert decoded.tolist() == (raw["time"][:] * 1000).tolist()


@pytest.fixture(
    params=[
        (6, ("gas1", "gas 2"), ("flow_raw", "cross_correlation")),
        (40, ("south",), ("flow_raw",)),
        (1, ("a", "b", "c"), ("flow_raw",)),
        (0, ("gas1", "gas 2"), ("flow_raw", "cross_correlation")),
    ],
    ids=["two lines", "one line", "one pair", "empty"],
)
def series(request: pytest.FixtureRequest) -> EmissionSeries:
    return make_series(*request.param)


def to_milliseconds(times: tuple[datetime, ...]) -> tuple[datetime, ...]:
    return tuple(parse_utc(format_utc(time)) for time in times)


def test_netcdf_conforms(tmp_path: Path, series: EmissionSeries) -> None:
    path = tmp_path / "emission_rates.nc"
    write_emission_netcdf(path, series, make_provenance())
    EmissionProductConformance(path).check()


def test_netcdf_is_read_back_exactly(tmp_path: Path, series: EmissionSeries) -> None:
    path = tmp_path / "emission_rates.nc.tmp"
    write_emission_netcdf(path, series, make_provenance())
    assert [entry.name for entry in tmp_path.iterdir()] == ["emission_rates.nc.tmp"]
    back = read_emission_netcdf(path)
    assert back.times == to_milliseconds(series.times)
    for field in dataclasses.fields(EmissionSeries):
        found, expected = getattr(back, field.name), getattr(series, field.name)
        if isinstance(expected, np.ndarray):
            assert found.dtype == expected.dtype, field.name
            np.testing.assert_array_equal(found, expected, err_msg=field.name)
        elif field.name != "times":
            assert found == expected


def test_table_covers_the_series() -> None:
    fields = {field.name for field in dataclasses.fields(EmissionSeries)}
    assert {variable.field for variable in VARIABLES} == fields - {"times", "lines", "speed_methods", "dilution"}


def test_xarray_selects_by_name(tmp_path: Path) -> None:
    series = make_series()
    path = tmp_path / "emission_rates.nc"
    write_emission_netcdf(path, series, make_provenance())
    with xr.open_dataset(path) as dataset:
        found = dataset["emission_rate"].sel(line="gas 2", speed_method="cross_correlation")
        np.testing.assert_array_equal(found, series.emission_rate_kg_s[:, 1, 1])
        assert dataset["time"].values[0] == np.datetime64("2018-03-26T14:44:08.123")
        assert dataset["emission_rate"].attrs["ancillary_variables"].split() == [
            "emission_rate_random_uncertainty",
            "emission_rate_systematic_uncertainty",
            "emission_rate_status",
        ]


def test_time_is_rounded_like_its_text(tmp_path: Path) -> None:
    moments = tuple(START.replace(microsecond=us) for us in (0, 499, 500, 123_499, 123_500, 999_499, 999_500))
    series = dataclasses.replace(make_series(len(moments)), times=moments)
    path = tmp_path / "rates"
    write_emission_netcdf(path, series, make_provenance())
    assert read_emission_netcdf(path).times == to_milliseconds(moments)


def test_provenance_is_in_the_file(tmp_path: Path) -> None:
    provenance = make_provenance("Ätna Südost – 桜島")
    path = tmp_path / "Ätna.nc"
    write_emission_netcdf(path, make_series(), provenance)
    EmissionProductConformance(path).check()
    with Dataset(path) as dataset:
        assert dataset.site == provenance.site_name
        assert json.loads(dataset.settings) == provenance.settings
        assert dataset.settings_sha256 == provenance.settings_sha256
        assert hashlib.sha256(dataset.settings.encode()).hexdigest() == dataset.settings_sha256
        assert dataset.date_created == "2026-01-02T03:04:05.006Z"
        assert dataset.history == "2026-01-02T03:04:05.006Z so2cam 0.1.0: so2cam process site.toml"
        assert tuple(zip(dataset["input_file"][:], dataset["input_sha256"][:], strict=True)) == provenance.input_sha256


def test_many_inputs_and_large_settings(tmp_path: Path) -> None:
    settings = {f"key{i}": "ü" * 100 for i in range(3000)}
    inputs = tuple((f"frame{i}.png", f"{i:064x}") for i in range(2000))
    provenance = dataclasses.replace(make_provenance(), settings=settings, input_sha256=inputs)
    path = tmp_path / "rates.nc"
    write_emission_netcdf(path, make_series(), provenance)
    with Dataset(path) as dataset:
        assert json.loads(dataset.settings) == settings
        assert dataset.dimensions["input"].size == 2000


def test_no_inputs(tmp_path: Path) -> None:
    path = tmp_path / "rates.nc"
    write_emission_netcdf(path, make_series(), dataclasses.replace(make_provenance(), input_sha256=()))
    EmissionProductConformance(path).check()


def test_a_long_series_is_compressed(tmp_path: Path) -> None:
    series = make_series(7200)
    path = tmp_path / "rates.nc"
    write_emission_netcdf(
        path,
        dataclasses.replace(
            series,
            plume_speed_m_s=series.plume_speed_m_s * 0,
            uncertainty_terms_kg_s=series.uncertainty_terms_kg_s * 0,
        ),
        make_provenance(),
    )
    with Dataset(path) as dataset:
        for variable in VARIABLES:
            assert dataset[variable.name].filters()["zlib"]
            assert dataset[variable.name].chunking()[0] == 4096
    assert path.stat().st_size < 3_500_000


def test_series_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    series = make_series()
    wrong = dataclasses.replace(series, plume_speed_m_s=series.plume_speed_m_s[:, :1])
    with pytest.raises(ValueError, match=r"plume_speed_m_s has the shape \(6, 1, 2\)"):
        write_emission_netcdf(tmp_path / "rates.nc", wrong, make_provenance())
    with pytest.raises(ValueError, match="plume_speed_m_s"):
        write_emission_csv(tmp_path / "rates.csv", wrong)
    assert not list(tmp_path.iterdir())


def test_unwritable_path_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "rates"
    with pytest.raises(OutputError, match="missing/rates"):
        write_emission_netcdf(path, make_series(), make_provenance())
    with pytest.raises(OutputError, match="missing/rates"):
        write_emission_csv(path, make_series())


def test_netcdf_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.nc"):
        read_emission_netcdf(tmp_path / "none.nc")
    text = tmp_path / "text.nc"
    text.write_text("not netCDF at all")
    with pytest.raises(InputError, match=r"text\.nc: cannot be read as netCDF"):
        read_emission_netcdf(text)
    cut = tmp_path / "cut.nc"
    write_emission_netcdf(cut, make_series(200), make_provenance())
    cut.write_bytes(cut.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"cut\.nc"):
        read_emission_netcdf(cut)


def test_foreign_netcdf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.nc"
    with Dataset(path, "w") as dataset:
        dataset.createDimension("x", 3)
        dataset.createVariable("emission_rate", "f8", ("x",))
    with pytest.raises(InputError, match=r"emission_rate: the variable should have the dimensions time, line"):
        read_emission_netcdf(path)
    with Dataset(path, "w"):
        pass
    with pytest.raises(InputError, match=r"foreign\.nc: emission_rate: .* a variable is missing"):
        read_emission_netcdf(path)
    write_emission_netcdf(path, make_series(), make_provenance())
    with Dataset(path, "a") as dataset:
        dataset["time"].units = "seconds since 1970-01-01"
    with pytest.raises(InputError, match=f"time: the time should be in {TIME_UNITS}"):
        read_emission_netcdf(path)


def test_csv_is_as_specified(tmp_path: Path) -> None:
    series = make_series(2)
    path = tmp_path / "emission_rates.csv.tmp"
    write_emission_csv(path, series)
    data = path.read_bytes()
    assert b"\r" not in data
    assert b"nan" not in data
    assert data.endswith(b"\n")
    lines = data.decode("utf-8").splitlines()
    assert lines[0] == HEADER
    rows = list(csv.DictReader(lines))
    assert [(row["line"], row["speed_method"]) for row in rows[:6]] == [
        ("gas1", "flow_raw"),
        ("gas1", "cross_correlation"),
        ("gas 2", "flow_raw"),
        ("gas 2", "cross_correlation"),
        ("total", "flow_raw"),
        ("total", "cross_correlation"),
    ]
    assert {row["time"] for row in rows} == {"2018-03-26T14:44:08.123Z", "2018-03-26T14:44:12.223Z"}
    assert [row["status"] for row in rows[6:]] == ["no_next_pair"] * 4 + ["part_missing"] * 2
    assert all(row["emission_rate_kg_s"] == "" for row in rows[6:])
    for row in rows:
        assert (row["status"] == "ok") == (row["emission_rate_kg_s"] != "")
        if row["line"] == "total":
            assert row["plume_speed_m_s"] == row["plume_speed_uncertainty_m_s"] == row["plume_direction_deg"] == ""
        for column in CSV_COLUMNS[3:-1]:
            assert len(re.sub(r"^-?0*\.?0*|\.|e.*", "", row[column])) <= 6, row[column]


def test_csv_and_netcdf_agree(tmp_path: Path, series: EmissionSeries) -> None:
    write_emission_csv(tmp_path / "rates.csv", series)
    write_emission_netcdf(tmp_path / "rates.nc", series, make_provenance())
    rows = read_emission_csv(tmp_path / "rates.csv")
    back = read_emission_netcdf(tmp_path / "rates.nc")
    assert len(rows) == len(back.times) * (len(back.lines) + 1) * len(back.speed_methods)
    found = iter(rows)
    for t, time in enumerate(back.times):
        for i, line in enumerate((*back.lines, "total")):
            for m, method in enumerate(back.speed_methods):
                row = next(found)
                assert (row.time, row.line, row.speed_method) == (time, line, method)
                if line == "total":
                    expected = (
                        back.total_emission_rate_kg_s[t, m],
                        back.total_random_uncertainty_kg_s[t, m],
                        back.total_systematic_uncertainty_kg_s[t, m],
                        math.nan,
                        math.nan,
                        math.nan,
                        math.nan,
                    )
                    status = back.total_status[t, m]
                else:
                    expected = (
                        back.emission_rate_kg_s[t, i, m],
                        back.random_uncertainty_kg_s[t, i, m],
                        back.systematic_uncertainty_kg_s[t, i, m],
                        back.plume_speed_m_s[t, i, m],
                        back.plume_speed_uncertainty_m_s[t, i, m],
                        back.plume_direction_deg[t, i, m],
                        back.integrated_column_amount_kg_m[t, i],
                    )
                    status = back.status[t, i, m]
                assert row.status == status
                numbers = [getattr(row, column) for column in CSV_COLUMNS[3:-1]]
                np.testing.assert_allclose(numbers, expected, rtol=5e-6)


def test_csv_keeps_awkward_names_and_numbers(tmp_path: Path) -> None:
    series = make_series(1, ('Süd, "oben"',), ("flow_raw",))
    series = dataclasses.replace(
        series,
        status=np.zeros((1, 1, 1), np.int64),
        emission_rate_kg_s=np.full((1, 1, 1), -0.0),
        plume_speed_m_s=np.full((1, 1, 1), 1234567.0),
        plume_direction_deg=np.full((1, 1, 1), 1 / 3),
    )
    path = tmp_path / "rates.csv"
    write_emission_csv(path, series)
    row = read_emission_csv(path)[0]
    assert row.line == 'Süd, "oben"'
    assert (row.plume_speed_m_s, row.plume_direction_deg) == (1234570.0, 0.333333)
    assert ",0," in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("emission_rate_kg_s,random", "emission_rate,random", "row 1: is not a table of emission rates"),
        ("2018-03-26T14:44:08.123Z,gas1,flow_raw", "yesterday,gas1,flow_raw", "row 2, time: 'yesterday' is not a time"),
        (",no_next_pair\n", ",because\n", "row 2, status: is no known status .found 'because'"),
        (",no_next_pair\n", "\n", "row 2: the row has 10 fields, not 11"),
        ("flow_raw,,", "flow_raw,much,", "row 2, emission_rate_kg_s: is not a number .found 'much'"),
    ],
)
def test_csv_errors_name_file_and_row(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "rates.csv"
    write_emission_csv(path, make_series(1))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=rf"rates\.csv: {message}"):
        read_emission_csv(path)


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    with pytest.raises(InputError, match=r"rates\.csv"):
        read_emission_csv(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"rates\.csv: cannot be read as CSV"):
        read_emission_csv(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="its header differs"):
        read_emission_csv(path)
