"""A run that puts live results into files: what it has to know of them, and the results themselves."""

import json
from datetime import UTC, datetime
from typing import Any

from so2cam.core.errors import InputError
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import LoadedSite
from so2cam.station.catalogue import Catalogue, PairRow
from so2cam.station.result_origin import result_origin
from so2cam.station.run_store import ROWS, RunRecord, RunStore


def live_content(catalogue: Catalogue, site: str, loaded: LoadedSite, start: datetime, end: datetime) -> dict[str, Any]:
    """Return what ``files.json`` says of live results. Raises InputError where there are none."""
    if not catalogue.count_pairs(site, start=start, end=end):
        raise InputError(
            f"there are no results from {format_utc(start)} to {format_utc(end)}",
            key="start",
            remedy="choose another time, or process the range",
        )
    return result_origin(catalogue, site, start=start, end=end).content(loaded)


def write_rows(catalogue: Catalogue, site: str, store: RunStore, record: RunRecord) -> None:
    """Write the live results of a run's range into its folder, as the catalogue has them."""
    with store.path(record.id, ROWS).open("w", encoding="utf-8") as stream:
        for row in catalogue.pairs(site, start=record.start, end=record.end):
            line = {"time": row.time.timestamp(), "flags": row.flags, "record": row.record}
            stream.write(json.dumps(line) + "\n")


def read_rows(store: RunStore, record: RunRecord) -> list[PairRow]:
    """Return what ``write_rows`` wrote."""
    with store.path(record.id, ROWS).open(encoding="utf-8") as stream:
        read = (json.loads(line) for line in stream)
        return [PairRow(datetime.fromtimestamp(one["time"], UTC), one["flags"], one["record"]) for one in read]
