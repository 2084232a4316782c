"""`python -m medusa runs`: the runs below a folder, with their main figures."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "list runs with their main figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs"), metavar="DIR", help="default: runs")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the list there too")


def run(args: argparse.Namespace) -> None:
    """Print the list; with `--csv` write it."""
    from medusa.evaluation.listing import list_runs
    from medusa.evaluation.plain import aligned
    from medusa.files import write_csv

    table = list_runs(args.folder)
    if table.empty:
        print(f"{args.folder}: no runs")
        return
    if args.csv is not None:
        write_csv(args.csv, table)
    problems = table["problem"]
    shown = table.drop(columns="problem").assign(state=table["state"] + problems.map(lambda text: " !" if text else ""))
    titles = {"best_f1": "best F1", "best_epoch": "epoch", "test_f1": "test F1"}
    rows = [[titles.get(name, name) for name in shown.columns], *shown.to_numpy().tolist()]
    print(aligned(rows, right=[2, 3, 4]))
    print("F1: class-balanced macro-F1, of the best epoch on the rows to select on, and on test (an ensemble's soup);")
    print("best F1 and epoch of an ensemble are means over its seeds")
    for name, problem in zip(table["run"], problems, strict=True):
        if problem:
            print(f"! {name}: {problem}")
