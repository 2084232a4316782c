"""Feature extraction against the way of the authors' release, each of the five backbones at its true width.

    python -m benchmarks.extraction                        # four layers of each, about 6 minutes on two CPU cores
    python -m benchmarks.extraction --device cuda --layers 0 --clips 512 --batch-size 32

The naive way: float32, attention step by step, one clip at a time, Whisper's 1,500 frames kept, a .npy file of float32
for each clip. Ours: bf16 through `load_backbone` and `fill`, shards of float16. Weights are random, clips are noise as
long as MSP-Podcast's, given as waveforms; for texts a second is 20 tokens. Writes benchmarks/results/<device>/
extraction.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.backbones import KINDS, WORDS, hf, write_backbone
from benchmarks.podcast import FRAME_RATE, draw_lengths
from benchmarks.record import Record, add_device, growth, in_turn, seconds_of
from medusa.audio import SAMPLE_RATE
from medusa.config.schema import ExtractConfig
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


class Clips:
    """Noise, or texts of random words, by utterance id: a `Source`."""

    def __init__(self, count: int, name: str) -> None:
        draws, lengths = np.random.default_rng(0), draw_lengths(count, name).tolist()
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
    """One clip at a time, in float32."""

    def __init__(self, folder: Path, name: str, device: torch.device, tf32: bool = False, trim: bool = False) -> None:
        loader = hf.AutoTokenizer if KINDS[name] == "text" else hf.AutoFeatureExtractor
        self.prepare: Any = loader.from_pretrained(folder)
        model = hf.AutoModel.from_pretrained(folder, attn_implementation="eager").eval().to(device)
        self.model = model.get_encoder() if name == "whisper" else model
        self.kind, self.device, self.tf32, self.trim = KINDS[name], device, tf32, trim

    def write(self, clips: Clips, out: Path) -> None:
        """A file of each clip's frames: the sum of the last four hidden states, of Whisper the last."""
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        out.mkdir(exist_ok=True)
        for clip in clips.ids:
            with torch.no_grad():
                np.save(out / f"{clip}.npy", self._frames(clips.read(clip)))

    def _frames(self, clip: Clip) -> np.ndarray:
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


def our_backbone(folder: Path, name: str, device: torch.device, batch_size: int, precision: str) -> FeatureBackbone:
    """As extract_features.py loads it."""
    config: dict[str, Any] = {
        "name": name,
        "backbone": {"kind": KINDS[name], "model": str(folder)},
        "layers": {"take": [-1] if name == "whisper" else [-4, -3, -2, -1]},
        "batch_size": batch_size,
        "compute": {"precision": precision},
    }
    return load_backbone(ExtractConfig.model_validate(config), device)


def write_store(backbone: FeatureBackbone, clips: Clips, out: Path) -> None:
    """As extract_features.py does, from the first clip to the last shard."""
    for shard in out.glob("*.safetensors"):
        os.unlink(shard)
    store = StoreWriter(out, {"name": out.name, "dim": backbone.dim, "shard_size": 256}, clips.ids)
    fill(store, clips, backbone.features, backbone.config.batch_size, backbone.config.name)


def measure(record: Record, name: str, layers: int, count: int, batch_size: int, repeats: int) -> None:
    """All ways of one backbone, in turn."""
    device = record.device
    with tempfile.TemporaryDirectory() as folder:
        model, out, clips = write_backbone(Path(folder) / "model", name, layers), Path(folder), Clips(count, name)
        naive = Naive(model, name, device)
        exact, fast = (our_backbone(model, name, device, batch_size, kind) for kind in ("float32", "bf16"))
        ways: dict[str, Callable[[], None]] = {
            "naive": lambda: naive.write(clips, out / "naive"),
            "ours, float32": lambda: write_store(exact, clips, out / "exact"),
            "ours, bf16": lambda: write_store(fast, clips, out / "fast"),
        }
        if name == "whisper":
            trimmed = Naive(model, name, device, trim=True)
            ways["naive, trimmed"] = lambda: trimmed.write(clips, out / "trimmed")
        if device.type == "cuda":
            with_tf32 = Naive(model, name, device, tf32=True)
            ways["naive, TF32"] = lambda: with_tf32.write(clips, out / "tf32")
        seconds = in_turn(ways, repeats, device)
        rows = [
            {"way": way, "real_time": clips.seconds / own, "times_naive": seconds["naive"] / own}
            for way, own in seconds.items()
        ]
        record.figure(name, seconds["naive"] / seconds["ours, bf16"], TARGETS[name], rows=rows)
        if name in REAL_TIME:
            record.figure(f"{name}, times real time", clips.seconds / seconds["ours, bf16"], REAL_TIME[name])


def measure_growth(record: Record, name: str, count: int) -> None:
    """Exponent over an eighth, a quarter, half and all of the clips, four layers."""
    sizes = [count // divisor for divisor in (8, 4, 2, 1)]
    with tempfile.TemporaryDirectory() as folder:
        backbone = our_backbone(write_backbone(Path(folder) / "model", name, 4), name, record.device, 16, "bf16")
        work = [(Clips(size, name), Path(folder) / str(size)) for size in sizes]
        write_store(backbone, *work[0])
        seconds = [
            min(seconds_of(lambda one=one: write_store(backbone, *one), record.device) for _ in range(2))  # type: ignore[misc]
            for one in work
        ]
    limit = {"cpu": 1 / 1.05, "cuda": 1 / 1.05}
    record.figure(f"growth of {name}", 1 / growth(sizes, seconds), limit, clips=sizes, seconds=seconds)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser)
    parser.add_argument("--backbones", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--layers", type=int, default=4, help="of each (default 4; 0: all)")
    parser.add_argument("--clips", type=int, default=12, help="recordings; texts are 16 times as many (default 12)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = {key: getattr(args, key) for key in ("layers", "clips", "batch_size", "repeats")}
    record = Record("extraction", args.device, transformers=hf.__version__, **settings)
    for name in args.backbones:
        count = args.clips * (16 if KINDS[name] == "text" else 1)
        measure(record, name, args.layers, count, args.batch_size, args.repeats)
    measure_growth(record, "wavlm", 4 * args.clips)


if __name__ == "__main__":
    main()
