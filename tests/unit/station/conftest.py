"""Catalogues on both databases: SQLite in a folder, and a PostgreSQL server of its own on a free port."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from so2cam.station.catalogue import Catalogue


def _program(name: str) -> str | None:
    """Return a program of PostgreSQL's server, which Debian keeps out of the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server, ended after the tests."""
    pytest.importorskip("psycopg")
    initdb, control = _program("initdb"), _program("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="so2cam-postgresql-"))  # pytest's own folders are closed to other users
    user: str | None = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"

    def run(*command: str) -> None:
        done = subprocess.run(
            command,
            user=user,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=60,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(initdb, "-D", str(data), "-U", "so2cam", "-A", "trust", "-E", "UTF8", "--no-sync")
    run(control, "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "-t", "30", "start")
    try:
        yield f"postgresql://so2cam@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalogue]:
    """An empty catalogue, on each database."""
    url = None
    if request.param == "postgresql":
        url = _fresh_database(request.getfixturevalue("postgresql"))
    with Catalogue.open(url, tmp_path / "catalogue") as opened:
        yield opened


def _fresh_database(url: str) -> str:
    import psycopg

    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.rpartition("/")[0] + f"/{name}"
