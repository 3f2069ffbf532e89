"""The sky-background modes and their areas in words, as docs/background-modes.md has them."""

from typing import Final

MODE_WORDS: Final[dict[str, str]] = {
    "sky-surface": "so2cam's own: a smooth surface in each band, fitted to plume-free sky all over the image.",
    "polynomial": "Mode 0: a surface through plume-free sky of the image itself. It needs sky all around the plume.",
    "scale": "Mode 1: the clear-sky frames, scaled in one rectangle. It says nothing about the far side of the plume.",
    "scale-gradient-y": "Mode 2: as scale, and a line in y through a second rectangle.",
    "profile-y": "Mode 3: a curve of order 2 in y along a column of sky.",
    "scale-gradient-xy": "Mode 4: as scale-gradient-y, then a line in x through a third rectangle.",
    "profile-y-gradient-x": "Mode 5: as profile-y, then a line in x through two rectangles.",
    "profile-xy": "Mode 6: as profile-y, then a curve of order 2 in x along a row of sky. It extrapolates where the "
    "plume cuts the row off.",
    "rectangle": "Mode 7: the mean intensity in one rectangle. It needs no clear-sky frames.",
    "clear-sky": "Mode 99: the clear-sky frames as they are: right while the sky is the one that was photographed.",
}
AREA_WORDS: Final[dict[str, str]] = {
    "scale_rectangle": "Scale",
    "y_gradient_rectangle": "y gradient",
    "x_gradient_rectangle": "x gradient",
    "y_profile": "y profile",
    "x_profile": "x profile",
}
AREA_COLOURS: Final[dict[str, str]] = {
    "scale_rectangle": "data-1",
    "y_gradient_rectangle": "data-4",
    "x_gradient_rectangle": "data-3",
    "y_profile": "data-5",
    "x_profile": "data-6",
}
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "scale": ("scale_rectangle",),
    "scale-gradient-y": ("scale_rectangle", "y_gradient_rectangle"),
    "profile-y": ("y_profile",),
    "scale-gradient-xy": ("scale_rectangle", "y_gradient_rectangle", "x_gradient_rectangle"),
    "profile-y-gradient-x": ("y_profile", "scale_rectangle", "x_gradient_rectangle"),
    "profile-xy": ("y_profile", "x_profile"),
    "rectangle": ("scale_rectangle",),
}
"""Areas that a mode uses; the others use none."""


def area_from_points(key: str, points: list[tuple[float, float]]) -> list[int]:
    """Return an area as the site file has it from two corners, or the two ends of a line, that somebody drew.

    (x0, y0, x1, y1) of a rectangle; (x, y0, y1) of a column and (y, x0, x1) of a row, where the line's middle is.
    """
    (xa, ya), (xb, yb) = points
    x0, x1 = sorted((round(xa), round(xb)))
    y0, y1 = sorted((round(ya), round(yb)))
    if key == "y_profile":
        return [round((xa + xb) / 2), y0, y1]
    if key == "x_profile":
        return [round((ya + yb) / 2), x0, x1]
    return [x0, y0, x1, y1]


def area_shape(key: str, corners: tuple[int, int, int, int]) -> tuple[str, list[list[float]]]:
    """Return kind and points of the shape of an area with these corners (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = corners
    return ("line" if key.endswith("profile") else "rect"), [[float(x0), float(y0)], [float(x1), float(y1)]]


def skyline_from_points(points: list[tuple[float, float]]) -> list[list[float]]:
    """Return a skyline, its points from left to right, of points that somebody drew; of two at one x the later."""
    by_x = {round(x, 1): round(y, 1) for x, y in points}
    return [[x, by_x[x]] for x in sorted(by_x)]
