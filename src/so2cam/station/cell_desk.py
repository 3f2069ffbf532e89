"""What somebody does of a calibration with gas cells, at all nodes of an instrument at once; pages only ask for it.

A calibration begins at all nodes or at none: where one refuses, the others are let go again. A cell that one camera did
not see is left out whole. At the end every node that answers is let go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from so2cam.core.errors import InputError, So2camError
from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError
from so2cam.link.messages import Cells
from so2cam.station import cell_run
from so2cam.station.cell_run import MOST_FRAMES, CellFrame, CellRun, CellRuns
from so2cam.station.node_items import cell_frames, sequences_of
from so2cam.station.nodes import Nodes
from so2cam.station.together import Part, Tell, Told, tell_all


@dataclass(frozen=True, slots=True)
class CellDesk:
    """The calibration of one site's instrument, for one person."""

    runs: CellRuns
    nodes: Nodes
    tell: Tell

    def begin(self, names: Sequence[str], by: str, count: int) -> str:
        """Hold the cameras of these nodes, all or none, and begin a calibration; one that goes on is held again.

        Returns what to say. Raises InputError for a wrong count, LinkError where not all cameras are held.
        """
        if not 1 <= count <= MOST_FRAMES:
            raise InputError(f"frames of each cell: 1 to {MOST_FRAMES}", value=count)
        run = self.runs.load()
        if run is not None and run.state == "going":
            return f"the calibration goes on; {self._say(run.nodes, 'begin').require().words}"
        if not names:
            raise InputError(
                "no node with cameras is meant", remedy="choose the whole instrument, or a node with cameras"
            )
        told = self._say(names, "begin")
        if told.missing:
            raise self._undone(told)
        self.runs.save(cell_run.begin(names, by, count))
        return told.words

    def take(self, ppm_m: float | None) -> str:
        """Take the frames of a cell at all nodes (None: of the clear sky, 0: of the empty holder).

        Returns what to say. Raises LinkError where not all cameras took some; what others took is then left out.
        """
        run = self._going()
        told = self._say(run.nodes, "clear" if ppm_m is None else "take", ppm_m, run.count)
        if not told.done:
            raise told.error()
        frames: list[CellFrame] = []
        missing = list(told.missing)
        for part in told.done:
            try:
                found = self._frames(part)
            except So2camError as error:
                missing.append(f"{part.node}: frames were taken and cannot be looked at, {error.message}")
                continue
            if not found and not part.missing:
                missing.append(f"{part.node}: no frame was kept")
            frames += found
        if not frames:
            raise LinkRefusedError(
                f"no frame was kept; not at {'; not at '.join(missing)}" if missing else "no frame was kept",
                remedy="see the state of the cameras, and take it again",
            )
        now = self.runs.load()
        run = now if now is not None and now.state == "going" else run
        take = self.runs.save(cell_run.taken(run, ppm_m, frames, missing)).takes[-1]
        if missing:
            raise LinkError(
                f"{take.words}: {len(frames)} frames are left out, since not all cameras took it; "
                f"not at {'; not at '.join(missing)}",
                remedy="take it again",
            )
        doubts = f"; look twice: {'; '.join(take.doubts)}" if take.doubts else ""
        return f"{take.words}: {len(take.frames)} frames kept{doubts}"

    def end(self, state: Literal["ended", "cancelled"]) -> str:
        """Let all cameras go, and end the calibration or give it up; it is over as soon as one node did.

        Returns what to say. Raises LinkError where a node did not let its cameras go.
        """
        run = self._going()
        told = self._say(run.nodes, "end")
        if told.done:
            self.runs.save(cell_run.over(run, state))
        if told.failed:
            raise told.error(remedy="let its cameras go as soon as it answers" if told.done else None)
        return told.words

    def let_go(self, names: Sequence[str]) -> str:
        """Let cameras go that are held for no calibration of this station. Raises LinkError where a node did not."""
        return self._say(names, "end").require().words

    def use(self, number: int, used: bool) -> str:
        """Use a cell, or leave it out; return what to say. Raises LinkRefusedError where there is no calibration."""
        run = self.runs.load()
        if run is None:
            raise LinkRefusedError("the calibration is gone")
        self.runs.save(cell_run.with_use(run, number, used))
        return f"step {number} is {'used' if used else 'left out'}"

    def _going(self) -> CellRun:
        run = self.runs.load()
        if run is None or run.state != "going":
            raise LinkRefusedError("no calibration is going on", remedy="begin a new one")
        return run

    def _say(self, names: Sequence[str], action: str, ppm_m: float | None = None, count: int = 1) -> Told:
        command = Cells.model_validate({"action": action, "ppm_m": ppm_m, "count": count})
        return tell_all(dict.fromkeys(names, command), self.tell)

    def _undone(self, told: Told) -> So2camError:
        """Let those go that were held, or may be since their answer was lost; return the error that says so."""
        if not told.done:
            return told.error()
        held = [part.node for part in told.parts if part.error is None or isinstance(part.error, LinkLostError)]
        back = self._say(held, "end")
        gone = [part.node for part in back.done]
        more = f"undone at {', '.join(gone)}" if gone else ""
        if back.failed:
            more += f"{'; ' if more else ''}not undone at {'; not undone at '.join(back.missing)}"
        return told.error(more)

    def _frames(self, part: Part) -> tuple[CellFrame, ...]:
        numbers = [
            (one.device, number) for one in part.outcomes for number in sequences_of(one.values.get("sequences"))
        ]
        return cell_frames(self.nodes, part.node, numbers)
