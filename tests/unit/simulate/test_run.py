import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError, OutputError
from so2cam.core.site import Site
from so2cam.formats.png import read_png
from so2cam.simulate import SimulationResult, load_scenario, simulate


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(load_scenario("baseline"), tmp_path_factory.mktemp("a"), seed=11, pairs=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_frames_are_named_and_filed_as_by_the_instrument(result: SimulationResult) -> None:
    names = sorted(path.name for path in (result.frames / "2026-01-15" / "Seq_1").iterdir())
    assert names == [
        f"2026-01-15T1400{second:02d}_{tag}_Plume.png"
        for second in (0, 5, 10)
        for tag in ("fltrA_1ag_400000ss", "fltrB_1ag_100000ss")
    ]
    calibration = [path.name for path in (result.frames / "2026-01-15" / "Cal_1").iterdir()]
    for kind in ("Dark", "Clear", "0ppmm", "400ppmm", "1200ppmm"):
        for tag in ("fltrA", "fltrB"):
            assert sum(f"_{tag}_" in name and name.endswith(f"_{kind}.png") for name in calibration) == 3
    assert len(calibration) == 30
    assert max(calibration) < "2026-01-15T1355"
    assert result.frame_count == 36


def test_pixels_are_ten_bits_and_not_saturated(result: SimulationResult) -> None:
    for path in result.frames.rglob("*.png"):
        counts = read_png(path.read_bytes(), path)
        assert counts.shape == (486, 648)
        assert counts.max() < 1003
        low, high = (13, 18) if "Dark" in path.name else (300, 720)
        assert low < counts.mean() < high


def test_the_same_seed_gives_the_same_files(result: SimulationResult, tmp_path: Path) -> None:
    again = simulate(load_scenario("baseline"), tmp_path / "again", seed=11, pairs=3)
    assert contents(again.site.parent) == contents(result.site.parent)


def test_more_pairs_go_on_and_another_seed_differs(result: SimulationResult, tmp_path: Path) -> None:
    frames = contents(result.frames)
    longer = contents(simulate(load_scenario("baseline"), tmp_path / "longer", seed=11, pairs=4).frames)
    assert {name: longer[name] for name in frames} == frames
    assert len(longer) == len(frames) + 2
    other = contents(simulate(load_scenario("baseline"), tmp_path / "other", seed=12, pairs=3).frames)
    assert other.keys() == frames.keys()
    assert all(other[name] != frames[name] for name in frames)


def test_the_site_file_is_valid_and_says_what_was_simulated(result: SimulationResult) -> None:
    text = result.site.read_text()
    site = Site.model_validate(tomllib.loads(text))
    scenario = result.truth.scenario
    assert site.registration.matrix == result.truth.registration_matrix
    assert site.camera.optics == scenario.view.optics
    assert site.volcano.vent == scenario.view.vent
    assert site.camera.view.roll_deg == 0
    assert site.processing.speed.cross_correlation.lines == ("upstream", "downstream")
    assert site.processing.calibration.label_uncertainty == 0.02
    assert [line.name for line in site.plume_lines] == [line.name for line in result.truth.lines]
    assert site.total_lines == ("upstream",)
    assert text.count("#") > 15
    assert max(len(line) for line in text.splitlines()) <= 120


def test_the_truth_file_holds_the_truth(result: SimulationResult) -> None:
    document = json.loads(result.truth_file.read_text())
    assert document["seed"] == 11
    assert document["scenario"]["name"] == "baseline"
    assert document["times"] == ["2026-01-15T14:00:00.200Z", "2026-01-15T14:00:05.200Z", "2026-01-15T14:00:10.200Z"]
    assert result.truth.times[0] == datetime(2026, 1, 15, 14, 0, 0, 200_000, tzinfo=UTC)
    for line in result.truth.lines:
        stored = document["lines"][line.name]
        np.testing.assert_array_equal(stored["emission_rate_kg_s"], line.emission_rate_kg_s)
        np.testing.assert_allclose(
            line.speed_m_s * line.integrated_column_amount_kg_m, line.emission_rate_kg_s, rtol=1e-12
        )
        assert result.truth.line(line.name) is line
    assert document["calibration_slope_molec_cm2"] == pytest.approx(7.14e18, rel=1e-3)
    assert document["cells"][2]["column_molec_cm2"] == pytest.approx(3.004e18, rel=1e-3)


def test_progress_is_told_frame_by_frame(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(
        load_scenario("ideal"), tmp_path, seed=0, pairs=1, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(number, 32) for number in range(1, 33)]


def test_frames_are_never_mixed(result: SimulationResult) -> None:
    before = contents(result.site.parent)
    with pytest.raises(OutputError, match="already holds frames"):
        simulate(load_scenario("ideal"), result.site.parent, seed=1, pairs=1)
    assert contents(result.site.parent) == before


def test_senseless_requests_are_refused(tmp_path: Path) -> None:
    scenario = load_scenario("baseline")
    with pytest.raises(InputError, match="number of pairs"):
        simulate(scenario, tmp_path, seed=1, pairs=0)
    with pytest.raises(InputError, match="seed"):
        simulate(scenario, tmp_path, seed=-1, pairs=1)
    high = scenario.view.model_copy(update={"elevation_deg": -20.0})
    with pytest.raises(InputError, match="outside the image"):
        simulate(scenario.model_copy(update={"view": high}), tmp_path, seed=1, pairs=1)
    assert not any(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        simulate(load_scenario("ideal"), tmp_path / "file", seed=1, pairs=1)
