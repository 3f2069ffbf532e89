"""Messages to people through apprise: mail, Telegram, and a hundred services more."""

import logging
import os
import re
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_alarms import AlarmTarget

_SECRET: Final = re.compile(r"[^/:@?&=,;\s]{4,}")


class NotifyError(So2camError):
    """A message did not go out."""


class AppriseSender:
    """Sends by apprise. Addresses are read anew for each message: a corrected file counts at once."""

    def __init__(self, folder: Path) -> None:
        """``folder``: that of the site file. Raises InputError where apprise is not installed."""
        try:
            import apprise  # noqa: F401
        except ImportError:
            raise InputError(
                "alarms are sent by apprise, which is not installed", remedy="pip install 'so2cam[station]'"
            ) from None
        self._folder = folder
        self._lock = threading.Lock()

    def send(self, target: AlarmTarget, title: str, body: str) -> None:
        """Send to one target. Raises NotifyError, whose words hold nothing secret, where it did not go out."""
        import apprise

        address = read_address(target, self._folder)
        with self._lock, _Listener() as said:
            service = apprise.Apprise()
            if not service.add(address):
                raise NotifyError(
                    "is no address that apprise understands",
                    key=f"alarms.targets.{target.name}",
                    remedy="write it as apprise wants it, like mailto://user:password@example.org?to=duty@example.org",
                )
            if not service.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
                reason = redact(said.last or "the service refused it", address)
                raise NotifyError(f"was not sent: {reason}", key=f"alarms.targets.{target.name}")


def read_address(target: AlarmTarget, folder: Path) -> str:
    """Return the address of a target. Raises NotifyError where it cannot be read, never with what it is."""
    key = f"alarms.targets.{target.name}"
    if target.url_environment is not None:
        text = os.environ.get(target.url_environment, "").strip()
        if not text:
            raise NotifyError(
                f"the environment variable {target.url_environment} is not set",
                key=key,
                remedy="set it for the station, as in its systemd unit, or use url_file",
            )
        return text
    file = folder / Path(target.url_file or "").expanduser()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NotifyError(
            f"the file of the address cannot be read: {reason}", file=file, key=key, remedy="write the address into it"
        ) from None
    found = next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    if not found:
        raise NotifyError("the file holds no address", file=file, key=key, remedy="write the address into it")
    return found


def open_to_others(target: AlarmTarget, folder: Path) -> bool:
    """Return whether the file of a target's address can be read by other accounts of this computer."""
    if target.url_file is None or os.name != "posix":
        return False
    try:
        return bool((folder / Path(target.url_file).expanduser()).stat().st_mode & 0o077)
    except OSError:
        return False


def redact(text: str, address: str) -> str:
    """Return ``text`` without anything of ``address`` but its scheme and host."""
    parts = urlsplit(address)
    shown = {parts.scheme.lower(), (parts.hostname or "").lower()}
    for secret in sorted(set(_SECRET.findall(address)), key=len, reverse=True):
        if secret.lower() not in shown:
            text = text.replace(secret, "***")
    return text


class _Listener(logging.Handler):
    """Hears what apprise says while a message is sent, and keeps it from anybody else: it may hold secrets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._logger = logging.getLogger("apprise")
        self._propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        self.last = " ".join(record.getMessage().split())

    def __enter__(self) -> "_Listener":
        self._propagate, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagate
