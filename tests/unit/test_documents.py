"""Documents that are made from the code, or speak of it, are up to date."""

import math
import re
import subprocess
import sys
from pathlib import Path

from so2cam.core.status import STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.core.uncertainty import RANDOM_TERMS, Term
from so2cam.formats.products import VARIABLES
from so2cam.pipeline.quality import MAXIMUM_SKY_GAP_S
from so2cam.pipeline.uncorrected_dilution import LEAST_LOSS
from so2cam.science.imaging.quality import (
    ALONG_VIEW_RAD,
    BORDER_PX,
    CLOUD_CHANGE,
    CLOUD_JUMP,
    CLOUD_UNEVENNESS,
    END_SHARE,
    END_SIGMA,
    STALE_SHARE,
    SUN_MARGIN_RAD,
)

ROOT = Path(__file__).resolve().parents[2]


def test_page_of_the_site_file_is_what_its_tool_writes() -> None:
    tool = ROOT / "tools" / "document_site_file.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], check=False)
    assert done.returncode == 0, "run: python tools/document_site_file.py"


def test_page_of_statuses_names_all_of_them() -> None:
    page = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    for status in EmissionStatus:
        assert f"`{status.name.lower()}`" in page
        assert STATUS_TEXT[status]
    for flag in QualityFlag:
        if flag:
            assert f"| {flag.value} | `{flag.name.lower()}`" in page  # type: ignore[union-attr]


def test_page_of_uncertainty_has_every_term_in_its_part() -> None:
    page = (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
    random, systematic = page.split("## Random terms")[1].split("## Systematic terms")
    for term in Term:
        here, elsewhere = (random, systematic) if term in RANDOM_TERMS else (systematic, random)
        assert f"| `{term.value}` |" in here
        assert f"| `{term.value}` |" not in elsewhere


def test_page_of_products_names_every_variable() -> None:
    page = (ROOT / "docs" / "products.md").read_text(encoding="utf-8")
    for variable in VARIABLES:
        stem = re.sub("(_random|_systematic)?_uncertainty$|(?<=total_emission_rate)_status$", "", variable.name)
        assert f"`{stem}`" in page, variable.name


def test_page_of_statuses_gives_the_thresholds_in_force() -> None:
    page = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if re.match(r"\| \d+ \| `", line)}
    for flag, numbers in (
        ("cloud_in_background", (CLOUD_UNEVENNESS, CLOUD_CHANGE, CLOUD_JUMP, MAXIMUM_SKY_GAP_S)),
        ("plume_leaves_image", (BORDER_PX, 100 * END_SHARE, END_SIGMA)),
        ("plume_toward_camera", (math.degrees(ALONG_VIEW_RAD),)),
        ("sun_in_view", (math.degrees(SUN_MARGIN_RAD),)),
        ("stale_frame", (100 * STALE_SHARE,)),
        ("dilution_uncorrected", (100 * LEAST_LOSS,)),
    ):
        for number in numbers:
            assert re.search(rf"(?<![\d.]){number:g}(?![\d.]\d)", rows[flag]), (flag, number)


def test_every_document_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in navigation
