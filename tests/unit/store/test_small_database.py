"""A small database: a newer file is refused, and a commit that fails stands in nobody's way."""

from pathlib import Path

import pytest

from so2cam.core.errors import OutputError
from so2cam.store.small_database import SmallDatabase

_SCHEMA = """
CREATE TABLE IF NOT EXISTS parent (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS child (name TEXT REFERENCES parent (name) DEFERRABLE INITIALLY DEFERRED) STRICT;
"""


class Names(SmallDatabase):
    """Names, some of which need a parent."""

    def __init__(self, path: Path, version: int = 1) -> None:
        super().__init__(path, _SCHEMA, version, "the names")
        self._connection.execute("PRAGMA foreign_keys = ON")

    def keep(self, name: str, child: str | None = None) -> None:
        with self.transaction() as connection:
            connection.execute("INSERT INTO parent VALUES (?)", (name,))
            if child is not None:
                connection.execute("INSERT INTO child VALUES (?)", (child,))  # refused by the commit, not before

    def names(self) -> list[str]:
        return [row["name"] for row in self.rows("SELECT name FROM parent ORDER BY name")]


def test_a_commit_that_fails_leaves_nothing_and_later_ones_go_on(tmp_path: Path) -> None:
    with Names(tmp_path / "names.sqlite") as names:
        with pytest.raises(OutputError, match="the names cannot be kept"):
            names.keep("lost", child="nobody")
        names.keep("kept")
        assert names.names() == ["kept"]


def test_a_file_of_a_newer_version_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    with Names(path, version=2) as names:
        names.keep("kept")
    with pytest.raises(OutputError, match="newer so2cam"):
        Names(path, version=1)
    with Names(path, version=2) as names:
        assert names.names() == ["kept"]


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_was_lost(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="the names cannot be kept here"):
        Names(tmp_path / "taken" / "names.sqlite")
