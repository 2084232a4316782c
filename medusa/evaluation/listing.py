"""All runs below a folder, with their main figures; what is wrong with one does not hide the others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from medusa.corpora.labels import Labels, read_labels
from medusa.errors import UserError, reason
from medusa.evaluation.one_run import Run, open_run_folder
from medusa.evaluation.scores import scores
from medusa.files import read_csv
from medusa.metrics import MissingClass

KINDS = ("members", "crossfit", "ensembles")
"""Folders that hold runs; those of `crossfit` one deeper, by member."""

COLUMNS = ("run", "state", "best_f1", "best_epoch", "test_f1", "seed", "inputs", "commit", "when", "problem")
"""Figures are class-balanced macro-F1: of the best epoch on the rows to select on, and on test (an ensemble's soup)."""


def list_runs(folder: Path) -> pd.DataFrame:
    """One row per run, sorted by path; columns `COLUMNS`, all text, "" where there is nothing to say.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that runs are written below")
    corpus = cache(read_labels)
    return pd.DataFrame([_row(path, folder, corpus) for path in find_runs(folder)], columns=list(COLUMNS), dtype=str)


def find_runs(folder: Path) -> list[Path]:
    """Folders of runs: what holds a config.yaml, and what lies where runs lie. The folder itself may be one."""

    def found() -> Iterator[Path]:
        for file in folder.rglob("config.yaml"):
            yield file.parent
        for kind in KINDS:
            for place in (folder, *folder.rglob(kind)):
                if place.name == kind and place.is_dir():
                    yield from place.glob("*/*" if kind == "crossfit" else "*")

    hidden = {path for path in found() if not path.is_dir() or any(part.startswith(".") for part in path.parts[-2:])}
    return sorted(set(found()) - hidden)


def _row(path: Path, folder: Path, corpus: Callable[[Path], Labels]) -> dict[str, str]:
    """A run's row; a problem is told in its last cell, beside what could be read."""
    row = dict.fromkeys(COLUMNS, "") | {"run": path.relative_to(folder).as_posix()}
    try:
        _fill(row, path, corpus)
    except UserError as error:
        row["problem"] = str(error)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        row["problem"] = f"not as this version writes it ({reason(error)})"
    if row["problem"] and not row["state"]:
        row["state"] = "broken"
    return row


def _fill(row: dict[str, str], path: Path, corpus: Callable[[Path], Labels]) -> None:
    if not any(not item.name.startswith(".") for item in path.iterdir()):
        row["state"] = "not started"
        return
    run = open_run_folder(path)
    row["seed"], row["inputs"] = " ".join(map(str, run.seeds)), " + ".join(run.inputs)
    row["state"], row["when"] = run.state(), _when(run)
    made = run.provenance().get("git") or {}
    row["commit"] = str(made.get("commit", ""))[:7] + ("+" if made.get("dirty") else "")
    best = run.best()
    if best is not None:
        row["best_f1"], row["best_epoch"] = f"{best.score:.4f}", f"{round(best.epoch, 1):g}"
    row["test_f1"] = _test_f1(run, corpus)


def _when(run: Run) -> str:
    """Local time of the last epoch."""
    states = [folder / "last" / "state.json" for folder in run.checkpoints]
    times = [state.stat().st_mtime for state in states if state.exists()]
    return dt.datetime.fromtimestamp(max(times)).isoformat(" ", "minutes") if times else ""


def _test_f1(run: Run, corpus: Callable[[Path], Labels]) -> str:
    """Empty where test rows were not predicted yet."""
    if (run.path / "results.csv").exists():
        table = read_csv(run.path / "results.csv").set_index("technique")
        return f"{float(table['balanced_f1']['soup']):.4f}" if table["rows"]["soup"] == "test" else ""
    if not (run.path / "posteriors" / "test.csv").exists():
        return ""
    labels = corpus(run.config.paths.labels)
    run.refuse_other_labels(labels)
    (predicted,) = run.test_predictions(labels).get("member", [None])
    if predicted is None:
        return ""
    test = labels.partition("test")
    try:
        return f"{scores(test, predicted).balanced_f1:.4f}"
    except MissingClass as missing:
        raise UserError(f"{labels.source}: no test row of class {test.emotions[missing.index]}; not scored") from None
