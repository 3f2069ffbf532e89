"""Frames of the spool as messages for the viewer: exact counts, no saturation averaged away, clear words for junk."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from so2cam.core.records import Band, FrameKind
from so2cam.formats.native import FrameRecord, encode_frame
from so2cam.link import protocol
from so2cam.link.errors import LinkError
from so2cam.link.preview_frame import reduce_counts, to_frame
from so2cam.pages.frames import decode_frame
from so2cam.store.captures import frame_item

TIME = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)


def record(scale: int = 1) -> FrameRecord:
    return FrameRecord(band=Band.OFF, kind=FrameKind.TEST, time=TIME, exposure_s=0.02, gain=2.0, bits=10, scale=scale)


class Item:
    """What a message needs of an item."""

    sequence, device, name, subject, time = 7, "camera-off", "x.png", "test", TIME


def message(counts: np.ndarray, scale: int = 1, width: int = 648) -> tuple[dict[str, Any], np.ndarray]:
    encoded = encode_frame(counts, record(scale), tag="B")
    item: Any = Item()
    return decode_frame(to_frame(encoded.data, json.dumps(encoded.metadata).encode(), item, width))


def test_counts_arrive_as_they_are_with_what_is_known_of_them() -> None:
    counts = np.random.default_rng(1).integers(0, 1000, (48, 64)).astype(np.uint16)
    counts[:3] = 1010  # 1003 is 98 %
    header, pixels = message(counts)
    np.testing.assert_array_equal(pixels, counts)
    assert header["saturation"] == 1003
    assert header["saturated_fraction"] == pytest.approx(3 / 48)
    assert sum(header["histogram"]) == 48 * 64
    assert header["brightest_dn"] == 1010
    assert header["sharpness"] > 0
    wanted = {"label": "Off band", "unit": "DN", "exposure_s": 0.02, "gain": 2.0, "maximum_dn": 1023, "kind": "test"}
    assert {key: header[key] for key in wanted} == wanted
    assert (header["tag"], header["time"]) == ("7", "2026-03-01T12:00:00.500Z")


def test_a_fraction_of_a_count_is_kept() -> None:
    counts = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    header, pixels = message(counts, scale=16)
    assert header["scale"] == 1 / 16
    np.testing.assert_array_equal(pixels, counts)
    assert header["saturation"] == int(np.ceil(0.98 * 1023 * 16))


def test_a_reduced_picture_has_means_but_never_averages_saturation_away() -> None:
    counts = np.full((48, 96), 100, np.uint16)
    counts[0, 0] = 1020
    counts[0, 2] = 104
    reduced = reduce_counts(counts, 64, 1003)
    assert reduced.shape == (24, 48)
    assert (reduced[0, 0], reduced[0, 1], reduced[5, 5]) == (1020, 101, 100)
    header, pixels = message(counts, width=64)
    assert (header["columns"], header["full_columns"]) == (48, 96)
    np.testing.assert_array_equal(pixels, reduced)
    assert header["saturated_fraction"] == 1 / (48 * 96)
    assert reduce_counts(counts, 96, 1003) is counts


def test_a_dark_or_even_picture_has_no_sharpness() -> None:
    assert message(np.zeros((48, 64), np.uint16))[0]["sharpness"] is None


@pytest.mark.parametrize("data", [b"", b"junk"])
@pytest.mark.parametrize("sidecar", [b"{}", b"junk", b"[]"])
def test_what_is_no_frame_is_refused(data: bytes, sidecar: bytes) -> None:
    item: Any = Item()
    with pytest.raises(LinkError, match="cannot be read"):
        to_frame(data, sidecar, item, 648)


def test_a_record_that_is_none_is_refused() -> None:
    item: Any = Item()
    data = encode_frame(np.zeros((48, 64), np.uint16), record(), tag="B").data
    for sidecar in (b"junk", b"[]", b'{"so2cam": 5}'):
        with pytest.raises(LinkError, match="cannot be read"):
            to_frame(data, sidecar, item, 648)


def test_frames_over_the_link(node: Any) -> None:
    counts = np.arange(48 * 96, dtype=np.uint16).reshape(48, 96) % 1000
    node.spool.put(frame_item(counts.astype(np.uint16), record(), device="camera-off", tag="B"))
    with node.client() as client:
        data, payload = client.read(protocol.Preview(device="camera-off", width=96, form="frame"))
        header, pixels = decode_frame(payload)
        np.testing.assert_array_equal(pixels, counts)
        assert (data.media, header["device"]) == ("application/vnd.so2cam.frame", "camera-off")
        assert client.call(protocol.Preview(device="camera-off", after=1, form="frame")).answer.code == "unknown"
