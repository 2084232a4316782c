"""Training steps at the paper's width against the way of the authors' release (benchmarks/naive.py).

    python -m benchmarks.train_step                        # about 11 minutes on two CPU cores
    python -m benchmarks.train_step --device cuda --batch-size 16 64 256 --steps 20

Speed is in clips a second, whatever a variant computes for a clip. The naive way takes random batches, ours those of
`length_batches`; the few batches that are counted are so chosen that their mean clip is that of the corpus in every
modality (`podcast.typical_batches`; each variant's mean frames stand in its row), because a clip of twice the length
costs our way twice as much, but not the naive way with Whisper: there every clip has 1,500 frames, whatever its length.
These need more memory at batch 16 than a small machine has (24 GB), so that on a CPU the naive way takes 2 clips at a
time (--naive-batch-size), which its figure says; a step's fixed cost, AdamW's, then falls on 2 clips.

Ours is in bf16 where the device has instructions for it (`medusa.device.fastest_precision`), else in float32. Beside
the two stand, at the first batch size, our way in float32 where it is not that already (what bf16 gains), naive with
Whisper's frames trimmed (what trimming gains) and on a GPU naive in TF32, a format that CPUs lack. Before anything is
timed, both networks answer the same to the same weights and clips in float32. The share of the peak is that of products
in ours' precision, operations on real frames only; padding is counted over an epoch, in every encoder as its attention
computes it. At the first batch size each variant takes a step of `WARM_UP` clips that is not counted.
Writes benchmarks/results/<device>/train_step.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.naive import NaiveDeepSER
from benchmarks.podcast import DIMS, WHISPER_FRAMES, Rows, corpus_lengths, epoch_batches, typical_batches
from benchmarks.record import Record, add_device, seconds_of
from medusa.device import fastest_precision
from medusa.errors import command
from medusa.models.deepser import DeepSER
from medusa.training.loss import multitask_loss

WIDTH, FEED_FORWARD = 1024, 2048
TARGETS = {"wavlm+roberta": {"cpu": 3, "cuda": 12}, "whisper+roberta": {"cpu": 20, "cuda": 60}}
BATCHES = [16, 32]
"""The paper's, and one that fills two CPU cores."""
NAIVE_BATCH = {"cpu": 2, "cuda": 16}
"""Where every clip has 1,500 frames."""
WARM_UP = 2


@dataclass(frozen=True)
class Clips:
    """One batch of random clips."""

    lengths: list[torch.Tensor]
    """Per modality (B,), real frames."""
    targets: torch.Tensor
    attributes: torch.Tensor

    @property
    def mean_frames(self) -> list[float]:
        """Real frames of the mean clip, per modality."""
        return [float(own.double().mean()) for own in self.lengths]

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


def check_same(modalities: list[str], device: torch.device) -> None:
    """Both networks have the same parameters and, where no clip is padded, the same answers; else an AssertionError."""
    torch.manual_seed(0)
    dims = [DIMS[name] for name in modalities]
    naive, ours = NaiveDeepSER(dims, WIDTH, FEED_FORWARD), DeepSER(dims, WIDTH, feedforward_dim=FEED_FORWARD)
    with torch.no_grad():
        for own, other in zip(ours.parameters(), naive.parameters(), strict=True):
            own.copy_(other)
    lengths = [torch.full((2,), 10 + 5 * number) for number in range(len(dims))]
    clips = [torch.randn(2, int(own[0]), dim).to(device) for own, dim in zip(lengths, dims, strict=True)]
    logits, attributes = naive.to(device).eval()(clips)
    answers = ours.to(device).eval()([own.flatten(0, 1) for own in clips], lengths)
    torch.testing.assert_close(answers.logits, logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(answers.attributes, attributes, atol=1e-3, rtol=1e-3)


def draw(lengths: Rows, batch_size: int, steps: int, alike: bool) -> list[Clips]:
    """Typical batches with random targets; lengths (clips, modalities)."""
    draws = torch.Generator().manual_seed(0)
    return [
        Clips(
            [torch.from_numpy(own) for own in lengths[rows].T.copy()],
            torch.rand(batch_size, 8, generator=draws).softmax(dim=1),
            1 + 6 * torch.rand(batch_size, 3, generator=draws),
        )
        for rows in typical_batches(lengths, batch_size, steps, alike)
    ]


def encoder_frames(lengths: torch.Tensor) -> torch.Tensor:
    """Frames that each encoder sees of each clip: (clips, modalities) → (clips, modalities + 2 fusion levels).

    The first level reads all modalities' frames, the second these and the first level's.
    """
    clip = lengths.sum(dim=1, keepdim=True)
    return torch.cat([lengths, clip, 2 * clip], dim=1)


def padded_shares(lengths: Rows, batch_size: int) -> dict[str, float]:
    """Share of an epoch's frames in attention that are padding, in ours and in random batches.

    In every encoder a batch is as long as its longest clip there; `naive` pads each modality before it joins them.
    """
    frames = encoder_frames(torch.from_numpy(lengths))
    ours, random = (epoch_batches(lengths, batch_size, alike) for alike in (True, False))
    real = int(frames.sum())
    naive = sum(
        len(rows) * int(encoder_frames(torch.from_numpy(lengths[rows].max(axis=0)[None])).sum()) for rows in random
    )
    return {
        "ours": 1 - real / sum(len(rows) * int(frames[rows].amax(dim=0).sum()) for rows in ours),
        "random batches": 1 - real / sum(len(rows) * int(frames[rows].amax(dim=0).sum()) for rows in random),
        "naive": 1 - real / naive,
    }


def flops(lengths: list[torch.Tensor], dims: list[int]) -> float:
    """Of one training step on the real frames: 2 for each multiplication and addition, backward twice as much."""
    layer = 4 * WIDTH**2 + 2 * WIDTH * FEED_FORWARD
    total = 0.0
    for own, dim in zip(encoder_frames(torch.stack(lengths, dim=1)).double().T, [*dims, WIDTH, WIDTH], strict=True):
        linear = dim * WIDTH + WIDTH**2 + 2 * layer
        total += float(linear * own.sum() + 2 * 2 * WIDTH * (own**2).sum())
    return 3 * 2 * total


def matrix_peak(device: torch.device, size: int) -> float:
    """FLOP/s of a product of two square matrices in the fastest precision."""
    dtype = {"bf16": torch.bfloat16, "float32": torch.float32}[fastest_precision(device)]
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = min(seconds_of(lambda: one @ other, device) for _ in range(50))
    return float(2 * size**3 / seconds)


@dataclass(frozen=True)
class Variant:
    """A way to train, with as many clips a batch as it can take."""

    prepare: Step
    batch_size: int
    alike: bool


def variants(
    modalities: list[str], batch_size: int, naive_batch: int, device: torch.device, all_of_them: bool
) -> dict[str, Variant]:
    """Naive and ours, or all ways, by name."""
    plain, fastest = partial(naive_step, modalities, device), fastest_precision(device)
    ways = {
        "naive": Variant(plain(trim=False), naive_batch, alike=False),
        f"ours, {fastest}": Variant(our_step(modalities, device, fastest == "bf16"), batch_size, alike=True),
    }
    if not all_of_them:
        return ways
    if fastest != "float32":
        ways["ours, float32"] = Variant(our_step(modalities, device, bf16=False), batch_size, alike=True)
    if "whisper" in modalities:
        ways["naive, Whisper trimmed"] = Variant(plain(trim=True), batch_size, alike=False)
    if device.type == "cuda":
        ways["naive, TF32"] = Variant(plain(trim=False, tf32=True), naive_batch, alike=False)
    return ways


def measure(
    ways: dict[str, Variant], modalities: list[str], steps: int, warm_up: int, device: torch.device
) -> list[Row]:
    """One row a way; they take their steps in turn, so that all meet the same state of the machine."""
    lengths, dims = corpus_lengths(modalities), [DIMS[name] for name in modalities]
    drawn = {name: draw(lengths, way.batch_size, steps, way.alike) for name, way in ways.items()}
    seconds = dict.fromkeys(ways, 0.0)
    if warm_up:
        for way in ways.values():
            way.prepare(draw(lengths, warm_up, 1, way.alike)[0])()
    for number in range(steps):
        for name, way in ways.items():
            seconds[name] += seconds_of(way.prepare(drawn[name][number]), device)
    naive = ways["naive"].batch_size * steps / seconds["naive"]
    rows = []
    for name, way in ways.items():
        speed = way.batch_size * steps / seconds[name]
        work = sum(flops(clips.lengths, dims) for clips in drawn[name])
        frames = np.mean([clips.mean_frames for clips in drawn[name]], axis=0)
        rows.append({
            "variant": name, "batch_size": way.batch_size, "mean_frames": frames.tolist(), "clips_per_second": speed,
            "useful_tflops": work / seconds[name] / 1e12, "times_naive": speed / naive,
        })  # fmt: skip
    return rows


def measure_member(record: Record, member: str, args: argparse.Namespace, peak: float) -> None:
    """Every batch size of one member: all ways at the first, naive and ours at the others."""
    modalities, device = member.split("+"), record.device
    check_same(modalities, device)
    lengths = corpus_lengths(modalities)
    for batch_size in args.batch_size:
        naive_batch = args.naive_batch_size or NAIVE_BATCH[device.type]
        naive_batch = naive_batch if "whisper" in modalities else batch_size
        first = batch_size == args.batch_size[0]
        ways = variants(modalities, batch_size, naive_batch, device, all_of_them=first)
        rows = measure(ways, modalities, args.steps, WARM_UP if first else 0, device)
        ours = next(row for row in rows if row["variant"] == f"ours, {fastest_precision(device)}")
        name = f"{member}, batch {batch_size}"
        against = "" if naive_batch == batch_size else f" (naive {naive_batch})"
        record.figure(f"{name}{against}: clips/s", ours["times_naive"], TARGETS.get(member), rows=rows)
        record.figure(f"{name}: share of the matrix peak", ours["useful_tflops"] * 1e12 / peak, {"cuda": 0.5})
        padding = padded_shares(lengths, batch_size)
        record.figure(
            f"{name}: real frames in attention", 1 - padding["ours"], {"cpu": 0.95, "cuda": 0.95}, padding=padding
        )


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--batch-size", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--naive-batch-size", type=int, help="of the naive way with Whisper (2 on a CPU, 16 on a GPU)")
    parser.add_argument("--steps", type=int, default=2, help="counted steps of each variant (default 2)")
    parser.add_argument("--members", nargs="+", default=list(TARGETS), help="modalities joined by + (default: two)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    peak = matrix_peak(args.device, 8192 if args.device.type == "cuda" else 2048)
    parts = None if args.members == list(TARGETS) else [f"{member}," for member in args.members]
    record = Record(
        "train_step",
        args.device,
        parts,
        steps=args.steps,
        precision=fastest_precision(args.device),
        matrix_peak_tflops=float(f"{peak / 1e12:.4g}"),
    )
    for member in args.members:
        measure_member(record, member, args, peak)


if __name__ == "__main__":
    main()
