"""The tables of a report: numbers for CSV, cells for the reader."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medusa.corpora.labels import ATTRIBUTE_NAMES, PARTITIONS, Labels
from medusa.ensemble.evaluate import Combined, score_techniques
from medusa.evaluation.page import NO_VALUE, Table
from medusa.evaluation.results import Ensemble, Member, Results
from medusa.evaluation.scores import Estimate, concordance, effective_weights, estimate, scores
from medusa.metrics import per_class_f1
from medusa.training.sampling import balanced_rows

NO_CONSENSUS_ROW = "no consensus (X, O)"


def members_table(results: Results) -> Table:
    """The paper's Table 1: what each member is and how it scores alone."""
    test, lines = results.labels.partition("test"), []
    for member in results.members:
        held_out = scores(results.labels.partition(results.selection), member.predicted[results.selection])
        tested = scores(test, member.predicted["test"])
        line: dict[str, object] = {"member": member.name, "features": None, "seed": None}
        if member.training is not None:
            config = member.training.config
            line |= {"features": " + ".join(config.features), "seed": config.seed}
        if results.honest:
            line["dev_balanced_f1"] = held_out.balanced_f1
        line |= {f"test_{name}": value for name, value in tested._asdict().items()}
        if member.training is not None:
            best = member.training.best_epoch
            line |= {"best_epoch": best + 1, "best_stage": member.training.history[best]["stage"]}
        lines.append(line)
    numbers = pd.DataFrame(lines, columns=list(dict.fromkeys(key for line in lines for key in line)))
    for column in ("seed", "best_epoch", "best_stage"):
        if column in numbers:
            numbers[column] = numbers[column].astype("Int64")

    scored = ["dev_balanced_f1"] if results.honest else []
    scored += ["test_balanced_f1", "test_macro_f1", "test_accuracy"]
    header = ["member", "features", "seed", *(SCORE_HEADS[name] for name in scored), "best epoch (stage)"]
    rows = [
        [
            str(line["member"]),
            str(line["features"] or "from a file"),
            NO_VALUE if line["seed"] is None else str(line["seed"]),
            *(decimals(line[name]) for name in scored),
            f"{line['best_epoch']} ({line['best_stage']})" if "best_epoch" in line else NO_VALUE,
        ]
        for line in lines
    ]
    notes = [F1_NOTE, f"The best epoch is the one with the best F1 on {results.selection}."]
    return Table("members", "Table 1. Members", numbers, header, rows, notes, text=(0, 1))


def techniques_table(results: Results) -> Table:
    """The paper's Table 3: ways of combining the members, for each ensemble."""
    test = results.labels.partition("test")
    frames: list[pd.DataFrame] = []
    rows: list[list[str]] = []
    strong: set[int] = set()
    for ensemble in results.ensembles:
        table = score_techniques(ensemble.predicted, test)
        table.insert(0, "ensemble", ensemble.name)
        table.insert(1, "members", len(ensemble.config.members))
        frames.append(table)
        head = f"{ensemble.name} ({len(ensemble.config.members)} members)"
        for technique, label in technique_labels(ensemble).items():
            line = table.loc[table["technique"] == technique].iloc[0]
            cells = [decimals(line[name], line[f"{name}_sd"]) for name in ("balanced_f1", "macro_f1", "accuracy")]
            if technique == "soup":
                strong.add(len(rows))
            rows.append([head if technique == "majority" else "", label, *cells])
    header = [
        "ensemble",
        "technique",
        *(SCORE_HEADS[f"test_{name}"] for name in ("balanced_f1", "macro_f1", "accuracy")),
    ]
    notes = [F1_NOTE, "±: standard deviation over the seeds."]
    title = "Table 3. Ways of combining the members"
    return Table("techniques", title, pd.concat(frames), header, rows, notes, (0, 1), frozenset(strong))


def contrasts_table(results: Results, ensemble: Ensemble) -> tuple[Table, dict[str, Estimate]]:
    """The soup against what it must beat, paired by speaker; and the same estimates by opponent's name."""
    test, soup = results.labels.partition("test"), [ensemble.predicted["soup"]]
    best = best_member(results, ensemble)
    opponents: dict[str, Sequence[Combined]] = {
        f"best member on {results.selection}, {best.name}": [best.predicted["test"]],
        "majority vote": [ensemble.predicted["majority"]],
        "soft vote": [ensemble.predicted["soft"]],
        f"single meta-classifier, mean of {len(ensemble.seeds)}": ensemble.seeds,
    }
    keys = ("member", "majority", "soft", "single")
    estimates = [estimate(test, soup, against) for against in opponents.values()]
    numbers = pd.DataFrame(
        [
            {"soup_against": name, "gain": one.value, "low": bound(one, 0), "high": bound(one, 1)}
            for name, one in zip(opponents, estimates, strict=True)
        ]
    )
    rows = [
        [name, signed(one.value) + interval_text(one), verdict(one)]
        for name, one in zip(opponents, estimates, strict=True)
    ]
    notes = [
        "Gain in class-balanced macro-F1 on test. Intervals: bootstrap over the speakers of test, paired, with "
        "the models as they were trained; they say what other speakers would change, not other seeds."
    ]
    header = ["soup against", "gain in F1 (95 % interval)", "reading"]
    table = Table("contrasts", "The soup against its parts", numbers, header, rows, notes, text=(0, 2))
    return table, dict(zip(keys, estimates, strict=True))


def class_scores_table(results: Results, ensemble: Ensemble) -> Table:
    """F1 of each class: soup, soft vote, best member."""
    test, best = results.labels.partition("test"), best_member(results, ensemble)
    classes = test.class_indices()
    scored, count = classes >= 0, len(test.emotions)
    predictors = {
        "soup": ensemble.predicted["soup"],
        "soft vote": ensemble.predicted["soft"],
        "best member": best.predicted["test"],
    }
    numbers = pd.DataFrame({"class": test.emotions, "rows": np.bincount(classes[scored], minlength=count)})
    for name, predicted in predictors.items():
        numbers[name.replace(" ", "_")] = per_class_f1(classes[scored], predicted.predicted[scored], count)
    rows = [
        [str(name), f"{total:,}", *map(decimals, values)] for name, total, *values in numbers.itertuples(index=False)
    ]
    notes = [f"Plain F1, each class against the rest. Best member, chosen on {results.selection}: {best.name}."]
    return Table("class_scores", "F1 by class, test", numbers, ["class", "rows", *predictors], rows, notes)


def concordance_table(results: Results, ensemble: Ensemble) -> Table:
    """CCC of the attributes: members, their mean (which both votes report), single meta-classifiers, soup."""
    test = results.labels.partition("test")
    attributes = [ATTRIBUTE_NAMES[name] for name in results.labels.attributes]
    lines = [(member.name, [concordance(test, member.predicted["test"])]) for member in results.members_of(ensemble)]
    lines += [
        ("mean of the members", [concordance(test, ensemble.predicted["soft"])]),
        ("single meta-classifiers", [concordance(test, one) for one in ensemble.seeds]),
        ("soup", [concordance(test, ensemble.predicted["soup"])]),
    ]
    numbers, rows = [], []
    for label, repeats in lines:
        mean, deviation = np.mean(repeats, axis=0), np.std(repeats, axis=0)
        spread = deviation if len(repeats) > 1 else np.full(len(mean), np.nan)
        numbers.append(
            {"predictor": label}
            | dict(zip(attributes, mean, strict=True))
            | {f"{name}_sd": value for name, value in zip(attributes, spread, strict=True)}
        )
        rows.append([label, *(decimals(*pair) for pair in zip(mean, spread, strict=True))])
    notes = [
        "Concordance correlation coefficient over all test rows, those without consensus included; 1 is perfect, 0 is "
        "no agreement. ±: standard deviation over the seeds."
    ]
    title = f"Attributes: CCC on test, ensemble {ensemble.name}"
    strong = frozenset({len(rows) - 1})
    return Table("concordance", title, pd.DataFrame(numbers), ["", *attributes], rows, notes, strong=strong)


def class_counts_table(labels: Labels) -> Table:
    """Rows per class and partition, and in one balanced draw from the training rows."""
    train = labels.partition("train").class_indices()
    draw = train[balanced_rows(train, len(labels.emotions), seed=0, epoch=0)]  # the counts are those of every draw
    parts = {name: labels.partition(name) for name in PARTITIONS[:3] if labels.has(name)}
    numbers = pd.DataFrame({"class": [*labels.emotions, NO_CONSENSUS_ROW]})
    counted = {name: rows.class_indices() for name, rows in parts.items()}
    for name, classes in {"train": counted.pop("train"), "balanced_draw": draw, **counted}.items():
        numbers[name] = [int((classes == index).sum()) for index in [*range(len(labels.emotions)), -1]]
    header = ["class", *(COUNT_HEADS[str(name)] for name in numbers.columns[1:])]
    rows = [[str(line[0]), *(f"{count:,}" for count in line[1:])] for line in numbers.itertuples(index=False)]
    rows.append(["all", *(f"{numbers[name].sum():,}" for name in numbers.columns[1:])])
    notes = [
        "Stage 1 sees every training row in every epoch. Stage 2 draws afresh in every epoch: as many rows of each "
        "class as the rarest class has, and as many without consensus (fewer if there are fewer)."
    ]
    return Table("class_counts", "Rows by class", numbers, header, rows, notes)


def weights_numbers(ensemble: Ensemble, labels: Labels) -> pd.DataFrame | None:
    """The soup's linear layer, one row per weight of a class: as it is, and what of it can change a posterior."""
    if ensemble.weights is None:
        return None
    members, emotions = ensemble.config.members, labels.emotions
    effective = effective_weights(ensemble.weights, len(members), len(emotions))
    raw = ensemble.weights[: len(emotions)].reshape(len(emotions), len(members), -1).transpose(1, 0, 2)
    index = pd.MultiIndex.from_product(
        [members, emotions, [*emotions, *labels.attributes]], names=["member", "class", "input"]
    )
    return pd.DataFrame({"weight": raw.ravel(), "effective_weight": effective.ravel()}, index=index).reset_index()


def technique_labels(ensemble: Ensemble) -> dict[str, str]:
    """Technique → its name for readers, in the order of Table 3."""
    seeds = len(ensemble.config.seeds)
    return {
        "majority": "majority vote",
        "soft": "soft vote",
        "single": f"meta-classifier, single (mean of {seeds} seeds)",
        "soup": f"meta-classifier soup of {seeds}",
    }


def best_member(results: Results, ensemble: Ensemble) -> Member:
    """The member with the best class-balanced macro-F1 on the selection rows; the first of equals."""
    rows = results.labels.partition(results.selection)
    return max(
        results.members_of(ensemble), key=lambda member: scores(rows, member.predicted[results.selection]).balanced_f1
    )


# --- cells ------------------------------------------------------------------------------------------

SCORE_HEADS = {
    "dev_balanced_f1": "F1, dev",
    "test_balanced_f1": "F1, test",
    "test_macro_f1": "plain macro-F1, test",
    "test_accuracy": "accuracy, test",
}
COUNT_HEADS = {"train": "train", "balanced_draw": "one Stage 2 epoch", "dev": "dev", "test": "test"}
F1_NOTE = "F1: class-balanced macro-F1, every true class with the same weight. All scores are over rows with consensus."


def decimals(value: object, deviation: object = None) -> str:
    """`0.553`, or `0.553 ± 0.012`."""
    assert isinstance(value, float)
    spread = "" if not isinstance(deviation, float) or np.isnan(deviation) else f" ± {deviation:.3f}"
    return f"{value:.3f}{spread}"


def signed(value: float) -> str:
    """`+0.012` or `−0.012`, with a true minus sign; `0.000` has none."""
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def interval_text(one: Estimate) -> str:
    """` (−0.010 … +0.034)`, or nothing."""
    return "" if one.interval is None else f" ({' … '.join(signed(end) for end in one.interval)})"


def bound(one: Estimate, side: int) -> float | None:
    """Lower (0) or upper (1) end of the interval."""
    return None if one.interval is None else one.interval[side]


def verdict(one: Estimate) -> str:
    """What the interval allows to say."""
    if one.interval is None:
        return "too few known speakers to tell"
    low, high = (round(end, 9) for end in one.interval)  # a mean of equal scores may miss them by a last digit
    if low == high == 0:
        return "no difference"
    return "above 0" if low > 0 else "below 0" if high < 0 else "not told apart from 0"


# --- Table 2 ----------------------------------------------------------------------------------------


def paper_delta(full: float, ablated: float) -> float:
    """Table 2's Δ as the paper prints it, in percent: the loss relative to the *ablated* score.

    -(F1_full - F1_ablated) / F1_ablated; applied to the printed averages it gives every printed Δ.
    """
    return -100 * (full - ablated) / ablated


def conventional_delta(full: float, ablated: float) -> float:
    """The loss relative to the full model's score, in percent, negative where ablating hurts."""
    return -100 * (full - ablated) / full
