"""Run a simulation: write frames, site file and truth into a folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Band, FrameKind
from so2cam.core.site import Line, Site
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.formats.names import build_image_name
from so2cam.formats.png import write_png
from so2cam.simulate.camera import BandCamera, BandSettings
from so2cam.simulate.geometry import Matrix, SceneGeometry, build_geometry, registration_matrix
from so2cam.simulate.lines import map_line, place_lines
from so2cam.simulate.plume import PlumeField, build_axis, build_plume
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.sitefile import format_site
from so2cam.simulate.truth import Truth, format_truth, measure_truth
from so2cam.store.atomic import atomic_write_bytes

_CALIBRATION_LEAD_S: Final = 600
"""The first calibration frame comes this long before the first plume pair [s]"""
_CALIBRATION_CADENCE_S: Final = 10
_CALIBRATION_FRAMES: Final = 3
"""Frames of each kind, band and gas cell"""
_MAXIMUM_PAIRS: Final = 100_000
_TAGS: Final = {Band.ON: "fltrA", Band.OFF: "fltrB"}
_GENERATION: Final = 1


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What a simulation has written."""

    frames: Path
    """Folder of the frames"""
    site: Path
    """The site file"""
    truth_file: Path
    truth: Truth
    frame_count: int


@dataclass(frozen=True, slots=True)
class _Shot:
    """A frame to be taken; both bands are taken at its ``start``."""

    folder: Path
    kind: FrameKind
    start: datetime
    cell_ppm_m: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a simulation looks at, before the first frame is taken."""

    geometry: SceneGeometry
    matrix: Matrix
    field: PlumeField
    lines: tuple[Line, ...]
    cameras: tuple[BandCamera, BandCamera]
    """On band, off band"""


def build_scene(scenario: Scenario, *, seed: int, pairs: int) -> Scene:
    """Return the scene of ``pairs`` pairs. A longer one with the same seed begins in the same way."""
    if not 1 <= pairs <= _MAXIMUM_PAIRS:
        raise InputError(f"the number of pairs must be from 1 to {_MAXIMUM_PAIRS}", key="pairs", value=pairs)
    if seed < 0:
        raise InputError("the seed must not be negative", key="seed", value=seed)
    geometry = build_geometry(scenario.view)
    matrix = registration_matrix(scenario.misregistration, scenario.view.optics)
    axis = build_axis(scenario.plume)
    lines = place_lines(axis, scenario.lines, geometry)
    width, height = geometry.optics.width_px, geometry.optics.height_px
    margin = 0.25 * width
    corner_x = np.array([-margin, width + margin, -margin, width + margin])
    corner_y = np.array([-margin, -margin, height + margin, height + margin])
    corners = geometry.to_plane(corner_x, corner_y)
    field = build_plume(
        axis,
        scenario.emission,
        texture_width_m=axis.half_width_at(scenario.lines.upstream_distance_m),
        longest_m=float(np.max(axis.coordinates(corners.a, corners.z)[0])),
        first_s=0.0,
        last_s=float(pairs * scenario.cadence_s),
        seeds=np.random.SeedSequence(seed, spawn_key=(0,)),
    )
    sensor, cells = scenario.sensor, scenario.cells
    on = BandSettings(sensor.exposure_on_s, sensor.sky_level_on_dn, cells.cross_section_on_cm2, None)
    off = BandSettings(sensor.exposure_off_s, sensor.sky_level_off_dn, cells.cross_section_off_cm2, matrix)
    cameras = (
        BandCamera(Band.ON, scenario, geometry, field, on),
        BandCamera(Band.OFF, scenario, geometry, field, off),
    )
    return Scene(geometry, matrix, field, lines, cameras)


def simulate(
    scenario: Scenario,
    out: Path,
    *,
    seed: int,
    pairs: int,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """Write ``frames/``, ``site.toml`` and ``truth.json`` into the folder ``out``.

    There are calibration frames (darks, clear sky, gas cells, three each and per band) and ``pairs`` plume pairs.
    ``progress`` is called with the number of frames done and of all frames. The same scenario, seed and number of
    pairs give the same files, bit for bit. Raises OutputError where ``out`` already holds frames.
    """
    frames = out / "frames"
    if frames.is_dir() and next(frames.iterdir(), None) is not None:
        raise OutputError(
            "the folder already holds frames; they would be mixed with the new ones",
            file=frames,
            remedy="give a new folder, or remove this one first",
        )
    scene = build_scene(scenario, seed=seed, pairs=pairs)
    text, site = format_site(scenario, scene.geometry, scene.matrix, scene.lines)
    truth = _measure(scenario, seed, pairs, scene, site)
    shots = [*_calibration_shots(scenario, frames), *_plume_shots(scenario, frames, pairs)]
    total = len(scene.cameras) * len(shots)
    _make_folders(shots)
    done = 0
    for number, shot in enumerate(shots):
        for stream, camera in enumerate(scene.cameras, start=1):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, number)))
            path, data = _take(shot, camera, scenario, rng)
            atomic_write_bytes(path, data)
            done += 1
            if progress is not None:
                progress(done, total)
    site_path, truth_path = out / "site.toml", out / "truth.json"
    atomic_write_bytes(truth_path, format_truth(truth).encode())
    atomic_write_bytes(site_path, text.encode())
    return SimulationResult(frames, site_path, truth_path, truth, total)


def _measure(scenario: Scenario, seed: int, pairs: int, scene: Scene, site: Site) -> Truth:
    """Return the truth along the lines as the site file holds them."""
    lines = tuple(map_line(line, scene.field.axis, scene.geometry) for line in site.plume_lines)
    return measure_truth(scenario, seed, scene.field, lines, pairs, scene.matrix)


def _calibration_shots(scenario: Scenario, frames: Path) -> Iterator[_Shot]:
    """Yield darks, clear sky and gas cells, in the order in which they are taken."""
    start = scenario.start - timedelta(seconds=_CALIBRATION_LEAD_S)
    folder = frames / f"{start:%Y-%m-%d}" / "Cal_1"
    kinds: list[tuple[FrameKind, float | None]] = [(FrameKind.DARK, None), (FrameKind.CLEAR, None)]
    kinds += [(FrameKind.CELL, label) for label in scenario.cells.labels_ppm_m]
    for kind, label in kinds:
        for _ in range(_CALIBRATION_FRAMES):
            yield _Shot(folder, kind, start, label)
            start += timedelta(seconds=_CALIBRATION_CADENCE_S)


def _plume_shots(scenario: Scenario, frames: Path, pairs: int) -> Iterator[_Shot]:
    folder = frames / f"{scenario.start:%Y-%m-%d}" / "Seq_1"
    for pair in range(pairs):
        yield _Shot(folder, FrameKind.PLUME, scenario.start + timedelta(seconds=pair * scenario.cadence_s))


def _make_folders(shots: list[_Shot]) -> None:
    for folder in sorted({shot.folder for shot in shots}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder cannot be made: {error}", file=folder) from error


def _take(shot: _Shot, camera: BandCamera, scenario: Scenario, rng: np.random.Generator) -> tuple[Path, bytes]:
    """Return a frame's path and the bytes of its file."""
    exposure_s = camera.settings.exposure_s
    middle_s = (shot.start - scenario.start).total_seconds() + exposure_s / 2
    cell = (shot.cell_ppm_m or 0.0) * molec_cm2_per_ppm_m()
    counts = camera.record(camera.expected(shot.kind, middle_s, cell), rng)
    name = build_image_name(
        start=shot.start,
        tag=_TAGS[camera.band],
        gain=scenario.sensor.gain,
        exposure_s=exposure_s,
        kind=shot.kind,
        cell_ppm_m=shot.cell_ppm_m,
        generation=_GENERATION,
    )
    return shot.folder / name, write_png(counts)
