"""Areas of sky as people draw them, and work of which the latest counts."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.site_processing import Background
from so2cam.formats.siteedit import MISSING, edit_text
from so2cam.formats.sitefile import load_site_text
from so2cam.station.drafts import SiteDraft
from so2cam.web.background_words import (
    AREA_COLOURS,
    AREA_WORDS,
    MODE_WORDS,
    NEEDS,
    area_from_points,
    area_shape,
    skyline_from_points,
)
from so2cam.web.latest import Latest
from so2cam.web.line_edits import PAIR, TOTAL, removal, renaming
from so2cam.web.line_shapes import colours_of

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "etna" / "site.toml"
MODES = tuple(Background.model_fields["mode"].annotation.__args__)  # type: ignore[union-attr]


def test_every_mode_and_area_has_its_words() -> None:
    assert set(MODE_WORDS) == set(MODES)
    assert set(NEEDS) < set(MODES)
    areas = {name for name in Background.model_fields if name.endswith(("rectangle", "profile"))}
    assert set(AREA_WORDS) == set(AREA_COLOURS) == areas
    assert {key for needed in NEEDS.values() for key in needed} == areas


@pytest.mark.parametrize(
    ("key", "points", "value", "corners"),
    [
        ("scale_rectangle", [(30.4, 40.0), (10.0, 20.6)], [10, 21, 30, 40], (10, 21, 30, 40)),
        ("y_profile", [(10.0, 50.0), (14.0, 20.0)], [12, 20, 50], (12, 20, 12, 50)),
        ("x_profile", [(50.0, 10.0), (20.0, 14.0)], [12, 20, 50], (20, 12, 50, 12)),
    ],
)
def test_an_area_is_written_as_the_site_file_has_it(
    key: str, points: list[tuple[float, float]], value: list[int], corners: tuple[int, int, int, int]
) -> None:
    assert area_from_points(key, points) == value
    Background.model_validate({key: value})
    _, shown = area_shape(key, corners)
    assert area_from_points(key, [(x, y) for x, y in shown]) == value


def test_a_skyline_runs_from_left_to_right() -> None:
    assert skyline_from_points([(50.0, 3.0), (10.0, 2.0), (50.0, 4.0)]) == [[10.0, 2.0], [50.0, 4.0]]


def test_lines_have_colours_in_their_order() -> None:
    names = [f"line-{number}" for number in range(8)]
    assert colours_of(names)["line-0"] == colours_of(names)["line-6"]
    assert len(set(list(colours_of(names).values())[:6])) == 6


def test_of_work_asked_for_often_the_latest_is_done(run_async: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    done: list[int] = []
    wanted = 0

    async def run() -> None:
        gate = asyncio.Event()

        async def work() -> None:
            seen = wanted
            await gate.wait()
            done.append(seen)

        latest = Latest(work)

        async def ask(number: int) -> None:
            nonlocal wanted
            wanted = number
            await latest.ask()

        asked = [asyncio.create_task(ask(number)) for number in range(1, 6)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*asked)

    run_async(run())
    assert done == [1, 5]


def test_a_line_is_renamed_and_removed_wherever_it_is_named(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    name = load_site_text(text, EXAMPLE).site.lines[0].name
    text = edit_text(
        text,
        [
            (TOTAL, [name]),
            (("lines", "second"), {"name": "second", "start": [10.0, 10.0], "end": [10.0, 60.0], "normal": "left"}),
            (PAIR, [name, "second"]),
            (("alarms", "rules"), [{"name": "much", "type": "emission-rate", "line": name, "above": 5.0}]),
        ],
    )
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    draft = SiteDraft(path, tmp_path / "draft")
    renamed = draft.change(renaming(draft.state(), name, "first"), by="somebody")
    assert renamed.problem is None
    assert renamed.loaded.site.lines[0].name == "first"
    assert renamed.written(TOTAL) == ["first"]
    assert renamed.written(PAIR) == ["first", "second"]
    assert renamed.written(("alarms", "rules", "much", "line")) == "first"
    removed = draft.change(removal(renamed, "second"), by="somebody")
    assert removed.problem is None
    assert removed.written(PAIR) is MISSING
    assert removed.written(TOTAL) == ["first"]
