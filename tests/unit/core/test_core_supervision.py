"""A supervision point keeps the error of its block, and lets what ends the program pass."""

import pytest

from so2cam.core.supervision import SupervisionPoint


def test_an_error_is_kept_and_goes_no_further() -> None:
    wrong = ValueError("no")
    with SupervisionPoint("a test") as point:
        raise wrong
    assert point.error is wrong
    assert point.name == "a test"


def test_nothing_is_kept_where_nothing_is_wrong_and_a_point_can_be_entered_again() -> None:
    point = SupervisionPoint("a test")
    with point:
        raise OSError
    with point:
        pass
    assert point.error is None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_passes(kind: type[BaseException]) -> None:
    point = SupervisionPoint("a test")
    with pytest.raises(kind), point:
        raise kind
    assert point.error is None
