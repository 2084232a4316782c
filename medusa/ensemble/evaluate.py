"""Every way of combining the members, side by side (paper, Table 3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch

from medusa.corpora.labels import Labels
from medusa.ensemble.controls import Controls
from medusa.ensemble.posteriors import Stack
from medusa.ensemble.stacking import build_metaclassifier
from medusa.ensemble.together import predict_together
from medusa.ensemble.voting import majority_vote, soft_vote
from medusa.metrics import accuracy, balanced_macro_f1, macro_f1
from medusa.training.checkpoint import load_weights

if TYPE_CHECKING:
    from medusa.config.schema import MetaConfig


TECHNIQUES = {
    "majority": "majority vote",
    "soft": "soft vote",
    "bias": "soft vote + bias per class",
    "logistic": "logistic regression",
    "single": "single meta-classifier",
    "soup": "soup",
}
"""Ways of combining the members, in the order of a table, and what readers call them; `single` stands for all seeds."""


class Combined(NamedTuple):
    """One technique's predictions for all rows."""

    probabilities: np.ndarray
    """(rows, C): posteriors, or vote shares."""
    attributes: np.ndarray
    """(rows, A): the members' mean, or the meta-classifier's own (votes and controls have none)."""
    predicted: np.ndarray
    """(rows,) class indices."""


def combine(config: MetaConfig, stack: Stack, controls: Controls, device: torch.device) -> dict[str, Combined]:
    """Technique → predictions: `majority`, `soft`, `bias`, `logistic`, `seed-<s>` for every seed, `soup`.

    Raises:
        UserError: a trained meta-classifier is missing or damaged.
    """
    attributes = stack.attributes.mean(axis=1)
    shares, winners = majority_vote(stack.posteriors)
    mean = soft_vote(stack.posteriors)
    combined = {
        "majority": Combined(shares, attributes, winners),
    }
    for technique, probabilities in (
        ("soft", mean),
        ("bias", controls.biased(stack)),
        ("logistic", controls.stacked(stack)),
    ):
        combined[technique] = Combined(probabilities, attributes, probabilities.argmax(axis=1))
    checkpoints = {f"seed-{seed}": Path(f"seed-{seed}") / "best" for seed in config.seeds} | {"soup": Path("soup")}
    inputs = torch.from_numpy(stack.inputs).to(device)
    for technique, checkpoint in checkpoints.items():
        model = build_metaclassifier(config, stack, config.seeds[0], device)
        load_weights(model, config.run_directory / checkpoint)
        ((probabilities, raw),) = predict_together([model], inputs)
        # A linear layer may leave the scale; what is reported stays on it.
        combined[technique] = Combined(probabilities, raw.clip(1, 7), probabilities.argmax(axis=1))
    return combined


def score_techniques(combined: dict[str, Combined], rows: Labels) -> pd.DataFrame:
    """Table 3 for one partition: macro-F1, class-balanced macro-F1 and accuracy over the rows with consensus.

    `single` is the mean over the seeds, `*_sd` its standard deviation over them (empty elsewhere).
    """
    classes = rows.class_indices()
    scored, count = classes >= 0, len(rows.emotions)
    scores = pd.DataFrame(
        {
            technique: {
                name: metric(classes[scored], one.predicted[scored], count)
                for name, metric in (("macro_f1", macro_f1), ("balanced_f1", balanced_macro_f1), ("accuracy", accuracy))
            }
            for technique, one in combined.items()
        }
    ).T
    seeds = scores[[technique.startswith("seed-") for technique in scores.index]]
    scores.loc["single"] = seeds.mean()
    for name in list(scores.columns):
        scores.loc["single", f"{name}_sd"] = seeds[name].std()
    order = [*(name for name in TECHNIQUES if name in scores.index), *seeds.index]
    return scores.loc[order].rename_axis("technique").reset_index()
