"""``so2cam simulate``: frames and spectra of a volcano whose emission rate is known."""

from pathlib import Path

import click

from so2cam.cli.console import FolderPath, console, progress_bar, when_interrupted
from so2cam.simulate import DEFAULT_SCENARIO, list_scenarios, load_scenario, simulate


@click.command(
    epilog="""\b
Examples:
  so2cam simulate --out volcano
  so2cam simulate --out weak --scenario weak --pairs 120 --seed 7
  so2cam simulate --out day --pairs 7200 --repeat 60
  so2cam process volcano/site.toml --frames volcano/frames --out volcano/results

\b
Exit codes: 0 done; 2 bad input; 130 interrupted."""
)
@click.option(
    "--out",
    required=True,
    type=FolderPath(),
    metavar="DIR",
    help="A new folder for frames, site.toml and truth.json.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same files.")
@click.option("--pairs", type=int, default=60, show_default=True, help="Number of plume pairs.")
@click.option(
    "--scenario",
    default=DEFAULT_SCENARIO,
    show_default=True,
    metavar="NAME",
    help=f"One of {', '.join(list_scenarios())}, or a TOML file of your own.",
)
@click.option(
    "--repeat",
    type=int,
    default=None,
    metavar="N",
    help="Make N pairs only, and repeat their files under later names: a long run at low cost, for benchmarks.",
)
def command(out: Path, seed: int, pairs: int, scenario: str, repeat: int | None) -> None:
    """Write the frames and spectra of a simulated volcano whose emission rate is known.

    They are written as an instrument writes them, with the site file that goes with them and truth.json.
    """
    chosen = load_scenario(scenario)
    with (
        when_interrupted(f"{out} holds a part of the frames; remove it before the next try"),
        progress_bar("Simulating frames") as progress,
    ):
        result = simulate(chosen, out, seed=seed, pairs=pairs, repeat=repeat, progress=progress)
    console.print(f"{result.frame_count} frames of scenario {chosen.name!r}: {chosen.description}", markup=False)
    console.print(f"  {result.spectrum_count} spectra of a spectrometer that looks at a spot of the image")
    for line in result.truth.lines:
        console.print(f"  true emission rate across {line.name}: {line.mean_emission_rate_kg_s:.3f} kg/s on average")
    for path in (result.frames, result.spectra, result.site, result.truth_file):
        console.print(f"  {path}", markup=False)
