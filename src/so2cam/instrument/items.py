"""From what a device gave to an item of the spool: names, folders and records as the site file wants them."""

from dataclasses import replace

from so2cam.core.records import Band
from so2cam.core.site_devices import CameraDevice
from so2cam.devices.records import RawFrame, RawSpectrum
from so2cam.formats.native import FrameRecord, SpectrumRecord
from so2cam.instrument.heads import FRAME_KINDS, SPECTRUM_KINDS, Taken
from so2cam.instrument.launch import Capturing, Launch
from so2cam.instrument.notes import Note
from so2cam.store.captures import frame_item, spectrum_item
from so2cam.store.items import Mark, StoreItem


def make_item(launch: Launch, device: Capturing, taken: Taken, note: Note, mark: Mark | None) -> StoreItem:
    """Return the item of a frame or spectrum; ``mark``: the command that asked for it.

    Names have whole seconds where one second never has two items.
    """
    whole_seconds = note.grid_time is not None and note.period_s >= 1 and float(note.period_s).is_integer()
    raw = taken.raw
    if isinstance(raw, RawFrame):
        if not isinstance(device, CameraDevice):
            raise TypeError("a frame comes from a camera")
        frame = FrameRecord(
            band=device.band,
            kind=FRAME_KINDS[note.kind],
            time=raw.time,
            exposure_s=raw.exposure_s,
            gain=raw.gain,
            cell_ppm_m=note.cell_ppm_m,
            bits=raw.bits,
            scale=raw.scale,
            serial=raw.serial,
            sensor_timestamp_s=raw.sensor_timestamp_s,
            device_metadata=raw.metadata,
            details=note.to_json(),
        )
        item = frame_item(
            raw.counts,
            frame,
            device=device.name,
            tag=launch.tags[0] if device.band is Band.ON else launch.tags[1],
            generation=launch.storage.names,
            whole_seconds=whole_seconds,
            compression=launch.storage.compression,
        )
        return replace(item, mark=mark)
    if not isinstance(raw, RawSpectrum):
        raise TypeError("neither frame nor spectrum")
    spectrum = SpectrumRecord(
        kind=SPECTRUM_KINDS[note.kind],
        time=raw.time,
        integration_time_s=raw.integration_time_s,
        coadds=raw.coadds,
        duration_s=raw.duration_s,
        saturation_counts=raw.saturation_counts,
        serial=raw.serial,
        device_metadata=raw.metadata,
        details=note.to_json(),
    )
    item = spectrum_item(raw.wavelengths_nm, raw.counts, spectrum, device=device.name, whole_seconds=whole_seconds)
    return replace(item, mark=mark)
