"""Making an update: build beside what runs, check, switch, start anew, look, and give back what does not come up well.

The site file, the spool and the archive are not touched. Until the switch nothing of what runs is changed; after it
the old version stands there still, and whatever goes wrong, or whoever interrupts, the link leads back to it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.update.errors import UpdateError
from so2cam.update.layout import LastUpdate, Layout
from so2cam.update.offers import Offer
from so2cam.update.parts import Part, Seen, check_new, so2cam
from so2cam.update.tools import Tools

Say = Callable[[str], None]
WAIT_S: Final = 180.0
STEADY_S: Final = 15.0
"""So long a service must be well before it counts as such: one that falls at once is started again by systemd."""
_EVERY_S: Final = 3.0
_BUILD_S: Final = 3600.0
_COMPILE_S: Final = 900.0
_RESTART_S: Final = 200.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. ``version``: what runs now; ``why``: why it was given back."""

    done: bool
    version: str
    why: str = ""


def build(layout: Layout, offer: Offer, extra: str, tools: Tools, say: Say) -> str:
    """Build an environment with the offered version beside the one in use; return its name.

    Raises UpdateError where that fails; nothing is left then.
    """
    name = layout.new_name(offer.version)
    place = layout.folder / name
    system = ("--system-site-packages",) if layout.sees_system() else ()
    python = layout.current / "bin" / "python"
    finished = False
    mask = os.umask(0o022)  # the services' user reads it
    try:
        say(f"build {place}")
        made = tools.run((str(python), "-m", "venv", *system, str(place)), _BUILD_S)
        if made.code:
            raise UpdateError(f"the environment cannot be made: {made.said}", file=place, remedy="run this as root")
        say(f"install so2cam {offer.version} with what the {extra} needs")
        pip = (str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        done = tools.run((*pip, *offer.pip_options(), offer.requirement(extra)), _BUILD_S)
        if done.code:
            raise UpdateError(
                f"cannot be installed: {done.said}",
                value=offer.version,
                remedy="without internet, give a folder with all wheels (--wheels); look whether the disk is full",
            )
        finished = True
    finally:
        os.umask(mask)
        if not finished:
            layout.remove(name)
    return name


def apply(
    layout: Layout, part: Part, offer: Offer, tools: Tools, say: Say, *, restart: bool = True, wait_s: float = WAIT_S
) -> Outcome:
    """Update ``part`` to ``offer``. Raises UpdateError where it comes to nothing before anything was changed."""
    with layout.locked():
        _refuse_cut_off(layout)
        old = layout.current
        name = build(layout, offer, part.extra, tools, say)
        new, passed = layout.folder / name, False
        try:
            say("check the new version, and the site file with it")
            for found in check_new(part, old, new, offer.version, tools):
                say(f"  as before: {found}")
            if part.node is None:
                say("compile the fits of spectra")
                if (done := so2cam(new, tools, "compile", timeout_s=_COMPILE_S)).code:
                    say(f"  not compiled, the first spectrum takes longer: {done.said}")
            passed = True
        finally:
            if not passed:
                layout.remove(name)
        before = part.look(old, tools)
        return _switch(layout, part, name, offer.version, before, tools, say, restart=restart, wait_s=wait_s)


def give_back(layout: Layout, part: Part, tools: Tools, say: Say, *, wait_s: float = WAIT_S) -> Outcome:
    """Go back to the version before the last update. Raises UpdateError where there is none."""
    with layout.locked():
        last = layout.last()
        if last is None or layout.is_plain or last.after != layout.current.name:
            raise UpdateError("there is no update to go back from", file=layout.folder)
        name = last.before
        if not (layout.folder / name / "pyvenv.cfg").is_file():
            raise UpdateError("the version before is not there any more", file=layout.folder, value=name)
        said = so2cam(layout.folder / name, tools, "--version")
        version = (said.text.split() or [name])[-1]
        before = part.look(layout.current, tools)
        return _switch(layout, part, name, version, before, tools, say, restart=True, wait_s=wait_s)


def _switch(
    layout: Layout,
    part: Part,
    name: str,
    version: str,
    before: Seen,
    tools: Tools,
    say: Say,
    *,
    restart: bool,
    wait_s: float,
) -> Outcome:
    """Switch, start anew and look; switch back where it does not come up well, or anything interrupts."""
    old = "before" if before.version is None else before.version
    previous = layout.new_name(old) if layout.is_plain else layout.current.name
    layout.note(LastUpdate(previous, name, "switched"))
    why, well = "it was interrupted", False
    try:
        say(f"switch {layout.link} to {name}")
        layout.switch(name, old=old)
        if not restart:
            well = True
        else:
            why = _start(part, version, before, layout.folder / name, tools, say, wait_s)
            well = not why
    finally:
        if well:
            layout.note(LastUpdate(previous, name, "done"))
        elif not layout.is_plain and layout.current.name == name:
            say(f"{why}: give {previous} back")
            layout.switch(previous)
            tools.run(("systemctl", "restart", part.service), _RESTART_S)
            layout.note(LastUpdate(previous, name, "given back"))
    if well:
        layout.prune((previous, name))
        return Outcome(True, version)
    found = _settled(part, before.version, Seen(None), layout.current, tools, wait_s)
    again = "it runs again" if not found else f"and it does not come up either: {found}"
    return Outcome(False, before.version or previous, f"{why}; the version before was given back, {again}")


def _start(part: Part, version: str, before: Seen, prefix: Path, tools: Tools, say: Say, wait_s: float) -> str:
    """Start the service anew and wait until it is well; return why it is not, or nothing."""
    say(f"restart {part.service}")
    done = tools.run(("systemctl", "restart", part.service), _RESTART_S)
    if done.code:
        return f"{part.service} does not start: {done.said}"
    say("wait until it is well")
    return _settled(part, version, before, prefix, tools, wait_s)


def _settled(part: Part, version: str | None, before: Seen, prefix: Path, tools: Tools, wait_s: float) -> str:
    """Wait until the service runs ``version`` without new troubles for ``STEADY_S``; return why it does not."""
    end, since, why = tools.clock_s() + wait_s, None, ""
    while tools.clock_s() < end:
        why = _trouble(part, version, before, prefix, tools)
        if why:
            since = None
        elif since is None:
            since = tools.clock_s()
        elif tools.clock_s() - since >= STEADY_S:
            return ""
        tools.sleep(_EVERY_S)
    return why or "it was not well for long enough"


def _trouble(part: Part, version: str | None, before: Seen, prefix: Path, tools: Tools) -> str:
    active = tools.run(("systemctl", "is-active", part.service), 20.0).text.strip()
    if active != "active":
        return f"{part.service} is {active or 'unknown'}"
    seen = part.look(prefix, tools)
    if seen.version is None:
        return f"it does not answer: {seen.words}"
    if version is not None and seen.version != version:
        return f"{seen.version} answers, not {version}"
    worse = sorted(seen.troubles - before.troubles) if before.version is not None else []
    return f"what was well is not: {', '.join(worse)}" if worse else ""


def _refuse_cut_off(layout: Layout) -> None:
    last = layout.last()
    if last is not None and last.state == "switched" and not layout.is_plain and layout.current.name == last.after:
        raise UpdateError(
            f"the update to {last.after} was cut off before it was seen whether it is well",
            file=layout.folder,
            remedy="so2cam update rollback goes back; so2cam update confirm keeps it",
        )


def confirm(layout: Layout) -> str:
    """Keep what an update that was cut off switched to; return its name. Raises UpdateError where there is none."""
    with layout.locked():
        last = layout.last()
        if last is None or last.state != "switched" or layout.is_plain or layout.current.name != last.after:
            raise UpdateError("no update was cut off", file=layout.folder)
        layout.note(LastUpdate(last.before, last.after, "done"))
        return last.after
