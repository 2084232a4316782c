"""How figures are written in the cells of a table."""

from __future__ import annotations

import numpy as np

from medusa.evaluation.page import NO_VALUE
from medusa.evaluation.scores import Estimate

F1_NOTE = "F1: class-balanced macro-F1, every true class with the same weight. All scores are over rows with consensus."


def decimals(value: object, deviation: object = None) -> str:
    """`0.553`, or `0.553 ± 0.012`."""
    assert isinstance(value, float)
    spread = "" if not isinstance(deviation, float) or np.isnan(deviation) else f" ± {deviation:.3f}"
    return f"{value:.3f}{spread}"


def known(value: float | None) -> str:
    """`0.553`, or a dash where there is no such figure."""
    return NO_VALUE if value is None else decimals(value)


def signed(value: float, digits: int = 3) -> str:
    """`+0.012` or `−0.012`, with a true minus sign; `0.000` has none."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(text[1:]) == 0 else text


def known_signed(value: float | None, digits: int = 3) -> str:
    """As `signed`, or a dash where there is no such figure."""
    return NO_VALUE if value is None else signed(value, digits)


def interval_text(one: Estimate) -> str:
    """` (−0.010 … +0.034)`, or nothing."""
    return "" if one.interval is None else f" ({' … '.join(signed(end) for end in one.interval)})"


def score_text(one: Estimate, deviation: object = None) -> str:
    """`0.553 (0.510 … 0.590)`, or `0.553 ± 0.012 (0.510 … 0.590)`."""
    ends = "" if one.interval is None else f" ({' … '.join(map(decimals, one.interval))})"
    return decimals(one.value, deviation) + ends


def bound(one: Estimate, side: int) -> float | None:
    """Lower (0) or upper (1) end of the interval."""
    return None if one.interval is None else one.interval[side]


def verdict(one: Estimate) -> str:
    """What the interval allows to say."""
    if one.interval is None:
        return "too few known speakers to tell"
    low, high = (round(end, 9) for end in one.interval)  # a mean of equal scores may miss them by a last digit
    if low == high == 0:
        return "no difference"
    return "above 0" if low > 0 else "below 0" if high < 0 else "not told apart from 0"
