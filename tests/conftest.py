"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real measurements; tests skip where it is absent, except in CI, where that is an error."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the real measurements are missing: {folder}")
        pytest.skip(f"the real measurements are not there: {folder}")
    return folder
