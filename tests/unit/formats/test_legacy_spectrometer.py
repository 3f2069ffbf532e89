"""What an import carries of spectrometer, calibration, Nadeau's method, devices and schedule, in which units."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from so2cam.core.records import Band
from so2cam.core.site import Site
from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.legacy import LegacyImport, Outcome, Wishes, import_legacy
from so2cam.formats.legacy.fates import (
    CAMERA_FATES,
    CONFIG_FATES,
    SETTINGS_FATES,
    job_fate,
    settings_fate,
    spectrometer_fate,
)
from so2cam.formats.legacy.parse import flatten
from so2cam.formats.sitefile import load_site
from so2cam.observe.schedule import check_schedule
from so2cam.pipeline.legacy_site import import_site

GEOMETRY = "volcano=Villarrica\nlat=-39.3774\nlon=-71.946386\naltitude=1170\nelev=19.0\nazim=171.3\n"
CAMERA: dict[str, Any] = {
    "pix_num_x": 648,
    "pix_num_y": 486,
    "bit_depth": 10,
    "shutter_speed": 10000,
    "framerate": 0.25,
    "analog_gain": 2.0,
    "min_saturation": 0.5,
    "max_saturation": 0.8,
    "saturation_pixels": 50,
    "saturation_rows": -200,
    "auto_ss": False,
    "raw_num_x": 2592,
}
SPECTROMETER: dict[str, Any] = {
    "pix_num": 2048,
    "int_time": 300,
    "coadd": 4,
    "framerate": 0.2,
    "wavelength_min": 305.0,
    "wavelength_max": 335.0,
    "min_saturation": 0.6,
    "max_saturation": 0.9,
    "saturation_pixels": 3,
    "auto_int": True,
    "model": "Flame-S",
}
SETTINGS: dict[str, Any] = {
    "bg_mode": 5,
    "cal_type_int": 1,
    "flow_raw": 1,
    "flow_nadeau": 1,
    "default_cam_geom": "./pycam/conf/home.txt",
    "doas_method": "ifit",
    "ILS_path": "./pycam/cal/ils.txt",
    "include_ils_fit": False,
    "start_stray_wave": 290,
    "end_stray_wave": 294.5,
    "start_fit_wave": 309,
    "end_fit_wave": 319,
    "start_fit_wave_ld": 313,
    "end_fit_wave_ld": 323,
    "use_light_dilution_spec": 0,
    "LDF": 0.0,
    "spec_recal_time": 0,
    "shift": 0,
    "species_paths": {
        "SO2": {"path": "./cal/SO2_293K.txt", "value": 1e16},
        "O3": {"path": "./cal/my_ozone.txt", "value": 1e19},
        "Ring": {"path": "./cal/Ring.txt", "value": 0.1},
    },
    "remove_doas_mins": 45,
    "doas_recal": 1,
    "doas_fov_recal": 1,
    "doas_fov_recal_mins": 20,
    "fix_fov": 0,
    "fov_rad": 0,
    "centre_pix_x": 0,
    "centre_pix_y": 0,
    "max_doas_cam_dif": 2,
    "polyorder_cal": 1,
    "doas_cal_adjust_offset": 0,
    "maxrad_doas": 1.0,
    "auto_nadeau_line": False,
    "source_coords": [376, 227],
    "nadeau_line_orientation": 311,
    "nadeau_line_length": 200,
    "max_nad_shift": 40,
    "auto_nadeau_pcs": 1,
}
CRONTAB = (
    "PATH=/bin\n30 08 * * * python3 /x/start_instrument.py >> /x/log\n00 21 * * * python3 /x/stop_instrument.py\n"
    "00 23 * * * python3 /x/pycam_master2.py -d\n*/5 * * * * bash /x/log_temperature.sh\n# 0 * * * * /x/upload.py\n"
)
TABLE = "# nm\n" + "".join(f"{300 + row / 10} {1 + row % 7}e-20\n" for row in range(40))
YML = "conf/processing_setting_defaults.yml"
POINTS = "processing.calibration.spectrometer"


class Old:
    """An installation in a folder, whose settings are changed before it is imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("conf/home.txt", GEOMETRY)
        self.write("lines/near.txt", "x=273,408\ny=236,101\norientation=left\n")
        self.settings()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def settings(self, **changes: Any) -> "Old":
        self.write(YML, yaml.safe_dump({**SETTINGS, **changes}))
        return self

    def specs(self, name: str, values: dict[str, Any], **changes: Any) -> "Old":
        self.write(f"conf/{name}", "".join(f"{key}={value}\n" for key, value in {**values, **changes}.items()))
        return self

    def cameras(self, **changes: Any) -> "Old":
        for band in ("on", "off"):
            self.specs(f"cam_specs_{band}.txt", {**CAMERA, "band": band}, **changes)
        return self

    def read(self, wishes: Wishes | None = None, *, can_copy: bool = True) -> LegacyImport:
        """Import, and see that the text says what the site is, and each key once."""
        result = import_legacy(self.folder, wishes, can_copy=can_copy)
        assert Site.model_validate(tomllib.loads(result.text)) == result.site
        settings = next(file for file in result.files if file.name == YML)
        expected = flatten(yaml.safe_load((self.folder / YML).read_text(encoding="utf-8")))
        assert sorted(settings.entries) == sorted(expected)
        assert all(entry.note for file in result.files for entry in file.entries.values())
        return result


@pytest.fixture
def old(tmp_path: Path) -> Old:
    return Old(tmp_path / "pycam")


def entry(result: LegacyImport, key: str, name: str = YML) -> tuple[Outcome, str]:
    found = next(file for file in result.files if file.name == name).entries[key]
    return found.outcome, found.note


def spectrometer(result: LegacyImport) -> Spectrometer:
    assert result.site.spectrometer is not None
    return result.site.spectrometer


def noticed(result: LegacyImport, *parts: str) -> bool:
    return any(all(part in notice for part in parts) for notice in result.notices)


# --- the fit -----------------------------------------------------------------------------------------------------


def test_windows_and_method(old: Old) -> None:
    result = old.read()
    made = spectrometer(result)
    assert made.fit.window_nm == (309, 319)
    assert made.fit.method == "intensity"
    assert made.detector.stray_light_nm == (290, 294.5)
    assert made.light_dilution.mode == "none"
    assert made.light_dilution.second_window_nm == (313, 323)
    assert entry(result, "end_fit_wave") == (Outcome.CARRIED, "`spectrometer.fit.window_nm[1]`: nm")
    assert entry(result, "shift")[0] is Outcome.OWN_WAY
    assert spectrometer(old.settings(doas_method="doas").read()).fit.method == "optical-density"
    assert entry(old.settings(doas_method="new").read(), "doas_method")[0] is Outcome.LOOK


@pytest.mark.parametrize(
    "changes",
    [
        {"end_stray_wave": 310},
        {"start_fit_wave": 318.5},
        {"start_fit_wave": 30, "end_fit_wave": 40},
        {"start_stray_wave": "low"},
    ],
)
def test_impossible_windows_keep_defaults(old: Old, changes: dict[str, Any]) -> None:
    result = old.settings(**changes).read()
    key = next(iter(changes))
    assert entry(result, key)[0] is Outcome.LOOK
    assert spectrometer(result).detector == Spectrometer().detector
    assert (spectrometer(result).fit.window_nm == (309, 319)) == (key == "start_stray_wave")


def test_no_spectrometer_without_its_settings(old: Old) -> None:
    old.write(YML, "bg_mode: 5\ncal_type_int: 0\n")
    assert old.read().site.spectrometer is None


def test_line_shape_is_put_beside_the_site_file(old: Old, tmp_path: Path) -> None:
    old.write("cal/ils.txt", TABLE)
    result = old.read()
    shape = spectrometer(result).line_shape
    assert (shape.source, shape.file) == ("file", "ils.txt")
    assert result.copies == {"ils.txt": TABLE.encode()}
    assert entry(result, "ILS_path")[0] is Outcome.CARRIED
    # Where nothing can be put beside it, nothing is named.
    result = old.read(can_copy=False)
    assert spectrometer(result).line_shape.source == "super-gaussian"
    assert result.copies == {}
    assert entry(result, "ILS_path")[0] is Outcome.LOOK
    assert noticed(result, "line shape is not carried", "beside the site file")


@pytest.mark.parametrize("text", [None, "# nm\n" + "5 1\n" * 20])
def test_line_shape_that_is_missing_or_damaged(old: Old, text: str | None) -> None:
    if text is not None:
        old.write("cal/ils.txt", text)
    result = old.read()
    assert spectrometer(result).line_shape.source == "super-gaussian"
    assert entry(result, "ILS_path")[0] is Outcome.LOOK
    assert noticed(result, "line shape is not carried")
    assert result.copies == {}


def test_line_shape_that_is_fitted(old: Old) -> None:
    old.write("cal/ils.txt", TABLE)
    result = old.settings(include_ils_fit=True).read()
    shape = spectrometer(result).line_shape
    assert shape.fit == ("width", "exponent", "width_asymmetry", "exponent_asymmetry")
    assert shape.file is None
    assert entry(result, "ILS_path")[0] is Outcome.NOT_USED


def test_reference_spectra(old: Old) -> None:
    old.write("cal/my_ozone.txt", TABLE)
    result = old.read()
    references = spectrometer(result).references
    assert references.so2.table == "so2-bogumil2003-293k"
    assert [one.file for one in references.o3] == ["my_ozone.txt"]
    assert result.copies == {"my_ozone.txt": TABLE.encode()}
    assert entry(result, "species_paths.SO2.path")[0] is Outcome.OWN_WAY
    assert entry(result, "species_paths.O3.path")[0] is Outcome.CARRIED
    assert entry(result, "species_paths.O3.value")[0] is Outcome.OWN_WAY
    (old.folder / "cal/my_ozone.txt").unlink()
    result = old.read()
    assert spectrometer(result).references.o3 == Spectrometer().references.o3
    assert entry(result, "species_paths.O3.path")[0] is Outcome.LOOK
    assert noticed(result, "reference spectrum of O3")


def test_species_that_the_fit_does_not_have(old: Old) -> None:
    result = old.settings(species_paths={"BrO": {"path": "bro.txt", "value": 1}}).read()
    assert entry(result, "species_paths.BrO.path")[0] is Outcome.NOT_YET
    assert noticed(result, "BrO")


def test_light_dilution_of_spectra(old: Old) -> None:
    result = old.settings(use_light_dilution_spec=1).read()
    assert spectrometer(result).light_dilution.mode == "fit"
    assert entry(result, "use_light_dilution_spec")[0] is Outcome.CARRIED
    result = old.settings(use_light_dilution_spec=1, doas_method="doas").read()
    assert spectrometer(result).light_dilution.mode == "none"
    assert entry(result, "use_light_dilution_spec")[0] is Outcome.LOOK
    result = old.settings(LDF=0.3).read()
    assert spectrometer(result).light_dilution.mode == "none"
    assert entry(result, "LDF")[0] is Outcome.LOOK
    assert noticed(result, "LDF is 0.3", 'mode = "fixed", value = 0.3')


# --- the calibration ---------------------------------------------------------------------------------------------


def test_points_of_the_spectrometer(old: Old) -> None:
    result = old.read()
    calibration = result.site.processing.calibration
    assert (calibration.source, calibration.model) == ("spectrometer", "line")
    assert (calibration.spectrometer.policy, calibration.spectrometer.window_s) == ("rolling", 2700)
    view = calibration.spectrometer.field_of_view
    assert (view.source, view.interval_s) == ("correlation", 1200)
    # Another meaning: 2 s for the one spectrum that is near, here for those on both sides.
    assert calibration.spectrometer.maximum_gap_s == 15
    assert entry(result, "max_doas_cam_dif")[0] is Outcome.OWN_WAY


def test_calibration_that_is_not_rolling(old: Old) -> None:
    result = old.settings(doas_recal=0, doas_fov_recal=0, remove_doas_mins=0, polyorder_cal=2).read()
    calibration = result.site.processing.calibration
    assert (calibration.model, calibration.spectrometer.policy) == ("band", "whole")
    assert (calibration.spectrometer.window_s, calibration.spectrometer.field_of_view.interval_s) == (3600, 1800)
    assert entry(result, "polyorder_cal")[0] is Outcome.LOOK
    assert entry(result, "remove_doas_mins")[0] is Outcome.LOOK
    assert entry(result, "doas_fov_recal_mins")[0] is Outcome.NOT_USED
    assert entry(old.settings(cal_type_int=0).read(), "polyorder_cal")[0] is Outcome.NOT_USED


def test_field_of_view_that_is_fixed(old: Old) -> None:
    result = old.settings(fix_fov=1, fov_rad=12, centre_pix_x=300, centre_pix_y=140).read()
    view = result.site.processing.calibration.spectrometer.field_of_view
    assert (view.source, view.x, view.y, view.radius_px) == ("given", 300, 140, 12)
    assert entry(result, "centre_pix_y") == (Outcome.CARRIED, f"`{POINTS}.field_of_view.y`")
    assert noticed(result, "fixed at (300, 140)", "/setup/field-of-view")


@pytest.mark.parametrize("changes", [{"fov_rad": 0}, {"centre_pix_x": 648}, {"centre_pix_y": -1}, {"fov_rad": "x"}])
def test_field_of_view_that_cannot_be(old: Old, changes: dict[str, Any]) -> None:
    result = old.settings(**{"fix_fov": 1, "fov_rad": 12, "centre_pix_x": 300, "centre_pix_y": 140, **changes}).read()
    assert result.site.processing.calibration.spectrometer.field_of_view.source == "correlation"
    assert entry(result, "fix_fov")[0] is Outcome.LOOK


def test_mask_and_earlier_calibrations_are_told(old: Old) -> None:
    result = old.settings(use_sensitivity_mask=1, cal_series_path="full_calibration.csv").read()
    assert entry(result, "use_sensitivity_mask")[0] is Outcome.LOOK
    assert noticed(result, "sensitivity_cell_ppm_m")
    assert entry(result, "cal_series_path")[0] is Outcome.NOT_YET
    result = old.settings(use_sensitivity_mask=0, cal_series_path="").read()
    assert entry(result, "use_sensitivity_mask")[0] is entry(result, "cal_series_path")[0] is Outcome.OWN_WAY


# --- Nadeau ------------------------------------------------------------------------------------------------------


def test_nadeau(old: Old) -> None:
    result = old.read()
    assert result.site.processing.speed.methods == ("flow_raw", "nadeau")
    nadeau = result.site.processing.speed.nadeau
    assert (nadeau.axis_deg, nadeau.length_px, nadeau.maximum_shift_px) == (311, 200, 80)
    assert entry(result, "source_coords")[0] is Outcome.OWN_WAY
    nadeau = old.settings(auto_nadeau_line=True).read().site.processing.speed.nadeau
    assert (nadeau.axis_deg, nadeau.length_px) == (None, 200)


def test_nadeau_that_cannot_be(old: Old) -> None:
    result = old.settings(nadeau_line_orientation=900, nadeau_line_length=5, max_nad_shift=50).read()
    assert result.site.processing.speed.nadeau == Site.model_fields["processing"].default.speed.nadeau
    for key in ("nadeau_line_orientation", "nadeau_line_length", "max_nad_shift"):
        assert entry(result, key)[0] is Outcome.LOOK


# --- the instrument ----------------------------------------------------------------------------------------------


def devices(result: LegacyImport) -> list[Any]:
    assert result.site.instrument is not None
    return [device for node in result.site.instrument.nodes for device in node.devices]


def test_cameras(old: Old) -> None:
    result = old.cameras().read()
    on, off = devices(result)
    assert isinstance(on, CameraDevice)
    assert isinstance(off, CameraDevice)
    assert [(one.name, one.band, one.index) for one in (on, off)] == [
        ("camera-on", Band.ON, 0),
        ("camera-off", Band.OFF, 1),
    ]
    for one in (on, off):
        assert (one.driver, one.exposure_s, one.gain) == ("picamera2", 0.01, 2.0)
        exposure = one.automatic
        assert (exposure.enabled, exposure.low, exposure.high, exposure.target) == (False, 0.5, 0.8, 0.63)
        assert (exposure.brightest_pixels, exposure.rows) == (50, (286, 485))
    assert result.site.instrument is not None
    assert result.site.instrument.acquisition.period_s == 4
    assert result.site.instrument.schedule is None
    name = "conf/cam_specs_off.txt"
    assert entry(result, "shutter_speed", name)[1].startswith("`instrument.nodes[0].devices[1].exposure_s`")
    assert noticed(result, "[instrument]", "instrument.nodes.network.address")


@pytest.mark.parametrize(("rows", "expected"), [(243, (0, 242)), (-1, (485, 485)), (0, (0, 485))])
def test_rows_of_the_exposure(old: Old, rows: int, expected: tuple[int, int]) -> None:
    assert devices(old.cameras(saturation_rows=rows).read())[0].automatic.rows == expected


@pytest.mark.parametrize("rows", [0.5, 900, "x"])
def test_rows_that_cannot_be(old: Old, rows: object) -> None:
    result = old.cameras(saturation_rows=rows).read()
    assert devices(result)[0].automatic.rows is None
    assert entry(result, "saturation_rows", "conf/cam_specs_on.txt")[0] is Outcome.LOOK


def test_upper_half_where_no_rows_are_given(old: Old) -> None:
    given = {key: value for key, value in CAMERA.items() if key != "saturation_rows"}
    for band in ("on", "off"):
        old.specs(f"cam_specs_{band}.txt", {**given, "band": band})
    assert devices(old.read())[0].automatic.rows == (0, 242)


def test_impossible_settings_of_cameras(old: Old) -> None:
    changes = {
        "shutter_speed": 6_000_000,
        "framerate": 0,
        "analog_gain": 0.5,
        "min_saturation": 0.9,
        "saturation_pixels": 0,
        "saturation_rows": 900,
        "auto_ss": "maybe",
    }
    result = old.cameras(**changes).read()
    for key in changes:
        assert entry(result, key, "conf/cam_specs_on.txt")[0] is Outcome.LOOK, key
    assert devices(result)[0] == CameraDevice(name="camera-on", driver="picamera2", band=Band.ON, index=0)


def test_no_instrument_from_one_camera(old: Old) -> None:
    result = old.specs("cam_specs.txt", CAMERA).read()
    assert result.site.instrument is None
    outcome, note = entry(result, "shutter_speed", "conf/cam_specs.txt")
    assert outcome is Outcome.NOT_USED
    assert "instrument.nodes.devices.exposure_s" in note


def test_spectrometer_as_a_device(old: Old) -> None:
    result = old.cameras().specs("spec_specs.txt", SPECTROMETER).read()
    device = devices(result)[2]
    assert isinstance(device, SpectrometerDevice)
    assert (device.driver, device.integration_time_s, device.coadds) == ("seabreeze", 0.3, 4)
    exposure = device.automatic
    assert (exposure.low, exposure.high, exposure.target, exposure.brightest_pixels) == (0.6, 0.9, 0.73, 3)
    assert exposure.window_nm == (305, 335)
    assert result.site.instrument is not None
    assert result.site.instrument.acquisition.spectrum_period_s == 5
    assert entry(result, "int_time", "conf/spec_specs.txt")[0] is Outcome.CARRIED


def test_spectrometer_without_a_driver(old: Old) -> None:
    result = old.cameras().specs("spec_specs.txt", SPECTROMETER, model="Avantes", file_ext=".txt").read()
    assert len(devices(result)) == 2
    assert entry(result, "model", "conf/spec_specs.txt")[0] is Outcome.NOT_YET
    assert entry(result, "file_ext", "conf/spec_specs.txt")[0] is Outcome.LOOK
    assert noticed(result, "no driver", "Avantes")


# --- the schedule ------------------------------------------------------------------------------------------------


def windows(result: LegacyImport) -> list[tuple[Any, ...]]:
    assert result.site.instrument is not None
    schedule = result.site.instrument.schedule
    return [] if schedule is None else [(w.do, w.start, w.end, w.sun_below_deg) for w in schedule.windows]


def test_schedule(old: Old) -> None:
    old.cameras().write("conf/script_schedule.txt", CRONTAB)
    result = import_site(old.folder)
    assert windows(result) == [("capture", "08:30", "21:00", None), ("darks", "23:00", "08:30", -12.0)]
    assert result.site.instrument is not None
    assert result.site.instrument.schedule is not None
    found = check_schedule(result.site.instrument.schedule, result.site.camera.position, 2026)
    assert [one for one in found if one.severity == "error"] == []
    name = "conf/script_schedule.txt"
    assert entry(result, "30 08 * * * start_instrument.py", name)[1].startswith(
        "`instrument.schedule.windows[0].start`"
    )
    assert entry(result, "*/5 * * * * log_temperature.sh", name)[0] is Outcome.OWN_WAY


def test_darks_that_contradict_are_left_out(old: Old) -> None:
    old.cameras().write("conf/script_schedule.txt", CRONTAB.replace("00 21", "30 23"))
    result = import_site(old.folder)
    assert windows(result) == [("capture", "08:30", "23:30", None)]
    outcome, note = entry(result, "00 23 * * * pycam_master2.py -d", "conf/script_schedule.txt")
    assert outcome is Outcome.LOOK
    assert "at once" in note
    assert noticed(result, "old time for darks")


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (CRONTAB, {"time_zone": -3}),
        (CRONTAB.replace("00 21 * * *", "00 21 * * MON"), {}),
        (CRONTAB.replace("00 21", "30 08"), {}),
        (CRONTAB.replace("00 21", "00 99"), {}),
    ],
)
def test_schedules_that_are_not_carried(old: Old, text: str, changes: dict[str, Any]) -> None:
    old.cameras().settings(**changes).write("conf/script_schedule.txt", text)
    result = old.read()
    assert windows(result) == []
    assert entry(result, "30 08 * * * start_instrument.py", "conf/script_schedule.txt")[0] is Outcome.LOOK


# --- what the import says ----------------------------------------------------------------------------------------

NOT_CARRIED_YET = {"cal_type_int", "cal_series_path", "model", "species_paths.BrO.path"}
"""All keys that may ever be "not carried yet": what so2cam really has not. A longer list needs a reason."""


def test_nothing_is_said_to_be_missing_that_is_there(old: Old) -> None:
    changes: dict[str, Any] = dict.fromkeys([*SETTINGS_FATES, *CAMERA_FATES, *CONFIG_FATES], "1")
    changes |= {**SETTINGS, "cal_type_int": 3, "cal_series_path": "x.csv", "species_paths": {"BrO": {"path": "b.txt"}}}
    old.cameras().specs("spec_specs.txt", SPECTROMETER, model="Avantes").settings(**changes)
    old.specs("config.txt", dict.fromkeys(CONFIG_FATES, "1")).specs("processing_setting_old.txt", {"shift": 0})
    old.write("conf/script_schedule.txt", CRONTAB)
    result = old.read()
    assert {
        entry.key for file in result.files for entry in file.entries.values() if entry.outcome is Outcome.NOT_YET
    } == NOT_CARRIED_YET
    assert not any(file.outcome is Outcome.NOT_YET for file in result.files)
    by_default = [*SETTINGS_FATES.values(), *CAMERA_FATES.values(), *CONFIG_FATES.values(), settings_fate("LDF")]
    by_default += [spectrometer_fate(key, "1") for key in SPECTROMETER]
    assert Outcome.NOT_YET not in {outcome for outcome, _ in by_default}
    assert job_fate("dance.py") is None


def test_where_a_key_goes_is_a_key_of_the_site_file(old: Old) -> None:
    old.write("cal/ils.txt", TABLE)
    old.cameras().specs("spec_specs.txt", SPECTROMETER).settings(fix_fov=1, fov_rad=9, centre_pix_x=9, centre_pix_y=9)
    old.write("conf/script_schedule.txt", CRONTAB)
    result = old.read()
    site = result.site.model_dump(mode="json")
    carried = [
        entry.note.split("`")[1].split(", ")[0]
        for file in result.files
        for entry in file.entries.values()
        if entry.outcome is Outcome.CARRIED and entry.note.startswith("`")
    ]
    assert len(carried) > 60
    for where in carried:
        value: Any = site
        for part in where.replace("[", ".").replace("]", "").split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]


@pytest.mark.data
def test_real_installation(data_dir: Path, tmp_path: Path) -> None:
    result = import_site(data_dir / "legacy_config", can_copy=True)
    path = tmp_path / "site.toml"
    path.write_text(result.text, encoding="utf-8")
    site = load_site(path).site
    assert site == result.site
    calibration = site.processing.calibration
    assert (calibration.source, calibration.model) == ("spectrometer", "line")
    assert (calibration.spectrometer.policy, calibration.spectrometer.window_s) == ("rolling", 1800)
    made = spectrometer(result)
    assert (made.fit.window_nm, made.detector.stray_light_nm) == ((308, 318), (293, 296))
    nadeau = site.processing.speed.nadeau
    assert (nadeau.axis_deg, nadeau.length_px, nadeau.maximum_shift_px) == (311, 215, 107.5)
    assert windows(result) == [("capture", "09:00", "21:00", None), ("darks", "23:00", "09:00", -12.0)]
    assert [device.name for device in devices(result)] == ["camera-on", "camera-off"]
    assert {
        entry.key for file in result.files for entry in file.entries.values() if entry.outcome is Outcome.NOT_YET
    } == {"model"}


@pytest.mark.data
def test_direction_of_nadeau_counts_as_the_old_one(data_dir: Path) -> None:
    # The old axis of Villarrica is that across the lines that were drawn there: clockwise from the top of the image.
    axis = import_legacy(data_dir / "legacy_config").site.processing.speed.nadeau.axis_deg
    assert axis is not None
    drift = np.array([np.sin(np.radians(axis)), -np.cos(np.radians(axis))])
    lines = import_legacy(data_dir / "villarrica" / "setup").site.lines
    assert len(lines) == 2
    for line in lines:
        assert np.dot(line.to_plume_line().normal, drift) > 0.95


@pytest.mark.data
def test_real_line_shape(old: Old, data_dir: Path) -> None:
    source = data_dir / "spectra_flame" / "2019-07-03_302nm_ILS.txt"
    old.write("cal/2019-07-03_302nm_ILS.txt", source.read_text(encoding="utf-8"))
    result = old.settings(ILS_path="./pycam/tests/2019-07-03_302nm_ILS.txt").read()
    assert spectrometer(result).line_shape.file == source.name
    copied = np.loadtxt(result.copies[source.name].decode().splitlines())
    assert np.array_equal(copied, np.loadtxt(source))
