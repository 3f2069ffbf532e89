"""The models of the site file's ``[spectrometer]``: how spectra are stored, prepared and fitted."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_types import Finite, NotNegative, Positive, Table

Nanometres = Annotated[float, Field(ge=150, le=1200, allow_inf_nan=False)]
Window = tuple[Nanometres, Nanometres]
SO2_STRENGTH_UNCERTAINTY: Final = 0.07
"""1 sigma, relative: 6 % for the choice of the table, 3 % for the plume's temperature (docs/reference-spectra.md)."""


def _increasing(window: Window | None) -> Window | None:
    if window is not None and window[1] - window[0] < 1:
        raise ValueError("must be (from, to) in nm, at least 1 nm wide")
    return window


class SpectrumFiles(Table):
    """How spectra are stored."""

    format: Literal["picam", "ifit", "columns"] = Field(
        default="picam",
        description="picam: 2 x N arrays (.npy) of existing instruments; ifit: text of iFit; columns: any text",
    )
    name_pattern: str | None = Field(
        default=None,
        description="for columns and ifit: the file's name with fields in braces, like "
        "'{time:%Y-%m-%dT%H%M%S}_{integration_ms}ms_{kind}.txt'; `{any}` stands for what does not matter",
    )
    kinds: dict[str, Literal["plume", "dark", "clear", "calibration", "test"]] = Field(
        default={}, description="what the words in {kind} mean, beside the kinds' own names; upper and lower case alike"
    )
    dark_files: tuple[str, ...] = Field(
        default=(), description="names (or patterns with * and ?) of dark spectra, where names do not tell the kind"
    )
    wavelength_column: int = Field(default=1, ge=1, le=100, description="for columns: which column, from 1")
    counts_column: int = Field(default=2, ge=1, le=100, description="for columns: which column, from 1")
    delimiter: str | None = Field(default=None, description="for columns: what separates them; white space if absent")
    stamp: Literal["start", "middle", "end"] | None = Field(
        default=None, description="what a file's time marks; by the format if absent (picam: start, ifit: end)"
    )
    utc_offset_hours: float = Field(default=0.0, ge=-14, le=14, description="the files' time minus UTC")
    integration_time_s: Positive | None = Field(default=None, description="where files do not tell")
    coadds: int | None = Field(default=None, ge=1, description="where files do not tell")
    gps_track: str | None = Field(
        default=None, description="a table of time, latitude, longitude and altitude, relative to the site file"
    )

    @model_validator(mode="after")
    def _pattern_where_needed(self) -> Self:
        if self.format == "columns" and self.name_pattern is None:
            raise ValueError('format = "columns" needs name_pattern, which tells the time and kind from the name')
        return self


class Detector(Table):
    """What a count of the spectrometer means, and what is done before the fit."""

    saturation_counts: Positive = Field(default=63000.0, description="counts from which a pixel is saturated")
    minimum_counts: NotNegative = Field(
        default=500.0, description="median signal within the fit window, after the dark, below which there is no fit"
    )
    subtract_dark: bool = Field(default=True, description="false: spectra are fitted as they are stored")
    require_dark: bool = Field(default=True, description="false: a spectrum without a matching dark is used as it is")
    dark_averaging_s: NotNegative = Field(
        default=3600.0, description="darks this close to the nearest one are averaged with it"
    )
    integration_time_tolerance: float = Field(default=0.01, ge=0, le=0.5, description="relative, of a matching dark")
    stray_light_nm: Window | None = Field(
        default=(293.0, 296.0), description="where no sunlight arrives: the mean signal there is subtracted"
    )
    nonlinearity: tuple[Finite, ...] = Field(
        default=(),
        description="coefficients, from the constant up, of the polynomial in counts by which counts are divided",
    )
    wavelength_correction: tuple[Finite, ...] = Field(
        default=(),
        max_length=4,
        description="coefficients, from the constant up, of the polynomial in (wavelength - 310 nm) that is added to "
        "wavelengths [nm]; `so2cam wavelengths` finds them",
    )
    bad_pixels: tuple[int, ...] = Field(default=(), description="indices from 0, left out of fits")
    spike_sigma: NotNegative = Field(
        default=8.0,
        description="pixels above this many sigma of the residual are spikes and left out of the fit; 0: none",
    )

    _windows = field_validator("stray_light_nm")(_increasing)


class LineShapeSettings(Table):
    """The instrument's line shape: super-Gaussian with two asymmetries (Beirle 2017), or a measured table."""

    source: Literal["super-gaussian", "file"] = "super-gaussian"
    file: str | None = Field(default=None, description="two columns, wavelength in nm and response; for source = file")
    width_nm: Positive = Field(default=0.6, le=5, description="full width at half maximum at the start of a fit")
    exponent: float = Field(default=2.0, ge=0.8, le=12, description="2 is a Gaussian")
    width_asymmetry: float = Field(default=0.0, ge=-0.9, le=0.9)
    exponent_asymmetry: float = Field(default=0.0, ge=-2, le=2)
    fit: tuple[Literal["width", "exponent", "width_asymmetry", "exponent_asymmetry"], ...] = Field(
        default=(), description="which of the super-Gaussian's parameters each fit may change"
    )

    @model_validator(mode="after")
    def _file_where_needed(self) -> Self:
        if (self.source == "file") != (self.file is not None):
            raise ValueError('source = "file" and file go together: give both or neither')
        if self.source == "file" and self.fit:
            raise ValueError("a measured line shape has no parameters to fit; remove fit")
        return self


class Reference(Table):
    """A reference spectrum: one of so2cam's own tables, or a file of two columns (nm in vacuum, value)."""

    table: str | None = Field(default=None, description="name of one of so2cam's own tables")
    file: str | None = Field(default=None, description="relative to the site file")
    shift_nm: float = Field(default=0.0, ge=-1, le=1, description="added to the wavelengths of the table")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.table is None) == (self.file is None):
            raise ValueError("give either table or file")
        return self


class So2Reference(Reference):
    """The cross section of SO2: one of so2cam's own tables, or a file of two columns (nm in vacuum, cm2)."""

    relative_uncertainty: float = Field(
        default=SO2_STRENGTH_UNCERTAINTY,
        ge=0,
        le=1,
        description="1 sigma of the cross section's strength, a systematic error of every column, whatever the table",
    )


class References(Table):
    """The spectra that a measured spectrum is made of."""

    solar: Reference = Reference(table="solar-sao2010")
    so2: So2Reference = So2Reference(table="so2-bogumil2003-293k")
    o3: tuple[Reference, ...] = Field(default=(Reference(table="o3-serdyuchenko2014-223k"),), max_length=2)
    no2: Reference | None = None
    ring: Reference | None = Reference(table="ring")


class Fit(Table):
    """The fit of a modelled spectrum to the measured one."""

    method: Literal["intensity", "optical-density"] = Field(
        default="intensity", description="optical-density: classic DOAS, which needs a clear-sky spectrum"
    )
    window_nm: Window = (308.0, 318.0)
    model_spacing_nm: float = Field(default=0.01, ge=0.002, le=0.1)
    model_padding_nm: float = Field(default=1.0, ge=0.2, le=10, description="of the model beyond the window")
    interpolation: Literal["cubic", "linear"] = Field(default="cubic", description="of tables onto the model's grid")
    background_order: int = Field(default=3, ge=0, le=6, description="of the polynomial that multiplies the sunlight")
    offset_order: int = Field(default=0, ge=-1, le=3, description="of the polynomial that is added; -1: none")
    shift_order: int = Field(default=1, ge=-1, le=2, description="0: shift, 1: shift and stretch, -1: none")
    maximum_shift_nm: float = Field(default=1.0, gt=0, le=3)
    maximum_evaluations: int = Field(default=200, ge=5, le=10000)

    _windows = field_validator("window_nm")(_increasing)


class LightDilution(Table):
    """Light scattered in between camera and plume (Varnam 2020): found from two windows.

    With ``fit`` each spectrum has a column where it tells its dilution by itself, and tells what it knows of it to the
    correction of images (processing.light_dilution.mode = "spectrum").
    """

    mode: Literal["none", "fit", "fixed"] = "none"
    value: float = Field(default=0.0, ge=0, lt=1, description="share of the light at 310 nm, for mode = fixed")
    first_window_nm: Window = (306.0, 316.0)
    second_window_nm: Window = (312.0, 322.0)

    _windows = field_validator("first_window_nm", "second_window_nm")(_increasing)


class Spectrometer(Table):
    """The spectrometer, and how columns are found from its spectra."""

    files: SpectrumFiles = SpectrumFiles()
    detector: Detector = Detector()
    line_shape: LineShapeSettings = LineShapeSettings()
    references: References = References()
    fit: Fit = Fit()
    light_dilution: LightDilution = LightDilution()

    @model_validator(mode="after")
    def _window_not_in_stray_light(self) -> Self:
        stray = self.detector.stray_light_nm
        if stray is not None and stray[1] > self.fit.window_nm[0]:
            raise ValueError(
                f"detector.stray_light_nm {stray} must lie below fit.window_nm {self.fit.window_nm}, in the dark part"
            )
        return self

    @model_validator(mode="after")
    def _dilution_where_it_is_fitted(self) -> Self:
        if self.fit.method == "optical-density" and self.light_dilution.mode != "none":
            raise ValueError(
                'light_dilution.mode goes with fit.method = "intensity": the optical-density fit knows no dilution'
            )
        return self


class SpectrometerSite(Table):
    """What of a site file the spectra need."""

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=64)]
    spectrometer: Spectrometer
