"""The page of a calibration: it says what there is, what there is not and why, and its words do not overlap."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.text import Text

from so2cam.core.errors import OutputError
from so2cam.core.results import CalibrationFit, CalibrationPoint, CalibrationRecord, CalibrationSummary, ViewRecord
from so2cam.formats.calibration_page import draw_calibration_page, write_calibration_page

START = datetime(2026, 1, 15, 14, tzinfo=UTC)
NAN = float("nan")
LOST = "too little variation in the columns"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def points(count: int = 60) -> list[CalibrationPoint]:
    rng = np.random.default_rng(1)
    made = []
    for n in range(count):
        value = 0.15 + 0.1 * np.sin(n / 9) + 0.004 * rng.standard_normal()
        made.append(CalibrationPoint(at(8 * n), value, 0.004, 8e18 * value, 3e16, 0.05 if n % 20 == 7 else 1.0, 0))
    return made


def fit(number: int, status: str = "ok") -> CalibrationFit:
    good = 1.0 if status == "ok" else NAN
    return CalibrationFit(
        number, at(600 * number), status, 40, "line", (1e16, 8e18), (1e15, 1e17), 8e18 * good, 2e17 * good, 0.03 * good,
        0.95 * good, 1.2 * good, 0.4 * good,
    )  # fmt: skip


VIEW = ViewRecord(at(300), "ok", 101.5, 77.25, 9.5, 0.4, 0.5, 0.8, 0.93, 40)
NO_VIEW = replace(VIEW, time=at(900), status=LOST, x=NAN, y=NAN, radius_px=NAN)
MAP = np.linspace(-0.1, 0.9, 30 * 40).reshape(30, 40).astype(np.float32)


def summary(*warnings: str) -> CalibrationSummary:
    known = points()
    grid = np.linspace(0, 0.3, 20)
    return CalibrationSummary(
        description="60 points of the spectrometer, the bands' own curve, r = 0.96",
        absorbance=np.array([point.absorbance for point in known]),
        absorbance_uncertainty=np.full(60, 0.004),
        column_molec_cm2=np.array([point.column_molec_cm2 for point in known]),
        column_uncertainty_molec_cm2=np.full(60, 3e16),
        curve_absorbance=grid,
        curve_column_molec_cm2=8e18 * grid,
        curve_uncertainty_molec_cm2=2e17 * grid + 1e16,
        warnings=warnings,
        points="spectrometer",
        weights=np.array([point.weight for point in known]),
    )


FULL = CalibrationRecord(points(), [fit(n) for n in range(6)], [VIEW], MAP, 4)


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def draw(record: CalibrationRecord, known: CalibrationSummary | None, name: str = "Villarrica") -> Figure:
    figure = draw_calibration_page(record, known, site_name=name)
    figure.canvas.draw()
    return figure


def check_no_overlap(figure: Figure) -> None:
    """Titles, legends, names of axes and notes stand inside the page and clear of each other."""
    boxes = []
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        pairs = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        unseen |= {label for place, label in pairs if not (axis.get_visible() and low <= place <= high)}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text not in unseen and text.get_visible() and text.get_text().strip():
            boxes.append((text.get_text(), text.get_window_extent().padded(-1)))
    page = figure.bbox
    for number, (text, box) in enumerate(boxes):
        if box.width <= 0:
            continue
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
        for other, second in boxes[number + 1 :]:
            assert not box.overlaps(second), (text, other)


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def test_a_whole_run() -> None:
    figure = draw(FULL, summary())
    found = panels(figure)
    assert set(found) == {
        "Calibration",
        "Columns and absorbance in the field of view",
        "Field of view",
        "Slope near zero absorbance",
    }
    text = words(figure)
    assert "(101.5 ± 0.4, 77.2 ± 0.5) px, radius 9.5 ± 0.8 px, r = 0.93, 40 images" in text
    assert "60 points of the spectrometer" in text
    assert text.count("counts for little") == 2
    [_, ring] = [patch for patch in found["Field of view"].patches if isinstance(patch, Circle)]
    assert ring.center == (101.5, 77.25)
    assert ring.radius == 9.5
    check_no_overlap(figure)


def test_nothing_was_learnt() -> None:
    figure = draw(CalibrationRecord(), None)
    text = words(figure)
    for part in ("no calibration", "no image with a column beside it", "not searched", "too few points for a fit"):
        assert part in text
    check_no_overlap(figure)


def test_a_search_that_failed_and_a_fit_that_failed() -> None:
    figure = draw(CalibrationRecord([], [fit(0, "too few points")], [NO_VIEW], MAP, 4), None)
    assert f"none found: {LOST}" in words(figure)
    assert "too few points" in words(figure)
    assert not any(isinstance(patch, Circle) for patch in panels(figure)["Field of view"].patches)
    check_no_overlap(figure)
    figure = draw(CalibrationRecord([], [], [NO_VIEW]), None)
    assert f"not found: {LOST}" in words(figure)


def test_an_earlier_field_of_view_and_warnings() -> None:
    record = CalibrationRecord(points(), [fit(0), fit(1, "poor"), fit(2)], [VIEW, NO_VIEW], MAP, 4)
    figure = draw(
        record, summary(f"field of view not found: {LOST}", "no calibration by the spectrometer: " + 9 * "x y ")
    )
    text = words(figure)
    assert f"the last search found none: {LOST}" in text
    assert "(101.5 ± 0.4" in text
    assert "no curve" in text
    check_no_overlap(figure)


def test_one_fit_and_one_point() -> None:
    figure = draw(CalibrationRecord(points(1), [fit(0)], [VIEW], MAP, 4), summary())
    assert "2026-01-15 14:00 UTC" in words(figure)
    check_no_overlap(figure)


def test_lines_do_not_cross_long_gaps() -> None:
    known = points(20)
    later = [replace(point, time=point.time + timedelta(hours=3)) for point in known]
    axes = panels(draw(CalibrationRecord([*known, *later]), None))["Columns and absorbance in the field of view"]
    x = np.asarray(axes.lines[0].get_xdata(), float)
    assert np.isnan(x).sum() == 1
    assert np.isnan(x[20])


@pytest.mark.parametrize("name", ["$x_1$ \\alpha", "火山", "V" * 300, "two\nlines", ""])
def test_any_name(name: str) -> None:
    figure = draw(FULL, summary(), name)
    assert "calibration by the spectrometer" in words(figure)
    check_no_overlap(figure)


def test_the_file(tmp_path: Path) -> None:
    write_calibration_page(tmp_path / "page", FULL, summary(), site_name="x")
    assert (tmp_path / "page").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(OutputError, match="page cannot be written"):
        write_calibration_page(tmp_path / "missing" / "page.png", FULL, None, site_name="x")
