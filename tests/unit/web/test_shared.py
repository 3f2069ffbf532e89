"""Values that all who look share: worked out once, let go when old; notices of changes."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from so2cam.web.shared import Notices, SharedValues

RunAsync = Callable[[Coroutine[Any, Any, None]], None]


def test_many_who_ask_at_once_cost_one_work(run_async: RunAsync) -> None:
    now = [0.0]
    calls: list[int] = []
    release = threading.Event()

    def work() -> int:
        calls.append(1)
        assert release.wait(20)
        return len(calls)

    async def ask() -> None:
        values = SharedValues(lambda: now[0])
        waiting = [asyncio.create_task(values.get("a", 1.0, work)) for _ in range(5)]
        await asyncio.sleep(0)
        release.set()
        assert await asyncio.gather(*waiting) == [1] * 5
        now[0] = 0.9
        assert await values.get("a", 1.0, work) == 1
        now[0] = 1.1
        assert await values.get("a", 1.0, work) == 2
        now[0] = 9.0
        assert await values.get("b", 1.0, work) == 3
        assert len(values) == 1  # the old one is let go
        assert await values.get("c", 0.0, work) == 4
        assert len(values) == 1  # and what is never fresh is not kept

    run_async(ask())


def test_what_fails_is_told_to_all_and_tried_again(run_async: RunAsync) -> None:
    def fails() -> int:
        raise ValueError("no")

    async def ask() -> None:
        values = SharedValues(lambda: 0.0)
        found = await asyncio.gather(*(values.get("a", 1.0, fails) for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in found] == ["no"] * 3
        assert await values.get("a", 1.0, lambda: 5) == 5, "worked out anew, however fresh the failure is"
        assert await values.get("a", 1.0, fails) == 5

    run_async(ask())


def test_notices_count_changes() -> None:
    notices = Notices()
    assert notices.number("a") == 0
    assert notices.tell("a") == 1
    assert notices.tell("b") == 1
    assert notices.number("a") == 1


def test_a_path_and_keys_are_given_once() -> None:
    from so2cam.web import registry

    pages = registry.all_pages()
    assert len({spec.path for spec in pages}) == len(pages)
    keys = [spec.keys for spec in pages if spec.keys]
    assert len(set(keys)) == len(keys)
    assert pages[0].path == "/"
    with pytest.raises(ValueError, match="two pages are at /"):
        registry.page("/", title="Another")(lambda _view: None)
