"""What the commands share on a terminal: the console, progress bars, errors."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
error_console = Console(stderr=True, highlight=False, soft_wrap=True)


def report_error(text: str) -> None:
    """Print one error message to standard error."""
    error_console.print("Error:", style="bold red", end=" ")
    error_console.print(text, markup=False)


def report_warning(text: str) -> None:
    """Print one warning to standard error."""
    error_console.print("Warning:", style="bold yellow", end=" ")
    error_console.print(text, markup=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar with elapsed and remaining time on standard error; yields a callback (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console, transient=not error_console.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update
