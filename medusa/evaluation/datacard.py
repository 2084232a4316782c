"""The data card of a corpus: who speaks, what is felt, how long, and how far annotators agree.

datacard.html (self-contained), datacard.md with its pictures in datacard/, and datacard.json with every number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import medusa
from medusa.corpora.agreement import STRENGTHS, alpha_of_classes, restrict
from medusa.corpora.durations import read_durations
from medusa.corpora.votes import OTHER, Prepared, Votes
from medusa.evaluation import corpus_plots
from medusa.evaluation.agreement_tables import (
    alpha_table,
    annotators_table,
    choices,
    strength_counts,
    strengths_table,
    vote_shares_table,
)
from medusa.evaluation.corpus_plots import Distribution
from medusa.evaluation.datacard_tables import (
    ALL,
    CLASS_NAMES,
    Corpus,
    attributes_table,
    class_counts,
    classes_table,
    count,
    decimals,
    durations_table,
    partitions_table,
    percent,
    split_sets_table,
)
from medusa.evaluation.distributions import distributions_of
from medusa.evaluation.page import Block, Cards, Figure, Page, Row, Section, Table, Text, html, markdown
from medusa.files import atomic_path, read_json, sha256, write_json, write_text

SCHEMA = 1
FILES = ("datacard.html", "datacard.md", "datacard.json")


def write_datacard(out: Path, title: str, prepared: Prepared, audio: Path | None, about: str = "") -> Path:
    """Write the data card of a corpus beside its labels.csv, which is there already.

    The same corpus gives the same bytes, wherever it lies (unless a note names a folder).

    Args:
        out: Folder of labels.csv.
        title: Name of the corpus.
        prepared: Labels, votes and notes.
        audio: Folder of the recordings; None: their lengths are left out.
        about: What whoever sees a result on this corpus must know; reports and model cards say it too.

    Returns:
        datacard.html, which is written last.
    """
    for name in FILES:
        (out / name).unlink(missing_ok=True)  # until the new card is whole, none is better than that of other labels
    labels, votes = prepared.labels, prepared.votes
    names = list(labels.table["FileName"])
    corpus = Corpus(
        labels,
        votes=None if votes is None else restrict(votes, names),
        durations=None if audio is None else read_durations(audio, names),
    )
    notes = list(prepared.notes)
    strangers = 0 if votes is None or corpus.votes is None else len(votes.counts) - len(corpus.votes.counts)
    if strangers:
        notes.append(f"Utterances with votes but no row in labels.csv, left out here: {count(strangers)}.")
    distributions = distributions_of(corpus)
    page = datacard(title, about, corpus, notes, distributions)
    for item in page.items:
        if isinstance(item, Figure):
            with atomic_path(out / f"{item.name}.png") as temporary:
                temporary.write_bytes(item.png)
    numbers = _numbers(title, corpus, notes, page, distributions)
    write_json(out / "datacard.json", numbers | {"about": about, "labels_sha256": sha256(labels.source)})
    write_text(out / "datacard.md", markdown(page))
    write_text(out / "datacard.html", html(page))
    return out / "datacard.html"


def read_about(labels: Path) -> str:
    """What the corpus of a labels.csv says of itself in the data card beside it; empty where there is no card.

    Raises:
        UserError: the card is damaged.
    """
    card = labels.parent / "datacard.json"
    if not card.is_file():
        return ""
    return str(read_json(card, remedy="write it anew with `medusa prepare`").get("about", ""))


def datacard(title: str, about: str, corpus: Corpus, notes: list[str], distributions: dict[str, Distribution]) -> Page:
    """The page; `about` stands below its title, `distributions` are those of `distributions_of`."""
    sections = [_overview(corpus), _classes(corpus), _partitions(corpus), _durations(corpus, distributions)]
    if "attributes" in distributions:
        figure = _histograms(distributions["attributes"], "Attributes: distribution over the labelled rows")
        sections.append(Section("attributes", "Attributes", [Row([figure]), Row([attributes_table(corpus)])]))
    sections.append(_agreement(corpus, distributions))
    if notes:
        sentences = [f"{note[:1].upper()}{note[1:]}{'' if note.endswith('.') else '.'}" for note in notes]
        sections.append(Section("notes", "Notes", [*map(Text, sentences)]))
    return Page(f"Data card: {title}", sections, about)


# --- sections ---------------------------------------------------------------------------------------


def _overview(corpus: Corpus) -> Section:
    labels = corpus.labels
    unlabelled = len(labels.partition("unlabelled"))
    speakers = len(set(labels.table["SpkrID"]) - {""})
    cards = [
        (count(len(labels)), f"rows, {count(unlabelled)} of them unlabelled" if unlabelled else "rows, all labelled"),
        (count(speakers) if speakers else "?", "speakers" if speakers else "speakers: the corpus names none"),
    ]
    if corpus.durations is not None and not np.isnan(corpus.durations.seconds).all():
        cards.append((f"{np.nansum(corpus.durations.seconds) / 3600:,.2f} h", "of recordings"))
    if corpus.votes_of:
        votes = corpus.votes_of[ALL]
        what = f"Krippendorff's alpha over {choices(votes)} (1: full agreement, 0: chance)"
        cards.append((decimals(alpha_of_classes(votes)), what))
    emotions = f"{len(labels.emotions)} emotions: {', '.join(labels.emotions)}."
    return Section("overview", "What is in it", [Cards(cards), Text(emotions)])


def _classes(corpus: Corpus) -> Section:
    labelled = {
        name: class_counts(corpus.labels, rows) for name, rows in corpus.partitions.items() if name != "unlabelled"
    }
    if not labelled:
        return Section("classes", "Classes", [Row([classes_table(corpus)])])
    names = [name for name in next(iter(labelled.values())) if name or any(of[name] for of in labelled.values())]
    first, of_emotion = next((name, {e: of[e] for e in corpus.labels.emotions}) for name, of in labelled.items())
    largest, smallest = max(of_emotion, key=of_emotion.__getitem__), min(of_emotion, key=of_emotion.__getitem__)
    text = (
        f"In {first} the largest class is {largest} ({count(of_emotion[largest])} rows), the smallest {smallest} "
        f"({count(of_emotion[smallest])})."
    )
    png = corpus_plots.classes_by_partition(
        [CLASS_NAMES.get(name, name) for name in names],
        {name: [of[one] for one in names] for name, of in labelled.items()},
        emotions=len(of_emotion),
    )
    figure = Figure("datacard/classes", "Classes by partition", text, png)
    return Section("classes", "Classes", [Text(text), Row([figure, classes_table(corpus)])])


def _partitions(corpus: Corpus) -> Section:
    table = corpus.labels.table
    tables = [partitions_table(corpus)]
    if (table["Split_Set"] != "").any():
        tables.append(split_sets_table(corpus))
    known = table[(table["SpkrID"] != "") & (table["Partition"] != "")]
    homes = known.groupby("SpkrID")["Partition"].nunique()
    shared = sorted(homes.index[homes > 1], key=lambda speaker: (len(speaker), speaker))
    if not len(homes):
        text = "Speakers are unknown, so nobody can say whether one is in two partitions."
    elif shared:
        text = (
            f"{count(len(shared))} of {count(len(homes))} speakers are in more than one partition "
            f"({', '.join(shared[:5])}{', …' if len(shared) > 5 else ''}): scores may know their voices."
        )
    else:
        text = "No speaker is in two partitions."
    return Section("partitions", "Partitions, speakers, gender", [Text(text), *(Row([one]) for one in tables)])


def _durations(corpus: Corpus, distributions: dict[str, Distribution]) -> Section:
    found, blocks = corpus.durations, list[Block]()
    if found is None:
        blocks.append(Text("Not measured: the folder of the recordings was not given, or --no-durations was."))
        return Section("durations", "Durations", blocks)
    for names, problem in ((found.missing, "have no recording"), (found.unreadable, "have a file that is no audio")):
        if names:
            rows = f"{count(len(names))} of {count(len(corpus.labels))} rows"
            blocks.append(Text(f"{rows} {problem}, for example {names[0]}."))
    if "durations" in distributions:
        figure = _histograms(distributions["durations"], "Length of the recordings by partition")
        blocks += [Row([figure]), Row([durations_table(corpus, found.seconds)])]
    return Section("durations", "Durations", blocks)


def _agreement(corpus: Corpus, distributions: dict[str, Distribution]) -> Section:
    votes_of, blocks = corpus.votes_of, list[Block]()
    if not votes_of:
        blocks.append(Text("Left out: the corpus says what each utterance is, not what each annotator said."))
    else:
        votes = votes_of[ALL]
        blocks += [Row([alpha_table(votes_of)]), Row([annotators_table(corpus)])]
        blocks += [Row([_strengths_figure(votes_of)]), Row([strengths_table(votes_of)]), Row([_votes_figure(votes)])]
    titles = {"annotators": "Annotators per utterance", "entropy": "Entropy of the soft targets"}
    figures = [_histograms(distributions[name], title) for name, title in titles.items() if name in distributions]
    if "entropy" in distributions:
        emotions = len(corpus.labels.emotions)
        most = f"{np.log2(emotions):.2f} where all {emotions} have as many"
        note = f"Entropy: 0 bits where all votes are for one emotion; {most}."
        blocks.append(Row(figures, [note]))
    elif figures:
        blocks.append(Row(figures))
    return Section("agreement", "Agreement", blocks)


# --- figures ----------------------------------------------------------------------------------------


def _histograms(distribution: Distribution, title: str) -> Figure:
    means = "; ".join(f"{name}: mean {values.mean():.2f}" for name, values in distribution.panels.items())
    alternative = f"{title}: {distribution.xlabel}. {means}."
    return Figure(f"datacard/{distribution.name}", title, alternative, corpus_plots.histograms(distribution))


def _strengths_figure(votes_of: dict[str, Votes]) -> Figure:
    counts = strength_counts(votes_of)
    total = max(sum(counts[ALL]), 1)
    said = ", ".join(f"{name} {percent(one / total)}" for name, one in zip(STRENGTHS, counts[ALL], strict=True))
    title = "Strength of the consensus: the winner's share of all votes, Other included"
    return Figure("datacard/strengths", title, f"All utterances: {said}.", corpus_plots.strengths(STRENGTHS, counts))


def _votes_figure(votes: Votes) -> Figure:
    numbers = vote_shares_table(votes).numbers
    said = [*votes.emotions, OTHER]
    classes = [CLASS_NAMES.get(name, name) for name in numbers["class"]]
    png = corpus_plots.vote_shares(
        numbers[said].to_numpy(dtype=np.float64), classes, [int(one) for one in numbers["utterances"]], said
    )
    alternative = "Mean shares of the votes for each choice, for each consensus; the numbers are in datacard.json."
    return Figure("datacard/votes", "What annotators said where the consensus is …", alternative, png)


# --- numbers ----------------------------------------------------------------------------------------


def _numbers(
    title: str, corpus: Corpus, notes: list[str], page: Page, distributions: dict[str, Distribution]
) -> dict[str, Any]:
    """Every number of the page, as JSON values; what has no value is null."""
    tables = [item for item in page.items if isinstance(item, Table)]
    if corpus.votes_of:
        tables.append(vote_shares_table(corpus.votes_of[ALL]))
    found = corpus.durations
    return {
        "schema": SCHEMA,
        "medusa": medusa.__version__,
        "title": title,
        "rows": len(corpus.labels),
        "emotions": list(corpus.labels.emotions),
        "attributes": list(corpus.labels.attributes),
        "notes": notes,
        "missing_recordings": None if found is None else len(found.missing),
        "unreadable_recordings": None if found is None else len(found.unreadable),
        "tables": {table.name: _records(table) for table in tables},
        "histograms": {
            one.name: {
                "of": one.xlabel,
                "edges": one.edges.tolist(),
                "counts": {name: one.counts(name) for name in one.panels},
            }
            for one in distributions.values()
        },
    }


def _records(table: Table) -> list[dict[str, Any]]:
    numbers = table.numbers.astype(object)
    return [
        {str(key): None if isinstance(cell, float) and np.isnan(cell) else cell for key, cell in record.items()}
        for record in numbers.where(numbers.notna(), None).to_dict(orient="records")
    ]
