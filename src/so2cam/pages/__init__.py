"""What browsers are handed as it stands: scripts, styles and plain pages, for the station and the link's server.

Nothing here needs a web framework, so that an instrument on a small computer can serve it too. The files lie in
``static`` and are read by ``read_asset``.
"""

from so2cam.pages.assets import Asset, read_asset

__all__ = ["Asset", "read_asset"]
