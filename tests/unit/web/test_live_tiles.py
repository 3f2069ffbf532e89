"""The tiles of the live page: a value that is refused says why, one that grows old says how old it may become."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from nicegui import Client, core, ui

from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.core.times import format_utc
from so2cam.station.catalogue import TOTAL, Rate
from so2cam.station.live_look import LiveLook
from so2cam.web.live_tiles import STALE_S, RateTiles
from so2cam.web.parts import MISSING

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD = Rate(NOW, "upstream", "flow_raw", 4.0, 0.3, 0.4, 9.0, 0.5, 300.0, 0.44, 0)
WHY = EmissionStatus.FLOW_UNRELIABLE
REFUSED = replace(
    GOOD, rate=None, random=None, systematic=None, speed=None, speed_uncertainty=None, direction=None, status=WHY
)


def look(*rates: Rate, flags: tuple[str, ...] = ()) -> LiveLook:
    return LiveLook(NOW, rates, flags, None, None, None, None, (), ())


class Seen:
    """What stands on the tiles, by the test ids of the page."""

    def __init__(self, client: Client) -> None:
        self._elements = client.elements

    def element(self, test: str) -> Any:
        return next(one for one in self._elements.values() if one.props.get("data-testid") == test)

    def text(self, test: str) -> str:
        return str(self.element(test).text)

    def ago(self, test: str) -> dict[str, Any]:
        return next(dict(one.props) for one in self.element(test).descendants() if one.tag == "time")


@pytest.fixture
def tiles(run_async: Callable[[Coroutine[Any, Any, None]], None]) -> Callable[..., None]:
    """A function that has ``work(tiles, seen)`` done with the tiles of two lines."""

    def run(work: Callable[[RateTiles, Seen], None]) -> None:
        async def inside() -> None:
            before, core.loop = core.loop, asyncio.get_running_loop()
            client = Client(ui.page("/nowhere"))
            try:
                with client:
                    work(RateTiles(["upstream", "downstream"], "upstream", "flow_raw"), Seen(client))
            finally:
                client.delete()
                core.loop = before

        run_async(inside())

    return run


def test_a_value_that_is_refused_is_missing_and_says_why(tiles: Callable[..., None]) -> None:
    def work(shown: RateTiles, seen: Seen) -> None:
        shown.show(look(REFUSED))
        for test in ("rate", "speed", "direction"):
            assert seen.text(f"{test}-value") == MISSING
            assert seen.text(f"{test}-why") == STATUS_TEXT[WHY]
            assert seen.element(f"{test}-why").visible
            assert "is-missing" in seen.element(test).classes
        assert (seen.text("amount-value"), seen.text("amount-why")) == ("0.440", "")  # which is known
        shown.show(look(GOOD, flags=("the sky is uneven",)))
        assert (seen.text("rate-value"), seen.text("rate-why")) == ("4.00", "the sky is uneven")
        assert (seen.text("speed-value"), seen.text("speed-why")) == ("9.00", "")
        assert not seen.element("speed-why").visible
        assert "is-missing" not in seen.element("rate").classes

    tiles(work)


def test_a_value_has_the_age_from_which_it_looks_stale(tiles: Callable[..., None]) -> None:
    def work(shown: RateTiles, seen: Seen) -> None:
        shown.show(look(GOOD))
        for test in ("rate", "amount", "speed", "direction"):
            assert seen.element(test).props["data-ages"]
            assert seen.ago(test)["data-time"] == format_utc(NOW)
            assert float(seen.ago(test)["data-stale"]) == STALE_S

    tiles(work)


def test_nothing_of_another_line_stays_where_a_line_has_no_values(tiles: Callable[..., None]) -> None:
    def work(shown: RateTiles, seen: Seen) -> None:
        shown.show(look(GOOD, replace(GOOD, line=TOTAL)))
        assert seen.text("speed-value") == "9.00"
        shown.choose(line="downstream")
        for test in ("rate", "amount", "speed", "direction"):
            assert seen.text(f"{test}-value") == MISSING
            assert "data-time" not in seen.ago(test)
        assert seen.text("column-more") == "no spectra"

    tiles(work)
