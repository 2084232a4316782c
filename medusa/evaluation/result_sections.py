"""What came out, part by part: the paper's three tables, classes, ambiguity, speakers."""

from __future__ import annotations

import numpy as np

from medusa.evaluation import plots
from medusa.evaluation.ablations_table import cells_table, effects, effects_table
from medusa.evaluation.ambiguity_table import ambiguity_table
from medusa.evaluation.cells import decimals, signed
from medusa.evaluation.members_table import members_table
from medusa.evaluation.page import Block, Figure, Row, Section, Table, Text
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble
from medusa.evaluation.speakers_table import FEWEST, genders_table, predictors, speakers_numbers
from medusa.evaluation.tables import class_scores_table, concordance_table
from medusa.evaluation.techniques_table import stackings_table, techniques_table, without_table
from medusa.metrics import confusion, expected_calibration_error, macro_f1, reliability_bins


def members_section(results: Results) -> Section:
    """Table 1."""
    return Section("members", "Members", [Row([members_table(results)])])


def ablations_section(results: Results) -> Section:
    """Table 2, or how to get it."""
    title = "What each component brings"
    found = effects(results)
    if not found:
        text = (
            "No member was trained without a component. `ablations` in a pipeline does that, or by hand: "
            "train_deepser.py and eval_deepser.py with configs/ablations/*.yaml after a member's config."
        )
        return Section("ablations", title, [Text(text)])
    shown = ", ".join(f"{one.title} {signed(one.gain.value)}" for one in found)
    figure = Figure(
        "ablation_gains",
        "F1 lost when a component is taken away",
        f"Class-balanced macro-F1 on test lost: {shown}.",
        plots.gains(
            [plots.Gain(one.title, one.gain.value, one.gain.interval, one.by_seed, one.printed_lost) for one in found],
            "class-balanced macro-F1 lost on test",
        ),
        ["Right of 0 the component helps. The paper's are differences of its printed averages, one seed each."],
    )
    blocks: list[Block] = [Row([figure]), Row([effects_table(results, found)]), Row([cells_table(results)])]
    return Section("ablations", title, blocks)


def techniques_section(results: Results) -> Section:
    """Table 3, and what the meta-classifier owes to its rows and members."""
    blocks: list[Block] = [Row([techniques_table(results)])]
    if results.stackings:
        blocks.append(Row([stackings_table(results)]))
    if results.without:
        blocks.append(Row([without_table(results)]))
    return Section("techniques", "Voting, meta-classifier and soup", blocks)


def attributes_section(results: Results, main: Ensemble) -> Section:
    """CCC."""
    return Section("attributes", "Emotional attributes", [Row([concordance_table(results, main)])])


def confusion_section(results: Results, main: Ensemble) -> Section:
    """Which classes the soup takes for which."""
    test = results.test
    classes = test.class_indices()
    scored = classes >= 0
    counts = confusion(classes[scored], main.predicted["soup"].predicted[scored], len(test.emotions))
    recalls = counts.diagonal() / counts.sum(axis=1)
    shown = ", ".join(f"{name} {recall:.0%}" for name, recall in zip(test.emotions, recalls, strict=True))
    shares = Figure(
        "confusion",
        f"Confusion matrix of the soup, ensemble {main.name}: shares",
        f"Share found of each class: {shown}.",
        plots.confusion_matrix(counts, test.emotions, shares=True),
        ["Test rows with consensus, in percent of each true class."],
    )
    raw = Figure(
        "confusion_rows",
        "The same in rows",
        f"{counts.trace():,} of {counts.sum():,} test rows are right.",
        plots.confusion_matrix(counts, test.emotions, shares=False),
        ["Test rows with consensus."],
    )
    blocks = [Row([shares, raw]), Row([class_scores_table(results, main)])]
    return Section("confusion", "Classes told apart", blocks)


def ambiguity_section(results: Results, main: Ensemble) -> Section:
    """Soft labels and calibration."""
    classes = results.test.class_indices()
    scored = classes >= 0
    lines, told = [], []
    for name, one in predictors(results, main).items():
        sure, said = one.probabilities[scored], one.predicted[scored]
        confidence, right, rows = reliability_bins(classes[scored], sure, bins=10, predicted=said)
        filled = np.where(rows > 0, rows, 1)
        lines.append(plots.Reliability(name, confidence / filled, right / filled, rows))
        told.append(f"{name} {expected_calibration_error(classes[scored], sure, predicted=said):.3f}")
    figure = Figure(
        "reliability",
        f"Reliability, ensemble {main.name}",
        f"Expected calibration error: {', '.join(told)}.",
        plots.reliability(lines),
        ["Test rows with consensus in ten bins of confidence. Above the dotted line: too modest; below: too sure."],
    )
    return Section("ambiguity", "Ambiguity and calibration", [Row([figure, ambiguity_table(results, main)])])


def speakers_section(results: Results, main: Ensemble) -> Section:
    """By gender and by speaker."""
    items: list[Figure | Table] = []
    numbers = speakers_numbers(results, main)
    if len(numbers):
        classes = results.test.class_indices()
        kept = classes >= 0
        whole = macro_f1(classes[kept], main.predicted["soup"].predicted[kept], len(results.test.emotions))
        f1 = numbers["soup_f1"]
        items.append(
            Figure(
                "speakers",
                "The soup, speaker by speaker",
                f"Plain macro-F1 of {len(numbers)} speakers: {decimals(float(f1.min()))} to "
                f"{decimals(float(f1.max()))}, median {decimals(float(f1.median()))}.",
                plots.speakers(f1.tolist(), numbers["rows"].tolist(), whole, "plain macro-F1"),
                [f"Over the classes a speaker has; speakers with {FEWEST} rows with consensus or more, area by rows."],
            )
        )
    genders = genders_table(results, main)
    if genders is not None:
        items.append(genders)
    blocks: list[Block] = (
        [Row([item]) for item in items] if items else [Text("Neither speakers nor genders of the test rows are known.")]
    )
    return Section("speakers", "Speakers", blocks)
