"""Table 3: ways of combining the members, beside the paper; and what the meta-classifier owes to rows and members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from medusa.ensemble.evaluate import TECHNIQUES, Combined
from medusa.ensemble.member_files import fitted_partition
from medusa.evaluation.cells import bound, decimals, interval_text, score_text, signed, verdict
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.paper import TABLE_3
from medusa.evaluation.protocols import compared, honest_accuracy, honest_f1, paper_cells, paper_head
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble, Member
from medusa.evaluation.scores import Estimate, estimate, scores
from medusa.evaluation.variants import missing_member

TRAINED = ("logistic", "single", "soup")
"""Techniques that are fitted on the rows of Stage 3; `bias` is fitted on the selection rows."""


def technique_labels(ensemble: Ensemble) -> dict[str, str]:
    """Technique → its name for readers, in the order of Table 3."""
    seeds = len(ensemble.config.seeds)
    return TECHNIQUES | {"single": f"single, mean of {seeds}", "soup": f"soup of {seeds}"}


def techniques_table(results: Results) -> Table:
    """A row for every technique of every ensemble."""
    lines: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    strong: set[int] = set()
    for ensemble in results.ensembles:
        head = f"{ensemble.name} ({len(ensemble.config.members)} members)"
        for technique, name in technique_labels(ensemble).items():
            line = _line(results, ensemble, technique)
            lines.append(line)
            if technique == "soup":
                strong.add(len(rows))
            head_cell = head if technique == "majority" else ""
            figures = [*paper_cells(line, "f1"), honest_f1(results, line), *paper_cells(line, "accuracy")]
            rows.append([head_cell, name, *figures, honest_accuracy(results, line)])
    header = ["ensemble", "technique", *paper_head("f1"), "honest, F1 (95 %)", *paper_head("accuracy")]
    header += ["honest, accuracy"]
    notes = [
        "Columns as in Table 1. Single: one meta-classifier, mean ± standard deviation over seeds. With one class per "
        "row accuracy is the micro-F1 too. Bias per class (fitted on the selection rows) and logistic regression (on "
        "the rows of Stage 3) are controls: does the meta-classifier do more than correct the priors? A dash under "
        "the paper's protocol: fitted on those very rows.",
    ]
    title = "Table 3. Ways of combining the members"
    return Table("techniques", title, pd.DataFrame(lines), header, rows, notes, (0, 1), frozenset(strong))


def contrasts_table(results: Results, ensemble: Ensemble) -> tuple[Table, dict[str, Estimate]]:
    """The soup against what it must beat, paired by speaker; and the same estimates by opponent's name."""
    best = best_member(results, ensemble)
    opponents: dict[str, tuple[str, Sequence[Combined]]] = {
        "member": (f"best member on {results.selection}, {best.name}", [best.predicted["test"]]),
        "majority": (TECHNIQUES["majority"], ensemble.repeats("majority")),
        "soft": (TECHNIQUES["soft"], ensemble.repeats("soft")),
        "bias": (TECHNIQUES["bias"], ensemble.repeats("bias")),
        "logistic": (TECHNIQUES["logistic"], ensemble.repeats("logistic")),
        "single": (f"single meta-classifier, mean of {len(ensemble.seeds)}", ensemble.seeds),
    }
    soup = ensemble.repeats("soup")
    found = {key: (name, estimate(results.draws, soup, against)) for key, (name, against) in opponents.items()}
    notes = [
        "Gain in class-balanced macro-F1 on test. Intervals: bootstrap over the speakers of test, paired, with "
        "the models as they were trained; they say what other speakers would change, not other seeds."
    ]
    if not results.honest:
        notes.append("The bias per class is fitted on these test rows, for there is no dev partition.")
    header = ["soup against", "gain in F1 (95 % interval)", "reading"]
    table = _gains("contrasts", "The soup against its parts", "soup_against", header, list(found.values()), notes)
    return table, {key: one for key, (_, one) in found.items()}


def stackings_table(results: Results) -> Table:
    """The first ensemble, Stage 3 fitted on one or another set of rows."""
    main = results.ensembles[0]
    numbers, rows = [], []
    for ensemble in [main, *results.stackings]:
        soup, fit_on = ensemble.repeats("soup"), ensemble.config.fit_on
        over_vote = estimate(results.draws, soup, ensemble.repeats("soft"))
        over_main = estimate(results.draws, soup, main.repeats("soup"))
        count = len(results.labels.partition(fitted_partition(ensemble.config)))
        values = {name: estimate(results.draws, ensemble.repeats(name)) for name in TECHNIQUES}
        numbers.append(
            {"ensemble": ensemble.name, "fit_on": fit_on, "rows": count, "leaks": ensemble.fitted_on("test")}
            | {name: one.value for name, one in values.items()}
            | {"soup_less_soft": over_vote.value, "low": bound(over_vote, 0), "high": bound(over_vote, 1)}
            | {"soup_less_first": over_main.value, "first_low": bound(over_main, 0), "first_high": bound(over_main, 1)}
        )
        shown = [decimals(values[name].value) for name in ("soft", "logistic", "single")]
        gains = [signed(one.value) + interval_text(one) for one in (over_vote, over_main)]
        if ensemble is main:
            gains[1] = NO_VALUE
        rows.append([fit_on + (" (leaks)" if ensemble.fitted_on("test") else ""), f"{count:,}", *shown,
                     score_text(values["soup"]), *gains])  # fmt: skip
    header = ["fitted on", "rows", "soft vote", "logistic regression", "single", "soup (95 %)"]
    header += ["soup less soft vote (95 %)", f"soup less that on {main.config.fit_on} (95 %)"]
    notes = [
        "Class-balanced macro-F1 on test. train: the members' own training rows, as the paper words it. dev: rows they "
        "were selected on. crossfit: training rows, each predicted by models that never heard its speaker; its votes "
        "are means over the models of the folds. released: all labelled rows, the reported ones among them: a "
        "diagnostic of the authors' release, and no result.",
    ]
    title = f"Stage 3 fitted on other rows, ensemble {main.config.name}"
    return Table("stackings", title, pd.DataFrame(numbers), header, rows, notes)


def without_table(results: Results) -> Table:
    """What the soup of the first ensemble loses without each member."""
    main = results.ensembles[0]
    found = []
    for ensemble in results.without:
        gain = estimate(results.draws, main.repeats("soup"), ensemble.repeats("soup"))
        found.append((missing_member(main.config, ensemble), gain))
    header = ["without member", "F1 the soup loses (95 % interval)", "reading"]
    notes = ["Stages 3 and 4 trained anew without it; paired over the speakers of test."]
    title = f"Leave one member out, ensemble {main.name}"
    return _gains("leave_one_out", title, "without", header, found, notes)


def best_member(results: Results, ensemble: Ensemble) -> Member:
    """The member with the best class-balanced macro-F1 on the selection rows; the first of equals."""
    return max(
        results.members_of(ensemble),
        key=lambda member: scores(results.selected, member.predicted[results.selection]).balanced_f1,
    )


def _gains(
    name: str, title: str, key: str, header: Sequence[str], found: Sequence[tuple[str, Estimate]], notes: Sequence[str]
) -> Table:
    numbers = pd.DataFrame(
        [{key: one, "gain": gain.value, "low": bound(gain, 0), "high": bound(gain, 1)} for one, gain in found]
    )
    rows = [[one, signed(gain.value) + interval_text(gain), verdict(gain)] for one, gain in found]
    return Table(name, title, numbers, header, rows, notes, text=(0, 2))


def _line(results: Results, ensemble: Ensemble, technique: str) -> dict[str, Any]:
    size = results.beside.ensemble(ensemble.name, ensemble.config.members)
    printed = TABLE_3[size].get(technique) if size is not None else None
    seen = technique == "bias" or (technique in TRAINED and ensemble.fitted_on(results.selection))
    selected = None if seen else ensemble.repeats(technique, "selection")
    line = {"ensemble": ensemble.name, "members": len(ensemble.config.members), "technique": technique}
    line["fit_on"] = ensemble.config.fit_on
    return line | compared(results, printed, selected, ensemble.repeats(technique))
