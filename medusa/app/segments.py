"""Long recordings, cut into pieces as long as those the ensemble was trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from medusa.audio import SAMPLE_RATE
from medusa.features.windows import even_windows

LONGEST = 12.0
"""Seconds up to which a recording is taken as it is; MSP-Podcast's clips last 2.75 to 11."""

WINDOW = 6.0
"""Seconds of a piece at most: MSP-Podcast's mean is 5.6."""


class Segment(NamedTuple):
    """One piece of a recording."""

    start: float
    """Seconds from the beginning."""
    samples: np.ndarray
    """At 16 kHz."""

    @property
    def end(self) -> float:
        """Seconds from the beginning."""
        return self.start + len(self.samples) / SAMPLE_RATE


Segmenter = Callable[[np.ndarray], list[Segment]]
"""Samples at 16 kHz → the pieces that are judged, in order; at least one."""


def windows(samples: np.ndarray) -> list[Segment]:
    """As few pieces of at most `WINDOW` seconds as hold the recording, equally long; a short one is one piece."""
    if len(samples) <= LONGEST * SAMPLE_RATE:
        return [Segment(0.0, samples)]
    segments, start = [], 0
    for piece in even_windows(samples, round(WINDOW * SAMPLE_RATE)):
        segments.append(Segment(start / SAMPLE_RATE, piece))
        start += len(piece)
    return segments
