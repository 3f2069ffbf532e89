"""The site file that a new installation starts with: whole or not at all, in nothing's place."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from so2cam.cli.station import command
from so2cam.core.errors import InputError, OutputError
from so2cam.formats.starter import starter_text
from so2cam.store import atomic


def new(site: Path) -> BaseException | None:
    return CliRunner().invoke(command, ["new", str(site), "--name", "north"]).exception


def test_a_write_that_fails_leaves_nothing_that_refuses_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    site = tmp_path / "site.toml"
    with monkeypatch.context() as patched:
        patched.setattr(atomic, "_sync_file", full)
        assert isinstance(new(site), OutputError)
    assert list(tmp_path.iterdir()) == []
    assert new(site) is None
    assert site.read_text(encoding="utf-8") == starter_text("north")
    assert isinstance(new(site), InputError)
    assert [path.name for path in tmp_path.iterdir()] == ["site.toml"]
