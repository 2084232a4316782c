"""`python -m medusa samples`: write the tiny corpus that `make sample` runs on."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a tiny made-up corpus in every format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws another corpus (default 1)")


def run(args: argparse.Namespace) -> None:
    """Write the files and say where they are."""
    from medusa.demo.samples import write_samples

    for path in write_samples(args.out, args.seed):
        print(path)
