"""Options of the processing chain on a simulated volcano of steady emission, against the truth and the plain run."""

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from so2cam.core.records import FloatArray, FrameKind
from so2cam.core.times import parse_utc
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.formats.names import build_image_name
from so2cam.formats.png import read_png, write_png
from so2cam.formats.quicklook import write_quicklook
from so2cam.pipeline import batch
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.lines import map_line
from so2cam.simulate.run import Scene, build_scene
from so2cam.simulate.scenario import Scenario

PAIRS = 7
EMISSION = 5.0
"""Truth of every line across the plume [kg s-1]: the simulated vent emits steadily."""
WIDTH, HEIGHT = 324, 243
SEQUENCE = Path("2026-01-15/Seq_1")


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """A quarter of the pixels, for speed, and a plume without puffs, whose aerosol dims both bands alike."""
    settings = load_scenario().model_dump(mode="json")
    settings["view"]["optics"].update(width_px=WIDTH, height_px=HEIGHT, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["plume"]["aerosol_angstrom"] = 0.0
    settings["spectrometer"]["radius_px"] = 5.8
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    settings["emission"] |= {"mean_kg_s": EMISSION, "pulsation": 0.0}
    return Scenario.model_validate_json(json.dumps(settings))


@pytest.fixture(scope="session")
def simulated(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steady")
    simulate(scenario, folder, seed=1, pairs=PAIRS)
    # A camera that keeps no sensor's clock, so that tests may move frames in time.
    for path in (folder / "frames").rglob("*.json"):
        path.unlink()
    return folder


@pytest.fixture(scope="session")
def scene(scenario: Scenario) -> Scene:
    return build_scene(scenario, seed=1, pairs=PAIRS)


@dataclass(frozen=True)
class Rates:
    """A line's valid values by one method, and all its statuses."""

    rate: FloatArray
    random: FloatArray
    systematic: FloatArray
    status: list[str]

    @property
    def mean(self) -> float:
        return float(self.rate.mean())

    @property
    def sigma(self) -> float:
        """1 sigma of the mean, random parts only."""
        return float(np.sqrt(np.mean(self.random**2) / self.rate.size))


def rates(case: Any, line: str = "upstream", method: str = "flow_raw") -> Rates:
    rows = [row for row in case.rows() if (row["line"], row["speed_method"]) == (line, method)]
    good = [row for row in rows if row["status"] == "ok"]
    keys = ("emission_rate_kg_s", "random_uncertainty_kg_s", "systematic_uncertainty_kg_s")
    columns = [np.array([float(row[key]) for row in good]) for key in keys]
    return Rates(columns[0], columns[1], columns[2], [row["status"] for row in rows])


def add(case: Any, table: str, keys: str) -> None:
    """Write ``keys`` at the beginning of a table of the site file."""
    case.edit_site(f"[{table}]", f"[{table}]\n{keys}")


def set_lines(case: Any, text: str, *, keep: bool = True) -> None:
    """Add lines to the site file, or put them in the place of its own."""
    site = case.site.read_text()
    first, after = site.index("[[lines]]"), site.index("[processing.pairing]")
    site = site[: after if keep else first] + text + "\n" + site[after:]
    if not keep:
        site = re.sub(r"lines = \[.*", "", site)
    case.replace(case.site, site.encode())


def test_the_plain_run(case: Any) -> None:
    case.process().said(f"{PAIRS} pairs")
    for line in ("upstream", "downstream"):
        assert rates(case, line).mean == pytest.approx(EMISSION, rel=0.03)


# --- wind --------------------------------------------------------------------------------------------------------

# The plume drifts to the left of a view towards 12 degrees, 35 degrees upward. A horizontal wind across a line that
# stands upright on the plume carries as much where its component along the plume is the plume's speed.
FROM_DEG = 102.0
SPEED_M_S = 10 / math.cos(math.radians(35))


def set_wind(case: Any, keys: str, *, orientation: str = "perpendicular", methods: str = "wind") -> None:
    case.edit_site("[plume_plane]", f"[wind]\n{keys}\n\n[plume_plane]")
    case.edit_site('orientation = "perpendicular"', f'orientation = "{orientation}"')
    case.methods = methods


def write_winds(case: Any, *rows: tuple[float, float, float]) -> Path:
    """Write the wind's file: seconds after the first pair, speed, direction."""
    start = parse_utc("2026-01-15T14:00:00.200Z")
    text = "time,speed_m_s,direction_from_deg\n"
    for seconds, speed, direction in rows:
        text += f"{(start + timedelta(seconds=seconds)).isoformat()},{speed},{direction}\n"
    path: Path = case.folder / "wind.csv"
    path.write_text(text)
    return path


CONSTANT = f"speed_m_s = {SPEED_M_S}\ndirection_from_deg = {FROM_DEG}\nspeed_uncertainty_m_s = 1.0"


@pytest.mark.parametrize("orientation", ["perpendicular", "wind"])
def test_a_known_wind(case: Any, orientation: str) -> None:
    set_wind(case, CONSTANT, orientation=orientation, methods="flow_raw,wind")
    case.process().said("pairs")
    for line in ("upstream", "downstream"):
        wind = rates(case, line, "wind")
        assert len(wind.rate) == PAIRS, "the last pair too: no motion between images is needed"
        assert wind.mean == pytest.approx(EMISSION, rel=0.03)
        assert (wind.systematic > wind.rate / SPEED_M_S).all(), "the wind's 1 m/s is in it"
        assert (wind.systematic < 3 * wind.rate / SPEED_M_S).all()
        assert rates(case, line, "flow_raw").mean == pytest.approx(wind.mean, rel=0.05)


def test_the_wind_from_a_file_is_that_of_one_value(case: Any) -> None:
    set_wind(case, CONSTANT)
    case.process().said("pairs")
    before = case.values()
    case.edit_site(CONSTANT, 'file = "wind.csv"\nspeed_uncertainty_m_s = 1.0')
    path = write_winds(case, (-600, SPEED_M_S, FROM_DEG), (600, SPEED_M_S, FROM_DEG))
    case.process().said("pairs")
    assert case.values() == before
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        hashes = dict(zip(data["input_file"][:], data["input_sha256"][:], strict=True))
    assert hashes[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text() + "\n")
    case.process().said("pairs")
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        later = dict(zip(data["input_file"][:], data["input_sha256"][:], strict=True))
    assert {name for name in hashes if hashes[name] != later[name]} == {str(path)}


def test_gaps_in_the_wind(case: Any) -> None:
    set_wind(case, 'file = "wind.csv"\nmaximum_gap_s = 9.0', methods="flow_raw,wind")
    write_winds(case, (4, 12, FROM_DEG), (11, 12, FROM_DEG), (24, 12, FROM_DEG), (26, 12, FROM_DEG))
    case.process().said("the wind is not known at this time")
    assert rates(case, method="wind").status == ["no_wind", "ok", "ok", "no_wind", "no_wind", "ok", "no_wind"]
    assert rates(case, method="flow_raw").status == ["ok"] * 6 + ["no_next_pair"], "needs no wind"


def test_gaps_in_the_wind_that_turns_the_plume(case: Any) -> None:
    set_wind(case, 'file = "wind.csv"', orientation="wind", methods="flow_raw,wind")
    write_winds(case, (9, 12, FROM_DEG), (600, 12, FROM_DEG))
    case.process().said("the wind is not known at this time")
    assert rates(case, method="wind").status == ["no_wind"] * 2 + ["ok"] * 5
    assert rates(case, method="flow_raw").status == ["no_wind"] * 2 + ["ok"] * 4 + ["no_next_pair"]
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        amounts = np.ma.filled(data["integrated_column_amount"][:], np.nan)
    assert np.isnan(amounts[:2]).all(), "without a distance there is no amount"
    assert np.isfinite(amounts[2:]).all()


def test_distances_turn_with_the_wind(case: Any, scene: Scene) -> None:
    """A plume that comes nearer on its way is nearer on the lines: a smaller amount and, by flow, a smaller rate."""
    set_wind(case, 'file = "wind.csv"\ndirection_uncertainty_deg = 5', orientation="wind", methods="flow_raw,wind")
    write_winds(case, (0, 12, FROM_DEG - 30), (30, 12, FROM_DEG + 30))
    case.process().said("pairs")
    amount = np.array([float(row["integrated_column_amount_kg_m"]) for row in case.rows() if row["line"] == "upstream"])
    line = map_line(scene.lines[0].to_plume_line(), scene.geometry)
    true = np.array([line.integrated_column_amount(scene.field, 5 * pair + 0.2) for pair in range(PAIRS)])
    ratio = amount[::2] / true
    assert np.corrcoef(ratio, np.arange(PAIRS))[0, 1] > 0.95
    assert ratio[-3:].mean() / ratio[:3].mean() > 1.05
    by_flow = rates(case).rate
    assert by_flow[-1] > 1.2 * by_flow[0]


def test_a_wind_along_the_view(case: Any) -> None:
    set_wind(case, 'file = "wind.csv"', orientation="wind", methods="flow_raw,wind")
    write_winds(case, (0, 12, 12.0), (9, 12, 12.0), (11, 12, FROM_DEG), (600, 12, FROM_DEG))
    case.process().said("the plume drifts along the line of sight")
    assert rates(case, method="wind").status[:2] == ["plume_along_view"] * 2
    assert rates(case, method="wind").status[3:] == ["ok"] * 4


def test_check_warns_of_a_wind_along_the_view(case: Any) -> None:
    set_wind(case, CONSTANT.replace(f"{FROM_DEG}", "14"), orientation="wind")
    case.run("check", case.site).said("wind.direction_from_deg: the plume drifts 2 ± 15 degrees from the line of sight")
    assert case.process().code == 3
    assert set(rates(case, method="wind").status) == {"plume_along_view"}


def test_a_wind_known_for_some_pairs_is_drawn(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair in the middle, which the quick look would show, has no distance."""
    monkeypatch.setattr(batch, "write_quicklook", write_quicklook)
    set_wind(case, 'file = "wind.csv"', orientation="wind", methods="flow_raw,wind")
    write_winds(case, (24, 12, FROM_DEG), (600, 12, FROM_DEG))
    case.process("--images", "png").said("the wind is not known at this time")
    assert (case.out / "quicklook.png").stat().st_size > 20_000
    assert len(list((case.out / "pictures").glob("columns_*"))) == PAIRS


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ("wind.csv", "wind.file", "No such file")),
        ("time,speed_m_s\n2026-01-15T14:00:00Z,3\n", ("direction_from_deg", "the column is missing")),
        ("time,speed_m_s,direction_from_deg\n2026-01-15T14:00:00Z,fast,90\n", ("speed_m_s", "row 2", "'fast'")),
        ("time,speed_m_s,direction_from_deg\n2026-01-15T14:00:00Z,5,900\n", ("direction_from_deg", "row 2", "'900'")),
        ("time,speed_m_s,direction_from_deg\n# x\nyesterday,5,90\n", ("time", "row 3", "'yesterday'")),
        ("time,speed_m_s,direction_from_deg\n2026-01-15T14:00:00Z,nan,90\n", ("speed_m_s", "row 2")),
    ],
)
def test_bad_wind_files(case: Any, text: str | None, parts: tuple[str, ...]) -> None:
    set_wind(case, 'file = "wind.csv"')
    if text is not None:
        (case.folder / "wind.csv").write_text(text)
    for result in (case.process(), case.run("check", case.site)):
        result.explained(str(case.folder / "wind.csv"), *parts)
    assert not case.out.exists()


@pytest.mark.parametrize(
    ("keys", "orientation", "parts"),
    [
        ("speed_m_s = 3", "perpendicular", ("wind", "give speed_m_s and direction_from_deg, or file")),
        ('file = "a.csv"\nspeed_m_s = 3\ndirection_from_deg = 1', "wind", ("wind", "give either file")),
        (CONSTANT.replace(f"{FROM_DEG}", "400"), "wind", ("wind.direction_from_deg", "must be <= 360")),
    ],
)
def test_bad_winds(case: Any, keys: str, orientation: str, parts: tuple[str, ...]) -> None:
    set_wind(case, keys, orientation=orientation)
    case.process().explained(*parts)


@pytest.mark.parametrize("key", ["plume_plane.orientation", "processing.speed.methods"])
def test_no_wind_at_all(case: Any, key: str) -> None:
    if key.startswith("plume"):
        case.edit_site('orientation = "perpendicular"', 'orientation = "wind"')
    else:
        case.edit_site('methods = ["flow_raw", "cross_correlation"]', 'methods = ["wind"]')
    case.process().explained(key, "needs a [wind] table")


def test_wind_on_the_command_line_only(case: Any) -> None:
    case.process("--methods", "wind").failed_with("needs a [wind] table")


def test_all_methods_at_once(case: Any) -> None:
    set_wind(case, CONSTANT, methods="flow_raw,flow_histogram,flow_hybrid,cross_correlation,nadeau,wind")
    case.process().said("pairs")
    for method in ("flow_raw", "flow_histogram", "flow_hybrid", "nadeau", "wind"):
        found = rates(case, method=method)
        assert len(found.rate) >= PAIRS - 3, method
        assert found.mean == pytest.approx(EMISSION, rel=0.1), method
    assert set(rates(case, method="cross_correlation").status) == {"too_few_samples"}


# --- lines -------------------------------------------------------------------------------------------------------

CENTRE = "[195.6, 187.6]"
ARC = f"arc = {{ centre = {CENTRE}, radius_px = 84.0, from_deg = -94.0, to_deg = -16.0 }}"
SHAPES = {
    "bent": 'points = [[159.0, 92.0], [118.5, 131.0], [94.0, 187.0]]\nnormal = "left"',
    "arc": f'{ARC}\nnormal = "outward"',
    "inward": f'{ARC}\nnormal = "inward"',
}


def test_polylines_and_arcs(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "write_quicklook", write_quicklook)
    set_lines(case, "\n".join(f'[[lines]]\nname = "{name}"\n{shape}\n' for name, shape in SHAPES.items()))
    case.process().said("pairs")
    assert (case.out / "quicklook.png").stat().st_size > 20_000
    straight = rates(case)
    assert straight.mean == pytest.approx(EMISSION, rel=0.03)
    for name in ("bent", "arc"):
        found = rates(case, name)
        assert found.status == ["ok"] * 6 + ["no_next_pair"]
        assert abs(found.mean - straight.mean) < 2 * np.hypot(found.sigma, straight.sigma)
        assert found.mean == pytest.approx(EMISSION, rel=0.04)
    outward, inward = rates(case, "arc"), rates(case, "inward")
    np.testing.assert_allclose(inward.rate, -outward.rate, rtol=1e-4)
    np.testing.assert_allclose(inward.random, outward.random, rtol=1e-3)


def test_a_closed_line_across_the_plume_has_no_source_inside(case: Any) -> None:
    """What comes in on one side leaves on the other."""
    corners = "[[161.0, 88.0], [143.0, 76.0], [71.0, 172.0], [92.0, 190.0]]"
    text = f'[[lines]]\nname = "loop"\npoints = {corners}\nclosed = true\nplume = "loop"\n'
    set_lines(case, text + 'normal = "outward"\n')
    case.process().said("pairs")
    found = rates(case, "loop")
    assert found.rate.size >= 4
    assert abs(found.mean) < 0.1 * EMISSION
    assert abs(found.mean) < 3 * found.random.mean()


def test_lines_for_speed_stay_out_of_the_total(case: Any) -> None:
    case.process().said("pairs")
    total, downstream = rates(case, "total"), rates(case, "downstream")
    site = case.site.read_text()
    case.replace(case.site, site.replace('name = "upstream"', 'name = "upstream"\nrole = "speed"', 1).encode())
    case.process().said("pairs")
    assert rates(case, "total").rate.tolist() == downstream.rate.tolist() != total.rate.tolist()
    assert rates(case, "upstream").rate.size == 6, "it still has values of its own"
    case.replace(
        case.site, case.site.read_text().replace('name = "downstream"', 'name = "downstream"\nrole = "speed"').encode()
    )
    case.process().explained("lines", 'none has role = "emission"')


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (f'{ARC}\nnormal = "left"\nclosed = true', ("lines[2]", "closed is for a polyline")),
        ('points = [[10, 10]]\nnormal = "left"', ("lines[2].points", "at least 2 entries")),
        ('points = [[10, 10], [10, 10], [40, 90]]\nnormal = "left"', ("lines[2]", "the same point")),
        ('points = [[10, 10], [40, 90], [900, 90]]\nnormal = "left"', ("lines[2].points[2]", "outside the image")),
        ('points = [[10, 10], [40, 90]]\nnormal = "outward"', ("lines[2]", "is for arcs and closed lines")),
        ('points = [[10, 10], [40, 90], [90, 10]]\nclosed = true\nnormal = "up"', ("lines[2]", '"outward"')),
        ('points = [[10, 10], [40, 90]]\nstart = [1, 2]\nend = [3, 9]\nnormal = "left"', ("lines[2]", "give either")),
        ('start = [10, 10]\nnormal = "left"', ("lines[2]", "give either start and end, or points, or arc, or file")),
        (ARC.replace("-16.0", "500.0") + '\nnormal = "outward"', ("lines[2].arc", "1 to 360 degrees")),
        (ARC.replace("84.0", "204.0") + '\nnormal = "outward"', ("lines[2].arc", "outside the image")),
        ("points = [[10, 10], [40, 90]]", ("lines[2]", "give normal")),
        ('points = [[10, 10], [40, 90]]\nnormal = "left"\nrole = "both"', ("lines[2].role", "'speed'")),
    ],
)
def test_errors_in_lines_name_the_key(case: Any, line: str, parts: tuple[str, ...]) -> None:
    set_lines(case, f'[[lines]]\nname = "third"\n{line}\n')
    for result in (case.process(), case.run("check", case.site)):
        result.explained(*parts)


def test_cross_correlation_refuses_closed_lines(case: Any) -> None:
    text = '[[lines]]\nname = "ring"\npoints = [[60, 60], [90, 60], [90, 99]]\nclosed = true\nnormal = "outward"\n'
    set_lines(case, text)
    case.edit_site('lines = ["upstream", "downstream"]', 'lines = ["upstream", "ring"]')
    case.process().explained("processing.speed.cross_correlation.lines", "a closed line has no upstream or downstream")


# --- the off band between two of its frames ----------------------------------------------------------------------


def retime_off_band(case: Any, scene: Scene, scenario: Scenario, starts_s: list[float]) -> list[Path]:
    """Put other off-band frames in the place of the run's: of the same scene, that many seconds after its start."""
    for path in case.plume("B"):
        path.unlink()
    camera, written = scene.cameras[1], []
    for number, start_s in enumerate(starts_s):
        start = scenario.start + timedelta(seconds=start_s)
        rng = np.random.default_rng([7, number])
        counts = camera.record(camera.expected(FrameKind.PLUME, start_s + camera.settings.exposure_s / 2), rng)
        name = build_image_name(
            start=start,
            tag="fltrB",
            gain=1,
            exposure_s=camera.settings.exposure_s,
            kind=FrameKind.PLUME,
            generation=1,
            milliseconds=True,
        )
        path = case.frames / SEQUENCE / name
        path.write_bytes(write_png(counts))
        written.append(path)
    return written


def noise(case: Any) -> float:
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        return float(np.ma.mean(data["background_noise"][:]))


def test_the_off_band_interpolated(case: Any, scene: Scene, scenario: Scenario) -> None:
    case.process().said("pairs")
    together, together_noise = rates(case), noise(case)
    retime_off_band(case, scene, scenario, [2.65 + 5 * number for number in range(PAIRS)])
    add(case, "processing.pairing", 'off_band = "interpolated"\nmaximum_gap_s = 6.0')
    case.process().said("6 pairs", "1 unpaired frames")
    found = rates(case)
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        assert not data["pair_time_offset"][:].any()
    assert found.status == ["ok"] * 5 + ["no_next_pair"]
    assert noise(case) < 1.02 * together_noise
    assert found.mean == pytest.approx(EMISSION, rel=0.03)
    assert abs(found.mean - together.rate[1:].mean()) < 3 * np.hypot(found.sigma, together.sigma)
    case.edit_site('off_band = "interpolated"\n', 'off_band = "nearest"\n')
    case.edit_site("tolerance_s = 2.0", "tolerance_s = 3.0")
    case.process().said("7 pairs", "further apart than half the pairing tolerance")
    nearest = rates(case)
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        np.testing.assert_allclose(data["pair_time_offset"][:], 2.5, atol=1e-6)
    assert abs(found.mean - nearest.mean) < 3 * np.hypot(found.sigma, nearest.sigma)


def test_a_denser_off_band(case: Any, scene: Scene, scenario: Scenario) -> None:
    retime_off_band(case, scene, scenario, [0.65 + 2 * number for number in range(17)])
    add(case, "processing.pairing", 'off_band = "interpolated"')
    case.process().said("6 pairs", "unpaired")
    assert rates(case).mean == pytest.approx(EMISSION, rel=0.03)


def test_an_unreadable_frame_of_the_off_band_loses_the_pairs_it_belongs_to(
    case: Any, scene: Scene, scenario: Scenario
) -> None:
    paths = retime_off_band(case, scene, scenario, [2.65 + 5 * number for number in range(PAIRS)])
    paths[3].write_bytes(b"no picture")
    add(case, "processing.pairing", 'off_band = "interpolated"')
    lost = [path.name for path in case.plume("A")[3:5]]
    case.process().said("4 pairs", f"2 pairs lost to unreadable frames: {lost[0]}, {lost[1]}", "1 unreadable files")
    assert sorted({row["time"][17:23] for row in case.rows()}) == ["05.200", "10.200", "25.200", "30.200"]


def test_off_band_frames_too_far_apart(case: Any, scene: Scene, scenario: Scenario) -> None:
    retime_off_band(case, scene, scenario, [2.65 + 5 * number for number in range(PAIRS)])
    add(case, "processing.pairing", 'off_band = "interpolated"\nmaximum_gap_s = 4.0')
    case.process().explained("processing.pairing.maximum_gap_s", "none of 7 on-band plume frames lies between")


# --- hot pixels and sensitivity ----------------------------------------------------------------------------------


def change_frames(case: Any, change: Callable[[Path, Any], Any]) -> None:
    for path in case.files("*.png"):
        case.replace(path, write_png(change(path, read_png(path.read_bytes(), path).copy())))


def test_hot_pixels(case: Any) -> None:
    case.process().said("pairs")
    clean, clean_noise = rates(case), noise(case)
    random = np.random.default_rng(3)
    share = np.linspace(0.05, 0.95, 60)
    rows = np.concatenate([np.rint(92 + share * 95), random.integers(0, HEIGHT, 400)]).astype(int)
    columns = np.concatenate([np.rint(159 - share * 65), random.integers(0, WIDTH, 400)]).astype(int)

    def glow(_: Path, counts: Any) -> Any:
        counts[rows, columns] = np.minimum(counts[rows, columns] + 500, 1023)
        return counts

    change_frames(case, glow)
    case.process().said("pairs")
    repaired = rates(case)
    assert repaired.status == clean.status
    assert noise(case) < 1.05 * clean_noise
    np.testing.assert_allclose(repaired.rate, clean.rate, atol=2 * float(clean.random.max()))
    assert repaired.mean == pytest.approx(clean.mean, rel=0.02)
    case.edit_site("[processing.background]", "[processing.hot_pixels]\nrepair = false\n\n[processing.background]")
    assert case.process().code in (0, 3)
    assert set(rates(case).status) <= {"line_masked", "no_sky"}


def uneven(scene: Scene, scenario: Scenario) -> tuple[FloatArray, Callable[[Path, Any], Any]]:
    """Return a sensitivity to SO2 that grows from left to right, and what makes on-band frames of such a camera."""
    x = np.linspace(-1, 1, WIDTH)
    mask = np.broadcast_to(1 + 0.2 * x + 0.1 * x**2 - 0.025, (HEIGHT, WIDTH))
    camera = scene.cameras[0]
    difference = camera.light.cross_section_cm2 - scene.cameras[1].light.cross_section_cm2
    dark = camera.expected(FrameKind.DARK, 0.0)

    def change(path: Path, counts: Any) -> Any:
        kind = path.stem.rsplit("_", 1)[1]
        if "fltrA" not in path.name or kind in ("Dark", "Clear"):
            return counts
        if kind == "Plume":
            start = parse_utc(path.name[:13] + ":" + path.name[13:15] + ":" + path.name[15:17] + "Z")
            column: Any = scene.cameras[0].slant_column((start - scenario.start).total_seconds() + 0.2)
        else:
            column = float(kind.removesuffix("ppmm")) * molec_cm2_per_ppm_m()
        light = (counts - dark) * np.exp(-(mask - 1) * difference * column)
        return np.clip(np.rint(light + dark), 0, 1023).astype(np.uint16)

    return mask, change


def test_an_uneven_sensitivity_is_evened_out(case: Any, scene: Scene, scenario: Scenario) -> None:
    mask, change = uneven(scene, scenario)
    change_frames(case, change)
    case.process().said("pairs")
    wrong = rates(case)
    add(case, "processing.calibration", "sensitivity_cell_ppm_m = 1200")
    case.process().said("pairs")
    evened = rates(case)
    on_line = mask[100, 94:159].mean()
    assert on_line < 0.95
    assert wrong.mean < 0.97 * EMISSION
    assert evened.mean == pytest.approx(EMISSION, rel=0.03)
    assert evened.mean / wrong.mean == pytest.approx(np.median(mask) / on_line, rel=0.03)


def test_an_even_cell_changes_nothing(case: Any) -> None:
    case.process().said("pairs")
    before = rates(case)
    add(case, "processing.calibration", "sensitivity_cell_ppm_m = 1200")
    case.process().said("pairs")
    np.testing.assert_allclose(rates(case).rate, before.rate, rtol=0.01)


def test_a_cell_for_sensitivity_that_is_not_there(case: Any) -> None:
    add(case, "processing.calibration", "sensitivity_cell_ppm_m = 700")
    case.process().explained("processing.calibration.sensitivity_cell_ppm_m", "700", "0, 400, 1200")
    assert not case.out.exists()


# --- names of files ----------------------------------------------------------------------------------------------

STAMP = "%Y-%m-%dT%H%M%S"


def parts(path: Path) -> tuple[datetime, str, int, str]:
    """Return start, band, exposure [us] and kind of a simulated file."""
    stamp, tag, _, exposure, kind = path.stem.split("_")
    return datetime.strptime(stamp, STAMP), tag, int(exposure.removesuffix("ss")), kind  # noqa: DTZ007 - UTC


def rename(case: Any, name: Callable[[datetime, str, int, str], str], files: str) -> None:
    for path in case.files("*.png"):
        path.rename(path.with_name(name(*parts(path))))
    case.edit_site('on_band = "fltrA"\noff_band = "fltrB"\n', files)


def test_another_naming(case: Any) -> None:
    case.process().said("pairs")
    before = case.values()
    rename(
        case,
        lambda time, band, us, kind: (
            f"cam_{'uv' if band == 'fltrA' else 'blue'}_{time:%d.%m.%y %H-%M-%S}".replace(f"{time:%y} ", f"{time:%Y} ")
            + f"_{us}us_{ {'Plume': 'sequence', 'Clear': 'sky'}.get(kind, kind) }.PNG"
        ),
        'naming = "pattern"\npattern = "cam_{band}_{time:%d.%m.%Y %H-%M-%S}_{exposure_us}us_{kind}.png"\n'
        'on_band = "uv"\noff_band = "blue"\nkinds = { sequence = "plume", sky = "clear" }\n',
    )
    case.process().said("7 pairs", "3 gas cells")
    assert case.values() == before


def test_a_pattern_that_fits_nothing(case: Any) -> None:
    case.edit_site(
        'on_band = "fltrA"', 'naming = "pattern"\npattern = "cam_{band}_{time:%H%M%S}_{kind}.png"\non_band = "fltrA"'
    )
    case.process().explained("files.pattern")
    case.edit_site("{time:%H%M%S}", "{time:%Y%m%d%H%M%S}")
    case.process().failed_with("no plume frames", "[files]")


@pytest.mark.parametrize(("hours", "stamp"), [(-3.0, "start"), (5.5, "start"), (0.0, "middle"), (0.0, "end")])
def test_local_time_and_stamps(case: Any, hours: float, stamp: str) -> None:
    case.process().said("pairs")
    before = case.values()
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}[stamp]

    def name(time: datetime, band: str, us: int, kind: str) -> str:
        marked = time + timedelta(hours=hours, microseconds=share * us)
        return f"{marked:%Y-%m-%dT%H%M%S.%f}_{band}_{us}_{kind}.png"

    rename(
        case,
        name,
        'naming = "pattern"\npattern = "{time:%Y-%m-%dT%H%M%S.%f}_{band}_{exposure_us}_{kind}.png"\n'
        f'on_band = "fltrA"\noff_band = "fltrB"\nstamp = "{stamp}"\nutc_offset_hours = {hours}\n',
    )
    case.process().said("7 pairs")
    # Stamps are known more finely now, and with them the interval: random parts are smaller, values are the same.
    after = case.rows()
    for row, other in zip(before.splitlines()[1:], after, strict=True):
        stamp_text, line, _, rate, random, systematic = row.split(",")[:6]
        assert (other["time"], other["line"]) == (stamp_text, line)
        assert (other["emission_rate_kg_s"], other["systematic_uncertainty_kg_s"]) == (rate, systematic)
        assert not rate or float(other["random_uncertainty_kg_s"]) <= float(random)


# --- landmark ----------------------------------------------------------------------------------------------------


def set_landmark(case: Any, scene: Scene, right_px: float = 0.0) -> None:
    """The vent itself is the landmark, where the image shows it."""
    geometry = scene.geometry
    x, y = (float(value) for value in geometry.to_image(0.0, 0.0))
    vent = geometry.vent
    place = f"latitude = {vent.latitude}, longitude = {vent.longitude}, altitude_m = {vent.altitude_m}"
    text = f"[camera.view.landmark]\nposition = {{ {place} }}\npixel = [{x + right_px}, {y}]\n"
    text += "pixel_uncertainty_px = 0.5\nposition_uncertainty_m = 5\n\n[camera.optics]"
    case.edit_site("[camera.optics]", text)


def test_a_landmark_gives_the_view(case: Any, scene: Scene) -> None:
    case.process().said("pairs")
    before = rates(case)
    set_landmark(case, scene)
    case.edit_site("azimuth_deg = 12.0", "azimuth_deg = 14.0")
    case.edit_site("azimuth_uncertainty_deg = 0.1", "azimuth_uncertainty_deg = 3.0")
    result = case.run("check", case.site)
    result.said("view by the landmark")
    found = re.search(r"azimuth ([\d.]+) ± [\d.]+, elevation ([\d.]+)", result.out)
    assert found is not None
    assert float(found[1]) == pytest.approx(12.0, abs=0.03)
    assert float(found[2]) == pytest.approx(13.5, abs=0.04), "the earth's curvature makes 0.02 of it"
    assert "landmark" not in result.err
    result = case.process()
    assert "landmark" not in result.err
    np.testing.assert_allclose(rates(case).rate, before.rate, rtol=0.003)
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        view = json.loads(data.settings)["camera"]["view"]
    assert view["azimuth_deg"] == pytest.approx(12.0, abs=0.03), "the settings that were used are those recorded"


def test_a_landmark_that_contradicts_the_compass(case: Any, scene: Scene) -> None:
    set_landmark(case, scene, right_px=60.0)
    for result in (case.run("check", case.site), case.process()):
        result.said("camera.view.landmark: its azimuth", "check landmark, pixel and compass")


def test_a_landmark_outside_the_image(case: Any, scene: Scene) -> None:
    set_landmark(case, scene, right_px=300.0)
    case.run("check", case.site).explained("camera.view.landmark.pixel", "outside the image")
