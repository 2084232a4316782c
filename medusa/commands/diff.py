"""`python -m medusa diff RUN RUN`: what two runs differ in, and what it did to their figures."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "config and figures of two runs side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "first", type=Path, metavar="RUN", help="folder of a member or ensemble, such as runs/x/members/1"
    )
    parser.add_argument("second", type=Path, metavar="RUN", help="the one to compare with it")


def run(args: argparse.Namespace) -> None:
    """Print what differs, section by section; differences are the second less the first."""
    from medusa.evaluation.comparison import compare
    from medusa.evaluation.one_run import open_run_folder
    from medusa.evaluation.plain import aligned

    sections = compare(open_run_folder(args.first), open_run_folder(args.second))
    rows: list[tuple[str, ...]] = [("", args.first.as_posix(), args.second.as_posix(), "difference")]
    for heading, found in sections.items():
        rows.append((heading, *(() if found else ("the same",))))
        rows += [(f"  {key}", *values) for key, *values in found]
    print(aligned(rows))
    if any("[" in row[-1] for row in rows[1:]):
        print("[…]: 95 % interval of the difference over draws of speakers, both runs on the same draws")
