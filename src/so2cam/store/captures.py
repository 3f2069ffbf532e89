"""Frames and spectra as items of the spool."""

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.formats.native import Encoded, FrameRecord, SpectrumRecord, encode_frame, encode_spectrum
from so2cam.store.items import StoreItem

FRAME = "frame"
SPECTRUM = "spectrum"


def frame_item(
    counts: npt.NDArray[np.uint16],
    record: FrameRecord,
    *,
    device: str,
    tag: str,
    generation: int = 2,
    whole_seconds: bool = True,
    compression: int = 1,
) -> StoreItem:
    """Return a frame as an item; arguments as of ``formats.native.encode_frame``, ``device`` as of ``StoreItem``."""
    encoded = encode_frame(
        counts, record, tag=tag, generation=generation, whole_seconds=whole_seconds, compression=compression
    )
    return _item(encoded, FRAME, record.kind.value, device, record)


def spectrum_item(
    wavelengths_nm: FloatArray,
    counts: FloatArray,
    record: SpectrumRecord,
    *,
    device: str,
    whole_seconds: bool = True,
) -> StoreItem:
    """Return a spectrum as an item; arguments as of ``encode_spectrum``, ``device`` as of ``StoreItem``."""
    encoded = encode_spectrum(wavelengths_nm, counts, record, whole_seconds=whole_seconds)
    subject = "cell" if record.cell_ppm_m is not None else record.kind.value
    return _item(encoded, SPECTRUM, subject, device, record)


def _item(encoded: Encoded, kind: str, subject: str, device: str, record: FrameRecord | SpectrumRecord) -> StoreItem:
    return StoreItem(
        kind=kind,
        subject=subject,
        device=device,
        time=record.time,
        stem=encoded.stem,
        suffix=encoded.suffix,
        data=encoded.data,
        stamp=encoded.stamp,
        numbered=encoded.numbered,
        metadata=encoded.metadata,
    )
