"""`python -m medusa prepare CORPUS`: recordings and annotations become labels.csv."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medusa.corpora.labels import Labels

HELP = "turn a corpus into labels.csv: soft targets, speakers, partition"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per corpus."""
    corpora = parser.add_subparsers(metavar="CORPUS", required=True)
    _add_ravdess(corpora.add_parser("ravdess", help="RAVDESS, speech part: labels from file names, split by actor"))
    _add_synthetic(corpora.add_parser("synthetic", help="a corpus made here: eSpeak NG's voices, simulated annotators"))


def run(args: argparse.Namespace) -> None:
    """Write `<out>/labels.csv`, show what is in it and what to run next."""
    from medusa.corpora.labels import write_labels

    labels: Labels
    audio: Path
    labels, audio = args.prepare(args)
    write_labels(labels.source, labels)
    print(_summary(labels))
    print(f"\nwrote {labels.source}\nnext: {_next_command(labels.source, audio)}")


def _add_ravdess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", type=Path, required=True, help="folder with the recordings (Actor_01/03-01-*.wav …)")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.csv")
    parser.add_argument("--folds", type=int, default=5, help="folds of the cross-validation over actors (default 5)")
    parser.add_argument("--fold", type=int, default=0, metavar="K", help="the fold that is test, from 0 (default 0)")
    parser.set_defaults(prepare=_ravdess)


def _ravdess(args: argparse.Namespace) -> tuple[Labels, Path]:
    from medusa.corpora import ravdess

    return ravdess.prepare(args.audio, args.out / "labels.csv", folds=args.folds, fold=args.fold), args.audio


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for Audios/, labels.csv and the rest")
    parser.add_argument("--clips", type=int, default=300, help="how many recordings (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another corpus (default 1)")
    parser.set_defaults(prepare=_synthetic)


def _synthetic(args: argparse.Namespace) -> tuple[Labels, Path]:
    from medusa.corpora import synthetic

    return synthetic.prepare(args.out, args.clips, args.seed), args.out / "Audios"


def _summary(labels: Labels) -> str:
    """Rows per partition and class, and speakers per partition, as text."""
    from medusa.corpora.labels import PARTITIONS

    parts = {name: labels.partition(name).table for name in PARTITIONS if labels.has(name)}
    classes = [name for name in labels.table["EmoClass"].unique() if name not in labels.emotions]
    columns = [*labels.emotions, *sorted(name for name in classes if name)]
    width = max(len(name) for name in [*columns, *parts]) + 2
    lines = ["".join(f"{cell:>{width}}" for cell in ["", *columns, "rows"])]
    for name, table in parts.items():
        counts = [int((table["EmoClass"] == column).sum()) for column in columns]
        lines.append("".join(f"{cell:>{width}}" for cell in [name, *counts, len(table)]))
    for name, table in parts.items():
        speakers = sorted((speaker for speaker in table["SpkrID"].unique() if speaker), key=lambda s: (len(s), s))
        shown = [*speakers[:24], "…"] if len(speakers) > 24 else speakers
        lines.append(
            f"{name}: {len(speakers)} speakers ({' '.join(shown)})" if speakers else f"{name}: unknown speakers"
        )
    return "\n".join(lines)


def _next_command(labels_csv: Path, audio: Path) -> str:
    paths = {"labels": labels_csv, "audio": audio, "features": labels_csv.parent / "features"}
    command = ["python", "extract_features.py", "configs/ravdess/features/logmel.yaml"]
    return shlex.join([*command, *(f"paths.{key}={path}" for key, path in paths.items())])
