"""Run a simulation: write frames, spectra, site file and truth into a folder."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Band, FloatArray, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.formats.names import build_image_name
from so2cam.formats.png import write_png
from so2cam.simulate.camera import BandCamera
from so2cam.simulate.detector import Counts
from so2cam.simulate.exposure import ExposureControl
from so2cam.simulate.ground import format_terrain_model
from so2cam.simulate.lines import map_line
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.scene import MAXIMUM_PAIRS, Scene, build_scene
from so2cam.simulate.sitefile import TERRAIN_MODEL, format_site
from so2cam.simulate.truth import Truth, format_truth, measure_truth, repeat_truth
from so2cam.store.atomic import atomic_write_bytes

__all__ = ["MAXIMUM_PAIRS", "Scene", "SimulationResult", "build_scene", "simulate"]

_CALIBRATION_LEAD_S: Final = 600
"""The first calibration frame comes this long before the first plume pair [s]"""
_CALIBRATION_CADENCE_S: Final = 10
_CALIBRATION_FRAMES: Final = 3
"""Frames of each kind, band and gas cell, and spectra of each kind"""
_TAGS: Final = {Band.ON: "fltrA", Band.OFF: "fltrB"}
_GENERATION: Final = 2
_RUNNING_S: Final = 7200
"""The camera's computer was started this long before the sequence [s]"""


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What a simulation has written."""

    frames: Path
    """Folder of the frames"""
    spectra: Path
    """Folder of the spectra"""
    site: Path
    """The site file"""
    truth_file: Path
    truth: Truth
    frame_count: int
    spectrum_count: int


@dataclass(frozen=True, slots=True)
class _Shot:
    """A frame to be taken; ``exposure_s`` is None where the exposure control decides."""

    kind: FrameKind
    start: datetime
    cell_ppm_m: float | None = None
    exposure_s: float | None = None


class _Run:
    """What is written where, and how far it is."""

    def __init__(self, scene: Scene, out: Path, progress: Callable[[int, int], None] | None) -> None:
        scenario = scene.scenario
        self.scene, self.scenario = scene, scenario
        self.frames, self.spectra = out / "frames", out / "spectra"
        self._progress = progress
        self.done = self.total = 0
        self.controls = {camera.band: ExposureControl(camera, scenario.sensor) for camera in scene.cameras}

    def step(self) -> None:
        """Count one file."""
        self.done += 1
        if self._progress is not None:
            self._progress(self.done, self.total)

    def folder(self, root: Path, start: datetime, name: str) -> Path:
        """Return the folder of files of that day."""
        return root / f"{start:%Y-%m-%d}" / name

    def image_name(self, camera: BandCamera, shot: _Shot, exposure_s: float) -> str:
        """Return the name of a frame's file."""
        return build_image_name(
            start=shot.start,
            tag=_TAGS[camera.band],
            gain=self.scenario.sensor.gain,
            exposure_s=exposure_s,
            kind=shot.kind,
            cell_ppm_m=shot.cell_ppm_m,
            generation=_GENERATION,
        )

    def describe(self, path: Path, shot: _Shot, exposure_s: float) -> None:
        """Write the sidecar of a frame: what the sensor says of itself, with its own clock."""
        since_start = (shot.start - self.scenario.start).total_seconds() + _RUNNING_S
        content = {
            "AnalogueGain": float(self.scenario.sensor.gain),
            "ExposureTime": round(exposure_s * 1e6),
            "SensorTimestamp": round(since_start * 1e9),
        }
        atomic_write_bytes(path.with_suffix(".json"), json.dumps(content).encode())

    def take(self, camera: BandCamera, shot: _Shot, folder: Path) -> tuple[Path, float, Counts]:
        """Write a frame; return its path, exposure and counts."""
        control = self.controls[camera.band]
        exposure_s = control.exposure_s if shot.exposure_s is None else shot.exposure_s
        middle_s = (shot.start - self.scenario.start).total_seconds() + exposure_s / 2
        counts = self.scene.frame(camera.band, shot.kind, middle_s, exposure_s, cell_ppm_m=shot.cell_ppm_m)
        path = folder / self.image_name(camera, shot, exposure_s)
        self.describe(path, shot, exposure_s)
        atomic_write_bytes(path, write_png(counts))
        self.step()
        return path, exposure_s, counts

    def record(self, kind: SpectrumKind, start: datetime, folder: Path) -> Path:
        """Write a spectrum; return its path."""
        model, device = self.scenario.spectrometer, self.scene.spectrometer
        middle_s = (start - self.scenario.start).total_seconds() + model.integration_time_s * model.coadds / 2
        counts = self.scene.spectrum(kind, middle_s, model.integration_time_s, model.coadds)
        stream = io.BytesIO()
        np.save(stream, np.stack([device.wavelengths_nm, counts]), allow_pickle=False)
        path = folder / spectrum_name(start, model.integration_time_s, model.coadds, kind)
        atomic_write_bytes(path, stream.getvalue())
        self.step()
        return path


def simulate(
    scenario: Scenario,
    out: Path,
    *,
    seed: int,
    pairs: int,
    repeat: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """Write ``frames/``, ``spectra/``, ``site.toml`` and ``truth.json`` into the folder ``out``.

    There are calibration frames (darks, clear sky, gas cells, three each and per band), ``pairs`` plume pairs, darks
    and clear-sky spectra, and plume spectra as long as there are pairs. With ``repeat`` only that many pairs, and the
    spectra of their time, are made; the others are the same files again under later names (hard links where the disk
    knows them), for benchmarks. ``progress`` is called with the number of files done and of all files. The same
    scenario, seed and numbers give the same files, bit for bit. Raises OutputError where ``out`` already holds frames
    or spectra, InputError for numbers out of range.
    """
    _require_empty(out)
    scene = build_scene(scenario, seed=seed, pairs=pairs)
    distinct = pairs if repeat is None else _require_repeat(scenario, repeat, pairs)
    text, site = format_site(scene)
    run = _Run(scene, out, progress)
    cadence, spectra_cadence = scenario.cadence_s, scenario.spectrometer.cadence_s
    spectra = -(-pairs * cadence // spectra_cadence)
    distinct_spectra = min(spectra, -(-distinct * cadence // spectra_cadence))
    lines = tuple(map_line(line, scene.geometry) for line in site.plume_lines)
    seconds = _middles(pairs, cadence, scenario.sensor.exposure_on_s)
    duration = scenario.spectrometer.integration_time_s * scenario.spectrometer.coadds
    spectra_seconds = _middles(spectra, spectra_cadence, duration)
    calibration = list(_calibration_shots(scenario))
    run.total = 2 * (len(calibration) + pairs) + 2 * _CALIBRATION_FRAMES + spectra
    truth = measure_truth(scene, lines, seconds[:distinct], spectra_seconds[:distinct_spectra])
    if distinct < pairs:
        truth = repeat_truth(truth, seconds, spectra_seconds)
    _make_folders(run)
    middles = _take_plume(run, pairs, distinct)
    if scenario.sensor.exposure_control == "automatic":
        changed = measure_truth(scene, lines, np.array(middles[:distinct]), spectra_seconds[:distinct_spectra])
        truth = changed if distinct == pairs else repeat_truth(changed, np.array(middles), spectra_seconds)
        calibration[:0] = _more_darks(run)
        run.total += len(calibration) * 2 - (run.total - 2 * pairs - 2 * _CALIBRATION_FRAMES - spectra)
    _take_calibration(run, calibration)
    _record_spectra(run, spectra, distinct_spectra)
    site_path, truth_path = out / "site.toml", out / "truth.json"
    if scenario.air.extinction_310_per_m > 0:
        atomic_write_bytes(out / TERRAIN_MODEL, format_terrain_model(scene.geometry, scenario.terrain).encode())
    atomic_write_bytes(truth_path, format_truth(truth).encode())
    atomic_write_bytes(site_path, text.encode())
    spectrum_count = 2 * _CALIBRATION_FRAMES + spectra
    return SimulationResult(
        run.frames, run.spectra, site_path, truth_path, truth, run.done - spectrum_count, spectrum_count
    )


def spectrum_name(start: datetime, integration_time_s: float, coadds: int, kind: SpectrumKind) -> str:
    """Return the name of a spectrum's file as existing instruments write it: ``start`` to the second, milliseconds."""
    return f"{start:%Y-%m-%dT%H%M%S}_{round(integration_time_s * 1e3)}ss_{coadds}coadd_{kind.value.capitalize()}.npy"


def _require_empty(out: Path) -> None:
    for name in ("frames", "spectra"):
        folder = out / name
        if folder.is_dir() and next(folder.iterdir(), None) is not None:
            raise OutputError(
                f"the folder already holds {name}; they would be mixed with the new ones",
                file=folder,
                remedy="give a new folder, or remove this one first",
            )


def _require_repeat(scenario: Scenario, repeat: int, pairs: int) -> int:
    if repeat < 1:
        raise InputError("at least one pair must be made", key="repeat", value=repeat)
    if repeat * scenario.cadence_s % scenario.spectrometer.cadence_s:
        raise InputError(
            "pairs and spectra do not repeat together",
            key="repeat",
            value=repeat,
            remedy=f"choose a number of pairs that last a multiple of {scenario.spectrometer.cadence_s} s",
        )
    return min(repeat, pairs)


def _middles(count: int, cadence_s: float, duration_s: float) -> FloatArray:
    return np.asarray(np.arange(count) * cadence_s + duration_s / 2, np.float64)


def _calibration_shots(scenario: Scenario) -> Iterator[_Shot]:
    """Yield darks, clear sky and gas cells, in the order in which they are taken."""
    start = scenario.start - timedelta(seconds=_CALIBRATION_LEAD_S)
    kinds: list[tuple[FrameKind, float | None]] = [(FrameKind.DARK, None), (FrameKind.CLEAR, None)]
    kinds += [(FrameKind.CELL, label) for label in scenario.cells.labels_ppm_m]
    for kind, label in kinds:
        for _ in range(_CALIBRATION_FRAMES):
            yield _Shot(kind, start, label)
            start += timedelta(seconds=_CALIBRATION_CADENCE_S)


def _more_darks(run: _Run) -> list[_Shot]:
    """Return darks, before the other calibration, of the exposures that the control has used."""
    used = sorted(set().union(*(control.used for control in run.controls.values())))
    first = run.scenario.start - timedelta(seconds=_CALIBRATION_LEAD_S)
    shots = []
    for number, exposure_s in enumerate(exposure for exposure in used for _ in range(_CALIBRATION_FRAMES)):
        start = first - timedelta(seconds=(number + 1) * _CALIBRATION_CADENCE_S)
        shots.append(_Shot(FrameKind.DARK, start, None, exposure_s))
    return shots


def _make_folders(run: _Run) -> None:
    start = run.scenario.start
    first = start - timedelta(seconds=_CALIBRATION_LEAD_S)
    for root in (run.frames, run.spectra):
        for folder in (run.folder(root, first, "Cal_1"), run.folder(root, start, "Seq_1")):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"the folder cannot be made: {error}", file=folder) from error


def _take_plume(run: _Run, pairs: int, distinct: int) -> list[float]:
    """Write the plume pairs; return the on-band frames' mid-exposure [s] since the start."""
    scenario = run.scenario
    folder = run.folder(run.frames, scenario.start, "Seq_1")
    made: list[list[tuple[Path, float]]] = []
    middles = []
    for pair in range(pairs):
        shot = _Shot(FrameKind.PLUME, scenario.start + timedelta(seconds=pair * scenario.cadence_s))
        if pair < distinct:
            made.append([])
        for number, camera in enumerate(run.scene.cameras):
            if pair < distinct:
                path, exposure_s, counts = run.take(camera, shot, folder)
                run.controls[camera.band].learn(counts)
                made[pair].append((path, exposure_s))
            else:
                path, exposure_s = made[pair % distinct][number]
                again = folder / run.image_name(camera, shot, exposure_s)
                run.describe(again, shot, exposure_s)
                _repeat(path, again)
                run.step()
            if camera.band is Band.ON:
                middles.append(pair * scenario.cadence_s + exposure_s / 2)
    return middles


def _take_calibration(run: _Run, shots: list[_Shot]) -> None:
    folder = run.folder(run.frames, run.scenario.start - timedelta(seconds=_CALIBRATION_LEAD_S), "Cal_1")
    for shot in shots:
        for camera in run.scene.cameras:
            exposure_s = camera.settings.exposure_s if shot.exposure_s is None else shot.exposure_s
            run.take(camera, _Shot(shot.kind, shot.start, shot.cell_ppm_m, exposure_s), folder)


def _record_spectra(run: _Run, count: int, distinct: int) -> None:
    scenario = run.scenario
    first = scenario.start - timedelta(seconds=_CALIBRATION_LEAD_S)
    folder = run.folder(run.spectra, first, "Cal_1")
    kinds = [kind for kind in (SpectrumKind.DARK, SpectrumKind.CLEAR) for _ in range(_CALIBRATION_FRAMES)]
    step = max(_CALIBRATION_CADENCE_S, scenario.spectrometer.cadence_s)
    for number, kind in enumerate(kinds):
        run.record(kind, first + timedelta(seconds=number * step), folder)
    folder = run.folder(run.spectra, scenario.start, "Seq_1")
    made: list[Path] = []
    model = scenario.spectrometer
    for number in range(count):
        start = scenario.start + timedelta(seconds=number * model.cadence_s)
        if number < distinct:
            made.append(run.record(SpectrumKind.PLUME, start, folder))
        else:
            name = spectrum_name(start, model.integration_time_s, model.coadds, SpectrumKind.PLUME)
            _repeat(made[number % distinct], folder / name)
            run.step()


def _repeat(source: Path, path: Path) -> None:
    """Make ``path`` the same file as ``source``, or a copy of it where the disk has no hard links."""
    try:
        os.link(source, path)
    except OSError:
        try:
            shutil.copyfile(source, path)
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror or error}", file=path) from error
