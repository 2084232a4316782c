"""`python -m medusa verify PATH…`: whether stores, runs, posteriors and bundles are what was written."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "find damage: stores, transcripts, runs, posteriors, labels and bundles, by their checksums"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH",
        help="a store, run or bundle, or a folder of them, such as data/msp-podcast runs/paper",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Print a line for everything found; end in an error if any of it is damaged."""
    from medusa.app.verify import verify
    from medusa.errors import UserError, one_line

    problems, sound = [], 0
    for finding in verify(args.paths):
        if finding.problem is None:
            sound += 1
            print(one_line(f"sound {finding.path}: {finding.what}"))
        else:
            problems.append(finding.problem)
            print(one_line(f"damaged {finding.problem}"))
    if problems:
        more = f" (and {len(problems) - 1} more, listed above)" if len(problems) > 1 else ""
        raise UserError(problems[0] + more)
    print(f"{sound} of {sound} are as they were written")
