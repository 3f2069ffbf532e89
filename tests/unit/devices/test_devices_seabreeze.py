"""The driver of Ocean Optics' spectrometers against an imitation of seabreeze."""

import numpy as np
import pytest

from so2cam.core.site_devices import SpectrometerDevice
from so2cam.devices.checked_spectrometer import CheckedSpectrometer
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceTimeoutError,
    DriverError,
    WrongDeviceError,
)
from so2cam.devices.records import SpectrometerSettings
from so2cam.devices.registry import create_spectrometer
from so2cam.devices.seabreeze_spectrometer import SeabreezeOptions, SeabreezeSpectrometer


@pytest.fixture
def make(seabreeze_fake, clock, context):
    def build(*, options=None, devices=None, **device):
        world = seabreeze_fake.World(clock, devices)
        settings = SpectrometerDevice(name="spectrometer", driver="seabreeze", **device)
        vendor = seabreeze_fake.make_vendor(world)
        return SeabreezeSpectrometer(settings, SeabreezeOptions(**(options or {})), context, vendor), world

    return build


def test_limits_come_from_the_spectrometer(make):
    driver, _ = make()
    found = driver.open(5)
    assert found.integration_time_limits_s == (0.001, 65.535)
    assert (found.model, found.serial, found.pixels) == ("FLAMES", "FLMS01234", 2048)
    assert found.saturation_counts == 65535
    with pytest.raises(DeviceSettingError, match="FLAMES"):
        driver.configure(SpectrometerSettings(0.0005))
    with pytest.raises(DeviceSettingError, match="1000"):
        driver.configure(SpectrometerSettings(0.1, 5000))


def test_first_readout_after_a_change_is_thrown_away(make):
    driver, world = make()
    driver.open(5)
    driver.configure(SpectrometerSettings(0.02))
    dim = driver.capture(None, 5)
    assert world.readouts == 2
    driver.configure(SpectrometerSettings(0.1))
    bright = driver.capture(None, 5)
    assert world.readouts == 4
    ratio = (bright.counts.max() - world.offset) / (dim.counts.max() - world.offset)
    assert ratio == pytest.approx(5.0, rel=0.02)
    driver.capture(None, 5)
    assert world.readouts == 5
    assert world.set_log == [20_000, 100_000]


def test_coadds_are_the_mean(make):
    driver, world = make()
    driver.open(5)
    driver.configure(SpectrometerSettings(0.05, 100))
    single = SpectrometerSettings(0.05, 1)
    mean = driver.capture(None, 60)
    driver.configure(single)
    one = driver.capture(None, 5)
    assert mean.counts.max() == pytest.approx(one.counts.max(), rel=0.01)
    dark = slice(0, 200)
    assert np.std(np.diff(mean.counts[dark])) < 0.2 * np.std(np.diff(one.counts[dark]))
    assert mean.duration_s == pytest.approx(0.05 + 99 * (0.05 + world.overhead_s))


def test_readouts_lie_around_the_wanted_moment(make, clock):
    driver, _ = make()
    driver.open(5)
    driver.configure(SpectrometerSettings(0.1, 8))
    driver.capture(None, 5)
    for number in range(3):
        wanted = clock.monotonic_s() + 3 + number
        spectrum = driver.capture(wanted, 5)
        assert spectrum.mid_exposure_s == pytest.approx(wanted, abs=0.02)
        assert spectrum.time == clock.utc_at(spectrum.mid_exposure_s)


@pytest.mark.parametrize("coadds", [1, 4])
def test_readouts_that_were_kept_for_long_are_thrown_away(make, clock, coadds):
    driver, world = make()
    driver.open(5)
    world.buffered = True
    driver.configure(SpectrometerSettings(0.2, coadds))
    driver.capture(None, 5)
    clock.advance(30.0)
    before = len(world.taken_at)
    spectrum = driver.capture(clock.monotonic_s() + 2.0, 5)
    assert spectrum.metadata["old_readout_discarded"]
    assert len(world.taken_at) - before == coadds + 1
    used = world.taken_at[before + 1 :]
    assert spectrum.mid_exposure_s == pytest.approx(sum(used) / coadds, abs=0.01)


def test_saturation_of_single_readouts_is_seen(make):
    driver, world = make()
    driver.open(5)
    world.rate = 1e7
    driver.configure(SpectrometerSettings(0.1, 2))
    assert driver.capture(None, 5).saturated_share > 0.2


def test_unplugged_and_plugged_in_again(make):
    driver, world = make()
    driver.open(5)
    world.unplugged = True
    with pytest.raises(DeviceMissingError, match=r"does not (give a spectrum|take)"):
        driver.capture(None, 5)
    with pytest.raises(DeviceMissingError, match="no spectrometer is connected"):
        driver.open(5)
    driver.close()
    world.unplugged = False
    driver.open(5)
    assert driver.capture(None, 5).counts.size == 2048


def test_right_one_of_several(make, seabreeze_fake):
    devices = [seabreeze_fake.Device(), seabreeze_fake.Device("SR2", "SR200456", limits=(1, 10_000_000))]
    by_serial, _ = make(devices=devices, serial="SR200456")
    assert by_serial.open(5).model == "SR2"
    by_serial.close()
    by_model, _ = make(devices=devices, model="Ocean SR2")
    assert by_model.open(5).serial == "SR200456"
    by_model.close()
    flame, _ = make(devices=devices, model="Flame-S")
    assert flame.open(5).serial == "FLMS01234"
    flame.close()
    wrong, _ = make(devices=devices, serial="OTHER")
    with pytest.raises(WrongDeviceError, match="SR200456"):
        wrong.open(5)


def test_in_use_by_another_program(make):
    driver, world = make()
    world.devices[0].is_open = True
    with pytest.raises(DeviceMissingError, match="already opened"):
        driver.open(5)


def test_a_spectrometer_that_lost_its_setting_is_noticed_and_set_again(make):
    driver, world = make()
    driver.open(5)
    driver.configure(SpectrometerSettings(0.2, 3))
    driver.capture(None, 5)
    world.resets = True
    with pytest.raises(DeviceDataError, match="too quick"):
        driver.capture(None, 5)
    world.resets = False
    driver.capture(None, 5)
    assert world.set_log == [200_000, 200_000]


def test_wavelengths_that_cannot_be_are_refused(make):
    driver, world = make()
    world.bad_wavelengths = True
    with pytest.raises(DeviceDataError, match="wavelengths"):
        driver.open(5)
    assert not world.devices[0].is_open


def test_slow_readouts_are_a_timeout(make):
    driver, world = make()
    driver.open(5)
    world.overhead_s = 3.0
    driver.configure(SpectrometerSettings(0.1, 10))
    with pytest.raises(DeviceTimeoutError):
        driver.capture(None, 5)


def test_a_stop_ends_the_coadds(make, context):
    driver, _ = make()
    driver.open(5)
    context.stop.set()
    with pytest.raises(DeviceStoppedError):
        driver.capture(None, 5)


def test_callers_may_change_what_they_got(make):
    driver, _ = make()
    driver.open(5)
    first = driver.capture(None, 5)
    first.wavelengths_nm[:] = 0
    assert driver.capture(None, 5).wavelengths_nm[0] == 242.0


def test_passes_the_checks_of_the_agent(make, context):
    driver, _ = make(model="Flame-S")
    checked = CheckedSpectrometer(
        driver, SpectrometerDevice(name="spectrometer", driver="seabreeze", model="Flame-S"), context
    )
    checked.open(5)
    checked.configure(SpectrometerSettings(0.05, 3))
    assert checked.capture(None, 5).coadds == 3
    checked.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves a socket open
def test_the_library_itself_finds_nothing_here(context):
    """With the real seabreeze and no spectrometer: a clear error, and no traceback of USB libraries."""
    pytest.importorskip("seabreeze")
    spectrometer = create_spectrometer(SpectrometerDevice(name="spectrometer", driver="seabreeze"), context)
    with pytest.raises((DeviceMissingError, DriverError)) as caught:
        spectrometer.open(5)
    assert caught.value.remedy
