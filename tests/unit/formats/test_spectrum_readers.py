"""Readers of spectra: real files of two instruments, every format, and every kind of damage."""

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import FrameFileError
from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.spectra.header import parse_header
from so2cam.formats.spectra.readers import parse_spectrum, read_spectrum

PICAM = SpectrumFiles()
IFIT = SpectrumFiles(format="ifit")
N = 40
WAVELENGTHS = np.linspace(300.0, 320.0, N)
COUNTS = 1000.0 + 10.0 * np.arange(N)


def info_of(path: Path) -> SpectrumInfo:
    return SpectrumInfo(path, SpectrumKind.PLUME, datetime(2018, 1, 14, tzinfo=UTC), None, None)


def npy(*rows: Any, dtype: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(rows, dtype))
    return stream.getvalue()


def text(wavelengths: np.ndarray = WAVELENGTHS, counts: np.ndarray = COUNTS) -> str:
    rows = "".join(f"{w:.18e} {c:.18e}\n" for w, c in zip(wavelengths, counts, strict=True))
    return f"# Ocean optics spectrum file\n# Wavelength (nm),       Intensity (arb)\n{rows}"


def columns(**settings: Any) -> SpectrumFiles:
    return SpectrumFiles.model_validate({"format": "columns", "name_pattern": "{time:%Y%j%H%M}", **settings})


@pytest.mark.data
def test_a_real_array(data_dir: Path) -> None:
    path = data_dir / "spectra_flame" / "2019-05-29T124407_1000ss_1coadd_Plume.npy"
    spectrum = read_spectrum(info_of(path), PICAM)
    stored = np.load(path)
    assert spectrum.wavelengths_nm.shape == spectrum.counts.shape == (2048,)
    np.testing.assert_array_equal(spectrum.wavelengths_nm, stored[0])
    np.testing.assert_array_equal(spectrum.counts, stored[1])
    assert spectrum.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.data
def test_a_real_text_of_ifit(data_dir: Path) -> None:
    path = data_dir / "masaya" / "spectrum_00400.txt"
    spectrum = read_spectrum(info_of(path), IFIT)
    expected = np.loadtxt(path)
    np.testing.assert_array_equal(spectrum.wavelengths_nm, expected[:, 0])
    np.testing.assert_array_equal(spectrum.counts, expected[:, 1])


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<u2", ">i4", "<i8"])
def test_arrays_of_every_plain_number(dtype: str) -> None:
    wavelengths, counts = parse_spectrum(npy(np.arange(200, 200 + N), COUNTS, dtype=dtype), "f", PICAM)
    assert wavelengths.dtype == counts.dtype == np.float64
    np.testing.assert_array_equal(wavelengths, np.arange(200.0, 200 + N))
    np.testing.assert_array_equal(counts, COUNTS)


def test_an_array_in_column_order() -> None:
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(np.array([WAVELENGTHS, COUNTS])))
    np.testing.assert_array_equal(parse_spectrum(stream.getvalue(), "f", PICAM)[1], COUNTS)


def test_wavelengths_that_decrease_are_turned_round_with_their_counts() -> None:
    wavelengths, counts = parse_spectrum(npy(WAVELENGTHS[::-1], COUNTS[::-1]), "f", PICAM)
    np.testing.assert_array_equal(wavelengths, WAVELENGTHS)
    np.testing.assert_array_equal(counts, COUNTS)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def bad(values: np.ndarray, index: int, value: float) -> np.ndarray:
    changed = values.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "is not a NumPy array"),
        (b"\x93NUMPY", "cut short within its header"),
        (npy(WAVELENGTHS, COUNTS)[:60], "cut short within its header"),
        (npy(WAVELENGTHS, COUNTS)[:-1], "is cut short: "),
        (npy(WAVELENGTHS, COUNTS) + b"x", "longer than it says"),
        (pickled(), "not an array of plain numbers"),
        (npy(WAVELENGTHS, COUNTS, dtype="<c16"), "not an array of plain numbers"),
        (npy(WAVELENGTHS), r"has the shape \(1, 40\)"),
        (npy(WAVELENGTHS, COUNTS, COUNTS), r"has the shape \(3, 40\)"),
        (npy(*np.array([WAVELENGTHS, COUNTS]).T), r"has the shape \(40, 2\)"),
        (npy(WAVELENGTHS[:5], COUNTS[:5]), r"has the shape \(2, 5\)"),
        (npy(WAVELENGTHS, bad(COUNTS, 7, np.nan)), "pixel 7: has a count that is no finite number"),
        (npy(bad(WAVELENGTHS, 3, np.inf), COUNTS), "pixel 3: has a wavelength that is no finite number"),
        (npy(bad(WAVELENGTHS, 3, 299.0), COUNTS), "pixel 3: has wavelengths that do not increase"),
        (npy(np.full(N, 300.0), COUNTS), "do not increase"),
        (npy(WAVELENGTHS / 1000, COUNTS), "outside 100 to 2500 nm"),
        (b"x" * 16_000_001, "more than 16 MB"),
    ],
)
def test_damaged_arrays_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FrameFileError, match=reason) as caught:
        parse_spectrum(data, "f.npy", PICAM)
    assert caught.value.file == "f.npy"


def test_an_array_that_claims_more_than_it_holds_is_refused_before_it_is_made() -> None:
    data = npy(WAVELENGTHS, COUNTS).replace(b"(2, 40)", b"(2,9E4)").replace(b"9E4", b"999")
    with pytest.raises(FrameFileError, match=r"cut short: .* expected 16112"):
        parse_spectrum(data, "f", PICAM)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("# nothing\n", "holds no rows"),
        (text()[:-1], "is cut short"),
        (text()[:-30] + "\n", "not a wavelength and its counts"),
        (text() + "abc def\n", "row 43: the row is not"),
        (text() + "1 2 3\n", "row 43: the row is not"),
        (text() + "1_0 2\n", "row 43: the row is not"),
        (text().replace("1.000000000000000000e+03", "nan"), "pixel 0: has a count"),
        (text(WAVELENGTHS[:4], COUNTS[:4]), "has 4 pixels"),
        ("\x00\x01\x02\n", "row 1: the row is not"),
    ],
)
def test_damaged_texts_of_ifit_are_refused(content: str, reason: str) -> None:
    with pytest.raises(FrameFileError, match=reason):
        parse_spectrum(content.encode(), "f.txt", IFIT)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_between_other_rows(encoding: str, end: str) -> None:
    rows = [f"{i}\t{c:.1f}\t{w:.4f}\tok" for i, (w, c) in enumerate(zip(WAVELENGTHS, COUNTS, strict=True))]
    content = end.join(["SpectraSuite, 20 °C", "Pixels: 40", "5 6 7", ">>>Begin<<<", *rows, ">>>End<<<", ""])
    files = columns(delimiter="\t", wavelength_column=3, counts_column=2)
    wavelengths, counts = parse_spectrum(content.encode(encoding), "f", files)
    np.testing.assert_allclose(wavelengths, WAVELENGTHS, atol=1e-4)
    np.testing.assert_array_equal(counts, COUNTS)


@pytest.mark.parametrize(
    ("delimiter", "parting", "decimal"), [(";", ";", ","), (None, "   ", ","), (",", ", ", "."), (None, ", ", ".")]
)
def test_delimiters_and_decimal_commas(delimiter: str | None, parting: str, decimal: str) -> None:
    rows = [f"{w:.4f}{parting}{c:.1f}" for w, c in zip(WAVELENGTHS, COUNTS, strict=True)]
    content = "\n".join(row if decimal == "." else row.replace(".", decimal) for row in rows)
    wavelengths, counts = parse_spectrum(content.encode(), "f", columns(delimiter=delimiter))
    np.testing.assert_allclose(wavelengths, WAVELENGTHS, atol=1e-4)
    np.testing.assert_array_equal(counts, COUNTS)


@pytest.mark.parametrize("row", [1, 20, 38])
def test_a_broken_row_within_columns_is_refused(row: int) -> None:
    rows = [f"{w:.4f} {c:.1f}" for w, c in zip(WAVELENGTHS, COUNTS, strict=True)]
    rows[row] = "30#"
    with pytest.raises(FrameFileError, match=f"row {row + 1}: a row within the table"):
        parse_spectrum("\n".join(rows).encode(), "f", columns())


def test_no_such_columns() -> None:
    with pytest.raises(FrameFileError, match="counts in column 5") as caught:
        parse_spectrum(text().encode(), "f", columns(counts_column=5))
    assert "counts_column" in str(caught.value.remedy)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FrameFileError, match="cannot be read"):
        read_spectrum(info_of(tmp_path / "none.npy"), PICAM)


# --- headers of iFit ---------------------------------------------------------------------------------------------


def test_the_first_generation_of_headers() -> None:
    header = parse_header(
        "# Ocean optics spectrum file\n# Integration time: 200 (ms)\n# Number of coadds: 10\n"
        "# Date/Time (end of read): 2018-01-14 09:25:53.250000\n# Electronic dark correction: True\n1 2\n# coadds: 3\n",
        "f",
    )
    assert header.time == datetime(2018, 1, 14, 9, 25, 53, 250000, UTC)
    assert (header.time_resolution_s, header.zoned) == (1e-6, False)
    assert (header.integration_time_s, header.coadds) == (0.2, 10)


def test_the_second_generation_of_headers() -> None:
    header = parse_header(
        "# Integration time (ms): 1000\n# Number of coadds: 1\n# Timestamp: 2020-05-06 07:08:09\n", "f"
    )
    assert header.time == datetime(2020, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (header.integration_time_s, header.coadds, header.time_resolution_s) == (1.0, 1, 1.0)


def test_the_third_generation_of_headers() -> None:
    header = parse_header(
        "# iFit\n# spectrum_number: 3\n# integration_time: 350\n# coadds: 5\n# timestamp: 2023-05-06 07:08:09.5\n"
        "# lat: 11.98\n# lon: -86.16\n# alt: 635.0\n# Wavelength (nm),       Intensity (arb)\n",
        "f",
    )
    assert header.time == datetime(2023, 5, 6, 7, 8, 9, 500000, UTC)
    assert (header.integration_time_s, header.coadds) == (0.35, 5)
    assert (header.latitude_deg, header.longitude_deg, header.altitude_m) == (11.98, -86.16, 635.0)


@pytest.mark.parametrize(
    "place", ["# lat: 0.0\n# lon: 0.0\n", "# lat: nan\n# lon: nan\n", "# lat: 95\n# lon: 1\n", "# lat: 5\n"]
)
def test_places_without_a_fix(place: str) -> None:
    header = parse_header(f"{place}# alt: 3\n", "f")
    assert (header.latitude_deg, header.longitude_deg, header.altitude_m) == (None, None, None)


def test_unknown_values_are_none() -> None:
    header = parse_header("# Integration time: ????? (ms)\n# Number of coadds: ?????\n# Timestamp: ?????\n", "f")
    assert (header.time, header.integration_time_s, header.coadds) == (None, None, None)
    assert parse_header("# integration_time: -1\n# coadds: -1\n", "f").integration_time_s is None


def test_a_time_with_its_zone() -> None:
    header = parse_header("# timestamp: 2023-05-06T07:08:09-06:00\n", "f")
    assert header.zoned
    assert header.time == datetime(2023, 5, 6, 13, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("# Timestamp: yesterday", "time cannot be read"),
        ("# Timestamp: 2023-02-30 07:08:09", "time is impossible"),
        ("# Timestamp: 0023-02-20 07:08:09", "time is impossible"),
        ("# Timestamp: 2023-02-20 07:08:09+99:00", "time is impossible"),
        ("# Integration time (ms): 0", "integration time is not"),
        ("# Integration time (ms): long", "integration time is not"),
        ("# Integration time (s): 4000", "integration time is not"),
        ("# coadds: 0", "number of coadds is not"),
        ("# coadds: 1.5", "number of coadds is not"),
    ],
)
def test_impossible_values_are_refused(row: str, reason: str) -> None:
    with pytest.raises(FrameFileError, match=reason):
        parse_header(row, "f")
