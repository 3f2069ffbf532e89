"""What browsers are handed: scripts, styles and plain pages as they stand, and images as the viewer takes them.

Nothing here needs a web framework, so that an instrument on a small computer can serve it too. The files lie in
``static`` and are read by ``read_asset``; ``encode_frame`` makes the messages that the image viewer fetches.
"""

from so2cam.pages.align import PLAIN_HEADERS, PlainLink, align_page
from so2cam.pages.assets import Asset, asset_names, read_asset
from so2cam.pages.frames import FrameHeader, encode_frame, encode_values

__all__ = [
    "PLAIN_HEADERS",
    "Asset",
    "FrameHeader",
    "PlainLink",
    "align_page",
    "asset_names",
    "encode_frame",
    "encode_values",
    "read_asset",
]
