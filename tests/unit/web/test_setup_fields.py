"""Fields of the site file's keys: what is typed, what they had before them, and names that hold more than a name."""

import ast
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from nicegui import Client, ui

import so2cam.web
from so2cam.core.errors import InputError
from so2cam.core.site_keys import key_info
from so2cam.formats.siteedit import MISSING, KeyPath
from so2cam.station.draft_edits import DraftState
from so2cam.station.drafts import DraftConflict, SiteDraft
from so2cam.web.parts import Choice, panel
from so2cam.web.setup import Setup
from so2cam.web.setup_fields import BoundField, toml_value, understood, written

RunAsync = Callable[[Coroutine[Any, Any, None]], None]
TEXT = (Path(__file__).parents[3] / "examples" / "villarrica" / "site.toml").read_text(encoding="utf-8")
ELEVATION: KeyPath = ("camera", "view", "elevation_deg")
HEIGHT: KeyPath = ("camera", "optics", "height_px")
EVIL = "a innerHTML='<img src=x onerror=alert(1)>' b\\"


class OneSetup:
    """What a field needs of the set-up pages: a draft, and somebody who may change it and is asked on conflicts."""

    def __init__(self, folder: Path) -> None:
        (folder / "site.toml").write_text(TEXT, encoding="utf-8")
        self.draft = SiteDraft(folder / "site.toml", folder / "setup")
        self.may_edit = True
        self.asked: list[KeyPath] = []

    @property
    def state(self) -> DraftState:
        return self.draft.state()

    async def change(
        self, changes: Mapping[KeyPath, Any], what: str = "", *, seen: Mapping[KeyPath, Any] | None = None
    ) -> bool:
        try:
            self.draft.change(changes, by="Ann", what=what, seen=seen)
        except DraftConflict as conflict:
            self.asked.append(conflict.path)
            return False
        return True


@contextmanager
def on_a_page() -> Iterator[None]:
    client = Client(ui.page("/of-a-test"), request=None)
    try:
        with client:
            yield
    finally:
        client.delete()


@pytest.fixture
def setup(tmp_path: Path) -> OneSetup:
    return OneSetup(tmp_path)


def field_of(setup: OneSetup, path: KeyPath) -> BoundField:
    return BoundField(cast(Setup, setup), path)


async def type_in(field: BoundField, text: str) -> None:
    field._focus()
    field.input.value = text
    await field._left()


def error_of(field: BoundField) -> str:
    return str(field._error.text) if field._error.visible else ""


def test_a_name_never_makes_another_property(setup: OneSetup, run_async: RunAsync) -> None:
    async def look() -> None:
        setup.draft.change({("lines", EVIL): {"name": EVIL}}, by="Eve")
        with on_a_page():
            for key in ("name", "role", "start", "normal"):
                field = field_of(setup, ("lines", EVIL, key))
                assert EVIL.replace("\\", "\\\\") in field.input.props["data-testid"]
                assert EVIL.replace("\\", "\\\\") in field.input.props["title"]
                for one in (field.input, field._error):
                    assert not {"innerHTML", "b", "onerror"} & set(one.props)
            box, _ = panel("a", test=EVIL)
            Choice([(EVIL, "words")], EVIL, lambda _: None, label=EVIL, test="choice")
            assert box.props["data-testid"] == EVIL

    run_async(look())


def test_a_field_says_its_unit_once(setup: OneSetup, run_async: RunAsync) -> None:
    paths: dict[KeyPath, tuple[str, str]] = {
        ("registration", "maximum_shift_px"): ("maximum shift", "px"),
        ("processing", "speed", "optical_flow", "acceptable_uncertainty_m_s"): ("acceptable uncertainty", "m/s"),
        ("processing", "calibration", "slope_molec_cm2"): ("slope", "molecules/cm²"),
        ("camera", "position", "latitude"): ("latitude", "°"),
        ("processing", "background", "order"): ("order", ""),
    }

    async def look() -> None:
        with on_a_page():
            for path, (words, unit) in paths.items():
                field = field_of(setup, path)
                assert (field.label, field.input.props.get("suffix", "")) == (words, unit)
                assert field.box.props["data-about"] == field.input.props["title"]

    run_async(look())


def test_properties_are_made_of_constants_only() -> None:
    """What else may stand in a string of properties: numbers, and words that the program itself gives."""
    allowed = {
        *("test", "number", "key", "side", "suffix", "do", "tool", "kind", "place", "props", "stale_s", "role.word"),
        *("take.number", "one.number", "record.id", "event.id", "event.level", "step.state", "step.key"),
        *("label", "_LONGEST_NOTE", "self._tab", "paths[0][-2]", "format_utc(time)", "spec.path.strip('/') or 'live'"),
        *("max(len(found) - 1, 1)", "state or 'none'"),
    }
    found = 0
    for path in sorted(Path(so2cam.web.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "props":
                parts = [part for given in node.args for part in ast.walk(given)]
                for part in (part for part in parts if isinstance(part, ast.FormattedValue)):
                    found += 1
                    said = ast.unparse(part.value)
                    fixed = isinstance(part.value, ast.IfExp) and isinstance(part.value.body, ast.Constant)
                    assert said in allowed or fixed, f"{path.name}:{node.lineno}: {said} belongs in put_props"
    assert found > 20


def test_a_field_repairs_what_was_out_of_limits(setup: OneSetup, run_async: RunAsync) -> None:
    async def repair() -> None:
        setup.draft.replace(TEXT.replace("elevation_deg = ", "elevation_deg = 2000.0 # "), "Ann", "the text")
        assert setup.state.problem is not None
        with on_a_page():
            field = field_of(setup, ELEVATION)
            await type_in(field, "10")
            assert setup.state.written(ELEVATION) == 10.0
            assert setup.state.problem is None
            assert error_of(field) == ""

    run_async(repair())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (ELEVATION, 18.123456789012345),
        (("processing", "calibration", "search", "start"), datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ],
)
def test_who_changes_what_is_shown_shortened_is_not_asked(
    setup: OneSetup, run_async: RunAsync, path: KeyPath, value: Any
) -> None:
    async def change() -> None:
        setup.draft.change({path: value}, by="Ann")
        with on_a_page():
            field = field_of(setup, path)
            await type_in(field, "10")
            assert setup.asked == []
            assert setup.state.written(path) in (10, "10")

    run_async(change())


def test_what_somebody_else_changed_meanwhile_is_asked(setup: OneSetup, run_async: RunAsync) -> None:
    async def change() -> None:
        with on_a_page():
            field = field_of(setup, ELEVATION)
            field._focus()
            field.input.value = "10"
            setup.draft.change({ELEVATION: 12.0}, by="Bob")
            field.update()  # somebody types here: it is left alone
            await field._left()
            assert setup.asked == [ELEVATION]
            assert setup.state.written(ELEVATION) == 12.0

    run_async(change())


def test_an_error_goes_when_the_old_value_is_typed_again(setup: OneSetup, run_async: RunAsync) -> None:
    async def change() -> None:
        with on_a_page():
            field = field_of(setup, ELEVATION)
            before = str(field.input.value)
            await type_in(field, "high up")
            assert error_of(field) == "is no number"
            await type_in(field, before)
            assert error_of(field) == ""
            assert setup.state.edits == ()

    run_async(change())


@pytest.mark.parametrize("saved", [True, False])
def test_a_choice_names_its_default_once_and_takes_nothing_out_of_the_file(
    tmp_path: Path, run_async: RunAsync, saved: bool
) -> None:
    path: KeyPath = ("processing", "background", "mode")
    setup = OneSetup(tmp_path)
    if not saved:
        text = "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith('mode = "sky-surface"'))
        (tmp_path / "site.toml").write_text(text, encoding="utf-8")
        setup.draft = SiteDraft(tmp_path / "site.toml", tmp_path / "other")
    held = "sky-surface" if saved else MISSING

    async def choose() -> None:
        with on_a_page():
            field = field_of(setup, path)
            words = list(field.input.options.values())
            assert [one for one in words if "sky-surface" in one] == ["sky-surface (default)"]
            assert len(set(words)) == len(words)
            assert field.input.value == field.input.props["display-value"] == "sky-surface"
            assert ("is-default" in field.box.classes) == (not saved)
            await field._picked()
            assert setup.state.edits == (), "it holds already"
            field.input.value = "polynomial"
            await field._picked()
            assert setup.state.written(path) == field.input.props["display-value"] == "polynomial"
            field.input.value = "sky-surface"
            await field._picked()
            assert setup.state.written(path) == held
            assert not setup.state.changed, "comments are kept too"

    run_async(choose())


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("path", [ELEVATION, HEIGHT])
def test_a_number_is_finite(path: KeyPath, text: str) -> None:
    with pytest.raises(InputError, match="must be a finite number"):
        understood(key_info(path), text)


def test_times_are_written_as_toml_has_them() -> None:
    time = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert written(time) == "2026-03-01T12:00:00+00:00"
    assert toml_value([time]) == "[2026-03-01T12:00:00+00:00]"
    assert written(MISSING) == ""
