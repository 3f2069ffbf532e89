"""A volcano with known truth: frames and spectra as an instrument writes them, the site file, and the truth.

The geometry and the physics here are written apart from ``so2cam.science``, so that the two check each other.
``simulate.live`` serves frames and spectra of any moment to simulated devices.
"""

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
