"""Frames and spectra as so2cam's own instrument writes them: names, image or array, and what stands beside it.

Names are those of existing instruments (``formats.names``, ``formats.spectra.names``), so that old tools read them;
where captures may share a second, they have milliseconds and, behind the type, the spool's sequence number:
``2026-03-01T120000.250_fltrA_1.0_9977ss_Plume_n00000123.png``. Times mark the start of the exposure.

The sidecar, a JSON object, holds what the device's library says by its own keys (for a camera at least
``ExposureTime`` in microseconds and ``AnalogueGain``), and an object ``so2cam`` with what so2cam knows: ``time``
(mid-exposure, UTC, to the microsecond), ``kind``, ``band``, ``exposure_s``, ``gain``, ``serial``, ``bits``, ``steps``
(of one count; see ``formats.png_writing``), ``cell_ppm_m``; for a spectrum ``integration_time_s``, ``coadds``,
``saturation_counts``. An image has the same object as text under the keyword ``so2cam``.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import Band, FloatArray, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.core.times import parse_utc, require_utc
from so2cam.formats.names import build_image_name
from so2cam.formats.png_writing import write_png

OWN_KEY: Final = "so2cam"
MAXIMUM_SIDECAR_BYTES: Final = 4_000_000
_SPECTRUM_WORDS: Final = {kind: kind.value.capitalize() for kind in SpectrumKind}


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What is known of a frame when it was taken. ``time`` is mid-exposure, UTC.

    ``bits`` are those of a raw pixel; the counts hold ``scale`` times the DN. ``device_metadata`` is what the device's
    library says, ``details`` what so2cam adds (clock, grid, exposure control ...).
    """

    band: Band
    kind: FrameKind
    time: datetime
    exposure_s: float
    gain: float = 1.0
    cell_ppm_m: float | None = None
    bits: int = 10
    scale: int = 1
    serial: str = ""
    sensor_timestamp_s: float | None = None
    device_metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def start(self) -> datetime:
        """Start of the exposure, UTC."""
        return require_utc(self.time) - timedelta(seconds=self.exposure_s / 2)


@dataclass(frozen=True, slots=True)
class SpectrumRecord:
    """What is known of a spectrum when it was taken. ``time`` is the middle of all its readouts, UTC.

    ``duration_s`` is from the start of the first readout to the end of the last; integration time by coadds where it
    is None. ``cell_ppm_m`` is the label of a gas cell before the spectrometer.
    """

    kind: SpectrumKind
    time: datetime
    integration_time_s: float
    coadds: int = 1
    duration_s: float | None = None
    cell_ppm_m: float | None = None
    saturation_counts: float | None = None
    serial: str = ""
    device_metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def start(self) -> datetime:
        """Start of the first readout, UTC."""
        duration_s = self.integration_time_s * self.coadds if self.duration_s is None else self.duration_s
        return require_utc(self.time) - timedelta(seconds=duration_s / 2)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A capture as files: ``stem`` and ``suffix`` of its name, the main file's ``data``, the sidecar's ``metadata``.

    ``stamp`` is the time in the name. ``numbered``: the sequence number belongs behind the name.
    """

    stem: str
    suffix: str
    data: bytes
    metadata: dict[str, Any]
    stamp: datetime
    numbered: bool


def encode_frame(
    counts: npt.NDArray[np.uint16],
    record: FrameRecord,
    *,
    tag: str,
    generation: int = 2,
    whole_seconds: bool = True,
    compression: int = 1,
) -> Encoded:
    """Return a frame as files. ``counts`` (rows, columns), uint16, hold ``record.scale`` times the DN.

    ``tag`` is the band's in the name, ``generation`` (1 or 2) that of the existing instruments whose names are
    written. Without ``whole_seconds`` names have milliseconds and are numbered. Raises ValueError for counts, times
    and exposures that cannot be.
    """
    whole_gain = float(record.gain).is_integer()
    name = build_image_name(
        start=record.start,
        tag=tag,
        gain=record.gain,
        exposure_s=record.exposure_s,
        kind=record.kind,
        cell_ppm_m=record.cell_ppm_m,
        generation=generation if whole_gain else 2,
        milliseconds=not whole_seconds,
    )
    own = {
        "time": format_time(record.time),
        "kind": record.kind.value,
        "band": record.band.value,
        "exposure_s": record.exposure_s,
        "gain": record.gain,
        "cell_ppm_m": record.cell_ppm_m,
        "serial": record.serial,
        "bits": record.bits,
        "steps": record.scale,
        **record.details,
    }
    device = {**record.device_metadata, "ExposureTime": round(record.exposure_s * 1e6, 3), "AnalogueGain": record.gain}
    if record.sensor_timestamp_s is not None:
        device["SensorTimestamp"] = round(record.sensor_timestamp_s * 1e9)
    metadata = _metadata(device, own)
    text = {"Software": "so2cam", OWN_KEY: json.dumps(metadata, separators=(",", ":"))}
    return Encoded(
        stem=name.removesuffix(".png"),
        suffix=".png",
        data=write_png(counts, text, scale=record.scale, compression=compression),
        metadata=metadata,
        stamp=record.start,
        numbered=not whole_seconds,
    )


def encode_spectrum(
    wavelengths_nm: FloatArray, counts: FloatArray, record: SpectrumRecord, *, whole_seconds: bool = True
) -> Encoded:
    """Return a spectrum as files: an array of two rows, wavelengths [nm] and counts, float64, each (N,).

    Raises ValueError for arrays of other shapes, and times that cannot be.
    """
    if wavelengths_nm.ndim != 1 or wavelengths_nm.shape != counts.shape or wavelengths_nm.size == 0:
        raise ValueError(f"needs wavelengths and counts of one shape (N,), got {wavelengths_nm.shape}, {counts.shape}")
    buffer = io.BytesIO()
    np.save(buffer, np.stack([wavelengths_nm, counts]).astype(np.float64), allow_pickle=False)
    own = {
        "time": format_time(record.time),
        "kind": "cell" if record.cell_ppm_m is not None else record.kind.value,
        "integration_time_s": record.integration_time_s,
        "coadds": record.coadds,
        "duration_s": record.duration_s,
        "cell_ppm_m": record.cell_ppm_m,
        "saturation_counts": record.saturation_counts,
        "serial": record.serial,
        **record.details,
    }
    return Encoded(
        stem=build_spectrum_stem(record, milliseconds=not whole_seconds),
        suffix=".npy",
        data=buffer.getvalue(),
        metadata=_metadata(record.device_metadata, own),
        stamp=record.start,
        numbered=not whole_seconds,
    )


def build_spectrum_stem(record: SpectrumRecord, *, milliseconds: bool = False) -> str:
    """Return the name of a spectrum without its ending, ``2019-05-29T124401_1000ss_1coadd_Plume``.

    The integration time stands in whole milliseconds as existing tools expect it; with ``milliseconds``, which
    gives the time to the millisecond too, to the microsecond. Raises ValueError for what no name can carry.
    """
    start = record.start
    if not 1970 <= start.year < 2200:
        raise ValueError(f"the year of {start.isoformat()} is not within 1970-2199")
    if not 0 < record.integration_time_s <= 3600 or not 1 <= record.coadds <= 100_000:
        raise ValueError(
            f"integration time must be above 0 and up to 3600 s, with 1 to 100000 coadds, got "
            f"{record.integration_time_s!r} and {record.coadds!r}"
        )
    stamp = f"{start:%Y-%m-%dT%H%M%S}"
    integration_ms = record.integration_time_s * 1e3
    if milliseconds:
        stamp += f".{start.microsecond // 1000:03d}"
        integration = np.format_float_positional(round(integration_ms, 3), trim="-")
    else:
        integration = str(max(1, round(integration_ms)))
    word = _SPECTRUM_WORDS[record.kind]
    if record.cell_ppm_m is not None:
        word = f"{np.format_float_positional(record.cell_ppm_m, trim='-')}ppmm"
    return f"{stamp}_{integration}ss_{record.coadds}coadd_{word}"


def _metadata(device: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    content = {str(key): json_safe(value) for key, value in device.items() if key != OWN_KEY}
    content[OWN_KEY] = {key: json_safe(value) for key, value in own.items() if value is not None}
    return content


def json_safe(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: NaN and infinity as null, arrays as lists, unknown things as text.

    A frame is never lost because of something that a device's library says of it.
    """
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, datetime):
        return format_time(value) if value.tzinfo is not None else value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [json_safe(item) for item in value]
    return str(value)


def format_time(time: datetime) -> str:
    """Return ``time`` as ISO 8601 in UTC, to the microsecond, with ``Z``."""
    return f"{require_utc(time):%Y-%m-%dT%H:%M:%S.%f}Z"


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """What so2cam's own sidecar says of a capture; None where it says nothing. ``time`` is mid-exposure, UTC."""

    time: datetime | None = None
    sequence: int | None = None
    integration_time_s: float | None = None
    coadds: int | None = None


def load_sidecar(path: Path) -> dict[str, Any]:
    """Return a sidecar's content. Raises ValueError, OSError or RecursionError for a broken one."""
    with path.open("rb") as stream:
        data = stream.read(MAXIMUM_SIDECAR_BYTES + 1)
    if len(data) > MAXIMUM_SIDECAR_BYTES:
        raise ValueError("the file is too large")
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - one error type for a broken sidecar
    return content


def parse_own(content: Mapping[str, Any]) -> OwnRecord:
    """Return what the object ``so2cam`` of a sidecar says; nothing where there is none.

    Raises ValueError where it has something that cannot be.
    """
    own = content.get(OWN_KEY)
    if own is None:
        return OwnRecord()
    if not isinstance(own, Mapping):
        raise ValueError("so2cam is not a JSON object")  # noqa: TRY004 - one error type for a broken sidecar
    time = own.get("time")
    if time is not None and not isinstance(time, str):
        raise ValueError(f"so2cam.time is not a time: {time!r:.80}")
    return OwnRecord(
        time=None if time is None else parse_utc(time),
        sequence=_whole(own, "sequence"),
        integration_time_s=_number(own, "integration_time_s"),
        coadds=_whole(own, "coadds"),
    )


def _whole(own: Mapping[str, Any], key: str) -> int | None:
    value = own.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"so2cam.{key} is no whole number above 0: {value!r:.80}")
    return value


def _number(own: Mapping[str, Any], key: str) -> float | None:
    value = own.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"so2cam.{key} is no number above 0: {value!r:.80}")
    return float(value)
