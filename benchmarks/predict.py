"""How long predictions take: a folder in one call, one call per clip after loading, and one command per clip.

    python -m benchmarks.predict BUNDLE RECORDINGS_FOLDER [--clips 8] [--repeats 3] [--threads 1]

The median of the repeats is printed, with the least and the most: on a shared machine they differ.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medusa.app.model import Medusa
from medusa.app.recordings import find_recordings
from medusa.audio import duration


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    found = find_recordings([args.recordings])
    clips = found[:: max(1, len(found) // args.clips)][: args.clips]
    print(f"{len(clips)} clips, {np.mean([duration(clip) for clip in clips]):.1f} s each in the mean")

    show("loading", timed(lambda: Medusa.from_pretrained(args.bundle, threads=args.threads), args.repeats))
    medusa = Medusa.from_pretrained(args.bundle, threads=args.threads)
    medusa.predict(clips[:1])  # the first call compiles what librosa needs
    together = timed(lambda: medusa.predict(clips), args.repeats) / len(clips)
    singly = timed(lambda: [medusa.predict([clip]) for clip in clips], args.repeats) / len(clips)
    commands = timed(lambda: one_by_one(args.bundle, clips[:2], args.threads), args.repeats) / 2
    show("a clip, folder in one call", together)
    show("a clip, one call each after loading", singly, together)
    show("a clip, one command each", commands, together)


def timed(work: Callable[[], object], repeats: int) -> np.ndarray:
    """Seconds of each repeat."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


def one_by_one(bundle: Path, clips: list[Path], threads: int) -> None:
    """As a user would without a folder."""
    for clip in clips:
        words = [sys.executable, "-m", "medusa", "predict", str(bundle), str(clip), "--threads", str(threads)]
        subprocess.run(words, check=True, capture_output=True)


def show(name: str, seconds: np.ndarray, base: np.ndarray | None = None) -> None:
    """One line; how many times the median of `base` this is."""
    times = "" if base is None else f", {np.median(seconds) / np.median(base):.1f} × the folder's"
    print(f"{name:<38}{np.median(seconds):7.2f} s  ({seconds.min():.2f} to {seconds.max():.2f}){times}")


if __name__ == "__main__":
    main()
