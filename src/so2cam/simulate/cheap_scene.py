"""A scene that costs next to nothing to look at: for trying the instrument out, not for its results.

A mountain, a sky with a gradient, a plume whose texture drifts across, gas cells, night; shot noise and read noise. The
brightness follows exposure and gain as it should, so that automatic exposure can be tried. The plume's columns are
no volcano's: ``so2cam.simulate.live`` has one with known truth.

Textures and noise are made once. A frame is a handful of products of whole images: a few milliseconds.
"""

import math
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import Band, FloatArray, FloatImage, FrameKind
from so2cam.core.spectra import SpectrumKind

Counts = npt.NDArray[np.uint16]

SKY_DN_PER_S: Final = {Band.ON: 1800.0, Band.OFF: 6900.0}
"""Counts of the brightest sky per second of exposure [DN s-1] at gain 1"""
_KEYS: Final = 2**62
"""keys of the noise are not negative, also before the scene's start: clocks are set back"""
_CELL_ABSORBANCE_PER_PPM_M: Final = {Band.ON: 3.5e-4, Band.OFF: 5.0e-6}
_PLUME_ABSORBANCE: Final = {Band.ON: 0.25, Band.OFF: 0.004}
_SPEED_PX_S: Final = 8.0
_OFFSET_DN: Final = 15.0
_DARK_DN_PER_S: Final = 0.5
_READ_NOISE_DN: Final = 0.3
_ELECTRONS_PER_DN: Final = 67.0
_TURNS: Final = 3
"""The texture repeats after this many widths of the image"""

PIXELS: Final = 2048
SPECTRUM_BITS: Final = 16
_SPECTRUM_OFFSET: Final = 1500.0
_SPECTRUM_PER_S: Final = 4.0e5
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class CheapScene:
    """What two cameras and a spectrometer look at. Frames of one time are the same in every process."""

    def __init__(self, seed: int, *, width_px: int = 648, height_px: int = 486, bits: int = 10, scale: int = 1) -> None:
        self._seed = seed
        self._shape = (height_px, width_px)
        self._maximum = (2**bits - 1) * scale
        self._scale = scale
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:height_px, :width_px].astype(np.float32)
        u, v = x / width_px - 0.5, y / height_px - 0.5
        ridge = 0.35 * height_px + 1.1 * np.abs(x - 0.55 * width_px)
        self._terrain = (y > ridge + 0.25 * height_px).astype(np.float32)
        vignetting = 1 - 0.5 * (u**2 + v**2)
        self._light: dict[Band, FloatImage] = {}
        self._transmission: dict[Band, FloatImage] = {}
        texture = _texture(rng, height_px, _TURNS * width_px)
        across = np.exp(-((np.arange(height_px, dtype=np.float32) - 0.4 * height_px) ** 2) / (0.12 * height_px) ** 2)
        for band, tilt in ((Band.ON, 0.10), (Band.OFF, 0.06)):
            sky = vignetting * (1 - tilt * (u + v))
            self._light[band] = (SKY_DN_PER_S[band] * sky * (1 - 0.75 * self._terrain)).astype(np.float32)
            column = across[:, None] * (0.6 + 0.8 * texture)
            self._transmission[band] = np.exp(-_PLUME_ABSORBANCE[band] * column).astype(np.float32)
        self._bias = (_OFFSET_DN + 0.7 * rng.standard_normal(self._shape)).astype(np.float32)
        self._noise = rng.standard_normal((height_px + 64, width_px + 64), dtype=np.float32)
        self._wavelengths = np.linspace(242.0, 404.0, PIXELS)
        self._spectrum = _sunlight(self._wavelengths)
        self._so2 = _bands(self._wavelengths)

    def frame(
        self,
        band: Band,
        kind: FrameKind,
        mid_exposure: datetime,
        exposure_s: float,
        gain: float = 1.0,
        cell_ppm_m: float | None = None,
        brightness: float = 1.0,
    ) -> Counts:
        """Return the counts (rows, columns), uint16, ``scale`` times the DN, of a frame taken at ``mid_exposure``."""
        time_s = (mid_exposure - _EPOCH).total_seconds()
        light: FloatImage | None = None
        if kind is not FrameKind.DARK:
            light = self._light[band] * np.float32(exposure_s * gain * brightness)
            if kind in (FrameKind.PLUME, FrameKind.TEST):
                width = self._shape[1]
                start = int(time_s * _SPEED_PX_S) % ((_TURNS - 1) * width)
                light *= np.maximum(self._transmission[band][:, start : start + width], self._terrain)
            elif kind is FrameKind.CELL:
                light *= np.float32(0.94 * math.exp(-_CELL_ABSORBANCE_PER_PPM_M[band] * (cell_ppm_m or 0.0)))
        return self._record(light, exposure_s, gain, time_s, band)

    def _record(self, light: FloatImage | None, exposure_s: float, gain: float, time_s: float, band: Band) -> Counts:
        rng = np.random.default_rng([self._seed, round(time_s * 1e6) % _KEYS, 0 if band is Band.ON else 1])
        row, column = rng.integers(0, 64, 2)
        noise = self._noise[row : row + self._shape[0], column : column + self._shape[1]]
        if light is None:
            counts = noise * np.float32(_READ_NOISE_DN)
        else:
            counts = light * np.float32(gain / _ELECTRONS_PER_DN)
            counts += np.float32(_READ_NOISE_DN**2)
            np.sqrt(counts, out=counts)
            counts *= noise
            counts += light
        counts += self._bias
        counts += np.float32(_DARK_DN_PER_S * exposure_s)
        if self._scale != 1:
            counts *= np.float32(self._scale)
        np.rint(counts, out=counts)
        return np.clip(counts, 0, self._maximum, out=counts).astype(np.uint16)

    def spectrum(
        self,
        kind: SpectrumKind,
        mid_exposure: datetime,
        integration_time_s: float,
        coadds: int = 1,
        brightness: float = 1.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Return wavelengths [nm] and counts (2048,) each: the mean of ``coadds`` readouts."""
        time_s = (mid_exposure - _EPOCH).total_seconds()
        rng = np.random.default_rng([self._seed, round(time_s * 1e6) % _KEYS, 2])
        signal = np.zeros(PIXELS)
        if kind is SpectrumKind.LAMP:
            lines = (253.65, 296.73, 302.15, 312.57, 313.17, 334.15, 365.02)
            signal = sum((np.exp(-0.5 * ((self._wavelengths - line) / 0.25) ** 2) for line in lines), signal)
            signal = signal * 0.5 * _SPECTRUM_PER_S * integration_time_s
        elif kind is not SpectrumKind.DARK:
            column = 0.0 if kind is SpectrumKind.CLEAR else 0.3 + 0.2 * math.sin(time_s / 40)
            signal = self._spectrum * np.exp(-column * self._so2) * (_SPECTRUM_PER_S * integration_time_s * brightness)
        dark = _SPECTRUM_OFFSET + 40.0 * integration_time_s
        sigma = np.sqrt((signal / 3.0 + 12.0**2) / coadds)
        counts = np.clip(signal + dark + sigma * rng.standard_normal(PIXELS), 0, 2**SPECTRUM_BITS - 1)
        return self._wavelengths.copy(), counts


def _texture(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Return a smooth texture from 0 to 1, (height, width), that repeats after ``width``."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    amplitude = np.exp(-((fy * height / 30) ** 2 + (fx * width / 90) ** 2)) / np.hypot(fy * 40 + 0.02, fx * 40 + 0.02)
    phase = np.exp(2j * np.pi * rng.random(amplitude.shape))
    field = np.fft.irfft2(amplitude * phase, s=(height, width))
    low, high = float(field.min()), float(field.max())
    return ((field - low) / (high - low)).astype(np.float32)


def _sunlight(wavelengths_nm: FloatArray) -> FloatArray:
    """Return a spectrum like that of the sky in the ultraviolet: dark below 300 nm, with lines; 1 at most."""
    cut = 1 / (1 + np.exp(-(wavelengths_nm - 316) / 5))
    lines = 1 - 0.25 * np.sin(wavelengths_nm * 2.1) ** 8 - 0.2 * np.sin(wavelengths_nm * 0.83 + 1) ** 12
    fall = np.exp(-(((wavelengths_nm - 345) / 60) ** 2))
    shape = cut * lines * fall
    return np.asarray(shape / shape.max(), np.float64)


def _bands(wavelengths_nm: FloatArray) -> FloatArray:
    """Return absorption bands like those of SO2, 1 at most, falling off towards long wavelengths."""
    envelope = np.exp(-np.maximum(wavelengths_nm - 300, 0) / 9)
    return np.asarray(envelope * (0.7 + 0.3 * np.cos(2 * np.pi * wavelengths_nm / 2.05)), np.float64)
