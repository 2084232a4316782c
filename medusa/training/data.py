"""Rows with their targets, and the batches made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

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
        return Batch(self.rows, _to(self.inputs, device), self.targets.to(device), self.attributes.to(device))


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        # Lengths, the only whole numbers, stay: the model lays out its frames on the CPU (`medusa.models.packing`).
        return value.to(device, non_blocking=True) if value.is_floating_point() else value
    return type(value)(_to(item, device) for item in value)


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
    """Rows that can be asked for in batches: feature sequences (Stages 1, 2) or stacked posteriors (Stage 3)."""

    targets: Targets

    def batch(self, rows: np.ndarray) -> Batch:
        """The given rows, in the given order."""
        ...


class Features(Protocol):
    """Features of one backbone by utterance id: a `FeatureStore`, or the like in memory."""

    path: Path
    """For messages."""
    dim: int

    def __contains__(self, utterance: object) -> bool: ...

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
                    "extract them with the same labels file"
                )

    @property
    def input_dims(self) -> list[int]:
        """Feature size of each modality."""
        return [store.dim for store in self.stores]

    def batch(self, rows: np.ndarray) -> Batch:
        """Inputs: per modality (B, T, D) float32, zero-padded to the longest row, and lengths (B,)."""
        ids = [self.targets.ids[row] for row in rows]
        padded = [_pad([store.read(utterance) for utterance in ids]) for store in self.stores]
        return _batch(self.targets, rows, ([values for values, _ in padded], [lengths for _, lengths in padded]))


class StackedExamples:
    """Stage 3's rows: all members' posteriors and attributes side by side, (rows, inputs) float32."""

    def __init__(self, targets: Targets, inputs: np.ndarray) -> None:
        self.targets, self.inputs = targets, inputs

    def batch(self, rows: np.ndarray) -> Batch:
        """Inputs: (B, inputs) float32."""
        return _batch(self.targets, rows, (torch.from_numpy(self.inputs[rows]),))


def _batch(targets: Targets, rows: np.ndarray, inputs: tuple[Any, ...]) -> Batch:
    return Batch(
        rows, inputs, torch.from_numpy(targets.probabilities[rows]), torch.from_numpy(targets.attributes[rows])
    )


def _pad(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """B arrays (T_i, D) → (B, max T, D) float32 and lengths (B,)."""
    lengths = [len(sequence) for sequence in sequences]
    values = torch.zeros(len(sequences), max(lengths), sequences[0].shape[1])
    for row, sequence in zip(values, sequences, strict=True):
        row[: len(sequence)] = torch.from_numpy(sequence)
    return values, torch.tensor(lengths)


class _PartsAt(Dataset[list[Batch]]):
    """Lets DataLoader workers fetch whole batches: an "item" is a list of arrays of row numbers."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, parts: list[np.ndarray]) -> list[Batch]:
        return [self.examples.batch(rows) for rows in parts]


def batches(
    examples: Examples, order: np.ndarray, batch_size: int, accumulation_steps: int = 1, workers: int = 0
) -> Iterator[list[Batch]]:
    """Cut `order` into batches of `batch_size` rows (the last may be smaller), each in `accumulation_steps` parts."""
    whole = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    parts = [np.array_split(rows, min(accumulation_steps, len(rows))) for rows in whole]
    # `list` keeps what it gets: the default would turn the row numbers into tensors.
    loader = DataLoader(_PartsAt(examples), batch_size=None, sampler=parts, num_workers=workers, collate_fn=list)
    yield from loader
