"""Questions to the catalogue for the health page: thinned records, delays, growth."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from so2cam.station.catalogue import Catalogue, NewFile
from so2cam.station.catalogue_health import Growth, archive_growth, arrival_delays, health_nodes, thinned_health

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FILE = NewFile("etna", "lead/1/abc", "lead", "frame", "plume", "camera-on", T0, "2026/03/01/12", "a.png", 900, "0" * 64)


def _add(catalogue: Catalogue, number: int, time: datetime, **values: object) -> None:
    new = replace(FILE, origin=f"lead/{number}/x", name=f"{number}.png", time=time)
    catalogue.add_file(replace(new, **values))  # type: ignore[arg-type]


def test_health_is_thinned_to_the_last_of_each_span_and_nothing_of_others(catalogue: Catalogue) -> None:
    for second in range(0, 100, 10):
        catalogue.add_health("etna", "lead", T0 + timedelta(seconds=second), f"{second}")
    catalogue.add_health("etna", "other", T0 + timedelta(seconds=5), "x")
    catalogue.add_health("hekla", "lead", T0 + timedelta(seconds=5), "x")
    end = T0 + timedelta(seconds=95)
    found = thinned_health(catalogue, "etna", "lead", start=T0, end=end, every_s=30)
    assert [text for _, text in found] == ["20", "50", "80", "90"]
    assert found[0][0] == T0 + timedelta(seconds=20)
    inside = thinned_health(
        catalogue, "etna", "lead", start=T0 + timedelta(seconds=10), end=T0 + timedelta(seconds=20), every_s=10
    )
    assert [text for _, text in inside] == ["10"]
    assert thinned_health(catalogue, "etna", "nobody", start=T0, end=end, every_s=30) == []
    assert health_nodes(catalogue, "etna") == ["lead", "other"]


def test_delays_are_one_of_each_span_across_gaps(catalogue: Catalogue) -> None:
    now = datetime.now(UTC)
    backs = [3600, 3599, 3590, 1800, 10]
    for number, back in enumerate(backs):
        _add(catalogue, number, now - timedelta(seconds=back))
    _add(catalogue, 90, now - timedelta(seconds=900), subject="dark")
    _add(catalogue, 91, now - timedelta(seconds=800), node="other")
    found = arrival_delays(catalogue, "etna", "lead", start=now - timedelta(hours=2), end=now, every_s=60)
    assert len(found) in (3, 4)  # where a minute ends among the first three, two of them are seen
    assert found[-1][1] == pytest.approx(10, abs=8)
    assert found[-2][1] == pytest.approx(1800, abs=8)
    assert [time for time, _ in found] == sorted(time for time, _ in found)


def test_growth_counts_what_came_within_the_span(catalogue: Catalogue) -> None:
    now = datetime.now(UTC)
    assert archive_growth(catalogue, "etna", now, timedelta(days=1)) == Growth(0, 0, 0.0)
    for number in range(20):
        _add(catalogue, number, T0 + timedelta(seconds=number), sidecar=f"{number}.json", sidecar_size=100)
        _add(catalogue, number, T0 + timedelta(seconds=number), site="hekla")
    found = archive_growth(catalogue, "etna", datetime.now(UTC), timedelta(hours=1))
    assert (found.files, found.bytes) == (20, 20_000)
    later = datetime.now(UTC) + timedelta(hours=3)
    assert archive_growth(catalogue, "etna", later, timedelta(hours=1)) == Growth(0, 0, 0.0)


def test_a_rate_needs_some_time() -> None:
    assert Growth(100, 1000, 59.0).bytes_per_day is None
    assert Growth(0, 0, 600.0).bytes_per_day is None
    assert Growth(100, 1000, 600.0).bytes_per_day == pytest.approx(144_000)
