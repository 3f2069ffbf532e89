"""Write docs/reference/station-openapi.json from the station's interface.

Usage: python tools/document_station.py [--check]
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from so2cam.station.api import build_api

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "station-openapi.json"


def main(arguments: list[str]) -> int:
    """Write the page; with ``--check`` only say whether it is as it should be."""
    wanted = openapi()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    if "--check" in arguments:
        print(f"{PAGE.name} is not as the interface is: run python tools/document_station.py")  # noqa: T201
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def openapi() -> str:
    """Return the description of all addresses. No request is made, so that no station is needed."""
    nobody: Any = SimpleNamespace()
    app = build_api(nobody, access=nobody, alarms=nobody, runs=nobody, nodes=nobody)
    return json.dumps(app.openapi(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
