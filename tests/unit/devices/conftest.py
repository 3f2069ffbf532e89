"""What tests of devices share: clocks that stand still, and imitations of the vendors' libraries."""

import importlib.util
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from so2cam.devices.clock import SteppedClock
from so2cam.devices.protocols import DeviceContext

FAKES = Path(__file__).resolve().parents[2] / "fakes"


def load_fake(name: str) -> ModuleType:
    """Return the module ``tests/fakes/{name}.py``."""
    qualified = f"so2cam_test_fakes_{name}"
    if qualified not in sys.modules:
        spec = importlib.util.spec_from_file_location(qualified, FAKES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[qualified] = module
        spec.loader.exec_module(module)
    return sys.modules[qualified]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC))


@pytest.fixture
def context(clock: SteppedClock, tmp_path: Path) -> DeviceContext:
    return DeviceContext(
        folder=tmp_path, clock=clock, stop=threading.Event(), run_start=datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    )


@pytest.fixture
def picamera2_fake() -> ModuleType:
    return load_fake("picamera2_fake")


@pytest.fixture
def seabreeze_fake() -> ModuleType:
    return load_fake("seabreeze_fake")


@pytest.fixture
def wittypi_fake() -> ModuleType:
    return load_fake("wittypi_fake")
