"""``so2cam compile``: the fits of spectra, before they are needed."""

import time

import click

from so2cam.cli.console import console, when_interrupted


@click.command(
    epilog="""\b
Examples:
  so2cam compile             about 20 s, once after each installation
  so2cam compile --all       fits of light dilution too: about a minute

\b
Without it the first spectrum takes that long. What is compiled is kept beside the program, and made anew when the
program changes.

\b
Exit codes: 0 done; 130 interrupted.""",
)
@click.option("--all", "dilution", is_flag=True, help="Fits with light dilution too.")
@when_interrupted("what was compiled so far is kept")
def command(dilution: bool) -> None:
    """Compile the fits of spectra now, not with the first spectrum."""
    from so2cam.pipeline.precompile import compile_fits

    began = time.monotonic()
    compile_fits(dilution=dilution, tell=lambda what: console.print(f"compiling the fits of {what} …"))
    console.print(f"done in {time.monotonic() - began:.0f} s")
