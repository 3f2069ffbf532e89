"""Calibrations with cells: what is doubtful, what is left out, and that nothing of it is lost."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.errors import InputError
from so2cam.station import cell_run
from so2cam.station.cell_run import CellFrame, CellRun, CellRuns, left_out


@dataclass(frozen=True)
class Site:
    results: Path


def runs(folder: Path) -> CellRuns:
    site: Any = Site(folder / "results" / "etna")
    return CellRuns(site)


def frames(first: int, middle: float, *, count: int = 2, saturated: float = 0.0, exposure_s: float = 0.1):
    return [
        CellFrame(
            node="lead",
            device="camera-on",
            band="on",
            sequence=first + number,
            origin=f"lead/{first + number}/abc",
            name=f"{first + number}.png",
            time=datetime(2026, 3, 1, tzinfo=UTC),
            exposure_s=exposure_s,
            bright=0.6,
            middle=middle,
            saturated=saturated,
        )
        for number in range(count)
    ]


def begun() -> CellRun:
    return cell_run.taken(cell_run.begin(["lead"], "anna", 2), None, frames(1, 0.5))


def test_a_good_cell_has_no_doubts() -> None:
    run = cell_run.taken(begun(), 400.0, frames(11, 0.4))
    assert [take.doubts for take in run.takes] == [(), ()]
    assert [take.words for take in run.takes] == ["clear sky", "cell of 400 ppm m"]


@pytest.mark.parametrize(
    ("ppm_m", "given", "words"),
    [
        (400.0, frames(11, 0.4, count=1), "1 of 2 frames"),
        (400.0, frames(11, 0.4, saturated=0.01), "saturated"),
        (400.0, frames(11, 0.5), "not darker than with less SO2"),
        (400.0, frames(11, 0.4, exposure_s=0.2), "another exposure"),
        (400.0, [frame.model_copy(update={"bright": 0.1}) for frame in frames(11, 0.4)], "dark"),
    ],
)
def test_what_is_doubtful_is_said(ppm_m: float, given: list[CellFrame], words: str) -> None:
    run = cell_run.taken(begun(), ppm_m, given)
    assert any(words in doubt for doubt in run.takes[-1].doubts)


def test_a_weak_cell_must_be_brighter_than_a_strong_one_before_it() -> None:
    run = cell_run.taken(begun(), 1000.0, frames(11, 0.3))
    assert "not brighter than with more SO2" in cell_run.taken(run, 400.0, frames(21, 0.2)).takes[-1].doubts[0]
    assert cell_run.taken(run, 400.0, frames(21, 0.4)).takes[-1].doubts == ()


def test_cells_are_left_out_and_taken_back_and_given_up(tmp_path: Path) -> None:
    kept = runs(tmp_path)
    run = kept.save(cell_run.taken(begun(), 400.0, frames(11, 0.4)))
    assert left_out(kept.folder) == frozenset()
    run = kept.save(cell_run.with_use(run, 2, False))
    assert left_out(kept.folder) == {"lead/11/abc", "lead/12/abc"}
    assert runs(tmp_path).load() == run
    run = kept.save(cell_run.with_use(run, 2, True))
    assert left_out(kept.folder) == frozenset()
    kept.save(cell_run.over(run, "cancelled"))
    assert len(left_out(kept.folder)) == 4
    later = cell_run.begin(["lead"], "anna", 2)
    kept.save(later)
    assert len(left_out(kept.folder)) == 4, "a new calibration brings nothing back"


def test_a_cell_that_a_camera_did_not_see_is_left_out_from_the_start(tmp_path: Path) -> None:
    kept = runs(tmp_path)
    run = kept.save(cell_run.taken(begun(), 400.0, frames(11, 0.4), ["follower: no answer"]))
    assert run.takes[-1].doubts == ("follower: no answer",)
    assert left_out(kept.folder) == {"lead/11/abc", "lead/12/abc"}
    later = cell_run.taken(run, 200.0, frames(21, 0.3))
    assert later.takes[-1].doubts == (), "nothing is compared with it"


def test_there_is_none_at_first_and_a_broken_one_is_said(tmp_path: Path) -> None:
    kept = runs(tmp_path)
    assert kept.load() is None
    kept.save(begun())
    (kept.folder / "cells.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        kept.load()
