"""A catalogue of 100,000 frames with results, made up, for the archive's questions: no file is behind it."""

import math
import random
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from so2cam.station.catalogue import TOTAL, Catalogue, Rate
from so2cam.station.catalogue_schema import COLUMNS, DAYS, FILES, PAIRS, RATES
from so2cam.store.items import to_microseconds

FRAMES = 100_000
DAYS_WITH_FRAMES = 250
PERIOD_S = 20.0
FIRST = datetime(2025, 6, 1, 11, 0, tzinfo=UTC)
_RESERVED = 1_000_000
_CHUNK = 2000
_RECORD = (
    '{"lines":["upstream","downstream"],"speed_methods":["flow_hybrid"],"frames":["%s","%s"],"more":"'
    + "0" * 1800
    + '"}'
)


def reserve(catalogue: Catalogue, site: str) -> None:
    """Leave numbers for the files of ``fill``: what really comes from now on is newer than they, as in a station.

    One file, of a test, stands for them in between.
    """
    dummy = {**_file(site, "frame", "test", "none", FIRST, "reserved.png"), "id": _RESERVED}
    with catalogue.database.write() as connection:
        connection.execute(catalogue.database.insert_ignoring(FILES), [dummy])


def fill(catalogue: Catalogue, site: str, *, frames: int = FRAMES, days: int = DAYS_WITH_FRAMES) -> None:
    """Enter frames (half of each band, a few darks), spectra, and what the pairs gave; days of 11 to 12 h and later.

    They have the numbers that ``reserve`` left, so that no service takes them for files that have just come.
    """
    chance = random.Random(3)  # noqa: S311 - nothing secret
    pairs_of_day = frames // (2 * days)
    rows: dict[str, list[dict[str, Any]]] = {"files": [], "pairs": [], "rates": [], "columns": [], "days": []}
    for number in range(days):
        day = FIRST + timedelta(days=number + (number // 40) * 6)
        cloudy = chance.random()
        rows["days"].append(
            {
                "site": site,
                "day": f"{day:%Y-%m-%d}",
                "revision": 0,
                "changed": to_microseconds(day),
                "written": to_microseconds(day),
            }
        )
        for index in range(pairs_of_day):
            time = day + timedelta(seconds=PERIOD_S * index)
            names = [f"{time:%Y%m%dT%H%M%S}_{band}.png" for band in ("on", "off")]
            for band, name in zip(("on", "off"), names, strict=True):
                at = time + timedelta(seconds=0.3 if band == "off" else 0.0)
                rows["files"].append(_file(site, "frame", "dark" if index < 2 else "plume", f"camera-{band}", at, name))
            if index < 2:
                continue
            valid = chance.random() > cloudy * 0.8
            flags = 0 if valid and chance.random() > 0.2 else 1 << chance.randrange(10)
            rows["pairs"].append(
                {
                    "site": site,
                    "time": to_microseconds(time),
                    "run": 1,
                    "flags": flags,
                    "record": _RECORD % (names[0], names[1]),
                }
            )
            rows["rates"] += list(_rates(site, time, index, valid=valid, noise=chance.gauss(0, 1)))
            if index % 5 == 0:
                name = f"{time:%Y%m%dT%H%M%S}_spectrum.npy"
                rows["files"].append(_file(site, "spectrum", "plume", "spectrometer", time, name))
                rows["columns"].append(
                    {
                        "site": site,
                        "time": to_microseconds(time),
                        "file": name,
                        "so2": 1e18,
                        "so2_uncertainty": 1e16,
                        "light_dilution": None,
                        "status": 0 if valid else 1,
                    }
                )
    for number, row in enumerate(rows["files"], 1):
        row["id"] = number
    tables = {"files": FILES, "pairs": PAIRS, "rates": RATES, "columns": COLUMNS, "days": DAYS}
    with catalogue.database.write() as connection:
        for name, table in tables.items():
            for begin in range(0, len(rows[name]), _CHUNK):
                adding = catalogue.database.insert_ignoring(table)
                connection.execute(adding, rows[name][begin : begin + _CHUNK])


def _file(site: str, kind: str, subject: str, device: str, time: datetime, name: str) -> dict[str, Any]:
    return {
        "site": site,
        "origin": f"made/{name}",
        "node": "made",
        "kind": kind,
        "subject": subject,
        "device": device,
        "time": to_microseconds(time),
        "received": to_microseconds(time),
        "folder": f"{time:%Y/%m/%d/%H}",
        "name": name,
        "size": 393_000,
        "sha256": "0" * 64,
        "sidecar": f"{name.rpartition('.')[0]}.json",
        "sidecar_size": 900,
        "sidecar_sha256": "0" * 64,
        "state": "kept",
    }


def _rates(site: str, time: datetime, index: int, *, valid: bool, noise: float) -> Iterator[dict[str, Any]]:
    for line in ("upstream", "downstream", TOTAL):
        value = 4.0 + math.sin(index / 9) + 0.2 * noise
        rate = Rate(
            time,
            line,
            "flow_hybrid",
            value if valid else None,
            0.2 if valid else None,
            0.4 if valid else None,
            9.0 if valid else None,
            0.5 if valid else None,
            300.0 if valid else None,
            value / 9 if valid else None,
            0 if valid else 3,
        )
        yield {"site": site, **asdict(rate), "time": to_microseconds(time)}
