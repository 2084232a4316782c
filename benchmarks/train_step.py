"""Training steps at the paper's width against the way of the authors' release (benchmarks/naive.py).

    python -m benchmarks.train_step                        # about 15 minutes on two CPU cores
    python -m benchmarks.train_step --device cuda --batch-size 16 64 256 --steps 20

Clips are as long as MSP-Podcast's. The naive way takes random batches, ours those of `length_batches`, spread over all
lengths; a variant's speed is in useful frames a second (real frames of real clips), divided by the frames of the mean
clip. Whisper's 1,500 frames need more than 24 GB at batch 16 the naive way, hence --naive-batch-size.
Writes benchmarks/results/<device>/train_step.json.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.naive import NaiveDeepSER
from benchmarks.podcast import DIMS, WHISPER_FRAMES, draw_lengths
from benchmarks.record import Record, add_device, seconds_of
from medusa.errors import command
from medusa.models.deepser import DeepSER
from medusa.training.loss import multitask_loss
from medusa.training.sampling import length_batches

WIDTH, FEED_FORWARD = 1024, 2048
CORPUS = 60_000
"""Clips whose lengths are drawn: as many as MSP-Podcast trains on."""
TARGETS = {"wavlm+roberta": {"cpu": 3, "cuda": 12}, "whisper+roberta": {"cpu": 20, "cuda": 60}}
NAIVE_BATCH = {"cpu": 2, "cuda": 16}
"""Where every clip has 1,500 frames."""


@dataclass(frozen=True)
class Clips:
    """One batch of random clips."""

    lengths: list[torch.Tensor]
    """Per modality (B,), real frames."""
    targets: torch.Tensor
    attributes: torch.Tensor

    @property
    def useful(self) -> int:
        """Real frames."""
        return sum(int(own.sum()) for own in self.lengths)

    def packed(self, dims: list[int], device: torch.device) -> list[torch.Tensor]:
        """Per modality (all frames, D) float16, as a store has them."""
        return [torch.randn(int(own.sum()), dim).half().to(device) for own, dim in zip(self.lengths, dims, strict=True)]

    def padded(self, dims: list[int], frames: list[int | None], device: torch.device) -> list[torch.Tensor]:
        """Per modality (B, longest or `frames`, D) float32."""
        return [
            torch.randn(len(own), count or int(own.max()), dim).to(device)
            for own, dim, count in zip(self.lengths, dims, frames, strict=True)
        ]


Row = dict[str, Any]
Step = Callable[[Clips], Callable[[], None]]
"""A batch → what is timed: the features lie on the device already."""


def naive_step(modalities: list[str], device: torch.device, trim: bool, tf32: bool = False) -> Step:
    """One optimiser step of the release's kind."""
    torch.manual_seed(0)
    dims = [DIMS[name] for name in modalities]
    frames = [WHISPER_FRAMES if name == "whisper" and not trim else None for name in modalities]
    model = NaiveDeepSER(dims, WIDTH, FEED_FORWARD).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def prepare(clips: Clips) -> Callable[[], None]:
        features = clips.padded(dims, frames, device)
        targets, wanted = clips.targets.to(device), clips.attributes.to(device)

        def step() -> None:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            logits, attributes = model(features)
            loss = 1.5 * F.cross_entropy(logits, targets) + 0.4 * F.mse_loss(attributes, wanted)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

        return step

    return prepare


def our_step(modalities: list[str], device: torch.device, bf16: bool) -> Step:
    """One optimiser step as `medusa.training.loop` takes it."""
    torch.manual_seed(0)
    dims = [DIMS[name] for name in modalities]
    model = DeepSER(dims, WIDTH, feedforward_dim=FEED_FORWARD).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def prepare(clips: Clips) -> Callable[[], None]:
        features = clips.packed(dims, device)
        targets, wanted = clips.targets.to(device), clips.attributes.to(device)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                prediction = model(features, clips.lengths)
            torch.autograd.backward(multitask_loss(prediction, targets, wanted, 1.5, 0.4, None).total)
            optimizer.step()

        return step

    return prepare


def draw(modalities: list[str], batch_size: int, steps: int, alike: bool) -> list[Clips]:
    """Random batches of the corpus, or of clips of like length, taken evenly from the shortest to the longest."""
    lengths = [draw_lengths(CORPUS, modality) for modality in modalities]
    order = np.random.default_rng(0).permutation(CORPUS)
    if alike:
        frames = torch.stack(lengths).sum(dim=0).numpy()
        batches = [rows for rows in length_batches(order, frames, batch_size, 0, 0) if len(rows) == batch_size]
        batches.sort(key=lambda rows: int(frames[rows].sum()))
        batches = [batches[(2 * step + 1) * len(batches) // (2 * steps)] for step in range(steps)]
    else:
        batches = [order[step * batch_size : (step + 1) * batch_size] for step in range(steps)]
    draws = torch.Generator().manual_seed(0)
    clips = []
    for rows in batches:
        targets = torch.rand(batch_size, 8, generator=draws).softmax(dim=1)
        attributes = 1 + 6 * torch.rand(batch_size, 3, generator=draws)
        clips.append(Clips([own[rows] for own in lengths], targets, attributes))
    return clips


def padded_share(modalities: list[str], batch_size: int, alike: bool) -> float:
    """Share of the frames of an epoch's batches that are padding, where each modality is padded to its longest."""
    lengths = [draw_lengths(CORPUS, modality) for modality in modalities]
    order = np.random.default_rng(0).permutation(CORPUS)
    frames = torch.stack(lengths).sum(dim=0).numpy()
    batches = (
        length_batches(order, frames, batch_size, 0, 0) if alike
        else [order[start : start + batch_size] for start in range(0, CORPUS, batch_size)]
    )  # fmt: skip
    padded = sum(len(rows) * int(own[rows].max()) for rows in batches for own in lengths)
    return 1 - int(frames.sum()) / padded


def flops(lengths: list[torch.Tensor], dims: list[int]) -> float:
    """Of one training step on the real frames: 2 for each multiplication and addition, backward twice as much."""
    clip = torch.stack(lengths).sum(dim=0).double()
    encoders = [*zip(lengths, dims, strict=True), (clip, WIDTH), (2 * clip, WIDTH)]
    layer = 4 * WIDTH**2 + 2 * WIDTH * FEED_FORWARD
    total = 0.0
    for own, dim in encoders:
        linear = dim * WIDTH + WIDTH**2 + 2 * layer
        total += float(linear * own.double().sum() + 2 * 2 * WIDTH * (own.double() ** 2).sum())
    return 3 * 2 * total


def matrix_peak(device: torch.device, size: int) -> float:
    """FLOP/s of a bf16 product of two square matrices."""
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = min(seconds_of(lambda: one @ other, device) for _ in range(10))
    return float(2 * size**3 / seconds)


def measure(modalities: list[str], batch_size: int, naive_batch: int, steps: int, device: torch.device) -> list[Row]:
    """One row a variant; variants take their steps in turn, so that all meet the same state of the machine."""
    variants: dict[str, tuple[Step, int, bool]] = {
        "naive": (naive_step(modalities, device, trim=False), naive_batch, False),
        "ours, float32": (our_step(modalities, device, bf16=False), batch_size, True),
        "ours, bf16": (our_step(modalities, device, bf16=True), batch_size, True),
    }
    if "whisper" in modalities:
        variants["naive, Whisper trimmed"] = (naive_step(modalities, device, trim=True), batch_size, False)
    if device.type == "cuda":
        variants["naive, TF32"] = (naive_step(modalities, device, trim=False, tf32=True), naive_batch, False)
    drawn = {name: draw(modalities, size, steps, alike) for name, (_, size, alike) in variants.items()}
    seconds = dict.fromkeys(variants, 0.0)
    for number in range(-1, steps):  # the first step of each is a warm-up
        for name, (prepare, _, _) in variants.items():
            spent = seconds_of(prepare(drawn[name][number]), device)
            seconds[name] += spent if number >= 0 else 0
    mean_clip = sum(float(draw_lengths(CORPUS, modality).double().mean()) for modality in modalities)
    dims = [DIMS[name] for name in modalities]
    return [
        {
            "variant": name,
            "batch_size": variants[name][1],
            "clips_per_second": sum(clips.useful for clips in drawn[name]) / mean_clip / seconds[name],
            "useful_tflops": sum(flops(clips.lengths, dims) for clips in drawn[name]) / seconds[name] / 1e12,
        }
        for name in variants
    ]


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16])
    parser.add_argument("--naive-batch-size", type=int, help="of the naive way with Whisper (2 on a CPU, 16 on a GPU)")
    parser.add_argument("--steps", type=int, default=3, help="counted steps of each variant (default 3)")
    parser.add_argument("--members", nargs="+", default=list(TARGETS), help="modalities joined by +")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    peak = matrix_peak(args.device, 8192 if args.device.type == "cuda" else 2048)
    record = Record("train_step", args.device, steps=args.steps, bf16_matrix_peak_tflops=peak / 1e12)
    for member, batch_size in itertools.product(args.members, args.batch_size):
        modalities, name = member.split("+"), f"{member}, batch {batch_size}"
        naive_batch = args.naive_batch_size or NAIVE_BATCH[args.device.type]
        rows = measure(
            modalities, batch_size, naive_batch if "whisper" in modalities else batch_size, args.steps, args.device
        )
        speed = {row["variant"]: row["clips_per_second"] for row in rows}
        for row in rows:
            row["times_naive"] = row["clips_per_second"] / speed["naive"]
        record.figure(f"{name}: clips/s", speed["ours, bf16"] / speed["naive"], TARGETS.get(member), rows=rows)
        ours = next(row for row in rows if row["variant"] == "ours, bf16")
        record.figure(f"{name}: share of the matrix peak", ours["useful_tflops"] * 1e12 / peak, {"cuda": 0.5})
        padding = {
            way: padded_share(modalities, batch_size, alike) for way, alike in (("random", False), ("ours", True))
        }
        record.figure(
            f"{name}: real frames in attention", 1 - padding["ours"], {"cpu": 0.95, "cuda": 0.95}, padding=padding
        )


if __name__ == "__main__":
    main()
