"""How the models came about: training curves, weights of the meta-classifier, classes before and after balancing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from medusa.corpora.labels import ATTRIBUTE_NAMES
from medusa.evaluation import plots
from medusa.evaluation.cells import signed
from medusa.evaluation.page import Figure, Row, Section, Text
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble
from medusa.evaluation.scores import effective_weights, vote_weights
from medusa.evaluation.tables import agreement_table, class_counts_table


def curves_section(results: Results) -> Section:
    """Stages 1 and 2 of every member, on common axes."""
    trained = [(member, member.training) for member in results.members if member.training is not None]
    missing = [member.name for member in results.members if member.training is None]
    notes = []
    if trained:
        notes.append(
            "Loss: equation (1), mean over the rows of an epoch. Stage 1 trains on all rows and weighs classes; Stage "
            "2 trains on balanced subsets and does not, so the loss does not compare across the dashed line; the F1 "
            "below it does. Star: the epoch that was kept. Dotted: chance."
        )
    if missing:
        notes.append(f"Without curves, since their posteriors came as files: {', '.join(missing)}.")
    rows = list(chain.from_iterable(training.history for _, training in trained))
    figures = [
        Figure(
            f"curves-{member.name}",
            f"Member {member.name}: {' + '.join(training.config.features)}",
            f"{member.title}: {len(training.history)} epochs; best macro-F1 on {results.selection} "
            f"{training.history[training.best_epoch]['macro_f1']:.3f} at epoch {training.best_epoch + 1}.",
            plots.training_curves(
                training.history,
                training.best_epoch,
                results.selection,
                (_limits([row["loss"] for row in rows]), _limits([row["macro_f1"] for row in rows])),
                1 / len(results.labels.emotions),
            ),
        )
        for member, training in trained
    ]
    return Section("curves", "Training curves", [Row(figures, notes)])


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """From 0 to a little above the largest."""
    return 0.0, 1.08 * max(values)


def weights_section(results: Results, main: Ensemble) -> Section:
    """What the soup listens to."""
    title = "What the meta-classifier listens to"
    if main.weights is None:
        text = "This meta-classifier has a hidden layer, so no single weight ties a member to a class."
        return Section("weights", title, [Text(text)])
    emotions, attributes = results.labels.emotions, [ATTRIBUTE_NAMES[name] for name in results.labels.attributes]
    titles = [member.title for member in results.members_of(main)]
    effective = effective_weights(main.weights, len(main.config.members), len(emotions))
    own = effective[:, np.arange(len(emotions)), np.arange(len(emotions))].mean(axis=1)
    shown = ", ".join(f"{name} {signed(float(one))}" for name, one in zip(main.config.members, own, strict=True))
    figure = Figure(
        "meta_weights",
        f"Soup of {main.name}: weights, mean over {len(main.config.seeds)} seeds",
        f"Mean weight from a member's posterior of a class to that class: {shown}.",
        plots.meta_weights(effective, titles, emotions, attributes),
    )
    notes = [
        "A strong diagonal: the member is believed. Off it: its errors are corrected. What cannot change a posterior "
        "(a constant over all classes, or over all posteriors of one member) is subtracted. On the diagonal, on "
        f"average: {shown}."
    ]
    figures = [figure]
    if main.config.start == "vote":
        learned = effective - vote_weights(len(main.config.members), len(emotions), len(attributes))
        most = float(np.abs(learned).max())
        figures.append(
            Figure(
                "meta_weights_learned",
                "The same, less the soft vote that training started from",
                f"What training added to the weights of the soft vote: at most {most:.2g}.",
                plots.meta_weights(learned, titles, emotions, attributes),
                [f"Mind the scale: training moved no weight by more than {most:.2g}."],
            )
        )
    return Section("weights", title, [Row(figures, notes)])


def classes_section(results: Results) -> Section:
    """How uneven the training rows are, and what balancing leaves."""
    table = class_counts_table(results.labels)
    names, every, drawn = (table.numbers[column].tolist() for column in ("class", "train", "balanced_draw"))
    figure = Figure(
        "class_counts",
        "Training rows of each class in one epoch",
        f"Of {sum(every):,} training rows a balanced draw takes {sum(drawn):,}.",
        plots.class_counts(names, every, drawn),
    )
    return Section(
        "classes", "Classes before and after balancing", [Row([figure, table]), Row([agreement_table(results.labels)])]
    )
