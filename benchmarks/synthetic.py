"""What the synthetic corpus sounds like, by the emotion of the voice, and how far each modality alone could get.

    python benchmarks/synthetic.py data/synthetic

Prints the figures of docs/synthetic.md: means over clips; RMS and F0 (median of a clip, YIN) over its loud frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from medusa.audio import SAMPLE_RATE, pitch, read_audio, root_mean_square
from medusa.corpora.labels import Labels, read_labels
from medusa.errors import command
from medusa.files import read_csv
from medusa.metrics import macro_f1

HOP, WINDOW = 160, 1024
LOUD = 0.3
"""Of the loudest frame: above it frames count as voiced."""


def measure(path: Path) -> dict[str, float]:
    """Seconds, RMS in dB of full scale, peak, F0 in Hz of one clip."""
    samples = read_audio(path)
    energy = root_mean_square(samples, HOP, WINDOW)
    loud = energy > LOUD * energy.max()
    return {
        "seconds": len(samples) / SAMPLE_RATE,
        "RMS, dBFS": float(20 * np.log10(np.sqrt(np.mean(energy[loud] ** 2)))),
        "peak": float(np.abs(samples).max()),
        "F0, Hz": float(np.median(pitch(samples, HOP, WINDOW, lowest=60, highest=500)[loud])),
    }


def decided_by(labels: Labels, mechanism: pd.DataFrame) -> dict[str, float]:
    """Macro-F1 against EmoClass of whoever knows the emotion of the words, of the voice, or what was felt."""
    rows = labels.class_indices() >= 0
    drawn = mechanism.set_index("FileName").loc[labels.table["FileName"][rows]]
    truth, emotions = labels.class_indices()[rows], pd.Index(labels.emotions)
    channels = ("Words", "Voice", "Felt")
    return {name: macro_f1(truth, emotions.get_indexer(pd.Index(drawn[name])), len(emotions)) for name in channels}


@command
def main() -> None:
    """Measure every clip of a corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="what `medusa prepare synthetic --out` wrote")
    corpus: Path = parser.parse_args().corpus
    labels = read_labels(corpus / "labels.csv")
    mechanism = read_csv(corpus / "mechanism.csv", remedy="make it with: python -m medusa prepare synthetic")
    measured = pd.DataFrame([measure(corpus / "Audios" / name) for name in mechanism["FileName"]])
    print(measured.groupby(mechanism["Voice"].to_numpy()).mean().loc[list(labels.emotions)].round(2).to_string())
    print(f"\nhighest peak {measured['peak'].max():.2f}; ", end="")
    print("seconds: {:.1f} to {:.1f}, mean {:.1f}".format(*measured["seconds"].agg(["min", "max", "mean"])))
    print("macro-F1:", ", ".join(f"{name} {score:.3f}" for name, score in decided_by(labels, mechanism).items()))


if __name__ == "__main__":
    main()
