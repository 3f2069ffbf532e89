"""The table that leads people from PyCam to here names only what there is: pages, tabs, commands, keys, values."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from so2cam.cli.main import cli
from so2cam.core.site_keys import EACH, all_keys
from so2cam.core.status import QualityFlag
from so2cam.web.pages.instrument import TABS
from so2cam.web.registry import all_pages

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = frozenset(re.findall(r"\b\w+\.\w+\b", (ROOT / "docs" / "products.md").read_text(encoding="utf-8")))
FORMATS = (".npy", ".mat", ".png")
"""What PyCam writes and so2cam does not."""
ROW = re.compile(r"^\| (?P<old>.+?) \| (?P<new>.+) \|$")


def rows() -> list[str]:
    """Return what stands on the right of each row."""
    text = (ROOT / "docs" / "from-pycam.md").read_text(encoding="utf-8")
    found = [match["new"] for line in text.splitlines() if (match := ROW.match(line)) is not None]
    return [new for new in found if new not in ("now", "---")]


def words(new: str) -> list[str]:
    """Return what is written as code."""
    return re.findall(r"`([^`]+)`", new)


@cache
def keys() -> frozenset[tuple[str, ...]]:
    """Return the path of every key of the site file, without which element of an array it is of."""
    return frozenset(tuple(part for part in key.path if part != EACH) for key in all_keys())


@cache
def values() -> frozenset[str]:
    """Return every word that a key of the site file can be set to."""
    return frozenset(choice for key in all_keys() for choice in key.choices)


@cache
def paths() -> frozenset[str]:
    """Return where there are pages."""
    return frozenset(spec.path for spec in all_pages())


def commands(command: click.Command = cli, above: str = "so2cam") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its whole name."""
    yield above, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from commands(inner, f"{above} {name}")


@cache
def known_commands() -> dict[str, frozenset[str]]:
    """Return the options of each command."""
    return {name: frozenset(opt for one in made.params for opt in one.opts) for name, made in commands()}


def is_command(word: str, row: list[str]) -> bool:
    """A command, an option of one, or the last word of a sister of one that the row names."""
    if word.startswith("so2cam "):
        return word in known_commands()
    if word.startswith("--"):
        return any(word in options for options in known_commands().values())
    sisters = [one.rpartition(" ")[0] for one in row if one.startswith("so2cam ")]
    return any(f"{above} {word}" in known_commands() for above in sisters)


def is_key(word: str, row: list[str]) -> bool:
    """A table, a key with all its tables, or a key beside (or within) one that the row names, or of a table of them."""
    path = tuple(word.strip("[]").split("."))
    if path in keys():
        return True
    if word.startswith("["):
        return False
    if word.startswith("..._"):
        return any(key[-1].endswith(word.removeprefix("...")) for key in keys())
    name = word.partition(" = ")[0]
    near = {one for other in row if (one := tuple(other.strip("[]").split("."))) in keys()}
    beside = {key[:-1] for key in near} | near
    if any((*table, name) in keys() for table in beside):
        return True
    return "`" not in word and any(key[-1] == name for key in keys()) and not near


def is_value(word: str) -> bool:
    """What a key can be set to, alone or with its key."""
    name, equals, value = word.partition(" = ")
    return value.strip('"') in values() and any(key[-1] == name for key in keys()) if equals else word in values()


def exists(word: str, row: list[str]) -> bool:
    """Tell whether what a row writes as code is there."""
    if word.startswith("/"):
        return word in paths()
    flags = {str(flag.name).lower() for flag in QualityFlag if flag}
    return (
        is_command(word, row)
        or is_key(word, row)
        or is_value(word)
        or word in flags
        or word in FORMATS
        or word in PRODUCTS
    )


@pytest.mark.parametrize("new", rows())
def test_what_a_row_names_is_there(new: str) -> None:
    row = words(new)
    assert [word for word in row if not exists(word, row)] == []
    tabs = tuple(title for title, _ in TABS.values())
    assert [said for said in re.findall(r"\btab ([A-Z].*)", new) if not said.startswith(tabs)] == []


def test_the_table_is_read() -> None:
    assert len(rows()) > 80
    assert all(any(word.startswith(start) for new in rows() for word in words(new)) for start in ("/", "so2cam ", "["))


@pytest.mark.parametrize(
    "word",
    [
        "/setup/geometri",
        "so2cam instrument shoot",
        "processing.speed.nadeau.axis",
        "[instrument.diary]",
        "--frame",
        "no",
    ],
)
def test_what_is_not_there_is_noticed(word: str) -> None:
    assert not exists(word, [word])
