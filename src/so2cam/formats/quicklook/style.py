"""How the quicklook looks: sizes, colours, and what all panels share: frames, titles, labels, legends, notes.

Colours mean the same everywhere on the page: one set for speed methods, one for lines, one for reasons why a value is
missing.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from so2cam.core.results import EmissionSeries
from so2cam.core.status import EmissionStatus

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SIZE_IN: Final = (16.0, 10.0)
"""Width and height of the page [inch]."""
DPI: Final = 110
POINTS_PER_PIXEL: Final = 72 / DPI

METHOD_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#000000", "#56B4E9", "#E69F00")
"""Of the speed methods, in their order: the palette of Okabe and Ito, told apart by colour-blind readers too."""
LINE_COLOURS: Final = ("#AA3377", "#E69F00", "#009E73", "#56B4E9", "#000000", "#999933")
"""Of the plume cross-section lines."""
LineStyle = Literal["-", "--", ":", "-."]
LINE_STYLES: Final[tuple[LineStyle, ...]] = ("-", "--", ":", "-.")

STATUS_COLOURS: Final[dict[EmissionStatus, str]] = {
    EmissionStatus.NO_DARK: "#000000",
    EmissionStatus.NO_SKY: "#88CCEE",
    EmissionStatus.LINE_NOT_COVERED: "#332288",
    EmissionStatus.LINE_MASKED: "#882255",
    EmissionStatus.NO_NEXT_PAIR: "#888888",
    EmissionStatus.GAP_TOO_LONG: "#DDCC77",
    EmissionStatus.FLOW_UNRELIABLE: "#AA4499",
    EmissionStatus.NO_SECOND_LINE: "#6699CC",
    EmissionStatus.TOO_FEW_SAMPLES: "#44AA99",
    EmissionStatus.NO_CORRELATION: "#CC6677",
    EmissionStatus.LAG_NOT_RESOLVED: "#999933",
    EmissionStatus.PART_MISSING: "#555555",
    EmissionStatus.TIME_NOT_INCREASING: "#661100",
    EmissionStatus.NO_PLUME: "#117733",
    EmissionStatus.NO_WIND: "#AA7744",
    EmissionStatus.PLUME_ALONG_VIEW: "#774411",
    EmissionStatus.SHIFT_UNRELIABLE: "#771155",
    EmissionStatus.NO_CALIBRATION: "#114477",
    EmissionStatus.PENDING: "#BBBBBB",
    EmissionStatus.NOT_ASKED: "#DDDDDD",
}
VALID: Final = "#d9e3e8"

INK: Final = "#1a1a1a"
MUTED: Final = "#6b6b6b"
FRAME: Final = "#9a9a9a"
RULE: Final = "#d9d9d9"
ALERT: Final = "#b00020"

FONT_TINY: Final = 7.0
FONT_SMALL: Final = 7.5
FONT: Final = 8.5
FONT_TITLE: Final = 10.5
ROW: Final = 12.5
"""Height of a row of small text between a title and its panel [point]."""


def nth(choices: Sequence[str], index: int) -> str:
    """Return the colour or style number ``index`` of ``choices``, which repeat."""
    return choices[index % len(choices)]


# --- names -------------------------------------------------------------------------------------------------------


def plain(text: str, limit: int | None = None) -> str:
    """Return ``text`` on one line, as it can be drawn: cut to ``limit``, ``?`` for what the fonts lack."""
    line = " ".join(text.split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return "".join(c if ord(c) in _drawable() else "?" for c in line)


def method_name(name: str) -> str:
    """Return a speed method's name as it stands on the page."""
    return plain(name.replace("_", " "), 24)


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    """Return the characters that the page's fonts have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(weight=weight))) for weight in ("normal", "bold")]
    return frozenset.intersection(*(frozenset(font.get_charmap()) for font in fonts))


# --- frames, titles, labels --------------------------------------------------------------------------------------


def set_style(axes: "Axes") -> None:
    """Quiet frame, light grid behind the data, readable ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color="#e9e9e9", linewidth=0.7)


def title_rows(series: EmissionSeries) -> int:
    """Return how many rows of small text stand between title and frame in the upper panels."""
    return max(len(series.speed_methods), 1)


def set_title(axes: "Axes", title: str, *, rows: int = 0) -> None:
    """Set a panel's title flush with its frame, with room for ``rows`` of small text below it."""
    text = axes.set_title(title, loc="left", fontsize=FONT_TITLE, fontweight="bold", color=INK, pad=5 + ROW * rows)
    text.set_gid("title")


def set_labels(axes: "Axes", *, x: str | None = None, y: str | None = None) -> None:
    """Name what the axes of a panel are."""
    if x is not None:
        axes.set_xlabel(x, fontsize=FONT, color=INK)
    if y is not None:
        axes.set_ylabel(y, fontsize=FONT, color=INK)


def add_second_scale(axes: "Axes", factor: float, label: str) -> None:
    """Label the right side of ``axes`` with its values times ``factor``."""

    def forward(values: Any) -> Any:
        return values * factor

    def backward(values: Any) -> Any:
        return values / factor

    scale = axes.secondary_yaxis("right", functions=(forward, backward))
    scale.spines["right"].set_color(FRAME)
    scale.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
    scale.set_ylabel(label, fontsize=FONT, color=INK)


def add_note(axes: "Axes", text: str, *, colour: str = MUTED, size: float = 11.0) -> None:
    """Say in the middle of a panel why it is empty."""
    note = axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=size, color=colour, linespacing=1.5
    )
    note.set_in_layout(False)


def leave_empty(axes: "Axes", text: str) -> None:
    """Turn ``axes`` into an empty frame that says why."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(RULE)
    add_note(axes, text)


# --- legends -----------------------------------------------------------------------------------------------------


def handle(label: str, colour: str, *, width: float = 2.0, style: LineStyle = "-") -> "Line2D":
    """Return a piece of curve for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linewidth=width, linestyle=style, label=label)


def add_legend(
    axes: "Axes",
    handles: Sequence["Artist"],
    side: Literal["left", "right", "inside"],
    *,
    columns: int = 0,
    rise: float = 0.0,
) -> None:
    """Add a legend ``rise`` points above a panel, at one side; in one row unless ``columns`` says otherwise.

    ``inside``: in the panel's upper left corner, below each other.
    """
    from matplotlib.legend import Legend
    from matplotlib.transforms import ScaledTranslation

    if not handles:
        return
    legend = Legend(
        axes,
        handles,
        [str(handle.get_label()) for handle in handles],
        loc="upper left" if side == "inside" else "lower left" if side == "left" else "lower right",
        bbox_to_anchor=(1.0 if side == "right" else 0.0, 1.0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, rise / 72, axes.figure.dpi_scale_trans),
        ncols=columns or (1 if side == "inside" else len(handles)),
        frameon=False,
        fontsize=FONT,
        labelcolor=INK,
        handlelength=1.8,
        handletextpad=0.6,
        columnspacing=1.4,
        labelspacing=0.3,
        borderaxespad=0.25,
        borderpad=0.0,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.add_artist(legend)
    legend.set_in_layout(False)
    legend.set_gid(side)


def add_line_legend(axes: "Axes", colours: Mapping[str, str]) -> None:
    """Name up to six lines beside the panel's title."""
    add_legend(axes, [handle(plain(name), colour) for name, colour in list(colours.items())[:6]], "right")


def shorten_legends(axes: "Axes") -> None:
    """Cut the names in the legend beside a panel's title until it keeps clear of the title."""
    from matplotlib.legend import Legend

    for legend in axes.findobj(Legend):
        if not isinstance(legend, Legend) or legend.get_gid() != "right":
            continue
        texts = legend.get_texts()
        names = [text.get_text() for text in texts]
        end = max(title.get_window_extent().x1 for title in axes.findobj(lambda artist: artist.get_gid() == "title"))
        for limit in range(24, 2, -1):
            for text, name in zip(texts, names, strict=True):
                text.set_text(plain(name, limit))
            if legend.get_window_extent().x0 > end + 8:
                break
