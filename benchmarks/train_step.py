"""Training steps at the paper's width: clips a second, against the way of the authors' release (benchmarks/naive.py).

    python -m benchmarks.train_step                        # minutes on a CPU
    python -m benchmarks.train_step --device cuda --batch-size 16 64 256 --steps 20

Whisper's 1,500 frames need more than 24 GB at batch 16 the naive way: --members whisper+roberta --batch-size 4. Every
variant takes the same batches of clips as long as MSP-Podcast's, in turn; ratios are of medians over steps.
Writes benchmarks/results/<device>/train_step.json.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.naive import NaiveDeepSER
from benchmarks.podcast import DIMS, WHISPER_FRAMES, draw_lengths, random_features
from medusa.device import describe_device
from medusa.errors import command
from medusa.files import write_json
from medusa.models.deepser import DeepSER
from medusa.training.loss import multitask_loss

WIDTH, FEED_FORWARD = 1024, 2048
TARGETS = {"wavlm+roberta": {"cpu": 3, "cuda": 12}, "whisper+roberta": {"cpu": 20, "cuda": 60}}


@dataclass(frozen=True)
class Clips:
    """One batch."""

    lengths: list[torch.Tensor]
    features: list[torch.Tensor]
    targets: torch.Tensor
    attributes: torch.Tensor


def draw_clips(modalities: list[str], batch_size: int, seed: int, trim: bool, device: torch.device) -> Clips:
    """A batch of random clips; without `trim` every Whisper feature has the frames of 30 s."""
    lengths = [draw_lengths(batch_size, modality, seed) for modality in modalities]
    if not trim:
        lengths = [
            torch.full_like(own, WHISPER_FRAMES) if modality == "whisper" else own
            for own, modality in zip(lengths, modalities, strict=True)
        ]
    features = [
        random_features(own, DIMS[name], seed).to(device) for own, name in zip(lengths, modalities, strict=True)
    ]
    draws = torch.Generator().manual_seed(seed)
    targets = torch.rand(batch_size, 8, generator=draws).softmax(dim=1).to(device)
    return Clips(lengths, features, targets, (1 + 6 * torch.rand(batch_size, 3, generator=draws)).to(device))


def naive_step(modalities: list[str], device: torch.device) -> Callable[[Clips], None]:
    """One optimiser step of the release's kind."""
    torch.manual_seed(0)
    model = NaiveDeepSER([DIMS[name] for name in modalities], WIDTH, FEED_FORWARD).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(clips: Clips) -> None:
        logits, attributes = model(clips.features)
        loss = 1.5 * F.cross_entropy(logits, clips.targets) + 0.4 * F.mse_loss(attributes, clips.attributes)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def our_step(modalities: list[str], device: torch.device, bf16: bool) -> Callable[[Clips], None]:
    """One optimiser step as `medusa.training.loop` takes it."""
    torch.manual_seed(0)
    model = DeepSER([DIMS[name] for name in modalities], WIDTH, feedforward_dim=FEED_FORWARD).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(clips: Clips) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            prediction = model(clips.features, clips.lengths)
        torch.autograd.backward(multitask_loss(prediction, clips.targets, clips.attributes, 1.5, 0.4, None).total)
        optimizer.step()

    return step


def seconds_of(step: Callable[[Clips], None], clips: Clips, device: torch.device) -> float:
    """Wall time of one step."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    step(clips)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(modalities: list[str], batch_size: int, steps: int, device: torch.device) -> list[dict[str, object]]:
    """Rows of the table: variants taking their steps in turn, so that all meet the same state of the machine."""
    variants: dict[str, tuple[Callable[[Clips], None], bool]] = {
        "naive": (naive_step(modalities, device), False),
        "ours, float32": (our_step(modalities, device, bf16=False), True),
        "ours, bf16": (our_step(modalities, device, bf16=True), True),
    }
    if "whisper" in modalities:
        variants["naive, Whisper trimmed"] = (variants["naive"][0], True)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(steps + 1):
        for name, (step, trim) in variants.items():
            spent = seconds_of(step, draw_clips(modalities, batch_size, number, trim, device), device)
            if number:  # the first step of each is a warm-up
                seconds[name].append(spent)
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    return [
        {"variant": name, "clips_per_second": round(batch_size / own, 3), "ratio": round(medians["naive"] / own, 2)}
        for name, own in medians.items()
    ]


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16])
    parser.add_argument("--steps", type=int, default=3, help="counted steps of each variant (default 3)")
    parser.add_argument("--members", nargs="+", default=list(TARGETS), help="modalities joined by +")
    args = parser.parse_args()
    device = torch.device(args.device)
    lengths = draw_lengths(160_000, "wavlm").view(-1, 16)
    padding = 1 - lengths.sum().item() / (16 * lengths.max(dim=1).values.sum().item())
    print(f"speech frames that are padding in random batches of 16: naive {padding:.0%}, ours 0 but in attention")
    figures: dict[str, object] = {}
    kept = {
        "device": describe_device(device),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
        "steps": args.steps,
        "padding_of_random_batches": round(padding, 3),
        "figures": figures,
    }
    folder = torch.cuda.get_device_name(device).replace(" ", "-") if device.type == "cuda" else "cpu"
    for member, batch_size in itertools.product(args.members, args.batch_size):
        rows = measure(member.split("+"), batch_size, args.steps, device)
        best = max(float(str(row["ratio"])) for row in rows if str(row["variant"]).startswith("ours"))
        target = TARGETS.get(member, {}).get(device.type)
        figures[f"{member}, batch {batch_size}"] = {"ratio": best, "target": target, "rows": rows}
        print(f"\n{member}, batch {batch_size} (target: ratio {target})")
        for row in rows:
            print(f"  {row['variant']:<24}{row['clips_per_second']:>10} clips/s{row['ratio']:>8} x naive")
        write_json(Path("benchmarks/results") / folder / "train_step.json", kept)  # what is measured is not lost


if __name__ == "__main__":
    main()
