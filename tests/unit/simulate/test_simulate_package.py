"""The package gives its names, and loads nothing heavy for simulated devices."""

import subprocess
import sys

import pytest

import so2cam.simulate


def test_every_name_is_there():
    for name in so2cam.simulate.__all__:
        assert getattr(so2cam.simulate, name) is not None
    assert sorted(so2cam.simulate._HOMES) == sorted(so2cam.simulate.__all__)
    with pytest.raises(AttributeError, match="no attribute 'volcano'"):
        so2cam.simulate.volcano  # noqa: B018


def test_simulated_devices_are_light():
    code = (
        "import sys, so2cam.simulate.devices\n"
        "heavy = {'scipy', 'numba', 'matplotlib', 'astropy', 'astral', 'cv2', 'pyproj', 'xarray', 'zarr'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
