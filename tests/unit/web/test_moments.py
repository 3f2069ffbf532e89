"""Fields for moments: ISO and 24 hours whatever a browser speaks; lenient to type in, clear about what is wrong."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import so2cam
from so2cam.core.errors import InputError
from so2cam.web.moments import END_FIRST, MomentField, Precision, moment_text, need_span, read_moment, read_time_of_day

AT = datetime(2026, 11, 28, 13, 5, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28 13:05",
        "2026-11-28T13:05",
        "2026-11-28T13:05:00Z",
        " 2026-11-28  13:05:00.250 ",
        "2026-11-28 13:05 UTC",
        "2026-11-28t13:05z",
        "2026\u201111\u201128 13:05",
    ],
)
def test_moments_are_read_as_people_write_them(text: str) -> None:
    assert read_moment(text) == AT


@pytest.mark.parametrize(
    ("text", "precision", "last", "found"),
    [
        ("", "second", False, None),
        ("  ", "day", True, None),
        ("2026-11-28", "minute", False, MIDNIGHT),
        ("2026-11-28", "minute", True, MIDNIGHT + timedelta(days=1)),
        ("2026-11-28 00:00", "minute", True, MIDNIGHT),
        ("2026-11-28 24:00", "second", True, MIDNIGHT + timedelta(days=1)),
        ("2026-1-2 3:04", "second", False, datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-11-28 13:05:59", "minute", False, AT),
        ("2026-11-28T13:05", "day", True, MIDNIGHT),
    ],
)
def test_what_is_left_out_is_filled_up(text: str, precision: Precision, last: bool, found: datetime | None) -> None:
    assert read_moment(text, precision, last=last) == found


@pytest.mark.parametrize(
    "text",
    ["noon", "28.11.2026", "11/28/2026, 1:05 PM", "2026-13-01", "2026-11-28 24:01", "2026-11-28 13:60", "2026-11-28 5"],
)
@pytest.mark.parametrize("precision", ["day", "minute", "second"])
def test_what_is_no_moment_is_refused_with_an_example(text: str, precision: Precision) -> None:
    with pytest.raises(InputError, match="like 2026-11-28"):
        read_moment(text, precision)


def test_an_example_of_a_message_can_be_read() -> None:
    for precision in ("day", "minute", "second"):
        with pytest.raises(InputError) as refused:
            read_moment("?", precision)
        example = refused.value.message.partition("like ")[2]
        assert moment_text(read_moment(example, precision), precision) == example


@pytest.mark.parametrize(("text", "minutes"), [("14:05", 845), (" 4:05:30 ", 245.5), ("24:00", 1440), ("00:00Z", 0)])
def test_times_of_day(text: str, minutes: float) -> None:
    assert read_time_of_day(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "2 PM", "24:01", "14.05", "14:05:60"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="14:05"):
        read_time_of_day(text)


def test_a_field_shows_iso_and_tells_only_of_another_moment(desk: Any) -> None:
    told: list[str] = []

    async def work(_: Any, __: Any) -> None:
        field = MomentField(
            "From, UTC", test="from", value="2026-11-28T13:05", on_change=lambda: told.append(field.text)
        )
        assert (field.text, field.address) == ("2026-11-28 13:05", "2026-11-28T13:05")
        field._box.value = "2026-11-28T13:05:10"
        await field._typed()
        assert (field.text, told) == ("2026-11-28 13:05", [])
        field._box.value = "2026-11-29"
        await field._typed()
        assert told == ["2026-11-29 00:00"]
        field._box.value = "11/29/2026, 1:05 PM"
        await field._typed()
        assert field.text == "11/29/2026, 1:05 PM", "what somebody typed stays, to be corrected"
        assert field._box.error == "Must be a time like 2026\u201111\u201128 13:05."
        assert told == ["2026-11-29 00:00"]
        field.set(None)
        assert (field.text, field._box.error, field.time()) == ("", None, None)
        with pytest.raises(InputError, match="must be a time like"):
            field.need()

    desk.run(work)


def test_a_day_of_the_calendar_keeps_the_time_of_day(desk: Any) -> None:
    async def work(_: Any, __: Any) -> None:
        start, end = MomentField("From", test="from", value=AT), MomentField("To", test="to", last=True)
        for field, text in ((start, "2026-11-30 13:05"), (end, "2026-12-01 00:00")):
            assert field._calendar.value == ("2026-11-28" if field is start else None)
            with field._menu.client:
                field._calendar.value = "2026-11-30"
                await field._picked()
            assert field.text == text

    desk.run(work)


def test_a_range_ends_after_it_begins(desk: Any) -> None:
    async def work(_: Any, __: Any) -> None:
        start, end = MomentField("From", test="from", value=AT), MomentField("To", test="to", value=AT)
        with pytest.raises(InputError, match="after the start"):
            need_span(start, end)
        assert end._box.error == END_FIRST
        end.set(AT + timedelta(hours=1))
        assert need_span(start, end) == (AT, AT + timedelta(hours=1))

    desk.run(work)


def test_no_page_has_a_field_that_follows_the_browsers_language() -> None:
    folder = Path(so2cam.__file__).parent
    native = re.compile(r"""type=["']?(datetime-local|date|time|month|week)\b|toLocale\w*\((?!"sv-SE")""")
    found = [
        f"{path.relative_to(folder)}: {line.strip()}"
        for part in ("web", "pages")
        for path in sorted((folder / part).rglob("*"))
        if path.suffix in (".py", ".js", ".html")
        for line in path.read_text(encoding="utf-8").splitlines()
        if native.search(line)
    ]
    assert found == []
