"""The registration of a run: given, through control points, found by itself, and by ``so2cam register``."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.records import FrameKind
from so2cam.core.site import Registration, Site
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.plan import plan_run
from so2cam.pipeline.registration import resolve_registration
from so2cam.science.imaging.alignment import displacement_between
from so2cam.simulate import SimulationResult, load_scenario, simulate

SHAPE = (486, 648)


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(load_scenario("baseline"), tmp_path_factory.mktemp("volcano"), seed=6, pairs=3)


def site_with(result: SimulationResult, **registration: Any) -> Site:
    settings = load_site(result.site).settings
    settings["registration"] = registration
    return Site.model_validate(settings)


def resolved(result: SimulationResult, site: Site) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    plan = plan_run(site, [result.frames])
    reader = FrameReader(site)
    darks = DarkLibrary([f for f in plan.frames if f.kind is FrameKind.DARK], site.processing, reader)
    site, notes = resolve_registration(site, plan.pairs, darks, reader)
    return np.array(site.registration.matrix), notes


def test_found_by_itself(volcano: SimulationResult) -> None:
    truth = np.array(volcano.truth.registration_matrix)
    matrix, notes = resolved(volcano, site_with(volcano, source="automatic"))
    assert displacement_between(matrix, truth, SHAPE).rms_px < 0.3
    assert notes == ()


def test_through_control_points(volcano: SimulationResult) -> None:
    truth = np.array(volcano.truth.registration_matrix)
    on = np.array([[50.0, 60.0], [600.0, 80.0], [320.0, 400.0], [80.0, 430.0]])
    off = on @ truth[:, :2].T + truth[:, 2]
    points = np.hstack([on, off]).tolist()
    matrix, notes = resolved(volcano, site_with(volcano, source="control-points", control_points=points))
    np.testing.assert_allclose(matrix, truth, atol=1e-6)
    assert notes == ()
    points[2][3] += 30
    _, notes = resolved(volcano, site_with(volcano, source="control-points", control_points=points))
    assert "control points fit to" in notes[0]


def test_too_few_control_points_say_so(volcano: SimulationResult) -> None:
    site = site_with(volcano, source="control-points", control_points=[[1, 2, 3, 4]])
    with pytest.raises(SiteFileError, match="at least 2 control points"):
        resolved(volcano, site)


@pytest.mark.parametrize("registration", [{"source": "control-points"}, {"control_points": [[1, 2, 3, 4]]}])
def test_control_points_and_their_source_go_together(registration: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="go together"):
        Registration.model_validate(registration)


def test_shift_beyond_the_search_is_no_registration(volcano: SimulationResult) -> None:
    with pytest.raises(InputError, match="no registration found in 3 pairs") as caught:
        resolved(volcano, site_with(volcano, source="automatic", maximum_shift_px=2.0))
    assert caught.value.key == "registration.source"


def test_register_prints_a_table_for_the_site_file(
    volcano: SimulationResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["register", str(volcano.site), "--frames", str(volcano.frames)]) == 0
    out = capsys.readouterr().out
    table = tomllib.loads(out[out.index("[registration]") :])
    matrix = np.array(Registration.model_validate(table["registration"]).matrix)
    assert displacement_between(matrix, np.array(volcano.truth.registration_matrix), SHAPE).rms_px < 0.3
    assert "3 of 3 pairs agree" in out


@pytest.mark.data
def test_villarrica_finds_a_better_registration_than_it_came_with(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "villarrica" / "site.toml"
    assert run(["register", str(example), "--frames", str(data_dir / "villarrica")]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("2018-03-26T")]
    assert len(rows) == 6
    for row in rows:
        assert row[1] == "ok"
        assert float(row[2]) > float(row[3]) + 0.05
