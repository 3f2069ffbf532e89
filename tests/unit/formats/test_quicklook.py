"""The quicklook: a page for every run, however empty; nothing on it is drawn outside it or with a warning."""

import dataclasses
import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.text import Text

from so2cam.core.errors import OutputError
from so2cam.core.records import PlumeLine
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import Term
from so2cam.formats.quicklook import draw_quicklook, page, total_reasons, wrap_text, write_quicklook
from so2cam.formats.quicklook.calibration import draw_calibration
from so2cam.formats.quicklook.image import draw_image, draw_profiles
from so2cam.formats.quicklook.series import draw_amount, draw_rate, draw_speed, draw_strip
from so2cam.formats.quicklook.style import DPI, SIZE_IN, STATUS_COLOURS
from so2cam.formats.quicklook.times import TimeAxis, format_times

START = datetime(2018, 3, 26, 14, 44, 8, tzinfo=UTC)
SLOPE = 7.0e18
WARNING = (
    "column per absorbance falls by 27 % from the 305 to the 1261 ppm m cell, where the band's own curvature gives "
    "3 %: check the cells' labels; a quadratic would follow their errors"
)
REAL_SUMMARY = (
    ("pairs", "6 of 6; 12 frames unpaired"),
    ("left out", "0 unreadable, 3 skipped, 2 test frames"),
    ("period", "2018-03-26T14:44:08.700Z to 2018-03-26T14:44:48.700Z"),
    ("total of", "gas1"),
    ("calibration", "7.01e+18 ± 3e+17 molec cm-2 from 3 cells"),
    ("background", "sky-surface"),
    ("flow_raw", "median 0.62 kg/s (systematic ± 0.14), 5 of 6 valid"),
    ("cross_correlation", "no valid value: the lag is not told apart from zero, or lies at the edge of the search"),
)
SUMMARY = (
    ("Distance", "10 312 m to the plume plane"),
    ("Pixel at plume", "7.91 m"),
    ("Background", "sky-surface, order 2"),
    ("Calibration", "3 gas cells, line with offset"),
    ("Pairing", "within 2 s, largest offset 0.42 s"),
    ("Dark frames", "2 of each band"),
    ("Software", "so2cam 0.1.0"),
    ("Settings", "sha256 8d1f0a33b5c24e7d9f6a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7"),
)


def make_series(
    pairs: int,
    lines: tuple[str, ...] = ("gas1", "gas2"),
    methods: tuple[str, ...] = ("flow_raw", "cross_correlation"),
    missing: float = 0.1,
    cadence_s: float = 4.0,
    gap_at: int | None = None,
    gap_s: float = 600.0,
) -> EmissionSeries:
    """A run as it may come out: noise on a slow puffing, cross-correlation constant in its windows."""
    rng = np.random.default_rng(7)
    t, n_lines, n_methods = pairs, len(lines), len(methods)
    seconds = cadence_s * np.arange(t)
    if gap_at is not None:
        seconds[gap_at:] += gap_s
    puffing = 1 + 0.35 * np.sin(seconds / 190) + 0.2 * np.sin(seconds / 47)
    amount = np.stack([(0.13 - 0.02 * i) * puffing * rng.normal(1, 0.05, t) for i in range(n_lines)], axis=1)
    speed = np.empty((t, n_lines, n_methods))
    sigma = np.empty_like(speed)
    for m in range(n_methods):
        for i in range(n_lines):
            if m == 0:
                speed[:, i, m] = 5.5 + 0.8 * np.sin(seconds / 300 + i) + rng.normal(0, 0.35, t)
                sigma[:, i, m] = 0.4
            else:
                window = (seconds // 1200).astype(int)
                speed[:, i, m] = (6.2 + rng.normal(0, 0.5, window.max(initial=0) + 1))[window]
                sigma[:, i, m] = 0.6
    reasons = np.array(
        [
            EmissionStatus.FLOW_UNRELIABLE,
            EmissionStatus.LINE_MASKED,
            EmissionStatus.GAP_TOO_LONG,
            EmissionStatus.NO_PLUME,
        ]
    )
    status = np.where(rng.random(speed.shape) < missing, rng.choice(reasons, speed.shape, p=(0.6, 0.2, 0.1, 0.1)), 0)
    if t:
        status[-1, :, 0] = EmissionStatus.NO_NEXT_PAIR
    if n_methods > 1:
        if t < 12:
            status[:, :, 1] = EmissionStatus.TOO_FEW_SAMPLES
        else:
            status[: t // 5, :, 1] = EmissionStatus.LAG_NOT_RESOLVED
    rate = np.where(status == 0, amount[:, :, None] * speed, np.nan)
    total_status = np.where(status[:, 0, :] == 0, 0, int(EmissionStatus.PART_MISSING))
    flags = np.where(rng.random(t) < 0.2, int(QualityFlag.FEW_SKY_PIXELS), 0)
    nothing = np.zeros(t)
    return EmissionSeries(
        times=tuple(START + timedelta(seconds=float(s)) for s in seconds),
        lines=lines,
        speed_methods=methods,
        emission_rate_kg_s=rate,
        random_uncertainty_kg_s=0.09 * np.abs(rate),
        systematic_uncertainty_kg_s=0.24 * np.abs(rate),
        status=status.astype(np.int64),
        plume_speed_m_s=np.where(status == 0, speed, np.nan),
        plume_speed_uncertainty_m_s=np.where(status == 0, sigma, np.nan),
        plume_direction_deg=np.where(status == 0, 85.0, np.nan),
        integrated_column_amount_kg_m=amount,
        integrated_column_amount_uncertainty_kg_m=0.05 * amount,
        total_emission_rate_kg_s=np.where(total_status == 0, rate[:, 0, :], np.nan),
        total_random_uncertainty_kg_s=np.where(total_status == 0, 0.09 * np.abs(rate[:, 0, :]), np.nan),
        total_systematic_uncertainty_kg_s=np.where(total_status == 0, 0.24 * np.abs(rate[:, 0, :]), np.nan),
        total_status=total_status.astype(np.int64),
        background_level=nothing,
        background_noise=nothing + 0.008,
        quality_flags=flags.astype(np.int64),
        pair_offset_s=nothing,
        calibration_slope_molec_cm2=nothing + SLOPE,
        calibration_slope_uncertainty_molec_cm2=nothing + 3e17,
        calibration_offset_molec_cm2=nothing - 1.6e17,
        calibration_offset_uncertainty_molec_cm2=nothing + 5e16,
        calibration_number=np.full(t, -1, np.int64),
        extinction_per_m=np.full((t, 2), np.nan),
        extinction_uncertainty_per_m=np.full((t, 2), np.nan),
        uncertainty_terms_kg_s=np.full((*rate.shape, len(Term)), np.nan),
    )


def without_values(series: EmissionSeries, status: EmissionStatus) -> EmissionSeries:
    """The same run with every value missing for one reason."""
    empty = {
        field.name: np.full_like(getattr(series, field.name), np.nan)
        for field in dataclasses.fields(EmissionSeries)
        if field.name.endswith(("kg_s", "m_s", "deg", "kg_m"))
    }
    return dataclasses.replace(
        series,
        **empty,
        status=np.full_like(series.status, status),
        total_status=np.full_like(series.total_status, EmissionStatus.PART_MISSING),
    )


def make_example(lines: tuple[str, ...] = ("gas1", "gas2")) -> ExampleImage:
    """A plume drifting to the right above a dark slope."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:486, 0:648].astype(float)
    middle = 250 - 0.14 * (x - 180) + 12 * np.sin(x / 60)
    width = 18 + 0.09 * np.clip(x - 150, 0, None)
    puffs = 1 + 0.25 * np.sin(x / 23) * np.cos(y / 31)
    plume = 0.34 * np.exp(-0.5 * ((y - middle) / width) ** 2) * puffs / (1 + np.exp(-(x - 190) / 12))
    absorbance = (plume + rng.normal(0, 0.008, x.shape)).astype(np.float32)
    valid = y < 330 + 0.35 * np.abs(x - 180)
    valid[:6] = False
    absorbance[~valid] = np.nan
    flow = np.stack([2.2 + 0.3 * np.sin(y / 40), -0.35 + 0.2 * np.cos(x / 50)], axis=2).astype(np.float32)
    flow[:40] = np.nan
    plume_lines = tuple(
        PlumeLine.straight(name, (330 + 90 * i, 60.0), (330 + 90 * i, 350.0), (1.0, 0.0))
        for i, name in enumerate(lines)
    )
    profiles = {}
    for i, name in enumerate(lines):
        column = SLOPE * np.asarray(absorbance[60:351, 330 + 90 * i], np.float64)
        column[200:206] = np.nan
        profiles[name] = (column, 2296.0)
    return ExampleImage(START, absorbance, valid, plume_lines, flow, profiles)


def make_calibration(*warnings: str) -> CalibrationSummary:
    absorbance = np.array([0.0, 0.131, 0.474])
    curve = np.linspace(0, 0.5, 60)
    return CalibrationSummary(
        description="column = 7.01e18 (± 0.31e18) · absorbance − 1.6e17 molecules cm⁻²; 3 gas cells, line with offset",
        absorbance=absorbance,
        absorbance_uncertainty=np.array([0.004, 0.006, 0.011]),
        column_molec_cm2=np.array([0.0, 7.61e17, 3.147e18]),
        column_uncertainty_molec_cm2=np.array([2e16, 7.6e16, 3.1e17]),
        curve_absorbance=curve,
        curve_column_molec_cm2=SLOPE * curve - 1.6e17,
        curve_uncertainty_molec_cm2=6e16 + 3e17 * curve,
        warnings=warnings,
    )


def arguments(series: EmissionSeries, **changes: object) -> dict[str, Any]:
    """The arguments of a page about ``series``."""
    usual: dict[str, Any] = {
        "series": series,
        "site_name": "villarrica-north",
        "volcano": "Villarrica",
        "example": make_example(series.lines),
        "calibration": make_calibration(),
        "summary": SUMMARY,
    }
    return usual | changes


LONG = "A very long line name that goes on and on"
PAGES: dict[str, Callable[[], dict[str, Any]]] = {
    "six pairs": lambda: arguments(
        make_series(6, missing=0.4),
        volcano="Ätna $x_1$ 桜島\n2",
        site_name="100 % & _a_ $",
        calibration=make_calibration(WARNING),
        summary=REAL_SUMMARY,
    ),
    "sixty pairs": lambda: arguments(make_series(60), summary=REAL_SUMMARY),
    "7200 pairs": lambda: arguments(make_series(7200, gap_at=3000, gap_s=9000), example=shape_image(640, 200)),
    "no values": lambda: arguments(
        without_values(make_series(60), EmissionStatus.FLOW_UNRELIABLE), example=None, calibration=None
    ),
    "long names": lambda: arguments(
        make_series(300, (f"{LONG} 1", f"{LONG} 2", f"{LONG} 3"), ("flow_raw", "cross_correlation", "histogram")),
        volcano="Volcán con un nombre larguísimo que no cabe en la página " * 3,
        calibration=make_calibration(*("the fit leaves 12 % of the strongest cell unexplained: it bends",) * 9),
        summary=SUMMARY * 5,
    ),
}


@pytest.fixture(scope="module")
def drawn() -> Callable[[str], Figure]:
    """Draws each of ``PAGES`` once: a page takes a second."""
    return lru_cache(maxsize=None)(lambda name: draw_quicklook(**PAGES[name]()))


def texts_of(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]


def words_of(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in texts_of(figure)).split())


@pytest.mark.parametrize("name", PAGES)
def test_nothing_leaves_the_page(drawn: Callable[[str], Figure], name: str) -> None:
    figure = drawn(name)
    figure.draw_without_rendering()
    tight = figure.get_tightbbox()
    assert tight.x0 >= 0
    assert tight.y0 >= 0
    assert tight.x1 <= SIZE_IN[0]
    assert tight.y1 <= SIZE_IN[1]
    ticks = {id(label) for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    for text in texts_of(figure):
        if id(text) in ticks or not text.get_text().strip():
            continue
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= SIZE_IN[0] * DPI + 1 and box.y1 <= SIZE_IN[1] * DPI + 1
        assert inside, (text.get_text(), box)


def test_page_says_what_it_shows(drawn: Callable[[str], Figure]) -> None:
    words = words_of(drawn("sixty pairs"))
    for expected in (
        "Villarrica",
        "villarrica-north · 2018-03-26 14:44:08 to 14:48:04 UTC · 60 image pairs",
        "SO₂ emission rate, total",
        "flow raw: mean 0.",
        "emission rate [kg s⁻¹]",
        "emission rate [t d⁻¹]",
        "speed [m s⁻¹]",
        "amount [kg m⁻¹]",
        "[ppm m]",
        "lag not resolved (12)",
    ):
        assert expected in words, expected


@pytest.mark.parametrize("name", ["six pairs", "sixty pairs"])
def test_summary_is_whole(drawn: Callable[[str], Figure], name: str) -> None:
    words = words_of(drawn(name))
    for label, value in REAL_SUMMARY:
        assert f"{label} {value}" in words
    assert "…" not in words


def test_warning_about_the_calibration_is_whole(drawn: Callable[[str], Figure]) -> None:
    assert WARNING in words_of(drawn("six pairs"))


def test_names_are_drawn_as_they_are(drawn: Callable[[str], Figure]) -> None:
    words = words_of(drawn("six pairs"))
    assert "Ätna $x_1$ ?? 2" in words
    assert "100 % & _a_ $" in words


def test_page_without_values_says_so(drawn: Callable[[str], Figure]) -> None:
    words = words_of(drawn("no values"))
    assert "No valid emission rate in this run" in words
    assert "120 of 120 totals: too little texture" in words
    assert "Missing totals: 120 of 120" in words
    for note in ("no valid plume speed", "no valid column amount", "no example image", "no calibration"):
        assert note in words


def test_faint_pairs_are_explained(drawn: Callable[[str], Figure]) -> None:
    assert "medians of" in words_of(drawn("7200 pairs"))
    assert "medians of" not in words_of(drawn("sixty pairs"))


# --- panels, each on a small figure ------------------------------------------------------------------------------


def draw_series(series: EmissionSeries) -> tuple[Figure, dict[str, Axes]]:
    """Draw the panels that share the time axis, and no page around them."""
    figure = Figure()
    panels: dict[str, Axes] = {}
    for number, name in enumerate(("rate", "strip", "speed", "amount")):
        panels[name] = figure.add_subplot(4, 1, number + 1, sharex=panels.get("rate"))
    axis, reasons = TimeAxis.of(series.times), total_reasons(series)
    draw_rate(panels["rate"], series, axis, reasons)
    draw_strip(panels["strip"], series, axis, reasons)
    draw_speed(panels["speed"], series, axis)
    draw_amount(panels["amount"], series, axis)
    format_times(tuple(panels.values()), axis)
    figure.draw_without_rendering()
    return figure, panels


def test_series_without_pairs() -> None:
    figure, _ = draw_series(make_series(0))
    assert "This run has no image pairs." in words_of(figure)


def backwards(series: EmissionSeries) -> EmissionSeries:
    """The same run with two times that are not after the one before."""
    times = list(series.times)
    times[5], times[12] = times[12], times[4]
    return dataclasses.replace(series, times=tuple(times))


@pytest.mark.parametrize(
    "series",
    [
        make_series(1, ("south",), ("flow_raw",)),
        make_series(30, cadence_s=0.002),
        make_series(40, cadence_s=5),
        make_series(60, gap_at=30),
        make_series(900, cadence_s=35_000),
        make_series(1500),
        backwards(make_series(20)),
    ],
    ids=["one pair", "milliseconds", "200 s", "gap", "a year", "dense", "backwards"],
)
def test_every_series(series: EmissionSeries) -> None:
    _, panels = draw_series(series)
    low, high = panels["rate"].get_ylim()
    finite = series.total_emission_rate_kg_s[np.isfinite(series.total_emission_rate_kg_s)]
    assert ((finite >= low) & (finite <= high)).all()
    first, last = (num2date(limit) for limit in panels["strip"].get_xlim())
    assert first < min(series.times)
    assert last > max(series.times)


def test_pairs_are_sorted_by_time() -> None:
    assert (np.diff(TimeAxis.of(backwards(make_series(20)).times).x) >= 0).all()


def test_curves_break_at_gaps() -> None:
    axis = TimeAxis.of(make_series(60, gap_at=30).times)
    x, y = axis.broken(np.ones(60))
    assert np.flatnonzero(np.isnan(y)).tolist() == [30]
    assert axis.x[29] < x[30] < axis.x[30]


@pytest.mark.parametrize(
    "start",
    [
        START,
        datetime(2019, 12, 31, 23, 59, 59, 999_000, UTC),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(2055, 5, 31, 5, tzinfo=UTC),
    ],
    ids=str,
)
def test_time_axis_of_every_range(start: datetime) -> None:
    """From a second to ten years no range is without ticks, full of them, or drawn with a warning."""
    axes = Figure().add_subplot()
    for seconds in (*np.geomspace(1, 10 * 366 * 86400, 80), 195.0, 3.9 * 3600, 3.9 * 86400):
        format_times((axes,), TimeAxis.of(tuple(start + timedelta(seconds=seconds * i / 39) for i in range(40))))
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.xaxis.get_majorticklocs() if low <= tick <= high]
        labels = axes.xaxis.get_major_formatter().format_ticks(ticks)
        assert 2 <= len(ticks) <= 9, seconds
        assert all(labels), seconds
        assert all(label != following for label, following in pairwise(labels)), seconds


def shape_image(height: int, width: int, **changes: Any) -> ExampleImage:
    rng = np.random.default_rng(0)
    example = ExampleImage(
        time=START,
        absorbance=rng.normal(0.1, 0.01, (height, width)).astype(np.float32),
        valid=np.ones((height, width), bool),
        lines=(PlumeLine.straight("gas1", (1.0, 1.0), (1.0, height - 2.0), (-1.0, 0.0)),),
        flow_px_s=np.ones((height, width, 2), np.float32),
        profiles={"gas1": (np.linspace(-1e16, 2e17, 30), 150.0)},
    )
    return dataclasses.replace(example, **changes)


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (shape_image(16, 16), "masked, 0 % of the image"),
        (shape_image(60, 400), "masked, 0 % of the image"),
        (shape_image(48, 64, flow_px_s=None, lines=(), profiles={}), "no example image"),
        (shape_image(48, 64, valid=np.zeros((48, 64), bool)), "masked, 100 % of the image"),
        (shape_image(48, 64, absorbance=np.full((48, 64), np.nan, np.float32)), "masked, 100 % of the image"),
        (shape_image(48, 64, absorbance=np.zeros((48, 64), np.float32)), "masked, 0 % of the image"),
        (shape_image(48, 64, flow_px_s=np.zeros((48, 64, 2), np.float32)), "10¹⁷ molecules cm⁻²"),
        (shape_image(48, 64, profiles={"gas1": (np.full(9, np.nan), 20.0), "b": (np.zeros(9), 20.0)}), "10¹⁸ molec"),
        (shape_image(48, 64, profiles={"gas1": (np.full(9, np.nan), 20.0)}), "no column density"),
    ],
    ids=["tiny", "wide", "nothing on it", "masked", "not a number", "flat", "still", "empty profile", "no profile"],
)
def test_every_example_image(example: ExampleImage, expected: str) -> None:
    figure = Figure()
    image, scale, profiles = figure.subplots(3)
    draw_image(image, scale, example, make_series(6))
    draw_profiles(profiles, example, ("gas1", "gas2"))
    figure.draw_without_rendering()
    assert expected in words_of(figure)


def test_every_calibration() -> None:
    full = make_calibration()
    empty = np.array([])
    cells = {"absorbance": empty, "absorbance_uncertainty": empty, "column_molec_cm2": empty}
    curve = {"curve_absorbance": empty, "curve_column_molec_cm2": empty, "curve_uncertainty_molec_cm2": empty}
    no_cells = dataclasses.replace(full, **cells, column_uncertainty_molec_cm2=empty)
    no_curve = dataclasses.replace(full, **curve)
    neither = dataclasses.replace(no_cells, **curve)
    for calibration, shown in (
        (full, {"fit", "gas cells"}),
        (no_cells, {"fit"}),
        (no_curve, {"gas cells"}),
        (neither, set()),
        (None, {"no calibration"}),
    ):
        figure = Figure()
        draw_calibration(figure.add_subplot(), calibration)
        figure.draw_without_rendering()
        assert {text.get_text() for text in texts_of(figure)} & {"fit", "gas cells", "no calibration"} == shown


# --- the file ----------------------------------------------------------------------------------------------------


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every page blank: what matters is where it is written."""
    monkeypatch.setattr(page, "draw_quicklook", lambda *_, **__: Figure(figsize=SIZE_IN))


@pytest.mark.usefixtures("blank")
def test_written_as_png_to_the_very_path(tmp_path: Path) -> None:
    path = tmp_path / "quicklook.png.tmp"
    write_quicklook(path, **arguments(make_series(1)))
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (SIZE_IN[0] * DPI, SIZE_IN[1] * DPI)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("blank")
def test_unwritable_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing/quicklook"):
        write_quicklook(tmp_path / "missing" / "quicklook.png", **arguments(make_series(1)))


# --- values and words --------------------------------------------------------------------------------------------


def test_reason_of_a_missing_total_is_that_of_its_line() -> None:
    series = make_series(3, ("a", "b"), ("flow_raw",), missing=0.0)
    masked, late = int(EmissionStatus.LINE_MASKED), int(EmissionStatus.GAP_TOO_LONG)
    part = int(EmissionStatus.PART_MISSING)
    status = np.array([[[0], [masked]], [[late], [masked]], [[0], [0]]])
    series = dataclasses.replace(series, status=status, total_status=np.array([[part], [part], [part]]))
    assert total_reasons(series).tolist() == [[masked], [late], [part]]
    series = dataclasses.replace(series, total_status=np.zeros((3, 1), np.int64))
    assert total_reasons(series).tolist() == [[0], [0], [0]]


def test_every_reason_has_its_colour() -> None:
    assert set(STATUS_COLOURS) == set(EmissionStatus) - {EmissionStatus.OK}
    assert len(set(STATUS_COLOURS.values())) == len(STATUS_COLOURS)


@pytest.mark.parametrize(
    ("text", "width", "lines", "expected"),
    [
        ("", 10, 2, []),
        ("short", 10, 2, ["short"]),
        ("two short words", 10, 2, ["two short", "words"]),
        ("a rest that does not fit", 10, 2, ["a rest", "that does…"]),
        ("0123456789abcdef", 10, 2, ["0123456789", "abcdef"]),
        ("0123456789abcdef0123456789", 10, 2, ["0123456789", "abcdef012…"]),
        ("wide", 0, 2, ["w", "i…"]),
    ],
)
def test_wrapping(text: str, width: float, lines: int, expected: list[str]) -> None:
    assert wrap_text(text, width, len, lines) == expected


def test_nothing_global_is_touched(tmp_path: Path) -> None:
    """No pyplot, no matplotlib before it is needed, no setting changed."""
    script = """
import sys
from pathlib import Path
import so2cam.formats.quicklook as quicklook
assert "matplotlib" not in sys.modules
import numpy as np
import matplotlib
before = matplotlib.rcParams.copy()
from so2cam.core.results import EmissionSeries
n = np.zeros
series = EmissionSeries((), (), (), *(n((0, 0, 0)) for _ in range(7)), *(n((0, 0)) for _ in range(6)),
                        n(0), n(0), n(0, int), *(n(0) for _ in range(5)), n(0, int), n((0, 2)), n((0, 2)),
                        n((0, 0, 0, 14)))
assert series.quality_flags.shape == (0,)
quicklook.write_quicklook(Path(sys.argv[1]), series, site_name="a", volcano="b", example=None, calibration=None,
                          summary=())
assert "matplotlib.pyplot" not in sys.modules
assert all(matplotlib.rcParams[key] == before[key] for key in before if key != "backend")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script, str(tmp_path / "page")], check=True)
    assert (tmp_path / "page").stat().st_size > 10_000
