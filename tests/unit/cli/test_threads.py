"""The command gives linear algebra one thread before NumPy is there to look, and leaves what somebody chose."""

import subprocess
import sys

from so2cam.cli.threads import VARIABLES, one_thread_for_algebra


def test_what_is_not_set_becomes_one() -> None:
    environment = {"OPENBLAS_NUM_THREADS": "4"}
    one_thread_for_algebra(environment)
    assert environment == {"OPENBLAS_NUM_THREADS": "4"} | dict.fromkeys(VARIABLES[1:], "1")


def test_the_command_s_start_does_not_import_numpy_before() -> None:
    code = "import sys, so2cam.cli.main; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
