"""What a node tells somebody who aims its cameras, and whether all is well before the case is closed."""

from pathlib import Path

from so2cam.core.site import Site
from so2cam.core.site_camera import Optics, View
from so2cam.core.site_devices import CameraDevice
from so2cam.core.site_instrument import Node
from so2cam.instrument.doctor.examine import examine
from so2cam.instrument.install.planning import install_settings
from so2cam.instrument.install.settings import is_made_up, require_node
from so2cam.link.aiming import CameraSight, ExamineResult, Finding, Place, SightResult
from so2cam.observe.sight import direction_to, field_of_view_deg, horizon_line, pixel_of


def sight_of(site: Site, node: Node) -> SightResult:
    """Return what each camera of ``node`` should see, as the site file has it."""
    view, optics = site.camera.view, site.camera.optics
    places = _places(site, view, optics)
    cameras = tuple(
        CameraSight(
            device=device.name,
            band=device.band.value,
            width_px=optics.width_px,
            height_px=optics.height_px,
            maximum_dn=site.camera.sensor.maximum_dn,
            shortest_exposure_s=device.minimum_exposure_s,
            longest_exposure_s=device.maximum_exposure_s,
            azimuth_deg=view.azimuth_deg % 360.0,
            elevation_deg=view.elevation_deg,
            roll_deg=view.roll_deg,
            field_of_view_deg=field_of_view_deg(optics),
            horizon=horizon_line(view, optics),
            places=places,
        )
        for device in node.devices
        if isinstance(device, CameraDevice)
    )
    return SightResult(cameras=cameras)


def _places(site: Site, view: View, optics: Optics) -> tuple[Place, ...]:
    wanted = [("vent", site.volcano.vent)]
    if view.landmark is not None:
        wanted.append(("landmark", view.landmark.position))
    found = []
    for name, place in wanted:
        try:
            seen = direction_to(site.camera.position, place)
        except ValueError:
            continue  # it stands where the camera does
        pixel = pixel_of(view, optics, seen.azimuth_deg, seen.elevation_deg)
        x, y = (None, None) if pixel is None else pixel
        found.append(
            Place(
                name=name,
                azimuth_deg=seen.azimuth_deg,
                elevation_deg=seen.elevation_deg,
                distance_m=seen.distance_m,
                x=x,
                y=y,
            )
        )
    return tuple(found)


def examine_node(site_path: Path, node: str, socket: Path) -> ExamineResult:
    """Return what ``so2cam instrument doctor`` says of this node. Raises So2camError where it cannot be looked at."""
    from so2cam.formats.sitefile import load_site

    loaded = load_site(site_path)
    _, found = require_node(loaded.site, node, loaded.path)
    report = examine(install_settings(loaded, node, by_hand=is_made_up(found)), socket=socket)
    findings = tuple(
        Finding(topic=line.topic, title=line.title, verdict=line.verdict.value, text=line.text, remedy=line.remedy)
        for line in report.lines
    )
    return ExamineResult(time=report.time, good=report.good, findings=findings)
