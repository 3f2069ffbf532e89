"""From pixels to metres: the camera and the plane of the plume."""
