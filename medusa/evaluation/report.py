"""The report on a set of ensembles: what came out, most important first; report.md, report.html, plots and tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from medusa.corpora.labels import ATTRIBUTE_NAMES
from medusa.ensemble.evaluate import Combined
from medusa.evaluation import plots
from medusa.evaluation.datacard import read_about
from medusa.evaluation.page import Cards, Figure, Page, Row, Section, Text, html, markdown
from medusa.evaluation.results import Ensemble, Results, read_results
from medusa.evaluation.scores import effective_weights, estimate, scores, vote_weights
from medusa.evaluation.tables import (
    class_counts_table,
    class_scores_table,
    concordance_table,
    contrasts_table,
    decimals,
    members_table,
    signed,
    techniques_table,
    verdict,
    weights_numbers,
)
from medusa.files import atomic_path, write_csv, write_text
from medusa.metrics import confusion
from medusa.provenance import provenance, write_provenance


def write_report(
    runs: Path, ensembles: Sequence[Path], changes: Sequence[str], out: Path, about: str = ""
) -> list[str]:
    """Write the report on some ensembles of one folder of runs.

    Args:
        runs: Folder with `members/` and `ensembles/`.
        ensembles: One YAML each; the first is the one the headline, the confusion matrix and the weights are about.
        changes: Overlays and `key=value` words, applied to each of them.
        out: Folder for report.html, report.md, PNG and CSV files; report.html is written last.
        about: What a reader should know of the runs before all else; what their corpus says of itself follows it.

    Returns:
        The headline, as sentences.

    Raises:
        UserError: a run is missing or does not fit; names the command that makes it.
    """
    results = read_results(runs, ensembles, changes)
    page = report(results, " ".join(one for one in (about, read_about(results.labels.source)) if one))
    for item in page.items:
        if isinstance(item, Figure):
            with atomic_path(out / f"{item.name}.png") as temporary:
                temporary.write_bytes(item.png)
        else:
            write_csv(out / f"{item.name}.csv", item.numbers)
    weights = weights_numbers(results.ensembles[0], results.labels)
    if weights is not None:
        write_csv(out / "meta_weights.csv", weights)
    configs = {ensemble.name: ensemble.config.model_dump(mode="json") for ensemble in results.ensembles}
    identities = [ensemble.config.run_directory / "identity.json" for ensemble in results.ensembles]
    write_provenance(out, configs, [results.labels.source, *identities], "cpu")
    write_text(out / "report.md", markdown(page))
    write_text(out / "report.html", html(page))
    return [block.text for block in page.sections[0].blocks if isinstance(block, Text)]


def report(results: Results, about: str = "") -> Page:
    """The page; `about` stands below its title."""
    main = results.ensembles[0]
    sections = [
        headline(results, main),
        Section("members", "Members", [Row([members_table(results)])]),
        Section("techniques", "Voting, meta-classifier and soup", [Row([techniques_table(results)])]),
        confusion_section(results, main),
        curves_section(results),
        weights_section(results, main),
        classes_section(results),
    ]
    if results.labels.attributes:
        sections.insert(4, Section("attributes", "Emotional attributes", [Row([concordance_table(results, main)])]))
    return Page(f"MEDUSA on {results.runs}", [*sections, origin_section(results)], about)


def headline(results: Results, main: Ensemble) -> Section:
    """The soup against its members and votes, and under which protocol."""
    test = results.labels.partition("test")
    soup = scores(test, main.predicted["soup"])
    table, estimates = contrasts_table(results, main)
    members, seeds = len(main.config.members), len(main.config.seeds)
    rows = int((test.class_indices() >= 0).sum())
    speakers = sorted(set(test.table["SpkrID"]) - {""})
    cards = [
        (decimals(soup.balanced_f1), f"class-balanced macro-F1 of the soup ({len(test.emotions)} classes)"),
        (decimals(soup.accuracy), "accuracy of the soup"),
        (
            signed(estimates["member"].value),
            f"F1 gained over its best member on {results.selection} ({verdict(estimates['member'])})",
        ),
        (signed(estimates["soft"].value), f"F1 gained over soft vote ({verdict(estimates['soft'])})"),
    ]
    return Section(
        "headline",
        "What came out",
        [
            Text(
                f"The soup of {seeds} meta-classifiers over {members} members (ensemble {main.name}) reaches a "
                f"class-balanced macro-F1 of {decimals(soup.balanced_f1)} on {rows:,} test rows"
                + (f" of {len(speakers)} speakers." if speakers else "."),
                strong=True,
            ),
            Cards(cards),
            Text(protocol(results, main)),
            Text(better_members(results, main)),
            Row([overview_figure(results, main), table]),
        ],
    )


def protocol(results: Results, main: Ensemble) -> str:
    """What the test rows were used for beside these figures."""
    fitted = f"Stage 3 was fitted on the {main.config.fit_on} rows"
    if main.config.fit_on == "dev":
        fitted += ", for as many epochs as a speaker-disjoint cross-validation inside them chose"
    if results.honest:
        chosen = "" if main.config.fit_on == "dev" else "; its epoch was chosen on dev"
        return (
            "Protocol: honest. Members were selected on dev; the test rows were used for nothing but these figures. "
            f"{fitted}{chosen}."
        )
    return (
        "Protocol: the paper's. There is no dev partition, so epochs were selected on the very test rows reported "
        f"here, which flatters every figure. {fitted}."
    )


def better_members(results: Results, main: Ensemble) -> str:
    """Which members would have been the better choice, had one known."""
    test = results.labels.partition("test")
    soup = scores(test, main.predicted["soup"]).balanced_f1
    members = {one.name: scores(test, one.predicted["test"]).balanced_f1 for one in results.members_of(main)}
    better = [f"{name} ({decimals(score)})" for name, score in members.items() if score > soup]
    if not better:
        return f"On test, none of its {len(members)} members scores above the soup."
    verb = "scores" if len(better) == 1 else "score"
    return f"On test, {len(better)} of its {len(members)} members {verb} above the soup: {', '.join(better)}."


def overview_figure(results: Results, main: Ensemble) -> Figure:
    """Members, votes, single meta-classifiers and soup on one axis."""
    test = results.labels.partition("test")

    def mark(label: str, kind: plots.Kind, repeats: Sequence[Combined]) -> plots.Mark:
        value, interval = estimate(test, repeats)
        seeds = [scores(test, one).balanced_f1 for one in repeats] if len(repeats) > 1 else []
        return plots.Mark(label, kind, value, interval, seeds)

    marks = [mark(member.title, "member", [member.predicted["test"]]) for member in results.members_of(main)]
    marks += [
        mark("majority vote", "vote", [main.predicted["majority"]]),
        mark("soft vote", "vote", [main.predicted["soft"]]),
        mark(f"single, mean of {len(main.seeds)}", "single", main.seeds),
        mark(f"soup of {len(main.seeds)}", "soup", [main.predicted["soup"]]),
    ]
    shown = ", ".join(f"{one.label} {decimals(one.value)}" for one in marks)
    title = "The soup, its members and votes"
    bars = any(one.interval is not None for one in marks)
    note = (
        "Bars: 95 % intervals over the speakers of test." if bars else "No intervals: too few known speakers in test."
    )
    png = plots.overview(marks, len(test.emotions), "class-balanced macro-F1 on test")
    return Figure(
        "overview", title, f"Class-balanced macro-F1 on test: {shown}.", png, [f"{note} Ticks: single seeds."]
    )


def confusion_section(results: Results, main: Ensemble) -> Section:
    """Which classes the soup takes for which."""
    test = results.labels.partition("test")
    classes = test.class_indices()
    scored = classes >= 0
    counts = confusion(classes[scored], main.predicted["soup"].predicted[scored], len(test.emotions))
    recalls = counts.diagonal() / counts.sum(axis=1)
    shown = ", ".join(f"{name} {recall:.0%}" for name, recall in zip(test.emotions, recalls, strict=True))
    title = f"Confusion matrix of the soup, ensemble {main.name}"
    note = "Test rows with consensus: share of each true class, and below it the number of rows."
    figure = Figure(
        "confusion",
        title,
        f"Share found of each class: {shown}.",
        plots.confusion_matrix(counts, test.emotions),
        [note],
    )
    return Section("confusion", "Classes told apart", [Row([figure, class_scores_table(results, main)])])


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
    return Section("classes", "Classes before and after balancing", [Row([figure, table])])


def origin_section(results: Results) -> Section:
    """Code, versions, data."""
    made = provenance({}, [results.labels.source], "")
    code = f"MEDUSA {made['medusa']}"
    if made["git"] is not None:
        code += f", commit {made['git']['commit'][:12]}" + (" with changes" if made["git"]["dirty"] else "")
    libraries = ", ".join(
        f"{name} {made['libraries'][name]}" for name in ("torch", "numpy") if name in made["libraries"]
    )
    (labels,) = made["inputs"]
    text = (
        f"{code}; Python {made['python']}, {libraries}. Labels: {labels['file']} (SHA-256 {labels['sha256'][:12]}…). "
        "provenance.json beside this report has the rest; each run's folder has its own, and its config.yaml. "
        "Every plot is a PNG and every table a CSV in the report's folder."
    )
    return Section("origin", "How this was made", [Text(text)])
