"""Table 1: what each member is and how it scores alone, beside the paper; then their average, the best, the soup."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from medusa.evaluation.cells import decimals
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.paper import AVERAGE_MEMBER, TABLE_1, TABLE_3, Printed
from medusa.evaluation.protocols import compared, honest_f1, paper_cells, paper_head, protocol_notes, without_spread
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Member

WHOLE = 14
"""Members of the paper's own ensemble."""


def members_table(results: Results) -> Table:
    """A row for every member, then their average, the best, and the soup of the first ensemble."""
    lines = [_line(results, member) for member in results.members]
    lines += _last_lines(results, lines)
    numbers = pd.DataFrame(lines, columns=list(dict.fromkeys(key for line in lines for key in line)))
    for column in ("seed", "best_epoch", "best_stage", "paper_id"):
        if column in numbers:
            numbers[column] = numbers[column].astype("Int64")
    header = ["member", "features", "seed", *paper_head("f1"), "honest, F1 (95 %)"]
    header += ["plain macro-F1", "accuracy", "best epoch (stage)"]
    rows = [
        [
            str(line["member"]),
            str(line.get("features", NO_VALUE)),
            str(line.get("seed", NO_VALUE)),
            *paper_cells(line, "f1"),
            honest_f1(results, line),
            decimals(line["test_macro_f1"]),
            decimals(line["test_accuracy"]),
            f"{line['best_epoch']} ({line['best_stage']})" if "best_epoch" in line else NO_VALUE,
        ]
        for line in lines
    ]
    notes = [*protocol_notes(results), f"The best epoch is the one with the best F1 on {results.selection}."]
    strong = frozenset({len(rows) - 1})
    return Table("members", "Table 1. Members", numbers, header, rows, notes, text=(0, 1), strong=strong)


def _line(results: Results, member: Member) -> dict[str, Any]:
    paper_id = results.beside.member(member.name)
    line: dict[str, Any] = {"kind": "member", "member": member.name, "features": "from a file"}
    if paper_id is not None:
        line["paper_id"] = paper_id
    if member.training is not None:
        config, best = member.training.config, member.training.best_epoch
        line |= {"features": " + ".join(config.features), "seed": config.seed}
        line |= {"best_epoch": best + 1, "best_stage": member.training.history[best]["stage"]}
    printed = None if paper_id is None else Printed(TABLE_1[paper_id])
    return line | compared(results, printed, [member.predicted[results.selection]], [member.predicted["test"]])


def _last_lines(results: Results, members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average and best of the members, each figure by itself but for the best's, which is one member's; the soup."""
    main = results.ensembles[0]
    whole = results.beside.ensemble(main.name, main.config.members) == WHOLE
    of: dict[str, Printed | None] = dict.fromkeys(("average", "top", "soup"))
    if whole:
        of = {"average": Printed(AVERAGE_MEMBER), "top": Printed(max(TABLE_1.values())), "soup": TABLE_3[WHOLE]["soup"]}
    every = [[member.predicted[part] for member in results.members] for part in (results.selection, "test")]
    best = int(np.argmax([line["paper_protocol_f1"] for line in members]))
    soup = None if main.fitted_on(results.selection) else main.repeats("soup", "selection")
    return [
        {"kind": "average", "member": "average of the members"}
        | without_spread(compared(results, of["average"], *every)),
        {"kind": "top", "member": f"best on {results.selection}"}
        | compared(results, of["top"], *([part[best]] for part in every)),
        {"kind": "soup", "member": f"soup of {main.name}"} | compared(results, of["soup"], soup, main.repeats("soup")),
    ]
