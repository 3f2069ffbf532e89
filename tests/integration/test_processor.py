"""The processor: live is batch, statuses instead of doubtful numbers, records in order and small."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so2cam.core.records import Frame, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Line, Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.folder import scan_frames
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline import batch
from so2cam.pipeline import lag_window as lag_module
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.plan import plan_run
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import PairImages, PairRecord
from so2cam.pipeline.references import References, build_references
from so2cam.pipeline.series import assemble
from so2cam.science.motion.cross_correlation import Lag

S = EmissionStatus
Sequence = list[tuple[FramePair, Frame, Frame]]


@dataclass(frozen=True)
class Bench:
    """A site with its references, and a short sequence read into memory."""

    loaded: LoadedSite
    folder: Path
    darks: DarkLibrary
    references: References
    sequence: Sequence
    clear: tuple[Frame, Frame]

    @property
    def site(self) -> Site:
        return self.loaded.site

    def processor(self, site: Site | None = None, **options: Any) -> Processor:
        return Processor(site or self.site, self.references, self.darks, **options)

    def run(self, sequence: Sequence, site: Site | None = None) -> list[PairRecord]:
        processor = self.processor(site)
        records = [record for step in sequence for record in processor.push(*step)]
        return records + processor.finish()


@pytest.fixture(scope="session")
def bench(simulated: Path) -> Bench:
    loaded = load_site(simulated / "site.toml")
    site = loaded.site
    plan = plan_run(site, [simulated / "frames"])
    reader = FrameReader(site)
    darks = DarkLibrary([frame for frame in plan.frames if frame.kind is FrameKind.DARK], site.processing, reader)

    def read(info: FrameInfo) -> Frame:
        frame = reader.read(info)
        assert frame is not None
        return frame

    references = build_references(site, plan.frames, darks, reader)
    clear = [frame for frame in plan.frames if frame.kind is FrameKind.CLEAR]
    return Bench(
        loaded=loaded,
        folder=simulated / "frames",
        darks=darks,
        references=references,
        sequence=[(pair, read(pair.on), read(pair.off)) for pair in plan.pairs],
        clear=(read(clear[0]), read(clear[1])),
    )


def moved(step: tuple[FramePair, Frame, Frame], seconds: float) -> tuple[FramePair, Frame, Frame]:
    """The same frames, taken later."""
    _, on, off = step
    shift = timedelta(seconds=seconds)
    on, off = (replace(frame, info=replace(frame.info, time=frame.info.time + shift)) for frame in (on, off))
    return FramePair(on.info, off.info), on, off


def painted(step: tuple[FramePair, Frame, Frame], counts: int, rows: slice = slice(None)) -> Any:
    """The same pair with rows of the on-band image at one level."""
    pair, on, off = step
    image = on.counts.copy()
    image[rows] = counts
    return pair, replace(on, counts=image), off


def white(step: tuple[FramePair, Frame, Frame]) -> Any:
    pair, on, off = step
    return pair, *(replace(frame, counts=np.full_like(frame.counts, 1023)) for frame in (on, off))


def undarked(step: tuple[FramePair, Frame, Frame]) -> Any:
    """The same pair at a gain that no dark has."""
    _, on, off = step
    on = replace(on, info=replace(on.info, gain=3.0))
    return FramePair(on.info, off.info), on, off


def with_speed(site: Site, **changes: Any) -> Site:
    """Return ``site`` with other settings of cross-correlation, or other methods."""
    speed = site.processing.speed
    methods = changes.pop("methods", speed.methods)
    cross = speed.cross_correlation.model_copy(update=changes)
    speed = speed.model_copy(update={"cross_correlation": cross, "methods": methods})
    return site.model_copy(update={"processing": site.processing.model_copy(update={"speed": speed})})


def with_lines(site: Site, *lines: Line) -> Site:
    return site.model_copy(update={"lines": lines})


def statuses(records: list[PairRecord], method: str = "flow_raw", line: str = "upstream") -> list[EmissionStatus]:
    return [record.emissions[line, method].status for record in records]


NUMBERS = ("rate", "random", "systematic", "speed", "speed_uncertainty", "direction_deg")


def check_whole(records: list[PairRecord], site: Site) -> None:
    """Every value is there or its status says why it is not."""
    for record in records:
        expected = {(line.name, method) for line in site.lines for method in site.processing.speed.methods}
        assert set(record.emissions) == expected
        for emission in record.emissions.values():
            numbers = [getattr(emission, name) for name in NUMBERS]
            assert set(NUMBERS) >= {field.name for field in dataclasses.fields(emission)} - {
                "status",
                "budget",
                "momentary",
            }
            assert bool(emission.budget) is (emission.status is S.OK)
            if emission.status is S.OK:
                assert np.isfinite(numbers).all(), emission
                assert emission.random > 0
                # The systematic part is a share of the rate: nothing where nothing moves.
                assert emission.systematic > 0 or emission.rate == 0
            else:
                assert np.isnan(numbers).all(), emission
        for measurement in record.lines.values():
            assert (measurement.ica is None) == (measurement.status is not S.OK)


def arrays(value: object, seen: set[int]) -> Iterator[np.ndarray[Any, Any]]:
    """Every array that can be reached from ``value``."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from arrays(item, seen)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from arrays(getattr(value, field.name), seen)


def test_live_is_batch_bit_for_bit(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.touch())
    report = process_folders(bench.loaded, [bench.folder], tmp_path, command="test")
    live = assemble(bench.site, bench.run(bench.sequence))
    for field in dataclasses.fields(live):
        ours, theirs = getattr(live, field.name), getattr(report.series, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs, field.name


def test_a_record_comes_when_the_next_pair_does(bench: Bench) -> None:
    site = with_speed(bench.site, methods=("flow_raw",))
    processor = bench.processor(site)
    counts = [len(processor.push(*step)) for step in bench.sequence]
    assert counts == [0, 1, 1, 1, 1, 1, 1]
    last = processor.finish()
    assert statuses(last) == [S.NO_NEXT_PAIR]
    assert processor.finish() == []
    assert bench.processor(site).finish() == []


def test_whole_run(bench: Bench) -> None:
    records = bench.run(bench.sequence)
    check_whole(records, bench.site)
    assert statuses(records) == [S.OK] * 6 + [S.NO_NEXT_PAIR]
    assert statuses(records, "cross_correlation") == [S.TOO_FEW_SAMPLES] * 7
    assert [record.time for record in records] == [pair.time for pair, _, _ in bench.sequence]


@pytest.mark.parametrize(("gap", "expected"), [(54.9, S.OK), (55.1, S.GAP_TOO_LONG), (40000.0, S.GAP_TOO_LONG)])
def test_a_gap(bench: Bench, gap: float, expected: EmissionStatus) -> None:
    """60 s is the longest time from pair to pair; the pairs themselves stand 5 s apart."""
    late = [moved(step, gap) for step in bench.sequence[3:]]
    records = bench.run([*bench.sequence[:3], *late], with_speed(bench.site, methods=("flow_raw",)))
    check_whole(records, with_speed(bench.site, methods=("flow_raw",)))
    seen = statuses(records)
    assert (seen[2] is S.GAP_TOO_LONG) == (expected is S.GAP_TOO_LONG)
    assert seen[:2] + seen[3:] == [S.OK] * 5 + [S.NO_NEXT_PAIR]


@pytest.mark.parametrize("seconds", [0.0, -1e-3, -3600.0])
def test_time_that_does_not_increase(bench: Bench, seconds: float) -> None:
    """The late pair gets its status, and the others what they have without it."""
    processor = bench.processor()
    assert processor.push(*bench.sequence[0]) == []
    assert processor.push(*bench.sequence[1]) == []
    refused = processor.push(*moved(bench.sequence[1], seconds))
    check_whole(refused, bench.site)
    assert {e.status for e in refused[0].emissions.values()} == {S.TIME_NOT_INCREASING}
    records = [record for step in bench.sequence[2:] for record in processor.push(*step)] + processor.finish()
    plain = bench.run(bench.sequence)
    ours = assemble(bench.site, records)
    theirs = assemble(bench.site, plain)
    assert ours.emission_rate_kg_s.tobytes() == theirs.emission_rate_kg_s.tobytes()


def test_a_pair_without_dark_between_others(bench: Bench) -> None:
    sequence = list(bench.sequence)
    sequence[2] = undarked(sequence[2])
    records = bench.run(sequence)
    check_whole(records, bench.site)
    assert statuses(records) == [S.OK, S.OK, S.NO_DARK, S.OK, S.OK, S.OK, S.NO_NEXT_PAIR]
    assert [record.time for record in records] == [pair.time for pair, _, _ in sequence]


def test_a_white_image_between_others(bench: Bench) -> None:
    sequence = list(bench.sequence)
    sequence[2], sequence[6] = white(sequence[2]), white(sequence[6])
    records = bench.run(sequence)
    check_whole(records, bench.site)
    assert statuses(records) == [S.OK, S.OK, S.NO_SKY, S.OK, S.OK, S.NO_NEXT_PAIR, S.NO_SKY]


@pytest.mark.parametrize("level", [0, 14, 1003, 1023])
def test_dark_and_saturated_pixels_on_a_line_mask_it(bench: Bench, level: int) -> None:
    sequence = list(bench.sequence)
    y = sorted(point[1] for line in bench.site.lines for point in (line.start, line.end) if point)
    middle = int(np.mean(y))
    sequence[3] = painted(sequence[3], level, slice(middle - 20, middle + 20))
    records = bench.run(sequence)
    check_whole(records, bench.site)
    assert {e.status for e in records[3].emissions.values()} <= {S.LINE_MASKED, S.NO_SKY}


def test_lines_beyond_the_off_band(bench: Bench) -> None:
    """The off-band camera sees less at one side: a line there, wholly or in part, has no value."""
    covered = bench.references.covered
    assert not covered[2, 20:120].any()
    whole = Line(name="whole", start=(20, 2), end=(120, 2), normal="up")
    part = Line(name="part", start=(60, 2), end=(60, 102), normal="left")
    edge = Line(name="edge", start=(0, 0), end=(647, 0), normal="up")
    site = with_speed(with_lines(bench.site, whole, part, edge), lines=None)
    records = bench.run(bench.sequence[:2], site)
    check_whole(records, site)
    for line in ("whole", "part", "edge"):
        assert statuses(records, line=line) == [S.LINE_NOT_COVERED] * 2


def test_the_sky_alone_has_no_plume(bench: Bench) -> None:
    first, second = bench.clear
    steps = [moved((FramePair(first.info, second.info), first, second), 5.0 * number) for number in range(3)]
    records = bench.run(steps)
    check_whole(records, bench.site)
    assert set(statuses(records)) <= {S.NO_PLUME, S.NO_NEXT_PAIR, S.FLOW_UNRELIABLE}


def test_a_frozen_camera_gives_no_wild_number(bench: Bench) -> None:
    """The same frames again and again, as a stuck driver gives them."""
    site = with_speed(bench.site, methods=("flow_raw",))
    steps = [moved(bench.sequence[0], 5.0 * number) for number in range(3)]
    records = bench.run(steps, site)
    check_whole(records, site)
    for record in records[:-1]:
        emission = record.emissions["upstream", "flow_raw"]
        assert emission.status is not S.OK or abs(emission.speed) < 0.05


# --- windows of cross-correlation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_s", "expected"),
    [
        (0.0, [0, 0, 0, 3, 0, 0, 3]),  # 0.2 s, 5.2 s ... after the minute
        (7.0, [0, 0, 2, 0, 0, 3, 0]),
        (14.5, [0, 1, 0, 0, 3, 0, 0]),
    ],
)
def test_windows_close_on_multiples_in_utc(bench: Bench, first_s: float, expected: list[int]) -> None:
    processor = bench.processor(with_speed(bench.site, window_s=15.0))
    steps = [moved(step, first_s) for step in bench.sequence]
    batches = [processor.push(*step) for step in steps]
    batches.append(processor.finish())
    assert [len(records) for records in batches] == [*expected, 7 - sum(expected)]
    times = [record.time for records in batches for record in records]
    assert times == [pair.time for pair, _, _ in steps]


def test_a_window_ends_with_a_long_gap_too(bench: Bench) -> None:
    processor = bench.processor()
    for step in bench.sequence[:3]:
        assert processor.push(*step) == []
    assert len(processor.push(*moved(bench.sequence[3], 86400.0))) == 3


def test_records_wait_for_those_before_them(bench: Bench) -> None:
    """A pair that is complete at once does not overtake one that waits for its window."""
    processor = bench.processor(with_speed(bench.site, window_s=3600.0))
    assert processor.push(*bench.sequence[0]) == []
    assert processor.push(*undarked(bench.sequence[1])) == []
    assert processor.push(*bench.sequence[2]) == []
    assert [record.time for record in processor.finish()] == [pair.time for pair, _, _ in bench.sequence[:3]]


def test_no_second_line(bench: Bench) -> None:
    site = with_speed(bench.site, lines=None)
    records = bench.run(bench.sequence[:3], site)
    check_whole(records, site)
    assert statuses(records, "cross_correlation") == [S.NO_SECOND_LINE] * 3


def lag_of(seconds: float) -> Any:
    return lambda *_, **__: Lag(seconds, 1.0, 0.9, S.OK)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("seconds", [20.0, -20.0])
def test_the_sign_of_a_speed_is_that_of_each_lines_normal(
    bench: Bench, side: Any, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag_module, "find_lag", lag_of(seconds))
    upstream, downstream = bench.site.lines
    site = with_lines(bench.site, upstream, downstream.model_copy(update={"normal": side}))
    records = bench.run(bench.sequence[:2], site)
    check_whole(records, site)
    for record in records:
        first = record.emissions["upstream", "cross_correlation"]
        second = record.emissions["downstream", "cross_correlation"]
        assert first.speed == pytest.approx(np.sign(seconds) * 200 / 20, rel=0.1)
        assert second.speed == pytest.approx(first.speed if side == "left" else -first.speed, rel=0.01)
        assert np.sign(first.rate) == np.sign(first.speed)


def test_lines_in_one_place_give_no_speed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream, downstream = bench.site.lines
    same = upstream.model_copy(update={"name": "downstream"})
    for line in (same, same.model_copy(update={"start": same.end, "end": same.start})):
        site = with_lines(bench.site, upstream, line)
        for seconds in (20.0, 0.0):
            monkeypatch.setattr(lag_module, "find_lag", lag_of(seconds))
            records = bench.run(bench.sequence[:2], site)
            check_whole(records, site)
            assert statuses(records, "cross_correlation") == [S.LAG_NOT_RESOLVED] * 2
    del downstream


def test_perpendicular_lines_give_numbers_or_a_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag_module, "find_lag", lag_of(20.0))
    upstream, _ = bench.site.lines
    assert upstream.start
    assert upstream.end
    (x0, y0), (x1, y1) = upstream.start, upstream.end
    turned = Line(name="downstream", start=(x0 - 20, y0), end=(x0 - 20 + (y1 - y0), y0 - (x1 - x0)), normal="up")
    site = with_lines(bench.site, upstream, turned)
    check_whole(bench.run(bench.sequence[:2], site), site)


# --- memory ------------------------------------------------------------------------------------------------------


def test_complete_records_hold_numbers_only(bench: Bench) -> None:
    for site in (bench.site, with_speed(bench.site, window_s=15.0), with_speed(bench.site, methods=("flow_raw",))):
        for record in bench.run(bench.sequence, site):
            assert all(line.columns is None for line in record.lines.values())
            assert sum(array.nbytes for array in arrays(record, set())) == 0


def test_a_processor_holds_no_more_than_it_needs(bench: Bench) -> None:
    """Images of one pair, whatever went through before; the profiles of a window at most."""
    processor = bench.processor(with_speed(bench.site, methods=("flow_raw",)))
    held = []
    for number in range(12):
        step = moved(bench.sequence[number % 7], 35.0 * (number // 7))
        processor.push(*step)
        state = {name: value for name, value in vars(processor).items() if name not in ("_references", "_darks")}
        state["_pending"] = list(processor._pending)
        held.append(sum(array.nbytes for array in arrays(state, set())))
    assert max(held[1:]) < 1.01 * min(held[1:])


def test_an_observer_sees_every_image_once(bench: Bench) -> None:
    seen: list[PairImages] = []
    processor = bench.processor(observer=seen.append)
    for step in [*bench.sequence[:2], undarked(bench.sequence[2]), *bench.sequence[3:5]]:
        processor.push(*step)
    processor.finish()
    assert [images.time for images in seen] == [bench.sequence[number][0].time for number in (0, 1, 3, 4)]
    assert [images.flow is None for images in seen] == [False, False, False, True]
    assert [images.interval_s for images in seen[:3]] == [5.0, 10.0, 5.0]


# --- whatever comes ----------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["good", "good", "good", "white", "no dark", "black"]),
        st.sampled_from([5.0, 5.0, 5.0, 61.0, 0.0, -5.0, 1200.0]),
    ),
    min_size=1,
    max_size=7,
)


@given(events=EVENTS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_gives_each_pair_one_whole_record(bench: Bench, events: list[tuple[str, float]]) -> None:
    site = with_speed(bench.site, window_s=30.0)
    change = {"good": lambda x: x, "white": white, "no dark": undarked, "black": lambda x: painted(x, 0)}
    processor = bench.processor(site)
    late = 0.0
    records, given_times = [], []
    for number, (kind, step_s) in enumerate(events):
        late += step_s
        step = change[kind](moved(bench.sequence[number], late - 5.0 * number))
        given_times.append(step[0].time)
        records += processor.push(*step)
    records += processor.finish()
    check_whole(records, site)
    assert sorted(record.time for record in records) == sorted(given_times)
    usual = [r.time for r in records if r.emissions["upstream", "flow_raw"].status is not S.TIME_NOT_INCREASING]
    assert usual == sorted(set(usual))
    for record in records:
        assert all(line.columns is None for line in record.lines.values())


def test_scan_of_the_bench_is_what_was_simulated(bench: Bench) -> None:
    scan = scan_frames([bench.folder], bench.site.files)
    assert len(scan.frames) == 44
    assert scan.skipped == ()
