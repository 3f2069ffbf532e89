"""The choice of a day on set-up pages: days with files, whether or not they have results."""

from pathlib import Path
from typing import Any

import pytest

from so2cam.station.catalogue import Catalogue, NewFile
from so2cam.station.references import day_bounds
from so2cam.web.setup_range import RangeBar


def add(catalogue: Catalogue, site: str, day: str, kind: str = "frame") -> None:
    time = day_bounds(day)[0]
    catalogue.add_file(NewFile(site, f"{kind}/{day}", "lead", kind, "plume", "", time, day, kind, 9, "0" * 64))


@pytest.mark.parametrize(
    ("asked", "chosen"), [("2026-03-01", "2026-03-01"), ("2026-04-01", "2026-03-02"), ("", "2026-03-02")]
)
def test_days_are_those_with_files_and_are_looked_up_again(desk: Any, tmp_path: Path, asked: str, chosen: str) -> None:
    desk.query["day"] = asked

    async def nobody() -> None:
        raise AssertionError("nobody chose another range")

    async def work(view: Any, _: Any) -> None:
        bar = RangeBar(view, nobody)
        assert "no frames" in bar.why
        await bar.look()
        assert (bar.day, bar.bounds) == ("", None)
        assert "no frames" in bar.why
        for day, kind in (("2026-03-01", "frame"), ("2026-03-02", "spectrum"), ("2026-03-03", "health")):
            add(desk.context.catalogue, desk.name, day, kind)
        await bar.look()
        assert (bar.day, bar.bounds) == (chosen, day_bounds(chosen))
        add(desk.context.catalogue, desk.name, "2026-03-05")
        await bar.look()
        assert list(bar._days.options) == ["2026-03-05", "2026-03-02", "2026-03-01"]
        assert bar.day == bar._days.value == chosen, "the day that is looked at stays"
        bar._from.value = "noon"
        assert bar.bounds is None
        assert "Times" in bar.why

    with Catalogue.open(None, tmp_path) as desk.context.catalogue:
        desk.run(work)
