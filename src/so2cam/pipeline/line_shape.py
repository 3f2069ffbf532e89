"""The line shape of a spectrometer from spectra of a calibration lamp that the user names."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from so2cam import __version__
from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import FloatArray
from so2cam.core.times import format_utc
from so2cam.formats.line_shape_files import (
    LampLineMark,
    LineShapeRecord,
    write_line_shape_page,
    write_line_shape_table,
)
from so2cam.formats.reference_spectra import FEWEST_ROWS
from so2cam.formats.sitefile import LoadedSpectrometer
from so2cam.pipeline.lamp_spectra import LampSpectrum, read_lamp
from so2cam.pipeline.output import as_text, write_together
from so2cam.science.spectra.lamp import LampFit, fit_lamp_line, super_gaussian_centroid_nm
from so2cam.science.spectra.lamp_lines import HG_LINES, DetectedLine, detect_lines
from so2cam.science.spectra.line_shape import super_gaussian

TOLERANCE_NM = 0.5
"""How far from its wavelength a line is looked for."""
_CURVE_POINTS = 601


@dataclass(frozen=True, slots=True)
class LineTrial:
    """A line that stands out of a lamp's spectrum, with its fit or the reason why there is none."""

    detected: DetectedLine
    fit: LampFit | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FoundLineShape:
    """The line shape, the lamp's spectrum and all its lines, by wavelength."""

    lamp: LampSpectrum
    fit: LampFit
    trials: tuple[LineTrial, ...]


def find_line_shape(
    loaded: LoadedSpectrometer, lamps: Sequence[Path], darks: Sequence[Path] = (), *, near_nm: float | None = None
) -> FoundLineShape:
    """Return the line shape from the mean of ``lamps``, less the mean of ``darks``.

    It is that of the mercury line nearest to ``near_nm``; without that, of the first line whose shape can be
    determined, isolated lines before others, then those near the middle of the fit's window. Raises FrameFileError for
    a file that cannot be read, and InputError for files that do not belong together and where no line gives a shape.
    """
    settings = loaded.spectrometer
    lamp = read_lamp(settings, lamps, darks)
    middle = 0.5 * sum(settings.fit.window_nm)
    detected = detect_lines(
        lamp.wavelengths_nm,
        lamp.counts,
        near_nm=middle if near_nm is None else near_nm,
        tolerance_nm=TOLERANCE_NM,
        saturation_counts=lamp.saturation_counts,
    )
    trials = [_try(lamp, one) for one in detected]
    by_wavelength = tuple(sorted(trials, key=lambda trial: trial.detected.line.vacuum_nm))
    if near_nm is not None:
        return FoundLineShape(lamp, _fit_near(lamp, near_nm, trials), by_wavelength)
    found = next((trial.fit for trial in trials if trial.fit is not None), None)
    if found is None:
        low, high = lamp.wavelengths_nm[[0, -1]]
        raise InputError(
            trials[0].reason
            if trials
            else f"no mercury line stands out of the noise between {low:.1f} and {high:.1f} nm, within {TOLERANCE_NM} "
            "nm of where it should be",
            file=lamps[0],
            remedy="record the lamp so that its strongest line below 320 nm reaches about two thirds of saturation, "
            "with darks of the same integration time; check that the spectrometer's wavelengths are right within "
            f"{TOLERANCE_NM} nm",
        )
    return FoundLineShape(lamp, found, by_wavelength)


def _try(lamp: LampSpectrum, detected: DetectedLine) -> LineTrial:
    try:
        return LineTrial(detected, _fit(lamp, detected.line.vacuum_nm))
    except ValueError as error:
        return LineTrial(detected, None, str(error))


def _fit(lamp: LampSpectrum, near_nm: float) -> LampFit:
    fit = fit_lamp_line(
        lamp.wavelengths_nm,
        lamp.counts,
        near_nm,
        tolerance_nm=TOLERANCE_NM,
        saturation_counts=lamp.saturation_counts,
    )
    if fit.table_offsets_nm.size < FEWEST_ROWS:
        raise ValueError(
            f"the line near {fit.line.vacuum_nm:.2f} nm ({fit.line.name}) is too narrow, or too near the edge: "
            f"{fit.table_offsets_nm.size} pixels for a table that needs {FEWEST_ROWS}"
        )
    return fit


def _fit_near(lamp: LampSpectrum, near_nm: float, trials: Sequence[LineTrial]) -> LampFit:
    """Return the fit of the line nearest to ``near_nm`` of those that stand out; InputError where it gives none."""
    nearest = min(trials, key=lambda trial: abs(trial.detected.line.vacuum_nm - near_nm), default=None)
    if nearest is not None and abs(nearest.detected.line.vacuum_nm - near_nm) <= TOLERANCE_NM:
        if nearest.fit is not None:
            return nearest.fit
        reason = nearest.reason
    else:
        seen = ", ".join(f"{trial.detected.line.vacuum_nm:.2f}" for trial in trials)
        reason = f"no mercury line stands out within {TOLERANCE_NM} nm; those that do: {seen or 'none'}"
    listed = ", ".join(f"{line.vacuum_nm:.1f}" for line in HG_LINES)
    raise InputError(
        reason,
        file=lamp.inputs[0][0],
        key="--near",
        value=near_nm,
        remedy=f"choose another line with --near (listed, in vacuum: {listed} nm), or leave it out",
    )


# --- writing -----------------------------------------------------------------------------------------------------


def settings_as_table(site: Path, out: Path) -> str:
    """Return the lines of a site file ``site`` that take the line shape from the table ``out``."""
    try:
        relative = Path(os.path.relpath(out.resolve(), site.resolve().parent)).as_posix()
    except ValueError:  # another drive
        relative = out.resolve().as_posix()
    text = as_text(relative).replace("\\", "\\\\").replace('"', '\\"')
    return f'[spectrometer.line_shape]\nsource = "file"\nfile = "{text}"'


def settings_as_super_gaussian(fit: LampFit) -> str:
    """Return the lines of a site file that take the line shape from its super-Gaussian."""
    return (
        "[spectrometer.line_shape]\n"
        f"width_nm = {fit.fwhm_nm:.4f}\n"
        f"exponent = {fit.exponent:.3f}\n"
        f"width_asymmetry = {fit.width_asymmetry:.4f}\n"
        f"exponent_asymmetry = {fit.exponent_asymmetry:.3f}"
    )


def write_line_shape(
    loaded: LoadedSpectrometer, found: FoundLineShape, out: Path, plot: Path | None = None, *, command: str
) -> LineShapeRecord:
    """Write the measured shape to ``out`` and, if asked for, its page to ``plot``: both whole or none.

    Raises OutputError where that cannot be done, or would overwrite an input.
    """
    _refuse_inputs(loaded, found, out, plot)
    record = line_shape_record(loaded, found, out, command)
    products: list[tuple[Path, Callable[[Path], None]]] = [(out, lambda path: write_line_shape_table(path, record))]
    if plot is not None:
        products.append((plot, lambda path: write_line_shape_page(path, record)))
    write_together(products)
    return record


def _refuse_inputs(loaded: LoadedSpectrometer, found: FoundLineShape, out: Path, plot: Path | None) -> None:
    inputs = {path.resolve() for path, _ in found.lamp.inputs} | {loaded.path.resolve()}
    for path, option in ((out, "--out"), (plot, "--plot")):
        if path is not None and path.resolve() in inputs:
            raise OutputError(
                "is an input and would be overwritten", file=path, key=option, remedy=f"name another file with {option}"
            )
    if plot is not None and plot.resolve() == out.resolve():
        raise OutputError("is the table and the plot", file=out, key="--plot", remedy="name two different files")


def line_shape_record(loaded: LoadedSpectrometer, found: FoundLineShape, out: Path, command: str) -> LineShapeRecord:
    """Return what was found, as the table in ``out`` and its page hold it."""
    fit, lamp = found.fit, found.lamp
    shape = (fit.fwhm_nm, fit.exponent, fit.width_asymmetry, fit.exponent_asymmetry)
    top_nm = -super_gaussian_centroid_nm(*shape)

    def fitted(offsets_nm: FloatArray) -> FloatArray:
        return super_gaussian(offsets_nm - top_nm, *shape)

    at_pixels = fitted(fit.table_offsets_nm)
    # The table has area 1; the height that goes with it is that of the fitted shape nearest to it.
    height = float(at_pixels @ fit.table_response) / float(at_pixels @ at_pixels)
    curve_nm = np.linspace(fit.table_offsets_nm[0], fit.table_offsets_nm[-1], _CURVE_POINTS)
    return LineShapeRecord(
        site_name=loaded.name,
        line=fit.line.name,
        vacuum_nm=fit.line.vacuum_nm,
        found_nm=(fit.centroid_nm, fit.centroid_uncertainty_nm),
        wavelength_error_nm=fit.wavelength_error_nm,
        fwhm_nm=(fit.fwhm_nm, fit.fwhm_uncertainty_nm),
        exponent=(fit.exponent, fit.exponent_uncertainty),
        width_asymmetry=(fit.width_asymmetry, fit.width_asymmetry_uncertainty),
        exponent_asymmetry=(fit.exponent_asymmetry, fit.exponent_asymmetry_uncertainty),
        peak_counts=fit.peak_counts,
        signal_to_noise=fit.signal_to_noise,
        residual_rms=fit.residual_rms,
        other_lines=tuple(line.name for line in fit.other_lines),
        offsets_nm=fit.table_offsets_nm,
        response=fit.table_response,
        residual=np.asarray(fit.table_response / height - at_pixels),
        curve_offsets_nm=curve_nm,
        curve=np.asarray(height * fitted(curve_nm)),
        spectrum_nm=lamp.wavelengths_nm,
        spectrum_counts=_without_saturated(lamp),
        marks=tuple(
            LampLineMark(one.detected.line.name, one.detected.peak_nm, one.detected.line == fit.line)
            for one in found.trials
        ),
        inputs=tuple((as_text(str(path)), digest) for path, digest in lamp.inputs),
        settings=(settings_as_table(loaded.path, out), settings_as_super_gaussian(fit)),
        made_from=_made_from(lamp),
        software=f"so2cam {__version__}",
        created=format_utc(datetime.now(UTC)),
        command=as_text(command),
    )


def _made_from(lamp: LampSpectrum) -> str:
    spectra = f"{lamp.spectra} lamp spectr{'um' if lamp.spectra == 1 else 'a'}"
    return f"{spectra} and {lamp.darks} dark{'' if lamp.darks == 1 else 's'}" if lamp.darks else f"{spectra}, no dark"


def _without_saturated(lamp: LampSpectrum) -> FloatArray:
    return np.asarray(np.where(lamp.counts < lamp.saturation_counts, lamp.counts, np.nan))
