"""What a hook did, left for the agent and for `so2cam instrument doctor`."""

import json
import os
import time
from pathlib import Path

from so2cam_power.settings import Settings


def write_report(settings: Settings, name: str, content: dict[str, object]) -> None:
    """Write ``content`` with the time to ``report_folder``/``name``.json; readable by all, whole or not at all."""
    folder = Path(settings.report_folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    text = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **content}, indent=2)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(folder / f"{name}.json")
