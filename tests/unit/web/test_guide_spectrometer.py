"""The guide's step of the spectrometer: what a person says of it goes into the draft."""

from typing import Any

import pytest

from so2cam.station.spectrometer_choice import SOURCE, TABLE, chosen
from so2cam.web import guide_spectrometer
from so2cam.web.guide_spectrometer import SpectrometerStep


def pressed(step: SpectrometerStep) -> list[str]:
    return [key for key, button in step._choice._buttons.items() if button.props["aria-pressed"] == "true"]


def test_who_says_that_there_is_one_gets_its_table_and_its_keys(desk: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        view.link = lambda path, **_: path
        desk.change({SOURCE: "spectrometer"})
        step = SpectrometerStep(view, setup)
        assert pressed(step) == []
        assert not step._keys.visible
        await step._chosen("yes")
        assert setup.state.problem is None
        assert setup.site.spectrometer is not None
        assert pressed(step) == ["yes"]
        assert step._keys.visible
        names = {one.path for one in setup.fields_}
        assert {(*TABLE, "line_shape", "width_nm"), (*TABLE, "files", "format")} <= names

    desk.run(work)


def test_who_says_that_there_is_none_is_asked_before_a_table_goes(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, True]

    async def ask(*_: object, **__: object) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(guide_spectrometer, "ask", ask)

    async def work(view: Any, setup: Any) -> None:
        view.link = lambda path, **_: path
        desk.change({(*TABLE, "line_shape", "width_nm"): 0.55, SOURCE: "joint"})
        step = SpectrometerStep(view, setup)
        await step._chosen("no")
        assert (chosen(setup.state), pressed(step)) == ("yes", ["yes"])
        await step._chosen("no")
        assert (chosen(setup.state), pressed(step), setup.value(SOURCE)) == ("no", ["no"], "cells")
        assert not step._keys.visible
        assert setup.state.problem is None

    desk.run(work)
