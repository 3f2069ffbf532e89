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
            docs, target = Path(__file__).parent / "docs", Path(self.build_lib) / "so2cam" / "manual"
            text = "".join(page.read_text(encoding="utf-8") for page in docs.rglob("*.md"))

            def unused(folder: str, names: list[str]) -> list[str]:
                """Return the pictures that no page shows."""
                return [name for name in names if Path(folder).parent.name == "images" and name not in text]

            shutil.copytree(docs, target, ignore=unused, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithManual})
