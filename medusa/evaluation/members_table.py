"""Table 1: what each member is and how it scores alone, beside the paper."""

from __future__ import annotations

from typing import Any

import pandas as pd

from medusa.evaluation.cells import F1_NOTE, bound, decimals, difference, known, score_text
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.paper import TABLE_1
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Member
from medusa.evaluation.scores import estimate, paper_scores, scores


def members_table(results: Results) -> Table:
    """A row for every member; numbers in full, text for the page."""
    lines = [_line(results, member) for member in results.members]
    numbers = pd.DataFrame(lines, columns=list(dict.fromkeys(key for line in lines for key in line)))
    for column in ("seed", "best_epoch", "best_stage", "paper_id"):
        if column in numbers:
            numbers[column] = numbers[column].astype("Int64")
    header = ["member", "features", "seed", "paper, F1", "paper protocol, F1", "difference", "honest, F1 (95 %)"]
    header += ["plain macro-F1", "accuracy", "best epoch (stage)"]
    rows = [
        [
            str(line["member"]),
            str(line["features"] or "from a file"),
            NO_VALUE if line["seed"] is None else str(line["seed"]),
            known(line["paper_f1"]),
            decimals(line["paper_protocol_f1"]),
            difference(line["paper_protocol_f1"], line["paper_f1"]),
            score_text(estimate(results.draws, [member.predicted["test"]])) if results.honest else NO_VALUE,
            decimals(line["test_macro_f1"]),
            decimals(line["test_accuracy"]),
            f"{line['best_epoch']} ({line['best_stage']})" if "best_epoch" in line else NO_VALUE,
        ]
        for line, member in zip(lines, results.members, strict=True)
    ]
    notes = [*protocol_notes(results), f"The best epoch is the one with the best F1 on {results.selection}."]
    return Table("members", "Table 1. Members", numbers, header, rows, notes, text=(0, 1))


def protocol_notes(results: Results) -> list[str]:
    """What the columns are over, and what the paper's numbers are beside ours."""
    paper = f"paper protocol: {results.selection} rows, which models were selected on, as mean over ten balanced draws"
    if results.honest:
        paper += "; honest: test rows, which nothing was selected on."
    else:
        paper += "; there is no dev partition, so nothing is honest."
    notes = [F1_NOTE, f"{paper[:1].upper()}{paper[1:]} Difference: ours less the paper's, both under its protocol."]
    if results.beside.only_placed:
        notes.append(
            "The paper's numbers are of other features and another corpus: what stands beside ours shows where a row "
            "belongs, not who is better."
        )
    return notes


def _line(results: Results, member: Member) -> dict[str, Any]:
    paper_id = results.beside.member(member.name)
    tested, one = scores(results.test, member.predicted["test"]), estimate(results.draws, [member.predicted["test"]])
    f1, accuracy = paper_scores(results.selected, [member.predicted[results.selection]])
    line: dict[str, Any] = {"member": member.name, "features": None, "seed": None}
    if member.training is not None:
        config = member.training.config
        line |= {"features": " + ".join(config.features), "seed": config.seed}
    line |= {"paper_id": paper_id, "paper_f1": None if paper_id is None else TABLE_1[paper_id]}
    line |= {"paper_protocol_f1": f1, "paper_protocol_accuracy": accuracy}
    line |= {f"test_{name}": value for name, value in tested._asdict().items()}
    line |= {"test_balanced_f1_low": bound(one, 0), "test_balanced_f1_high": bound(one, 1)}
    if member.training is not None:
        best = member.training.best_epoch
        line |= {"best_epoch": best + 1, "best_stage": member.training.history[best]["stage"]}
    return line
