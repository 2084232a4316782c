"""Reading features: our store against one .npy file of float32 per utterance, and the memory that reading takes.

    python -m benchmarks.store [--clips 2000] [--folder /somewhere/on/the/disk]

Clips are as long as MSP-Podcast's, at 1,024 values a frame; 2,000 clips of WavLM take 1.1 GB and 2.3 GB. Both ways read
from the page cache: what is compared is the work of reading, not the disk. The naive way's batches go through a
DataLoader of four workers, padded to float32; ours through `medusa.training.data.batches`.
Writes benchmarks/results/cpu/store.json.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.podcast import DIMS, draw_lengths
from benchmarks.record import Record, growth, in_turn, seconds_of
from medusa.errors import command
from medusa.features.store import FeatureStore, StoreWriter
from medusa.training.data import FeatureExamples, Targets, batches

CPU = torch.device("cpu")
BATCH = 16


class NpyClips(Dataset[torch.Tensor]):
    """One file per utterance."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.load(self.files[index], allow_pickle=False))


def padded(clips: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, D) float32 and lengths."""
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor([len(clip) for clip in clips])


def write(folder: Path, modality: str, clips: int) -> tuple[FeatureStore, list[Path]]:
    """The same random features in both ways."""
    lengths, dim = draw_lengths(clips, modality).tolist(), DIMS[modality]
    frames = np.random.default_rng(0).normal(size=(max(lengths), dim)).astype(np.float16)
    ids = [f"clip{clip:06d}" for clip in range(clips)]
    values = {clip: frames[:length] for clip, length in zip(ids, lengths, strict=True)}
    writer = StoreWriter(folder / "store", {"name": "store", "dim": dim, "shard_size": 256}, ids)
    for index, shard in enumerate(writer.shards):
        writer.write(index, {clip: values[clip] for clip in shard})
    (folder / "npy").mkdir()
    files = [folder / "npy" / f"{clip}.npy" for clip in ids]
    for file, clip in zip(files, ids, strict=True):
        np.save(file, values[clip].astype(np.float32))
    return FeatureStore(folder / "store"), files


def bytes_of(folder: Path) -> int:
    """Of all files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def resident() -> int:
    """Bytes of this process in memory, without the page cache and what is mapped from files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def examples(store: FeatureStore) -> FeatureExamples:
    """The store's clips with targets that mean nothing."""
    nothing = np.zeros((len(store), 1), np.float32)
    return FeatureExamples(Targets(store.ids, nothing, nothing, np.zeros(len(store), np.int64)), [store])


def read_all(clips: FeatureExamples, order: np.ndarray) -> int:
    """Read every clip once, in batches; the most resident bytes after any of 20 evenly spaced batches."""
    rows = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    every = -(-len(rows) // 20)
    return max(resident() if number % every == 0 else 0 for number, _ in enumerate(batches(clips, rows)))


def measure_reads(record: Record, folder: Path, modality: str, clips: int, repeats: int) -> None:
    """One read after the other, and batches as a training loop gets them."""
    store, files = write(folder, modality, clips)
    ids, held, order = store.ids, examples(store), np.random.default_rng(1).permutation(clips)
    single = {
        "npy": lambda: sum(len(np.load(files[row], allow_pickle=False)) for row in order),
        "ours": lambda: sum(len(store.read(ids[row])) for row in order),
    }
    loader = DataLoader(NpyClips(files), BATCH, shuffle=True, num_workers=4, collate_fn=padded)
    batched = {"npy": lambda: sum(1 for _ in loader), "ours": lambda: read_all(held, order)}
    for name, ways in (("random reads/s, one thread", single), ("random reads/s, in batches", batched)):
        seconds = in_turn(ways, repeats, CPU)
        rows = [{"way": way, "reads_per_second": clips / own} for way, own in seconds.items()]
        record.figure(f"{modality}: {name}", seconds["npy"] / seconds["ours"], {"cpu": 4}, rows=rows)
    disk = {"npy": bytes_of(folder / "npy"), "ours": bytes_of(folder / "store")}
    record.figure(f"{modality}: bytes on disk", disk["npy"] / disk["ours"], {"cpu": 1 / 0.51}, bytes=disk)


def measure_memory_and_growth(record: Record, folder: Path, repeats: int) -> None:
    """Of the store that `measure_reads` wrote."""
    held = examples(FeatureStore(folder / "store"))
    clips = len(held.targets)
    order = np.random.default_rng(1).permutation(clips)
    before = resident()
    grown = max(max(read_all(held, order) for _ in range(2)) - before, 1)
    record.figure("memory while reading", 300e6 / grown, {"cpu": 1}, grown_megabytes=grown / 1e6)
    sizes = [clips // 8, clips // 4, clips // 2, clips]
    seconds = [min(seconds_of(partial(read_all, held, order[:count]), CPU) for _ in range(repeats)) for count in sizes]
    record.figure("growth", 1 / growth(sizes, seconds), {"cpu": 1 / 1.05}, clips=sizes, seconds=seconds)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the files are written and deleted (default: temporary)")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "This DataLoader will create 4 worker")
    record = Record("store", CPU, clips=args.clips, repeats=args.repeats)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for modality in ("roberta", "wavlm"):
            (Path(folder) / modality).mkdir()
            measure_reads(record, Path(folder) / modality, modality, args.clips, args.repeats)
        measure_memory_and_growth(record, Path(folder) / "wavlm", args.repeats)


if __name__ == "__main__":
    main()
