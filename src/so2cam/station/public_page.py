"""A static page for the public: the latest image, the last 24 hours, and whether the camera measures. Pure.

The page is one file without scripts from elsewhere, fonts or trackers; it names two pictures beside it. It loads itself
anew each minute, and says by itself when its data are old: a web server cannot know that the station fell silent.
"""

from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final, Literal

from so2cam.core.constants import TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.site_publication import PublicPage
from so2cam.core.times import format_utc

IMAGE: Final = "latest.png"
PLOT: Final = "last-24-hours.png"
PageState = Literal["measuring", "resting", "fault", "silent"]
_STATE_WORDS: Final[dict[PageState, str]] = {
    "measuring": "The camera is measuring.",
    "resting": "The camera rests: its schedule wants no images now.",
    "fault": "The camera has a fault; people are told.",
    "silent": "Nothing comes from the camera now.",
}


@dataclass(frozen=True, slots=True)
class PageRate:
    """The newest emission rate [kg s-1] with its 1 sigma, and when that was (UTC)."""

    time: datetime
    rate_kg_s: float
    uncertainty_kg_s: float
    how: str
    """The line and the method, in words"""


@dataclass(frozen=True, slots=True)
class PageContent:
    """What the page says. ``made``: when it was made; ``mean_kg_s``: of the last 24 hours, over ``mean_hours``."""

    volcano: str
    site: str
    made: datetime
    state: PageState
    rate: PageRate | None = None
    mean_kg_s: float | None = None
    mean_hours: float = 0.0
    image_time: datetime | None = None
    image_size: tuple[int, int] | None = None
    plot_size: tuple[int, int] | None = None
    version: str = ""


_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1a1a1a;--soft:#5f6368;--rule:#dadce0;--paper:#fff;--panel:#f6f7f8;--warn:#9a3412;\
--warnpaper:#fff4ec;--good:#17653a}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a5abb3;--rule:#3c4043;--paper:#16181a;--panel:#1f2225;\
--warn:#ffb38a;--warnpaper:#3a2117;--good:#7fd3a2}}
*{box-sizing:border-box}
sub{line-height:0}
body{margin:0;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:24px 20px 40px}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 2px}
h2{font-size:1rem;margin:32px 0 8px}
.sub,footer,figcaption{color:var(--soft);font-size:.875rem}
.facts{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0 0}
.fact{background:var(--panel);border:1px solid var(--rule);border-radius:8px;padding:12px 16px;flex:1 1 230px}
.fact b{display:block;font-size:1.5rem;font-weight:600;line-height:1.3;font-variant-numeric:tabular-nums}
.fact span{color:var(--soft);font-size:.875rem}
.state{margin:16px 0 0}
.state::before{content:"";display:inline-block;width:.65em;height:.65em;border-radius:50%;background:currentColor;\
margin-right:.5em}
.measuring{color:var(--good)}.resting{color:var(--soft)}.fault,.silent{color:var(--warn)}
.old{background:var(--warnpaper);color:var(--warn);border:1px solid currentColor;border-radius:8px;padding:10px 14px;\
margin:16px 0 0}
figure{margin:0}
figure div{overflow-x:auto}
img{display:block;max-width:100%;height:auto;border:1px solid var(--rule);border-radius:8px;background:#fff}
footer{margin-top:32px;border-top:1px solid var(--rule);padding-top:12px}
footer p{margin:4px 0}
"""
_SCRIPT: Final = """
(function(){
var box=document.getElementById("old"),state=document.getElementById("state");
var newest=Date.parse(box.dataset.newest),limit=Number(box.dataset.limit);
function words(m){return m<120?Math.round(m)+" minutes":m<2880?Math.round(m/60)+" hours":Math.round(m/1440)+" days"}
function look(){var m=(Date.now()-newest)/60000;box.hidden=!(m>limit);state.hidden=m>limit;
if(m>limit)box.textContent="These data are "+words(m)+" old."}
look();setInterval(look,30000);
})();
"""


def build_page(content: PageContent, settings: PublicPage) -> str:
    """Return the page as HTML."""
    title = settings.title or content.volcano
    newest = max((t for t in (content.image_time, content.rate and content.rate.time) if t), default=content.made)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta http-equiv="refresh" content="60">',
        f"<title>{escape(title)}: SO2 emission</title>",
        f"<style>{_STYLE}</style></head><body><main>",
        f"<header><h1>{escape(title)}</h1>",
        f'<p class="sub" style="margin:0">SO<sub>2</sub> camera {escape(content.site)}</p></header>',
        f'<p class="state {content.state}" id="state">{escape(_STATE_WORDS[content.state])}</p>',
        _old(newest, settings),
        _facts(content, settings),
        _figure("Latest image", IMAGE, content.image_size, content.image_time, _image_words(content)),
        _figure("Last 24 hours", PLOT, content.plot_size, None, "Emission rate of the last 24 hours, times in UTC."),
        _footer(content, settings),
        f"</main><script>{_SCRIPT}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def rate_words(value_kg_s: float, uncertainty_kg_s: float | None, unit: Literal["kg/s", "t/d"]) -> str:
    """Return a rate and its 1 sigma in ``unit``, with two digits of the latter."""
    factor = 1.0 if unit == "kg/s" else TONNES_PER_DAY_PER_KG_PER_S
    value = value_kg_s * factor
    shown = "kg/s" if unit == "kg/s" else "t/d"
    if uncertainty_kg_s is None or not uncertainty_kg_s > 0:
        return f"{value:.3g} {shown}".replace("-", "−")
    sigma = uncertainty_kg_s * factor
    digits = next((n for n in range(4) if float(f"{sigma:.{n}f}") * 10**n >= 10), 4)
    if digits == 0 and sigma >= 100:
        step = 10 ** (len(f"{sigma:.0f}") - 2)
        value, sigma = round(value / step) * step, round(sigma / step) * step
    return f"{value:.{digits}f} ± {sigma:.{digits}f} {shown}".replace("-", "−")


def _old(newest: datetime, settings: PublicPage) -> str:
    return (
        f'<p class="old" id="old" role="status" data-newest="{format_utc(newest)}" '
        f'data-limit="{settings.old_after_min:g}" hidden></p>'
    )


def _facts(content: PageContent, settings: PublicPage) -> str:
    facts = []
    if content.rate is None:
        facts.append("<div class=fact><b>no value</b><span>SO<sub>2</sub> emission rate</span></div>")
    else:
        rate = content.rate
        words = rate_words(rate.rate_kg_s, rate.uncertainty_kg_s, settings.unit)
        facts.append(
            f"<div class=fact><b>{escape(words)}</b><span>SO<sub>2</sub> emission rate, {_time(rate.time)}; "
            f"{escape(rate.how)}, 1 σ</span></div>"
        )
    if content.mean_kg_s is not None:
        words = rate_words(content.mean_kg_s, None, settings.unit)
        facts.append(
            f"<div class=fact><b>{escape(words)}</b><span>mean of the last 24 hours, of which "
            f"{content.mean_hours:.1f} h were measured</span></div>"
        )
    return f'<div class="facts">{"".join(facts)}</div>'


def _figure(title: str, name: str, size: tuple[int, int] | None, time: datetime | None, words: str) -> str:
    if size is None:
        return ""
    # The time in the address: browsers keep pictures.
    mark = "" if time is None else f"?{time:%Y%m%dT%H%M%S}"
    return (
        f'<h2>{escape(title)}</h2><figure><div><img src="{name}{mark}" width="{size[0]}" height="{size[1]}" '
        f'alt="{escape(words, quote=True)}"></div><figcaption>{escape(words)}</figcaption></figure>'
    )


def _image_words(content: PageContent) -> str:
    if content.image_time is None:
        return "The latest image."
    return f"SO2 seen by the camera on {content.image_time:%Y-%m-%d} at {content.image_time:%H:%M:%S} UTC."


def _footer(content: PageContent, settings: PublicPage) -> str:
    lines = []
    if settings.note:
        lines.append(escape(settings.note))
    if settings.contact:
        lines.append(f"Contact: {escape(settings.contact)}")
    lines.append(
        "Automatic results, not reviewed. Uncertainties are 1 σ. "
        f"Made by so2cam {escape(content.version)} on {_time(content.made)}."
    )
    return f"<footer>{''.join(f'<p>{line}</p>' for line in lines)}</footer>"


def _time(time: datetime) -> str:
    return f'<time datetime="{format_utc(time)}">{time:%Y-%m-%d %H:%M} UTC</time>'
