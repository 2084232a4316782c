"""`python -m medusa bundle RUNS`: a trained ensemble as one folder, to keep, share and call."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

HELP = "write a trained ensemble as one folder that turns recordings into emotions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "runs", type=Path, metavar="RUNS", help="folder with members/ and ensembles/, such as runs/demo"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the bundle; a bundle there is replaced"
    )
    parser.add_argument("--ensemble", metavar="NAME", help="which ensemble (default: the one with most members)")
    parser.add_argument(
        "--about",
        metavar="TEXT",
        help="what it was trained on, a sentence for the model card (default: what the corpus says of itself)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the bundle and say how to use it."""
    from medusa.app.bundle import write_bundle

    description = write_bundle(args.runs, args.out, args.ensemble, args.about)
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    count = len(description.members)
    print(f"ensemble {description.name}: {count} member{'s' if count > 1 else ''}, {size / 1e6:.0f} MB")
    print(f"bundle: {args.out}\nnext: python -m medusa predict {shlex.quote(str(args.out))} RECORDING")
