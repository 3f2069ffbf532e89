import re
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.errors import InputError
from so2cam.simulate import DEFAULT_SCENARIO, Scenario, list_scenarios, load_scenario, simulate
from so2cam.simulate.scenario import GasCells


def test_the_default_comes_first_and_all_shipped_scenarios_load() -> None:
    names = list_scenarios()
    assert names[0] == DEFAULT_SCENARIO
    assert set(names) >= {"baseline", "ideal", "weak", "eastward", "faint", "thick", "diluted", "missed"}
    assert set(names) >= {"drifting-sky", "misaligned", "smooth", "clouds", "aerosol", "snow"}
    assert set(names) >= {"pulsating-shear", "turbulent", "gusting", "two-vents"}
    for name in names:
        scenario = load_scenario(name)
        assert scenario.name == name
        assert scenario.description
        assert scenario.start.timestamp() % 1200 == 0


def test_the_baseline_file_says_what_the_defaults_are() -> None:
    baseline = load_scenario()
    assert baseline.model_copy(update={"description": ""}) == Scenario(name="baseline")


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(InputError) as caught:
        load_scenario("volcanoo")
    for name in (*list_scenarios(), "volcanoo"):
        assert name in str(caught.value)


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[emission]\nmean_kg_s = 2.5\n')
    assert load_scenario(path).emission.mean_kg_s == 2.5
    assert load_scenario(str(path)) == load_scenario(path)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = "x"\n[emission]\nmean_kg_s = -1\n', "emission.mean_kg_s"),
        ('name = "x"\n[emission]\nmean = 1\n', "emission.mean"),
        ('name = "x"\n[sensor]\nexposure_on_s = 0.40000051\n', "sensor.exposure_on_s"),
        ('name = "x"\n[sensor]\ngain = 1.5\n', "sensor.gain"),
        ('name = "x"\nstart = 2026-01-15T14:00:00.5Z\n', "start"),
        ('name = "x"\nstart = 2026-01-15T14:00:00\n', "start"),
        ('name = "x"\ncadence_s = 1\n[sensor]\nexposure_on_s = 1.5\n', "exposure"),
        ('name = "x"\n[filters]\noff_centre_nm = 322.0\nwidth_nm = 15.0\n', "filters"),
        ('name = "x"\n[cells]\nlabel_error = [0.1, 0.2]\n', "cells"),
        ('name = "x"\n[cells]\nlabel_error = -1.0\n', "cells"),
        ('name = "x"\n[spectrometer]\nintegration_time_s = 0.0015\n', "spectrometer"),
        ('name = "x"\n[spectrometer]\ncoadds = 100\n', "spectrometer"),
        ('name = "x"\n[wind]\ngusts = 0.5\n', "wind.gusts"),
        ("description = 'no name'\n", "name"),
        ("name = \n", "TOML"),
    ],
)
def test_a_wrong_value_says_which(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    assert key in str(caught.value)
    assert "wrong.toml" in str(caught.value)


def test_a_missing_or_unreadable_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_scenario(tmp_path / "missing.toml")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load_scenario(path)


def test_labels_of_cells_may_be_wrong() -> None:
    cells = GasCells(label_error=0.1)
    assert [cells.true_ppm_m(label) for label in (0.0, 400.0, 1200.0, 77.0)] == pytest.approx([0, 440, 1320, 77])
    each = GasCells(label_error=(0.0, -0.05, 0.1))
    assert [each.true_ppm_m(label) for label in (400.0, 1200.0)] == pytest.approx([380, 1320])


def test_the_examples_of_the_documentation_work(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulated-volcano.md").read_text(encoding="utf-8")
    for name in list_scenarios():
        assert f"`{name}`" in page
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "my-volcano.toml"
    path.write_text(example)
    result = simulate(load_scenario(path), tmp_path / "out", seed=1, pairs=1)
    assert result.truth.line("upstream").emission_rate_kg_s[0] > 0
    assert [result.truth.scenario.cells.true_ppm_m(label) for label in (400, 1200)] == pytest.approx([432, 1140])
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "documentation", "exec"), names)  # noqa: S102
    assert names["counts"].shape == (243, 324)
    assert names["truth"] > 0
