"""Errors say what is wrong, where, and what to do."""

from pathlib import Path

import pytest

from so2cam.core.errors import FrameFileError, InputError, OutputError, SiteFileError, So2camError


def test_a_bare_message_stands_alone() -> None:
    assert str(InputError("nothing found")) == "nothing found"


def test_all_parts_are_told() -> None:
    error = SiteFileError("must be above 0", file=Path("site.toml"), key="camera.optics", value=-1, remedy="measure it")
    text = str(error)
    assert text.splitlines()[0] == "site.toml: camera.optics: must be above 0 (found -1)"
    assert text.splitlines()[1].strip() == "What to do: measure it"


def test_a_long_value_is_shortened() -> None:
    assert len(str(InputError("bad", value="x" * 10_000))) < 150


def test_zero_is_a_value() -> None:
    assert "found 0" in str(InputError("bad", value=0))


@pytest.mark.parametrize("kind", [SiteFileError, FrameFileError, InputError, OutputError])
def test_one_tree(kind: type[So2camError]) -> None:
    assert issubclass(kind, So2camError)
    assert kind("x").exit_code == 2
