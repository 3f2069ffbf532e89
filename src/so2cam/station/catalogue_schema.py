"""The tables of the catalogue, format 1. Times are whole microseconds since 1970, UTC; hashes are hexadecimal text.

- ``files``: what is in the archives. ``origin`` says where a file was first, once for each site: ``lead/123`` for item
  123 of node lead, ``watch-ftp/...`` for a watched folder. ``state``: kept, missing or damaged.
- ``runs``: runs of processing; ``inputs`` are the calibration files that a run began with, as JSON.
- ``feed``: what a live run was given, in order: a file, or the time up to which it was told that nothing more comes.
  Given again in this order, it gives the same numbers. ``note`` is why a file was not used.
- ``pairs``: what every pair of frames gave, whole, as JSON; ``rates``: the emission rates in it, for questions.
- ``columns``: what every spectrum gave.
- ``days``: which days have results, of which revision, since when and why they should be calculated again, and of
  which change their files are.
- ``health``: what instruments say of themselves.

Indices may come with a later version: they are made where an older catalogue lacks them.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

FORMAT: Final = 1
METADATA: Final = MetaData()
_ID: Final = BigInteger().with_variant(Integer, "sqlite")

META = Table("meta", METADATA, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

FILES = Table(
    "files",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("site", String(64), nullable=False),
    Column("origin", String(512), nullable=False),
    Column("node", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("folder", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("sidecar", String(255)),
    Column("sidecar_size", BigInteger),
    Column("sidecar_sha256", String(64)),
    Column("state", String(16), nullable=False),
    UniqueConstraint("site", "origin", name="files_origin"),
    UniqueConstraint("site", "folder", "name", name="files_name"),
    Index("files_time", "site", "kind", "subject", "time"),
    Index("files_arrival", "site", "id"),
    Index("files_found", "site", "time", "id", "kind", "subject", "state", "size", "sidecar_size"),
)

RUNS = Table(
    "runs",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("site", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("settings_sha256", String(64), nullable=False),
    Column("software_version", String(64), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("began", BigInteger, nullable=False),
    Index("runs_day", "site", "day"),
)

FEED = Table(
    "feed",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("run", _ID, nullable=False),
    Column("file", _ID),
    Column("until", BigInteger),
    Column("note", Text),
    UniqueConstraint("run", "file", name="feed_file"),
    Index("feed_run", "run", "id"),
)

PAIRS = Table(
    "pairs",
    METADATA,
    Column("site", String(64), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("run", _ID, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index("pairs_quality", "site", "time", "flags"),
)

RATES = Table(
    "rates",
    METADATA,
    Column("site", String(64), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("line", String(64), primary_key=True),
    Column("method", String(32), primary_key=True),
    Column("rate", Float(53)),
    Column("random", Float(53)),
    Column("systematic", Float(53)),
    Column("speed", Float(53)),
    Column("speed_uncertainty", Float(53)),
    Column("direction", Float(53)),
    Column("amount", Float(53)),
    Column("status", Integer, nullable=False),
    Index("rates_series", "site", "line", "method", "time"),
    Index("rates_valid", "site", "line", "status", "time", "method"),
)

COLUMNS = Table(
    "columns",
    METADATA,
    Column("site", String(64), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("file", String(255), primary_key=True),
    Column("so2", Float(53)),
    Column("so2_uncertainty", Float(53)),
    Column("light_dilution", Float(53)),
    Column("status", Integer, nullable=False),
)

DAYS = Table(
    "days",
    METADATA,
    Column("site", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("stale_since", BigInteger),
    Column("reason", Text),
    Column("changed", BigInteger, nullable=False),
    Column("written", BigInteger),
)

HEALTH = Table(
    "health",
    METADATA,
    Column("site", String(64), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("record", Text, nullable=False),
)
