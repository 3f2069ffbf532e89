"""What a pair gave, as the catalogue keeps it: JSON of a series of one time, to the last bit, and back.

Python writes a float as the shortest text that reads back as the same number; NaN is ``null``.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.results import EmissionSeries
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.series import assemble
from so2cam.station.catalogue import TOTAL, PairRow, Rate
from so2cam.station.plain import known

_NO_ARRAYS: Final = ("times", "lines", "speed_methods", "dilution")
"""Names, and how extinctions agree, which is said of whole runs."""
_ARRAYS: Final = tuple(field.name for field in fields(EmissionSeries) if field.name not in _NO_ARRAYS)
_BY_LINE_AND_METHOD: Final = (
    "emission_rate_kg_s",
    "random_uncertainty_kg_s",
    "systematic_uncertainty_kg_s",
    "status",
    "plume_speed_m_s",
    "plume_speed_uncertainty_m_s",
    "plume_direction_deg",
    "uncertainty_terms_kg_s",
)
_BY_LINE: Final = frozenset(
    (*_BY_LINE_AND_METHOD, "integrated_column_amount_kg_m", "integrated_column_amount_uncertainty_kg_m")
)
_BY_METHOD: Final = frozenset((*_BY_LINE_AND_METHOD, *(name for name in _ARRAYS if name.startswith("total_"))))
_INTEGERS: Final = frozenset({"status", "total_status", "quality_flags", "calibration_number"})


def pair_row(site: Site, record: PairRecord) -> PairRow:
    """Return what the catalogue keeps of a record."""
    series = assemble(site, [record])
    content = {
        "lines": list(series.lines),
        "speed_methods": list(series.speed_methods),
        "frames": [frame.path.name for frame in record.pair.frames],
        **{name: _plain(getattr(series, name)[0].tolist()) for name in _ARRAYS},
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return PairRow(record.time, int(series.quality_flags[0]), text, tuple(_rates(series)))


def series_of(rows: Iterable[PairRow]) -> EmissionSeries:
    """Return rows of the catalogue, in order of time, as one series.

    Where lines or speed methods changed on the way, the series has all of them, those of the last rows first; what a
    row has not is missing, and ``NOT_ASKED``. Raises InputError where there is no row.
    """
    read = [(row.time, json.loads(row.record)) for row in rows]
    if not read:
        raise InputError("there are no results")
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    for place, (_, content) in enumerate(read):
        alike.setdefault((tuple(content["lines"]), tuple(content["speed_methods"])), []).append(place)
    newest_first = sorted(alike, key=lambda names: alike[names][-1], reverse=True)
    lines = tuple(dict.fromkeys(line for some, _ in newest_first for line in some))
    methods = tuple(dict.fromkeys(method for _, some in newest_first for method in some))
    contents = [content for _, content in read]
    arrays = {name: _joined(name, contents, alike, lines, methods) for name in _ARRAYS}
    return EmissionSeries(times=tuple(time for time, _ in read), lines=lines, speed_methods=methods, **arrays)


def _joined(
    name: str,
    contents: Sequence[dict[str, Any]],
    alike: Mapping[tuple[tuple[str, ...], tuple[str, ...]], list[int]],
    lines: Sequence[str],
    methods: Sequence[str],
) -> Any:
    """Return an array of all rows; ``alike`` has the places of those with the same lines and speed methods."""
    integers = name in _INTEGERS
    whole: Any = None
    for (some_lines, some_methods), places in alike.items():
        part = np.array([_numbers(contents[place][name]) for place in places], np.int64 if integers else np.float64)
        axes = [[lines.index(line) for line in some_lines]] if name in _BY_LINE else []
        axes += [[methods.index(method) for method in some_methods]] if name in _BY_METHOD else []
        if whole is None:
            sizes = [len(names) for names, known in ((lines, _BY_LINE), (methods, _BY_METHOD)) if name in known]
            shape = (len(contents), *sizes, *part.shape[1 + len(axes) :])
            whole = np.full(shape, EmissionStatus.NOT_ASKED if integers else math.nan, part.dtype)
        whole[np.ix_(places, *axes)] = part
    return whole


def _rates(series: EmissionSeries) -> Iterable[Rate]:
    time = series.times[0]
    for m, method in enumerate(series.speed_methods):
        for i, line in enumerate(series.lines):
            at = (0, i, m)
            yield Rate(
                time,
                line,
                method,
                known(series.emission_rate_kg_s[at]),
                known(series.random_uncertainty_kg_s[at]),
                known(series.systematic_uncertainty_kg_s[at]),
                known(series.plume_speed_m_s[at]),
                known(series.plume_speed_uncertainty_m_s[at]),
                known(series.plume_direction_deg[at]),
                known(series.integrated_column_amount_kg_m[0, i]),
                int(series.status[at]),
            )
        yield Rate(
            time,
            TOTAL,
            method,
            known(series.total_emission_rate_kg_s[0, m]),
            known(series.total_random_uncertainty_kg_s[0, m]),
            known(series.total_systematic_uncertainty_kg_s[0, m]),
            None,
            None,
            None,
            None,
            int(series.total_status[0, m]),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return math.nan if value is None else value
