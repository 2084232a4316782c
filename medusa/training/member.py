"""One ensemble member, put together from its config."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from medusa.corpora.labels import PARTITIONS, Labels, read_labels
from medusa.errors import UserError
from medusa.features.store import FeatureStore
from medusa.files import sha256
from medusa.models.deepser import DeepSER
from medusa.training.data import Features
from medusa.training.folds import OUT_OF_FOLD, fold_labels, out_of_fold
from medusa.training.loop import Recipe, Stage

if TYPE_CHECKING:
    from medusa.config.schema import DeepSERConfig


def open_stores(config: DeepSERConfig) -> list[FeatureStore]:
    """The member's feature stores, in the order of its modalities.

    Raises:
        UserError: a store is missing or incomplete.
    """
    return [FeatureStore(config.paths.features / name) for name in config.features]


class Outputs(Protocol):
    """What a network is to say: `Labels`, or what a bundle keeps of them."""

    @property
    def emotions(self) -> Sequence[str]: ...
    @property
    def attributes(self) -> Sequence[str]: ...


def build_model(config: DeepSERConfig, labels: Outputs, stores: Sequence[Features], device: torch.device) -> DeepSER:
    """A freshly initialised network; its weights depend on the seed alone (input statistics: `feature_statistics`)."""
    torch.manual_seed(config.seed)
    settings = config.model
    model = DeepSER(
        [store.dim for store in stores],
        hidden_dim=settings.hidden_dim,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        feedforward_dim=settings.feedforward_dim,
        dropout=settings.dropout,
        fusion=settings.fusion,
        num_emotions=len(labels.emotions),
        # Without the attribute term nothing would train that head (Table 2, "w/o multitask").
        num_attributes=len(labels.attributes) if config.loss.attributes > 0 else 0,
        standardize=settings.standardize,
    )
    return model.to(device)


def feature_statistics(store: FeatureStore, ids: list[str], most: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation over the frames of at most `most` utterances, spread evenly over `ids`; (D,) each."""
    total, squares, frames = np.zeros(store.dim), np.zeros(store.dim), 0
    for utterance in ids[:: math.ceil(len(ids) / most)]:
        values = store.read(utterance).astype(np.float64)
        total, squares, frames = total + values.sum(axis=0), squares + (values**2).sum(axis=0), frames + len(values)
    mean = total / frames
    return torch.from_numpy(mean), torch.from_numpy(np.sqrt(np.maximum(squares / frames - mean**2, 0)))


def recipe(config: DeepSERConfig) -> Recipe:
    """Stage 1, then Stage 2 on balanced subsets; `training.stage2: false` spends the same epochs in Stage 1."""
    training = config.training
    first = min(training.stage1_epochs, training.max_epochs) if training.stage2 else training.max_epochs
    return Recipe(
        stages=[
            Stage(1, first, training.learning_rate, balanced=False),
            Stage(2, training.max_epochs - first, training.stage2_learning_rate, balanced=True),
        ],
        seed=config.seed,
        batch_size=training.batch_size,
        weight_decay=training.weight_decay,
        loss=config.loss,
        mixup=config.mixup,
        accumulation_steps=training.accumulation_steps,
        bf16=config.compute.precision == "bf16",
    )


def identity(config: DeepSERConfig, stores: list[FeatureStore]) -> dict[str, Any]:
    """What makes two runs the same run: settings, labels and features, but not where it computes or where files lie."""
    left_out: Any = {"paths": True, "compute": {"device", "threads"}}
    if config.crossfit.fold is None:
        left_out["crossfit"] = True
    return {
        **config.model_dump(mode="json", exclude=left_out),
        "labels_sha256": sha256(config.paths.labels),
        "stores": {store.name: store.manifest for store in stores},
    }


def read_member_labels(config: DeepSERConfig) -> Labels:
    """The corpus as the member sees it; see `fold_labels`."""
    return fold_labels(read_labels(config.paths.labels), config.crossfit)


def predicted_rows(config: DeepSERConfig) -> dict[str, Labels]:
    """Name of the posterior file → the rows that the member is to predict; none of them is empty.

    The corpus's partitions; for the model of one fold its own training rows give way to those it never saw.
    """
    labels = read_labels(config.paths.labels)
    rows = {name: labels.partition(name) for name in PARTITIONS if labels.has(name)}
    if config.crossfit.fold is not None:
        del rows["train"]
        rows = {OUT_OF_FOLD: out_of_fold(labels, config.crossfit), **rows}
    return rows


def training_rows(config: DeepSERConfig, labels: Labels) -> Labels:
    """The partition "train".

    Raises:
        UserError: it is empty, or lacks a class that Stage 2 would draw from.
    """
    if config.training.stage2:
        return require_every_class(labels, "train", "balanced training (Stage 2)")
    if not labels.has("train"):
        raise UserError(f"{labels.source}: no row in partition train; prepare the corpus with a training split")
    return labels.partition("train")


def require_every_class(labels: Labels, partition: str, purpose: str) -> Labels:
    """The rows of a partition, refused if a class has none among those with consensus.

    Raises:
        UserError: naming file, partition and class.
    """
    rows = labels.partition(partition)
    if not len(rows):
        raise UserError(
            f"{labels.source}: no row in partition {partition}, but {purpose} needs some; prepare it with a split"
        )
    present = set(rows.class_indices().tolist())
    absent = [emotion for index, emotion in enumerate(labels.emotions) if index not in present]
    if absent:
        raise UserError(
            f"{labels.source}: partition {partition}: no rows of class {absent[0]}, but {purpose} needs every class; "
            "prepare the corpus with another split, or without that class"
        )
    return rows
