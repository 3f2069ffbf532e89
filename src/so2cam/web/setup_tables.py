"""Named tables of an array of the site file: put into the draft one by one, so that two people do not meet."""

from collections.abc import Mapping
from typing import Any

from so2cam.formats.siteedit import MISSING, KeyPath
from so2cam.web.setup import Setup


async def put_named(setup: Setup, array: KeyPath, name: str, table: Mapping[str, Any], what: str) -> bool:
    """Put ``table``, called ``name``, into an array of tables of the draft, which is made where it is not there yet."""
    entry = {"name": name, **table}
    if setup.state.written(array) in (MISSING, []):
        return await setup.change({array: [entry]}, what, seen={array: setup.state.written(array)})
    return await setup.change({(*array, name): entry}, what, seen={(*array, name): MISSING})
