"""One training epoch, features read from the store, against the same epoch with the features in memory; and its growth.

    python -m benchmarks.epoch                             # about 4 minutes on two CPU cores
    python -m benchmarks.epoch --device cuda --clips 20000 --batch-size 256 --width 1024

WavLM + RoBERTa, clips as long as MSP-Podcast's, through `medusa.training.loop.run_epochs`, MixUp and all. In memory are
the very batches of that epoch, put together beforehand, so that nothing is left to do but computing. Growth is that of
an epoch and of posteriors with the number of clips, the same lengths again and again; the more there are, the more
alike are those of a batch, as in a real corpus. Writes benchmarks/results/<device>/epoch.json.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.podcast import DIMS, draw_lengths
from benchmarks.record import Record, add_device, growth, in_turn, least_of
from medusa.config.schema import Loss, MixUp
from medusa.device import fastest_precision
from medusa.errors import command
from medusa.features.store import FeatureStore, StoreWriter
from medusa.models.deepser import DeepSER
from medusa.training.data import Batch, Examples, FeatureExamples, Targets
from medusa.training.evaluate import predict
from medusa.training.loop import Recipe, Stage, run_epochs
from medusa.training.sampling import length_batches, shuffled_rows

MODALITIES = ("wavlm", "roberta")


SEED = 0
SIZES = 8
"""Growth is measured from an eighth of the clips on; so many times each length comes again."""


class InMemory:
    """The batches of the epoch of `Trainee`, made beforehand; asked for another one, it raises a KeyError."""

    def __init__(self, stored: FeatureExamples, batch_size: int) -> None:
        self.targets, self.lengths = stored.targets, stored.lengths
        rows_of = length_batches(shuffled_rows(len(self.targets), SEED, 0), self.lengths, batch_size, SEED, 0)
        self._batches = {rows.tobytes(): stored.batch(rows) for rows in rows_of}

    def batch(self, rows: np.ndarray) -> Batch:
        """As `FeatureExamples.batch`."""
        return self._batches[rows.tobytes()]


def write_stores(folder: Path, clips: int, distinct: int) -> list[FeatureStore]:
    """Random features of clips of `distinct` lengths, again and again."""
    ids = [f"clip{clip:06d}" for clip in range(clips)]
    for modality in MODALITIES:
        lengths = draw_lengths(clips, modality, distinct=distinct).tolist()
        frames = np.random.default_rng(0).normal(size=(max(lengths), DIMS[modality])).astype(np.float16)
        values = {clip: frames[:length] for clip, length in zip(ids, lengths, strict=True)}
        identity = {"name": modality, "dim": DIMS[modality], "shard_size": 256}
        writer = StoreWriter(folder / modality, identity, ids)
        for index, shard in enumerate(writer.shards):
            writer.write(index, {clip: values[clip] for clip in shard})
    return [FeatureStore(folder / modality) for modality in MODALITIES]


def examples(stores: list[FeatureStore], clips: int) -> FeatureExamples:
    """The first clips with random targets."""
    draws = np.random.default_rng(2)
    probabilities = draws.dirichlet(np.ones(8), clips).astype(np.float32)
    attributes = draws.uniform(1, 7, (clips, 3)).astype(np.float32)
    ids = [f"clip{clip:06d}" for clip in range(clips)]
    return FeatureExamples(Targets(ids, probabilities, attributes, probabilities.argmax(axis=1)), [*stores])


class Trainee:
    """A member and its optimiser."""

    def __init__(self, width: int, batch_size: int, device: torch.device) -> None:
        torch.manual_seed(0)
        dims = [DIMS[name] for name in MODALITIES]
        self.model = DeepSER(dims, width, feedforward_dim=2 * width).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.batch_size, self.bf16 = batch_size, fastest_precision(device) == "bf16"

    def epoch(self, clips: Examples) -> dict[str, float]:
        """The losses of one epoch in the fastest precision, the first of its seed each time: the same batches."""
        stages = [Stage(1, 1, 1e-5, balanced=False)]
        recipe = Recipe(stages, SEED, self.batch_size, 0.01, Loss(), MixUp(), bf16=self.bf16)
        ((_, losses, _),) = run_epochs(self.model, self.optimizer, clips, recipe)
        return losses

    def posteriors(self, clips: Examples) -> object:
        """Of all clips."""
        return predict(self.model, clips, self.batch_size, bf16=self.bf16)


def measure_reading(record: Record, stored: FeatureExamples, args: argparse.Namespace) -> None:
    """The same epoch with its batches in memory and read."""
    trainee = Trainee(args.width, args.batch_size, record.device)
    ways: dict[str, Examples] = {"memory": InMemory(stored, args.batch_size), "store": stored}
    works = {way: partial(trainee.epoch, held) for way, held in ways.items()}
    medians = in_turn(works, args.repeats, record.device)
    rows = [{"features": way, "seconds": own} for way, own in medians.items()]
    record.figure(
        "an epoch, features in memory / read", medians["memory"] / medians["store"], {"cpu": 1 / 1.1, "cuda": 1 / 1.1},
        rows=rows,
    )  # fmt: skip


def measure_growth(record: Record, stores: list[FeatureStore], args: argparse.Namespace) -> None:
    """Of an epoch and of posteriors, the network 64 wide."""
    small = Trainee(64, args.batch_size, record.device)
    sizes = [args.growth_clips // SIZES * times for times in (1, 2, 4, 8)]
    held = [examples(stores, size) for size in sizes]
    small.epoch(held[-1])  # reads everything once: checksums are behind it
    for name, work in (("training", small.epoch), ("posteriors", small.posteriors)):
        seconds = least_of([partial(work, clips) for clips in held], args.repeats - 1, record.device)
        limit = {"cpu": 1 / 1.05, "cuda": 1 / 1.05}
        record.figure(f"growth of {name}", 1 / growth(sizes, seconds), limit, clips_of_each=sizes, seconds=seconds)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--growth-clips", type=int, default=640, help="the most; the network is 64 wide then")
    parser.add_argument("--repeats", type=int, default=3, help="at least 2; growth takes one less (default 3)")
    parser.add_argument("--folder", type=Path, help="where features are written and deleted (default: temporary)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = {key: getattr(args, key) for key in ("clips", "batch_size", "width", "growth_clips", "repeats")}
    record = Record("epoch", args.device, **settings)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        stores = write_stores(Path(folder), max(args.clips, args.growth_clips), args.growth_clips // SIZES)
        measure_reading(record, examples(stores, args.clips), args)
        measure_growth(record, stores, args)


if __name__ == "__main__":
    main()
