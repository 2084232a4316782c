"""`python -m medusa submission`: the file that the challenge takes, written or checked."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write or check a submission to the challenge: one letter for each recording of Test3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "posteriors", type=Path, nargs="?", metavar="POSTERIORS.csv",
        help="for example runs/paper/ensembles/metacls/posteriors/soup/unlabelled.csv",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="the submission to write")
    parser.add_argument("--check", type=Path, metavar="FILE", help="check this submission and write nothing")
    parser.add_argument(
        "--prefix", default="MSP-PODCAST_test3_", metavar="TEXT",
        help="the names are this, four digits and .wav (default MSP-PODCAST_test3_)",
    )  # fmt: skip
    parser.add_argument("--expect", type=int, default=3200, metavar="N", help="how many recordings (default 3200)")


def run(args: argparse.Namespace) -> None:
    """Write and check, or only check; say how often each letter is predicted."""
    from medusa.errors import UserError
    from medusa.evaluation.submission import check_submission, expected_names, write_submission

    if (args.check is None) == (args.posteriors is None) or (args.posteriors is None) != (args.out is None):
        raise UserError("submission: give POSTERIORS.csv and --out FILE to write one, or --check FILE alone")
    if args.expect < 1:
        raise UserError(f"--expect {args.expect}: must be at least 1")
    names = expected_names(args.prefix, args.expect)
    if args.check is None:
        letters = write_submission(args.posteriors, args.out, names)
    else:
        letters = check_submission(args.check, names)
    shares = ", ".join(f"{letter} {count:,}" for letter, count in sorted(letters.items()))
    print(f"{args.check or args.out}: {len(names):,} rows, as the challenge asks; {shares}")
