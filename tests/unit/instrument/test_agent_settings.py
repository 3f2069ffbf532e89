"""Settings changed while running: all or nothing, named limits, kept over a restart."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.records import Band
from so2cam.core.site_devices import BOTTOM_ROW, AutomaticExposure, CameraDevice, SpectrometerDevice
from so2cam.core.site_instrument import Acquisition
from so2cam.instrument.errors import SettingRefusedError
from so2cam.instrument.settings import (
    DeviceSettings,
    OverrideFile,
    changed,
    from_site,
    load_settings,
    parse_values,
    with_overrides,
)
from so2cam.link.messages import DeviceChange, DeviceValues

CAMERA = from_site(CameraDevice(name="camera-on", driver="simulated", band=Band.ON), Acquisition(period_s=4.0))
SPECTROMETER = from_site(
    SpectrometerDevice(name="spectrometer", driver="simulated"), Acquisition(period_s=4.0, spectrum_period_s=2.0)
)


def change(
    site: DeviceSettings, present: DeviceSettings | None = None, *, reset: bool = False, **values: object
) -> DeviceSettings:
    return changed(site, present or site, DeviceChange(values=DeviceValues(**values), reset=reset))  # type: ignore[arg-type]


def test_automatic_off_and_an_exposure_is_one_change() -> None:
    found = change(CAMERA, automatic=False, exposure_s=0.02)
    assert isinstance(found.device, CameraDevice)
    assert not found.device.automatic.enabled
    assert found.device.exposure_s == 0.02
    assert dict(found.overrides) == {"automatic": False, "exposure_s": 0.02}


def test_an_exposure_while_it_is_automatic_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingRefusedError, match="automatically") as caught:
        change(CAMERA, exposure_s=0.02)
    assert caught.value.key == "camera-on.exposure_s"
    assert "same request" in (caught.value.remedy or "")
    fixed = change(CAMERA, automatic=False)
    assert change(CAMERA, fixed, exposure_s=0.02).values()["exposure_s"] == 0.02


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"automatic": False, "exposure_s": 20.0}, "0.0001 to 1"),
        ({"gain": 100.0}, "64"),
        ({"low_fraction": 0.9}, "increase"),
        ({"period_s": 0.1}, "0.25"),
        ({"period_s": 1e5}, "3600"),
        ({"coadds": 3}, "no such setting"),
        ({"shortest_exposure_s": 0.5}, "limits"),
    ],
)
def test_limits_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingRefusedError, match=words) as caught:
        change(CAMERA, **values)
    assert (caught.value.key or "").startswith("camera-on")


def test_a_spectrometer_has_its_own_settings_and_period() -> None:
    assert SPECTROMETER.period_s == 2.0
    found = change(SPECTROMETER, automatic=False, exposure_s=1.5, coadds=10)
    assert found.values()["coadds"] == 10
    with pytest.raises(SettingRefusedError, match="no such setting"):
        change(SPECTROMETER, gain=2.0)


def test_reset_goes_back_to_the_site_file() -> None:
    found = change(CAMERA, automatic=False, exposure_s=0.02, gain=2.0)
    assert dict(change(CAMERA, found, reset=True).overrides) == {}
    assert dict(change(CAMERA, found, reset=True, gain=4.0).overrides) == {"gain": 4.0}
    assert dict(change(CAMERA, found, gain=1.0).overrides) == {"automatic": False, "exposure_s": 0.02}


def test_rows_are_two_numbers_and_all_rows_again(tmp_path: Path) -> None:
    assert {CAMERA.values()["first_row"], CAMERA.values()["last_row"]} == {0, BOTTOM_ROW}
    found = change(CAMERA, last_row=242)
    assert found.device.automatic.rows == (0, 242)
    assert dict(found.overrides) == {"last_row": 242}
    lower = change(CAMERA, found, first_row=10)
    assert lower.device.automatic.rows == (10, 242)
    file = OverrideFile(tmp_path / "settings.json")
    file.save([lower])
    assert load_settings({"camera-on": CAMERA}, file) == {"camera-on": lower}
    whole = change(CAMERA, lower, first_row=0, last_row=BOTTOM_ROW)
    assert whole.device.automatic.rows is None
    assert dict(whole.overrides) == {}
    with pytest.raises(SettingRefusedError, match="row") as caught:
        change(CAMERA, lower, first_row=243)
    assert caught.value.key == "camera-on.first_row and last_row"


def test_rows_of_the_site_file_are_what_reset_goes_back_to() -> None:
    automatic = AutomaticExposure(rows=(0, 242))
    site = from_site(CAMERA.device.model_copy(update={"automatic": automatic}), Acquisition())
    assert dict(change(site, last_row=242).overrides) == {}
    whole = change(site, last_row=BOTTOM_ROW)
    assert whole.device.automatic.rows is None
    assert dict(whole.overrides) == {"last_row": BOTTOM_ROW}
    assert change(site, whole, reset=True).device.automatic.rows == (0, 242)


def test_a_spectrometer_has_a_window(tmp_path: Path) -> None:
    found = change(SPECTROMETER, window_from_nm=305.0)
    assert found.device.automatic.window_nm == (305.0, 340.0)
    file = OverrideFile(tmp_path / "settings.json")
    file.save([found])
    assert load_settings({"spectrometer": SPECTROMETER}, file) == {"spectrometer": found}
    with pytest.raises(SettingRefusedError, match="from, to"):
        change(SPECTROMETER, found, window_to_nm=305.0)
    with pytest.raises(SettingRefusedError, match="no such setting"):
        change(CAMERA, window_from_nm=305.0)
    with pytest.raises(SettingRefusedError, match="no such setting"):
        change(SPECTROMETER, first_row=3)


def test_overrides_outlive_a_restart(tmp_path: Path) -> None:
    file = OverrideFile(tmp_path / "state" / "settings.json")
    assert file.load() == {}
    found = change(CAMERA, automatic=False, exposure_s=0.0123)
    file.save([found, SPECTROMETER])
    assert file.load() == {"camera-on": {"automatic": False, "exposure_s": 0.0123}}
    assert with_overrides(CAMERA, file.load()["camera-on"]) == found
    for broken in (b"{", b"[]", b'{"camera-on": 3}', b"\xff"):
        file.path.write_bytes(broken)
        with pytest.raises(SettingRefusedError, match="settings"):
            file.load()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["auto=off", "exposure=20ms"], {"automatic": False, "exposure_s": 0.02}),
        (["exposure=350us", "automatic=false"], {"automatic": False, "exposure_s": 350e-6}),
        (["period=2", "gain=1.5"], {"period_s": 2.0, "gain": 1.5}),
        (["period=2s", "coadds=10"], {"period_s": 2.0, "coadds": 10}),
        (["first_row=0", "last_row=bottom"], {"first_row": 0, "last_row": BOTTOM_ROW}),
        (["window_from_nm=305", "brightest_pixels=2"], {"window_from_nm": 305.0, "brightest_pixels": 2}),
    ],
)
def test_values_as_people_type_them(texts: list[str], expected: dict[str, object]) -> None:
    found = parse_values(texts).model_dump(exclude_none=True)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["exposure", "exposure=", "exposure=x", "x=1", "auto=maybe", "coadds=1.5", "exposure=-1", "period=nan"]
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(SettingRefusedError):
        parse_values([text])
    with pytest.raises(SettingRefusedError, match="twice"):
        parse_values(["gain=1", "gain=2"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "automatic": st.booleans(),
            "exposure_s": st.floats(1e-7, 100, exclude_min=True),
            "gain": st.floats(1e-3, 200),
            "coadds": st.integers(1, 2000),
            "period_s": st.floats(1e-3, 1e5),
            "low_fraction": st.floats(0.01, 0.99),
            "target_fraction": st.floats(0.01, 0.99),
            "high_fraction": st.floats(0.01, 0.99),
            "brightest_pixels": st.integers(1, 1_000_000),
            "first_row": st.integers(0, BOTTOM_ROW),
            "last_row": st.integers(0, BOTTOM_ROW),
            "window_from_nm": st.floats(1.0, 2000.0),
            "window_to_nm": st.floats(1.0, 2000.0),
            "longest_exposure_s": st.floats(1e-6, 100),
            "shortest_exposure_s": st.floats(1e-6, 100),
        },
    ),
    st.sampled_from([CAMERA, SPECTROMETER]),
)
def test_any_values_are_applied_in_full_or_refused(values: dict[str, object], site: DeviceSettings) -> None:
    try:
        found = change(site, **values)
    except SettingRefusedError:
        return
    applied = found.values()
    for key, value in values.items():
        assert applied[key] == value
    assert with_overrides(site, found.overrides) == found
