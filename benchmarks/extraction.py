"""Feature extraction against the way of the authors' release, each of the five backbones at its true width.

    python -m benchmarks.extraction                        # four layers of each, about 6 minutes on two CPU cores
    python -m benchmarks.extraction --device cuda --layers 0 --clips 512 --batch-size 32

The naive way: `AutoModel.from_pretrained` as it stands, with the attention that transformers chooses, float32, one clip
at a time, Whisper's 1,500 frames kept, a .npy file of float32 for each clip; beside it, for Whisper, the same with the
frames of the padding dropped before writing. Ours: the configs of configs/features with their batch size, through
`load_backbone` and `fill`, shards of float16, in float32 (the configs' precision) and, where the device has
instructions for it, in bf16; the faster of the two has the target.
On the first clips both ways give the same features in float32, which is asserted; the naive texts' special tokens and
the frames of Whisper's padding, which ours drops, aside.

Weights are random, clips are noise as long as MSP-Podcast's, given as waveforms, the same for all ways; for Whisper,
which takes as long for any clip, half as many; of texts 16 times as many, a second of them being 20 tokens. Growth is
over clips of the same lengths again and again. Writes benchmarks/results/<device>/extraction.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.backbones import KINDS, WORDS, hf, write_backbone
from benchmarks.podcast import FRAME_RATE, draw_lengths
from benchmarks.record import Record, add_device, growth, in_turn, least_of
from medusa.audio import SAMPLE_RATE
from medusa.config.load import load_config
from medusa.config.schema import ExtractConfig
from medusa.device import fastest_precision
from medusa.errors import command
from medusa.features.backbones import FeatureBackbone, load_backbone
from medusa.features.fill import fill
from medusa.features.sources import Clip
from medusa.features.store import StoreWriter

TARGETS = {
    "wavlm": {"cpu": 2, "cuda": 15}, "hubert": {"cpu": 2}, "whisper": {"cpu": 4}, "roberta": {"cpu": 6},
    "modernbert": {"cpu": 6},
}  # fmt: skip
REAL_TIME = {"wavlm": {"cuda": 2000}}
TOKENS_A_SECOND = 20
CONFIGS = {
    "wavlm": "wavlm-large", "hubert": "hubert-large", "whisper": "whisper-large-v3", "roberta": "roberta-large",
    "modernbert": "modernbert-large",
}  # fmt: skip
"""configs/features/<name>.yaml of each backbone."""
CLIPS = {"speech": 1.0, "whisper": 0.5, "text": 16.0}
"""Of each kind, times --clips."""
GROWTH_SIZES = (1, 2, 4, 8)
CHECKED = 3
"""Clips on which both ways are compared before they are timed; what a first call loads or builds is then there."""


class Clips:
    """Noise, or texts of random words, by utterance id: a `Source`; of `distinct` lengths again and again."""

    def __init__(self, count: int, name: str, distinct: int | None = None) -> None:
        draws, lengths = np.random.default_rng(0), draw_lengths(count, name, distinct=distinct).tolist()
        self.ids = [f"clip{number:05d}" for number in range(count)]
        self.values: dict[str, Clip] = {}
        self.seconds = 0.0
        for clip, length in zip(self.ids, lengths, strict=True):
            if KINDS[name] == "text":
                self.values[clip] = " ".join(draws.choice(WORDS, length))
                self.seconds += length / TOKENS_A_SECOND
            else:
                samples = length * SAMPLE_RATE // FRAME_RATE
                self.values[clip] = draws.normal(0, 0.1, samples).astype(np.float32)
                self.seconds += samples / SAMPLE_RATE

    def read(self, utterance: str) -> Clip:
        """The clip."""
        return self.values[utterance]


class Naive:
    """One clip at a time, in float32, as transformers loads and runs the model where nothing is said."""

    def __init__(self, folder: Path, name: str, device: torch.device, tf32: bool = False, trim: bool = False) -> None:
        loader = hf.AutoTokenizer if KINDS[name] == "text" else hf.AutoFeatureExtractor
        self.prepare: Any = loader.from_pretrained(folder)
        model = hf.AutoModel.from_pretrained(folder).eval().to(device)
        assert model.dtype == torch.float32
        # Where the last hidden state is taken: as transformers 4 did, with which the release ran. It costs nothing.
        model.config.tie_last_hidden_states = name != "modernbert"
        self.model = model.get_encoder() if name == "whisper" else model
        self.kind, self.device, self.tf32, self.trim = KINDS[name], device, tf32, trim

    def write(self, clips: Clips, out: Path) -> None:
        """A file of each clip's frames: the sum of the last four hidden states, of Whisper the last."""
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        out.mkdir(exist_ok=True)
        for clip in clips.ids:
            with torch.no_grad():
                np.save(out / f"{clip}.npy", self.frames(clips.read(clip)))

    def frames(self, clip: Clip) -> np.ndarray:
        """(frames, dim) float32."""
        if self.kind == "text":
            inputs = self.prepare(clip, return_tensors="pt")
        else:
            inputs = self.prepare(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            inputs.pop("attention_mask", None)
        output = self.model(**inputs.to(self.device), output_hidden_states=True)
        if self.kind == "whisper":
            frames = output.last_hidden_state[0]
            return np.asarray(frames[: -(-len(clip) // 320)].cpu() if self.trim else frames.cpu())
        return np.asarray(torch.stack(output.hidden_states[-4:]).sum(dim=0)[0].cpu())


def our_backbone(
    folder: Path, name: str, device: torch.device, batch_size: int | None, precision: str
) -> FeatureBackbone:
    """As extract_features.py loads it from its config; batch_size: another than the config's."""
    words = [f"backbone.model={folder}", "backbone.revision=null", f"compute.precision={precision}"]
    words += [f"batch_size={batch_size}"] if batch_size else []
    file = Path(__file__).parents[1] / "configs" / "features" / f"{CONFIGS[name]}.yaml"
    return load_backbone(load_config(ExtractConfig, [file], words), device)


def check_same(naive: Naive, exact: FeatureBackbone, clips: Clips) -> None:
    """The frames that ours keeps are the naive way's, to 1e-3 of the largest value; else an AssertionError."""
    chosen = [clips.read(clip) for clip in clips.ids[:CHECKED]]
    for clip, ours in zip(chosen, exact.features(chosen), strict=True):
        with torch.no_grad():
            frames = naive.frames(clip)
        kept = frames[1:-1] if naive.kind == "text" else frames[: len(ours)]
        np.testing.assert_allclose(ours, kept, atol=1e-3 * float(np.abs(kept).max()), rtol=0)


def write_store(backbone: FeatureBackbone, clips: Clips, out: Path) -> None:
    """As extract_features.py does, from the first clip to the last shard."""
    for shard in out.glob("*.safetensors"):
        os.unlink(shard)
    store = StoreWriter(out, {"name": out.name, "dim": backbone.dim, "shard_size": 256}, clips.ids)
    fill(store, clips, backbone.features, backbone.config.batch_size, backbone.config.name)


def measure(record: Record, name: str, args: argparse.Namespace) -> None:
    """All ways of one backbone, in turn."""
    device, fastest = record.device, fastest_precision(record.device)
    clips = Clips(max(1, int(args.clips * CLIPS[KINDS[name]])), name)
    with tempfile.TemporaryDirectory() as folder:
        out, model = Path(folder), write_backbone(Path(folder) / "model", name, args.layers)
        naive = Naive(model, name, device)
        exact = our_backbone(model, name, device, args.batch_size, "float32")
        check_same(naive, exact, clips)
        ways: dict[str, Callable[[], None]] = {
            "naive": lambda: naive.write(clips, out / "naive"),
            "ours, float32": lambda: write_store(exact, clips, out / "exact"),
        }
        if fastest == "bf16":
            fast = our_backbone(model, name, device, args.batch_size, "bf16")
            fast.features([clips.read(clip) for clip in clips.ids[:CHECKED]])
            ways["ours, bf16"] = lambda: write_store(fast, clips, out / "fast")
        if name == "whisper":
            trimmed = Naive(model, name, device, trim=True)
            ways["naive, trimmed"] = lambda: trimmed.write(clips, out / "trimmed")
        if device.type == "cuda":
            with_tf32 = Naive(model, name, device, tf32=True)
            ways["naive, TF32"] = lambda: with_tf32.write(clips, out / "tf32")
        seconds = in_turn(ways, args.repeats, device, warm_up=device.type == "cuda")
    rows = [
        {"way": way, "real_time": clips.seconds / own, "times_naive": seconds["naive"] / own}
        for way, own in seconds.items()
    ]
    details = {"clips": len(clips.ids), "batch_size": exact.config.batch_size}
    ours = seconds[f"ours, {fastest}"]
    record.figure(f"{name}: {fastest}", seconds["naive"] / ours, TARGETS[name], **details, rows=rows)
    if fastest != "float32":
        record.figure(f"{name}: float32, as configured", seconds["naive"] / seconds["ours, float32"], None, **details)
    if name in REAL_TIME:
        record.figure(f"{name}: times real time, {fastest}", clips.seconds / ours, REAL_TIME[name])


def measure_growth(record: Record, name: str, args: argparse.Namespace) -> None:
    """Exponent over one, two, four and eight times the clips, in the fastest precision."""
    distinct = args.growth_clips // GROWTH_SIZES[-1]
    sizes = [distinct * times for times in GROWTH_SIZES]
    with tempfile.TemporaryDirectory() as folder:
        model = write_backbone(Path(folder) / "model", name, args.layers)
        backbone = our_backbone(model, name, record.device, args.batch_size, fastest_precision(record.device))
        work = [
            partial(write_store, backbone, Clips(size, name, distinct), Path(folder) / str(size)) for size in sizes
        ]  # fmt: skip
        work[0]()
        seconds = least_of(work, args.repeats, record.device)
    limit = {"cpu": 1 / 1.05, "cuda": 1 / 1.05}
    record.figure(f"{name}: growth", 1 / growth(sizes, seconds), limit, clips=sizes, seconds=seconds)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--backbones", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--layers", type=int, default=4, help="of each (default 4; 0: all)")
    parser.add_argument("--clips", type=int, default=12, help="recordings for WavLM and HuBERT (default 12)")
    parser.add_argument("--growth-clips", type=int, default=64, help="recordings at the most, of WavLM (default 64)")
    parser.add_argument("--batch-size", type=int, help="of ours (default: the config's)")
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    parts = None if args.backbones == list(KINDS) else [f"{name}:" for name in args.backbones]
    record = Record(
        "extraction", args.device, parts, transformers=hf.__version__, layers=args.layers, repeats=args.repeats
    )
    for name in args.backbones:
        measure(record, name, args)
    if "wavlm" in args.backbones:
        measure_growth(record, "wavlm", args)


if __name__ == "__main__":
    main()
