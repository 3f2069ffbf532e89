"""What the archive finds is what a plain filter over all that is in it would find, on both databases."""

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text

from so2cam.station.archive_query import ArchiveQuery
from so2cam.station.archive_view import ArchiveView
from so2cam.station.catalogue import TOTAL, ArchivedFile, Catalogue, ColumnRow, NewFile, PairRow, Rate

T0 = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
SITES = ("etna", "hill")
METHODS = ("flow", "lag")
TOLERANCE_S = 2.0
EVERYTHING = ArchiveQuery(SITES, tolerance_s=TOLERANCE_S)


@dataclass(frozen=True)
class Content:
    files: tuple[ArchivedFile, ...]
    pairs: dict[str, dict[datetime, PairRow]]
    columns: dict[tuple[str, datetime, str], int]


def fill(catalogue: Catalogue) -> Content:
    """Enter two sites over parts of three days, with frames that stand alone and frames between two pairs."""
    chance = random.Random(5)
    files: list[ArchivedFile] = []
    pairs: dict[str, dict[datetime, PairRow]] = {site: {} for site in SITES}
    columns: dict[tuple[str, datetime, str], int] = {}
    for site in SITES:
        for number in range(60):
            time = T0 + timedelta(hours=number // 15 * 9, seconds=number % 15 * chance.choice([1.5, 3.0, 5.0]))
            kind = chance.choices(["frame", "spectrum"], [4, 1])[0]
            subject = chance.choices(["plume", "dark", "clear", "cell", "test"], [8, 1, 1, 1, 1])[0]
            name = f"{number}.png"
            new = NewFile(
                site, f"lead/{number}", "lead", kind, subject, f"camera-{number % 2}", time, "x", name, 9, "0"
            )
            if number % 3 == 0:
                new = replace(new, sidecar=f"{number}.json", sidecar_size=2, sidecar_sha256="1")
            file, _ = catalogue.add_file(new)
            if number % 11 == 0:
                catalogue.set_state(file.id, "damaged")
                file = replace(file, state="damaged")
            files.append(file)
            if kind == "spectrum":
                columns[(site, time, name)] = status = chance.choice([0, 2])
                catalogue.add_columns(site, [ColumnRow(time, name, 1e17, 1e15, None, status)])
            if chance.random() < 0.5:
                at = time + timedelta(seconds=chance.choice([0.0, 0.0, 0.5, -1.0, 2.0, 2.5]))
                rates = tuple(
                    Rate(at, line, method, 1.0 if status == 0 else None, 0.1, 0.2, 5.0, 0.5, 90.0, 0.3, status)
                    for line in ("upstream", TOTAL)
                    for method in METHODS
                    if (status := chance.choice([0, 0, 7])) is not None
                )
                pairs[site][at] = PairRow(at, chance.choice([0, 0, 1, 2, 6, 32]), '{"frames":[]}', rates)
        catalogue.add_pairs(site, 1, list(pairs[site].values()))
    return Content(tuple(files), pairs, columns)


# --- the same by hand ----------------------------------------------------------------------------------------------


def has_rate(query: ArchiveQuery, pair: PairRow) -> bool:
    return any(
        rate.line == query.line and rate.status == 0 and query.method in (None, rate.method) for rate in pair.rates
    )


def good(query: ArchiveQuery, pair: PairRow) -> bool:
    return has_rate(query, pair) and not pair.flags & query.without_flags


def passes(query: ArchiveQuery, pair: PairRow) -> bool:
    wanted = not query.with_flags or bool(pair.flags & query.with_flags)
    return wanted and not pair.flags & query.without_flags and (not query.valid or has_rate(query, pair))


def within(query: ArchiveQuery, time: datetime) -> bool:
    return (query.start is None or time >= query.start) and (query.end is None or time < query.end)


def pair_of(content: Content, file: ArchivedFile) -> PairRow | None:
    if (file.kind, file.subject) != ("frame", "plume"):
        return None
    near = [pair for pair in content.pairs[file.site].values() if abs(pair.time - file.time).total_seconds() <= 2.0]
    return min(near, key=lambda pair: (abs(pair.time - file.time), pair.time), default=None)


def good_days(query: ArchiveQuery, content: Content, site: str) -> set[date]:
    of_day: dict[date, list[bool]] = defaultdict(list)
    for pair in content.pairs[site].values():
        of_day[pair.time.date()].append(good(query, pair))
    return {day for day, pairs in of_day.items() if sum(pairs) >= query.least_share * len(pairs)}


def finds(query: ArchiveQuery, content: Content, file: ArchivedFile) -> bool:
    listed = all(
        not wanted or value in wanted
        for value, wanted in ((file.kind, query.kinds), (file.subject, query.subjects), (file.state, query.states))
    )
    if file.site not in query.sites or not within(query, file.time) or not listed:
        return False
    if query.least_share > 0 and file.time.date() not in good_days(query, content, file.site):
        return False
    if not query.asks_quality:
        return True
    if file.kind == "spectrum":
        flags = query.with_flags or query.without_flags
        return not flags and content.columns[(file.site, file.time, file.name)] == 0
    pair = pair_of(content, file)
    return pair is not None and passes(query, pair)


def found_pairs(query: ArchiveQuery, content: Content) -> list[PairRow]:
    return [
        pair
        for site in query.sites
        for pair in content.pairs[site].values()
        if within(query, pair.time)
        and passes(query, pair)
        and (query.least_share <= 0 or pair.time.date() in good_days(query, content, site))
    ]


moments = st.none() | st.integers(-2, 40).map(lambda hours: T0 + timedelta(hours=hours, minutes=7 * (hours % 3)))
flags = st.sampled_from([0, 0, 1, 2, 4, 7, 32])
queries = st.builds(
    ArchiveQuery,
    sites=st.sampled_from([SITES, SITES[:1], SITES[1:]]),
    start=moments,
    end=moments,
    kinds=st.sampled_from([(), ("frame",), ("spectrum",)]),
    subjects=st.sampled_from([(), (), ("plume",), ("dark", "clear"), ("cell", "test")]),
    states=st.sampled_from([(), (), ("kept",), ("damaged", "missing")]),
    line=st.sampled_from([TOTAL, TOTAL, "upstream", "nowhere"]),
    method=st.sampled_from([None, *METHODS]),
    valid=st.booleans(),
    with_flags=flags,
    without_flags=flags,
    least_share=st.sampled_from([0.0, 0.0, 0.3, 0.6, 1.0]),
    tolerance_s=st.just(TOLERANCE_S),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it is filled once, and only read
)
@given(data=st.data())
def test_filters_combine_as_a_plain_filter_would(catalogue: Catalogue, data: st.DataObject) -> None:
    content = getattr(catalogue, "_content", None) or fill(catalogue)
    catalogue._content = content  # type: ignore[attr-defined]
    query = data.draw(queries)
    view = ArchiveView(catalogue)
    expected = [file for file in content.files if finds(query, content, file)]
    newest = sorted(expected, key=lambda file: (file.time, file.id), reverse=True)
    half = max(1, len(newest) // 2)
    totals, first = view.look(query, limit=half)
    same, second = view.look(query, offset=half, limit=1000)
    pages = [*first, *second]
    assert [found.file for found in pages] == newest
    for found in pages:
        own = pair_of(content, found.file)
        assert (found.pair, found.flags) == ((None, 0) if own is None else (own.time, own.flags))
        if own is not None and has_rate(query, own):
            assert found.rate is not None
            assert found.rate.status == 0
    assert view.ids(query, 5) == [file.id for file in newest[::-1][:5]]
    pairs = found_pairs(query, content)
    assert (totals.files, totals.bytes) == (len(expected), sum(file.total_bytes for file in expected))
    assert totals.first == min((file.time for file in expected), default=None)
    assert totals.last == max((file.time for file in expected), default=None)
    assert totals == same == view.look(query, offset=10_000)[0]
    assert (totals.pairs, totals.good) == (len(pairs), sum(good(query, pair) for pair in pairs))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries)
def test_a_calendar_counts_what_days_have(catalogue: Catalogue, query: ArchiveQuery) -> None:
    content = getattr(catalogue, "_content", None) or fill(catalogue)
    catalogue._content = content  # type: ignore[attr-defined]
    expected: dict[date, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for file in content.files:
        if file.site in query.sites and within(query, file.time):
            day = expected[file.time.date()]
            day[0 if file.kind == "frame" else 1] += 1
            day[2] += file.total_bytes
    for site in query.sites:
        for pair in content.pairs[site].values():
            if within(query, pair.time):
                expected[pair.time.date()][3] += 1
                expected[pair.time.date()][4] += good(query, pair)
    found = ArchiveView(catalogue).days(query)
    assert [day.day for day in found] == sorted(expected)
    for day in found:
        assert [day.frames, day.spectra, day.bytes, day.pairs, day.good] == expected[day.day]
        assert day.share == (day.good / day.pairs if day.pairs else None)


def test_a_film_has_the_pairs_with_their_rates_thinned_where_they_are_many(catalogue: Catalogue) -> None:
    content = fill(catalogue)
    view, query = ArchiveView(catalogue), ArchiveQuery(("etna",))
    times = sorted(content.pairs["etna"])
    film = view.film(query, line=TOTAL, method="flow")
    assert (film.processed, film.every, film.pairs) == (True, 1, len(times))
    assert [step.time for step in film.steps] == times
    for step in film.steps:
        pair = content.pairs["etna"][step.time]
        assert step.flags == pair.flags
        assert step.rate == next(rate for rate in pair.rates if (rate.line, rate.method) == (TOTAL, "flow"))
    moved = view.film(query, line=TOTAL, method="flow", motion_of="nowhere")
    assert [step.rate.rate for step in moved.steps if step.rate] == [step.rate.rate for step in film.steps if step.rate]
    assert {step.rate.speed for step in moved.steps if step.rate} == {None}
    few = view.film(query, most=len(times) // 2, line=TOTAL, method="flow")
    assert [step.time for step in few.steps] == times[:: few.every]
    assert len(few.steps) <= len(times) // 2
    good_ones = view.film(replace(query, valid=True, method="lag"), line=TOTAL, method="lag")
    assert 0 < len(good_ones.steps) < len(times)
    assert all(step.rate is not None and step.rate.status == 0 for step in good_ones.steps)
    assert all(step.rate is None for step in view.film(query, line=TOTAL, method="other").steps)


def test_without_results_a_film_is_of_one_camera(catalogue: Catalogue) -> None:
    for number in range(10):
        time = T0 + timedelta(seconds=number)
        device = f"camera-{'on' if number % 2 else 'off'}"
        catalogue.add_file(NewFile("etna", f"{number}", "a", "frame", "plume", device, time, "x", f"{number}", 1, "0"))
    view, query = ArchiveView(catalogue), ArchiveQuery(("etna",))
    assert view.devices(query) == ["camera-off", "camera-on"]
    film = view.film(query, line=TOTAL, method="flow", device="camera-on")
    assert not film.processed
    assert [step.time.second for step in film.steps] == [1, 3, 5, 7, 9]
    good = view.film(replace(query, least_share=0.5), line=TOTAL, method="flow", device="camera-on")
    assert (good.steps, good.processed) == ((), True), "no day is good, which is not to say that none was processed"
    assert view.last_time(("etna", "hill")) == T0 + timedelta(seconds=9)
    assert view.last_time(("hill",)) is None


def test_an_older_catalogue_gets_the_indices_that_it_lacks(catalogue: Catalogue) -> None:
    database = catalogue.database
    with database.write() as connection:
        for name in ("files_found", "pairs_quality", "rates_valid"):
            connection.execute(text(f"DROP INDEX {name}"))
    database._prepare()
    with database.read() as connection:
        found = {
            index["name"] for table in ("files", "pairs", "rates") for index in inspect(connection).get_indexes(table)
        }
    assert found >= {"files_found", "pairs_quality", "rates_valid"}


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_archive_answers(catalogue: Catalogue, count: int) -> None:
    view = ArchiveView(catalogue)
    query = replace(EVERYTHING, valid=bool(count), least_share=0.5 * count)
    totals, found = view.look(query)
    assert view.days(query) == found == view.ids(query, 9) == []
    assert (totals.files, totals.first) == (0, None)


def test_a_frame_has_the_rate_of_a_pair_that_was_made_of_it_and_of_no_other(catalogue: Catalogue) -> None:
    def at(seconds: float) -> datetime:
        return T0 + timedelta(seconds=seconds)

    def add(name: str, seconds: float) -> int:
        new = NewFile("etna", f"new/{name}", "lead", "frame", "plume", "camera", at(seconds), "x", name, 9, "0")
        return catalogue.add_file(new)[0].id

    def pair(seconds: float, value: float, record: str) -> PairRow:
        rate = Rate(at(seconds), TOTAL, "flow", value, 0.1, 0.2, 5.0, 0.5, 90.0, 0.3, 0)
        return PairRow(at(seconds), 0, record, (rate,))

    names = {"on-0": 0.0, "off-0": 0.7, "on-1": 1.0, "off-1": 1.7, "on-2": 2.0, "off-2": 2.7, "on-9": 9.0, "off-9": 9.7}
    ids = {name: add(name, seconds) for name, seconds in names.items()}
    made_of = [(0.0, 4.0, '{"frames":["on-0","off-0"]}'), (1.0, 5.0, '{"frames":["on-1","off-1"]}'), (9.0, 6.0, "{}")]
    catalogue.add_pairs("etna", 1, [pair(*one) for one in made_of])
    found = ArchiveView(catalogue).found(list(ids.values()), ArchiveQuery(("etna",), tolerance_s=2.0))
    rates = {one.file.name: None if one.rate is None else one.rate.rate for one in found}
    assert (rates["on-0"], rates["off-0"]) == (4.0, 4.0), "though the pair after is nearer to the off band"
    assert (rates["on-1"], rates["off-1"]) == (5.0, 5.0)
    assert (rates["on-2"], rates["off-2"]) == (None, None), "the newest frames are not processed yet"
    assert (rates["on-9"], rates["off-9"]) == (6.0, 6.0), "a pair that tells no frames has those near it"
