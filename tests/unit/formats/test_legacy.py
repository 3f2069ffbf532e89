import io
import os
import pickle
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from so2cam.core.errors import InputError, SiteFileError, So2camError
from so2cam.core.site import GeoPoint, Registration, Site
from so2cam.formats.legacy import (
    VENTS,
    FileAccount,
    LegacyImport,
    Outcome,
    Wishes,
    find_vent,
    format_report,
    import_legacy,
    parse_vent,
)
from so2cam.formats.legacy.account import is_secret, show_value
from so2cam.formats.legacy.parse import parse_crontab, parse_key_values, parse_yaml
from so2cam.formats.sitefile import load_site

GEOMETRY = (
    "# Geometry\nvolcano=Villarrica\nlat=-39.3774\nlon=-71.946386\naltitude=1170\nalt_offset=2\nelev=19.0\nazim=171.3\n"
)
CAMERA = (
    "pix_num_x=648\npix_num_y=486\nbit_depth=10\npix_size_x=5.6e-06\npix_size_y=5.6e-06\nfov_x=28.0\nfov_y=21.0\n"
    "band=on\nDICT=file_filterids\non=fltrA\noff=fltrB\nDICT_END\nauto_ss=True\n"
)
NEAR = "x=273,408\ny=236,101\norientation=left\n"
FAR = "x=234,379\ny=214,66\norientation=left\n"
SETTINGS = (
    "bg_mode: 5\ncal_type_int: 0\ntime_zone: 0\nflow_raw: 1\nflow_glob: 1\ncross_corr_recal: 30\nlevels: 4\n"
    "winsize: 20\niterations: 5\npcs_lines:\n- ./pycam/lines/near.txt\n- .\\pycam\\lines\\far.txt\n"
    "img_registration: ./pycam/reg.npy\ndefault_cam_geom: ./pycam/conf/cam_geom/home.txt\n"
)
MATRIX = np.array([[0.99991977, -0.012665674, -12.595472], [0.012665674, 0.99991977, 87.633812]], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete installation, small."""
    home = tmp_path / "pycam"
    write(home / "conf/cam_geom/home.txt", GEOMETRY)
    write(home / "conf/cam_specs_on.txt", CAMERA)
    write(home / "conf/processing_setting_defaults.yml", SETTINGS)
    write(home / "lines/near.txt", NEAR)
    write(home / "lines/far.txt", FAR)
    np.save(home / "reg.npy", MATRIX)
    return home


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    write(path, text.replace(old, new))


def account(result: LegacyImport, name: str) -> FileAccount:
    return next(file for file in result.files if file.name == name)


def outcome(result: LegacyImport, name: str, key: str) -> Outcome:
    return account(result, name).entries[key].outcome


def noticed(result: LegacyImport, *parts: str) -> bool:
    return any(all(part in notice for part in parts) for notice in result.notices)


YML = "conf/processing_setting_defaults.yml"
ON = "conf/cam_specs_on.txt"


# --- what is carried ---------------------------------------------------------------------------------------------


def test_complete_installation(folder: Path, tmp_path: Path) -> None:
    result = import_legacy(folder)
    site = result.site
    assert site.name == "villarrica"
    assert site.volcano.vent == VENTS["Villarrica"]
    assert site.camera.position == GeoPoint(latitude=-39.3774, longitude=-71.946386, altitude_m=1172)
    assert (site.camera.view.azimuth_deg, site.camera.view.elevation_deg) == (171.3, 19.0)
    assert (site.camera.optics.width_px, site.camera.optics.height_px) == (648, 486)
    assert (site.camera.optics.pixel_pitch_um, site.camera.optics.field_of_view_deg) == (5.6, (28, 21))
    assert (site.camera.sensor.bits, site.files.on_band, site.files.off_band) == (10, "fltrA", "fltrB")
    assert site.registration.matrix[0] == pytest.approx((0.99991977, -0.012665674, -12.595472), rel=1e-7)
    assert [(line.name, line.start, line.normal) for line in site.lines] == [
        ("near", (273, 236), "left"),
        ("far", (234, 214), "left"),
    ]
    assert site.processing.background.mode == "profile-y-gradient-x"
    speed = site.processing.speed
    assert speed.methods == ("flow_raw", "cross_correlation")
    assert (speed.cross_correlation.lines, speed.cross_correlation.window_s) == (("near", "far"), 1800)
    assert (speed.optical_flow.window_px, speed.optical_flow.levels, speed.optical_flow.iterations) == (20, 4, 5)
    assert site.plume_plane.vent_distance_uncertainty_m == 300
    path = tmp_path / "site.toml"
    write(path, result.text)
    assert load_site(path).site == site
    assert "PLACEHOLDER" not in result.text
    assert result.count(Outcome.LOOK) == 0


def test_same_folder_gives_the_same_files(folder: Path) -> None:
    first, second = import_legacy(folder), import_legacy(folder)
    assert first.text == second.text
    assert format_report(first, site_name="s.toml") == format_report(second, site_name="s.toml")


def test_vent_of_the_user(folder: Path) -> None:
    result = import_legacy(folder, Wishes(vent=parse_vent("-39.421, -71.939, 2840")))
    assert result.site.volcano.vent == GeoPoint(latitude=-39.421, longitude=-71.939, altitude_m=2840)
    assert result.site.plume_plane.vent_distance_uncertainty_m == 50
    assert not noticed(result, "vent")


@pytest.mark.parametrize("text", ["", "1,2", "1,2,x", "1,2,3,4", "91,0,0", "0,200,0", "0,0,nan", "0,0,1e9"])
def test_wrong_vents(text: str) -> None:
    with pytest.raises(InputError, match="--vent"):
        parse_vent(text)


def test_unknown_volcano_asks_for_the_vent(folder: Path) -> None:
    replace(folder / "conf/cam_geom/home.txt", "Villarrica", "Mount Doom")
    with pytest.raises(SiteFileError, match="--vent LAT,LON,ALT") as caught:
        import_legacy(folder)
    assert (caught.value.key, caught.value.value) == ("volcano", "Mount Doom")


def test_names_of_volcanoes_are_forgiven() -> None:
    assert find_vent("nevados_de_chillán") == VENTS["Nevados de Chillan"]
    assert find_vent("  LASCAR ") == VENTS["Lascar"]
    assert find_vent("Doom") is None


def test_contradicting_angles_keep_the_horizontal_one(folder: Path) -> None:
    replace(folder / ON, "fov_y=21.0", "fov_y=24.0")
    result = import_legacy(folder)
    assert result.site.camera.optics.field_of_view_deg == (28, 21.18)
    assert outcome(result, ON, "fov_y") is Outcome.LOOK
    assert noticed(result, "fov_y = 24 contradicts fov_x = 28")
    assert "# The old file says 24 for the vertical angle" in result.text


@pytest.mark.parametrize(
    ("mode", "expected"), [(0, "polynomial"), (7, "rectangle"), (8, None), (99, "clear-sky"), ("x", None)]
)
def test_background_modes(folder: Path, mode: object, expected: str | None) -> None:
    replace(folder / YML, "bg_mode: 5", f"bg_mode: {mode}")
    result = import_legacy(folder)
    assert result.site.processing.background.mode == (expected or "sky-surface")
    assert noticed(result, f"Background mode {mode}") == (expected is None)


@pytest.mark.parametrize(
    ("number", "source", "expected"),
    [
        (0, "cells", Outcome.CARRIED),
        (1, "spectrometer", Outcome.CARRIED),
        (2, "joint", Outcome.CARRIED),
        (3, "cells", Outcome.NOT_YET),
        (8, "cells", Outcome.LOOK),
        ("x", "cells", Outcome.LOOK),
    ],
)
def test_calibration(folder: Path, number: object, source: str, expected: Outcome) -> None:
    replace(folder / YML, "cal_type_int: 0", f"cal_type_int: {number}")
    result = import_legacy(folder)
    assert result.site.processing.calibration.source == source
    assert outcome(result, YML, "cal_type_int") is expected
    assert noticed(result, "old calibration") == (expected is not Outcome.CARRIED)


def test_local_time_is_a_warning(folder: Path) -> None:
    replace(folder / YML, "time_zone: 0", "time_zone: -3")
    result = import_legacy(folder)
    assert noticed(result, "time_zone is -3", "UTC")
    assert outcome(result, YML, "time_zone") is Outcome.LOOK


def test_light_dilution_is_a_warning(folder: Path) -> None:
    write(folder / YML, SETTINGS + "use_light_dilution: 1\n")
    assert noticed(import_legacy(folder), "light dilution")


@pytest.mark.parametrize(
    ("flags", "methods"),
    [
        ("flow_raw: 1\nflow_glob: 0\n", ("flow_raw",)),
        ("flow_raw: false\nflow_glob: true\n", ("cross_correlation",)),
        ("flow_raw: 0\nflow_histo: 1\n", ("flow_histogram",)),
        ("flow_raw: 0\nflow_nadeau: 1\n", ("nadeau",)),
        ("flow_raw: 1\nflow_hybrid: 1\nflow_nadeau: 1\n", ("flow_raw", "flow_hybrid", "nadeau")),
        ("flow_raw: 0\n", ("flow_raw",)),
    ],
)
def test_speed_methods(folder: Path, flags: str, methods: tuple[str, ...]) -> None:
    replace(folder / YML, "flow_raw: 1\nflow_glob: 1\n", flags)
    result = import_legacy(folder)
    assert result.site.processing.speed.methods == methods
    assert noticed(result, "No speed method") == (flags == "flow_raw: 0\n")


def test_impossible_settings_keep_defaults(folder: Path) -> None:
    replace(folder / YML, "winsize: 20\niterations: 5", "winsize: 1000\niterations: many")
    replace(folder / YML, "cross_corr_recal: 30", "cross_corr_recal: 0")
    result = import_legacy(folder)
    flow = result.site.processing.speed.optical_flow
    assert (flow.window_px, flow.iterations) == (24, 4)
    assert outcome(result, YML, "winsize") is outcome(result, YML, "iterations") is Outcome.LOOK
    assert result.site.processing.speed.cross_correlation.window_s == 1200


def test_other_names_and_units_are_warnings(folder: Path) -> None:
    write(folder / ON, CAMERA + "file_datestr=%Y%m%d\nfile_ss_units=1e-3\nDICT=file_type\nmeas=Gas\nDICT_END\n")
    result = import_legacy(folder)
    for key in ("file_datestr", "file_ss_units", "file_type.meas"):
        assert outcome(result, ON, key) is Outcome.LOOK
    assert noticed(result, "file_type.meas = Gas")


def test_off_band_camera_is_compared(folder: Path) -> None:
    write(folder / "conf/cam_specs_off.txt", CAMERA.replace("band=on", "band=off").replace("depth=10", "depth=12"))
    result = import_legacy(folder)
    assert result.site.camera.sensor.bits == 10
    assert outcome(result, "conf/cam_specs_off.txt", "bit_depth") is Outcome.LOOK
    assert outcome(result, "conf/cam_specs_off.txt", "fov_x") is Outcome.OWN_WAY
    assert noticed(result, "cam_specs_off.txt differs", "bit_depth")


def test_first_generation_camera_without_bits_and_tags(folder: Path) -> None:
    (folder / ON).unlink()
    write(folder / "conf/cam_specs.txt", "pix_size_x=5.6e-6\npix_num_x=648\npix_num_y=486\nfov_x=28\nfov_y=24\n")
    site = import_legacy(folder).site
    assert (site.camera.sensor.bits, site.files.on_band) == (10, "fltrA")


# --- lines and registration --------------------------------------------------------------------------------------


def test_order_of_the_pair_is_that_along_the_normal(folder: Path) -> None:
    for name in ("near", "far"):
        replace(folder / f"lines/{name}.txt", "left", "right")
    result = import_legacy(folder)
    assert result.site.processing.speed.cross_correlation.lines == ("far", "near")


def test_old_line_is_one_of_the_pair(folder: Path) -> None:
    write(folder / "lines/between.txt", "x=260,395\ny=228,90\norientation=left\n")
    replace(folder / YML, "- ./pycam/lines/near.txt\n", "- ./pycam/lines/near.txt\n- between.txt\n")
    assert import_legacy(folder).site.processing.speed.cross_correlation.lines == ("near", "between")
    write(folder / "lines/far.txt", FAR + "type=old\n")
    result = import_legacy(folder)
    assert result.site.processing.speed.cross_correlation.lines == ("near", "far")
    assert noticed(result, "adds up its lines", "near, between")


@pytest.mark.parametrize("other", ["x=100,300\ny=300,310\norientation=left", "x=234,379\ny=214,66\norientation=right"])
def test_lines_that_are_no_pair(folder: Path, other: str) -> None:
    write(folder / "lines/far.txt", other)
    result = import_legacy(folder)
    assert result.site.processing.speed.methods == ("flow_raw",)
    assert outcome(result, YML, "flow_glob") is Outcome.LOOK


def test_what_stands_in_where_lines_and_registration_are_missing(folder: Path) -> None:
    for name in ("lines/near.txt", "lines/far.txt", "reg.npy"):
        (folder / name).unlink()
    result = import_legacy(folder)
    assert [line.name for line in result.site.lines] == ["placeholder"]
    assert result.site.registration == Registration(source="automatic")
    assert result.text.count("PLACEHOLDER") == 2
    assert noticed(result, "PLACEHOLDER - draw your own")
    assert noticed(result, "No registration was found: each run finds")
    assert result.site.processing.speed.methods == ("flow_raw",)
    for key in ("pcs_lines", "img_registration"):
        assert outcome(result, YML, key) is Outcome.LOOK


def test_terrain_lines_are_not_plume_lines(folder: Path) -> None:
    for name in ("near", "far"):
        (folder / f"lines/{name}.txt").rename(folder / f"lines/terrain_{name}.txt")
    result = import_legacy(folder)
    assert [line.name for line in result.site.lines] == ["placeholder"]
    assert outcome(result, "lines/terrain_near.txt", "x") is Outcome.CARRIED
    dilution = result.site.processing.light_dilution
    assert dilution.mode == "none"
    assert [region.name for region in dilution.regions] == ["terrain_far", "terrain_near"]
    assert dilution.regions[0].distance_m is None
    assert "add distance_m" in result.text


def test_lines_for_dilution_that_the_settings_name(folder: Path) -> None:
    (folder / "lines/flank.txt").write_text("x=206,222\ny=306,386\norientation=right\n")
    (folder / "lines/terrain_broken.txt").write_text("x=206,9999\ny=306,386\norientation=right\n")
    write(folder / YML, SETTINGS + "dil_lines: [lines/flank.txt]\nuse_light_dilution: 1\ndil_recal_time: 45\n")
    result = import_legacy(folder)
    dilution = result.site.processing.light_dilution
    assert [(region.name, region.points) for region in dilution.regions] == [("flank", ((206, 306), (222, 386)))]
    assert dilution.recalculation_min == 45
    assert outcome(result, "lines/flank.txt", "y") is Outcome.CARRIED
    assert outcome(result, YML, "dil_lines") is Outcome.CARRIED
    assert outcome(result, YML, "dil_recal_time") is Outcome.CARRIED
    assert outcome(result, YML, "use_light_dilution") is Outcome.LOOK
    assert noticed(result, "switched off", "distance_m")
    assert {line.name for line in result.site.lines} == {"near", "far"}


def test_a_line_for_dilution_outside_of_the_image_is_named(folder: Path) -> None:
    (folder / "lines/terrain_broken.txt").write_text("x=206,9999\ny=306,386\norientation=right\n")
    result = import_legacy(folder)
    assert result.site.processing.light_dilution.regions == ()
    assert outcome(result, "lines/terrain_broken.txt", "x") is Outcome.LOOK


def test_lines_that_the_settings_do_not_name_are_taken_with_a_warning(folder: Path) -> None:
    replace(folder / YML, "near.txt", "gone.txt")
    replace(folder / YML, "far.txt", "gone too.txt")
    result = import_legacy(folder)
    assert {line.name for line in result.site.lines} == {"near", "far"}
    assert noticed(result, "gone.txt", "taken instead")


def test_named_lines_only_partly_there(folder: Path) -> None:
    (folder / "lines/far.txt").unlink()
    result = import_legacy(folder)
    assert [line.name for line in result.site.lines] == ["near"]
    assert noticed(result, "not in the folder", "far.txt")


def test_lines_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    write(folder / "other/near.txt", FAR.replace("234", "200"))
    assert import_legacy(folder).site.lines[0].start == (273, 236)
    replace(folder / YML, "./pycam/lines/near.txt", "near.txt")
    with pytest.raises(InputError, match="--lines FILE"):
        import_legacy(folder)


def test_lines_of_the_user(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "total.txt", NEAR)
    result = import_legacy(folder, Wishes(lines=(tmp_path / "total.txt", folder / "lines/far.txt")))
    assert [line.name for line in result.site.lines] == ["total-line", "far"]
    assert outcome(result, "lines/near.txt", "x") is Outcome.NOT_USED
    assert outcome(result, "lines/far.txt", "x") is Outcome.CARRIED
    assert outcome(result, (tmp_path / "total.txt").as_posix(), "x") is Outcome.CARRIED


@pytest.mark.parametrize("content", ["x=1", "", "\0\0", "x=10,400\ny=50,50\norientation=left"])
def test_bad_lines_of_the_user_are_errors(folder: Path, tmp_path: Path, content: str) -> None:
    write(tmp_path / "bad.txt", content)
    with pytest.raises(So2camError):
        import_legacy(folder, Wishes(lines=(tmp_path / "bad.txt",)))
    with pytest.raises(InputError, match="no such file"):
        import_legacy(folder, Wishes(lines=(tmp_path / "none.txt",)))


def test_bad_lines_of_the_folder_are_named_and_left(folder: Path) -> None:
    write(folder / "lines/far.txt", "x=234,800\ny=214,66\norientation=left\n")
    result = import_legacy(folder)
    assert [line.name for line in result.site.lines] == ["near"]
    assert outcome(result, "lines/far.txt", "x") is Outcome.LOOK
    assert noticed(result, "far.txt is not carried", "outside the image")


def test_line_up_to_the_edge(folder: Path) -> None:
    write(folder / "lines/far.txt", "x=300.25,648\ny=486,100\norientation=left\n")
    line = import_legacy(folder).site.lines[1]
    assert (line.start, line.end) == ((300.25, 485), (647, 100))


def test_too_many_lines_to_guess(folder: Path) -> None:
    replace(folder / YML, "pcs_lines", "my_lines")
    for number in range(12):
        write(folder / f"lines/l{number}.txt", NEAR.replace("273", str(260 + number)))
    with pytest.raises(InputError, match="--lines"):
        import_legacy(folder)


def test_copies_among_results_do_not_count(folder: Path) -> None:
    write(folder / "Seq_1/Processed_1/pcs_line_0.txt", NEAR.replace("273", "270"))
    write(folder / "Seq_1/Processed_1/cam_geom.txt", GEOMETRY.replace("19.0", "18.0"))
    write(folder / "Seq_1/Processed_1/process_config.yml", SETTINGS.replace("bg_mode: 5", "bg_mode: 99"))
    np.save(folder / "Seq_1/Processed_1/image_reg.npy", MATRIX * 1.1)
    replace(folder / YML, "default_cam_geom", "my_geom")
    result = import_legacy(folder)
    assert (
        result.site == import_legacy(folder, Wishes(geometry="home", settings="processing_setting_defaults.yml")).site
    )
    assert outcome(result, "Seq_1/Processed_1/process_config.yml", "bg_mode") is Outcome.NOT_USED


@pytest.mark.parametrize("name", ["reg.pkl", "reg.pickle"])
def test_pickles_are_refused(folder: Path, name: str) -> None:
    (folder / "reg.npy").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    replace(folder / YML, "reg.npy", name)
    result = import_legacy(folder)
    assert account(result, name).outcome is Outcome.LEFT_OUT
    assert "register again" in account(result, name).note
    assert noticed(result, "is a pickle")
    assert "pickles are never read" in account(result, YML).entries["img_registration"].note


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (1,))


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[Bomb()] * 3] * 2, dtype=object), allow_pickle=True)
    return stream.getvalue()


def npy_head(shape: str) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode()


@pytest.mark.parametrize(
    "data",
    [
        object_array(),
        pickle.dumps(Bomb()),
        b"",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00v\x00",
        npy_head("(1000000000, 1000000000)"),
        npy_head("(" * 100),
        b"PK\x03\x04 zip",
    ],
    ids=["objects", "pickle", "empty", "cut", "version", "huge", "brackets", "zip"],
)
def test_damaged_arrays(folder: Path, data: bytes) -> None:
    (folder / "reg.npy").write_bytes(data)
    assert import_legacy(folder).site.registration == Registration(source="automatic")
    with pytest.raises(InputError, match="--registration"):
        import_legacy(folder, Wishes(registration=folder / "reg.npy"))


def test_registration_cut_short(folder: Path) -> None:
    (folder / "reg.npy").write_bytes(npy_head("(2, 3)"))
    with pytest.raises(InputError, match="damaged"):
        import_legacy(folder)


@pytest.mark.parametrize(("factor", "offset"), [(0.0, 0.0), (100.0, 0.0), (1.0, np.nan)])
def test_impossible_registrations(folder: Path, factor: float, offset: float) -> None:
    np.save(folder / "reg.npy", MATRIX * factor + offset)
    with pytest.raises(So2camError, match=r"reg\.npy"):
        import_legacy(folder)


def test_several_registrations_ask(folder: Path) -> None:
    replace(folder / YML, "img_registration", "my_registration")
    np.save(folder / "copy.npy", MATRIX)
    import_legacy(folder)
    np.save(folder / "other.npy", MATRIX.astype(np.float64) * 1.01)
    with pytest.raises(InputError, match="--registration"):
        import_legacy(folder)
    chosen = import_legacy(folder, Wishes(registration=folder / "other.npy"))
    assert chosen.site.registration.matrix[0][0] == pytest.approx(1.0099, abs=1e-4)


def test_other_arrays_are_data(folder: Path) -> None:
    np.save(folder / "2019-05-29T124401_1000ss_1coadd_Plume.npy", np.zeros((2, 2048)))
    np.save(folder / "image.npy", np.zeros((4, 5)))
    np.save(folder / "table.npy", np.zeros((2, 4, 5)))
    np.save(folder / "three.npy", np.eye(3))
    result = import_legacy(folder)
    assert result.others == {".npy": 2}
    assert account(result, "table.npy").outcome is Outcome.OWN_WAY
    assert account(result, "three.npy").outcome is Outcome.LOOK


# --- choices -----------------------------------------------------------------------------------------------------


def test_several_geometries(folder: Path) -> None:
    write(folder / "conf/cam_geom/away.txt", GEOMETRY.replace("Villarrica", "Lascar"))
    assert import_legacy(folder).site.volcano.name == "Villarrica"
    assert import_legacy(folder, Wishes(geometry="AWAY")).site.volcano.name == "Lascar"
    assert import_legacy(folder, Wishes(geometry="cam_geom/away.txt")).site.volcano.name == "Lascar"
    with pytest.raises(InputError, match=r"conf/cam_geom/away\.txt, conf/cam_geom/home\.txt"):
        import_legacy(folder, Wishes(geometry="none"))
    replace(folder / YML, "home.txt", "gone.txt")
    with pytest.raises(InputError, match="--geometry NAME"):
        import_legacy(folder)
    replace(folder / YML, "default_cam_geom", "my_geom")
    with pytest.raises(InputError, match="--geometry"):
        import_legacy(folder)
    write(folder / "conf/cam_geom/default.txt", "C:\\Users\\me\\pycam\\conf\\cam_geom\\away.txt")
    assert import_legacy(folder).site.volcano.name == "Lascar"


def test_several_settings(folder: Path) -> None:
    write(folder / "second/processing_setting_defaults.yml", SETTINGS.replace("bg_mode: 5", "bg_mode: 99"))
    with pytest.raises(InputError, match="--settings"):
        import_legacy(folder)
    result = import_legacy(folder, Wishes(settings="second/processing_setting_defaults.yml"))
    assert result.site.processing.background.mode == "clear-sky"
    write(folder / "conf/default_conf_location.txt", ".\\pycam\\conf\\processing_setting_defaults.yml")
    assert import_legacy(folder).site.processing.background.mode == "profile-y-gradient-x"


def test_without_settings_and_camera(folder: Path) -> None:
    (folder / YML).unlink()
    (folder / ON).unlink()
    result = import_legacy(folder)
    assert result.site.camera.optics.field_of_view_deg == (28, 21)
    assert noticed(result, "No processing settings")
    assert noticed(result, "No specification of a camera", "defaults")
    assert result.site.processing.speed.methods == ("flow_raw", "cross_correlation")


def test_two_different_cameras_of_one_band(folder: Path) -> None:
    write(folder / "copy/cam_specs_on.txt", CAMERA)
    import_legacy(folder)
    write(folder / "copy/cam_specs_on.txt", CAMERA.replace("648", "640"))
    with pytest.raises(InputError, match="one installation"):
        import_legacy(folder)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        import_legacy(tmp_path / "none")
    with pytest.raises(InputError, match="no geometry"):
        import_legacy(tmp_path)
    write(tmp_path / "file", "")
    with pytest.raises(InputError, match="is not a folder"):
        import_legacy(tmp_path / "file")


# --- wrong values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("lat=-39.3774", "lat=-139", "lat"),
        ("lat=-39.3774", "lat=north", "lat"),
        ("azim=171.3", "azim=nan", "azim"),
        ("elev=19.0", "elev=100", "elev"),
        ("altitude=1170", "altitude=1e6", "altitude"),
        ("alt_offset=2", "alt_offset=", "alt_offset"),
        ("altitude=1170\n", "", "altitude"),
        ("volcano=Villarrica\n", "", "volcano"),
    ],
)
def test_wrong_geometry_names_the_key(folder: Path, old: str, new: str, key: str) -> None:
    replace(folder / "conf/cam_geom/home.txt", old, new)
    with pytest.raises(SiteFileError) as caught:
        import_legacy(folder)
    assert caught.value.key == key
    assert caught.value.file == folder / "conf/cam_geom/home.txt"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("pix_num_x=648", "pix_num_x=0", "pix_num_x"),
        ("pix_num_x=648", "pix_num_x=648.5", "pix_num_x"),
        ("pix_num_y=486", "pix_num_y=5", "pix_num_y"),
        ("pix_size_x=5.6e-06", "pix_size_x=1e305", "pix_size_x"),
        ("pix_size_x=5.6e-06", "pix_size_x=0", "pix_size_x"),
        ("fov_x=28.0", "fov_x=180", "fov_x"),
        ("fov_x=28.0", "fov_x=28,0", "fov_x"),
        ("bit_depth=10", "bit_depth=99", "bit_depth"),
        ("off=fltrB", "off=FLTRA", None),
        ("on=fltrA", "on=", "file_filterids.on"),
    ],
)
def test_wrong_camera_names_the_key(folder: Path, old: str, new: str, key: str | None) -> None:
    replace(folder / ON, old, new)
    with pytest.raises(SiteFileError) as caught:
        import_legacy(folder)
    assert caught.value.key == key
    assert caught.value.file == folder / ON
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (CAMERA.replace("DICT_END\n", "").encode(), "is not closed with DICT_END"),
        (CAMERA.encode() + b"DICT_END\n", "DICT_END without DICT="),
        (CAMERA.encode() + b"some words\n", "is not key=value"),
        (b"\x00\x01" + CAMERA.encode(), "is not text"),
        (CAMERA.encode() + b"#" * 2_000_000, "is too large"),
    ],
)
def test_damaged_camera_files(folder: Path, data: bytes, reason: str) -> None:
    (folder / ON).write_bytes(data)
    with pytest.raises(SiteFileError, match=reason):
        import_legacy(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: !!python/object/apply:os.system ['true']", "tags can run programs"),
        ("a: !!python/name:os.system", "tags can run programs"),
        ("!!int ''", "tags can run programs"),
        ("a: &x [1, 2]\nb: *x", "anchor"),
        ("a: [" + "[" * 5000, "too deep|not valid YAML"),
        ("- 1\n- 2", "no settings"),
        ("", "no settings"),
        ("a: [1", "not valid YAML"),
        ("a: b: c", "not valid YAML in row 1"),
        ("a: =", "not valid YAML"),
        ("a: 2023-99-99", "impossible value"),
        ("a: " + "9" * 5000, "impossible value"),
        ("a: \x07", "no text"),
        ("? [a]\n: 1", "not valid YAML|no settings"),
    ],
)
def test_hostile_yaml(folder: Path, text: str, reason: str) -> None:
    write(folder / YML, text)
    with pytest.raises(SiteFileError, match=reason) as caught:
        import_legacy(folder)
    assert caught.value.file == folder / YML
    assert caught.value.remedy


def test_yaml_error_does_not_show_the_file() -> None:
    with pytest.raises(SiteFileError) as caught:
        parse_yaml("ftp:\n  password: hunter2: x\n", "a.yml")
    assert "hunter2" not in str(caught.value)


def test_key_that_is_given_twice(folder: Path) -> None:
    write(folder / YML, SETTINGS + "bg_mode: 99\n")
    result = import_legacy(folder)
    assert result.site.processing.background.mode == "clear-sky"
    assert outcome(result, YML, "bg_mode (2)") is Outcome.LOOK


# --- the account -------------------------------------------------------------------------------------------------


def test_logins_are_never_shown(folder: Path) -> None:
    secrets = ("hunter2", "hunter3", "hunter4", "hunter5", "hunter6", "hunter7", "hunter8", "pi-user")
    write(
        folder / "conf/config.txt",
        "# FTP\nuname=pi-user  # name\npwd=hunter2 # not this\nhost_ip=169.254.10.180\nsome_thing=hunter3\n"
        "data_dir=ftp://me:hunter4@host/x\nhunter5==\n",
    )
    write(folder / YML, SETTINGS + "upload:\n- {ftp_password: hunter6}\nimg_dir: me:hunter8@host\n")
    write(
        folder / "conf/script_schedule.txt", "TOKEN=hunter7\n0 1 * * * curl -u hunter7 x\n5 1 * * * a.py -d hunter7\n"
    )
    result = import_legacy(folder)
    everything = result.text + format_report(result, site_name="site.toml") + "".join(result.notices)
    for secret in secrets:
        assert secret not in everything
    assert outcome(result, "conf/config.txt", "uname") is Outcome.LEFT_OUT
    assert outcome(result, "conf/config.txt", "pwd") is Outcome.LEFT_OUT
    assert outcome(result, YML, "upload[0].ftp_password") is Outcome.LEFT_OUT
    assert account(result, "conf/config.txt").entries["host_ip"].value == "169.254.10.180"
    assert "5 1 * * * a.py -d" in account(result, "conf/script_schedule.txt").entries


def test_what_is_a_login() -> None:
    assert all(map(is_secret, ("pwd", "uname", "user", "ftp_user", "password", "API_KEY", "dbx_token", "a.key")))
    assert not any(map(is_secret, ("use_roi", "shift", "file_ss", "pcs_lines", "use_vign_corr", "default_cam_geom")))


def test_values_are_shown_on_one_line() -> None:
    assert show_value("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert show_value([1, "b", None]) == "[1, b, (empty)]"
    assert len(show_value("x" * 10_000)) <= 200
    assert show_value({"a": 1}) == "(table)"


def test_unknown_keys_and_rows_are_named(folder: Path) -> None:
    write(folder / YML, SETTINGS + "new_thing: 3\n")
    write(folder / "conf/spec_specs.txt", "int_time=3\nDICT=file_type\nmeas=Plume\nwords\n")
    write(
        folder / "conf/script_schedule.txt",
        "# 0 * * * * /x/off.py\n0 1 * * * /x/on.py\n@reboot sh b.sh\nwhat is this\n",
    )
    write(folder / "witty.wpi", "# on_time=09:00\nBEGIN 2023-04-17 09:00:00\nON H8 M0\nnonsense\n")
    write(folder / "fov.txt", "x_pos=245\ny_pos=300\nradius=10\n")
    write(folder / "ils.txt", "# nm\n" + "".join(f"{row / 10} 0.5\n" for row in range(20)))
    write(folder / "readme.txt", "words")
    write(folder / "network_external.txt", "ip_address=1.2.3.4  # here\nport=12347\n")
    result = import_legacy(folder)
    assert outcome(result, YML, "new_thing") is Outcome.LOOK
    assert outcome(result, "conf/spec_specs.txt", "file_type.meas") is Outcome.OWN_WAY
    problems = [e.note for e in account(result, "conf/spec_specs.txt").entries.values() if e.outcome is Outcome.LOOK]
    assert len(problems) == 2
    cron = account(result, "conf/script_schedule.txt").entries
    assert list(cron) == ["0 * * * * off.py", "0 1 * * * on.py", "@reboot b.sh", "(row 4)"]
    assert "switched off" in cron["0 * * * * off.py"].note
    assert list(account(result, "witty.wpi").entries) == ["on_time", "BEGIN", "ON", "(row 4)"]
    assert outcome(result, "fov.txt", "radius") is Outcome.NOT_USED
    assert account(result, "ils.txt").outcome is Outcome.NOT_USED
    assert outcome(result, "network_external.txt", "port") is Outcome.OWN_WAY
    report = format_report(result, site_name="site.toml")
    assert "* `readme.txt`" in report
    assert "`@reboot b.sh`" in report


def test_report_survives_markup(folder: Path) -> None:
    write(folder / YML, SETTINGS + "img_dir: 'a|b`c<script>'\n")
    report = format_report(import_legacy(folder), site_name="<b>.toml")
    assert "`a\\|b'c<script>`" in report
    assert "\\<b\\>.toml" in report


def test_other_encodings(folder: Path) -> None:
    (folder / "conf/cam_geom/home.txt").write_bytes(
        b"\xef\xbb\xbf" + GEOMETRY.replace("Villarrica", "Láscar").replace("\n", "\r\n").encode()
    )
    assert import_legacy(folder).site.volcano.name == "Láscar"
    (folder / "conf/cam_geom/home.txt").write_bytes(GEOMETRY.replace("Villarrica", "Láscar").encode("latin-1"))
    result = import_legacy(folder)
    assert result.site.volcano.name == "Láscar"
    assert outcome(result, "conf/cam_geom/home.txt", "(encoding)") is Outcome.LOOK


@pytest.mark.parametrize("name", ['a"b\\', "tab\there", "new]]\x1b[0m", "火山 🌋"])
def test_strange_names_stay_text(folder: Path, name: str) -> None:
    replace(folder / "conf/cam_geom/home.txt", "Villarrica", name)
    result = import_legacy(folder, Wishes(vent=VENTS["Villarrica"]))
    assert Site.model_validate(tomllib.loads(result.text)) == result.site
    assert "\x1b" not in result.text


# --- hostile folders ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_links(folder: Path) -> None:
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "dead.txt").symlink_to(folder / "nothing.txt")
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "self.npy").symlink_to("self.npy")
    (folder / ".git").mkdir()
    result = import_legacy(folder, Wishes(lines=(folder / "lines/near.txt",)))
    assert {name for name, _ in result.not_searched} == {"loop", ".git"}
    assert account(result, "dead.txt").outcome is Outcome.LOOK
    assert "`loop`" in format_report(result, site_name="site.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_are_not_opened(folder: Path) -> None:
    for name in ("pipe.txt", "pipe.npy", "process.yml"):
        os.mkfifo(folder / name)
    result = import_legacy(folder)
    assert account(result, "pipe.txt").outcome is Outcome.LOOK


def test_binary_and_long_files_beside(folder: Path) -> None:
    (folder / "noise.txt").write_bytes(bytes(range(256)) * 100)
    (folder / "noise.yml").write_bytes(b"\xff\xfe" + bytes(range(256)))
    write(folder / "long.txt", "x=" + "1," * 95_000)
    write(folder / "longer.txt", "0 " * 150_000)
    write(folder / "spaces.txt", " \t" * 95_000 + "=")
    write(folder / "stars.txt", "* " * 95_000)
    result = import_legacy(folder)
    assert account(result, "noise.txt").outcome is Outcome.LOOK
    assert result.site == import_legacy(folder).site
    assert len(format_report(result, site_name="site.toml")) < 100_000


def test_nested_tables() -> None:
    parsed = parse_key_values("a=1\nDICT=t\na=2 # note\nDICT=u\nb=\nDICT_END\na=3\nDICT_END\n=x\n")
    assert parsed.values == {"a": "3", "t.a": "2", "u.b": ""}
    assert len(parsed.problems) == 4


def test_crontab_without_arguments() -> None:
    rows = parse_crontab("MAILTO=me\n*/5 * * * * bash /a/b.sh >> log 2>&1\n0 9 * * MON-FRI python3 c.py -d\n")
    assert [(row.key, row.value) for row in rows] == [
        ("MAILTO", ""),
        ("*/5 * * * *", "b.sh"),
        ("0 9 * * MON-FRI", "c.py -d"),
    ]


# --- real files --------------------------------------------------------------------------------------------------


def keys_of(path: Path) -> set[str]:
    """Every key of a setting file, found without the importer."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        return {str(key) for key in yaml.safe_load(text)}
    if path.name == "script_schedule.txt":
        return {"PATH", *re.findall(r"([\w.]+\.(?:py|sh))\b", text)}
    if path.suffix == ".wpi":
        return set(re.findall(r"^(?:# )?(\w+_time|BEGIN|END|ON|OFF)\b", text, re.MULTILINE))
    keys = set(re.findall(r"^(\w+)=", text, re.MULTILINE)) - {"DICT"}
    assert keys
    return keys


@pytest.mark.data
def test_every_key_of_the_real_files_is_in_the_report(data_dir: Path) -> None:
    folder = data_dir / "legacy_config"
    result = import_legacy(folder)
    report = format_report(result, site_name="site.toml")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(result.files) == len(files) == 9
    total = 0
    for path in files:
        name = path.relative_to(folder).as_posix()
        heading = "### " + name.replace("_", "\\_") + "\n"
        section = report[report.index(heading) :].removeprefix(heading).partition("\n### ")[0]
        named = set(re.findall(r"^\| `([^`]*)`", section, re.MULTILINE))
        for key in keys_of(path):
            total += 1
            assert any(re.search(rf"(?:^|[. ]){re.escape(key)}(?:$|[. ])", known) for known in named), (name, key)
    assert total > 180
    for file in result.files:
        for entry in file.entries.values():
            assert entry.note, entry
            assert "not a key that this import knows" not in entry.note, entry


@pytest.mark.data
def test_real_installation(data_dir: Path, tmp_path: Path) -> None:
    result = import_legacy(data_dir / "legacy_config")
    site = result.site
    assert site.camera.optics.field_of_view_deg == (28, 21.18)
    assert site.camera.position.altitude_m == 1172
    assert [line.name for line in site.lines] == ["placeholder"]
    write(tmp_path / "site.toml", result.text)
    assert load_site(tmp_path / "site.toml").site == site


@pytest.mark.data
def test_real_setup_equals_the_example(data_dir: Path) -> None:
    example = load_site(Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml").site
    site = import_legacy(data_dir / "villarrica" / "setup", Wishes(vent=example.volcano.vent)).site
    assert site.camera == example.camera
    assert np.allclose(site.registration.matrix, example.registration.matrix, rtol=1e-7)
    assert site.volcano == example.volcano
    assert [(a.start, a.end, a.normal) for a in site.lines] == [(b.start, b.end, b.normal) for b in example.lines]
    assert site.processing.speed.cross_correlation.lines == (site.lines[0].name, site.lines[1].name)
