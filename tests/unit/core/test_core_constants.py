"""Constants against values from tables, and that they stand nowhere else."""

import ast
import tomllib
from pathlib import Path

import pytest

import so2cam
from so2cam.core import constants
from so2cam.core.units import molec_cm2_per_ppm_m

SOURCE = Path(so2cam.__file__).parent
LOSCHMIDT_CM3 = 2.686780e19
"""CODATA: molecules per cm3 at 0 degrees Celsius and 1 atm"""


def test_ppm_m_is_that_of_20_degrees_and_1_atm() -> None:
    assert pytest.approx(2.50348e15, rel=2e-6) == constants.MOLEC_CM2_PER_PPM_M


def test_ppm_m_agrees_with_the_loschmidt_constant() -> None:
    # 1 ppm over 100 cm of n molecules per cm3 is 1e-4 n per cm2.
    assert molec_cm2_per_ppm_m(273.15, 101325.0) == pytest.approx(1e-4 * LOSCHMIDT_CM3, rel=1e-6)


@pytest.mark.parametrize(
    ("celsius", "pascal", "expected"),
    [(0.0, 101325.0, 2.6868e15), (25.0, 101325.0, 2.4615e15), (0.0, 1e5, 2.6516e15), (20.0, 101325.0, 2.50348e15)],
)
def test_ppm_m_at_other_states(celsius: float, pascal: float, expected: float) -> None:
    assert molec_cm2_per_ppm_m(celsius + 273.15, pascal) == pytest.approx(expected, rel=3e-5)


@pytest.mark.parametrize(("kelvin", "pascal"), [(0.0, 1e5), (-1.0, 1e5), (293.0, 0.0), (293.0, -5.0)])
def test_ppm_m_of_an_impossible_state_is_refused(kelvin: float, pascal: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        molec_cm2_per_ppm_m(kelvin, pascal)


def test_not_a_number_is_no_state() -> None:
    with pytest.raises(ValueError, match="positive"):
        molec_cm2_per_ppm_m(float("nan"), 101325.0)


def test_mass_column_of_1e18_molecules_is_1_064_grams_per_m2() -> None:
    assert pytest.approx(1.0638e-3, rel=1e-5) == 1e18 * constants.KG_M2_PER_MOLEC_CM2


def test_old_camera_calibration_in_kg_m2_per_ppm_m() -> None:
    assert pytest.approx(2.663e-6, rel=2e-4) == constants.MOLEC_CM2_PER_PPM_M * constants.KG_M2_PER_MOLEC_CM2


def test_textbook_emission_rate() -> None:
    rate = 1e18 * constants.KG_M2_PER_MOLEC_CM2 * 5.0 * 500.0
    assert rate == pytest.approx(2.66, abs=0.005)
    assert rate * constants.TONNES_PER_DAY_PER_KG_PER_S == pytest.approx(230, abs=0.5)


def test_a_day_of_one_kilogram_per_second() -> None:
    assert constants.TONNES_PER_DAY_PER_KG_PER_S == 24 * 60 * 60 / 1000


def _is_physical_constant(value: float) -> str | None:
    """Return what a number looks like, or None. Ranges hold the values in use for each constant, and some more."""
    ranges = {
        "ppm m [molecules cm-2]": (2.3e15, 2.9e15),
        "ppm m [molecules m-2]": (2.3e19, 2.9e19),
        "ppm m [kg m-2]": (2.5e-6, 2.9e-6),
        "molar mass of SO2 [g mol-1]": (64.01, 64.2),
        "molar mass of SO2 [kg mol-1]": (0.06401, 0.0642),
        "Avogadro": (5.9e23, 6.1e23),
        "Boltzmann": (1.37e-23, 1.39e-23),
        "mass of a molecule [kg]": (1.05e-25, 1.08e-25),
        "mass column [kg m-2]": (1.05e-21, 1.08e-21),
        "tonnes per day": (86.39, 86.41),
    }
    for name, (low, high) in ranges.items():
        if low <= abs(value) <= high:
            return name
    return None


def _numbers_of_table(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers_of_table(item)]
    if isinstance(value, list):
        return [number for item in value for number in _numbers_of_table(item)]
    return [value] if isinstance(value, float) else []


def _numbers_in(path: Path) -> list[float]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return _numbers_of_table(tomllib.loads(text))
    nodes = ast.walk(ast.parse(text))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, float)]


def test_the_search_for_constants_finds_them_where_they_stand() -> None:
    found = {_is_physical_constant(number) for number in _numbers_in(SOURCE / "core" / "constants.py")}
    assert {"Avogadro", "Boltzmann", "tonnes per day"} <= found
    for wrong in (2.663e-6, 2.652e15, 2.5e15, 2.7e15, 2.5033e15, 2.46e15, 64.066, 0.0640638):
        assert _is_physical_constant(wrong) is not None, wrong


def test_constants_stand_in_one_place() -> None:
    own = SOURCE / "core" / "constants.py"
    others = [path for suffix in ("py", "toml") for path in sorted(SOURCE.rglob(f"*.{suffix}")) if path != own]
    assert len(others) > 20
    found = [
        f"{path.relative_to(SOURCE)}: {number:g} looks like {name}"
        for path in others
        for number in _numbers_in(path)
        if (name := _is_physical_constant(number)) is not None
    ]
    assert found == []
