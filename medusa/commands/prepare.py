"""`python -m medusa prepare CORPUS`: recordings and annotations become labels.csv."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medusa.corpora.labels import Labels
    from medusa.corpora.votes import Prepared

HELP = "turn a corpus into labels.csv: soft targets, speakers, partition"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per corpus; its `prepare` gives labels, votes and notes, and the recordings' folder if known."""
    corpora = parser.add_subparsers(metavar="CORPUS", required=True)
    _add_msp_podcast(corpora.add_parser("msp-podcast", help="MSP-Podcast: soft targets from the annotators' votes"))
    _add_ravdess(corpora.add_parser("ravdess", help="RAVDESS, speech part: labels from file names, split by actor"))
    _add_crema_d(corpora.add_parser("crema-d", help="CREMA-D: labels from its listeners' votes, split by actor"))
    _add_csv(corpora.add_parser("csv", help="your own corpus: a table of classes, probabilities or counts of votes"))
    _add_synthetic(corpora.add_parser("synthetic", help="a corpus made here: eSpeak NG's voices, simulated annotators"))
    for corpus in corpora.choices.values():
        corpus.add_argument(
            "--durations", action=argparse.BooleanOptionalAction, default=True,
            help="read every recording's length for the data card (default: where the recordings are known)",
        )  # fmt: skip
        # The first config to run, which needs no weights; where another one does, its corpus says so.
        corpus.set_defaults(
            extract=corpus.get_default("extract") or "configs/ravdess/features/logmel.yaml",
            about=corpus.get_default("about") or "",
        )


def run(args: argparse.Namespace) -> None:
    """Write `<out>/labels.csv` and its data card, show what is in it and what to run next."""
    from medusa.corpora.labels import write_labels
    from medusa.evaluation.datacard import write_datacard
    from medusa.provenance import note_outputs, write_provenance

    prepared: Prepared
    audio: Path | None
    prepared, audio = args.prepare(args)
    labels = prepared.labels
    write_labels(labels.source, labels)
    print("\n".join([_summary(labels), *prepared.notes, *_gaps(labels)]))
    settings = {key: value for key, value in vars(args).items() if isinstance(value, str | int | float | list | None)}
    write_provenance(labels.source.parent, settings, _sources(args), "cpu")
    note_outputs(labels.source.parent, labels.source.name)
    card = write_datacard(labels.source.parent, args.title, prepared, audio if args.durations else None, args.about)
    print(f"\nwrote {labels.source}\ndata card: {card}")
    print(f"next: {_next_command(labels.source, audio, args.extract)}")


def _add_msp_podcast(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="the corpus: folder with Labels/, Audios/, …")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.csv")
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE",
        help="every annotator's votes, CSV or JSON (default ROOT/Labels/labels_detailed.csv, or else .json)",
    )  # fmt: skip
    parser.add_argument(
        "--secondary", action="store_true",
        help="an annotator's vote is shared equally by the main and the secondary emotions (default: main only)",
    )  # fmt: skip
    _add_split(parser, holdout=0.1, dev=0)
    parser.add_argument(
        "--by", choices=("speaker", "utterance"), default="speaker",
        help="what the split of Train and Development keeps in one partition (default speaker: a model that has heard "
        "a test speaker in training scores better than on new ones; the paper does not say)",
    )  # fmt: skip
    parser.set_defaults(
        prepare=_msp_podcast, title="MSP-Podcast", extract="configs/features/whisper-asr.yaml"
    )  # the paper's text comes from there


def _msp_podcast(args: argparse.Namespace) -> tuple[Prepared, Path]:
    from medusa.corpora import msp_podcast

    how = {"by": args.by, "annotations": args.annotations, "secondary": args.secondary}
    prepared = msp_podcast.prepare(args.root, args.out / "labels.csv", _shares(args), args.seed, **how)
    return prepared, args.root / "Audios"


def _add_ravdess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", type=Path, required=True, help="folder with the recordings (Actor_01/03-01-*.wav …)")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.csv")
    parser.add_argument("--folds", type=int, default=5, help="folds of the cross-validation over actors (default 5)")
    parser.add_argument("--fold", type=int, default=0, metavar="K", help="the fold that is test, from 0 (default 0)")
    parser.set_defaults(prepare=_ravdess, title="RAVDESS")


def _ravdess(args: argparse.Namespace) -> tuple[Prepared, Path]:
    from medusa.corpora import ravdess
    from medusa.corpora.votes import Prepared
    from medusa.files import write_csv

    labels = ravdess.prepare(args.audio, args.out / "labels.csv", folds=args.folds, fold=args.fold)
    write_csv(args.out / "reference_transcripts.csv", ravdess.reference_transcripts(labels))
    return Prepared(labels, votes=None, notes=[]), args.audio


def _add_crema_d(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--votes", type=Path, required=True, metavar="FILE", help="tabulatedVotes.csv")
    parser.add_argument(
        "--audio", type=Path, required=True, help="folder AudioWAV; labels can be made before it is there"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.csv")
    parser.add_argument("--demographics", type=Path, metavar="FILE", help="VideoDemographics.csv, for Gender")
    parser.add_argument(
        "--condition", choices=("voice", "face", "both"), default="voice",
        help="whose votes: of raters who heard the voice, saw the face, or both (default voice)",
    )  # fmt: skip
    _add_split(parser, holdout=0.2, dev=0.1)
    parser.set_defaults(prepare=_crema_d, title="CREMA-D")


def _crema_d(args: argparse.Namespace) -> tuple[Prepared, Path]:
    from medusa.corpora import crema_d

    inputs = (args.votes, args.audio, args.out / "labels.csv", _shares(args), args.seed)
    return crema_d.prepare(*inputs, demographics=args.demographics, condition=args.condition), args.audio


def _add_csv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="CSV with FileName and emotions")
    parser.add_argument("--audio", type=Path, required=True, help="folder that every FileName is relative to")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.csv")
    parser.add_argument(
        "--class-column", metavar="NAME", help="the column of classes (default EmoClass, if no column is an emotion)"
    )
    parser.add_argument(
        "--emotions", nargs="+", default=[], metavar="NAME",
        help="the emotion columns, or the classes, in order (default: all columns that labels.csv does not reserve)",
    )  # fmt: skip
    parser.add_argument(
        "--scale", nargs=2, type=float, metavar=("LOW", "HIGH"), help="scale of EmoAct, EmoVal, EmoDom (default 1 7)"
    )
    _add_split(parser, holdout=0.2, dev=0.1)
    parser.add_argument(
        "--by", choices=("speaker", "utterance"),
        help="what the split keeps in one partition (default: speaker, where the table has SpkrID)",
    )  # fmt: skip
    parser.add_argument("--title", default="my corpus", metavar="TEXT", help="name of the corpus, for its data card")
    parser.set_defaults(prepare=_csv)


def _csv(args: argparse.Namespace) -> tuple[Prepared, Path]:
    from medusa.corpora import table

    inputs = (args.table, args.audio, args.out / "labels.csv", _shares(args), args.seed)
    how = {"by": args.by, "class_column": args.class_column, "emotions": args.emotions, "scale": args.scale}
    return table.prepare(*inputs, **how), args.audio


def _add_split(parser: argparse.ArgumentParser, holdout: float, dev: float) -> None:
    parser.add_argument(
        "--holdout", type=float, default=holdout, metavar="SHARE", help=f"test rows (default {holdout})"
    )
    parser.add_argument(
        "--dev", type=float, default=dev, metavar="SHARE",
        help=f"dev rows, to select models on: an honest protocol (default {dev}); 0: none, models are selected on test "
        "as in the paper, which flatters test scores",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="another seed, another split (default 1)")


def _shares(args: argparse.Namespace) -> dict[str, float]:
    """Share of each held-out partition that is asked for."""
    return {name: share for name, share in (("test", args.holdout), ("dev", args.dev)) if share}


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for Audios/, labels.csv and the rest")
    parser.add_argument("--clips", type=int, default=300, help="how many recordings, at least 56 (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another corpus (default 1)")
    parser.set_defaults(
        prepare=_synthetic,
        title="synthetic corpus",
        about="The corpus is synthetic: eSpeak NG's voices, simulated annotators. What is measured on it says nothing "
        "about human speech.",
    )


def _synthetic(args: argparse.Namespace) -> tuple[Prepared, Path]:
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


def _gaps(labels: Labels) -> list[str]:
    """A warning for each partition that lacks a class: it is better read here than from training."""
    from medusa.corpora.labels import PARTITIONS

    warnings = []
    for name in PARTITIONS[:-1]:
        present = set(labels.partition(name).table["EmoClass"])
        absent = [emotion for emotion in labels.emotions if emotion not in present]
        if labels.has(name) and absent:
            needs = "balanced training" if name == "train" else "scoring"
            warnings.append(f"warning: {name} has no row of class {', '.join(absent)}, but {needs} needs every class")
    return warnings


def _sources(args: argparse.Namespace) -> list[Path]:
    """The annotations that were read: files that the options name, and those in a release's folder."""
    named = [value for value in vars(args).values() if isinstance(value, Path) and value.is_file()]
    root = getattr(args, "root", None)
    below = [] if root is None else [*root.glob("*.txt"), *(root / "Labels").glob("*")]
    return [*named, *sorted(path for path in below if path.is_file())]


def _next_command(labels_csv: Path, audio: Path | None, config: str) -> str:
    """How to go on: with the features, or with the transcripts that text features need."""
    fills = "transcripts.csv" if config.endswith("-asr.yaml") else "features"
    paths = {"labels": labels_csv, "audio": audio or "AUDIO", Path(fills).stem: labels_csv.parent / fills}
    overrides = [f"paths.{key}={path}" for key, path in paths.items()]
    return shlex.join(["python", "extract_features.py", config, *overrides])
