"""One conformance for both databases: what the catalogue promises, whichever keeps it."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.errors import So2camError
from so2cam.station.catalogue import Catalogue, CatalogueError, ColumnRow, NewFile, PairRow, Rate, Run

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
FILE = NewFile("etna", "lead/1/abc", "lead", "frame", "plume", "camera-on", T0, "2026/03/01/12", "a.png", 9, "0" * 64)


def numbered(number: int, **values: object) -> NewFile:
    new = replace(FILE, origin=f"lead/{number}/x", name=f"{number}.png", time=T0 + timedelta(seconds=number))
    return replace(new, **values)  # type: ignore[arg-type]


def rate(
    time: datetime, value: float | None = 1.25, line: str = "total", method: str = "flow", status: int = 0
) -> Rate:
    return Rate(time, line, method, value, 0.1, 0.2, 5.0, 0.5, 90.0, 0.3, status)


def test_a_file_comes_back_as_it_was_entered(catalogue: Catalogue) -> None:
    new = replace(FILE, sidecar="a.json", sidecar_size=3, sidecar_sha256="1" * 64)
    file, is_new = catalogue.add_file(new)
    assert is_new
    assert (file.time, file.path, file.sidecar_path, file.total_bytes) == (
        T0,
        "2026/03/01/12/a.png",
        "2026/03/01/12/a.json",
        12,
    )
    again, is_new = catalogue.add_file(replace(new, name="b.png"))
    assert not is_new
    assert again == file == catalogue.by_origin("etna", new.origin) == catalogue.by_name("etna", new.folder, new.name)
    assert catalogue.files_by_id([file.id, 999_999]) == {file.id: file}
    assert catalogue.by_origin("other", new.origin) is None
    assert catalogue.origins("etna", "lead") == {new.origin}
    assert catalogue.newest_id("etna") == file.id


def test_a_name_belongs_to_one_file(catalogue: Catalogue) -> None:
    catalogue.add_file(FILE)
    with pytest.raises(CatalogueError, match="taken"):
        catalogue.add_file(replace(FILE, origin="lead/2/def"))
    catalogue.add_file(replace(FILE, site="other"))


def test_files_are_found_by_all_that_is_known_of_them(catalogue: Catalogue) -> None:
    for number in (3, 1, 2):
        catalogue.add_file(numbered(number))
    catalogue.add_file(numbered(4, subject="dark", device="camera-off"))
    catalogue.add_file(numbered(5, kind="spectrum"))

    def names(**wanted: object) -> list[str]:
        return [file.name for file in catalogue.find_files("etna", **wanted)]  # type: ignore[arg-type]

    assert names() == ["1.png", "2.png", "3.png", "4.png", "5.png"]
    assert names(kind="frame", subject="plume") == ["1.png", "2.png", "3.png"]
    assert names(newest=True, limit=2) == ["4.png", "5.png"]
    assert names(start=T0 + timedelta(seconds=2), end=T0 + timedelta(seconds=4)) == ["2.png", "3.png"]
    assert names(not_subjects=("plume",)) == ["4.png"]
    assert names(device="camera-off") == ["4.png"]
    third = catalogue.by_origin("etna", "lead/3/x")
    assert third is not None
    assert names(after=third.id, kind="frame") == ["1.png", "2.png", "4.png"], "in order of arrival"
    catalogue.set_state(third.id, "damaged")
    assert names(state="damaged") == ["3.png"]
    assert catalogue.file_counts("etna") == {
        ("frame", "kept"): (3, 27),
        ("frame", "damaged"): (1, 9),
        ("spectrum", "kept"): (1, 9),
    }
    window = {"start": T0 - timedelta(days=1), "end": T0 + timedelta(days=1)}
    assert catalogue.days_with("etna", "frame", "dark", **window) == ["2026-03-01"]
    assert catalogue.days_with("etna", "frame", "clear", **window) == []


def test_a_run_is_given_again_what_it_was_given(catalogue: Catalogue) -> None:
    run = catalogue.begin_run("etna", "2026-03-01", "live", settings_sha256="s", software_version="1", inputs=[4, 2])
    assert catalogue.open_run("etna") == run == catalogue.last_run("etna", "2026-03-01")
    catalogue.feed(run.id, file=7)
    catalogue.feed(run.id, until=T0)
    catalogue.feed_files(run.id, [5, 6])
    fed = catalogue.fed(run.id)
    assert [(one.file, one.until) for one in fed] == [(7, None), (None, T0), (5, None), (6, None)]
    catalogue.note_unused(run.id, [(5, "late")])
    assert catalogue.unused(run.id) == [(5, "late")]
    with pytest.raises(So2camError):
        catalogue.feed(run.id, file=7)
    second = catalogue.begin_run("etna", "2026-03-02", "live", settings_sha256="s", software_version="1", inputs=[])
    assert catalogue.open_run("etna") == second
    catalogue.end_run(second.id)
    assert catalogue.open_run("etna") is None


def test_rates_are_kept_to_the_last_bit(catalogue: Catalogue) -> None:
    value = 0.1 + 0.2
    pairs = [
        PairRow(T0 + timedelta(seconds=n), n, f'{{"n": {n}}}', (rate(T0 + timedelta(seconds=n), value * n),))
        for n in range(1, 4)
    ]
    catalogue.add_pairs("etna", 1, pairs)
    catalogue.add_pairs("etna", 1, pairs)
    found = catalogue.rates("etna")
    assert [one.rate for one in found] == [value, value * 2, value * 3]
    assert found[0] == pairs[0].rates[0]
    window = {"start": T0, "end": T0 + timedelta(seconds=3)}
    assert [pair.record for pair in catalogue.pairs("etna", **window)] == ['{"n": 1}', '{"n": 2}']
    assert catalogue.count_pairs("etna", **window) == 2
    assert [one.time for one in catalogue.rates("etna", newest=True, limit=1)] == [T0 + timedelta(seconds=3)]
    assert catalogue.rates("etna", line="elsewhere") == []

    bad = T0 + timedelta(seconds=4)
    catalogue.add_pairs("etna", 1, [PairRow(bad, 0, "{}", (rate(bad, None, status=5),))])
    assert [one.status for one in catalogue.latest_rates("etna")] == [5]
    assert [one.rate for one in catalogue.latest_rates("etna", valid=True)] == [value * 3]
    assert catalogue.latest_rates("other") == []
    catalogue.add_pairs("etna", 1, [PairRow(bad, 0, "{}", (rate(bad, 9.0, line="other"),))])
    assert [one.line for one in catalogue.latest_rates("etna")] == ["other"], "lines of before are gone"


def test_a_day_is_replaced_whole(catalogue: Catalogue) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    window = {"start": day, "end": day + timedelta(days=1)}
    old = [PairRow(T0 + timedelta(seconds=n), 0, "{}", (rate(T0 + timedelta(seconds=n)),)) for n in range(3)]
    next_day = PairRow(T0 + timedelta(days=1), 0, "{}", (rate(T0 + timedelta(days=1)),))
    catalogue.add_pairs("etna", 1, [*old, next_day])
    catalogue.mark_stale("etna", "2026-03-01", "late files")
    (stale,) = catalogue.days("etna", stale=True)
    assert (stale.day, stale.reason, stale.revision) == ("2026-03-01", "late files", 0)
    catalogue.replace_day("etna", "2026-03-01", 2, [replace(old[1], flags=7)], **window)
    assert [pair.flags for pair in catalogue.pairs("etna", **window)] == [7]
    assert [one.time for one in catalogue.rates("etna")] == [old[1].time, next_day.time]
    fresh = catalogue.day("etna", "2026-03-01")
    assert fresh is not None
    assert (fresh.revision, fresh.stale_since) == (1, None)
    assert [one.day for one in catalogue.days("etna")] == ["2026-03-01", "2026-03-02"]


def test_days_have_files_whether_or_not_they_have_results(catalogue: Catalogue) -> None:
    day = 24 * 3600
    for number, kind in ((0, "frame"), (1, "frame"), (3 * day, "spectrum"), (4 * day, "health"), (9 * day, "frame")):
        catalogue.add_file(numbered(number, kind=kind))
    catalogue.add_file(numbered(5 * day, site="other"))
    assert catalogue.days_of("etna", ("frame", "spectrum")) == ["2026-03-01", "2026-03-04", "2026-03-10"]
    assert catalogue.days_of("etna", ("spectrum",)) == ["2026-03-04"]
    assert catalogue.days_of("nowhere", ("frame",)) == catalogue.days("etna") == []


def test_of_two_pairs_of_one_time_the_valid_one_is_kept(catalogue: Catalogue) -> None:
    valid = PairRow(T0, 1, "valid", (rate(T0), rate(T0, line="near")))
    late = PairRow(T0, 2, "late", (rate(T0, None, status=13), rate(T0, None, line="near", status=13)))
    none = PairRow(T0, 3, "no plume", (rate(T0, None, status=14), rate(T0, None, line="near", status=14)))
    window = {"start": T0, "end": T0 + timedelta(days=1)}
    for given, kept in (([valid, late], "valid"), ([late, valid], "valid"), ([none, late], "no plume")):
        catalogue.replace_day("etna", "2026-03-01", 1, given, **window)
        assert [pair.record for pair in catalogue.pairs("etna", **window)] == [kept]
        assert {one.status for one in catalogue.rates("etna")} == {0 if kept == "valid" else 14}
    row = ColumnRow(T0, "s.npy", 1.0, 1.0, None, 0)
    catalogue.add_columns("etna", [row, replace(row, so2=2.0)])
    assert [one.so2 for one in catalogue.columns("etna", **window)] == [2.0]


def test_the_columns_of_a_day_are_replaced_with_its_pairs(catalogue: Catalogue) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    window = {"start": day, "end": day + timedelta(days=1)}
    gone, next_day = (ColumnRow(time, "s.npy", 1.0, 1.0, None, 0) for time in (T0, T0 + timedelta(days=1)))
    catalogue.add_columns("etna", [gone, next_day])
    new = replace(gone, time=T0 + timedelta(seconds=1))
    catalogue.replace_day("etna", "2026-03-01", 1, [PairRow(T0, 0, "{}")], columns=[new], **window)
    assert catalogue.columns("etna", start=day, end=day + timedelta(days=2)) == [new, next_day]
    broken = replace(new, file=None)  # type: ignore[arg-type]
    with pytest.raises(CatalogueError):
        catalogue.replace_day("etna", "2026-03-01", 1, [], columns=[broken], **window)
    assert catalogue.count_pairs("etna", **window) == 1, "both or neither"
    assert catalogue.columns("etna", **window) == [new]


def test_results_are_from_the_last_run_that_made_any(catalogue: Catalogue) -> None:
    day = "2026-03-01"
    window = {"start": datetime(2026, 3, 1, tzinfo=UTC), "end": datetime(2026, 3, 2, tzinfo=UTC)}

    def begin(kind: str) -> Run:
        return catalogue.begin_run("etna", day, kind, settings_sha256="s", software_version="1", inputs=[])

    assert catalogue.last_result_run("etna", day) is None
    live = begin("live")
    for state in ("failed", "stopped"):
        catalogue.end_run(begin("recalculation").id, state)
    again = begin("recalculation")
    assert catalogue.last_result_run("etna", day) == live, "a live run has results while it is under way"
    catalogue.replace_day("etna", day, again.id, [PairRow(T0, 0, "{}")], **window)
    assert catalogue.last_result_run("etna", day) == replace(again, state="ended")


def test_columns_and_health(catalogue: Catalogue) -> None:
    row = ColumnRow(T0, "s.npy", 1.5e17, 2e15, None, 0)
    catalogue.add_columns("etna", [row])
    catalogue.add_columns("etna", [replace(row, so2=None, status=3)])
    window = {"start": T0, "end": T0 + timedelta(seconds=1)}
    assert catalogue.columns("etna", **window) == [replace(row, so2=None, status=3)]
    for second in (0, 2, 1):
        catalogue.add_health("etna", "lead", T0 + timedelta(seconds=second), f'{{"second": {second}}}')
    assert catalogue.latest_health("etna") == {"lead": (T0 + timedelta(seconds=2), '{"second": 2}')}
    assert [record for _, _, record in catalogue.health("etna", **window)] == ['{"second": 0}']


def test_many_writers_at_once_lose_nothing(catalogue: Catalogue) -> None:
    errors: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for number in range(10):
                catalogue.add_file(numbered(number))  # all the same files
                catalogue.add_file(numbered(1000 + 10 * worker + number))
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(catalogue.find_files("etna")) == 50


def test_what_is_not_committed_is_not_there(catalogue: Catalogue) -> None:
    from so2cam.station.catalogue_schema import META

    def write_half() -> None:
        with catalogue.database.write() as connection:
            connection.execute(META.insert().values(key="half", value="done"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    with catalogue.database.read() as connection:
        assert "half" not in {row.key for row in connection.execute(META.select())}


def test_a_catalogue_of_another_format_is_refused(tmp_path: Path) -> None:
    from so2cam.station.catalogue_schema import META

    with Catalogue.open(None, tmp_path) as first, first.database.write() as connection:
        connection.execute(META.update().values(value="99"))
    with pytest.raises(CatalogueError, match="another format"):
        Catalogue.open(None, tmp_path)


@pytest.mark.parametrize(
    "url",
    ["postgresql://nobody@127.0.0.1:1/none", "nonsense", "mysql+nothing://host/x"],
    ids=["nobody", "none", "kind"],
)
def test_a_database_that_is_not_there_is_one_clear_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as caught:
        Catalogue.open(url, tmp_path)
    assert "\n" not in caught.value.message
