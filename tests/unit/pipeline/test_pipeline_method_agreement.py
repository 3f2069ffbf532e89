"""Speed methods compared pair by pair, over the window of time so far."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import Term
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.method_agreement import FEWEST, MethodComparison
from so2cam.pipeline.records import Emission, PairRecord

START = datetime(2026, 3, 1, 14, tzinfo=UTC)
METHODS = ("flow_raw", "cross_correlation")
NONE, DISAGREE = QualityFlag.NONE, QualityFlag.METHODS_DISAGREE


def site_of(*methods: str) -> Site:
    site = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml").site
    speed = site.processing.speed.model_copy(update={"methods": methods})
    emission = site.processing.emission.model_copy(update={"total_lines": ("near",)})
    processing = site.processing.model_copy(update={"speed": speed, "emission": emission})
    return site.model_copy(update={"processing": processing})


def valid(rate: float, random: float = 0.2) -> Emission:
    return Emission(EmissionStatus.OK, rate, {Term.SPEED: random, Term.DISTANCE: 0.02 * abs(rate)}, 5.0, 0.5, 270.0)


def record(seconds: float, *emissions: Emission, methods: tuple[str, ...] = METHODS) -> PairRecord:
    time = START + timedelta(seconds=seconds)
    on, off = (FrameInfo(Path("x.png"), band, FrameKind.PLUME, time, 0.1, 1.0) for band in (Band.ON, Band.OFF))
    found = dict(zip(methods, emissions, strict=True))
    values = {("near", method): emission for method, emission in found.items()}
    return PairRecord(FramePair(on, off), emissions=values)


def flags(records: list[PairRecord], *methods: str) -> list[QualityFlag]:
    comparison = MethodComparison(site_of(*(methods or METHODS)))
    return [comparison.of(one) for one in records]


def test_a_factor_of_six_is_flagged_once_there_are_enough() -> None:
    """What cross-correlation gave where the images showed a sixth of that speed."""
    found = flags([record(5 * i, valid(0.8, 0.05), valid(4.6, 0.5)) for i in range(6)])
    assert found == [NONE] * (FEWEST - 1) + [DISAGREE] * (7 - FEWEST)


@pytest.mark.parametrize(("other", "random", "expected"), [(5.5, 0.2, NONE), (7.5, 0.2, DISAGREE), (7.5, 1.5, NONE)])
def test_beyond_the_uncertainties_and_not_before(other: float, random: float, expected: QualityFlag) -> None:
    assert flags([record(5 * i, valid(5.0), valid(other, random)) for i in range(8)])[-1] == expected


def test_a_flag_hangs_on_what_was_before_alone() -> None:
    records = [record(5 * i, valid(5.0), valid(5.0 if i < 10 else 20.0)) for i in range(30)]
    whole = flags(records)
    assert whole[:10] == [NONE] * 10
    assert DISAGREE in whole
    assert all(flags(records[:count]) == whole[:count] for count in range(len(records)))


def test_windows_know_nothing_of_one_another() -> None:
    length = site_of(*METHODS).processing.speed.cross_correlation.window_s
    assert START.timestamp() % length == 0
    bad = [record(5 * i, valid(1.0), valid(5.0)) for i in range(5)]
    good = [record(length + 5 * i, valid(5.0), valid(5.0)) for i in range(5)]
    assert flags(good) == [NONE] * 5
    assert flags(bad + good) == flags(bad) + flags(good)


def test_only_pairs_with_both_are_compared() -> None:
    lost = Emission(EmissionStatus.NO_CORRELATION)
    records = [record(5 * i, valid(1.0), lost if i % 2 else valid(5.0)) for i in range(8)]
    assert flags(records) == [NONE, NONE, NONE, NONE, DISAGREE, NONE, DISAGREE, NONE]


def test_one_method_is_not_compared_and_of_three_any_two_are() -> None:
    assert flags([record(5 * i, valid(1.0), methods=("wind",)) for i in range(5)], "wind") == [NONE] * 5
    three = (*METHODS, "wind")
    records = [record(5 * i, valid(5.0), valid(5.0), valid(12.0), methods=three) for i in range(4)]
    assert flags(records, *three)[-1] == DISAGREE
