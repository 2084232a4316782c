"""The ways to compute the paper's single attention head of 1,024: which one the product should take.

    python -m benchmarks.attention                         # about a minute on two CPU cores
    python -m benchmarks.attention --device cuda --batch-size 16 64

Flash and variable-length kernels stop at heads of 256, so what is left is torch's `scaled_dot_product_attention` with
the padding masked, the same step by step (product, softmax, product), and one call a clip without padding or mask. The
frames are those of the upper fusion level of WavLM + RoBERTa, the longest sequences of the network, in typical batches
of like length. Training is forward and backward with the paper's dropout: `medusa.models.attention` takes it step by
step on a CPU, with `medusa.models.dropout`, and elsewhere by the masked kernel. Posteriors are forward alone, without
dropout: it takes the masked kernel everywhere. Without dropout all ways give the same values and gradients, which is
asserted first. A figure is the seconds of the fastest other way by those of the product's: above 1, its way is the
right one. Writes benchmarks/results/<device>/attention.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.podcast import corpus_lengths, typical_batches
from benchmarks.record import Record, add_device, in_turn
from benchmarks.train_step import WIDTH, encoder_frames
from medusa.errors import command
from medusa.models.dropout import Dropout
from medusa.models.packing import Packing

DROPOUT = 0.1
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
TOLERANCES = {"float32": 1e-4, "bf16": 5e-2}
MASKED, STEPS, BY_CLIP = "masked kernel", "step by step", "kernel, clip by clip"


@dataclass(frozen=True)
class Heads:
    """Queries, keys and values of one batch, (B, 1, T, width), of which each clip's first `lengths` frames are real."""

    projected: tuple[Tensor, Tensor, Tensor]
    mask: Tensor
    """(B, 1, 1, T), True where a frame is real."""
    lengths: list[int]


Way = Callable[[Heads, float], Tensor]
"""Heads, probability of dropout → (B, 1, T, width); what stands at padded frames means nothing."""


def masked_kernel(heads: Heads, dropout: float) -> Tensor:
    """One call."""
    query, key, value = heads.projected
    return F.scaled_dot_product_attention(query, key, value, heads.mask, dropout)


def step_by_step(heads: Heads, dropout: float) -> Tensor:
    """Product, softmax, product; all scores lie in memory."""
    query, key, value = heads.projected
    scores = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
    shares = scores.masked_fill(~heads.mask, -torch.inf).softmax(dim=-1)
    attended: Tensor = Dropout(dropout)(shares) @ value
    return attended


def clip_by_clip(heads: Heads, dropout: float) -> Tensor:
    """A call for each clip, of its real frames alone."""
    clips = []
    for row, length in enumerate(heads.lengths):
        query, key, value = (own[row : row + 1, :, :length] for own in heads.projected)
        attended = F.scaled_dot_product_attention(query, key, value, None, dropout)
        clips.append(F.pad(attended, (0, 0, 0, heads.mask.shape[-1] - length)))
    return torch.cat(clips)


WAYS: dict[str, Way] = {MASKED: masked_kernel, STEPS: step_by_step, BY_CLIP: clip_by_clip}


def make_heads(lengths: Tensor, width: int, dtype: torch.dtype, device: torch.device) -> Heads:
    """Random ones, as equal clips of one batch have them; lengths (B,)."""
    mask = Packing.of(lengths).mask[:, None, None, :].to(device)
    draws = torch.Generator().manual_seed(0)
    shape = (len(lengths), 1, int(lengths.max()), width)
    query, key, value = (
        torch.randn(shape, generator=draws).to(device, dtype).requires_grad_() for _ in range(3)
    )  # fmt: skip
    return Heads((query, key, value), mask, lengths.tolist())


def train(way: Way, heads: Heads, dropout: float) -> tuple[Tensor, ...]:
    """Forward and backward of the real frames' sum of squares; the gradients of `heads.projected`."""
    attended = way(heads, dropout) * heads.mask.transpose(-2, -1)
    return torch.autograd.grad(attended.float().square().sum(), heads.projected)


@torch.no_grad()
def attend(way: Way, heads: Heads) -> Tensor:
    """Forward alone."""
    return way(heads, 0.0)


def check_same(heads: Heads, tolerance: float) -> None:
    """All ways agree on the real frames and their gradients, relative to the largest; else an AssertionError."""
    real = heads.mask.transpose(-2, -1)
    values, gradients = attend(step_by_step, heads) * real, train(step_by_step, heads, 0.0)
    for way in (masked_kernel, clip_by_clip):
        _assert_near(attend(way, heads) * real, values, tolerance)
        for own, other in zip(train(way, heads, 0.0), gradients, strict=True):
            _assert_near(own, other, tolerance)


def _assert_near(own: Tensor, other: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(own, other, atol=tolerance * float(other.detach().abs().max()), rtol=0)


def measure(record: Record, batch_size: int, repeats: int, width: int = WIDTH) -> None:
    """Training and posteriors in each precision."""
    lengths = corpus_lengths(["wavlm", "roberta"])
    (rows,) = typical_batches(lengths, batch_size, 1, alike=True)
    frames = encoder_frames(torch.from_numpy(lengths[rows]))[:, -1]
    for precision, dtype in PRECISIONS.items():
        heads = make_heads(frames, width, dtype, record.device)
        check_same(heads, TOLERANCES[precision])
        trained = STEPS if record.device.type == "cpu" else MASKED
        uses: dict[str, tuple[str, Callable[[Way], Callable[[], object]]]] = {
            "training": (trained, lambda way, heads=heads: partial(train, way, heads, DROPOUT)),  # type: ignore[misc]
            "posteriors": (MASKED, lambda way, heads=heads: partial(attend, way, heads)),  # type: ignore[misc]
        }
        for use, (product, prepare) in uses.items():
            seconds = in_turn({name: prepare(way) for name, way in WAYS.items()}, repeats, record.device)
            others = min(own for name, own in seconds.items() if name != product)
            table = [{"way": name, "seconds": own, "times_product": own / seconds[product]}
                     for name, own in seconds.items()]  # fmt: skip
            name = f"{use}, {precision}, batch {batch_size}: {product} against the others"
            record.figure(name, others / seconds[product], longest=int(frames.max()), rows=table)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    record = Record("attention", args.device, repeats=args.repeats)
    for batch_size in args.batch_size:
        measure(record, batch_size, args.repeats)


if __name__ == "__main__":
    main()
