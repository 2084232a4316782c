"""Clips longer than a model can take, cut into windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

Value = TypeVar("Value")


def full_windows(samples: np.ndarray, length: int) -> list[np.ndarray]:
    """Windows of `length` samples; the last holds what is left."""
    return [samples[start : start + length] for start in range(0, len(samples), length)]


def even_windows(samples: np.ndarray, length: int) -> list[np.ndarray]:
    """As few windows of at most `length` samples as hold the clip, all equally long (to a sample)."""
    return np.array_split(samples, -(-len(samples) // length))


def by_window(
    clips: Sequence[list[np.ndarray]], batch_size: int, compute: Callable[[list[np.ndarray]], Iterable[Value]]
) -> list[list[Value]]:
    """Compute the windows of all clips in batches.

    Args:
        clips: The windows of each clip.
        batch_size: Windows in a batch.
        compute: A batch of windows → their values.

    Returns:
        The values of each clip's windows.
    """
    flat = [window for windows in clips for window in windows]
    values = iter(
        [value for start in range(0, len(flat), batch_size) for value in compute(flat[start : start + batch_size])]
    )
    return [[next(values) for _ in windows] for windows in clips]
