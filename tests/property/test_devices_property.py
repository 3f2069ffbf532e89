"""Invariants of the devices: frames of a free-running sensor settle on the wanted moments; replays lose no file."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.devices.frame_timing import FramePlan, LastFrame, frame_limits, plan_frames
from so2cam.devices.replay_timeline import Timeline, span_of


@dataclass
class Sensor:
    """A sensor that runs freely; a new frame duration works ``lag`` frames later."""

    middle_s: float
    duration_s: float
    lag: int

    def __post_init__(self):
        self.waiting = [self.duration_s] * (self.lag + 1)

    def set(self, duration_s):
        self.waiting[self.lag] = duration_s

    def next(self):
        self.waiting.append(self.waiting[-1])
        self.middle_s += self.waiting.pop(0)
        return self.middle_s


@settings(max_examples=150, deadline=None)
@given(
    period_s=st.sampled_from([0.25, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0, 5.0, 8.0, 10.0, 30.0, 60.0]) | st.floats(0.25, 20.0),
    exposure_share=st.floats(0.0002, 0.6),
    phase=st.floats(0, 1),
    lag=st.integers(0, 6),
    preferred_s=st.sampled_from([0.1, 0.2, 0.4]),
)
def test_frames_settle_on_the_grid(period_s, exposure_share, phase, lag, preferred_s):
    exposure_s = min(exposure_share * period_s, 2.5)
    limits = frame_limits(exposure_s, minimum_s=0.064, maximum_s=3.067, preferred_s=preferred_s)
    sensor = Sensor(phase * limits.preferred_s, limits.preferred_s, lag)
    last, offsets = LastFrame(sensor.next(), None), []
    number, plan = 0, None
    for _ in range(100):
        now = sensor.middle_s + exposure_s / 2
        number = max(number + 1, math.floor((now - 3.0) / period_s) + 1)  # as the agent passes over grid times
        wanted = 3.0 + number * period_s
        plan = plan_frames(wanted, last, limits, lag=6, before=plan)
        half_s = plan.duration_s / 2
        middle = -math.inf
        while middle < wanted - half_s:
            assert limits.shortest_s <= plan.duration_s <= limits.longest_s
            sensor.set(plan.duration_s)
            middle = sensor.next()
            plan = plan.after_frame()
        last = LastFrame(middle, wanted)
        offsets.append(middle - wanted)
    assert max(abs(offset) for offset in offsets[1:]) <= limits.longest_s
    if not any(limits.shortest_s <= period_s / frames <= limits.longest_s for frames in range(1, 1000)):
        return
    assert max(abs(offset) for offset in offsets[60:]) < 0.001


@given(
    exposure_s=st.floats(1e-6, 10.0),
    wanted_s=st.floats(-10, 1000),
    middle_s=st.floats(0, 100),
    earlier_s=st.none() | st.floats(0, 100),
    before=st.none() | st.builds(FramePlan, st.floats(0.01, 5), st.just(0.2), st.integers(0, 3), st.integers(0, 9)),
)
def test_durations_are_always_possible(exposure_s, wanted_s, middle_s, earlier_s, before):
    limits = frame_limits(exposure_s, minimum_s=0.064, maximum_s=3.067, preferred_s=0.2)
    duration = plan_frames(wanted_s, LastFrame(middle_s, earlier_s), limits, lag=6, before=before).duration_s
    assert limits.shortest_s <= duration <= limits.longest_s
    assert duration >= exposure_s + 0.001 - 1e-9


START = datetime(2024, 5, 1, tzinfo=UTC)


def infos(offsets):
    return [
        SpectrumInfo(f"{number}.npy", SpectrumKind.PLUME, START + timedelta(seconds=offset), 0.1, 1)  # type: ignore[arg-type]
        for number, offset in enumerate(offsets)
    ]


def timeline_of(offsets, start_s, rate, *, loop):
    files = infos(offsets)
    return Timeline(files, span_of([[info.time for info in files]]), start_s, rate, loop=loop)


steps = st.lists(st.floats(0.5, 60.0), min_size=0, max_size=12)


@given(steps, st.floats(0.1, 10.0), st.integers(1, 40))
def test_a_replay_gives_every_file_in_turn_at_its_pace(gaps, rate, count):
    offsets = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    timeline = timeline_of(offsets, 100.0, rate, loop=True)
    now, given_files = 100.0, []
    for _ in range(count):
        due = timeline.next(None, now)
        assert due is not None
        assert due.middle_s >= now - 1e-6
        now = due.middle_s
        given_files.append(str(due.info.path))
    expected = [f"{number % len(offsets)}.npy" for number in range(count)]
    assert given_files == expected


@given(steps, st.floats(0.1, 10.0), st.floats(0, 500))
def test_a_wanted_moment_gives_the_nearest_file(gaps, rate, after_s):
    offsets = [sum(gaps[:number]) / rate for number in range(len(gaps) + 1)]
    timeline = timeline_of([offset * rate for offset in offsets], 0.0, rate, loop=False)
    due = timeline.next(after_s, 0.0)
    length = offsets[-1] + max(offsets[-1] / max(len(gaps), 1) if gaps else 1 / rate, 1e-3)
    if due is None:
        assert after_s > offsets[-1]
        return
    assert after_s <= length + offsets[-1]
    best = min(abs(offset - after_s) for offset in offsets)
    assert abs(due.middle_s - after_s) == pytest.approx(best, abs=1e-5) or math.isclose(after_s, length, rel_tol=0.6)
