"""Properties of changing a site file key by key: what is asked for happens, and nothing else."""

import contextlib
import copy
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.errors import SiteFileError
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, edit_text, get_value, key_text, parse_key

PLAIN = """# the whole installation
format = 1
name = "north"  # a short name

[volcano]
name = "Villarrica"

# where the vent is
[volcano.vent]
latitude = -39.42   # by map
longitude = -71.93
altitude_m = 2847

# ---- lines ----

[[lines]]
name = "near"  # the near one
start = [1, 2]
end = [3, 4]

# the far one
[[lines]]
name = "far"
start = [
  5.5,  # left
  6.5,
]
end = [7, 8]
[lines.arc]
radius_px = 3.0

[processing.background]
# a flat sky is enough
mode = "sky-surface"
order = 2 # two

[processing]
speed = { methods = ["flow_raw"], nadeau = { maximum_shift_px = 3 } }
# the end
"""
ODD = """name = 'literal'
camera.view.azimuth_deg = 1
camera.view."elevation_deg" = 2   # quoted
'camera'.sensor = {bits=10}
lines = [ {name = "a", start=[1,2]}, {name = "b"}, ]

[ station . api ]
port=0
[[instrument.nodes]]
name="lead"
[[instrument.nodes.devices]]
name="cam"
options.x = 1
[[instrument.nodes.devices]]
name="spec"
[instrument.nodes.network]
address = '''1.2.3.4/24'''
[[instrument.nodes]]
name="second"
[files.kinds]
"a b" = "dark"
"q\\"uote" = "clear"
"" = "plume"
[wind]
time = 2026-01-01T00:00:00Z
rows = [[1, 2], [3, 4]]
"""
EMPTY = ""
TEXTS = (PLAIN, ODD, EMPTY, PLAIN.replace("\n", "\r\n"), "# only a remark", 'name = "x"', "[camera]\n\n\n")
_WORDS = (
    "name lines near far a b start arc radius_px processing background mode order speed nadeau camera view azimuth_deg "
    "instrument nodes lead devices cam network files kinds wind rows station api new ä x.y"
)
NAMES = st.sampled_from([*_WORDS.split(), "a b", 'q"uote', "", "two\nrows"])
PART = st.one_of(NAMES, st.integers(0, 3))
PATH = st.builds(lambda first, rest: (first, *rest), NAMES, st.lists(PART, max_size=4))
SCALAR = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, width=32),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
KNOWN = [
    ("name",),
    ("volcano", "vent", "latitude"),
    ("lines", "near", "start"),
    ("lines", "far", "start"),
    ("lines", 1, "arc", "radius_px"),
    ("lines", "near"),
    ("lines",),
    ("processing", "background", "order"),
    ("processing", "background"),
    ("processing", "speed", "nadeau", "maximum_shift_px"),
    ("processing", "speed", "methods"),
    ("camera", "view", "azimuth_deg"),
    ("camera", "sensor", "bits"),
    ("lines", "a", "start"),
    ("instrument", "nodes", "lead", "devices", "cam", "options", "x"),
    ("instrument", "nodes", "lead", "network"),
    ("instrument", "nodes", 1),
    ("files", "kinds", "a b"),
    ("wind", "rows"),
    ("wind",),
]


@settings(max_examples=300)
@given(PATH)
def test_a_key_that_is_written_is_read_again(path: KeyPath) -> None:
    assert parse_key(key_text(path)) == path


@settings(max_examples=300)
@given(st.text('.[]"\\ab0 é', max_size=10))
def test_what_is_read_as_a_key_is_one_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        path = parse_key(text)
        assert parse_key(key_text(path)) == path


def _plain(value: Any) -> Any:
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def _without(text: str, path: KeyPath) -> Any:
    """Return all that the text says but for ``path`` and what was made to hold it."""
    data = copy.deepcopy(tomllib.loads(text))
    _prune(data, path)
    return data


def _prune(data: Any, path: KeyPath) -> None:
    part = path[0]
    if isinstance(data, list) and isinstance(part, str):
        part = next((i for i, one in enumerate(data) if isinstance(one, dict) and one.get("name") == part), len(data))
    if isinstance(data, list):
        if not isinstance(part, int) or part >= len(data):
            return
        if len(path) > 1:
            _prune(data[part], path[1:])
        if len(path) == 1 or data[part] in ({}, {"name": path[0]}):
            del data[part]
    elif isinstance(data, dict) and part in data:
        if len(path) > 1:
            _prune(data[part], path[1:])
        if len(path) == 1 or data[part] in ({}, []):
            del data[part]


@settings(max_examples=600)
@given(st.sampled_from(TEXTS), st.one_of(PATH, st.sampled_from(KNOWN)), VALUE)
def test_get_after_edit_gives_the_value_and_nothing_else_changed(text: str, path: KeyPath, value: Any) -> None:
    try:
        made = edit_text(text, [(path, value)])
    except SiteFileError:
        return
    got = get_value(made, path)
    if isinstance(value, dict) and isinstance(path[-1], str) and "name" not in value and got is not MISSING:
        got = {key: one for key, one in got.items() if key != "name" or "name" in value}
    if got is MISSING and (path[-1] == "name" or (isinstance(value, dict) and value.get("name", path[-1]) != path[-1])):
        return  # an element was given another name: it is no longer there by this one
    assert got == value
    assert type(got) is type(value)
    assert _without(made, path) == _without(text, path)


@settings(max_examples=400)
@given(st.sampled_from(TEXTS), st.one_of(PATH, st.sampled_from(KNOWN)))
def test_what_is_removed_is_gone(text: str, path: KeyPath) -> None:
    was = get_value(text, path)
    try:
        made = edit_text(text, [(path, REMOVE)])
    except SiteFileError:
        return
    if was is MISSING:
        assert tomllib.loads(made) == tomllib.loads(text)
    elif not isinstance(path[-1], int):
        assert get_value(made, path) is MISSING
    else:
        assert len(get_value(made, path[:-1]) or []) == len(get_value(text, path[:-1])) - 1 or (
            get_value(made, path[:-1]) is MISSING
        )


@settings(max_examples=200)
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.one_of(PATH, st.sampled_from(KNOWN)), st.one_of(VALUE, st.just(REMOVE))), max_size=5),
)
def test_several_changes_give_toml_or_a_named_error(text: str, changes: list[tuple[KeyPath, Any]]) -> None:
    try:
        made = edit_text(text, changes)
    except SiteFileError:
        return
    tomllib.loads(made)


def _another(value: Any) -> Any:
    if isinstance(value, dict):
        return {"name": value["name"], "fresh": 1} if "name" in value else {"fresh": 1}
    if isinstance(value, list):
        return [*value[::-1], value[0]]
    return "other" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("path", KNOWN, ids=key_text)
def test_keys_of_every_way_of_writing_can_be_changed(path: KeyPath) -> None:
    """No way of writing a key that people use is refused."""
    text = PLAIN if get_value(PLAIN, path) is not MISSING else ODD
    old = get_value(text, path)
    assert old is not MISSING
    new = _another(old)
    assert get_value(edit_text(text, [(path, new)]), path) == new
    assert get_value(edit_text(text, [(path, REMOVE)]), path) in (MISSING, get_value(text, (*path[:-1], 2)))


def test_comments_order_and_line_ends_stay() -> None:
    made = edit_text(
        PLAIN,
        [
            (("processing", "background", "order"), 1),
            (("lines", "near", "start"), [9, 9]),
            (("volcano", "vent", "latitude"), -39.5),
            (("processing", "background", "regions"), "x"),
        ],
    )
    comments = [line.partition("#")[2] for line in PLAIN.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in made.splitlines() if "#" in line] == comments
    assert [line for line in made.splitlines() if line.startswith("[")] == [
        line for line in PLAIN.splitlines() if line.startswith("[")
    ]
    changed = set(made.splitlines()) - set(PLAIN.splitlines())
    assert changed == {
        "order = 1 # two",
        "start = [9, 9]",
        "latitude = -39.5   # by map",
        'regions = "x"',
    }
    windows = PLAIN.replace("\n", "\r\n")
    made = edit_text(windows, [(("processing", "background", "order"), 1), (("name",), "south")])
    assert made.count("\r\n") == made.count("\n")


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(KNOWN[:11]), st.integers(0, 9)), min_size=1, max_size=6))
def test_an_edit_that_is_taken_back_leaves_the_meaning(changes: list[tuple[KeyPath, int]]) -> None:
    text = PLAIN
    for path, value in changes:
        before = get_value(text, path)
        try:
            made = edit_text(text, [(path, value)])
            back = edit_text(made, [(path, REMOVE if before is MISSING else before)])
        except SiteFileError:
            continue
        assert get_value(back, path) == before
        text = back
    assert "# the whole installation" in text
