"""Replaying folders as if their frames and spectra were taken now."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import CameraDevice, PowerDevice, SpectrometerDevice
from so2cam.devices.clock import SteppedClock
from so2cam.devices.errors import DeviceDataError, DeviceMissingError, DeviceTimeoutError, DriverError
from so2cam.devices.records import CameraSettings, SpectrometerSettings
from so2cam.devices.registry import create_camera, create_power, create_spectrometer
from so2cam.formats.names import build_image_name
from so2cam.formats.png_writing import write_png

START = datetime(2024, 5, 1, 10, 0, 0, tzinfo=UTC)
EXPOSURE_S = 0.25


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    frames = tmp_path / "frames"
    frames.mkdir()

    def write(seconds, kind, tag="fltrA", cell=None):
        name = build_image_name(
            start=START + timedelta(seconds=seconds),
            tag=tag,
            gain=1,
            exposure_s=EXPOSURE_S,
            kind=kind,
            cell_ppm_m=cell,
            generation=1,
        )
        counts = (500 + seconds + rng.integers(0, 9, (12, 16))).astype(np.uint16)
        (frames / name).write_bytes(write_png(counts))

    for number in range(5):
        write(4 * number, FrameKind.PLUME)
        write(4 * number, FrameKind.PLUME, tag="fltrB")
    write(-60, FrameKind.DARK)
    write(-50, FrameKind.CELL, cell=400.0)
    spectra = tmp_path / "spectra"
    spectra.mkdir()
    for number in range(3):
        stamp = (START + timedelta(seconds=10 * number)).strftime("%Y-%m-%dT%H%M%S")
        rows = np.vstack([np.linspace(280, 420, 64), 1000 + number + rng.normal(size=64)])
        np.save(spectra / f"{stamp}_200ss_3coadd_Plume.npy", rows)
    return tmp_path


def camera(context, **options):
    options = {"folder": "frames"} | options
    return create_camera(CameraDevice(name="on", driver="replay", band="on", options=options), context)


def test_own_pace(folder, context, clock):
    device = camera(context)
    found = device.open(5)
    assert (found.width_px, found.height_px, found.details["files"]) == (16, 12, 7)
    device.configure(CameraSettings(0.1))
    began = clock.monotonic_s()
    taken = [device.capture(None, 60) for _ in range(5)]
    assert [frame.mid_exposure_s - began for frame in taken] == pytest.approx([0, 4, 8, 12, 16])
    assert [round(float(frame.counts.mean()) / 4) * 4 for frame in taken] == [504, 508, 512, 516, 520]
    assert all(frame.exposure_s == EXPOSURE_S for frame in taken)
    assert taken[-1].time == clock.utc_at(taken[-1].mid_exposure_s)


def test_it_begins_again_at_the_end(folder, context):
    device = camera(context)
    device.open(5)
    taken = [device.capture(None, 60) for _ in range(7)]
    steps = np.diff([frame.mid_exposure_s for frame in taken])
    assert steps == pytest.approx([4] * 6)
    assert np.array_equal(taken[5].counts, taken[0].counts)


def test_without_loop_the_device_is_gone_at_the_end(folder, context):
    device = camera(context, loop=False)
    device.open(5)
    for _ in range(5):
        device.capture(None, 60)
    with pytest.raises(DeviceMissingError, match="end"):
        device.capture(None, 60)


def test_faster_and_for_wanted_moments(folder, context, clock):
    device = camera(context, rate=4.0)
    device.open(5)
    began = clock.monotonic_s()
    frame = device.capture(began + 2.0, 5)
    assert frame.mid_exposure_s == pytest.approx(began + 2.0)
    assert frame.metadata["recorded"].startswith("2024-05-01T10:00:08")


def test_two_bands_of_one_folder_stay_together(folder, context):
    """Frames of both bands come as far apart as they were, however late a camera is opened, and after each repeat."""
    first = min((folder / "frames").glob("2024-05-01T100000_fltrA_*Plume.png"))
    first.unlink()  # the on band begins 4 s later than the off band
    taken = {}
    for band, late_s in (("on", 0.0), ("off", 1.5)):
        clock = SteppedClock(context.run_start)
        clock.advance(late_s)
        settings = CameraDevice(name=band, driver="replay", band=band, options={"folder": "frames"})
        device = create_camera(settings, replace(context, clock=clock))
        device.open(5)
        frames = [device.capture(None, 30) for _ in range(14)]
        taken[band] = {frame.time: frame.metadata["recorded"] for frame in frames}
    shared = taken["on"].keys() & taken["off"].keys()
    assert len(shared) >= 9
    assert all(taken["on"][moment] == taken["off"][moment] for moment in shared)


def test_as_asked(folder, context, clock):
    device = camera(context, pace="asked", times="recorded")
    device.open(5)
    for number in range(5):
        frame = device.capture(clock.monotonic_s() + 0.5, 5)
        assert frame.time == START + timedelta(seconds=4 * number + EXPOSURE_S / 2)


def test_kinds_of_the_folder(folder, context):
    device = camera(context, pace="asked")
    device.open(5)
    device.stage(FrameKind.DARK)
    assert "Dark" in device.capture(1.0, 5).metadata["replayed"]
    device.stage(FrameKind.CELL, 400.0)
    assert "400ppmm" in device.capture(2.0, 5).metadata["replayed"]
    device.stage(FrameKind.CELL, 900.0)
    with pytest.raises(DeviceDataError, match="no cell of 900 ppm m") as caught:
        device.capture(None, 5)
    assert "dark" in str(caught.value.remedy)


def test_a_frame_that_is_due_too_late_is_a_timeout(folder, context):
    device = camera(context)
    device.open(5)
    device.capture(None, 60)
    with pytest.raises(DeviceTimeoutError, match="due only"):
        device.capture(None, 1)


def test_fractions_of_counts_are_kept(folder, context):
    counts = np.arange(192, dtype=np.float32).reshape(12, 16) + np.float32(0.0625)
    for path in (folder / "frames").iterdir():
        path.unlink()
    name = "2024-05-01T100000_fltrA_1ag_250000ss_Plume.png"
    (folder / "frames" / name).write_bytes(write_png(np.rint(counts * 16).astype(np.uint16), scale=16))
    device = camera(context)
    found = device.open(5)
    assert found.scale == 16
    assert np.array_equal(device.capture(None, 5).dn, counts)


def test_spectra(folder, context):
    device = create_spectrometer(
        SpectrometerDevice(name="s", driver="replay", options={"folder": "spectra", "rate": 10.0}), context
    )
    found = device.open(5)
    assert found.pixels == 64
    device.configure(SpectrometerSettings(0.1))
    taken = [device.capture(None, 60) for _ in range(4)]
    assert [s.integration_time_s for s in taken] == [0.2] * 4
    assert [s.coadds for s in taken] == [3] * 4
    assert np.diff([s.mid_exposure_s for s in taken]) == pytest.approx([1.0] * 3)


@pytest.mark.parametrize(("name", "error"), [("nowhere", DeviceMissingError), ("spectra", DeviceMissingError)])
def test_folders_without_frames(folder, context, name, error):
    with pytest.raises(error, match="folder"):
        camera(context, folder=name).open(5)


def test_a_damaged_file_is_one_error_and_the_replay_goes_on(folder, context):
    first = min((folder / "frames").glob("2024-05-01T1000*_fltrA_*Plume.png"))
    device = camera(context, pace="asked")
    device.open(5)
    data = first.read_bytes()
    first.write_bytes(data[: len(data) // 2])
    with pytest.raises(DeviceDataError, match="cut short"):
        device.capture(None, 5)
    assert device.capture(None, 5).counts.size


def test_only_cameras_and_spectrometers(context):
    with pytest.raises(DriverError, match="gives no power"):
        create_power(PowerDevice(name="p", driver="replay"), context)
