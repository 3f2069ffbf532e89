"""What stands in the address of the archive page, and its calendar and table in words."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.status import QualityFlag
from so2cam.station.archive_view import DayContent, FoundFile
from so2cam.station.catalogue import ArchivedFile, ColumnRow, Rate
from so2cam.web.archive_state import SHARES, STATES, WHAT, ArchiveState, address_of, minute_text, read_state
from so2cam.web.archive_words import calendar_html, day_words, files_html, first_of, level_of, quality_html, shifted

T0 = datetime(2026, 3, 1, 12, 0, 7, 500_000, tzinfo=UTC)
FILE = ArchivedFile(
    7, "hill", "a/1", "a", "frame", "plume", "camera-on", T0, T0, "x", "<a>.png", 1000, "0", "a.json", 9, "1", "kept"
)
minutes = st.none() | st.integers(0, 10_000_000).map(lambda n: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=n))
flags = st.integers(0, 2 * max(QualityFlag) - 1)
states = st.builds(
    ArchiveState,
    everywhere=st.booleans(),
    start=minutes,
    end=minutes,
    what=st.sampled_from([key for key, _ in WHAT]),
    state=st.sampled_from(list(STATES)),
    valid=st.booleans(),
    with_flags=flags,
    without_flags=flags,
    share=st.sampled_from([int(share) for share in SHARES]),
    method=st.sampled_from(["", "flow_hybrid"]),
    page=st.integers(0, 2000),
)


@given(state=states)
def test_an_address_says_all_that_is_looked_for(state: ArchiveState) -> None:
    if state.start is not None and state.end is not None and state.end <= state.start:
        state = replace(state, end=None)
    assert read_state({key: value for key, value in address_of(state).items() if value}) == state


@pytest.mark.parametrize(
    "query",
    [
        {"start": "yesterday", "with": "-1", "share": "30", "what": "cats", "state": "x", "page": "9" * 40},
        {"start": "2026-03-02T00:00", "end": "2026-03-01T00:00", "valid": "yes"},
        {"with": str(1 << 30)},
    ],
)
def test_what_an_address_says_wrongly_is_left_out(query: dict[str, str]) -> None:
    found = read_state(query)
    assert (found.what, found.state, found.share, found.page, found.with_flags) == ("all", "", 0, 0, 0)
    assert found.end is None
    assert not found.valid


def test_days_are_picked_whole() -> None:
    state = ArchiveState(page=4).on(date(2026, 3, 2))
    assert (state.day, state.page) == (date(2026, 3, 2), 0)
    wider = state.on(date(2026, 3, 4), date(2026, 3, 2))
    assert wider.day is None
    assert address_of(wider)["start"] == "2026-03-02T00:00"
    assert address_of(wider)["end"] == "2026-03-05T00:00"
    assert minute_text(T0) == "2026-03-01T12:00"
    assert minute_text(T0, up=True) == "2026-03-01T12:01"


def test_the_calendar_has_whole_months_and_says_how_good_a_day_was() -> None:
    assert first_of("", date(2026, 3, 9)) == date(2026, 1, 1)
    assert first_of("2025-02", date(2026, 3, 9)) == date(2024, 12, 1)
    assert first_of("2025-13", date(2026, 3, 9)) == first_of("nonsense", date(2026, 3, 9)) == date(2026, 1, 1)
    assert shifted(date(2026, 1, 1), -13) == date(2024, 12, 1)
    good = DayContent(date(2026, 2, 3), frames=20, spectra=1, bytes=4000, pairs=10, good=9)
    bare = DayContent(date(2026, 3, 31), frames=2, bytes=400)
    html = calendar_html(date(2026, 1, 1), {good.day: good, bare.day: bare}, (date(2026, 3, 30), date(2026, 3, 31)))
    assert html.count('class="so-cal-month"') == 3
    assert 'data-day="2026-02-03" data-level="4"' in html
    assert "9 of 10 pairs good (90 %)" in html
    assert 'data-day="2026-03-31" data-level="none" data-testid="day-2026-03-31" aria-pressed="true"' in html
    assert html.count("is-chosen") == 1
    assert [level_of(replace(good, good=number)) for number in (0, 2, 3, 5, 8, 10)] == ["0", "0", "1", "2", "3", "4"]
    assert day_words(bare) == "2 frames, 0 spectra, 400 B, no results"


def rate(value: float | None, status: int) -> Rate:
    return Rate(T0, "total", "flow", value, 0.3, 0.4, None, None, None, None, status)


def test_a_file_is_worth_what_its_pair_gave() -> None:
    assert "<b>4.20</b> ± 0.50 kg/s" in quality_html(FoundFile(FILE, T0, 0, rate(4.2, 0)))
    missing = quality_html(FoundFile(FILE, T0, int(QualityFlag.SUN_IN_VIEW), rate(None, 2)))
    assert "too little plume-free sky" in missing
    assert "the sun stands in the image" in missing
    assert "no result" in quality_html(FoundFile(FILE))
    assert "no rate yet" in quality_html(FoundFile(FILE), FILE.received + timedelta(seconds=5))
    assert quality_html(FoundFile(replace(FILE, subject="dark"))) == "–"
    assert "column valid" in quality_html(FoundFile(FILE, column=ColumnRow(T0, "a", 1e17, 1e15, None, 0)))
    assert "no column" in quality_html(FoundFile(FILE, column=ColumnRow(T0, "a", None, None, None, 2)))


def test_names_in_the_table_are_only_text() -> None:
    faulty = replace(FILE, id=8, state="damaged", sidecar=None, device="<script>")
    html = files_html([FoundFile(FILE), FoundFile(faulty)], {7}, several=True, spectra=False)
    assert "<script>" not in html
    assert "<a>.png" not in html
    assert html.count(" checked>") == 1
    assert html.count("/sidecar") == 1
    assert html.count('data-open="') == 2
    assert 'data-state="bad"' in html


def test_a_spectrum_leads_to_its_page() -> None:
    spectrum = FoundFile(replace(FILE, kind="spectrum"))
    there = files_html([spectrum], (), several=False, spectra=True)
    assert 'href="/spectra?site=hill&amp;t=2026-03-01T12%3A00%3A07.500Z"' in there
    assert "/spectra" not in files_html([spectrum], (), several=False, spectra=False)
