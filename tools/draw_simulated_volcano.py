"""Draw docs/images/simulated-volcano.png and simulated-light.png: what the simulated volcano looks like.

python tools/draw_simulated_volcano.py [--out FOLDER]
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from so2cam.core.records import Band, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.simulate import load_scenario
from so2cam.simulate.light import BandLight, band_pass
from so2cam.simulate.scene import Scene, build_scene

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
INK, MUTED, RULE = "#1a1a1a", "#6b6b6b", "#d9d9d9"
ON, OFF, GREEN = "#0072B2", "#D55E00", "#009E73"
ROWS = ("baseline", "turbulent", "two-vents", "diluted", "clouds")
MOMENT_S = 150.0
PPM_M = molec_cm2_per_ppm_m()


def draw_frames(figure: Figure) -> None:
    """Draw on-band frame, off-band frame and true columns of some scenarios."""
    axes = figure.subplots(len(ROWS), 3)
    for row, name in enumerate(ROWS):
        scene = build_scene(load_scenario(name), seed=1)
        for band, place in zip(Band, axes[row, :2], strict=True):
            camera = scene.camera(band)
            counts = scene.frame(band, FrameKind.PLUME, MOMENT_S, camera.settings.exposure_s)
            place.imshow(counts, cmap="gray", vmin=0, vmax=960)
        shown = axes[row, 2].imshow(scene.cameras[0].slant_column(MOMENT_S) / PPM_M, cmap="magma", vmin=0, vmax=2000)
        draw_marks(axes[row, 2], scene)
        axes[row, 0].set_ylabel(name, fontsize=10.5, color=INK, labelpad=7)
    for place, title in zip(axes[0], ("on band, 310 nm", "off band, 330 nm", "SO$_2$ column (ppm m)"), strict=True):
        place.set_title(title, fontsize=10.5, color=INK, loc="left", pad=7)
    for place in axes.ravel():
        place.set(xticks=[], yticks=[])
        place.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=axes[:, 2], shrink=0.32, aspect=28, pad=0.03, extend="max")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8.5, colors=MUTED)


def draw_marks(axes: Axes, scene: Scene) -> None:
    """Draw the lines and the spectrometer's field of view."""
    for line in scene.lines:
        record = line.to_plume_line()
        axes.plot(*np.array([record.start, record.end]).T, color="#56B4E9", linewidth=1.2)
    view = scene.spectrometer.view
    axes.add_patch(Circle((view.x, view.y), view.radius_px, fill=False, color="white", linewidth=1.2))
    axes.set(xlim=(0, 647), ylim=(485, 0))


def plain(axes: Axes, title: str) -> None:
    """Give axes the look of the documentation."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, pad=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9a9a9a")
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def draw_spectra(axes: Axes, ratio: Axes) -> None:
    """Draw spectra of sky and plume, the bands, and plume over sky."""
    for name, colour, label in (("baseline", ON, "plume"), ("diluted", OFF, "plume, 30 % diluted")):
        scene = build_scene(load_scenario(name), seed=1)
        device, model = scene.spectrometer, scene.scenario.spectrometer
        used = (device.wavelengths_nm > 295) & (device.wavelengths_nm < 345)
        dark = device.expected(SpectrumKind.DARK, 0.0, model.integration_time_s, model.coadds)
        clear = device.expected(SpectrumKind.CLEAR, MOMENT_S, model.integration_time_s, model.coadds) - dark
        plume = scene.spectrum(SpectrumKind.PLUME, MOMENT_S, model.integration_time_s, model.coadds) - dark
        wavelengths = device.wavelengths_nm[used]
        if name == "baseline":
            axes.plot(wavelengths, clear[used] / 1000, color=MUTED, linewidth=1.2, label="clear sky")
            axes.plot(wavelengths, plume[used] / 1000, color=colour, linewidth=1.2, label=label)
            top = clear[used].max() / 1000
            for band, centre in ((Band.ON, 310.0), (Band.OFF, 330.0)):
                curve = band_pass(scene.scenario.filters, centre, wavelengths)
                axes.fill_between(wavelengths, 0.25 * top * curve / curve.max(), color="#e3e9ec", linewidth=0)
                axes.text(centre + 1.6, 0.015 * top, f"{band.value} band", ha="center", fontsize=8.5, color=MUTED)
        shown = wavelengths > 302
        stray = device.wavelengths_nm < 290
        level = (plume - plume[stray].mean()) / (clear - clear[stray].mean())
        ratio.plot(wavelengths[shown], level[used][shown], color=colour, linewidth=1.1, label=label)
    plain(axes, "Spectra (thousand counts)")
    axes.set(xlim=(295, 345), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    axes.set_xlabel("wavelength (nm)", fontsize=9, color=INK)
    plain(ratio, "Plume over clear sky, as the spectrometer sees it")
    ratio.set(xlim=(302, 345), ylim=(0.5, 1.12))
    ratio.legend(frameon=False, fontsize=8.5, loc="lower right")
    ratio.set_xlabel("wavelength (nm)", fontsize=9, color=INK)


def draw_curve(axes: Axes) -> None:
    """Draw the bands' curves: absorbance against column."""
    columns = np.linspace(0, 5000, 201) * PPM_M
    for name, colour, label in (("ideal", ON, "SO$_2$ alone"), ("diluted", OFF, "with aerosol, 30 % diluted")):
        scenario = load_scenario(name)
        on, off = (BandLight(band, scenario, (5200.0, 5300.0)) for band in Band)
        absorbance = np.log(off.transmission(columns, 5250.0) / on.transmission(columns, 5250.0))
        axes.plot(columns / PPM_M, absorbance, color=colour, linewidth=1.8, label=label)
        if name == "ideal":
            slope = on.cross_section_cm2 - off.cross_section_cm2
            axes.plot(
                columns / PPM_M, slope * columns, color=MUTED, linewidth=0.9, linestyle="--", label="without saturation"
            )
    plain(axes, "Apparent absorbance")
    axes.set(xlim=(0, 5000), ylim=(0, 2.0))
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    axes.set_xlabel("SO$_2$ column (ppm m)", fontsize=9, color=INK)


def main() -> None:
    """Draw and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    out = parser.parse_args().out
    frames = Figure(figsize=(9.2, 10.9), dpi=110, layout="constrained")
    draw_frames(frames)
    frames.savefig(out / "simulated-volcano.png", metadata={"Software": None})
    light = Figure(figsize=(12.0, 3.9), dpi=110, layout="constrained")
    left, middle, right = light.subplots(1, 3)
    draw_spectra(left, middle)
    draw_curve(right)
    light.get_layout_engine().set(w_pad=0.14)  # type: ignore[union-attr,call-arg]
    light.savefig(out / "simulated-light.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
