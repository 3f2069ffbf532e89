"""The first pass of the account: every file, and every key in it, with what becomes of it by default."""

from collections.abc import Set as AbstractSet

from so2cam.core.errors import So2camError
from so2cam.formats.legacy.account import Account, Outcome
from so2cam.formats.legacy.choose import is_terrain
from so2cam.formats.legacy.fates import (
    CAMERA_FATES,
    CONFIG_FATES,
    CRONTAB_VARIABLE,
    DILUTION,
    DILUTION_TABLE,
    FIELD_OF_VIEW,
    JOB,
    OTHER_JOB,
    POWER,
    SPECTRUM_TABLE,
    SWITCHED_OFF,
    UNKNOWN,
    Fate,
    job_fate,
    settings_fate,
    spectrometer_fate,
)
from so2cam.formats.legacy.files import FileKind, Found, FoundFile
from so2cam.formats.legacy.parse import (
    Row,
    flatten,
    parse_crontab,
    parse_key_values,
    parse_power_schedule,
    parse_yaml,
)
from so2cam.formats.legacy.schedule import kind_of_job

_OTHER = (Outcome.NOT_USED, "another file of this kind is in use")
_PICKLE_NOTE = (
    "pickles can run programs when they are read, and never are; if this is a registration, "
    "register again from control points"
)


def list_found(found: Found, in_use: AbstractSet[str], account: Account) -> None:
    """List all files and keys in ``account``; ``in_use`` holds the names of the files that were chosen."""
    for file in found.files:
        list_file(file, file.name in in_use, account)


def list_file(file: FoundFile, is_used: bool, account: Account) -> None:
    """List one file and its keys in ``account``."""
    account.add_file(file.name, file.kind.value)
    if file.kind is FileKind.PICKLE:
        account.add_file(file.name, file.kind.value, Outcome.LEFT_OUT, _PICKLE_NOTE)
        account.notice(f"{file.name} is a pickle and was not read; if it is a registration, register again.")
    elif file.problem is not None:
        account.add_file(file.name, file.kind.value, Outcome.LOOK, file.problem)
    elif file.kind in (FileKind.SETTINGS, FileKind.OLD_SETTINGS):
        _list_settings(file, is_used, account)
    elif file.kind in (FileKind.CRONTAB, FileKind.POWER_SCHEDULE):
        _list_schedule(file, account)
    elif file.kind is FileKind.DILUTION_TABLE:
        account.add_file(file.name, file.kind.value, *DILUTION_TABLE)
    elif file.kind is FileKind.SPECTRUM_TABLE:
        account.add_file(file.name, file.kind.value, *SPECTRUM_TABLE)
    elif file.kind is FileKind.POINTER:
        note = (Outcome.OWN_WAY, "followed where the settings name no file; the site file holds all settings itself")
        account.add_file(file.name, file.kind.value, *note)
    elif file.kind is FileKind.REGISTRATION:
        if not is_used:
            account.add_file(file.name, file.kind.value, *_OTHER)
    elif file.kind is FileKind.UNKNOWN:
        account.add_file(file.name, file.kind.value, Outcome.NOT_USED)
    else:
        _list_keys(file, is_used, account)
    if file.is_latin:
        account.add(file.name, "(encoding)", None, Outcome.LOOK, "is not UTF-8; it was read as Latin-1")


def _list_schedule(file: FoundFile, account: Account) -> None:
    is_crontab = file.kind is FileKind.CRONTAB
    for row in parse_crontab(file.text or "") if is_crontab else parse_power_schedule(file.text or ""):
        fate = _job(row) if is_crontab else POWER
        if not row.is_known:
            fate = (Outcome.LOOK, "is not understood; nothing is done with it")
        if is_crontab:
            account.add(file.name, f"{row.key} {row.value}".strip(), None, *fate)
        else:
            account.add(file.name, row.key, row.value or None, *fate)


def _job(row: Row) -> Fate:
    if not row.value:
        return CRONTAB_VARIABLE
    if not row.is_active:
        return SWITCHED_OFF
    return job_fate(row.value) or (OTHER_JOB if kind_of_job(row.value) is None else JOB)


def _list_settings(file: FoundFile, is_used: bool, account: Account) -> None:
    if file.kind is FileKind.OLD_SETTINGS:
        _list_keys(file, is_used, account)
        return
    try:
        parsed = parse_yaml(file.text or "", file.path)
    except So2camError as error:
        account.add_file(file.name, file.kind.value, Outcome.LOOK, error.message)
        return
    for key, value in flatten(parsed.values).items():
        fate = settings_fate(key) if is_used else _OTHER
        account.add(file.name, key, "" if value is None else value, *fate)
    for key in parsed.repeated:
        account.add(file.name, key, None, Outcome.LOOK, "is given twice; the last value is taken")


def _list_keys(file: FoundFile, is_used: bool, account: Account) -> None:
    parsed = parse_key_values(file.text or "")
    for key, value in parsed.values.items():
        fate = _fate(file, key, value, is_used)
        # What is not known may be a login under a name of its own.
        hides = file.kind in (FileKind.CONFIG, FileKind.NETWORK) and key not in CONFIG_FATES
        account.add(file.name, key, value, *fate, show=not hides)
    for problem in parsed.problems:
        account.add(file.name, f"({problem.partition(':')[0]})", None, Outcome.LOOK, problem)


def _fate(file: FoundFile, key: str, value: str, is_used: bool) -> Fate:
    if file.kind is FileKind.SPECTROMETER:
        return spectrometer_fate(key, value)
    if file.kind is FileKind.FIELD_OF_VIEW:
        return FIELD_OF_VIEW
    if file.kind is FileKind.LINE and is_terrain(file) and not is_used:
        return DILUTION
    if file.kind in (FileKind.CONFIG, FileKind.NETWORK):
        return CONFIG_FATES.get(key, UNKNOWN)
    if file.kind is FileKind.OLD_SETTINGS:
        return settings_fate(key)
    if not is_used:
        return _OTHER
    return CAMERA_FATES.get(key, UNKNOWN) if file.kind is FileKind.CAMERA else UNKNOWN
