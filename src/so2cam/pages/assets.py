"""The static files of the pages, by their plain name."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_MEDIA: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file: its bytes, its media type, and a tag that changes with its content."""

    content: bytes
    media_type: str
    tag: str


def asset_names(prefix: str, suffix: str) -> tuple[str, ...]:
    """Return the plain names of the files that begin and end so, in order."""
    names = (entry.name for entry in files("so2cam.pages").joinpath("static").iterdir())
    return tuple(sorted(name for name in names if name.startswith(prefix) and name.endswith(suffix)))


@cache
def read_asset(name: str) -> Asset:
    """Return the file of this plain name. Raises KeyError where there is none."""
    suffix = name.rpartition(".")[2]
    if suffix not in _MEDIA or not _NAME.fullmatch(name):
        raise KeyError(name)
    try:
        content = files("so2cam.pages").joinpath("static", name).read_bytes()
    except OSError:
        raise KeyError(name) from None
    return Asset(content, _MEDIA[suffix], hashlib.sha256(content).hexdigest()[:16])
