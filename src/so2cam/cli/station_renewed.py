"""A station that takes up its site files when they are saved anew in its pages."""

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from so2cam.cli.console import console, report_warning
from so2cam.cli.pages import page_mount, trial_lines
from so2cam.core.errors import So2camError

if TYPE_CHECKING:
    from so2cam.formats.sitefile import LoadedSite
    from so2cam.station.assembly import Assembly


def tell_renewal() -> None:
    """Print that a saved site file is taken up."""
    console.print("the site file was saved anew: the station takes it up")


class RenewedStation:
    """Puts the station together, and again when its site files were saved anew."""

    def __init__(self, paths: list[Path], folder: Path | None, *, api: bool = True, open_to_all: bool = False) -> None:
        """``folder``: where all is kept, instead of that of the site file; ``open_to_all``: see ``page_mount``."""
        self._paths, self._folder, self._api, self._open_to_all = paths, folder, api, open_to_all
        self._running: list[LoadedSite] = []
        self._port = 0
        self.asked, self.again = threading.Event(), threading.Event()

    def open(self, undo: contextlib.ExitStack) -> "Assembly":
        """Return the station, not yet started; ``undo`` closes it.

        Where the site files can no longer be used, it is that of the site files as they were before.
        """
        from so2cam.formats.sitefile import load_site

        self.again.clear()
        before, trouble = self._running, ""
        if before:
            with contextlib.ExitStack() as attempt:
                try:
                    found = self._assemble([load_site(path) for path in self._paths], attempt)
                except So2camError as error:
                    trouble = str(error)
                    report_warning(f"the site file cannot be taken up, the one before is used: {error}")
                else:
                    undo.push(attempt.pop_all())
                    return found
        loaded = before or [load_site(path) for path in self._paths]
        return self._assemble(loaded, undo, trouble)

    def _assemble(self, loaded: "list[LoadedSite]", undo: contextlib.ExitStack, trouble: str = "") -> "Assembly":
        from so2cam.station.assembly import assemble_station
        from so2cam.station.context import open_loaded
        from so2cam.station.publish_services import outward_services

        context = open_loaded([self._same_port(one) for one in loaded], folder=self._folder, trouble=trouble)
        undo.callback(context.close)
        outward = outward_services(context)
        undo.callback(outward.close)
        trials = trial_lines(context) if self._api else {}
        mount = None
        if self._api:
            mount = page_mount(
                context,
                lambda: assembly.supervisor.states(),
                trials,
                nodes=lambda: assembly.nodes,
                runs=lambda: assembly.runs,
                restart=lambda: self._restart(assembly),
                open_to_all=self._open_to_all,
            )
        others = [*outward.services, *trials.values()]
        assembly = assemble_station(context, api=self._api, others=others, alarms=outward.alarms, mount=mount)
        undo.callback(assembly.stop)
        console.print(f"station of {', '.join(site.name for site in context.sites)} in {context.folder}", markup=False)
        self._running = loaded
        if assembly.api is not None:
            self._port = assembly.api.port
        return assembly

    def _restart(self, assembly: "Assembly") -> None:
        self.again.set()
        assembly.supervisor.stop_event.set()

    def _same_port(self, loaded: "LoadedSite") -> "LoadedSite":
        """Keep the port that the system chose, so that browsers find the station again."""
        station = loaded.site.station
        if station is None or station.api.port != 0 or self._port == 0:
            return loaded
        api = station.api.model_copy(update={"port": self._port})
        site = loaded.site.model_copy(update={"station": station.model_copy(update={"api": api})})
        return replace(loaded, site=site)
