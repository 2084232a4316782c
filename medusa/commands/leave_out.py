"""`python -m medusa leave-out`: labels without the recordings that could not be used."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "labels without the recordings that an extraction could not use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="labels.csv with all utterances")
    parser.add_argument(
        "--failed", type=Path, required=True, nargs="+", metavar="PATH",
        help="feature stores, folders transcripts.parts, or lists such as their failures.csv",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for labels.csv and left_out.csv")


def run(args: argparse.Namespace) -> None:
    """Write `<out>/labels.csv`, `left_out.csv` and what they were made of, say how many rows each partition lost."""
    from medusa.corpora.labels import read_labels, write_labels
    from medusa.corpora.leave_out import LEFT_OUT, leave_out, told, write_left_out
    from medusa.errors import UserError
    from medusa.provenance import note_outputs, write_provenance

    out = args.out / "labels.csv"
    if out.resolve() == args.labels.resolve():
        raise UserError(f"--out {args.out}: {args.labels} lies there; choose another folder, all rows are still needed")
    labels = read_labels(args.labels)
    rest, taken = leave_out(labels, args.failed, out)
    write_left_out(args.out / LEFT_OUT, taken)
    write_labels(out, rest)
    settings = {"labels": str(args.labels), "failed": [str(path) for path in args.failed], "out": str(args.out)}
    write_provenance(args.out, settings, [args.labels], "cpu")
    note_outputs(args.out)
    print(f"{told(labels, taken)}: {args.out / LEFT_OUT}")
    print(f"the rest: {out} (train, evaluate and stack with paths.labels={out})")
