"""How long the recordings of a corpus are, from their headers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from medusa.audio import duration
from medusa.errors import UserError
from medusa.files import inside

READERS = 8
"""Threads: a header is little work and, on a disk far away, much waiting."""


@dataclass(frozen=True, eq=False)
class Durations:
    """Lengths of recordings in the order asked for.

    Attributes:
        seconds: (rows,); NaN where a recording is missing or cannot be read.
        missing: Names without a file.
        unreadable: Names of files that hold no audio, or that a link takes out of the folder.
    """

    seconds: npt.NDArray[np.float64]
    missing: Sequence[str]
    unreadable: Sequence[str]


def read_durations(audio: Path, names: Sequence[str]) -> Durations:
    """Read the header of `audio / name` for every name; what cannot be read is counted, not fatal."""

    def read(name: str) -> float | None:
        try:
            return duration(inside(audio, name))
        except UserError:
            return None

    with ThreadPoolExecutor(READERS) as pool:
        found = list(tqdm(pool.map(read, names), total=len(names), desc="durations", unit=" clips", delay=1))
    failed = [name for name, seconds in zip(names, found, strict=True) if seconds is None]
    missing = [name for name in failed if not (audio / name).is_file()]
    gone = set(missing)
    unreadable = [name for name in failed if name not in gone]
    return Durations(np.array([np.nan if one is None else one for one in found], dtype=np.float64), missing, unreadable)
