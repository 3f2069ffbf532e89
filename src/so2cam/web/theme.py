"""The colours of the pages, in one place: ink and paper, light and dark, and the colours of data.

Ink on paper keeps a contrast of at least 4.5 (WCAG AA). The colours of data are those of Okabe and Ito (2008), which
people with any colour vision tell apart; on dark paper the lighter of them come first.
"""

from typing import Final

LIGHT: Final = {
    "paper": "#f3f5f7",
    "surface": "#ffffff",
    "raised": "#e9edf1",
    "ink": "#15202b",
    "quiet": "#516170",
    "line": "#d3dae1",
    "accent": "#0a5aa6",
    "on-accent": "#ffffff",
    "ok": "#14693a",
    "warn": "#875400",
    "bad": "#b3231b",
    "ok-paper": "#e2f3e8",
    "warn-paper": "#fdf0d5",
    "bad-paper": "#fbe5e3",
    "data-1": "#0072b2",
    "data-2": "#d55e00",
    "data-3": "#00805e",
    "data-4": "#a8467c",
    "data-5": "#9a6a00",
    "data-6": "#2f7fb8",
}
DARK: Final = {
    "paper": "#0e1317",
    "surface": "#161d23",
    "raised": "#212a32",
    "ink": "#e5ebf0",
    "quiet": "#9eafbd",
    "line": "#2d3841",
    "accent": "#6db3f8",
    "on-accent": "#08131d",
    "ok": "#5cc98c",
    "warn": "#e8b44f",
    "bad": "#ff8d83",
    "ok-paper": "#12301f",
    "warn-paper": "#352911",
    "bad-paper": "#3b1a18",
    "data-1": "#56b4e9",
    "data-2": "#f08a45",
    "data-3": "#2fc79b",
    "data-4": "#dd94bb",
    "data-5": "#e69f00",
    "data-6": "#f0e442",
}


def theme_css() -> str:
    """Return both sets of colours as CSS variables: ``var(--so-ink)``, and those that the image viewer takes."""
    viewer = {"ink": "ink", "paper": "surface", "quiet": "quiet", "line": "line", "accent": "accent", "warn": "warn"}
    wired = "".join(f"--so2cam-{name}:var(--so-{ours});" for name, ours in viewer.items())
    return (
        f":root{{color-scheme:light;{_variables(LIGHT)}{wired}}}"
        f"body.body--dark{{color-scheme:dark;{_variables(DARK)}{wired}}}"
    )


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--so-{name}:{colour};" for name, colour in colours.items())


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours ``#rrggbb``, from 1 to 21, as WCAG 2 defines it."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
