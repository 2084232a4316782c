"""The paper's fourteen members at their true widths: parameters, and with --steps what an optimiser step costs.

    python -m benchmarks.members                                # the table of parameters, seconds
    python -m benchmarks.members 02 03 14 --steps 2             # and two steps of each, 6 minutes on two CPU cores
    python -m benchmarks.members --steps 20 --device cuda --precision bf16

Members are configs/members/*.yaml as they stand, features random, clips as long as MSP-Podcast's. Seconds a step are
means over one epoch of that many batches, reading features and the first step's start included. Each member is trained
in a process of its own, so that its peak is no other's: on a CPU that of all the process has in memory, libraries
included, on a GPU what torch has taken there. With --steps, benchmarks/results/<device>/members.json keeps the peaks
against the 20 GiB that the paper's card leaves; the target is for the GPU, at batch 16.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.podcast import DIMS, draw_lengths
from benchmarks.processes import alone, peak_resident
from benchmarks.record import Record
from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig
from medusa.corpora.labels import Labels, labels_from_table
from medusa.errors import command
from medusa.training.data import FeatureExamples, make_targets
from medusa.training.loop import run_epochs
from medusa.training.member import build_model, open_stores, recipe

MEMBERS = Path("configs/members")
EMOTIONS = ["Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral"]
ATTRIBUTES = ["EmoAct", "EmoVal", "EmoDom"]


def read_members(numbers: list[str], features: Path, *overrides: str) -> list[DeepSERConfig]:
    """The named members' configs (all without a name), their features below `features`, for one epoch of Stage 1."""
    files = [MEMBERS / f"{number}.yaml" for number in numbers] or sorted(MEMBERS.glob("*.yaml"))
    words = [f"paths.features={features}", "training.max_epochs=1", "training.stage2=false", *overrides]
    return [load_config(DeepSERConfig, [file], words) for file in files]


def write_stores(folder: Path, names: set[str], clips: int) -> None:
    """Random features of `clips` clips for each store, as `<store>/<clip>.npy`, float32."""
    for name in sorted(names):
        modality = name.partition("-")[0]
        draws = np.random.default_rng(0)
        (folder / name).mkdir()
        for clip, frames in enumerate(draw_lengths(clips, modality).tolist()):
            values = draws.standard_normal((frames, DIMS[modality]), dtype=np.float32)
            np.save(folder / name / f"clip{clip:05d}.npy", values)


def random_labels(clips: int) -> Labels:
    """Votes and attributes for each clip; the emotions and attributes of MSP-Podcast."""
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.dirichlet(np.ones(len(EMOTIONS)), clips), columns=EMOTIONS)
    table.insert(0, "FileName", [f"clip{clip:05d}.wav" for clip in range(clips)])
    table[ATTRIBUTES] = draws.uniform(1, 7, (clips, len(ATTRIBUTES)))
    return labels_from_table(Path("random labels"), table)


def count_parameters(config: DeepSERConfig, labels: Labels) -> int:
    """Of the member's network, built without memory for its weights."""
    device = torch.device("meta")
    with device:
        model = build_model(config, labels, open_stores(config), device)
    return sum(parameter.numel() for parameter in model.parameters())


def measure_steps(config: DeepSERConfig, labels: Labels, device: torch.device) -> dict[str, Any]:
    """Seconds a step, peak memory and the last loss of one epoch over all clips."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    stores = open_stores(config)
    model = build_model(config, labels, stores, device)
    examples = FeatureExamples(make_targets(labels), stores)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.training.learning_rate, fused=True)
    ((_, losses, seconds),) = run_epochs(model, optimizer, examples, recipe(config))
    steps = -(-len(labels) // config.training.batch_size)
    return {"s/step": seconds / steps, "peak, GB": _peak_bytes(device) / 1e9, "loss": losses["loss"]}


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident()


@command
def main() -> None:
    """One line a member."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("members", nargs="*", help="such as 02 03 (default: all)")
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps to take with each (default 0)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    args = parser.parse_args()
    clips = max(1, args.steps * args.batch_size)
    labels = random_labels(clips)
    device, rows = torch.device(args.device), []
    with tempfile.TemporaryDirectory() as folder:
        words = [f"training.batch_size={args.batch_size}", f"compute.precision={args.precision}"]
        members = read_members(args.members, Path(folder), *words)
        write_stores(Path(folder), {name for config in members for name in config.features}, clips)
        parts = [f"member {config.name}:" for config in members] if args.members else None
        record = Record("members", device, parts, steps=args.steps, batch_size=args.batch_size)
        for config in members:
            row: dict[str, Any] = {
                "member": config.name,
                "modalities": " + ".join(config.features),
                "parameters, M": count_parameters(config, labels) / 1e6,
            }
            if args.steps:
                row |= alone(measure_steps, config, labels, device)
                name = f"member {config.name}: 20 GiB / peak memory, {args.precision}"
                record.figure(name, 20 * 2**30 / 1e9 / row["peak, GB"], {"cuda": 1}, rows=[row])
            rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.1f}".format))


if __name__ == "__main__":
    main()
