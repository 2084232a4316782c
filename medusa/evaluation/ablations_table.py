"""Table 2: what is lost when a component is taken away, beside the paper; and what takes the paper's rows apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medusa.ensemble.evaluate import Combined
from medusa.evaluation.cells import bound, decimals, difference, interval_text, known, signed, verdict
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.paper import AVERAGES, DELTAS, FULL, TABLE_2, Printed, conventional_delta, paper_delta
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Member
from medusa.evaluation.scores import Estimate, estimate, paper_scores, scores
from medusa.evaluation.variants import Cell

LABELS = {
    FULL: "DeepSER",
    "one_hot": "w. one-hot targets",
    "late_fusion": "w. late fusion",
    "no_mixup": "w/o MixUp",
    "no_multitask": "w/o multitask",
    "no_stage2": "w/o Stage 2",
    "soft_consensus": "soft targets, rows with consensus only",
    "no_mixup_hard": "w/o MixUp, one-hot targets (argmax)",
}
"""The paper's names of its rows, and ours of those that take them apart."""


@dataclass(frozen=True, eq=False)
class Effect:
    """One component, over all members that were trained with and without it."""

    variant: str
    members: list[str]
    gain: Estimate
    """Full less ablated, class-balanced macro-F1 on test, paired by speaker; mean over members and seeds."""
    by_seed: list[float]
    """The same for each seed, mean over members."""
    full: float
    ablated: float

    @property
    def over_seeds(self) -> Estimate:
        """Mean over seeds with the 95 % interval of Student's t; none for one seed."""
        count = len(self.by_seed)
        if count < 2:
            return Estimate(self.gain.value, None)
        from scipy.stats import t  # here, since it is slow to load

        mean = float(np.mean(self.by_seed))
        reach = float(t.ppf(0.975, count - 1) * np.std(self.by_seed, ddof=1) / np.sqrt(count))
        return Estimate(mean, (mean - reach, mean + reach))

    @property
    def reading(self) -> str:
        """What both allow to say: neither other speakers nor other seeds may turn it round."""
        if len(self.by_seed) < 2:
            return f"{verdict(self.gain)} (one seed)"
        told = {verdict(self.gain), verdict(self.over_seeds)}
        return told.pop() if len(told) == 1 else "not told apart from 0"

    @property
    def title(self) -> str:
        """What tables and figures call it."""
        return label(self.variant)

    @property
    def printed(self) -> float | None:
        """The paper's own difference of averages."""
        return AVERAGES[FULL].f1 - AVERAGES[self.variant].f1 if self.variant in AVERAGES else None


def label(variant: str) -> str:
    """Of a row of Table 2."""
    return LABELS.get(variant, f"{variant.removeprefix('only-')} alone" if variant.startswith("only-") else variant)


def effects(results: Results) -> list[Effect]:
    """Every ablation, in the order of Table 2."""
    full = {cell.member: cell for cell in results.cells if cell.variant == FULL}
    pairs: dict[str, list[tuple[Cell, Cell]]] = {}
    for variant in dict.fromkeys(cell.variant for cell in _in_order(results) if cell.variant != FULL):
        cells = [cell for cell in results.cells if cell.variant == variant and cell.member in full]
        pairs[variant] = [(full[cell.member], cell) for cell in cells]
    return [_effect(results, variant, cells) for variant, cells in pairs.items() if cells]


def effects_table(results: Results, found: Sequence[Effect]) -> Table:
    """Averages over the ablated members, as the paper's last columns have them, with intervals."""
    numbers, rows = [], []
    for one in found:
        printed = AVERAGES.get(one.variant)
        numbers.append(_effect_numbers(one, printed))
        delta = DELTAS.get(one.variant)
        rows.append(
            [
                one.title,
                ", ".join(one.members),
                signed(one.gain.value) + interval_text(one.gain),
                interval_text(one.over_seeds).strip(" ()") or NO_VALUE,
                one.reading,
                NO_VALUE if one.printed is None else signed(one.printed),
                NO_VALUE if delta is None else signed(delta, 2),
                signed(paper_delta(one.full, one.ablated), 2),
                signed(conventional_delta(one.full, one.ablated), 2),
            ]
        )
    header = ["component taken away", "members", "F1 lost (95 % over speakers)", "over seeds (95 %)", "reading"]
    header += ["paper, F1 lost", "paper, Δ %", "ours, Δ % as the paper", "ours, Δ % of full"]
    seeds = max((len(one.by_seed) for one in found), default=0)
    notes = [
        "F1 lost: class-balanced macro-F1 of the full model less that of the ablated one, on test, mean over members "
        f"and up to {seeds} training seeds. Over speakers: bootstrap over those of test, paired, models as they were "
        "trained. Over seeds: Student's t on the difference of each seed. Reading: what both intervals say.",
        "Δ as the paper prints it divides by the ablated score, the conventional one by the full model's.",
    ]
    return Table(
        "ablations", "Table 2. What each component brings", pd.DataFrame(numbers), header, rows, notes, (0, 1, 4)
    )


def cells_table(results: Results) -> Table:
    """Every cell of Table 2: member by ablation."""
    numbers, rows, above = [], [], ""
    for cell in _in_order(results):
        line = _cell_numbers(results, cell)
        numbers.append(line)
        head = label(cell.variant)
        rows.append(
            [
                "" if head == above else head,
                cell.member,
                str(line["seeds"]),
                known(line["paper_f1"]),
                decimals(line["paper_protocol_f1"]),
                difference(line["paper_protocol_f1"], line["paper_f1"]),
                decimals(line["test_balanced_f1"], line["test_balanced_f1_sd"]) if results.honest else NO_VALUE,
                known(line["paper_accuracy"]),
                decimals(line["paper_protocol_accuracy"]),
                difference(line["paper_protocol_accuracy"], line["paper_accuracy"]),
                decimals(line["test_accuracy"], line["test_accuracy_sd"]) if results.honest else NO_VALUE,
            ]
        )
        above = head
    header = ["", "member", "seeds", "paper, F1", "paper protocol, F1", "difference", "honest, F1"]
    header += ["paper, accuracy", "paper protocol, accuracy", "difference", "honest, accuracy"]
    notes = ["Columns as in Table 1. ±: standard deviation over the training seeds."]
    return Table("ablation_cells", "Table 2, cell by cell", pd.DataFrame(numbers), header, rows, notes, (0, 1))


def _in_order(results: Results) -> list[Cell]:
    """Cells by row of Table 2, then by member."""
    rows = list(dict.fromkeys(cell.variant for cell in results.cells))
    known_rows = [row for row in LABELS if row in rows]
    order = [*known_rows, *sorted(row for row in rows if row not in known_rows)]
    return sorted(results.cells, key=lambda cell: (order.index(cell.variant), cell.member))


def _effect(results: Results, variant: str, pairs: Sequence[tuple[Cell, Cell]]) -> Effect:
    full = [_tested(run) for cell, _ in pairs for run in cell.runs]
    ablated = [_tested(run) for _, cell in pairs for run in cell.runs]
    lost = []
    for whole, cell in pairs:
        of_seed = cell.by_step()
        lost.append(
            {
                step: _f1(results, run) - _f1(results, of_seed[step])
                for step, run in whole.by_step().items()
                if step in of_seed
            }
        )
    common = sorted(set.intersection(*(set(one) for one in lost)))
    by_seed = [float(np.mean([one[step] for one in lost])) for step in common]
    gain = estimate(results.draws, full, ablated)
    values = [estimate(results.draws, side).value for side in (full, ablated)]
    return Effect(variant, [cell.member for _, cell in pairs], gain, by_seed, *values)


def _f1(results: Results, run: Member) -> float:
    return scores(results.test, _tested(run)).balanced_f1


def _tested(run: Member) -> Combined:
    return run.predicted["test"]


def _effect_numbers(one: Effect, printed: Printed | None) -> dict[str, Any]:
    return {
        "variant": one.variant,
        "members": " ".join(one.members),
        "full_f1": one.full,
        "ablated_f1": one.ablated,
        "f1_lost": one.gain.value,
        "low": bound(one.gain, 0),
        "high": bound(one.gain, 1),
        "seeds_low": bound(one.over_seeds, 0),
        "seeds_high": bound(one.over_seeds, 1),
        "reading": one.reading,
        "by_seed": " ".join(f"{value:.6f}" for value in one.by_seed),
        "delta_as_the_paper": paper_delta(one.full, one.ablated),
        "delta_conventional": conventional_delta(one.full, one.ablated),
        "paper_f1": None if printed is None else printed.f1,
        "paper_f1_lost": one.printed,
        "paper_delta": DELTAS.get(one.variant),
    }


def _cell_numbers(results: Results, cell: Cell) -> dict[str, Any]:
    paper_id = results.beside.member(cell.member)
    printed = TABLE_2.get(cell.variant, {}).get(-1 if paper_id is None else paper_id)
    if printed is None and results.beside.only_placed:
        printed = AVERAGES.get(cell.variant)  # the paper ablated other members; its averages say where the row belongs
    f1, accuracy = paper_scores(results.selected, [run.predicted[results.selection] for run in cell.runs])
    tested = [scores(results.test, _tested(run)) for run in cell.runs]
    line: dict[str, Any] = {"variant": cell.variant, "member": cell.member, "seeds": len(cell.runs)}
    line |= {"paper_f1": None, "paper_accuracy": None} if printed is None else {
        "paper_f1": printed.f1, "paper_accuracy": printed.accuracy,
    }  # fmt: skip
    line |= {"paper_protocol_f1": f1, "paper_protocol_accuracy": accuracy}
    for name in ("balanced_f1", "macro_f1", "accuracy"):
        values = [getattr(one, name) for one in tested]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        line |= {f"test_{name}": float(np.mean(values)), f"test_{name}_sd": deviation}
    return line
