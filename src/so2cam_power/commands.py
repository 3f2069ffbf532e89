"""Running a program of the system for at most some seconds."""

import subprocess
from collections.abc import Callable, Sequence

from so2cam_power.errors import PowerError

Runner = Callable[[Sequence[str], float], str]


def run(arguments: Sequence[str], timeout_s: float) -> str:
    """Run a program and return its output; raises PowerError where it fails or takes longer than ``timeout_s`` [s]."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, arguments as given
            list(arguments),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise PowerError(f"{arguments[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise PowerError(f"{arguments[0]} took longer than {timeout_s:g} s and was ended") from None
    except OSError as error:
        raise PowerError(f"{arguments[0]} cannot be run: {error.strerror}") from None
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise PowerError(f"{' '.join(arguments)} failed ({done.returncode}): {said[-1] if said else 'no reason given'}")
    return output
