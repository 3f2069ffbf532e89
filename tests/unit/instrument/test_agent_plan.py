"""What a device takes next: sets before the mode, held exposures, exposures used since the last darks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.health import DeviceState
from so2cam.instrument.plan import Plan, UsedExposures, Wish


def test_sets_go_before_the_mode_and_the_mode_goes_on() -> None:
    plan = Plan()
    assert plan.next() is None
    assert plan.state is DeviceState.IDLE
    plan.run("plume", None)
    assert plan.next() == Wish("plume")
    job = plan.add("darks", [Wish("dark", exposure_s=0.1), Wish("dark", exposure_s=0.2)])
    assert plan.state is DeviceState.DARKS
    taken = []
    while (wish := plan.next()) is not None and wish.job is not None:
        taken.append(wish.exposure_s)
        plan.done(wish)
    assert taken == [0.1, 0.2]
    assert plan.finished() == [job]
    assert plan.finished() == []
    assert plan.state is DeviceState.CAPTURING
    assert plan.next() == Wish("plume")


def test_a_sequence_ends_by_itself() -> None:
    plan = Plan()
    plan.run("clear", 3)
    count = 0
    while (wish := plan.next()) is not None:
        plan.done(wish)
        count += 1
    assert count == 3
    assert plan.state is DeviceState.IDLE


def test_a_calibration_holds_the_mode_and_takes_only_what_is_asked_for() -> None:
    plan = Plan()
    plan.run("plume", None)
    plan.held = True
    assert plan.next() is None
    assert plan.state is DeviceState.CELLS
    plan.add("cell", [Wish("cell", 304.0)] * 2)
    wish = plan.next()
    assert wish is not None
    assert wish.cell_ppm_m == 304.0
    plan.held = False
    plan.cancel("stopped")
    assert plan.next() == Wish("plume")


def test_the_rest_of_a_set_can_be_given_up() -> None:
    plan = Plan()
    first = plan.add("darks", [Wish("dark")] * 3)
    second = plan.add("shot", [Wish("test")])
    wish = plan.next()
    assert wish is not None
    plan.done(wish)
    plan.cancel_job(first.number, "it is not dark")
    assert first.failed == ["it is not dark"]
    following = plan.next()
    assert following is not None
    assert following.job == second.number


def test_exposures_nearly_alike_count_as_one_and_the_most_used_are_chosen() -> None:
    used = UsedExposures(tolerance=0.05, maximum=2)
    for exposure_s, count in ((0.1, 5), (0.102, 5), (0.5, 3), (1.0, 1)):
        for _ in range(count):
            used.add(exposure_s)
    assert used.chosen() == (0.1, 0.5)
    restored = UsedExposures(tolerance=0.05, maximum=2)
    restored.load(used.to_json())
    assert restored.chosen() == used.chosen()
    used.forget((0.101, 0.5))
    assert used.chosen() == (1.0,)


def test_nonsense_in_the_memory_is_left_out() -> None:
    used = UsedExposures(tolerance=0.05, maximum=4)
    used.load({"x": 3, "-5": 1, "0": 2, "1000": 0, "2000": 4})
    assert used.chosen() == (0.002,)


@given(st.lists(st.floats(1e-5, 10.0), max_size=300), st.integers(1, 12))
def test_memory_of_exposures_is_bounded(exposures: list[float], maximum: int) -> None:
    used = UsedExposures(tolerance=0.05, maximum=maximum)
    for exposure_s in exposures:
        used.add(exposure_s)
    assert len(used.chosen()) <= maximum
    assert len(used.to_json()) <= 8 * maximum
    assert list(used.chosen()) == sorted(used.chosen())
    if exposures:
        assert min(exposures) * 0.94 <= used.chosen()[0] <= max(exposures) * 1.06
        assert sum(1 for _ in used.chosen()) == pytest.approx(min(maximum, len(used.to_json())))
