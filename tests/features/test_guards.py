"""Refusals at their thresholds, and the compression ratio against sizes worked out from the format."""

import pytest

from medusa.config.schema import Guards
from medusa.features.guards import Heard, compression_ratio, refused_by

LOOP = "thank you " * 40


def test_short_text_is_stored_behind_zlibs_eleven_bytes_of_framing() -> None:
    # a block header of 3 bits, three literals of 8, an end of 7 bits: 5 bytes; zlib adds 2 before and 4 after
    assert compression_ratio("abc") == pytest.approx(3 / 11)


def test_the_ratio_counts_bytes_not_characters() -> None:
    # six bytes above 143, hence literals of 9 bits: 3 + 6 * 9 + 7 bits are 8 bytes
    assert compression_ratio("ßäö") == pytest.approx(6 / 14)
    assert compression_ratio(LOOP) > 10


@pytest.mark.parametrize(
    ("guards", "heard", "expected"),
    [
        ({}, Heard(LOOP, 1.0, -9.0), None),
        ({"no_speech": 0.6}, Heard("you", 0.61), "no_speech"),
        ({"no_speech": 0.6}, Heard("you", 0.6), None),
        ({"no_speech": 0.6, "log_probability": -1.0}, Heard("you", 0.9, -0.9), None),
        ({"no_speech": 0.6, "log_probability": -1.0}, Heard("you", 0.9, -1.0), "no_speech"),
        ({"compression_ratio": 2.4}, Heard(LOOP), "compression_ratio"),
        ({"compression_ratio": 2.4}, Heard("kids are talking by the door"), None),
        ({"no_speech": 0.6, "compression_ratio": 2.4}, Heard(LOOP, 0.9), "no_speech"),
        ({"no_speech": 0.6, "compression_ratio": 2.4}, Heard(LOOP, 0.1), "compression_ratio"),
        ({"no_speech": 0.0, "compression_ratio": 0.1}, Heard("  ", 1.0), None),
    ],
)
def test_guards_refuse_above_their_thresholds_only(
    guards: dict[str, float], heard: Heard, expected: str | None
) -> None:
    assert refused_by(heard, Guards.model_validate(guards)) == expected
