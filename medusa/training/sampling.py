"""Which rows an epoch visits, in which batches: a function of (seed, epoch) alone, so a resumed run repeats nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal["order", "balance", "mixup", "batches"]
_STREAMS: dict[Purpose, int] = {"order": 1, "balance": 2, "mixup": 3, "batches": 4}


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


POOL = 100
"""Batches whose rows are sorted by length together, at most."""
POOLS = 8
"""Pools of an epoch, at least: in a small corpus too, a row meets others in every epoch."""
STRIP = 3
"""Batches of a pool, alike in their longest modality, whose rows are sorted by their shortest one."""


def length_batches(rows: np.ndarray, lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Cut an epoch's rows into batches of like length, in random order.

    Stretches of the random order are sorted by the longest modality (audio), within strips of them by the shortest
    (text), and cut; so attention computes little padding in either, and batches are still other ones in every epoch.

    Args:
        rows: In random order.
        lengths: (rows of the corpus, modalities), by row number.
        batch_size: Rows of a batch; what is left over makes a smaller one.
        seed: Of the run.
        epoch: Counted over the whole run.

    Returns:
        Row numbers of each batch, together `rows`.
    """
    num_batches = -(-len(rows) // batch_size)
    pool = batch_size * min(POOL, max(1, num_batches // POOLS))
    frames = lengths.sum(axis=0)
    pools = _sorted_in_parts(rows, pool, lengths[:, frames.argmax()])
    strips = [_sorted_in_parts(own, STRIP * batch_size, lengths[:, frames.argmin()]) for own in pools]
    cut = _parts(np.concatenate([strip for own in strips for strip in own]), batch_size)
    return [cut[number] for number in generator(seed, epoch, "batches").permutation(len(cut))]


def _parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _sorted_in_parts(rows: np.ndarray, size: int, lengths: np.ndarray) -> list[np.ndarray]:
    return [part[np.argsort(lengths[part], kind="stable")] for part in _parts(rows, size)]
