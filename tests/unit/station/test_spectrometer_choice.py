"""Whether there is a spectrometer: the guide asks, and takes the site file for the answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from so2cam.formats.starter import starter_text
from so2cam.station.drafts import SiteDraft
from so2cam.station.spectrometer_choice import SOURCE, TABLE, adding, chosen, leaving_out, spectrometer_stands

WIDTH = (*TABLE, "line_shape", "width_nm")


@pytest.fixture
def draft(tmp_path: Path) -> SiteDraft:
    """The draft of a new installation."""
    path = tmp_path / "site.toml"
    path.write_text(starter_text("north"), encoding="utf-8")
    return SiteDraft(path, tmp_path / "draft")


def change(draft: SiteDraft, changes: Mapping[Any, Any]) -> None:
    assert draft.change(changes, by="anna").problem is None


def test_a_new_installation_has_not_said_it_yet(draft: SiteDraft) -> None:
    assert chosen(draft.state()) == ""
    assert draft.state().loaded.site.processing.calibration.source == "cells"
    assert spectrometer_stands(draft.state(), ()) == (False, "Say whether there is one.")
    assert spectrometer_stands(draft.state(), ("flame",))[1] == (
        "Say whether there is one. The instrument has one: flame."
    )


def test_without_one_gas_cells_calibrate_and_nothing_is_missing(draft: SiteDraft) -> None:
    change(draft, leaving_out(draft.state()))
    assert chosen(draft.state()) == "no"
    assert draft.state().written(SOURCE) == "cells"
    assert spectrometer_stands(draft.state(), ()) == (True, "There is none.")
    assert "flame" in spectrometer_stands(draft.state(), ("flame",))[1]


def test_one_is_complete_with_its_line_shape(draft: SiteDraft) -> None:
    change(draft, adding())
    assert chosen(draft.state()) == "yes"
    known, words = spectrometer_stands(draft.state(), ())
    assert not known
    assert "line shape" in words
    change(draft, {WIDTH: 0.55})
    assert spectrometer_stands(draft.state(), ()) == (
        True,
        "Line shape 0.55 nm wide, its own wavelengths, fitted from 308 to 318 nm.",
    )
    change(draft, {(*TABLE, "detector", "wavelength_correction"): [0.1, 0.01]})
    assert "corrected wavelengths" in spectrometer_stands(draft.state(), ())[1]


def test_a_line_shape_measured_is_one_too(draft: SiteDraft) -> None:
    (draft.state().loaded.path.parent / "lamp.txt").write_text("301 0\n302 1\n303 0\n", encoding="utf-8")
    change(draft, adding() | {(*TABLE, "line_shape"): {"source": "file", "file": "lamp.txt"}})
    assert spectrometer_stands(draft.state(), ())[1].startswith("Line shape of lamp.txt")


def test_taking_it_out_gives_the_calibration_back_to_gas_cells(draft: SiteDraft) -> None:
    change(draft, adding() | {WIDTH: 0.55, SOURCE: "joint"})
    change(draft, leaving_out(draft.state()))
    assert (draft.state().written(SOURCE), draft.state().loaded.site.spectrometer) == ("cells", None)
    assert chosen(draft.state()) == "no"


def test_a_known_slope_stays(draft: SiteDraft) -> None:
    slope = {
        SOURCE: "fixed",
        ("processing", "calibration", "slope_molec_cm2"): 1e19,
        ("processing", "calibration", "slope_uncertainty_molec_cm2"): 1e18,
    }
    change(draft, slope)
    assert chosen(draft.state()) == "no"
    assert leaving_out(draft.state()) == {}


def test_a_calibration_by_a_spectrometer_that_is_not_there_is_no_answer(draft: SiteDraft) -> None:
    change(draft, {SOURCE: "spectrometer"})
    assert chosen(draft.state()) == ""
    assert "calibration" in spectrometer_stands(draft.state(), ())[1]
