"""`python -m medusa report`: what came out of a set of runs, as one page."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a report on trained ensembles: tables, plots, one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--runs", type=Path, required=True, help="folder with members/ and ensembles/")
    parser.add_argument(
        "--ensembles", type=Path, nargs="+", required=True, metavar="CONFIG.yaml",
        help="configs of the ensembles; the headline is about the first",
    )  # fmt: skip
    parser.add_argument(
        "--changes", nargs="+", default=[], metavar="OVERLAY.yaml | key=value",
        help="overlays, then single keys, applied to each ensemble",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUNS/report")
    for option, rows, example in (
        ("--paper-members", "members of ours and Ids of the paper's Table 1 to put beside them", "NAME=ID"),
        ("--paper-ensembles", "ensembles of ours and sizes in the paper's Table 3", "NAME=14|7|5"),
    ):
        parser.add_argument(option, nargs="+", default=[], metavar=example, help=f"{rows}; default: by their names")
    parser.add_argument("--about", default="", metavar="TEXT", help="a sentence to stand below the title")


def run(args: argparse.Namespace) -> None:
    """Write the report, say what it says first and where it is."""
    from medusa.evaluation.paper import read_beside
    from medusa.evaluation.report import write_report

    out = args.out or args.runs / "report"
    beside = read_beside(args.paper_members, args.paper_ensembles)
    for sentence in write_report(args.runs, args.ensembles, args.changes, out, args.about, beside):
        print(sentence)
    print(f"report: {out / 'report.html'}")
