"""Which rows an epoch visits, in which order: a function of (seed, epoch) alone, so a resumed run repeats nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal["order", "balance", "mixup"]
_STREAMS: dict[Purpose, int] = {"order": 1, "balance": 2, "mixup": 3}


def generator(seed: int, epoch: int, purpose: Purpose) -> np.random.Generator:
    """An independent stream of draws for each purpose in each epoch of each seed."""
    return np.random.default_rng([seed, epoch, _STREAMS[purpose]])


def shuffled_rows(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """Stage 1: all rows once, in random order; (num_rows,) int64."""
    return generator(seed, epoch, "order").permutation(num_rows)


def balanced_rows(class_indices: np.ndarray, num_classes: int, seed: int, epoch: int) -> np.ndarray:
    """Stages 2 and 3 (paper 3.6): equally many rows of each class, drawn afresh every epoch, shuffled.

    n rows of each class, without replacement, where n is the size of the smallest class; plus n rows
    without consensus (fewer if there are fewer).

    Args:
        class_indices: (rows,) class of each row, -1 for rows without consensus (X, O).
        num_classes: C.
        seed: Of the run.
        epoch: Counted over the whole run.

    Returns:
        Row numbers, between C n and (C + 1) n of them.

    Raises:
        ValueError: a class has no rows; the message is its index.
    """
    pools = [np.flatnonzero(class_indices == index) for index in range(num_classes)]
    smallest = min(range(num_classes), key=lambda index: len(pools[index]))
    n = len(pools[smallest])
    if n == 0:
        raise ValueError(smallest)
    draw = generator(seed, epoch, "balance")
    no_consensus = np.flatnonzero(class_indices == -1)
    chosen = [draw.choice(pool, min(n, len(pool)), replace=False) for pool in [*pools, no_consensus]]
    return draw.permutation(np.concatenate(chosen))
