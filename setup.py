"""Builds the package with its documentation, which the pages show without internet. All else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithManual(build_py):
    """Copies ``docs`` into the package, where a checkout would be read directly."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "so2cam" / "manual"
            shutil.copytree(Path(__file__).parent / "docs", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithManual})
