"""Every status and every flag has its own text, and the numbers of the product format stay what they are."""

from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag


def test_every_status_has_a_text_of_its_own() -> None:
    assert set(STATUS_TEXT) == set(EmissionStatus)
    assert all(text.strip() for text in STATUS_TEXT.values())
    assert len(set(STATUS_TEXT.values())) == len(EmissionStatus)


def test_every_flag_has_a_text_of_its_own() -> None:
    flags = [flag for flag in QualityFlag if flag is not QualityFlag.NONE]
    assert set(QUALITY_TEXT) == set(flags)
    assert len(set(QUALITY_TEXT.values())) == len(flags)
    assert not set(QUALITY_TEXT.values()) & set(STATUS_TEXT.values())


def test_flags_are_single_bits() -> None:
    values = [flag.value for flag in QUALITY_TEXT]
    assert all(value.bit_count() == 1 for value in values)
    assert sum(values) == 2 ** len(values) - 1


def test_numbers_of_the_product_format() -> None:
    expected = {
        "OK": 0,
        "NO_DARK": 1,
        "NO_SKY": 2,
        "LINE_NOT_COVERED": 3,
        "LINE_MASKED": 4,
        "NO_NEXT_PAIR": 5,
        "GAP_TOO_LONG": 6,
        "FLOW_UNRELIABLE": 7,
        "NO_SECOND_LINE": 8,
        "TOO_FEW_SAMPLES": 9,
        "NO_CORRELATION": 10,
        "LAG_NOT_RESOLVED": 11,
        "PART_MISSING": 12,
        "TIME_NOT_INCREASING": 13,
        "NO_PLUME": 14,
    }
    assert {name: int(EmissionStatus[name]) for name in expected} == expected
