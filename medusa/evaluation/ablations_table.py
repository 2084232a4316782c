"""Table 2: what is lost when a component is taken away, beside the paper; and what takes the paper's rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medusa.evaluation.cells import bound, interval_text, known_signed, signed, verdict
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.paper import (
    AVERAGES,
    DELTAS,
    FULL,
    TABLE_2,
    TABLE_2_MEMBERS,
    conventional_delta,
    paper_delta,
)
from medusa.evaluation.protocols import compared, honest_accuracy, honest_f1, paper_cells, paper_head, without_spread
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Member
from medusa.evaluation.scores import Estimate, estimate, paper_scores, scores, spread
from medusa.evaluation.variants import Cell

LABELS = {
    FULL: "DeepSER",
    "one_hot": "w. one-hot targets",
    "late_fusion": "w. late fusion",
    "no_mixup": "w/o MixUp",
    "no_multitask": "w/o multitask",
    "no_stage2": "w/o Stage 2",
    "soft_consensus": "w/o rows without consensus",
    "no_mixup_hard": "w/o MixUp, hardened targets",
}
"""The paper's names of its rows, and ours of those that take them apart; in the order of the table."""

APART = {
    ("soft_consensus", "one_hot"): "one-hot targets, both w/o rows without consensus",
    ("no_mixup", "no_mixup_hard"): "hardened targets, both w/o MixUp",
}
"""Ablations that are compared with each other: one thing differs where two differ from the full model."""


@dataclass(frozen=True, eq=False)
class Effect:
    """One thing taken away, over all members that were trained with and without it, from the seeds that both have."""

    title: str
    base: str
    """Variant of the model that has it; `FULL` but for `APART`."""
    variant: str
    """Variant of the one that has not."""
    members: list[str]
    gain: Estimate
    """Base less variant, class-balanced macro-F1 on test, paired by speaker; mean over members and seeds."""
    by_seed: list[float]
    """The same for each seed, mean over members."""
    test: tuple[float, float]
    """Class-balanced macro-F1 of base and variant on test."""
    selection: tuple[float, float]
    """Macro-F1 of both under the paper's protocol."""

    @property
    def over_seeds(self) -> Estimate:
        """Mean over seeds with the 95 % interval of Student's t; none for one seed."""
        count = len(self.by_seed)
        if count < 2:
            return Estimate(self.gain.value, None)
        from scipy.stats import t  # here, since it is slow to load

        mean = float(np.mean(self.by_seed))
        reach = float(t.ppf(0.975, count - 1) * spread(self.by_seed) / np.sqrt(count))
        return Estimate(mean, (mean - reach, mean + reach))

    @property
    def reading(self) -> str:
        """What both allow to say: neither other speakers nor other seeds may turn it round."""
        if len(self.by_seed) < 2:
            return f"{verdict(self.gain)} (one seed)"
        if self.gain.interval is None:
            return f"{verdict(self.over_seeds)} (seeds only)"
        told = {verdict(self.gain), verdict(self.over_seeds)}
        return told.pop() if len(told) == 1 else "not told apart from 0"

    @property
    def printed_lost(self) -> float | None:
        """The paper's own difference of averages."""
        there = self.base == FULL and self.variant in AVERAGES
        return AVERAGES[FULL].f1 - AVERAGES[self.variant].f1 if there else None


def label(variant: str) -> str:
    """Of a row of Table 2."""
    return LABELS.get(variant, f"{variant.removeprefix('only-')} alone" if variant.startswith("only-") else variant)


def effects(results: Results) -> list[Effect]:
    """Every ablation, in the order of Table 2, then those compared with each other."""
    wanted = {(FULL, variant): label(variant) for variant in _variants(results) if variant != FULL} | APART
    found = (_effect(results, *pair, title) for pair, title in wanted.items())
    return [one for one in found if one is not None]


def effects_table(results: Results, found: Sequence[Effect]) -> Table:
    """Averages over the ablated members, as the paper's last columns have them, with intervals."""
    numbers, rows = [], []
    for one in found:
        line = _effect_numbers(one)
        numbers.append(line)
        rows.append(
            [
                one.title,
                ", ".join(one.members),
                signed(one.gain.value) + interval_text(one.gain),
                interval_text(one.over_seeds).strip(" ()") or NO_VALUE,
                one.reading,
                *(
                    known_signed(line[key], digits)
                    for key, digits in (
                        ("paper_f1_lost", 3), ("paper_protocol_f1_lost", 3), ("paper_delta", 2),
                        ("paper_protocol_delta", 2), ("delta_conventional", 2),
                    )
                ),
            ]
        )  # fmt: skip
    header = ["component taken away", "members", "F1 lost, test (95 % over speakers)", "over seeds (95 %)", "reading"]
    header += ["paper, F1 lost", "ours, its protocol", "paper, Δ %", "ours, its Δ %", "Δ % of full, test"]
    notes = [
        "F1 lost: class-balanced macro-F1 with the component less that without it, mean over members and the training "
        "seeds that both have. Over speakers: bootstrap over those of test, paired, models as they were trained. Over "
        "seeds: Student's t on the difference of each seed. Reading: what both intervals say.",
        "Δ as the paper prints it divides by the ablated score, and is under its protocol; the last column divides by "
        "the full model's, on test.",
    ]
    if not results.honest:
        notes.append("There is no dev partition: models were selected on these very test rows.")
    title = "Table 2. What each component brings"
    return Table("ablations", title, pd.DataFrame(numbers), header, rows, notes, (0, 1, 4))


def cells_table(results: Results) -> Table:
    """Every cell of Table 2: member by ablation, and the average over the members."""
    numbers, rows = [], []
    for variant in _variants(results):
        cells = sorted((cell for cell in results.cells if cell.variant == variant), key=lambda cell: cell.member)
        lines = [_cell_numbers(results, cell) for cell in cells]
        if len(cells) > 1 or results.beside.only_placed:
            lines.append(_average_numbers(results, variant, cells))
        numbers += lines
        rows += [
            [
                label(variant) if line is lines[0] else "",
                line["member"],
                str(line["seeds"]),
                *paper_cells(line, "f1"),
                honest_f1(results, line),
                *paper_cells(line, "accuracy"),
                honest_accuracy(results, line),
            ]
            for line in lines
        ]
    header = [
        "",
        "member",
        "seeds",
        *paper_head("f1"),
        "honest, F1 (95 %)",
        *paper_head("accuracy"),
        "honest, accuracy",
    ]
    notes = [
        "Columns as in Table 1. ±: standard deviation over the training seeds. Beside our average stands the paper's, "
        "over its members 2, 8, 9 and 13."
    ]
    return Table("ablation_cells", "Table 2, cell by cell", pd.DataFrame(numbers), header, rows, notes, (0, 1))


def _variants(results: Results) -> list[str]:
    """Rows of Table 2: those that have a name there, then the others by their own."""
    there = {cell.variant for cell in results.cells}
    return [*(row for row in LABELS if row in there), *sorted(there - LABELS.keys())]


def _effect(results: Results, base: str, variant: str, title: str) -> Effect | None:
    """None where no member was trained both ways from one seed."""
    by_key = {(cell.member, cell.variant): cell for cell in results.cells}
    pairs: list[tuple[str, dict[int, tuple[Member, Member]]]] = []
    for (member, own), cell in by_key.items():
        other = by_key.get((member, base))
        if own == variant and other is not None and (both := _of_equal_seeds(by_key[member, FULL], other, cell)):
            pairs.append((member, both))
    if not pairs:
        return None
    steps = sorted(set.intersection(*(set(both) for _, both in pairs)))
    if not steps:
        return None
    sides = [[both[step][side] for _, both in pairs for step in steps] for side in (0, 1)]
    tested = [[run.predicted["test"] for run in side] for side in sides]
    f1 = [np.reshape([scores(results.test, one).balanced_f1 for one in side], (len(pairs), -1)) for side in tested]
    selected = [paper_scores(results.selected, [run.predicted[results.selection] for run in side])[0] for side in sides]
    return Effect(
        title, base, variant, [member for member, _ in pairs], estimate(results.draws, *tested),
        (f1[0] - f1[1]).mean(axis=0).tolist(), (float(f1[0].mean()), float(f1[1].mean())), (selected[0], selected[1]),
    )  # fmt: skip


def _of_equal_seeds(full: Cell, base: Cell, cell: Cell) -> dict[int, tuple[Member, Member]]:
    """Pairs of runs by how far their seed is from the member's own, since members differ in that."""
    first, with_it, without = min(full.by_seed), base.by_seed, cell.by_seed
    return {seed - first: (with_it[seed], without[seed]) for seed in sorted(with_it.keys() & without.keys())}


def _effect_numbers(one: Effect) -> dict[str, Any]:
    return {
        "component": one.title,
        "with": one.base,
        "without": one.variant,
        "members": " ".join(one.members),
        "test_f1_with": one.test[0],
        "test_f1_without": one.test[1],
        "f1_lost": one.gain.value,
        "low": bound(one.gain, 0),
        "high": bound(one.gain, 1),
        "seeds_low": bound(one.over_seeds, 0),
        "seeds_high": bound(one.over_seeds, 1),
        "reading": one.reading,
        "by_seed": " ".join(f"{value:.6f}" for value in one.by_seed),
        "delta_conventional": conventional_delta(*one.test),
        "paper_protocol_f1_with": one.selection[0],
        "paper_protocol_f1_without": one.selection[1],
        "paper_protocol_f1_lost": one.selection[0] - one.selection[1],
        "paper_protocol_delta": paper_delta(*one.selection),
        "paper_f1_lost": one.printed_lost,
        "paper_delta": None if one.printed_lost is None else DELTAS[one.variant],
    }


def _cell_numbers(results: Results, cell: Cell) -> dict[str, Any]:
    paper_id = results.beside.member(cell.member)
    printed = None if paper_id is None else TABLE_2.get(cell.variant, {}).get(paper_id)
    line = {"variant": cell.variant, "member": cell.member, "seeds": len(cell.runs)}
    return line | compared(results, printed, *_predicted(results, cell.runs))


def _average_numbers(results: Results, variant: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Over all runs of all members; the paper's where ours are its members, or are placed beside them."""
    same = {results.beside.member(cell.member) for cell in cells} == set(TABLE_2_MEMBERS)
    printed = AVERAGES.get(variant) if same or results.beside.only_placed else None
    runs = [run for cell in cells for run in cell.runs]
    line = {"variant": variant, "member": "average", "seeds": max(len(cell.runs) for cell in cells)}
    return line | without_spread(compared(results, printed, *_predicted(results, runs)))


def _predicted(results: Results, runs: Sequence[Member]) -> Iterator[list[Any]]:
    """Of the selection rows, then of test."""
    for partition in (results.selection, "test"):
        yield [run.predicted[partition] for run in runs]
