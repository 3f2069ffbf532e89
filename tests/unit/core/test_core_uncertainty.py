"""The terms of the budget: which are random, and how they add up."""

import math

import pytest

from so2cam.core.uncertainty import RANDOM_TERMS, TERM_TEXT, Term, random_part, systematic_part


def test_every_term_has_a_meaning_and_a_name_of_its_own() -> None:
    assert set(TERM_TEXT) == set(Term)
    assert len({term.value for term in Term}) == len(Term) == len(set(TERM_TEXT.values()))
    assert all(term.value == term.name.lower() for term in Term)
    assert {term.value for term in RANDOM_TERMS} == {
        "pixel_noise",
        "interpolation",
        "speed",
        "speed_change",
        "interval",
    }


@pytest.mark.parametrize("term", list(Term))
def test_a_term_is_in_one_part_alone(term: Term) -> None:
    budget = {term: 0.3}
    parts = (random_part(budget), systematic_part(budget))
    assert sorted(parts) == pytest.approx([0.0, 0.3])
    assert (parts[0] > 0) is (term in RANDOM_TERMS)


def test_parts_are_roots_of_sums_of_squares() -> None:
    budget = {Term.PIXEL_NOISE: 3.0, Term.SPEED: 4.0, Term.CALIBRATION: 5.0, Term.WIND: 12.0}
    assert random_part(budget) == pytest.approx(5.0)
    assert systematic_part(budget) == pytest.approx(13.0)
    assert random_part({}) == systematic_part({}) == 0


def test_a_term_that_is_not_known_makes_its_part_unknown() -> None:
    assert math.isnan(random_part({Term.SPEED: math.nan, Term.PIXEL_NOISE: 1.0}))
    assert systematic_part({Term.SPEED: math.nan, Term.DISTANCE: 1.0}) == 1.0
