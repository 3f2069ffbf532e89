"""Replay devices: frames or spectra of a folder, as if they were taken now: driver ``replay``.

Options:

``folder``  of the frames or spectra, searched to any depth; relative to the site file
``files``   how its files are named: the table ``[files]`` (cameras) or ``[spectrometer.files]`` of a site file
``pace``    ``own`` (default): as they were taken, ``rate`` times as fast; ``asked``: the next one for every request
``rate``    1 if absent
``loop``    true (default): begin again at the end; false: the device is gone then
``times``   ``now`` (default): the moment of the replay; ``recorded``: the time that the file has
``bits``    of a camera's counts, 10 if absent
``saturation_counts``  of a spectrometer, 65535 if absent

The first file of a kind in the folder, of either band, is due when the run begins: two cameras that replay one folder
stay together as they were. The exposure is the recorded one, whatever is set. What is in front of the device
(``stage``) chooses among the kinds in the folder.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, Literal

import numpy as np
from pydantic import Field

from so2cam.core.errors import So2camError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site_camera import Files
from so2cam.core.site_devices import LONGEST_EXPOSURE_S, SHORTEST_EXPOSURE_S, CameraDevice, SpectrometerDevice
from so2cam.core.site_types import Positive, Table
from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.devices.checked import RECORDED
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceMissingError,
    DeviceStoppedError,
    DeviceTimeoutError,
    DriverError,
)
from so2cam.devices.options import check_options
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import (
    CameraDescription,
    CameraSettings,
    Counts,
    RawFrame,
    RawSpectrum,
    SpectrometerDescription,
    SpectrometerSettings,
)
from so2cam.devices.replay_timeline import InfoT, Span, Timeline, span_of
from so2cam.observe.statistics import SATURATION_FRACTION

_FRACTION: Final = 16
"""Stored counts for one DN where a file keeps a fraction of a count; fewer where they would not fit into 16 bits"""
_LARGEST: Final = 65535
_GAINS: Final = (0.001, 1000.0)


class _ReplayOptions(Table):
    folder: str = Field(min_length=1)
    pace: Literal["own", "asked"] = "own"
    rate: Positive = 1.0
    loop: bool = True
    times: Literal["now", "recorded"] = "now"


class ReplayCameraOptions(_ReplayOptions):
    """Options of a replayed camera; see the module."""

    files: Files = Files()
    bits: int = Field(default=10, ge=8, le=16)


class ReplaySpectrometerOptions(_ReplayOptions):
    """Options of a replayed spectrometer; see the module."""

    files: SpectrumFiles = SpectrumFiles()
    saturation_counts: Positive = 65535.0


def create(settings: Any, context: DeviceContext) -> "ReplayCamera | ReplaySpectrometer":
    """Return the device that replays the folder of ``settings``. Raises DriverError for unknown options."""
    if isinstance(settings, CameraDevice):
        return ReplayCamera(settings, check_options(ReplayCameraOptions, settings.options, settings.name), context)
    if isinstance(settings, SpectrometerDevice):
        options = check_options(ReplaySpectrometerOptions, settings.options, settings.name)
        return ReplaySpectrometer(settings, options, context)
    raise DriverError("only cameras and spectrometers can be replayed", device=settings.name, value=settings.type)


class _Replay(Generic[InfoT]):
    """What replayed cameras and spectrometers share: which file comes when."""

    def __init__(self, name: str, options: _ReplayOptions, context: DeviceContext) -> None:
        self._name = name
        self._options = options
        self._context = context
        self._start_s = 0.0
        self._by_kind: dict[str, list[InfoT]] = {}
        self._spans: dict[str, Span] = {}
        self._timelines: dict[str, Timeline[InfoT]] = {}
        self._kind = FrameKind.PLUME.value

    @property
    def _folder(self) -> Path:
        return self._context.folder / Path(self._options.folder).expanduser()

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """See ``Staged.stage``."""
        self._kind = self._key(kind.value, cell_ppm_m)

    def close(self) -> None:
        """Forget the folder."""
        self._by_kind = {}
        self._timelines = {}

    @staticmethod
    def _key(kind: str, cell_ppm_m: float | None) -> str:
        return kind if cell_ppm_m is None else f"{kind} of {cell_ppm_m:g} ppm m"

    def _index(
        self, infos: Sequence[InfoT], keys: Sequence[str], groups: Mapping[str, Sequence[Sequence[datetime]]]
    ) -> None:
        """Sort the device's files by kind; ``groups`` are the times of each kind of all devices in the folder."""
        clock = self._context.clock
        since_start_s = (clock.utc() - self._context.run_start).total_seconds()
        self._start_s = clock.monotonic_s() - max(0.0, since_start_s)
        self._spans = {key: span_of(times) for key, times in groups.items()}
        for info, key in zip(infos, keys, strict=True):
            self._by_kind.setdefault(key, []).append(info)
        if not self._by_kind:
            raise DeviceMissingError(
                "the folder to replay has no file of this device",
                device=self._name,
                file=self._folder,
                remedy="correct options.folder or options.files of this device",
            )

    def _take(self, at_monotonic_s: float | None, timeout_s: float) -> tuple[InfoT, float]:
        """Wait for the next file's moment; return the file and the middle of its exposure in the replay."""
        if not self._by_kind:
            raise DeviceMissingError("the replay is not open", device=self._name)
        infos = self._by_kind.get(self._kind)
        if infos is None:
            raise DeviceDataError(
                f"the folder has no {self._kind}",
                device=self._name,
                file=self._folder,
                remedy=f"it has: {', '.join(sorted(self._by_kind))}",
            )
        timeline = self._timelines.get(self._kind)
        if timeline is None:
            timeline = Timeline(
                infos, self._spans[self._kind], self._start_s, self._options.rate, loop=self._options.loop
            )
            self._timelines[self._kind] = timeline
        clock = self._context.clock
        now = clock.monotonic_s()
        if self._options.pace == "asked":
            info = timeline.following()
            middle = now if at_monotonic_s is None else max(now, at_monotonic_s)
        else:
            due = timeline.next(at_monotonic_s, now)
            info, middle = (None, now) if due is None else (due.info, max(now, due.middle_s))
        if info is None:
            raise DeviceMissingError("the replay is at its end", device=self._name, file=self._folder)
        latest = max(now, at_monotonic_s or now) + timeout_s
        while not clock.wait_until(min(middle, latest), self._context.stop):
            if self._context.stop.is_set():
                raise DeviceStoppedError("the replay was given up, because the program stops", device=self._name)
        if middle > latest:
            raise DeviceTimeoutError(
                f"the next file is due only in {middle - latest:.1f} s", device=self._name, file=info.path
            )
        return info, middle

    def _time(self, recorded: datetime, middle_s: float) -> datetime:
        return recorded if self._options.times == "recorded" else self._context.clock.utc_at(middle_s)


class ReplayCamera(_Replay[FrameInfo]):
    """A camera whose frames come from a folder."""

    def __init__(self, settings: CameraDevice, options: ReplayCameraOptions, context: DeviceContext) -> None:
        super().__init__(settings.name, options, context)
        self._device = settings
        self._camera = options
        self._description: CameraDescription | None = None

    def open(self, timeout_s: float) -> CameraDescription:
        """See ``Camera.open``. The size is that of the first frame."""
        if self._description is not None:
            return self._description
        from so2cam.formats.folder import scan_frames

        try:
            scan = scan_frames((self._folder,), self._camera.files)
        except So2camError as error:
            raise DeviceMissingError(
                f"the folder to replay cannot be used: {error.message}", device=self._name, file=error.file
            ) from error
        groups: dict[str, dict[Band, list[datetime]]] = {}
        for info in scan.frames:
            key = self._key(info.kind.value, info.cell_ppm_m)
            groups.setdefault(key, {}).setdefault(info.band, []).append(info.time)
        infos = [info for info in scan.frames if info.band is self._device.band]
        keys = [self._key(info.kind.value, info.cell_ppm_m) for info in infos]
        self._index(infos, keys, {key: list(bands.values()) for key, bands in groups.items()})
        counts, scale = self._read(infos[0].path)
        self._description = CameraDescription(
            driver="replay",
            model="replay",
            serial=self._device.serial or f"replay-{self._name}",
            width_px=counts.shape[1],
            height_px=counts.shape[0],
            bits=self._camera.bits,
            exposure_limits_s=(SHORTEST_EXPOSURE_S, LONGEST_EXPOSURE_S),
            gain_limits=_GAINS,
            scale=scale,
            details={RECORDED: True, "folder": str(self._folder), "files": len(infos)},
        )
        return self._description

    def close(self) -> None:
        """See ``Camera.close``."""
        super().close()
        self._description = None

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """See ``Camera.configure``. Recorded frames keep their own exposure and gain."""
        return settings

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawFrame:
        """See ``Camera.capture``."""
        description = self._description
        if description is None:
            raise DeviceMissingError("the replay is not open", device=self._name)
        info, middle = self._take(at_monotonic_s, timeout_s)
        counts, scale = self._read(info.path)
        if scale != description.scale:
            counts = _rescaled(counts, scale, description.scale)
        limit = SATURATION_FRACTION * description.maximum_dn * description.scale
        return RawFrame(
            counts=counts,
            scale=description.scale,
            bits=description.bits,
            time=self._time(info.time, middle),
            mid_exposure_s=middle,
            exposure_s=info.exposure_s,
            gain=info.gain,
            serial=description.serial,
            saturated_share=float(np.count_nonzero(counts >= limit)) / counts.size,
            metadata={"replayed": info.path.name, "recorded": info.time.isoformat()},
        )

    def _read(self, path: Path) -> tuple[Counts, int]:
        """Return the counts of a file, and how many make one DN."""
        from so2cam.formats.image_files import is_fits
        from so2cam.formats.png import read_counts

        if is_fits(path):
            raise DeviceDataError("FITS files cannot be replayed, PNG can", device=self._name, file=path)
        try:
            counts = read_counts(path.read_bytes(), path)
        except (So2camError, OSError) as error:
            reason = error.message if isinstance(error, So2camError) else error.strerror or str(error)
            raise DeviceDataError(f"a file to replay {reason}", device=self._name, file=path) from error
        if counts.dtype == np.uint16:
            return counts.astype(np.uint16, copy=False), 1
        scale = _FRACTION
        while scale > 1 and (2**self._camera.bits - 1) * scale > _LARGEST:
            scale //= 2
        return np.minimum(np.rint(counts * np.float32(scale)), _LARGEST).astype(np.uint16), scale


class ReplaySpectrometer(_Replay[SpectrumInfo]):
    """A spectrometer whose spectra come from a folder."""

    def __init__(
        self, settings: SpectrometerDevice, options: ReplaySpectrometerOptions, context: DeviceContext
    ) -> None:
        super().__init__(settings.name, options, context)
        self._device = settings
        self._spectrometer = options
        self._description: SpectrometerDescription | None = None

    def open(self, timeout_s: float) -> SpectrometerDescription:
        """See ``Spectrometer.open``."""
        if self._description is not None:
            return self._description
        from so2cam.formats.spectra.folder import scan_spectra

        try:
            scan = scan_spectra((self._folder,), self._spectrometer.files)
        except So2camError as error:
            raise DeviceMissingError(
                f"the folder to replay cannot be used: {error.message}", device=self._name, file=error.file
            ) from error
        groups: dict[str, list[datetime]] = {}
        for info in scan.spectra:
            groups.setdefault(info.kind.value, []).append(info.time)
        keys = [info.kind.value for info in scan.spectra]
        self._index(scan.spectra, keys, {key: [times] for key, times in groups.items()})
        wavelengths, _ = self._read(scan.spectra[0])
        self._description = SpectrometerDescription(
            driver="replay",
            model=self._device.model or "replay",
            serial=self._device.serial or f"replay-{self._name}",
            pixels=wavelengths.size,
            wavelength_range_nm=(float(wavelengths[0]), float(wavelengths[-1])),
            integration_time_limits_s=(SHORTEST_EXPOSURE_S, LONGEST_EXPOSURE_S),
            saturation_counts=self._spectrometer.saturation_counts,
            details={RECORDED: True, "folder": str(self._folder), "files": len(scan.spectra)},
        )
        return self._description

    def close(self) -> None:
        """See ``Spectrometer.close``."""
        super().close()
        self._description = None

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """See ``Spectrometer.configure``. Recorded spectra keep their own integration time and coadds."""
        return settings

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawSpectrum:
        """See ``Spectrometer.capture``."""
        description = self._description
        if description is None:
            raise DeviceMissingError("the replay is not open", device=self._name)
        info, middle = self._take(at_monotonic_s, timeout_s)
        wavelengths, counts = self._read(info)
        exposure_s, coadds = info.integration_time_s or 0.1, info.coadds or 1
        saturation = description.saturation_counts
        return RawSpectrum(
            wavelengths_nm=wavelengths,
            counts=counts,
            time=self._time(info.time, middle),
            mid_exposure_s=middle,
            integration_time_s=exposure_s,
            coadds=coadds,
            duration_s=exposure_s * coadds,
            serial=description.serial,
            saturation_counts=saturation,
            saturated_share=float(np.count_nonzero(counts >= SATURATION_FRACTION * saturation)) / counts.size,
            metadata={"replayed": info.path.name, "recorded": info.time.isoformat()},
        )

    def _read(self, info: SpectrumInfo) -> tuple[Any, Any]:
        from so2cam.formats.spectra.readers import read_spectrum

        try:
            spectrum = read_spectrum(info, self._spectrometer.files)
        except So2camError as error:
            raise DeviceDataError(f"a file to replay {error.message}", device=self._name, file=info.path) from error
        return spectrum.wavelengths_nm, spectrum.counts


def _rescaled(counts: Counts, scale: int, wanted: int) -> Counts:
    """Return counts with another number of stored counts for one DN, within 16 bits."""
    values = np.rint(counts.astype(np.float64) * wanted / scale)
    return np.minimum(values, _LARGEST).astype(np.uint16)
