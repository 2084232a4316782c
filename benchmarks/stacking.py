"""Stages 3 and 4 at the paper's size against Stage 3 fed from Python lists, one seed after the other.

    python -m benchmarks.stacking                          # about 3 minutes on two CPU cores
    python -m benchmarks.stacking --device cuda

104,600 rows to fit on and 11,600 to select on (nine tenths and one tenth of MSP-Podcast's Train and Development),
classes as unequal as there, 14 members, 6 seeds, 50 epochs without early stopping; balanced draws, selection after
every epoch and every checkpoint included, from stacked posteriors to the soup on disk. Then train_metacls.py and
eval_metacls.py from start to end, which read and write posteriors of all rows. The naive way is timed over one epoch
of one seed, selection included, and multiplied by epochs and seeds. Writes benchmarks/results/<device>/stacking.json.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, Dataset

from benchmarks.record import Record, add_device, growth, seconds_of
from medusa.config.load import dump_config
from medusa.config.schema import Compute, MetaConfig, MetaTraining, RunPaths
from medusa.corpora.labels import Labels, labels_from_table
from medusa.ensemble.posteriors import Stack, write_posteriors
from medusa.ensemble.soup import cook_soup
from medusa.ensemble.stacking import fit_seeds
from medusa.ensemble.together import Rows
from medusa.errors import command
from medusa.files import write_csv, write_text
from medusa.training.checkpoint import RunDirectory
from medusa.training.data import Targets, make_targets

EMOTIONS = ["Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral"]
SHARES = [0.183, 0.073, 0.198, 0.031, 0.010, 0.017, 0.046, 0.232]
"""Of the classes in MSP-Podcast's Development set; the rest has no consensus."""
ATTRIBUTES = ["EmoAct", "EmoVal", "EmoDom"]
LIMITS = {"cpu": 60, "cuda": 5}
"""Seconds that Stages 3 and 4 may take."""


ROOT = Path(__file__).parents[1]


def made(partition: str, rows: int, members: int, seed: int) -> tuple[Labels, Stack]:
    """Labels and what members that are often right say of them."""
    draws = np.random.default_rng(seed)
    classes = draws.choice(9, rows, p=[*SHARES, 1 - sum(SHARES)])
    soft = draws.dirichlet(np.ones(8), rows) * 0.5
    soft[np.arange(rows), classes % 8] += 0.5
    table = pd.DataFrame(soft, columns=EMOTIONS)
    table.insert(0, "FileName", [f"{partition}{row:06d}.wav" for row in range(rows)])
    table[ATTRIBUTES] = draws.uniform(1, 7, (rows, 3))
    table["EmoClass"] = np.array([*EMOTIONS, "X"])[classes]
    table["Partition"] = partition
    labels = labels_from_table(Path("made up"), table)
    logits = torch.from_numpy(3 * soft[:, None] + draws.normal(size=(rows, members, 8)))
    posteriors = logits.softmax(dim=2).numpy().astype(np.float32)
    attributes = draws.uniform(1, 7, (rows, members, 3)).astype(np.float32)
    return labels, Stack(labels.ids, posteriors, attributes, tuple(f"m{number}" for number in range(members)))


def write_members(runs: Path, labels: Labels, stack: Stack, partition: str) -> None:
    """The members' posteriors where eval_deepser.py leaves them."""
    for number, member in enumerate(stack.members):
        run = runs / "members" / member
        file = run / "posteriors" / f"{partition}.csv"
        write_posteriors(file, labels, stack.posteriors[:, number], stack.attributes[:, number])
        write_text(run / "config.yaml", "")


def scripts(config: MetaConfig, file: Path) -> dict[str, float]:
    """Seconds of each script of Stages 3 and 4, as a user starts it."""
    write_text(file, dump_config(config))
    spent = {}
    for script in ("train_metacls.py", "eval_metacls.py"):
        command_line = [sys.executable, str(ROOT / script), str(file)]
        started = time.perf_counter()
        subprocess.run(command_line, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
        spent[script] = time.perf_counter() - started
    return spent


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


def naive_seconds(
    fitted: tuple[Labels, Stack], held_out: tuple[Labels, Stack], batch_size: int, device: torch.device
) -> float:
    """Of one epoch of one seed; making the lists is not counted."""
    rows, selection = (Lists(make_targets(labels), stack.inputs) for labels, stack in (fitted, held_out))
    return seconds_of(lambda: naive_epoch(rows, selection, batch_size, device), device)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--rows", type=int, default=104_600)
    parser.add_argument("--selection-rows", type=int, default=11_600)
    parser.add_argument("--members", type=int, default=14)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = {key: getattr(args, key) for key in ("rows", "selection_rows", "members", "seeds", "epochs")}
    record = Record("stacking", args.device, **settings)
    held_out = made("test", args.selection_rows, args.members, 1)
    fitted = made("train", args.rows, args.members, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training = MetaTraining(max_epochs=args.epochs, patience=args.epochs)

        def config(name: str) -> MetaConfig:
            return MetaConfig(
                name=name, members=list(fitted[1].members), seeds=list(range(args.seeds)), training=training,
                compute=Compute(device=str(args.device), threads=args.threads),
                paths=RunPaths(labels=folder / "labels.csv", runs=folder),
            )  # fmt: skip

        ours(config("warm-up"), held_out, held_out, args.device)
        spent = seconds_of(lambda: ours(config("all"), fitted, held_out, args.device), args.device)
        once = naive_seconds(fitted, held_out, training.batch_size, args.device)
        naive = once * args.epochs * args.seeds
        details = {"seconds": spent, "naive_seconds_of_one_epoch_of_one_seed": once, "naive_seconds": naive}
        record.figure("Stages 3 and 4", naive / spent, {"cpu": 30, "cuda": 30}, **details)
        limit = LIMITS[args.device.type]
        record.figure("Stages 3 and 4, limit / seconds", limit / spent, {"cpu": 1, "cuda": 1}, limit_seconds=limit)

        write_csv(folder / "labels.csv", pd.concat([fitted[0].table, held_out[0].table]))
        write_members(folder, *fitted, "train")
        write_members(folder, *held_out, "test")
        whole = scripts(config("scripts"), folder / "config.yaml")
        record.figure(
            "both scripts from start to end, 60 s / seconds", 60 / sum(whole.values()), {"cpu": 1}, seconds=whole
        )

        sizes = [args.rows // divisor for divisor in (8, 4, 2, 1)]
        works = [(made("train", size, args.members, 2), made("test", size // 9, args.members, 3)) for size in sizes]
        seconds = [
            seconds_of(lambda: ours(config(f"of-{len(work[0][0])}"), *work, args.device), args.device)  # noqa: B023
            for work in works
        ]
        record.figure("growth", 1 / max(growth(sizes, seconds), 0.01), {"cpu": 1 / 1.05, "cuda": 1 / 1.05},
                      rows_fitted_on=sizes, seconds=seconds)  # fmt: skip


if __name__ == "__main__":
    main()
