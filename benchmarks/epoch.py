"""One training epoch, features read from the store, against the same epoch with the features in memory; and its growth.

    python -m benchmarks.epoch                             # about 10 minutes on two CPU cores
    python -m benchmarks.epoch --device cuda --clips 20000 --batch-size 256 --width 1024

WavLM + RoBERTa, clips as long as MSP-Podcast's, through `medusa.training.loop.run_epochs`, MixUp and all. Growth is
that of an epoch and of posteriors with the number of clips. Writes benchmarks/results/<device>/epoch.json.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.podcast import DIMS, draw_lengths
from benchmarks.record import Record, add_device, growth, in_turn, seconds_of
from medusa.config.schema import Loss, MixUp
from medusa.errors import command
from medusa.features.store import FeatureStore, StoreWriter
from medusa.models.deepser import DeepSER
from medusa.training.data import FeatureExamples, Features, Targets
from medusa.training.evaluate import predict
from medusa.training.loop import Recipe, Stage, run_epochs

MODALITIES = ("wavlm", "roberta")


class InMemory:
    """A store's features, all of them read already."""

    def __init__(self, store: FeatureStore) -> None:
        self.path, self.dim = store.path, store.dim
        self._values = {clip: store.read(clip) for clip in store.ids}

    def __contains__(self, utterance: object) -> bool:
        return utterance in self._values

    def frames(self, utterance: str) -> int:
        """Of one clip."""
        return len(self._values[utterance])

    def read(self, utterance: str) -> np.ndarray:
        """(frames, dim) float16."""
        return self._values[utterance]


def write_stores(folder: Path, clips: int) -> list[FeatureStore]:
    """Random features."""
    ids = [f"clip{clip:06d}" for clip in range(clips)]
    for modality in MODALITIES:
        lengths = draw_lengths(clips, modality).tolist()
        frames = np.random.default_rng(0).normal(size=(max(lengths), DIMS[modality])).astype(np.float16)
        values = {clip: frames[:length] for clip, length in zip(ids, lengths, strict=True)}
        identity = {"name": modality, "dim": DIMS[modality], "shard_size": 256}
        writer = StoreWriter(folder / modality, identity, ids)
        for index, shard in enumerate(writer.shards):
            writer.write(index, {clip: values[clip] for clip in shard})
    return [FeatureStore(folder / modality) for modality in MODALITIES]


def examples(stores: list[Features], clips: int) -> FeatureExamples:
    """The first clips with random targets."""
    draws = np.random.default_rng(2)
    probabilities = draws.dirichlet(np.ones(8), clips).astype(np.float32)
    attributes = draws.uniform(1, 7, (clips, 3)).astype(np.float32)
    ids = [f"clip{clip:06d}" for clip in range(clips)]
    return FeatureExamples(Targets(ids, probabilities, attributes, probabilities.argmax(axis=1)), stores)


class Trainee:
    """A member and its optimiser."""

    def __init__(self, width: int, batch_size: int, device: torch.device) -> None:
        torch.manual_seed(0)
        dims = [DIMS[name] for name in MODALITIES]
        self.model = DeepSER(dims, width, feedforward_dim=2 * width).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.batch_size = batch_size

    def epoch(self, clips: FeatureExamples) -> float:
        """Seconds of one epoch in bf16."""
        stages = [Stage(1, 1, 1e-5, balanced=False)]
        recipe = Recipe(stages, 0, self.batch_size, 0.01, Loss(), MixUp(), bf16=True)
        ((_, _, seconds),) = run_epochs(self.model, self.optimizer, clips, recipe)
        return seconds

    def posteriors(self, clips: FeatureExamples) -> object:
        """Of all clips."""
        return predict(self.model, clips, self.batch_size, bf16=True)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--growth-clips", type=int, default=1600, help="the most; the network is 64 wide then")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where features are written and deleted (default: temporary)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = {key: getattr(args, key) for key in ("clips", "batch_size", "width", "growth_clips", "repeats")}
    record = Record("epoch", args.device, **settings)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        stores = write_stores(Path(folder), max(args.clips, args.growth_clips))
        trainee = Trainee(args.width, args.batch_size, args.device)
        ways = {
            "memory": examples([InMemory(store) for store in stores], args.clips),
            "store": examples([*stores], args.clips),
        }
        medians = in_turn({way: partial(trainee.epoch, held) for way, held in ways.items()}, args.repeats, args.device)
        rows = [{"features": way, "seconds": own} for way, own in medians.items()]
        record.figure(
            "an epoch, features in memory / read", medians["memory"] / medians["store"],
            {"cpu": 1 / 1.1, "cuda": 1 / 1.1}, rows=rows,
        )  # fmt: skip

        small = Trainee(64, args.batch_size, args.device)
        sizes = [args.growth_clips // divisor for divisor in (8, 4, 2, 1)]
        held = [examples([*stores], size) for size in sizes]
        small.epoch(held[0])
        for name, spent in (
            ("training", [small.epoch(clips) for clips in held]),
            ("posteriors", [seconds_of(partial(small.posteriors, clips), args.device) for clips in held]),
        ):
            limit = {"cpu": 1 / 1.05, "cuda": 1 / 1.05}
            record.figure(f"growth of {name}", 1 / growth(sizes, spent), limit, clips=sizes, seconds=spent)


if __name__ == "__main__":
    main()
