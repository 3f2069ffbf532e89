"""Which version is offered: by a wheel file, or by the package index that pip is set to."""

import email
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.update.errors import UpdateError
from so2cam.update.tools import Tools

_NAME: Final = "so2cam"
_ASK_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that can be had. ``what``: what pip is told to install; ``folder``: all wheels are taken from there."""

    version: str
    what: str
    folder: Path | None = None

    def requirement(self, extra: str) -> str:
        """Return what pip is told, with the packages of ``extra`` (instrument, station)."""
        return f"{_NAME}[{extra}] @ {self.what}" if "://" in self.what else f"{_NAME}[{extra}]=={self.version}"

    def pip_options(self) -> tuple[str, ...]:
        """Return pip's options: with a folder of wheels nothing is asked of the network."""
        return () if self.folder is None else ("--no-index", "--find-links", str(self.folder))


def offer_of_wheel(wheel: Path, folder: Path | None = None) -> Offer:
    """Return what a wheel file offers. Raises UpdateError where it is no wheel of so2cam, or damaged."""
    try:
        with zipfile.ZipFile(wheel) as packed:
            damaged = packed.testzip()
            names = [
                name for name in packed.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            ]
            text = packed.read(names[0]).decode("utf-8") if names and damaged is None else ""
    except OSError as error:
        raise UpdateError(f"cannot be read: {error.strerror or error}", file=wheel) from None
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise UpdateError(f"is no wheel: {error}", file=wheel, remedy="fetch the file again") from None
    if damaged is not None:
        raise UpdateError(f"is damaged: {damaged}", file=wheel, remedy="fetch the file again")
    said = email.message_from_string(text)
    if said["Name"] != _NAME or not said["Version"]:
        raise UpdateError("is no wheel of so2cam", file=wheel, value=said["Name"], remedy="name another file")
    return Offer(str(said["Version"]), wheel.resolve().as_uri(), folder)


def offer_of_index(python: Path, tools: Tools, version: str | None = None, folder: Path | None = None) -> Offer:
    """Return what the index that pip is set to (or a folder of wheels) offers: ``version``, or the newest.

    Raises UpdateError where it cannot be reached, or has none.
    """
    wanted = _NAME if version is None else f"{_NAME}=={version}"
    options = Offer("", "", folder).pip_options()
    command = (str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed")
    done = tools.run((*command, "--report", "-", *options, wanted), _ASK_S)
    try:
        found = str(json.loads(done.text)["install"][0]["metadata"]["version"])
    except (ValueError, KeyError, IndexError, TypeError):
        found = ""
    if done.code or not found:
        raise UpdateError(
            f"the package index does not offer {wanted}: {done.said}",
            remedy="give a wheel file (--wheel), or a folder of wheels (--wheels)",
        )
    return Offer(found, "", folder)
