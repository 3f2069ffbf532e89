"""The reference tables that come with so2cam, and the user's own files."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.spectrometer import References
from so2cam.formats.reference_spectra import (
    ReferenceTable,
    air_to_vacuum_nm,
    format_table,
    parse_table,
    read_reference_file,
    reference_table,
    refractive_index_of_air,
    table_names,
)

ROWS = [(300 + 0.5 * i, 1e-19 * (i + 1)) for i in range(12)]


def written(folder: Path, text: str) -> Path:
    path = folder / "table.txt"
    path.write_text(text, encoding="utf-8")
    return path


def text_of(rows: list[tuple[float, float]], separator: str = "\t") -> str:
    return "".join(f"{x}{separator}{y}\n" for x, y in rows)


def test_names() -> None:
    assert table_names() == (
        "no2-vandaele1998-220k",
        "no2-vandaele1998-294k",
        "o3-serdyuchenko2014-223k",
        "o3-serdyuchenko2014-243k",
        "ring",
        "ring-linear",
        "so2-bogumil2003-293k",
        "so2-vandaele2009-298k",
        "solar-sao2010",
    )


def test_every_table_of_the_default_settings_is_there() -> None:
    settings = References()
    chosen = [settings.solar, settings.so2, *settings.o3, settings.ring]
    for reference in chosen:
        assert reference is not None
        assert reference.table in table_names()


@pytest.mark.parametrize("name", table_names())
def test_every_table_is_whole(name: str) -> None:
    table = reference_table(name)
    assert table.name == name
    assert table.wavelengths_nm.dtype == table.values.dtype == np.float64
    assert table.wavelengths_nm.shape == table.values.shape
    assert np.isfinite(table.values).all()
    steps = np.diff(table.wavelengths_nm)
    assert (steps > 0).all()
    assert steps.max() < 0.12
    assert table.wavelengths_nm[0] < 270.1
    assert table.wavelengths_nm[-1] > 394
    assert table.wavelength_standard == "vacuum"
    assert "doi:10." in table.citation
    assert table.title
    assert table.source
    assert table.resolution_nm is not None
    assert 0.01 < table.resolution_nm < 0.3
    assert (table.temperature_k is None) == (name == "solar-sao2010")
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 0.0


def test_the_solar_table_is_in_vacuum() -> None:
    table = reference_table("solar-sao2010")
    for line_nm in (279.635, 280.353, 285.296, 393.478, 396.959):  # Mg II, Mg I, Ca II in vacuum (NIST)
        near = np.abs(table.wavelengths_nm - line_nm) < 0.15
        assert table.wavelengths_nm[near][np.argmin(table.values[near])] == pytest.approx(line_nm, abs=0.08)
    assert table.wavelengths_nm[0] < 267
    assert table.wavelengths_nm[-1] > 453
    assert np.interp(340.0, table.wavelengths_nm, table.values) == pytest.approx(1.5e14, rel=0.3)


@pytest.mark.parametrize(
    ("name", "wavelength_nm", "low", "high"),
    [
        ("so2-bogumil2003-293k", 300.2, 1.0e-18, 1.3e-18),
        ("so2-vandaele2009-298k", 300.2, 1.0e-18, 1.3e-18),
        ("o3-serdyuchenko2014-223k", 310.0, 0.8e-19, 0.95e-19),
        ("no2-vandaele1998-294k", 400.0, 5.5e-19, 7e-19),
    ],
)
def test_magnitudes(name: str, wavelength_nm: float, low: float, high: float) -> None:
    table = reference_table(name)
    assert table.unit == "cm2 molecule-1"
    assert low < np.interp(wavelength_nm, table.wavelengths_nm, table.values) < high


def test_ozone_absorbs_more_in_the_huggins_bands_when_warm() -> None:
    cold, warm = reference_table("o3-serdyuchenko2014-223k"), reference_table("o3-serdyuchenko2014-243k")
    window = (cold.wavelengths_nm > 320) & (cold.wavelengths_nm < 330)
    assert 1.02 < warm.values[window].mean() / cold.values[window].mean() < 1.15


def test_tables_are_small() -> None:
    folder = Path(__file__).resolve().parents[3] / "src" / "so2cam" / "formats" / "reference_tables"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    for path in folder.iterdir():
        packed = path.read_bytes()
        assert packed[4:8] == b"\0\0\0\0"  # no time: the same bytes from the same text
        gzip.decompress(packed).decode("ascii")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="so2-bogumil2003-293k") as caught:
        reference_table("../secret")
    assert caught.value.key == "table"


def test_text_of_a_table_goes_there_and_back() -> None:
    table = ReferenceTable(
        "x", "X: of y", np.array([300.0, 300.12345]), np.array([1.5, -2e-20]), "1", "c: d", None, 0.5, "vacuum", "s", ""
    )
    again = parse_table(format_table(table))
    assert (again.title, again.citation, again.temperature_k, again.resolution_nm) == ("X: of y", "c: d", None, 0.5)
    np.testing.assert_array_equal(again.wavelengths_nm, table.wavelengths_nm)
    np.testing.assert_array_equal(again.values, table.values)


@pytest.mark.parametrize("separator", ["\t", "  ", ",", " , ", ";"])
def test_files_of_the_user(tmp_path: Path, separator: str) -> None:
    text = "# head\n* old head\n\n" + text_of(ROWS, separator) + "   ! end\n"
    wavelengths, values = read_reference_file(written(tmp_path, text))
    np.testing.assert_array_equal(wavelengths, [x for x, _ in ROWS])
    np.testing.assert_array_equal(values, [y for _, y in ROWS])


def test_old_letters_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "table.dat"
    path.write_bytes(b"# N\xb0 1\r\n" + text_of(ROWS).replace("\n", "\r\n").encode() + b"320.0 1e-20 # last\r\n")
    assert read_reference_file(path)[0].size == len(ROWS) + 1
    path.write_bytes(b"\xef\xbb\xbf" + text_of(ROWS).encode())
    assert read_reference_file(path)[0].size == len(ROWS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (text_of(ROWS) + "310 1 2\n", "row 13 has 3 columns"),
        (text_of(ROWS) + "310\n", "row 13 has 1 columns"),
        ("wavelength value\n" + text_of(ROWS), "row 1 is not two numbers"),
        (text_of(ROWS) + "310 nan\n", "row 13 holds a value that is not finite"),
        (text_of(ROWS) + "inf 1\n", "row 13 holds a value that is not finite"),
        ("# head\n" + text_of(ROWS) + "305.5 1\n", r"in row 14 305\.5 nm follows 305\.5 nm"),
        (text_of(ROWS[:9]), "at least 10 rows"),
        ("", "at least 10 rows"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_reference_file(path)
    assert caught.value.file == path
    assert caught.value.remedy


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "table.npy"
    np.save(path, np.arange(20.0))
    with pytest.raises(InputError, match="is not text"):
        read_reference_file(path)
    with pytest.raises(InputError, match="No such file"):
        read_reference_file(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_reference_file(tmp_path)


def test_air_and_vacuum() -> None:
    # NIST: the Hg line at 253.6521 nm in air is at 253.7283 nm in vacuum; Ca II K at 393.3663 is at 393.4777.
    np.testing.assert_allclose(air_to_vacuum_nm(np.array([253.6521, 393.3663])), [253.7283, 393.4777], atol=2e-4)
    vacuum = np.linspace(270, 450, 50)
    np.testing.assert_allclose(air_to_vacuum_nm(vacuum / refractive_index_of_air(vacuum)), vacuum, rtol=0, atol=1e-9)
