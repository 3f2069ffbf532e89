"""The files of a line shape: a table that is read back, whatever names hold, and a page that can always be drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import OutputError
from so2cam.core.records import FloatArray
from so2cam.formats.line_shape_files import (
    LampLineMark,
    LineShapeRecord,
    draw_line_shape,
    format_line_shape,
    parameter_rows,
    write_line_shape_page,
    write_line_shape_table,
)
from so2cam.formats.reference_spectra import read_reference_file
from so2cam.science.spectra.line_shape import measured_shape
from so2cam.science.spectra.table import SpectralTable


def gaussian(x: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-4 * np.log(2) * (x / 0.6) ** 2) / (0.6 * np.sqrt(np.pi / np.log(2)) / 2))


def record() -> LineShapeRecord:
    offsets = np.linspace(-1.5, 1.5, 37)
    curve = np.linspace(-1.5, 1.5, 301)
    spectrum = np.linspace(290.0, 320.0, 400)
    return LineShapeRecord(
        site_name="Station",
        line="Hg 302.15",
        vacuum_nm=302.2384,
        found_nm=(302.15, 0.001),
        wavelength_error_nm=-0.0884,
        fwhm_nm=(0.6, 0.002),
        exponent=(2.0, 0.02),
        width_asymmetry=(-0.01, 0.01),
        exponent_asymmetry=(0.02, 0.03),
        peak_counts=12345.0,
        signal_to_noise=800.0,
        residual_rms=0.002,
        other_lines=("Hg 302.35", "Hg 302.75"),
        offsets_nm=offsets,
        response=gaussian(offsets),
        residual=1e-3 * np.sin(offsets),
        curve_offsets_nm=curve,
        curve=gaussian(curve),
        spectrum_nm=spectrum,
        spectrum_counts=12345 * np.exp(-(((spectrum - 302.15) / 0.36) ** 2)),
        marks=(LampLineMark("Hg 296.73", 296.73, False), LampLineMark("Hg 302.15", 302.15, True)),
        inputs=(("lamp.npy", "ab" * 32),),
        settings=(
            '[spectrometer.line_shape]\nsource = "file"\nfile = "x.txt"',
            "[spectrometer.line_shape]\nwidth_nm = 0.6",
        ),
        made_from="1 lamp spectrum, no dark",
        software="so2cam 1",
        created="2026-01-01T00:00:00Z",
        command="so2cam line-shape",
    )


def test_table_is_read_back_to_its_digits(tmp_path: Path) -> None:
    path = tmp_path / "shape.txt"
    write_line_shape_table(path, record())
    offsets, response = read_reference_file(path)
    assert offsets == pytest.approx(record().offsets_nm, abs=1e-6)
    assert response == pytest.approx(record().response, rel=1e-8)


def test_head_tells_where_it_comes_from_and_how_to_use_it() -> None:
    text = format_line_shape(record())
    for part in (
        "Station",
        "so2cam 1",
        "lamp.npy  sha256 abab",
        '#   source = "file"',
        '#   file = "x.txt"',
        "-0.0884",
    ):
        assert part in text
    assert [label for label, _ in parameter_rows(record())][:2] == ["line", "wavelength in vacuum"]


def test_names_with_line_ends_stay_comments(tmp_path: Path) -> None:
    path = tmp_path / "shape.txt"
    odd = replace(record(), site_name="a\n999 1", command="b\r998 1\u2028997 1", inputs=(("c\x0b996 1\x1d3 4", "00"),))
    write_line_shape_table(path, odd)
    assert read_reference_file(path)[0].size == odd.offsets_nm.size
    write_line_shape_page(tmp_path / "page.png", odd)


def test_page_holds_points_fit_and_residual(tmp_path: Path) -> None:
    figure = draw_line_shape(record())
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "response [nm⁻¹]" in labels
    assert "counts" in labels
    shape = figure.axes[labels.index("response [nm⁻¹]")]
    curves = [line.get_ydata() for line in shape.get_lines()]
    assert any(np.array_equal(curve, record().response) for curve in curves)
    assert any(np.array_equal(curve, record().curve) for curve in curves)
    write_line_shape_page(tmp_path / "page", record())
    assert (tmp_path / "page").read_bytes().startswith(b"\x89PNG")


def test_page_with_little_to_show_and_with_many_files() -> None:
    blank = np.full(400, np.nan)
    draw_line_shape(replace(record(), spectrum_counts=blank, residual=np.zeros(37), marks=(), other_lines=()))
    draw_line_shape(replace(record(), inputs=tuple((f"lamp{n}.npy", "00") for n in range(200)), site_name="S" * 300))


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    for write in (write_line_shape_table, write_line_shape_page):
        with pytest.raises(OutputError, match="cannot be written"):
            write(tmp_path / "no" / "file", record())


@pytest.mark.data
def test_same_form_as_the_table_of_a_real_instrument(data_dir: Path, tmp_path: Path) -> None:
    """A measured shape with offsets from its start, written centred, is the same shape to the fit."""
    offsets, response = read_reference_file(data_dir / "spectra_flame" / "2019-07-03_302nm_ILS.txt")
    area = float(np.trapezoid(response, offsets))
    centred = offsets - 0.5 * (offsets[0] + offsets[-1])
    path = tmp_path / "shape.txt"
    write_line_shape_table(path, replace(record(), offsets_nm=centred, response=response / area))
    written = SpectralTable(*read_reference_file(path), name="written")
    original = SpectralTable(offsets, response, "original")
    assert measured_shape(written, 0.01) == pytest.approx(measured_shape(original, 0.01), abs=1e-5)
