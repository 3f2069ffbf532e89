import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from so2cam.core.errors import SiteFileError
from so2cam.core.site import Site
from so2cam.formats.sitefile import check_site, load_site, settings_hash

LINE_FILE = "x=273,408\ny=236,101\norientation=left\n"


def document() -> dict[str, Any]:
    return {
        "name": "villarrica",
        "volcano": {"name": "Villarrica", "vent": {"latitude": -39.42, "longitude": -71.939, "altitude_m": 2847.0}},
        "camera": {
            "position": {"latitude": -39.3547, "longitude": -71.9652, "altitude_m": 816.0},
            "view": {"azimuth_deg": 162.0, "elevation_deg": 15.0},
            "optics": {"focal_length_mm": 7.3},
        },
        "registration": {"matrix": [[1.0, 0.0, 3.5], [0.0, 1.0, -2.0]]},
        "lines": [
            {"name": "young", "start": [273.0, 236.0], "end": [408.0, 101.0], "normal": "left"},
            {"name": "old", "start": [173.0, 196.0], "end": [308.0, 61.0], "normal": "left"},
        ],
        "processing": {"speed": {"cross_correlation": {"lines": ["young", "old"]}}},
    }


def change(key: str, value: object) -> dict[str, Any]:
    """Return the document with ``a.b.0.c`` set, or removed for ``...``."""
    result = document()
    table: Any = result
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in parents:
        table = table.setdefault(part, {}) if isinstance(table, dict) else table[part]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return result


def save(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "site.toml"
    path.write_text(tomlkit.dumps(content), encoding="utf-8")
    return path


def fail(path: Path) -> SiteFileError:
    with pytest.raises(SiteFileError) as caught:
        load_site(path)
    assert caught.value.remedy
    text = str(caught.value)
    for jargon in ("Value error", "Input should", "pydantic", "extra_forbidden", "Field required"):
        assert jargon not in text
    return caught.value


def test_good_file(tmp_path: Path) -> None:
    path = save(tmp_path, document())
    loaded = load_site(path)
    assert loaded.site == Site.model_validate(document())
    assert loaded.path == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.settings["processing"]["pairing"]["tolerance_s"] == 2.0
    assert Site.model_validate(json.loads(json.dumps(loaded.settings))) == loaded.site
    assert check_site(loaded.site) == []


def test_byte_order_mark_of_windows_editors(tmp_path: Path) -> None:
    path = save(tmp_path, document())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_site(path).site == Site.model_validate(document())


@pytest.mark.parametrize(
    ("key", "value", "named", "reason"),
    [
        ("camera.optics.focal_length_mm", -1.0, "camera.optics.focal_length_mm", "must be > 0"),
        ("camera.position.latitude", 91, "camera.position.latitude", "must be <= 90"),
        ("camera.position.latitude", "north", "camera.position.latitude", "must be a number"),
        ("camera.optics.width_px", 648.5, "camera.optics.width_px", "must be a whole number"),
        ("camera.optics.width_px", 10**400, "camera.optics.width_px", "must be"),
        ("camera.position.altitude_m", ..., "camera.position.altitude_m", "is missing"),
        ("camera.position.altitude_m", 10**400, "camera.position.altitude_m", "must be"),
        ("camera.view", ..., "camera.view", "is missing"),
        ("camera.view", 3, "camera.view", "must be a table"),
        ("lines", ..., "lines", "is missing"),
        ("lines", [], "lines", "at least 1 entry"),
        ("lines", {"name": "a"}, "lines", r"\[\[lines\]\]"),
        ("lines.1.normal", "north", "lines[1].normal", "must be 'left', 'right', 'up', 'down', 'outward' or 'inward'"),
        ("lines.1.start", [1.0], "lines[1].start", "has only 1 value"),
        ("lines.1.start", [1.0, 2.0, 3.0], "lines[1].start", "at most 2 entries"),
        ("lines.1.start", "here", "lines[1].start", "must be a list"),
        ("lines.1.start", [1.0, 900.0], "lines[1].start", "outside the image of 648 x 486"),
        ("lines.1.start", [1.0, float("nan")], "lines[1].start[1]", "finite"),
        ("lines.1.start", [308.0, 60.0], "lines[1]", "1.0 px long"),
        ("lines.1.end", ..., "lines[1]", "give either start and end, or points, or arc, or file"),
        ("lines.1.name", "young", "lines", "two lines are called 'young'"),
        ("lines.1.name", "/etc", "lines[1].name", "letters"),
        ("lines.1.name", "", "lines[1].name", "must not be empty"),
        ("camera.optics.field_of_view_deg", [28.0, 24.0], "camera.optics", "contradict each other"),
        ("processing.emission.total_lines", ["middle"], "processing.emission.total_lines", "no line 'middle'"),
        ("registration.matrix", [[9, 0, 0], [0, 9, 0]], "registration.matrix", "scales areas by 81"),
        ("registration.matrix", [[1, 0, float("inf")], [0, 1, 0]], "registration.matrix[0][2]", "finite"),
        ("name", 3, "name", "must be text"),
        ("format", 2, "format", "must be 1"),
        ("processing.calibration.label_weights", "maybe", "processing.calibration.label_weights", "true or false"),
        ("camera.optics.focal_lenght_mm", 7.3, "camera.optics.focal_lenght_mm", "unknown key"),
    ],
)
def test_each_problem_is_named(tmp_path: Path, key: str, value: object, named: str, reason: str) -> None:
    error = fail(save(tmp_path, change(key, value)))
    assert error.key == named
    assert error.file == tmp_path / "site.toml"
    with pytest.raises(SiteFileError, match=reason):
        raise error


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("camera.optics.focal_lenght_mm", "did you mean focal_length_mm?"),
        ("camera.roll_deg", "this key belongs to another table: camera.view.roll_deg"),
        ("processing.pairing.zzz", "known keys here: tolerance_s"),
        ("lines.1.strat", "did you mean start?"),
        ("colour", "known keys here: format, name"),
    ],
)
def test_unknown_keys_come_with_a_hint(tmp_path: Path, key: str, hint: str) -> None:
    error = fail(save(tmp_path, change(key, 1.0)))
    assert error.message == "unknown key"
    assert hint in str(error.remedy)


def test_value_is_shown(tmp_path: Path) -> None:
    text = str(fail(save(tmp_path, change("camera.optics.focal_length_mm", -1.0))))
    assert "site.toml: camera.optics.focal_length_mm: must be > 0 (found -1.0)" in text


def test_several_problems_are_listed_in_one_error(tmp_path: Path) -> None:
    content = change("camera.optics.focal_length_mm", -1.0)
    content["camera"]["position"].pop("latitude")
    content["lines"][1]["nromal"] = "up"
    error = fail(save(tmp_path, content))
    assert error.message.startswith("3 problems:\n")
    assert "camera.position.latitude: is missing - add camera.position.latitude to the site file" in error.message
    assert "camera.optics.focal_length_mm: must be > 0 (found -1.0)" in error.message
    assert "lines[1].nromal: unknown key (found 'up') - did you mean normal?" in error.message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"name = ", "not valid TOML"),
        (b"name = 'a'\nname = 'b'\n", "not valid TOML: .*line 2"),
        (b"a = 1\nb = '\xff'\n", "not UTF-8 text: line 2"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"\0", "not valid TOML"),
    ],
)
def test_unreadable_text(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes(data)
    with pytest.raises(SiteFileError, match=reason):
        raise fail(path)


def test_missing_file_folder_and_impossible_path(tmp_path: Path) -> None:
    assert "does not exist" in str(fail(tmp_path / "none.toml"))
    assert "is a folder" in str(fail(tmp_path))
    assert "cannot be read" in str(fail(Path("a\0b")))


# --- line files ----------------------------------------------------------------------------------------------------


def with_line_file(folder: Path, text: str | None, **more: object) -> Path:
    content = document()
    content["lines"][0] = {"name": "young", "file": "lines/a.txt", **more}
    (folder / "lines").mkdir()
    if text is not None:
        (folder / "lines" / "a.txt").write_text(text, encoding="utf-8")
    return save(folder, content)


def test_line_file_becomes_part_of_the_settings(tmp_path: Path) -> None:
    loaded = load_site(with_line_file(tmp_path, LINE_FILE, plume="plume"))
    line = loaded.site.lines[0]
    assert (line.start, line.end, line.normal, line.file, line.plume) == ((273, 236), (408, 101), "left", None, "plume")
    assert loaded.settings["lines"][0]["start"] == [273, 236]
    assert loaded.settings["lines"][0]["file"] is None


def test_line_file_outside_the_image(tmp_path: Path) -> None:
    error = fail(with_line_file(tmp_path, LINE_FILE.replace("408", "708")))
    assert error.key == "lines[0].end"
    assert "outside the image" in error.message


def test_line_file_that_is_wrong_or_missing(tmp_path: Path) -> None:
    path = with_line_file(tmp_path, None)
    error = fail(path)
    assert (error.key, error.value) == ("lines[0].file", "lines/a.txt")
    assert str(tmp_path) in str(error.remedy)
    (tmp_path / "lines" / "a.txt").write_bytes(b"\xff\xfe")
    assert "not text" in str(fail(path))
    (tmp_path / "lines" / "a.txt").write_text("x=1,2\n", encoding="utf-8")
    error = fail(path)
    assert (error.file, error.key) == (tmp_path / "lines" / "a.txt", "y")


# --- hash and risks ------------------------------------------------------------------------------------------------


def test_hash_depends_on_the_values_only() -> None:
    assert settings_hash({"b": [1, 2.5], "a": "Láscar"}) == settings_hash({"a": "Láscar", "b": [1, 2.5]})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
    assert settings_hash({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
    with pytest.raises(ValueError, match="JSON"):
        settings_hash({"a": float("nan")})


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("processing.speed.cross_correlation.lines", ..., "names no lines"),
        ("processing.speed.cross_correlation.lines", ["old", "young"], "lies upstream"),
        ("lines.1.normal", "right", "opposite sides"),
        ("lines.1.end", [208.0, 61.0], "degrees from parallel"),
        ("registration", ..., "taken as perfectly aligned"),
        ("camera.view.azimuth_deg", 190.0, "beside the image's centre"),
        ("camera.view.azimuth_deg", -20.0, "beside the image's centre"),
        ("camera.view.elevation_deg", 60.0, "below the image's centre"),
        ("camera.view.elevation_deg", -10.0, "above the image's centre"),
        ("camera.position.latitude", 39.0, "km from the vent"),
        ("camera.position", {"latitude": -39.42, "longitude": -71.939, "altitude_m": 2000.0}, "m from the vent"),
        ("camera.view.azimuth_uncertainty_deg", 0.0, "taken as exact"),
        ("processing.calibration.label_uncertainty", 0.0, "taken as exact"),
        ("processing.emission.total_lines", ["young", "old"], "counted twice"),
    ],
)
def test_risks_are_named(key: str, value: object, reason: str) -> None:
    warnings = check_site(Site.model_validate(change(key, value)))
    assert any(reason in warning for warning in warnings), warnings
    assert all(": " in warning and warning.endswith(".") for warning in warnings)


def test_no_false_alarms() -> None:
    content = change("camera.view.azimuth_deg", 162.0 - 360.0)
    content["processing"]["speed"] = {"methods": ["flow_raw"]}
    content["lines"][1]["plume"] = "south"
    content["processing"]["emission"] = {"total_lines": ["young", "old"]}
    before = copy.deepcopy(content)
    assert check_site(Site.model_validate(content)) == []
    assert content == before
