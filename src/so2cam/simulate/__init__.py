"""A volcano with known truth: frames and spectra as an instrument writes them, the site file, and the truth.

The geometry and the physics here are written apart from ``so2cam.science``, so that the two check each other.
``simulate.live`` serves frames and spectra of any moment to simulated devices.

Names are imported when they are used: simulated devices with a cheap scene need little of it.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from so2cam.simulate.run import SimulationResult, simulate
    from so2cam.simulate.scenario import DEFAULT_SCENARIO, Scenario, list_scenarios, load_scenario
    from so2cam.simulate.truth import LineTruth, Truth

__all__ = [
    "DEFAULT_SCENARIO",
    "LineTruth",
    "Scenario",
    "SimulationResult",
    "Truth",
    "list_scenarios",
    "load_scenario",
    "simulate",
]

_HOMES: Final = {
    "DEFAULT_SCENARIO": "scenario",
    "LineTruth": "truth",
    "Scenario": "scenario",
    "SimulationResult": "run",
    "Truth": "truth",
    "list_scenarios": "scenario",
    "load_scenario": "scenario",
    "simulate": "run",
}


def __getattr__(name: str) -> Any:
    """Return a name of ``__all__``, from the module that has it."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
