"""The report of an import as Markdown: what the user must know, and what became of every file and key."""

from so2cam.formats.legacy.account import Entry, FileAccount, Outcome, plain
from so2cam.formats.legacy.convert import LegacyImport
from so2cam.formats.legacy.files import FileKind

_MEANING = {
    Outcome.CARRIED: "stands in the site file",
    Outcome.OWN_WAY: "so2cam needs no setting for it",
    Outcome.NOT_YET: "belongs to something that so2cam does not do yet; keep the old file",
    Outcome.NOT_USED: "another file or value was chosen",
    Outcome.LEFT_OUT: "logins, and files that could run a program when they are read",
    Outcome.LOOK: "could not be read, is not known, or needs your decision",
}


def format_report(result: LegacyImport, *, site_name: str) -> str:
    """Return the report; ``site_name`` is the name of the site file that it goes with."""
    rows = [
        f"# Import of {_text(plain(result.folder.resolve().name))} into {_text(site_name)}",
        "",
        "Every setting file that was found, and every key in it. Logins are named, never shown.",
        "",
        "## What you must know",
        "",
        *(f"* {_text(notice)}" for notice in result.notices or ("Nothing: all that was needed was there.",)),
        "",
        "## Summary",
        "",
        "| | keys and files | |",
        "|---|---|---|",
        *(f"| {outcome} | {result.count(outcome)} | {meaning} |" for outcome, meaning in _MEANING.items()),
        "",
        "## Files",
        "",
    ]
    unknown = [file for file in result.files if file.what == FileKind.UNKNOWN and file.outcome is Outcome.NOT_USED]
    for file in result.files:
        if file not in unknown:
            rows += _file(file)
    if unknown:
        rows += ["## Text files that hold no settings that are known", "", "Nothing is done with them.", ""]
        rows += [f"* {_code(file.name)}" for file in unknown]
        rows.append("")
    if result.others:
        rows += ["## Other files", "", "Data, programs and all else that holds no settings, by ending; not opened.", ""]
        rows += ["| ending | files |", "|---|---|"]
        rows += [f"| {_code(ending or '(none)')} | {count} |" for ending, count in result.others.items()]
        rows.append("")
    if result.not_searched:
        rows += ["## Not searched", ""]
        rows += [f"* {_code(name)}: {_text(reason)}" for name, reason in result.not_searched]
        rows.append("")
    return "\n".join(rows)


def _file(file: FileAccount) -> list[str]:
    rows = [f"### {_text(file.name)}", "", _text(file.what[:1].upper() + file.what[1:]) + "."]
    if file.outcome is not None:
        rows[-1] += f" **{file.outcome}**: {_text(file.note, keeps_code=True)}."
    rows.append("")
    if file.entries:
        rows += ["| key | value | | where, or why not |", "|---|---|---|---|"]
        rows += [_entry(entry) for entry in file.entries.values()]
        rows.append("")
    return rows


def _entry(entry: Entry) -> str:
    value = "" if entry.value is None else _code(entry.value)
    return f"| {_code(entry.key)} | {value} | {entry.outcome} | {_text(entry.note, keeps_code=True)} |"


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _text(text: str, *, keeps_code: bool = False) -> str:
    """Return ``text`` with what Markdown would take for markup spelled out."""
    marks = "\\<>|*_[]" if not keeps_code else "<>|"
    return "".join(f"\\{character}" if character in marks else character for character in text)
