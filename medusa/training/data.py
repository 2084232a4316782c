"""Rows with their targets, and the batches made of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from medusa.corpora.labels import Labels
from medusa.errors import UserError

TargetKind = Literal["soft", "soft_consensus", "one_hot", "argmax"]


class Batch(NamedTuple):
    """One batch; `inputs` are the arguments of the model's `forward` and `encode`."""

    rows: np.ndarray
    inputs: tuple[Any, ...]
    targets: Tensor
    """(B, C) float32, a probability vector per row, times its weight."""
    attributes: Tensor
    """(B, A) float32, corpus scale 1-7."""

    def to(self, device: torch.device) -> Batch:
        """The same batch with its values on `device`; lengths stay on the CPU."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same batch in memory that a GPU fetches from while it computes."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(self.rows, _each(self.inputs, change), change(self.targets), change(self.attributes))


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        # Lengths, the only whole numbers, stay: the model lays out its frames on the CPU (`medusa.models.packing`).
        return change(value) if value.is_floating_point() else value
    return type(value)(_each(item, change) for item in value)


@dataclass(frozen=True)
class Targets:
    """What the rows of a training or evaluation set should come out as."""

    ids: list[str]
    probabilities: np.ndarray
    """(rows, C) float32; rows sum to 1, or to their weight."""
    attributes: np.ndarray
    """(rows, A) float32."""
    classes: np.ndarray
    """(rows,) int64, -1 for rows without consensus (X, O)."""

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, rows: np.ndarray) -> Targets:
        """The given rows, in the given order."""
        ids = [self.ids[row] for row in rows]
        return Targets(ids, self.probabilities[rows], self.attributes[rows], self.classes[rows])


def make_targets(labels: Labels, kind: TargetKind = "soft", weight_by_kept_votes: bool = False) -> Targets:
    """Targets of the labelled rows (design: `targets`).

    `soft`: vote shares of all rows; `soft_consensus`: vote shares, X and O rows left out; `one_hot`: the
    consensus class as a probability vector, X and O rows left out; `argmax`: the most voted class of
    every row (the first of equals).

    `weight_by_kept_votes` multiplies a row's vector by the share of its votes that it counts. Cross-entropy is linear
    in the vector, so that weights the row, and class frequencies count the same votes; attributes, for which there is
    no Other, keep their weight.

    Raises:
        UserError: weighted, but the corpus does not say how many votes were kept.
    """
    probabilities, classes = labels.targets(), labels.class_indices()
    keep = classes >= 0 if kind in ("soft_consensus", "one_hot") else np.ones(len(labels), dtype=bool)
    if kind == "one_hot":
        probabilities = np.eye(len(labels.emotions))[classes]  # the -1 of X and O picks a row that is left out below
    elif kind == "argmax":
        probabilities = np.eye(len(labels.emotions))[probabilities.argmax(axis=1)]
    if weight_by_kept_votes:
        probabilities = probabilities * labels.kept_votes()[:, None]
    everything = Targets(
        labels.ids, probabilities.astype(np.float32), labels.attribute_values().astype(np.float32), classes
    )
    return everything.subset(np.flatnonzero(keep))


class Examples(Protocol):
    """Rows that can be asked for in batches."""

    targets: Targets
    lengths: np.ndarray
    """(rows, modalities) int64, frames; rows of like length are put into one batch."""

    def batch(self, rows: np.ndarray) -> Batch:
        """The given rows, in the given order."""
        ...


class Features(Protocol):
    """Features of one backbone by utterance id: a `FeatureStore`, or the like in memory."""

    path: Path
    """For messages."""
    dim: int

    def __contains__(self, utterance: object) -> bool: ...

    def frames(self, utterance: str) -> int:
        """How many, without reading them."""
        ...

    def read(self, utterance: str) -> np.ndarray:
        """Shape = (frames, dim)."""
        ...


class FeatureExamples:
    """Feature sequences of one or more modalities, read from their stores when asked for.

    Raises:
        UserError: an utterance has no features; names it and the store.
    """

    def __init__(self, targets: Targets, stores: Sequence[Features]) -> None:
        self.targets, self.stores = targets, stores
        for store in stores:
            missing = [utterance for utterance in targets.ids if utterance not in store]
            if missing:
                raise UserError(
                    f"{store.path}: no features for {missing[0]!r} ({len(missing)} of {len(targets)} utterances); "
                    "extract them with the same labels file; what failures.csv there lists mend and extract again, or "
                    "train without it: python -m medusa leave-out"
                )
        frames = [[store.frames(utterance) for utterance in targets.ids] for store in stores]
        self.lengths: np.ndarray = np.array(frames, dtype=np.int64).T

    def batch(self, rows: np.ndarray) -> Batch:
        """Inputs: per modality the frames of all rows, one row after the other, (all frames, D), and lengths (B,)."""
        ids = [self.targets.ids[row] for row in rows]
        frames, lengths = [], []
        for store in self.stores:
            sequences = [store.read(utterance) for utterance in ids]
            frames.append(torch.from_numpy(np.concatenate(sequences)))
            lengths.append(torch.tensor([len(sequence) for sequence in sequences]))
        probabilities, attributes = self.targets.probabilities[rows], self.targets.attributes[rows]
        return Batch(rows, (frames, lengths), torch.from_numpy(probabilities), torch.from_numpy(attributes))


READERS = 4
"""Threads that fetch batches while the model computes; reading and copying let go of the interpreter."""
AHEAD = 6
"""Batches that are fetched before they are asked for, at most."""


def batches(
    examples: Examples, rows_of: Sequence[np.ndarray], accumulation_steps: int = 1, pin: bool = False
) -> Generator[list[Batch], None, None]:
    """The batches of the given rows, each in `accumulation_steps` parts, in order, read ahead by a few threads.

    Args:
        examples: Where rows come from.
        rows_of: The rows of each batch.
        accumulation_steps: Parts of a batch; one that has fewer rows gets as many parts as rows.
        pin: For a GPU (`Batch.pinned`).

    Raises:
        UserError: of reading, when its batch is asked for.
    """

    def fetch(rows: np.ndarray) -> list[Batch]:
        parts = [examples.batch(part) for part in np.array_split(rows, min(accumulation_steps, len(rows)))]
        return [part.pinned() for part in parts] if pin else parts

    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read-ahead")
    try:
        coming = iter(rows_of)
        waiting: deque[Future[list[Batch]]] = deque(pool.submit(fetch, rows) for rows in islice(coming, AHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(fetch, rows) for rows in islice(coming, 1))
    finally:
        pool.shutdown(cancel_futures=True)
