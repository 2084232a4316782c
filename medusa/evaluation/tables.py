"""Tables beside the paper's three: F1 by class, CCC of the attributes, rows by class, the soup's weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medusa.corpora.agreement import entropy
from medusa.corpora.labels import ATTRIBUTE_NAMES, PARTITIONS, Labels
from medusa.evaluation.cells import decimals
from medusa.evaluation.page import Table
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble
from medusa.evaluation.scores import concordance, effective_weights, spread
from medusa.evaluation.speakers_table import predictors
from medusa.evaluation.techniques_table import best_member
from medusa.metrics import per_class_f1
from medusa.training.sampling import balanced_rows

NO_CONSENSUS_ROW = "no consensus (X, O)"
COUNT_HEADS = {"train": "train", "balanced_draw": "one Stage 2 epoch", "dev": "dev", "test": "test"}


def class_scores_table(results: Results, ensemble: Ensemble) -> Table:
    """F1 of each class: soup, soft vote, best member."""
    test, best, shown = results.test, best_member(results, ensemble), predictors(results, ensemble)
    classes = test.class_indices()
    scored, count = classes >= 0, len(test.emotions)
    numbers = pd.DataFrame({"class": test.emotions, "rows": np.bincount(classes[scored], minlength=count)})
    for name, predicted in shown.items():
        numbers[name.replace(" ", "_")] = per_class_f1(classes[scored], predicted.predicted[scored], count)
    rows = [
        [str(name), f"{total:,}", *map(decimals, values)] for name, total, *values in numbers.itertuples(index=False)
    ]
    notes = [f"Plain F1, each class against the rest. Best member, chosen on {results.selection}: {best.name}."]
    return Table("class_scores", "F1 by class, test", numbers, ["class", "rows", *shown], rows, notes)


def concordance_table(results: Results, ensemble: Ensemble) -> Table:
    """CCC of the attributes: members, their mean (which both votes report), single meta-classifiers, soup."""
    test = results.test
    attributes = [ATTRIBUTE_NAMES[name] for name in results.labels.attributes]
    lines = [(member.name, [concordance(test, member.predicted["test"])]) for member in results.members_of(ensemble)]
    lines += [
        ("mean of the members", [concordance(test, ensemble.predicted["soft"])]),
        ("single meta-classifiers", [concordance(test, one) for one in ensemble.seeds]),
        ("soup", [concordance(test, ensemble.predicted["soup"])]),
    ]
    numbers, rows = [], []
    for label, repeats in lines:
        mean, deviations = np.mean(repeats, axis=0), [spread(column) for column in zip(*repeats, strict=True)]
        numbers.append(
            {"predictor": label}
            | dict(zip(attributes, mean, strict=True))
            | {f"{name}_sd": value for name, value in zip(attributes, deviations, strict=True)}
        )
        rows.append([label, *(decimals(*pair) for pair in zip(mean, deviations, strict=True))])
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


def agreement_table(labels: Labels) -> Table:
    """How far annotators agree, by partition: rows without consensus, entropy and largest share of the votes."""
    numbers, rows = [], []
    for name in [name for name in PARTITIONS[:3] if labels.has(name)]:
        part = labels.partition(name)
        targets, alone = part.targets(), float((part.class_indices() < 0).mean())
        bits, most = float(entropy(targets).mean()), float(targets.max(axis=1).mean())
        numbers.append(
            {"partition": name, "rows": len(part), "without_consensus": alone, "entropy": bits, "largest_share": most}
        )
        rows.append([name, f"{len(part):,}", f"{alone:.1%}", decimals(bits), f"{most:.1%}"])
    header = ["partition", "rows", "without consensus", "entropy (bits)", "largest share of votes"]
    most_bits = np.log2(len(labels.emotions))
    notes = [f"Means over rows. Entropy of the vote shares: 0 where all say one emotion, at most {most_bits:.2f}."]
    return Table("agreement", "How far annotators agree", pd.DataFrame(numbers), header, rows, notes)


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
