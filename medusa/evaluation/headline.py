"""What a reader wants to know first: the soup against the paper, its members and votes, and under which protocol."""

from __future__ import annotations

from collections.abc import Sequence

from medusa.ensemble.evaluate import Combined
from medusa.ensemble.member_files import fitted_partition
from medusa.evaluation import plots
from medusa.evaluation.cells import decimals, signed, verdict
from medusa.evaluation.page import Cards, Figure, Row, Section, Text
from medusa.evaluation.paper import TABLE_3
from medusa.evaluation.results import Results
from medusa.evaluation.runs import Ensemble
from medusa.evaluation.scores import estimate, paper_scores, scores
from medusa.evaluation.techniques_table import contrasts_table, technique_labels

KINDS: dict[str, plots.Kind] = {"majority": "vote", "soft": "vote", "single": "single", "soup": "soup"}
"""Of techniques that are no controls."""


def headline(results: Results, main: Ensemble) -> Section:
    """The soup against its members and votes, and under which protocol."""
    test = results.test
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
            Text(beside_the_paper(results, main)),
            Text(protocol(results, main)),
            Text(better_members(results, main)),
            Row([overview_figure(results, main), table]),
        ],
    )


def beside_the_paper(results: Results, main: Ensemble) -> str:
    """The soup next to the paper's, both under its protocol."""
    size = results.beside.ensemble(main.name, main.config.members)
    if size is None:
        paper = decimals(TABLE_3[14]["soup"].f1)
        return f"The paper has no such ensemble: its soup of 14 members reaches {paper} on MSP-Podcast's test rows."
    printed = TABLE_3[size]["soup"].f1
    told = f"The paper's soup of {size} members reaches {decimals(printed)} on MSP-Podcast's test rows (balanced draws)"
    if results.beside.only_placed:
        return f"{told}. This is another corpus with other features: the two figures compare nothing."
    if main.fitted_on(results.selection):
        return f"{told}. Stage 3 was fitted on the rows where ours could be put beside it."
    ours, _ = paper_scores(results.selected, main.repeats("soup", "selection"))
    return f"{told}; ours {decimals(ours)} under that protocol, on {results.selection}: {signed(ours - printed)}."


def protocol(results: Results, main: Ensemble) -> str:
    """What the test rows were used for beside these figures."""
    fitted = f"Stage 3 was fitted on the {fitted_partition(main.config)} rows"
    if main.config.fit_on == "crossfit":
        fitted += ", each predicted by models that never heard its speaker"
    if main.fitted_on("test"):
        return f"{fitted}, those reported here among them: a diagnostic, no result."
    if main.config.fit_on == "dev":
        fitted += ", for as many epochs as a speaker-disjoint cross-validation inside them chose"
    if results.honest:
        chosen = "" if main.config.fit_on == "dev" else "; its epoch was chosen on dev"
        members = "Members were selected on dev"
        if main.config.fit_on == "crossfit":
            members = "The models of folds were selected among their own training speakers"
        used = "the test rows were used for nothing but these figures"
        return f"Protocol: honest. {members}; {used}. {fitted}{chosen}."
    return (
        "Protocol: the paper's. There is no dev partition, so epochs were selected on the very test rows reported "
        f"here, which flatters every figure. {fitted}."
    )


def better_members(results: Results, main: Ensemble) -> str:
    """Which members would have been the better choice, had one known."""
    test = results.test
    soup = scores(test, main.predicted["soup"]).balanced_f1
    members = {one.name: scores(test, one.predicted["test"]).balanced_f1 for one in results.members_of(main)}
    better = [f"{name} ({decimals(score)})" for name, score in members.items() if score > soup]
    if not better:
        return f"On test, none of its {len(members)} members scores above the soup."
    verb = "scores" if len(better) == 1 else "score"
    return f"On test, {len(better)} of its {len(members)} members {verb} above the soup: {', '.join(better)}."


def overview_figure(results: Results, main: Ensemble) -> Figure:
    """Members, votes, single meta-classifiers and soup on one axis."""
    test = results.test

    def mark(label: str, kind: plots.Kind, repeats: Sequence[Combined]) -> plots.Mark:
        value, interval = estimate(results.draws, repeats)
        seeds = [scores(test, one).balanced_f1 for one in repeats] if len(repeats) > 1 else []
        return plots.Mark(label, kind, value, interval, seeds)

    marks = [mark(member.title, "member", [member.predicted["test"]]) for member in results.members_of(main)]
    for technique, name in technique_labels(main).items():
        kind = KINDS.get(technique, "control")
        suffix = " (control)" if kind == "control" else ""
        marks.append(mark(name + suffix, kind, main.repeats(technique)))
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
