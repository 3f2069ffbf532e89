"""Properties of the readers of spectra: nothing but their own errors, and no other numbers than were written."""

import io
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.errors import So2camError
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.column_products import read_columns_csv
from so2cam.formats.patterns import compile_pattern
from so2cam.formats.spectra.gps import parse_gps_track
from so2cam.formats.spectra.header import parse_header
from so2cam.formats.spectra.names import parse_spectrum_name
from so2cam.formats.spectra.readers import parse_spectrum

FORMATS = [
    SpectrumFiles(),
    SpectrumFiles(format="ifit"),
    SpectrumFiles(format="columns", name_pattern="{time:%Y%j%H%M}"),
    SpectrumFiles(format="columns", name_pattern="{time:%Y%j%H%M}", delimiter=";", counts_column=3),
]
NPY = io.BytesIO()
np.save(NPY, np.array([np.linspace(300, 320, 32), np.arange(32.0)]))
ROWS = "".join(f"{300 + i / 10:.18e} {i:.18e}\n" for i in range(32))
NAME = st.lists(
    st.one_of(
        st.sampled_from(
            ["2019-05-29T124401", "2019-05-29T124401.5", "1000ss", "1coadd", "Plume", "Dark", "304ppmm", ""]
        ),
        st.text(max_size=12),
        st.text(string.digits + ".", max_size=30),
    ),
    max_size=6,
)
TIMES = ["{time:%Y%m%d%H%M%S}", "{time:%y%j_%H%M}", "{time:%d%b%Y %I%M%S%f%p}", "{time:%"]
FIELDS = ["{kind}", "{any}", "{gain}", "{band}", "{exposure_ms}", "{coadds}"]
TEMPLATE = st.lists(st.sampled_from([*TIMES, *FIELDS, "_", "a", "0", ".", "{{", "}", "{", "%"]), max_size=8)


@settings(max_examples=300, deadline=None)
@given(NAME, st.sampled_from([".npy", ".NPY", "", ".txt"]))
def test_names_give_a_spectrum_or_an_error_of_so2cam(fields: list[str], suffix: str) -> None:
    try:
        info = parse_spectrum_name(Path("_".join(fields) + suffix), FORMATS[0])
    except So2camError:
        return
    assert info.time.tzinfo is UTC
    assert info.integration_time_s is not None
    assert info.integration_time_s > 0


@settings(max_examples=300, deadline=None)
@given(TEMPLATE, st.text(string.digits + "aA._ jan pm", max_size=40))
def test_templates_give_a_pattern_or_a_value_error(parts: list[str], name: str) -> None:
    try:
        pattern = compile_pattern("".join(parts))
    except ValueError:
        return
    parsed = pattern.parse(name)
    assert (parsed is None) == bool(pattern.explain(name))


@settings(max_examples=200, deadline=None)
@given(
    st.timedeltas(timedelta(0), timedelta(days=365 * 229)),
    st.integers(1, 3_600_000),
    st.integers(1, 100_000),
    st.text(string.ascii_letters, min_size=1, max_size=8),
)
def test_what_is_written_into_a_name_is_read_from_it(age: timedelta, ms: int, coadds: int, kind: str) -> None:
    time = datetime(1970, 1, 1, tzinfo=UTC) + age
    pattern = compile_pattern("{any}_{time:%Y%m%d%H%M%S%f}_{integration_ms}ms_{coadds}_{kind}.txt")
    parsed = pattern.parse(f"x_{time:%Y%m%d%H%M%S%f}_{ms}ms_{coadds}_{kind}.txt")
    assert parsed is not None
    assert parsed.time == time
    assert (parsed.coadds, parsed.kind) == (coadds, kind)
    assert parsed.integration_time_s == pytest.approx(ms / 1000, rel=1e-12)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.text(string.digits + " .,;\n\teE+-#nai", max_size=300).map(str.encode)),
    st.sampled_from(FORMATS),
)
def test_any_bytes_give_a_spectrum_or_an_error_of_so2cam(data: bytes, files: SpectrumFiles) -> None:
    try:
        wavelengths, counts = parse_spectrum(data, "f", files)
    except So2camError:
        return
    assert np.all(np.diff(wavelengths) > 0)
    assert np.all(np.isfinite(counts))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([NPY.getvalue(), ROWS.encode()]), st.sampled_from(FORMATS))
def test_damage_gives_a_spectrum_or_an_error_of_so2cam(data: st.DataObject, whole: bytes, files: SpectrumFiles) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(whole)))])
    try:
        wavelengths, counts = parse_spectrum(cut, "f", files)
    except So2camError:
        return
    assert wavelengths.shape == counts.shape
    assert np.all(np.diff(wavelengths) > 0)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["Integration time", "integration_time", "Number of coadds", "Timestamp", "lat", "lon", ""]
            ),
            st.one_of(
                st.text(max_size=30), st.sampled_from(["2020-02-30 00:00:00", "1970-01-01T00:00:00+24:00", "1e400"])
            ),
        ),
        max_size=6,
    )
)
def test_headers_give_values_or_an_error_of_so2cam(rows: list[tuple[str, str]]) -> None:
    try:
        header = parse_header("\n".join(f"# {key}: {value}" for key, value in rows), "f")
    except So2camError:
        return
    assert header.integration_time_s is None or header.integration_time_s > 0


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["time,latitude,longitude\n", "date;time;lat;lon;alt\n", "type\ttime\tlat\tlon\n", ""]),
    st.text(string.digits + string.printable, max_size=200),
)
def test_tracks_give_places_or_an_error_of_so2cam(head: str, rest: str) -> None:
    try:
        track = parse_gps_track(head + rest, "f")
    except So2camError:
        return
    place = track.position_at(datetime.fromtimestamp(float(track.unix_s[0]), UTC) + timedelta(seconds=1))
    assert place is None or abs(place.latitude_deg) <= 90


@settings(max_examples=200, deadline=None)
@given(
    fixes=st.lists(
        st.tuples(st.integers(0, 100_000), st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20
    ),
    moment=st.floats(-10, 100_010),
)
def test_places_lie_between_their_fixes(fixes: list[tuple[int, float, float]], moment: float) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = "".join(f"{start + timedelta(seconds=s):%Y-%m-%d %H:%M:%S},{a:.6f},{o:.6f}\n" for s, a, o in fixes)
    track = parse_gps_track(f"time,lat,lon\n{rows}", "f")
    place = track.position_at(start + timedelta(seconds=moment))
    if place is not None:
        assert track.latitude_deg.min() - 1e-9 <= place.latitude_deg <= track.latitude_deg.max() + 1e-9
        assert -180 <= place.longitude_deg <= 180


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_tables_of_columns_give_a_series_or_an_error_of_so2cam(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "columns.csv"
    path.write_bytes(content)
    try:
        read_columns_csv(path)
    except So2camError:
        return
