"""Draw docs/images/light-dilution.png: the extinction from terrain, and what it means for a plume.

python tools/draw_light_dilution.py [--out FILE]
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d

from so2cam.science.imaging.extinction import FitLimits, TerrainPixels, terrain_extinction
from so2cam.science.imaging.light_dilution import DilutionState, amplification, rayleigh_ratio

IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "light-dilution.png"
INK, MUTED, RULE = "#1a1a1a", "#6b6b6b", "#d9d9d9"
ON, OFF, SNOW = "#0072B2", "#D55E00", "#9a9a9a"
TRUTH = 1.5e-4


def scene() -> tuple[TerrainPixels, np.ndarray]:
    """Return pixels of a flank with snow and plants, and which are neither."""
    rng = np.random.default_rng(11)
    n = 260
    d = np.linspace(1500.0, 5200.0, n)
    patches = gaussian_filter1d(rng.standard_normal(n), 2)
    surface = 240 * (1 + 0.12 * patches / patches.std())
    odd = np.zeros(n, np.bool_)
    for first, last, value in ((60, 84, 760.0), (150, 165, 820.0), (205, 232, 700.0)):
        odd[first:last] = True
        surface[first:last] = value * (1 + 0.06 * rng.standard_normal(last - first))
    through = np.exp(-TRUTH * d)
    intensity = surface * through + 1000 * (1 - through) + 4 * rng.standard_normal(n)
    return TerrainPixels(intensity, d, np.full(n, 1000.0), 4.0, 0.0, 0.03 * d[None]), odd


def plain(axes: Axes, title: str) -> None:
    """Give axes the look of the documentation."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, pad=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9a9a9a")
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def draw_terrain(axes: Axes) -> None:
    """Draw brightness against distance, and the fit."""
    data, odd = scene()
    found = terrain_extinction(data, FitLimits())
    km = data.distance_m / 1000
    relative = data.intensity / 1000
    axes.plot(km[~odd], relative[~odd], ".", color=ON, markersize=4, label="dark ground")
    axes.plot(km[odd], relative[odd], ".", color=SNOW, markersize=4, label="snow: without weight")
    at = np.linspace(0, 5600, 200)

    def curve(extinction: float) -> np.ndarray:
        middle = np.median(data.distance_m)
        level = found.surface * np.exp(-found.value_per_m * middle) + 1000 * (1 - np.exp(-found.value_per_m * middle))
        surface = (level - 1000 * (1 - np.exp(-extinction * middle))) * np.exp(extinction * middle)
        through = np.exp(-extinction * at)
        return np.asarray((surface * through + 1000 * (1 - through)) / 1000)

    low, high = (curve(found.value_per_m + sign * found.uncertainty_per_m) for sign in (-1, 1))
    axes.fill_between(at / 1000, low, high, color=ON, alpha=0.16, linewidth=0, label="its 1 sigma")
    axes.plot(at / 1000, curve(found.value_per_m), color=ON, linewidth=1.8, label="fit")
    axes.axhline(1.0, color=INK, linewidth=0.9, linestyle="--")
    axes.text(5.55, 1.012, "sky", ha="right", va="bottom", fontsize=8.5, color=INK)
    plain(axes, "Dark ground grows brighter with distance")
    axes.set(xlim=(0, 5.6), ylim=(0, 1.1))
    axes.set_xlabel("distance of the ground (km)", fontsize=9, color=INK)
    axes.set_ylabel("brightness / brightness of the sky", fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.0, 0.0))
    axes.text(
        0.03, 0.97, f"found {1000 * found.value_per_m:.3f} ± {1000 * found.uncertainty_per_m:.3f}, "
        f"true {1000 * TRUTH:.3f} km$^{{-1}}$",
        transform=axes.transAxes, fontsize=8.5, color=INK, va="top",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def draw_amplification(axes: Axes) -> None:
    """Draw the factor of weak plumes against distance."""
    distance = np.linspace(0, 10_000, 200)
    ratio = rayleigh_ratio(330.0)
    for per_km in (0.1, 0.15, 0.2):
        on = amplification(DilutionState(per_km / 1000, distance))
        off = amplification(DilutionState(per_km * ratio / 1000, distance))
        axes.plot(distance / 1000, on, color=ON, linewidth=1.8)
        axes.plot(distance / 1000, off, color=OFF, linewidth=1.2)
        axes.text(10.1, on[-1], f"{per_km:g} km$^{{-1}}$", fontsize=8.5, color=ON, va="center")
    axes.plot([], [], color=ON, linewidth=1.8, label="on band, 310 nm; its extinction at the right")
    axes.plot([], [], color=OFF, linewidth=1.2, label="off band, 330 nm, in the same air")
    plain(axes, "Factor by which a weak plume is seen too thin")
    axes.set(xlim=(0, 10), ylim=(1, 8), yscale="log")
    axes.set_yticks([1, 1.5, 2, 3, 4, 6, 8], labels=["1", "1.5", "2", "3", "4", "6", "8"])
    axes.minorticks_off()
    axes.set_xlabel("distance of the plume (km)", fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")


def main() -> None:
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGE)
    out = parser.parse_args().out
    figure = Figure(figsize=(10.5, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_terrain(left)
    draw_amplification(right)
    figure.get_layout_engine().set(w_pad=0.15)  # type: ignore[union-attr,call-arg]
    figure.savefig(out, metadata={"Software": None})


if __name__ == "__main__":
    main()
