"""Stages 3 and 4 at the paper's size against Stage 3 fed from Python lists, one seed after the other.

    python -m benchmarks.stacking                          # about 2 minutes on two CPU cores
    python -m benchmarks.stacking --device cuda

84,600 rows to fit on and 20,000 to select on, classes as unequal as MSP-Podcast's, 14 members, 6 seeds, 50 epochs
without early stopping. Stages 3 and 4 are what train_metacls.py does between stacked posteriors and the soup on disk:
balanced draws, selection after every epoch and every checkpoint included; the targets are for that. The naive way
draws, fits and selects in a DataLoader as it stands (no workers). It is timed over one epoch of one seed, at its best
of three, and multiplied by epochs and seeds; making its lists, reading and scoring are not charged to it. The whole
with reading every member's posteriors and scoring every technique, charged to ours alone, is a figure of its own.
Both fit as many weights on as many rows an epoch, which is asserted. Growth is over rows to fit and to select on.
Writes benchmarks/results/<device>/stacking.json.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, Dataset

from benchmarks.record import Record, add_device, growth, least_of, seconds_of
from medusa.config.schema import MetaConfig, MetaTraining, RunPaths
from medusa.corpora.labels import Labels, labels_from_table
from medusa.ensemble.controls import fit_controls
from medusa.ensemble.evaluate import combine, score_techniques
from medusa.ensemble.posteriors import Stack, read_posteriors, write_posteriors
from medusa.ensemble.soup import cook_soup
from medusa.ensemble.stacking import build_metaclassifier, fit_seeds
from medusa.ensemble.together import Rows
from medusa.errors import command
from medusa.training.checkpoint import RunDirectory
from medusa.training.data import Targets, make_targets
from medusa.training.sampling import balanced_rows

EMOTIONS = ["Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral"]
SHARES = [0.08, 0.08, 0.19, 0.04, 0.015, 0.018, 0.03, 0.34]
"""Of the classes; the rest has no consensus."""
ATTRIBUTES = ["EmoAct", "EmoVal", "EmoDom"]
Part = tuple[Labels, Stack]
"""Rows to fit or to select on."""


def made(rows: int, members: int, seed: int) -> Part:
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


def ours(config: MetaConfig, fitted: Part, held_out: Part, device: torch.device) -> None:
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


def naive_model(inputs: int) -> torch.nn.Linear:
    """Eight emotions and three attributes."""
    return torch.nn.Linear(inputs, 11)


def naive_epoch(rows: Lists, selection: Lists, batch_size: int, device: torch.device) -> float:
    """One epoch of one seed, selection included; its F1."""
    model = naive_model(len(rows.rows[0][0])).to(device)
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


def check_same(config: MetaConfig, fitted: Part, rows: Lists) -> None:
    """Both ways fit as many weights, in an epoch on as many rows; else an AssertionError."""
    model = build_metaclassifier(config, fitted[1], 0, torch.device("cpu"))
    own, other = (
        sum(weight.numel() for weight in one.parameters()) for one in (model, naive_model(len(rows.rows[0][0])))
    )
    assert own == other
    assert len(balanced_rows(fitted[0].class_indices(), len(EMOTIONS), 0, 0)) == len(rows.balanced())


def config_of(name: str, stack: Stack, epochs: int, runs: Path) -> MetaConfig:
    """The paper's six seeds, trained to the last epoch."""
    training = MetaTraining(max_epochs=epochs, patience=epochs)
    return MetaConfig(name=name, members=list(stack.members), training=training, paths=RunPaths(runs=runs))


def measure_stages(record: Record, config: MetaConfig, fitted: Part, held_out: Part) -> tuple[float, float]:
    """Seconds of the naive way and of ours."""
    device, epochs, seeds = record.device, config.training.max_epochs, len(config.seeds)
    spent = seconds_of(lambda: ours(config, fitted, held_out, device), device)
    lists = [Lists(make_targets(labels), stack.inputs) for labels, stack in (fitted, held_out)]
    check_same(config, fitted, lists[0])
    (once,) = least_of([lambda: naive_epoch(lists[0], lists[1], config.training.batch_size, device)], 3, device)
    naive = once * epochs * seeds
    details = {"seconds": spent, "naive_seconds_of_one_epoch_of_one_seed": once, "naive_seconds": naive}
    name = f"Stages 3 and 4: naive (one epoch of one seed x {epochs * seeds}) / ours"
    record.figure(name, naive / spent, {"cpu": 30, "cuda": 30}, **details)
    limit = 60 if device.type == "cpu" else 5
    record.figure(f"Stages 3 and 4: {limit} s / ours", limit / spent, {"cpu": 1, "cuda": 1}, seconds=spent)
    return naive, spent


def measure_whole(record: Record, config: MetaConfig, fitted: Part, held_out: Part, naive: float, spent: float) -> None:
    """With a file read for each member and every technique scored; `config`'s run is there."""
    file, device = config.paths.runs / "posteriors.csv", record.device
    own = fitted[1].posteriors[:, 0], fitted[1].attributes[:, 0]
    written = seconds_of(lambda: write_posteriors(file, fitted[0], *own), device)
    read = seconds_of(lambda: read_posteriors(file, EMOTIONS, ATTRIBUTES), device)
    np.testing.assert_array_equal(read_posteriors(file, EMOTIONS, ATTRIBUTES)[EMOTIONS].to_numpy(), own[0])
    labels, stack = held_out
    controls = fit_controls(stack, labels.class_indices(), stack, labels.class_indices())
    scored = seconds_of(lambda: score_techniques(combine(config, stack, controls, device), labels), device)
    whole = spent + len(fitted[1].members) * read + scored
    record.figure("Stages 3 and 4 with reading and scoring: naive (without) / ours", naive / whole, seconds=whole,
                  read_one_members_file=read, write_one_members_file=written, vote_and_score=scored)  # fmt: skip


def measure_growth(record: Record, args: argparse.Namespace, runs: Path) -> None:
    """Exponent over an eighth, a quarter, half and all of the rows."""
    works = []
    for divisor in (8, 4, 2, 1):
        fitted, held_out = (
            made(rows // divisor, args.members, seed) for seed, rows in enumerate((args.rows, args.selection_rows))
        )
        config = config_of(f"of-{len(fitted[0])}", fitted[1], args.epochs, runs)
        works.append(partial(ours, config, fitted, held_out, record.device))
    seconds = [seconds_of(work, record.device) for work in works]  # a second run would find the first's checkpoints
    sizes = [(args.rows + args.selection_rows) // divisor for divisor in (8, 4, 2, 1)]
    record.figure("growth", 1 / max(growth(sizes, seconds), 0.01), {"cpu": 1 / 1.05, "cuda": 1 / 1.05},
                  rows_of_each=sizes, seconds=seconds)  # fmt: skip


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
    fitted, held_out = made(args.rows, args.members, 0), made(args.selection_rows, args.members, 1)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        first = made(args.rows // 16, args.members, 2)
        ours(config_of("warm-up", first[1], args.epochs, runs), first, held_out, args.device)
        config = config_of("all", fitted[1], args.epochs, runs)
        naive, spent = measure_stages(record, config, fitted, held_out)
        measure_whole(record, config, fitted, held_out, naive, spent)
        measure_growth(record, args, runs)


if __name__ == "__main__":
    main()
