"""Ending the process of a run, and all that it started."""

import contextlib
import os
import signal
import subprocess


def end_process(process: "subprocess.Popen[bytes]", tidy_s: float) -> None:
    """End a process that leads a session of its own: tidily within ``tidy_s``, or else at once.

    What it started ends with it, also where it died by itself: its workers would wait for ever.
    """
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(tidy_s)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            process.wait(tidy_s)
    _kill_group(process)
    if process.stdin is not None:
        process.stdin.close()


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left, or only who has ended already
        os.killpg(process.pid, signal.SIGKILL)
