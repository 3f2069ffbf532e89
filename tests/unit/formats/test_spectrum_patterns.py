"""Patterns of names: what they read, and what they refuse, with the reason."""

from datetime import UTC, datetime

import pytest

from so2cam.formats.patterns import compile_pattern

ETNA = "EC2_{any}_1R02_{time:%Y%m%d%H%M%S%f}_{kind}_Etna.fts"


def test_a_name_with_a_fraction_straight_after_the_seconds() -> None:
    pattern = compile_pattern(ETNA)
    parsed = pattern.parse("EC2_1106307_1R02_2015091607105839_F01_Etna.fts")
    assert parsed is not None
    assert parsed.time == datetime(2015, 9, 16, 7, 10, 58, 390000, UTC)
    assert parsed.time_resolution_s == 0.01
    assert parsed.kind == "F01"
    assert parsed.band is None
    assert parsed.fields == {"kind": "F01"}
    assert pattern.fields == ("any", "time", "kind")
    assert pattern.suffix == ".fts"


def test_numbers_come_in_their_units() -> None:
    pattern = compile_pattern(
        "{time:%Y-%m-%dT%H%M%S}_{band}_{gain}ag_{exposure_us}us_{coadds}x_{cell_ppm_m}ppmm_{integration_ms}ms.png"
    )
    parsed = pattern.parse("2018-03-26T144408_fltrA_1.5ag_99980us_3X_304ppmm_12.5ms.PNG")
    assert parsed is not None
    assert (parsed.band, parsed.gain, parsed.coadds, parsed.cell_ppm_m) == ("fltrA", 1.5, 3, 304.0)
    assert parsed.exposure_s == 0.09998
    assert parsed.integration_time_s == 0.0125
    assert parsed.time_resolution_s == 1.0


@pytest.mark.parametrize(
    ("form", "name", "time", "resolution_s"),
    [
        ("%y%j_%H%M", "15259_0710", datetime(2015, 9, 16, 7, 10, tzinfo=UTC), 60.0),
        ("%d %b %Y %I.%M.%S%p", "16 SEP 2015 12.10.58am", datetime(2015, 9, 16, 0, 10, 58, tzinfo=UTC), 1.0),
        ("%d-%B-%Y %I.%M.%S %p", "16-September-2015 12.10.58 PM", datetime(2015, 9, 16, 12, 10, 58, tzinfo=UTC), 1.0),
        ("%Y%m%dT%H%M%S.%f", "20150916T071058.123456", datetime(2015, 9, 16, 7, 10, 58, 123456, UTC), 1e-6),
        ("%Y%m%d%%%H%M%S", "20150916%071058", datetime(2015, 9, 16, 7, 10, 58, tzinfo=UTC), 1.0),
        ("%y-%m-%d %H:%M", "99-12-31 23:59", datetime(1999, 12, 31, 23, 59, tzinfo=UTC), 60.0),
    ],
)
def test_every_directive(form: str, name: str, time: datetime, resolution_s: float) -> None:
    parsed = compile_pattern(f"{{time:{form}}}.txt").parse(f"{name}.txt")
    assert parsed is not None
    assert parsed.time == time
    assert parsed.time_resolution_s == resolution_s


def test_braces_and_special_characters_stand_for_themselves() -> None:
    pattern = compile_pattern("{{a+}}(1)_{time:%Y%m%d_%H%M%S}{any}")
    assert pattern.suffix == ""
    assert pattern.parse("{a+}(1)_20150916_071058 (copy).txt") is not None
    assert pattern.parse("{aa}(1)_20150916_071058") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("{kind}.txt", "has no time"),
        ("{time}.txt", "needs its form"),
        ("{time:%Y-%m-%d}.txt", "no hour .*, no minute"),
        ("{time:%H%M%S}.txt", "no year"),
        ("{time:%Y%d%H%M}.txt", "no month"),
        ("{time:%Y%m%d%I%M}.txt", "no am or pm"),
        ("{time:%Y%m%d%H%M %p}.txt", "%p beside %H"),
        ("{time:%Y%m%d%H%M%f}.txt", "no seconds"),
        ("{time:%Y%j%d%H%M}.txt", "day of the year"),
        ("{time:%Y%m%d%H%M%Z}.txt", "'%Z'"),
        ("{time:%Y%m%d%H%M%}.txt", "'%'"),
        ("{time:%Y%y%m%d%H%M}.txt", "twice"),
        ("{time:%Y%m%d%H%M%S%f0}.txt", "behind %f"),
        ("{time:%Y%m%d%H%M%S%f}{gain}.txt", "cannot be told apart"),
        ("{time:%Y%m%d%H%M}_{any}{kind}.txt", "cannot be told apart"),
        ("{time:%Y%m%d%H%M}_{kind}{gain}.txt", "cannot be told apart"),
        ("{time:%Y%m%d%H%M}_{gain}{kind}.txt", "cannot be told apart"),
        ("{time:%Y%m%d%H%M}_{gain}0.txt", "cannot be told apart"),
        ("{time:%Y%m%d%H%M}_{time:%Y%m%d%H%M}.txt", "twice"),
        ("{time:%Y%m%d%H%M}_{exposure_us}_{exposure_s}.txt", "twice, in two units"),
        ("{time:%Y%m%d%H%M}_{filter}.txt", "unknown field"),
        ("{time:%Y%m%d%H%M}_{gain:3}.txt", "nothing after a colon"),
        ("{time:%Y%m%d%H%M}_{kind.txt", "single '{'"),
        ("{time:%Y%m%d%H%M}_kind}.txt", "single '}'"),
        ("{time:%Y%m%d%H%M}" + "_{any}" * 5, "more than 4"),
        ("{any}/{time:%Y%m%d%H%M}.txt", "without folders"),
    ],
)
def test_bad_templates_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_pattern(text)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x.txt", "does not begin with '{time:%Y-%m-%dT%H%M%S}'"),
        ("2018-01-02T030405_12s_Dark.txt", "at 's_Dark.txt', 'ms_' is expected"),
        ("2018-01-02T030405", "at its end, '_' is expected"),
        ("2018-01-02T030405_12ms_Dark.text", "has no '.txt'"),
        ("2018-01-02T030405_12ms_Dark.txt.bak", "goes on with '.bak' behind"),
        ("2018-13-02T030405_12ms_Dark.txt", "impossible time"),
        ("2018-02-30T030405_12ms_Dark.txt", "impossible time"),
        ("0018-02-20T030405_12ms_Dark.txt", "impossible time"),
        ("2018-01-02T030405_0ms_Dark.txt", "integration time is not above 0"),
        ("2018-01-02T030405_99999999ms_Dark.txt", "integration time is not above 0"),
        ("a" * 300, "more than 255 characters"),
        ("２018-01-02T030405_12ms_Dark.txt", "does not begin"),
    ],
)
def test_names_that_do_not_fit_say_why(name: str, reason: str) -> None:
    pattern = compile_pattern("{time:%Y-%m-%dT%H%M%S}_{integration_ms}ms_{kind}.txt")
    assert pattern.parse(name) is None
    assert reason in pattern.explain(name)


@pytest.mark.parametrize(("part", "word"), [("{gain}g", "gain"), ("{coadds}c", "coadds")])
def test_numbers_out_of_range_do_not_fit(part: str, word: str) -> None:
    pattern = compile_pattern(f"{{time:%Y%m%d%H%M}}_{part}.txt")
    assert pattern.parse(f"201801020304_1{part[-1]}.txt") is not None
    assert pattern.parse(f"201801020304_0{part[-1]}.txt") is None
    assert word in pattern.explain(f"201801020304_0{part[-1]}.txt")
    assert pattern.explain(f"201801020304_1{part[-1]}.txt") == ""


@pytest.mark.parametrize("form", ["%y%j%H%M", "%d%m%Y%I%M%p"])
@pytest.mark.parametrize("name", ["153660000", "150000000", "160920151399am", "160920150010pm"])
def test_impossible_days_and_hours(form: str, name: str) -> None:
    assert compile_pattern(f"{{time:{form}}}").parse(name) is None
