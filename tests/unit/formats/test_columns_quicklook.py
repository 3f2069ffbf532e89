"""The quicklook of columns: it is drawn whatever the run gave, and says what is missing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from so2cam.core.errors import OutputError
from so2cam.core.spectra import ColumnSeries, ExampleFit, FitStatus
from so2cam.formats.column_panels import FIT_COLOURS
from so2cam.formats.columns_quicklook import draw_columns_quicklook, write_columns_quicklook

START = datetime(2018, 1, 14, 15, 52, 41, tzinfo=UTC)
SUMMARY = (("window", "310 to 320 nm"), ("dark", "dark.txt"))


def make_series(count: int, *, failed: float = 0.1, track: bool = False, dilution: bool = False) -> ColumnSeries:
    rng = np.random.default_rng(4)
    status = np.where(rng.random(count) < failed, rng.integers(1, 7, count), 0)

    def values(low: float, high: float) -> np.ndarray:
        return np.where(status != 0, np.nan, rng.uniform(low, high, count))

    missing = np.full(count, np.nan)
    return ColumnSeries(
        times=tuple(START + timedelta(seconds=2.5 * i) for i in range(count)),
        files=tuple(f"{i}.txt" for i in range(count)),
        so2_molec_cm2=values(-1e17, 1e18),
        so2_random_molec_cm2=values(2e16, 3e16),
        so2_systematic_molec_cm2=values(1e15, 6e16),
        light_dilution=values(0.1, 0.3) if dilution else missing,
        light_dilution_uncertainty=values(0.01, 0.03) if dilution else missing,
        residual_rms=values(0.004, 0.006),
        chi2=values(1e5, 1e6),
        status=status,
        parameters={
            "o3_molec_cm2": (values(9e18, 1e19), values(1e17, 2e17)),
            "ring": (values(0.1, 0.12), values(0.01, 0.02)),
            "shift": (values(-0.06, -0.05), values(0.001, 0.002)),
        },
        latitude_deg=np.linspace(11.95, 11.98, count) if track else missing,
        longitude_deg=np.linspace(-86.22, -86.18, count) if track else missing,
        altitude_m=missing,
    )


def make_example(label: str) -> ExampleFit:
    x = np.linspace(310, 320, 112)
    model = 2e4 + 5e3 * np.sin(x)
    residual = 0.01 * np.cos(7 * x)
    return ExampleFit(label, x, model * (1 + residual), model, residual)


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def draw(series: ColumnSeries, examples: int = 2) -> Figure:
    fits = [make_example(f"fit {number} $x$") for number in range(examples)]
    return draw_columns_quicklook(series, site_name="Masaya $1 \N{DOG FACE}", examples=fits, summary=SUMMARY)


@pytest.mark.parametrize(
    ("count", "failed", "examples", "track"), [(1, 0.0, 1, False), (80, 0.1, 2, True), (20000, 0.1, 2, False)]
)
def test_a_page_for_few_and_many(tmp_path: Path, count: int, failed: float, examples: int, track: bool) -> None:
    series = make_series(count, failed=failed, track=track)
    fits = [make_example("best"), make_example("worst")][:examples]
    path = tmp_path / "page.tmp"
    write_columns_quicklook(path, series, site_name="Masaya", examples=fits, summary=SUMMARY)
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape == (1100, 1760, 3)
    assert 0.7 < np.mean(image > 240) < 0.99


def test_the_page_says_what_came_out() -> None:
    series = make_series(80, track=True, dilution=True)
    text = words(draw(series))
    valid = int(np.count_nonzero(series.status == FitStatus.OK))
    for part in (
        "80 spectra",
        "2018-01-14 15:52:41 to 15:55:58 UTC",
        "largest SO₂ column",
        "ppm m",
        str(valid),
        f"Spectra without a column: {80 - valid} of 80",
        "310 to 320 nm",
        "Wavelength shift",
        "O₃ column",
        "Ring",
        "Light dilution",
        "Residual, root mean square",
        "Places",
        "fit 0 $x$",
        "fit 1 $x$",
        "Masaya $1 ?",
    ):
        assert part in text, part


def test_both_scales_agree() -> None:
    figure = draw(make_series(80))
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "SO₂ column")
    scale = next(child for child in axes.child_axes)
    ratio = scale.get_ylim()[1] / axes.get_ylim()[1]
    assert "10¹⁷" in axes.get_ylabel()
    assert ratio == pytest.approx(1e17 / 2.50348e15, rel=1e-4)


def test_a_run_without_a_valid_fit_says_why() -> None:
    series = make_series(30, failed=2.0)
    series.status[:] = int(FitStatus.TOO_DARK)
    text = words(draw(series, 0))
    assert "No valid SO₂ column in this run" in text
    assert "30 of 30 spectra: too little light" in text
    assert "no valid value" in text
    assert "no fit to show" in text
    assert "too dark (30)" in text


def test_a_run_without_spectra() -> None:
    text = words(draw(make_series(0), 0))
    assert "This run has no spectra." in text
    assert "no spectra" in text


def test_spectra_of_one_place_have_no_map() -> None:
    series = make_series(20)
    series.latitude_deg[:] = 11.98
    series.longitude_deg[:] = -86.16
    assert "Places" not in words(draw(series))


def test_every_reason_has_its_own_colour() -> None:
    assert set(FIT_COLOURS) == set(FitStatus) - {FitStatus.OK}
    assert len(set(FIT_COLOURS.values())) == len(FIT_COLOURS)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_columns_quicklook(
            tmp_path / "none" / "page.png", make_series(2), site_name="M", examples=(), summary=SUMMARY
        )
