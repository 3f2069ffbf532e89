"""Reference spectra of a site, and the fits that are ready for a detector's wavelengths."""

from pathlib import Path

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectrometer import LineShapeSettings, Reference, Spectrometer, Window
from so2cam.formats.reference_spectra import read_reference_file, reference_table, table_names
from so2cam.science.spectra.model import FitModel, FitTables, build_fit
from so2cam.science.spectra.table import SpectralTable

_KEPT = 4


class SpectralModels:
    """Fits of one site; those of the last few detectors (wavelength axes) are kept.

    ``inputs`` are the files that were read, beside so2cam's own tables.
    """

    def __init__(self, settings: Spectrometer, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self.inputs: list[Path] = []
        self.tables = self._read_tables()
        self._models: dict[tuple[bytes, Window, bool], FitModel] = {}

    def model(self, wavelengths_nm: FloatArray, window_nm: Window, *, fit_light_dilution: bool = False) -> FitModel:
        """Return the fit in ``window_nm`` for a detector. Raises InputError where none can be built for it."""
        key = (wavelengths_nm.tobytes(), window_nm, fit_light_dilution)
        if key not in self._models:
            if len(self._models) >= _KEPT:
                self._models.pop(next(iter(self._models)))
            dilution = self._settings.light_dilution
            try:
                self._models[key] = build_fit(
                    wavelengths_nm,
                    fit=self._settings.fit,
                    line_shape=self._settings.line_shape,
                    tables=self.tables,
                    window_nm=window_nm,
                    light_dilution=dilution.value if dilution.mode == "fixed" else 0.0,
                    fit_light_dilution=fit_light_dilution,
                )
            except ValueError as error:
                raise InputError(
                    str(error),
                    key="spectrometer.fit",
                    value=window_nm,
                    remedy="check the fit's settings, the line shape and the reference spectra",
                ) from None
        return self._models[key]

    def _read_tables(self) -> FitTables:
        references = self._settings.references
        ring, no2 = references.ring, references.no2
        return FitTables(
            solar=self._table(references.solar, "solar"),
            so2=self._table(references.so2, "so2"),
            o3=tuple(self._table(reference, f"o3[{n}]") for n, reference in enumerate(references.o3)),
            no2=None if no2 is None else self._table(no2, "no2"),
            ring=None if ring is None else self._table(ring, "ring"),
            line_shape=self._line_shape(self._settings.line_shape),
        )

    def _table(self, reference: Reference, name: str) -> SpectralTable:
        key = f"spectrometer.references.{name}"
        if reference.table is not None:
            if reference.table not in table_names():
                raise InputError(
                    "there is no such reference spectrum",
                    key=f"{key}.table",
                    value=reference.table,
                    remedy=f"choose one of {', '.join(table_names())}, or name a file of your own with `file`",
                )
            found = reference_table(reference.table)
            wavelengths, values = found.wavelengths_nm, found.values
        else:
            path = self._folder / str(reference.file)
            wavelengths, values = read_reference_file(path)
            self.inputs.append(path)
        try:
            return SpectralTable(np.asarray(wavelengths + reference.shift_nm), np.asarray(values), key)
        except ValueError as error:
            raise InputError(
                str(error),
                file=reference.file,
                key=key,
                remedy="give two columns: wavelength in nm, increasing, and value",
            ) from None

    def _line_shape(self, settings: LineShapeSettings) -> SpectralTable | None:
        if settings.file is None:
            return None
        path = self._folder / settings.file
        wavelengths, values = read_reference_file(path)
        self.inputs.append(path)
        return SpectralTable(np.asarray(wavelengths), np.asarray(values), "spectrometer.line_shape.file")
