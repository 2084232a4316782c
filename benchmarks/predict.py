"""How long predictions take: a clip of 5 s, a folder in one call, one call for each clip, one command for each.

    python -m benchmarks.predict BUNDLE RECORDINGS_FOLDER [--clips 8] [--repeats 3] [--threads 1]

The target for a folder is against a command per clip, which loads the bundle each time; calls on a loaded bundle stand
beside it. The median of the repeats counts. Writes benchmarks/results/<device>/predict.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.record import Record, add_device, seconds_of
from medusa.app.model import Medusa
from medusa.app.recordings import find_recordings
from medusa.audio import SAMPLE_RATE, duration, read_audio, write_wav
from medusa.errors import command


@command
def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    add_device(parser)
    args = parser.parse_args()
    device, threads = args.device, args.threads
    found = find_recordings([args.recordings])
    clips = found[:: max(1, len(found) // args.clips)][: args.clips]
    length = float(np.mean([duration(clip) for clip in clips]))
    record = Record("predict", device, clips=len(clips), mean_seconds_of_a_clip=round(length, 2))

    def load() -> Medusa:
        return Medusa.from_pretrained(args.bundle, device=str(device), threads=threads)

    loading = median_of(load, args.repeats, record)
    medusa = load()
    record.settings["members"] = len(medusa.labelling.members)
    with tempfile.TemporaryDirectory() as folder:
        five = Path(folder) / "five.wav"
        write_wav(five, np.concatenate([read_audio(clip) for clip in clips])[: 5 * SAMPLE_RATE])
        alone = median_of(lambda: medusa.predict([five]), args.repeats, record)
    record.figure(
        "a clip of 5 s after loading: 1.5 s / its time", 1.5 / alone, {"cpu": 1}, seconds=alone, loading=loading
    )
    together = median_of(lambda: medusa.predict(clips), args.repeats, record) / len(clips)
    singly = median_of(lambda: [medusa.predict([clip]) for clip in clips], args.repeats, record) / len(clips)
    commands = median_of(lambda: one_by_one(args.bundle, clips[:2], threads), args.repeats, record) / 2
    record.figure("a folder against a command per clip", commands / together, {"cpu": 3},
                  seconds_of_a_clip={"folder": together, "command": commands})  # fmt: skip
    record.figure("a folder against a call per clip, loaded", singly / together,
                  seconds_of_a_clip={"folder": together, "call": singly})  # fmt: skip


def median_of(work: Callable[[], object], repeats: int, record: Record) -> float:
    """Seconds."""
    return float(np.median([seconds_of(work, record.device) for _ in range(repeats)]))


def one_by_one(bundle: Path, clips: list[Path], threads: int) -> None:
    """As a user would without a folder."""
    for clip in clips:
        words = [sys.executable, "-m", "medusa", "predict", str(bundle), str(clip), "--threads", str(threads)]
        subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    main()
