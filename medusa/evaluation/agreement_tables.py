"""The tables of a data card on annotators: how many there were, what they said, how far they agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from medusa.corpora.agreement import (
    STRENGTHS,
    alpha_of_classes,
    alpha_of_ratings,
    consensus_strength,
    entropy,
    raters,
)
from medusa.corpora.labels import ATTRIBUTE_NAMES
from medusa.corpora.votes import OTHER, Votes
from medusa.evaluation.datacard_tables import ALL, CLASS_NAMES, Corpus, count, decimals, part, percent
from medusa.evaluation.page import NO_VALUE, Table


def annotators_table(corpus: Corpus) -> Table:
    """How many votes there are, for what, and how far apart, in each group of rows."""
    lines: list[dict[str, Any]] = []
    targets = corpus.labels.targets()  # a target may count more than the votes do: secondary emotions
    for group, votes in corpus.votes_of.items():
        given = raters(votes.counts)
        given = given[given > 0]
        bits = entropy(targets[corpus.groups[group]])
        lines.append(
            {
                "partition": group,
                "utterances": len(given),
                "votes": given.sum(),
                "annotators_mean": given.mean(),
                "annotators_min": given.min(),
                "annotators_max": given.max(),
                "votes_for_other": votes.counts[OTHER].sum() / given.sum(),
                "only_other": int((votes.kept() == 0).sum()),
                "entropy_bits_mean": float(np.nanmean(bits)) if not np.isnan(bits).all() else None,
            }
        )
    header = ["partition", "utterances", "votes", "votes per utterance", "least … most", "votes for Other"]
    header += ["utterances with only Other", "mean entropy (bits)"]
    cells = [
        [
            line["partition"],
            count(line["utterances"]),
            count(line["votes"]),
            decimals(line["annotators_mean"]),
            f"{line['annotators_min']:.3g} … {line['annotators_max']:.3g}",
            percent(line["votes_for_other"]),
            count(line["only_other"]),
            decimals(line["entropy_bits_mean"]),
        ]
        for line in lines
    ]
    emotions = len(corpus.labels.emotions)
    note = f"Entropy of the soft target: 0 bits where all votes are for one emotion, at most {np.log2(emotions):.2f}."
    title = "Annotators"
    last = frozenset({len(lines) - 1})
    return Table("annotators", title, pd.DataFrame(lines), header, cells, [note], strong=last)


def alpha_table(votes_of: Mapping[str, Votes]) -> Table:
    """Krippendorff's alpha of the classes and of each attribute, in each group of rows."""
    columns = {}
    for group, votes in votes_of.items():
        rated = {f"{ATTRIBUTE_NAMES.get(key, key)} (interval)": one for key, one in alpha_of_ratings(votes).items()}
        columns[group] = {f"{choices(votes_of[ALL])} (nominal)": alpha_of_classes(votes), **rated}
    numbers = pd.DataFrame(columns)
    cells = [
        [str(name), *(decimals(float(one)) for one in row)]
        for name, row in zip(numbers.index, numbers.to_numpy(), strict=True)
    ]
    numbers.insert(0, "measure", list(numbers.index))
    notes = [
        "1: all annotators agree; 0: as much as by chance; below 0: less. Utterances with one vote carry nothing.",
    ]
    if numbers.isna().to_numpy().any():
        notes.append(
            f"{NO_VALUE}: not defined, since votes are no whole numbers or no two annotators differ or can be compared."
        )
    header = ["Krippendorff's alpha", *columns]
    return Table("alpha", "Agreement beyond chance", numbers.reset_index(drop=True), header, cells, notes)


def choices(votes: Votes) -> str:
    """What annotators chose among: Other may have been no choice."""
    return "emotions and Other" if votes.counts[OTHER].any() else "emotions"


def strength_counts(votes_of: Mapping[str, Votes]) -> dict[str, list[int]]:
    """Utterances of each of `STRENGTHS`, in each group of rows."""
    found = {group: consensus_strength(votes.counts) for group, votes in votes_of.items()}
    return {group: [one.count(strength) for strength in STRENGTHS] for group, one in found.items()}


def strengths_table(votes_of: Mapping[str, Votes]) -> Table:
    """Share of utterances by the strength of their consensus, in each group of rows."""
    counts = strength_counts(votes_of)
    numbers = pd.DataFrame(
        [{"partition": group, **dict(zip(STRENGTHS, of, strict=True))} for group, of in counts.items()]
    )
    cells = [[group, *(part(one, sum(of)) for one in of)] for group, of in counts.items()]
    title = "Utterances by strength of their consensus"
    last = frozenset({len(counts) - 1})
    return Table("strengths", title, numbers.reset_index(drop=True), ["partition", *STRENGTHS], cells, strong=last)


def vote_shares_table(votes: Votes) -> Table:
    """What annotators say where the consensus is some class: mean shares of the votes."""
    said = [*votes.emotions, OTHER]
    counts = votes.counts[said]
    every = raters(counts)
    shares = counts[every > 0].div(every[every > 0], axis=0)
    consensus = pd.Series(votes.consensus(), index=votes.counts.index)[every > 0]
    means = shares.groupby(consensus).mean()
    classes = [name for name in (*votes.emotions, "O", "X") if name in means.index]
    numbers = means.loc[classes].reset_index(drop=True)
    numbers.insert(0, "class", classes)
    numbers.insert(1, "utterances", [int((consensus == name).sum()) for name in classes])
    cells = [[CLASS_NAMES.get(row[0], row[0]), count(row[1]), *map(percent, row[2:])] for row in numbers.to_numpy()]
    header = ["consensus", "utterances", *said]
    return Table("vote_shares", "What annotators said, by consensus", numbers, header, cells)
