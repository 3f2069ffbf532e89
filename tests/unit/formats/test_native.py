import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameKind
from so2cam.core.site_camera import Files
from so2cam.core.spectra import SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.folder import SkipCategory, scan_frames
from so2cam.formats.native import Encoded, FrameRecord, SpectrumRecord, encode_frame, encode_spectrum, json_safe
from so2cam.formats.png import read_counts, read_frame, read_png, read_text
from so2cam.formats.spectra.folder import scan_spectra
from so2cam.formats.spectra.readers import read_spectrum

MIDDLE = datetime(2026, 3, 1, 12, 0, 0, 254_980, tzinfo=UTC)
RECORD = FrameRecord(
    band=Band.ON,
    kind=FrameKind.PLUME,
    time=MIDDLE,
    exposure_s=0.009977,
    scale=16,
    serial="a1",
    sensor_timestamp_s=1234.5,
    device_metadata={"Lux": 3.0, "ColourGains": (1.0, 2.0)},
    details={"clock": {"source": "gps", "offset_ms": 0.2}},
)
WAVELENGTHS = np.linspace(280.0, 400.0, 2048)
SPECTRUM = SpectrumRecord(
    kind=SpectrumKind.PLUME, time=MIDDLE, integration_time_s=0.15, coadds=4, duration_s=0.7, saturation_counts=65535.0
)


def scaled_image(seed: int = 1) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 16 * 1023, (21, 33), dtype=np.uint16)


def write(folder: Path, encoded: Encoded, number: int | None = None) -> Path:
    stem = encoded.stem if number is None else f"{encoded.stem}_n{number:08d}"
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(encoded.metadata))
    path = folder / f"{stem}{encoded.suffix}"
    path.write_bytes(encoded.data)
    return path


def test_names_of_whole_seconds_are_those_of_existing_instruments() -> None:
    frame = encode_frame(scaled_image(), RECORD, tag="fltrA")
    assert (frame.stem, frame.suffix) == ("2026-03-01T120000_fltrA_1.0_9977ss_Plume", ".png")
    assert not frame.numbered
    first = encode_frame(scaled_image(), RECORD, tag="fltrB", generation=1)
    assert first.stem == "2026-03-01T120000_fltrB_1ag_9977ss_Plume"
    cell = dataclasses.replace(RECORD, kind=FrameKind.CELL, cell_ppm_m=304.0, gain=1.5)
    assert encode_frame(scaled_image(), cell, tag="fltrA", generation=1).stem.endswith("_1.5_9977ss_304ppmm")
    assert encode_spectrum(WAVELENGTHS, WAVELENGTHS, SPECTRUM).stem == "2026-03-01T115959_150ss_4coadd_Plume"
    lamp = dataclasses.replace(SPECTRUM, kind=SpectrumKind.LAMP, integration_time_s=0.0004)
    assert encode_spectrum(WAVELENGTHS, WAVELENGTHS, lamp).stem.endswith("_1ss_4coadd_Calibration")


def test_names_of_shorter_periods_have_milliseconds_and_are_numbered() -> None:
    frame = encode_frame(scaled_image(), RECORD, tag="fltrA", whole_seconds=False)
    assert frame.stem == "2026-03-01T120000.249_fltrA_1.0_9977ss_Plume"
    assert frame.numbered
    spectrum = dataclasses.replace(SPECTRUM, integration_time_s=0.0035)
    assert encode_spectrum(WAVELENGTHS, WAVELENGTHS, spectrum, whole_seconds=False).stem.startswith(
        "2026-03-01T115959.904_3.5ss"
    )


@pytest.mark.parametrize("scale", [1, 2, 4, 16, 64, 256])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8)])
def test_fraction_of_a_count_is_kept_exactly_and_old_tools_see_rounded_counts(
    scale: int, shape: tuple[int, int]
) -> None:
    top = min(65535, 1023 * scale)
    counts = np.random.default_rng(scale).integers(0, top + 1, shape, dtype=np.uint16)
    counts.flat[0] = top
    data = encode_frame(counts, dataclasses.replace(RECORD, scale=scale), tag="fltrA").data
    np.testing.assert_array_equal(read_counts(data, "x"), counts.astype(np.float64) / scale)
    np.testing.assert_array_equal(read_png(data, "x"), np.floor(counts / scale + 0.5))
    assert read_counts(data, "x").dtype == (np.uint16 if scale == 1 else np.float32)


@pytest.mark.parametrize("scale", [0, 3, 512])
def test_scales_that_cannot_be_kept_are_refused(scale: int) -> None:
    with pytest.raises(ValueError, match="steps"):
        encode_frame(scaled_image(), dataclasses.replace(RECORD, scale=scale), tag="fltrA")


def test_every_flipped_bit_of_an_image_is_found() -> None:
    data = encode_frame(scaled_image()[:4, :5], RECORD, tag="fltrA").data
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(FrameFileError, match=r"damaged|not a PNG|cut short|greyscale|claims"):
            read_counts(bytes(damaged), "x")


@pytest.mark.parametrize("number", [None, 12])
def test_frames_are_read_back_with_the_time_to_the_microsecond(tmp_path: Path, number: int | None) -> None:
    encoded = encode_frame(scaled_image(), RECORD, tag="fltrA", whole_seconds=number is None)
    path = write(tmp_path, encoded, number)
    scan = scan_frames([tmp_path], Files())
    assert scan.skipped == ()
    (info,) = scan.frames
    assert (info.time, info.time_resolution_s) == (MIDDLE, 1e-6)
    assert (info.band, info.kind, info.exposure_s, info.gain) == (Band.ON, FrameKind.PLUME, 0.009977, 1.0)
    assert info.sensor_timestamp_s == pytest.approx(1234.5)
    frame = read_frame(info, width=33, height=21, maximum_dn=1023)
    np.testing.assert_array_equal(frame.counts, scaled_image() / 16)
    content = json.loads(read_text(path.read_bytes(), "x")["so2cam"])
    assert content == encoded.metadata
    assert content["so2cam"]["clock"] == {"source": "gps", "offset_ms": 0.2}
    assert content["ExposureTime"] == 9977


def test_a_frame_whose_sidecar_is_broken_keeps_the_values_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, encode_frame(scaled_image(), RECORD, tag="fltrA"))
    for text in (
        '{"so2cam": 3}',
        '{"so2cam": {"time": 5}}',
        '{"so2cam": {"time": "x"}}',
        '{"so2cam": {"sequence": 0}}',
    ):
        path.with_suffix(".json").write_text(text)
        scan = scan_frames([tmp_path], Files())
        assert [item.category for item in scan.skipped] == [SkipCategory.BAD_SIDECAR]
        assert scan.frames[0].time_resolution_s == 1.0


@pytest.mark.parametrize("whole_seconds", [True, False])
def test_spectra_are_read_back(tmp_path: Path, whole_seconds: bool) -> None:
    counts = np.random.default_rng(2).uniform(0, 6e4, 2048)
    record = dataclasses.replace(SPECTRUM, integration_time_s=0.1234567)
    path = write(tmp_path, encode_spectrum(WAVELENGTHS, counts, record, whole_seconds=whole_seconds), 5)
    files = SpectrumFiles()
    (info,) = scan_spectra([tmp_path], files).spectra
    assert (info.time, info.time_resolution_s, info.coadds) == (MIDDLE, 1e-6, 4)
    assert info.integration_time_s == 0.1234567
    np.testing.assert_array_equal(read_spectrum(info, files).counts, counts)
    path.with_suffix(".json").write_text("[1]")
    (info,) = scan_spectra([tmp_path], files).spectra
    assert info.time_resolution_s == (1.0 if whole_seconds else 0.001)
    assert info.integration_time_s == pytest.approx(0.1234567, abs=5e-4 if whole_seconds else 1e-6)


def test_spectra_behind_a_cell_are_told_apart(tmp_path: Path) -> None:
    encoded = encode_spectrum(WAVELENGTHS, WAVELENGTHS, dataclasses.replace(SPECTRUM, cell_ppm_m=304.0))
    assert encoded.stem.endswith("_304ppmm")
    assert encoded.metadata["so2cam"]["kind"] == "cell"


def test_nothing_that_a_device_says_can_spoil_a_sidecar() -> None:
    odd = {"a": math.nan, "b": np.float32(2.5), "c": np.arange(2), "d": MIDDLE, "e": SimpleNamespace(x=1), 5: b"x"}
    safe = json_safe(odd)
    assert safe["a"] is None
    assert safe["b"] == 2.5
    assert safe["c"] == [0, 1]
    assert safe["d"] == "2026-03-01T12:00:00.254980Z"
    assert "namespace" in safe["e"]
    json.dumps(safe, allow_nan=False)


@pytest.mark.parametrize(
    "change", [{"exposure_s": 0.0}, {"gain": 0.0}, {"time": datetime(2500, 1, 1, tzinfo=UTC)}, {"cell_ppm_m": 3.0}]
)
def test_what_no_name_can_carry_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        encode_frame(scaled_image(), dataclasses.replace(RECORD, **change), tag="fltrA")  # type: ignore[arg-type]


def test_what_no_spectrum_can_be_is_refused() -> None:
    with pytest.raises(ValueError, match="integration time"):
        encode_spectrum(WAVELENGTHS, WAVELENGTHS, dataclasses.replace(SPECTRUM, coadds=0))
    with pytest.raises(ValueError, match="year"):
        encode_spectrum(WAVELENGTHS, WAVELENGTHS, dataclasses.replace(SPECTRUM, time=MIDDLE + timedelta(days=80_000)))
    with pytest.raises(ValueError, match="shape"):
        encode_spectrum(WAVELENGTHS, WAVELENGTHS[1:], SPECTRUM)
