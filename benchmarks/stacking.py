"""Stages 3 and 4 at the paper's size against Stage 3 fed from Python lists, one seed after the other.

    python -m benchmarks.stacking                          # about 3 minutes on two CPU cores
    python -m benchmarks.stacking --device cuda

84,600 rows to fit on and 20,000 to select on, classes as unequal as MSP-Podcast's, 14 members, 6 seeds, 50 epochs
without early stopping; balanced draws, selection after every epoch and every checkpoint included. The naive way is
timed over one epoch of one seed and multiplied. Writes benchmarks/results/<device>/stacking.json.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, Dataset

from benchmarks.record import Record, add_device, growth, seconds_of
from medusa.config.schema import MetaConfig, MetaTraining, RunPaths
from medusa.corpora.labels import Labels, labels_from_table
from medusa.ensemble.controls import fit_controls
from medusa.ensemble.evaluate import combine, score_techniques
from medusa.ensemble.posteriors import Stack, read_posteriors, write_posteriors
from medusa.ensemble.soup import cook_soup
from medusa.ensemble.stacking import fit_seeds
from medusa.ensemble.together import Rows
from medusa.errors import command
from medusa.training.checkpoint import RunDirectory
from medusa.training.data import Targets, make_targets

EMOTIONS = ["Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral"]
SHARES = [0.08, 0.08, 0.19, 0.04, 0.015, 0.018, 0.03, 0.34]
"""Of the classes; the rest has no consensus."""
ATTRIBUTES = ["EmoAct", "EmoVal", "EmoDom"]


def made(rows: int, members: int, seed: int) -> tuple[Labels, Stack]:
    """Labels and what members that are often right say of them."""
    draws = np.random.default_rng(seed)
    classes = draws.choice(9, rows, p=[*SHARES, 1 - sum(SHARES)])
    soft = draws.dirichlet(np.ones(8), rows) * 0.5
    soft[np.arange(rows), classes % 8] += 0.5
    table = pd.DataFrame(soft, columns=EMOTIONS)
    table.insert(0, "FileName", [f"clip{row:06d}.wav" for row in range(rows)])
    table[ATTRIBUTES] = draws.uniform(1, 7, (rows, 3))
    table["EmoClass"] = np.array([*EMOTIONS, "X"])[classes]
    labels = labels_from_table(Path("made up"), table)
    logits = torch.from_numpy(3 * soft[:, None] + draws.normal(size=(rows, members, 8)))
    posteriors = logits.softmax(dim=2).numpy().astype(np.float32)
    attributes = draws.uniform(1, 7, (rows, members, 3)).astype(np.float32)
    return labels, Stack(labels.ids, posteriors, attributes, tuple(f"m{number}" for number in range(members)))


def ours(
    config: MetaConfig, fitted: tuple[Labels, Stack], held_out: tuple[Labels, Stack], device: torch.device
) -> None:
    """Stage 3 and Stage 4 as train_metacls.py does them, from stacked posteriors to the soup on disk."""
    rows, selection = (Rows(make_targets(labels), stack.inputs, device) for labels, stack in (fitted, held_out))
    runs = {seed: RunDirectory(config.run_directory / f"seed-{seed}") for seed in config.seeds}
    fit_seeds(config, fitted[1], rows, runs, config.training.max_epochs, selection)
    cook_soup([run.path / "best" for run in runs.values()], config.run_directory / "soup")


class Lists(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]]):
    """Rows as Python lists of numbers."""

    def __init__(self, targets: Targets, inputs: np.ndarray) -> None:
        self.rows = list(
            zip(inputs.tolist(), targets.probabilities.tolist(), targets.attributes.tolist(), targets.classes.tolist(),
                strict=True)
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        x, soft, attributes, label = self.rows[index]
        return torch.tensor(x), torch.tensor(soft), torch.tensor(attributes), label

    def balanced(self) -> Lists:
        """As many rows of each class as the rarest has."""
        by_class: dict[int, list[int]] = {}
        for index, row in enumerate(self.rows):
            by_class.setdefault(row[3], []).append(index)
        least = min(map(len, by_class.values()))
        drawn = [index for own in by_class.values() for index in random.sample(own, least)]
        subset = Lists.__new__(Lists)
        subset.rows = [self.rows[index] for index in drawn]
        return subset


def naive_epoch(rows: Lists, selection: Lists, batch_size: int, device: torch.device) -> float:
    """One epoch of one seed, selection included; its F1."""
    model = torch.nn.Linear(len(rows.rows[0][0]), 11).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for x, soft, attributes, _ in DataLoader(rows.balanced(), batch_size, shuffle=True):
        outputs = model(x.to(device))
        loss = 1.5 * F.cross_entropy(outputs[:, :8], soft.to(device))
        loss = loss + 0.4 * F.mse_loss(outputs[:, 8:], attributes.to(device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    true, predicted = [], []
    with torch.no_grad():
        for x, _, _, label in DataLoader(selection, batch_size):
            predicted += model(x.to(device))[:, :8].argmax(dim=1).tolist()
            true += label.tolist()
    known = [(one, other) for one, other in zip(true, predicted, strict=True) if one >= 0]
    return float(f1_score(*zip(*known, strict=True), average="macro"))


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--rows", type=int, default=84_600)
    parser.add_argument("--selection-rows", type=int, default=20_000)
    parser.add_argument("--members", type=int, default=14)
    parser.add_argument("--epochs", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = {key: getattr(args, key) for key in ("rows", "selection_rows", "members", "epochs")}
    record = Record("stacking", args.device, **settings)
    held_out = made(args.selection_rows, args.members, 1)
    fitted = made(args.rows, args.members, 0)
    with tempfile.TemporaryDirectory() as folder:
        training = MetaTraining(max_epochs=args.epochs, patience=args.epochs)

        def config(name: str) -> MetaConfig:
            members = list(fitted[1].members)
            return MetaConfig(name=name, members=members, training=training, paths=RunPaths(runs=Path(folder)))

        ours(config("warm-up"), made(5_000, args.members, 2), held_out, args.device)
        spent = seconds_of(lambda: ours(config("all"), fitted, held_out, args.device), args.device)
        lists = [Lists(make_targets(labels), stack.inputs) for labels, stack in (fitted, held_out)]
        once = seconds_of(lambda: naive_epoch(lists[0], lists[1], training.batch_size, args.device), args.device)
        seeds = len(config("all").seeds)
        naive = once * args.epochs * seeds
        details = {"seconds": spent, "naive_seconds_of_one_epoch_of_one_seed": once, "naive_seconds": naive}
        record.figure("Stages 3 and 4", naive / spent, {"cpu": 30, "cuda": 30}, **details)
        record.figure("Stages 3 and 4, limit / seconds", (60 if args.device.type == "cpu" else 5) / spent,
                      {"cpu": 1, "cuda": 1})  # fmt: skip

        file = Path(folder) / "posteriors.csv"
        written = seconds_of(
            lambda: write_posteriors(file, fitted[0], fitted[1].posteriors[:, 0], fitted[1].attributes[:, 0]),
            args.device,
        )
        read = seconds_of(lambda: read_posteriors(file, EMOTIONS, ATTRIBUTES), args.device)
        controls = fit_controls(held_out[1], held_out[0].class_indices(), held_out[1], held_out[0].class_indices())
        scored = seconds_of(
            lambda: score_techniques(combine(config("all"), held_out[1], controls, args.device), held_out[0]),
            args.device,
        )
        record.figure("naive / ours with reading and scoring", naive / (spent + args.members * read + scored),
                      read_one_members_file=read, write_one_members_file=written, vote_and_score=scored)  # fmt: skip

        sizes = [args.rows // divisor for divisor in (8, 4, 2, 1)]
        works = [made(size, args.members, 3) for size in sizes]
        seconds = [
            seconds_of(lambda: ours(config(f"of-{len(work[0])}"), work, held_out, args.device), args.device)  # noqa: B023
            for work in works
        ]
        record.figure("growth", 1 / max(growth(sizes, seconds), 0.01), {"cpu": 1 / 1.05, "cuda": 1 / 1.05},
                      rows_fitted_on=sizes, seconds=seconds)  # fmt: skip


if __name__ == "__main__":
    main()
