"""The link's database: a transaction is all or nothing, and one that fails stands in nobody's way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from so2cam.link.database import FILE, Database
from so2cam.link.errors import LinkError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / FILE, durable=False)
    yield opened
    opened.close()


def facts(database: Database) -> list[tuple[str, int]]:
    with database.reading() as connection:
        return [(name, value) for name, value in connection.execute("SELECT name, value FROM fact ORDER BY name")]


def keep(database: Database, name: str) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO fact VALUES (?, 1)", (name,))


def test_what_fails_within_leaves_nothing(database: Database) -> None:
    def interrupted() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO fact VALUES ('lost', 1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    keep(database, "kept")
    assert facts(database) == [("kept", 1)]


def test_a_commit_that_fails_leaves_nothing_and_later_ones_go_on(database: Database) -> None:
    with database.reading() as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TABLE child (name TEXT REFERENCES fact (name) DEFERRABLE INITIALLY DEFERRED) STRICT")

    def without_parent() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO fact VALUES ('lost', 1)")
            connection.execute("INSERT INTO child VALUES ('nobody')")  # refused by the commit, not before

    with pytest.raises(LinkError):
        without_parent()
    keep(database, "kept")
    assert facts(database) == [("kept", 1)]
