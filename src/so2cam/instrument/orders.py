"""What a device's loop does with the agent's orders: modes, sets, calibrations, settings.

An order for a set (shot, darks, cells) may be that of an errand (``instrument.errands``): then its items bear the mark
of the command, those that were ``kept`` earlier are not taken again, and what becomes of it is told as of the errand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from so2cam.core.site_devices import CameraDevice
from so2cam.core.site_instrument import DarkSets
from so2cam.devices.errors import DeviceError
from so2cam.instrument.heads import Head, require_exposure
from so2cam.instrument.jobs import JobBook, JobState
from so2cam.instrument.launch import Capturing
from so2cam.instrument.light import LightControl, start_values
from so2cam.instrument.part import part_keys, part_problem, part_values
from so2cam.instrument.plan import Plan, UsedExposures, Wish
from so2cam.store.items import Mark

Reply = Callable[[int, bool, str, Mapping[str, Any]], None]


class OrderDesk:
    """Carries out orders. ``reply(number, done, text, values)`` answers the order of a number.

    ``tell_errand(errand, state, text, values)``: an errand was ``accepted``, is ``refused``, or cannot be taken on
    ``now``.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: JobBook,
        light: LightControl,
        used: UsedExposures,
        darks: DarkSets,
        reply: Reply,
        set_period: Callable[[float], float],
        tell: Callable[[JobState], None],
        tell_errand: Callable[[str, str, str, Mapping[str, Any]], None],
    ) -> None:
        self._plan = plan
        self._jobs = jobs
        self._light = light
        self._used = used
        self._darks = darks
        self._reply = reply
        self._set_period = set_period
        self._tell = tell
        self._tell_errand = tell_errand
        self.limits: Mapping[str, Any] = {}
        """what the device said of itself when it was opened"""

    def obey(self, order: Mapping[str, Any], head: Head | None) -> None:
        """Carry out one order; ``head`` is None while the device fails."""
        number, what = int(order.get("id", 0)), order["do"]
        if what == "run":
            self._plan.run(order["kind"], order.get("count"))
            count = "" if order.get("count") is None else f", {order['count']} times"
            self._reply(number, True, f"captures {order['kind']}{count}", {})
        elif what == "mode":
            if order["kind"] is None:
                self._plan.stop()
            else:
                self._plan.run(order["kind"], None)
        elif what == "stop":
            self._stop(number, force=bool(order.get("force")))
        elif what == "forget":
            self._jobs.forget(order["errand"], "it was given up")
        elif head is None:
            self._answer(order, False, "the device fails now; try again later", state="now")
        elif what == "shot":
            self._shot(order)
        elif what == "darks":
            self._dark_set(order)
        elif what == "cells":
            self._cells(order, number)
        elif what == "settings":
            self._settings(order, number, head)
        else:
            self._reply(number, False, f"there is no order {what!r}", {})

    def _stop(self, number: int, *, force: bool) -> None:
        going_on = "a manual calibration" if self._plan.held else next((job.name for job in self._plan.jobs), None)
        if going_on is not None and not force:
            self._reply(number, False, f"{going_on} is going on; stop it with force", {})
            return
        self._plan.stop()
        self._plan.held = False
        for state in self._jobs.cancel("stopped"):
            self._tell(state)
        self._reply(number, True, "stopped", {})

    # --- sets ----------------------------------------------------------------------------------------------------

    def _shot(self, order: Mapping[str, Any]) -> None:
        kind, exposure_s = order["kind"], order.get("exposure_s")
        if exposure_s is not None and not self._require_possible(order, exposure_s):
            return
        wish = Wish(kind, order.get("cell_ppm_m"), exposure_s, on_grid=False, must_be_dark=kind == "dark")
        self._add(f"{kind} shot", [wish], order)

    def _dark_set(self, order: Mapping[str, Any]) -> None:
        errand = order.get("errand")
        if any(job.name == "darks" and (errand is None or job.errand != errand) for job in self._plan.jobs):
            self._answer(order, False, "a dark set is going on already")
            return
        exposures = tuple(order.get("exposures_s") or self._used.chosen() or (self._light.exposure_s,))
        if not all(self._require_possible(order, exposure_s) for exposure_s in exposures):
            return
        repeats = int(order.get("repeats") or self._darks.repeats)
        wishes = [
            Wish("dark", exposure_s=exposure_s, on_grid=False, must_be_dark=True)
            for exposure_s in exposures
            for _ in range(repeats)
        ]
        total_s = sum(exposures) * repeats * self._light.coadds
        text = f"takes {len(wishes)} darks at {len(exposures)} exposures, {total_s:.1f} s of exposure in all"
        self._add("darks", wishes, {**order, "id": None}, text)
        if errand is None:
            self._answer(order, True, text, {"items": len(wishes)})

    def _cells(self, order: Mapping[str, Any], number: int) -> None:
        action = order["action"]
        if action == "begin":
            self._plan.held = True
            exposure_s = self._light.exposure_s
            values = {"exposure_s": exposure_s, "coadds": self._light.coadds}
            self._reply(number, True, f"holds still at an exposure of {exposure_s:g} s", values)
        elif action == "end":
            self._plan.held = False
            self._reply(number, True, "goes on as before", {})
        elif not self._plan.held:
            self._answer(order, False, "no calibration is going on; begin one first")
        elif action == "take":
            wishes = [Wish("cell", order["ppm_m"])] * int(order["count"])
            self._add(f"{order['ppm_m']:g} ppm m cell", wishes, order)
        else:
            self._add("clear sky", [Wish("clear")] * int(order["count"]), order)

    def _add(self, name: str, wishes: Sequence[Wish], order: Mapping[str, Any], text: str = "") -> None:
        """Add a set: of an errand without the items that were kept earlier, and once."""
        errand = order.get("errand")
        if errand is None:
            self._jobs.add(name, wishes, order.get("id"))
            return
        if not self._jobs.has(errand):
            kept = set(order.get("kept", ()))
            marked = [
                replace(wish, mark=Mark(errand, item, len(wishes)))
                for item, wish in enumerate(wishes)
                if item not in kept
            ]
            self._jobs.add(name, marked, None, errand, len(wishes) - len(marked))
        self._tell_errand(errand, "accepted", text, {"items": len(wishes)})

    def _answer(
        self,
        order: Mapping[str, Any],
        ok: bool,
        text: str,
        values: Mapping[str, Any] | None = None,
        *,
        state: str = "refused",
    ) -> None:
        """Answer an order; one of an errand only with a refusal."""
        errand = order.get("errand")
        if errand is None:
            self._reply(int(order.get("id") or 0), ok, text, values or {})
        else:
            self._tell_errand(errand, state, text, values or {})

    # --- settings ------------------------------------------------------------------------------------------------

    def _settings(self, order: Mapping[str, Any], number: int, head: Head) -> None:
        """Take over new settings, or with ``check`` only say whether the device could have them."""
        device: Capturing = type(self._light.device).model_validate(order["device"])
        explicit = frozenset(order.get("explicit", ()))
        exposure_s, gain, _ = start_values(device)
        if "exposure_s" in explicit and not self._require_possible(order, exposure_s):
            return
        limits = self.limits.get("gain_limits")
        if "gain" in explicit and limits and not limits[0] <= gain <= limits[1]:
            text = f"gain must be from {limits[0]:g} to {limits[1]:g}, the limits of the device"
            self._reply(number, False, text, {})
            return
        problem = part_problem(device, self.limits) if explicit & set(part_keys(device)) else None
        if problem is not None:
            self._reply(number, False, problem, {})
            return
        if order.get("check"):
            self._reply(number, True, "possible", {})
            return
        try:
            self._light.take_over(head, device, explicit)
        except DeviceError as error:
            self._reply(number, False, error.message, {})
            raise
        period_s = self._set_period(float(order["period_s"]))
        applied_s, applied_gain, applied_coadds = self._light.applied
        values: dict[str, Any] = {
            "automatic": device.automatic.enabled,
            "exposure_s": applied_s,
            "period_s": period_s,
            **part_values(self._light.device),
        }
        if isinstance(device, CameraDevice):
            values["gain"] = applied_gain
        else:
            values["coadds"] = applied_coadds
        self._reply(number, True, "applied", values)

    def _require_possible(self, order: Mapping[str, Any], exposure_s: float) -> bool:
        """Return whether the device can have an exposure; otherwise the order is answered with its limits."""
        low, high = self.limits.get("exposure_limits_s", (0.0, float("inf")))
        try:
            require_exposure(self._light.device.name, exposure_s, (float(low), float(high)))
        except DeviceError as error:
            self._answer(order, False, f"an exposure of {exposure_s:g} s {error.message}")
            return False
        return True
