from pathlib import Path

import pytest

from so2cam.core.errors import InputError
from so2cam.simulate import DEFAULT_SCENARIO, Scenario, list_scenarios, load_scenario


def test_the_default_comes_first_and_all_shipped_scenarios_load() -> None:
    names = list_scenarios()
    assert names[0] == DEFAULT_SCENARIO
    assert set(names) == {"baseline", "ideal", "weak", "eastward"}
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
        ('name = "x"\n[cells]\ncross_section_off_cm2 = 2e-19\n', "cells"),
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
