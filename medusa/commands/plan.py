"""`python -m medusa plan PIPELINE`: what a pipeline will cost, before anything runs."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "jobs, GPU-hours and disk of a pipeline, computed from its configs and stated assumptions"

ASSUMPTIONS: dict[str, tuple[type[int] | type[float], str]] = {
    "clips": (int, "clips that get features (MSP-Podcast challenge: 119,421)"),
    "train": (float, "share of the clips that members train on"),
    "selection": (float, "share of the clips that every epoch is scored on"),
    "smallest_class": (float, "share of the training clips in the smallest class"),
    "seconds": (float, "mean length of a clip"),
    "text_tokens": (float, "mean number of tokens in a transcript"),
    "epochs": (int, "epochs of a member (0: all that its config allows)"),
    "gpu_tflops": (float, "10^12 operations a second that a GPU sustains in float32"),
    "gpu_tflops_bf16": (float, "the same in bf16"),
    "decode_steps": (float, "tokens a second and batch in speech recognition"),
}
"""Fields of `medusa.workflow.cost.Assumptions` that are options, and what they are."""

SHARES = ("train", "selection", "smallest_class")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("pipeline", type=Path, metavar="PIPELINE.yaml", help="for example configs/pipelines/demo.yaml")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 4, 8], metavar="N", help="tell the time on so many")
    for name, (kind, says) in ASSUMPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=says)


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    from medusa.errors import UserError
    from medusa.workflow.jobs import read_pipeline
    from medusa.workflow.plan import plan

    given = {name: getattr(args, name) for name in ASSUMPTIONS if getattr(args, name) is not None}
    for name, value in given.items():
        least, most = (0, 1) if name in SHARES else (0, 1e12)
        zero = name in SHARES or name == "epochs"
        if not least <= value <= most or (value == 0 and not zero):  # in these words NaN is refused too
            allowed = "0 to 1" if name in SHARES else "0 or more" if zero else "above 0"
            raise UserError(f"--{name.replace('_', '-')} {value:g}: must be {allowed}")
    if min(args.gpus) < 1:
        raise UserError(f"--gpus {min(args.gpus)}: must be at least 1")
    print(plan(read_pipeline(args.pipeline), given, args.gpus))
