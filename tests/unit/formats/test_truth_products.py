"""Tables and page of the comparison with the truth."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import OutputError
from so2cam.core.truth import CalibrationTruth, TruthCase, TruthRow, TruthSeries
from so2cam.formats.truth_page import draw_truth_page, write_truth_page
from so2cam.formats.truth_tables import (
    CSV_COLUMNS,
    format_truth_markdown,
    percent,
    shares,
    write_truth_csv,
    write_truth_markdown,
)

NAN = float("nan")
ROW = TruthRow(
    "made", "cells", "flow_raw", 1, 10, 9, 5.0, -0.0123, 0.02, 0.01, 0.05, 0.051, (1.0, 1.0), (0.7, 0.96), True
)
VIEW = CalibrationTruth("made", "spectrometer", 0.01, 0.02, 0.06, 0.25, -0.5, 0.58, 0.2, 0.3, 0.4, 11.6, 0.99)
SERIES = TruthSeries(
    "made", "cells", "flow_raw", np.arange(10) * 5.0, np.full(10, 5.0), np.append(np.full(9, 4.9), np.nan),
    np.append(np.full(9, 0.3), np.nan),
)  # fmt: skip
NOTHING = replace(
    ROW, method="nadeau", values=0, bias=NAN, scatter=NAN, stated_random=NAN, stated_mean=NAN, within=(NAN, NAN),
    random_within=(NAN, NAN), recommended=False,
)  # fmt: skip
FAR = replace(ROW, variant="not corrected", bias=-0.35, recommended=False)
CASE = TruthCase("made", "made up", (ROW, NOTHING, FAR), (VIEW, CalibrationTruth("made", "cells", 0.0, 0.01)),
                 (SERIES,), ("made, fixed: no slope",))  # fmt: skip
EMPTY = TruthCase("empty", "", (), (), (), ("empty, cells: nothing",))


def test_csv_has_a_row_for_each_and_nothing_where_nothing_is_known(tmp_path: Path) -> None:
    write_truth_csv(tmp_path / "truth.csv", [CASE, EMPTY])
    with (tmp_path / "truth.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["speed_method"] for row in rows] == ["flow_raw", "nadeau", "flow_raw"]
    assert float(rows[0]["bias"]) == -0.0123
    assert float(rows[0]["retrieved_kg_s"]) == pytest.approx(5 * (1 - 0.0123))
    assert rows[0]["recommended"] == "1"
    assert rows[1]["bias"] == ""


def test_markdown_marks_what_is_recommended(tmp_path: Path) -> None:
    text = format_truth_markdown([CASE], command="so2cam truth --seed 1")
    assert "`so2cam truth --seed 1`" in text
    assert "| made | **cells** | **flow_raw** | 9/10 | 5 kg/s | **−1.2 %** | 5.1 % |" in text
    assert "| made | spectrometer | +1.0 % | 2.0 % | +0.25, −0.50 | 0.20, 0.30 | +5.0 % | 3.4 % | 0.990 |" in text
    assert "| made | cells | +0.0 % | 1.0 % | – | – | – | – | – |" in text
    assert "* made, fixed: no slope" in text
    write_truth_markdown(tmp_path / "truth.md", [CASE], command="so2cam truth --seed 1")
    assert (tmp_path / "truth.md").read_text(encoding="utf-8") == text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows[:5]} == {13}
    assert {line.count("|") for line in rows[5:]} == {10}


def test_numbers_as_they_stand_in_tables() -> None:
    assert percent(0.0149) == "1.5 %"
    assert percent(-0.02, signed=True) == "−2.0 %"
    assert percent(NAN) == "–"
    assert shares((0.684, 0.955)) == "68, 96 %"
    assert shares((NAN, NAN)) == "–"


@pytest.mark.parametrize("cases", [[CASE], [CASE, EMPTY, CASE, CASE], [EMPTY]])
def test_page_shows_every_scenario(tmp_path: Path, cases: list[TruthCase]) -> None:
    write_truth_page(tmp_path / "truth.png", cases)
    assert (tmp_path / "truth.png").read_bytes().startswith(b"\x89PNG")
    figure = draw_truth_page(cases)
    titles = [axes.get_title(loc="left") for part in figure.subfigs for axes in part.axes]
    for case in cases:
        assert case.scenario in titles
    texts = [text.get_text() for axes in figure.subfigs[0].axes for text in axes.texts]
    if cases == [CASE]:
        assert any("−35 %" in text for text in texts)
    if CASE in cases:
        assert any("no value" in text for text in texts)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(OutputError, match="cannot be written"):
        write_truth_csv(missing / "truth.csv", [CASE])
    with pytest.raises(OutputError, match="cannot be written"):
        write_truth_markdown(missing / "truth.md", [CASE], command="")
    with pytest.raises(OutputError, match="cannot be written"):
        write_truth_page(missing / "truth.png", [CASE])
