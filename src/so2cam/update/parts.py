"""What is updated: a node's agent, or a station; how it is asked how it is, and what a new version must pass."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from so2cam.update.errors import UpdateError
from so2cam.update.tools import Output, Tools

AGENT: Final = "so2cam-instrument.service"
STATION: Final = "so2cam-station.service"
_ASK_S: Final = 60.0
_CHECK_S: Final = 300.0
_UNINSTALLED: Final = "installation"
"""The doctor's lines about files that the system has: those of the new version are written after the switch."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How a part is: the version that answers (None: nothing does), and what is not well."""

    version: str | None
    troubles: frozenset[str] = frozenset()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an installation on this computer. ``node``: its name, None for the station."""

    site: Path
    node: str | None
    service: str
    others: tuple[Path, ...] = ()
    """site files beside the first, where a station runs several"""
    token_file: Path | None = None

    @property
    def extra(self) -> str:
        """Which packages it needs beside those of so2cam."""
        return "station" if self.node is None else "instrument"

    def look(self, prefix: Path, tools: Tools) -> Seen:
        """Return how it is, as the version at ``prefix`` sees it."""
        if self.node is None:
            token = () if self.token_file is None else ("--token-file", str(self.token_file))
            done = so2cam(prefix, tools, "station", "status", str(self.site), "--json", *token)
        else:
            done = so2cam(prefix, tools, "instrument", "status", str(self.site), "--node", self.node, "--json")
        try:
            said = json.loads(done.text)
            troubles = _station_troubles(said) if self.node is None else _node_troubles(said)
            return Seen(str(said["version"]), troubles)
        except (ValueError, KeyError, TypeError, AttributeError):
            return Seen(None, words=done.said)


def so2cam(prefix: Path, tools: Tools, *arguments: str, timeout_s: float = _ASK_S) -> Output:
    """Run a command of the version at ``prefix``; by its module, for programs name the place where they were made."""
    return tools.run((str(prefix / "bin" / "python"), "-m", "so2cam", *arguments), timeout_s)


def check_new(part: Part, old: Path, new: Path, version: str, tools: Tools) -> tuple[str, ...]:
    """Have the new version check itself, the site file and, at a node, everything; return what it found worth saying.

    Raises UpdateError where it does not run, refuses the site file, or the doctor finds something that the old version
    does not.
    """
    done = so2cam(new, tools, "--version")
    if done.code or done.text.split()[-1:] != [version]:
        raise UpdateError(f"the new version does not run: {done.said or 'it says nothing'}")
    for site in (part.site, *part.others):
        done = so2cam(new, tools, "check", str(site), timeout_s=_CHECK_S)
        if done.code:
            raise UpdateError(
                f"the new version refuses the site file: {done.said}",
                file=site,
                remedy="correct the site file for the new version, and update again",
            )
    if part.node is None:
        return ()
    before, after = (_doctor(part, prefix, tools) for prefix in (old, new))
    if after is None:
        raise UpdateError("the doctor of the new version does not run")
    worse = {title: text for title, text in after.items() if title not in (before or {})}
    if worse:
        listed = "; ".join(f"{title}: {text}" for title, text in worse.items())
        raise UpdateError(f"the doctor of the new version finds what the old one does not: {listed}")
    return tuple(f"{title}: {text}" for title, text in after.items())


def _doctor(part: Part, prefix: Path, tools: Tools) -> dict[str, str] | None:
    """Return what is bad at a node, but for the system's files; None where the doctor does not run."""
    arguments = ("instrument", "doctor", str(part.site), "--node", str(part.node), "--json")
    done = so2cam(prefix, tools, *arguments, timeout_s=_CHECK_S)
    try:
        lines = json.loads(done.text)["lines"]
        return {
            str(line["title"]): str(line["text"])
            for line in lines
            if line["verdict"] == "bad" and line["topic"] != _UNINSTALLED
        }
    except (ValueError, KeyError, TypeError):
        return None


def _node_troubles(said: Mapping[str, Any]) -> frozenset[str]:
    found = {str(device["name"]) for device in said["devices"] if device["state"] == "waiting"}
    return frozenset(found | {str(alarm["name"]) for alarm in said["alarms"] if alarm["level"] == "alarm"})


def _station_troubles(said: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(service["name"]) for service in said["services"] if service["state"] == "failed")
