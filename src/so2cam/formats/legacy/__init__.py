"""Setting files of existing PyCam installations, read into a site file; and an account of what became of every key.

Only text, YAML without tags and plain arrays are read: pickles are refused, and logins are left out on purpose.
"""

from so2cam.formats.legacy.account import Entry, FileAccount, Outcome
from so2cam.formats.legacy.choose import Wishes
from so2cam.formats.legacy.convert import LegacyImport, import_legacy
from so2cam.formats.legacy.report import format_report
from so2cam.formats.legacy.tables import parse_vent
from so2cam.formats.legacy.volcanoes import VENTS, find_vent

__all__ = [
    "VENTS",
    "Entry",
    "FileAccount",
    "LegacyImport",
    "Outcome",
    "Wishes",
    "find_vent",
    "format_report",
    "import_legacy",
    "parse_vent",
]
