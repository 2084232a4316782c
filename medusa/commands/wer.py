"""`python -m medusa wer`: how many words of a corpus the recogniser got wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "word error rate of transcripts, where it is known what was said"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--references", type=Path, required=True, metavar="FILE", help="what was said: a CSV with FileName,Transcript"
    )
    parser.add_argument(
        "--transcripts", type=Path, required=True, metavar="FILE", help="what was recognised, in the same form"
    )


def run(args: argparse.Namespace) -> None:
    """Print the word error rate and what it is made of."""
    from medusa.corpora.transcripts import transcript_errors

    errors = transcript_errors(args.references, args.transcripts)
    print(
        f"WER {errors.rate:.2%}: {errors.words:,} words, {errors.substitutions:,} substituted, "
        f"{errors.deletions:,} deleted, {errors.insertions:,} inserted (lower case, no punctuation)"
    )
