"""Reading features: our store against one .npy file of float32 per utterance, and the memory that reading takes.

    python -m benchmarks.store                             # about 2 minutes on two CPU cores, 4 GB of disk
    python -m benchmarks.store --folder /somewhere/on/the/disk

Clips are as long as MSP-Podcast's, at 1,024 values a frame; 2,000 clips of WavLM take 1.1 GB and 2.3 GB. Both ways read
from the page cache: what is compared is the work of reading, not the disk. The naive way's batches go through a
DataLoader of four workers, padded to float32; ours through `medusa.training.data.batches`, packed and float16, as the
network takes them. Ours checks every utterance when it first reads it, as in the first epoch: that reading is not
counted, and stands beside the others. Both give the same values, which is asserted.

Memory is measured in a process of its own, from before the store is opened: what is held that is no page cache
(RssAnon), index, checked ids and batches read ahead included, at the most while every clip is read twice. Two stores
of WavLM features show that it does not grow with the bytes of a store, a store of many clips at one value a frame what
the index takes. Growth of time is over a store's first clips, in which the same lengths come again and again.
Writes benchmarks/results/cpu/store.json.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.podcast import DIMS, draw_lengths
from benchmarks.processes import alone, resident
from benchmarks.record import Record, growth, in_turn, least_of, seconds_of
from medusa.errors import command
from medusa.features.store import FeatureStore, StoreWriter
from medusa.training.data import FeatureExamples, Targets, batches

CPU = torch.device("cpu")
BATCH = 16
SIZES = 8
"""Growth is measured from an eighth of the clips on; so many times each length comes again."""
MEMORY_LIMIT = 300e6


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


class Written(NamedTuple):
    """The same features in both ways."""

    store: Path
    ids: list[str]
    files: list[Path]


def write_store(path: Path, lengths: list[int], dim: int) -> dict[str, np.ndarray]:
    """Random features as a store; (frames, dim) float16 by utterance id."""
    frames = np.random.default_rng(0).normal(size=(max(lengths), dim)).astype(np.float16)
    values = {f"clip{clip:06d}": frames[:length] for clip, length in enumerate(lengths)}
    writer = StoreWriter(path, {"name": "store", "dim": dim, "shard_size": 256}, list(values))
    for index, shard in enumerate(writer.shards):
        writer.write(index, {clip: values[clip] for clip in shard})
    return values


def write(folder: Path, modality: str, clips: int) -> Written:
    """Both ways."""
    lengths = draw_lengths(clips, modality, distinct=max(1, clips // SIZES)).tolist()
    values = write_store(folder / "store", lengths, DIMS[modality])
    (folder / "npy").mkdir()
    files = [folder / "npy" / f"{clip}.npy" for clip in values]
    for file, clip in zip(files, values.values(), strict=True):
        np.save(file, clip.astype(np.float32))
    return Written(folder / "store", list(values), files)


def check_same(written: Written) -> None:
    """Every hundredth clip has the same values in both ways; else an AssertionError."""
    store = FeatureStore(written.store)
    for clip, file in list(zip(written.ids, written.files, strict=True))[::100]:
        np.testing.assert_array_equal(store.read(clip), np.load(file, allow_pickle=False))


def bytes_of(folder: Path) -> int:
    """Of all files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def examples(store: FeatureStore) -> FeatureExamples:
    """The store's clips with targets that mean nothing."""
    nothing = np.zeros((len(store), 1), np.float32)
    return FeatureExamples(Targets(store.ids, nothing, nothing, np.zeros(len(store), np.int64)), [store])


def in_batches(order: np.ndarray) -> list[np.ndarray]:
    """Rows of each batch."""
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def read_all(clips: FeatureExamples, order: np.ndarray) -> int:
    """Read every clip once, in batches; how many batches."""
    return sum(1 for _ in batches(clips, in_batches(order)))


def measure_reads(record: Record, written: Written, modality: str, repeats: int) -> None:
    """One read after the other, and batches as a training loop gets them."""
    check_same(written)
    ids, files, order = written.ids, written.files, np.random.default_rng(1).permutation(len(written.ids))
    store = FeatureStore(written.store)
    held = examples(store)
    single = {
        "npy": lambda: sum(len(np.load(files[row], allow_pickle=False)) for row in order),
        "ours": lambda: sum(len(store.read(ids[row])) for row in order),
    }
    loader = DataLoader(NpyClips(files), BATCH, shuffle=True, num_workers=4, collate_fn=padded)
    batched = {"npy": lambda: sum(1 for _ in loader), "ours": lambda: read_all(held, order)}
    first = seconds_of(lambda: read_all(examples(FeatureStore(written.store)), order), CPU)
    for name, ways in (("random reads/s, one thread", single), ("random reads/s, in batches", batched)):
        seconds = in_turn(ways, repeats, CPU)
        if ways is batched:
            seconds["ours, the first time"] = first
        rows = [{"way": way, "reads_per_second": len(ids) / own} for way, own in seconds.items()]
        record.figure(f"{modality}: {name}", seconds["npy"] / seconds["ours"], {"cpu": 4}, rows=rows)
    disk = {"npy": bytes_of(files[0].parent), "ours": bytes_of(written.store)}
    record.figure(f"{modality}: bytes on disk", disk["npy"] / disk["ours"], {"cpu": 1 / 0.51}, bytes=disk)


def memory_of_reading(path: Path) -> int:
    """Bytes by which this process grows at the most while a store is opened and read twice in random order."""
    before = resident()
    held = examples(FeatureStore(path))
    most = resident()
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(held.targets))
        for _ in batches(held, in_batches(order)):
            most = max(most, resident())
    return most - before


def measure_memory(record: Record, folder: Path, large: Written, index_clips: int) -> None:
    """Of a store, of a quarter of it, and of one of many clips."""
    lengths = draw_lengths(len(large.ids) // 4, "wavlm").tolist()
    write_store(folder / "small", lengths, DIMS["wavlm"])
    write_store(folder / "many", draw_lengths(index_clips, "roberta").tolist(), 1)
    stores = {
        f"WavLM, {len(lengths)} clips": folder / "small",
        f"WavLM, {len(large.ids)} clips": large.store,
        f"one value a frame, {index_clips} clips": folder / "many",
    }
    for name, path in stores.items():
        grown = max(alone(memory_of_reading, path), 1)
        details = {"grown_megabytes": grown / 1e6, "store_megabytes": bytes_of(path) / 1e6}
        record.figure(f"memory while reading: {name}", MEMORY_LIMIT / grown, {"cpu": 1}, **details)


def measure_growth(record: Record, written: Written, repeats: int) -> None:
    """Exponent of reading an eighth, a quarter, half and all of the clips."""
    held, clips = examples(FeatureStore(written.store)), len(written.ids)
    sizes = [clips // SIZES * times for times in (1, 2, 4, 8)]
    orders = [np.random.default_rng(1).permutation(size) for size in sizes]
    read_all(held, orders[-1])
    seconds = least_of([partial(read_all, held, order) for order in orders], repeats, CPU)
    record.figure("growth of reading", 1 / growth(sizes, seconds), {"cpu": 1 / 1.05}, clips_read=sizes, seconds=seconds)


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--index-clips", type=int, default=100_000, help="of the store of many clips")
    parser.add_argument("--folder", type=Path, help="where the files are written and deleted (default: temporary)")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "This DataLoader will create 4 worker")
    record = Record("store", CPU, clips=args.clips, repeats=args.repeats)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for modality in ("roberta", "wavlm"):
            (Path(folder) / modality).mkdir()
            written = write(Path(folder) / modality, modality, args.clips)
            measure_reads(record, written, modality, args.repeats)
        measure_memory(record, Path(folder), written, args.index_clips)
        measure_growth(record, written, args.repeats)


if __name__ == "__main__":
    main()
