"""What a data card is about, and its tables of rows, speakers, classes, durations and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medusa.corpora.agreement import raters, restrict
from medusa.corpora.durations import Durations
from medusa.corpora.labels import ATTRIBUTE_NAMES, NO_CONSENSUS, PARTITIONS, Labels
from medusa.corpora.votes import Votes
from medusa.evaluation.page import NO_VALUE, Table

Floats = npt.NDArray[np.float64]

ALL = "all"
"""The group of all rows."""

CLASS_NAMES = {"X": "X (no agreement)", "O": "O (other)", "": "no class"}


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a data card is about.

    Attributes:
        labels: All rows.
        votes: Of rows of `labels` only; None where nobody voted.
        durations: One per row of `labels`; None where the recordings are not known.
    """

    labels: Labels
    votes: Votes | None
    durations: Durations | None

    @cached_property
    def partitions(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Which rows are in each partition that has any."""
        of_row = self.labels.table["Partition"].replace("", "unlabelled").to_numpy()
        return {name: of_row == name for name in PARTITIONS if (of_row == name).any()}

    @cached_property
    def groups(self) -> dict[str, npt.NDArray[np.bool_]]:
        """The partitions, then `ALL`."""
        return self.partitions | {ALL: np.ones(len(self.labels), dtype=bool)}

    @cached_property
    def votes_of(self) -> dict[str, Votes]:
        """Votes of each group that has any."""
        if self.votes is None:
            return {}
        names = self.labels.table["FileName"]
        parts = {group: restrict(self.votes, names[rows]) for group, rows in self.groups.items()}
        return {group: votes for group, votes in parts.items() if raters(votes.counts).any()}


def partitions_table(corpus: Corpus) -> Table:
    """Rows, speakers and genders of each partition."""
    genders = sorted(corpus.labels.table["Gender"].unique(), key=lambda gender: (gender == "", gender))
    genders = genders if any(genders) else []
    lines: list[dict[str, Any]] = []
    for group, rows in corpus.groups.items():
        table = corpus.labels.table[rows]
        of_speaker = table.loc[table["SpkrID"] != "", "SpkrID"].value_counts()
        known = len(of_speaker) > 0
        lines.append(
            {
                "partition": group,
                "rows": len(table),
                "with_consensus": int(table["EmoClass"].isin(corpus.labels.emotions).sum()),
                "speakers": len(of_speaker),
                "rows_without_speaker": int((table["SpkrID"] == "").sum()),
                "rows_per_speaker_min": int(of_speaker.min()) if known else None,
                "rows_per_speaker_median": float(of_speaker.median()) if known else None,
                "rows_per_speaker_max": int(of_speaker.max()) if known else None,
                **{f"rows_{gender or 'unknown'}": int((table["Gender"] == gender).sum()) for gender in genders},
            }
        )
    numbers = pd.DataFrame(lines)
    for end in ("rows_per_speaker_min", "rows_per_speaker_max"):
        numbers[end] = numbers[end].astype("Int64")
    heads = [gender or "gender unknown" for gender in genders]
    header = ["partition", "rows", "with consensus", "speakers", "rows per speaker (median)", "least … most", *heads]
    cells = [
        [
            line["partition"],
            count(line["rows"]),
            part(line["with_consensus"], line["rows"]),
            count(line["speakers"]) if line["speakers"] else NO_VALUE,
            f"{line['rows_per_speaker_median']:,.6g}" if line["speakers"] else NO_VALUE,
            f"{line['rows_per_speaker_min']:,} … {line['rows_per_speaker_max']:,}" if line["speakers"] else NO_VALUE,
            *(part(line[f"rows_{gender or 'unknown'}"], line["rows"]) for gender in genders),
        ]
        for line in lines
    ]
    unknown = lines[-1]["rows_without_speaker"]
    notes = [f"Rows that name no speaker: {count(unknown)}."] if unknown else []
    return Table("partitions", "Partitions", numbers, header, cells, notes, strong=frozenset({len(lines) - 1}))


def split_sets_table(corpus: Corpus) -> Table:
    """Where the corpus's own split sets went."""
    counts = pd.crosstab(corpus.labels.table["Split_Set"], corpus.labels.table["Partition"].replace("", "unlabelled"))
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index, list(corpus.partitions)]
    counts.insert(0, "split_set", counts.index)
    header = ["split set of the corpus", *corpus.partitions]
    cells = [[str(row[0]) or "none", *map(count, row[1:])] for row in counts.itertuples(index=False)]
    return Table("split_sets", "Rows of each split set, by partition", counts.reset_index(drop=True), header, cells)


def class_counts(labels: Labels, rows: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Rows of each emotion, then of X, O and no class as far as the corpus has them."""
    every, found = labels.table["EmoClass"], labels.table["EmoClass"][rows].value_counts()
    others = [name for name in (*NO_CONSENSUS, "") if (every == name).any()]
    return {name: int(found.get(name, 0)) for name in (*labels.emotions, *others)}


def classes_table(corpus: Corpus) -> Table:
    """Rows of each class in each partition."""
    counts = {group: class_counts(corpus.labels, rows) for group, rows in corpus.groups.items()}
    numbers = pd.DataFrame(counts)
    names = [CLASS_NAMES.get(name, name) for name in numbers.index]
    numbers.insert(0, "class", list(numbers.index))
    cells = [
        [name, *map(count, row), percent(row[-1] / len(corpus.labels))]
        for name, row in zip(names, numbers[list(counts)].to_numpy(), strict=True)
    ]
    header = ["class", *counts, "share of all"]
    return Table("classes", "Rows by class", numbers.reset_index(drop=True), header, cells)


def durations_table(corpus: Corpus, seconds: Floats) -> Table:
    """Length of the recordings of each partition; `seconds` as in `Durations`."""
    lines: list[dict[str, Any]] = []
    for group, rows in corpus.groups.items():
        known = seconds[rows][~np.isnan(seconds[rows])]
        lines.append({"partition": group, "recordings": len(known), "hours": known.sum() / 3600, **_spread(known)})
    header = ["partition", "recordings", "hours", "mean (s)", "sd (s)", "shortest (s)", "median (s)", "longest (s)"]
    cells = [
        [
            line["partition"],
            count(line["recordings"]),
            *(decimals(line[key]) for key in ("hours", "mean", "sd", "min", "median", "max")),
        ]
        for line in lines
    ]
    last = frozenset({len(lines) - 1})
    return Table("durations", "Length of the recordings", pd.DataFrame(lines), header, cells, strong=last)


def attributes_table(corpus: Corpus) -> Table:
    """Mean and spread of arousal, valence and dominance in each partition."""
    values = corpus.labels.attribute_values()
    lines: list[dict[str, Any]] = []
    for position, name in enumerate(corpus.labels.attributes):
        for group, rows in corpus.groups.items():
            known = values[rows, position][~np.isnan(values[rows, position])]
            if len(known):
                lines.append({"attribute": ATTRIBUTE_NAMES[name], "partition": group, "rows": len(known)})
                lines[-1] |= _spread(known)
    cells = [
        [
            line["attribute"] if number == 0 or lines[number - 1]["attribute"] != line["attribute"] else "",
            line["partition"],
            count(line["rows"]),
            *(decimals(line[key]) for key in ("mean", "sd", "min", "median", "max")),
        ]
        for number, line in enumerate(lines)
    ]
    header = ["attribute", "partition", "rows", "mean", "sd", "least", "median", "most"]
    title = "Attributes, means over annotators on the scale 1–7"
    strong = frozenset(number for number, line in enumerate(lines) if line["partition"] == ALL)
    return Table("attributes", title, pd.DataFrame(lines), header, cells, text=(0, 1), strong=strong)


# --- cells ------------------------------------------------------------------------------------------


def count(value: float) -> str:
    """`12,345`."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """`12.3 %` of a share in 0 ... 1."""
    return f"{100 * share:.1f} %"


def part(some: float, of: float) -> str:
    """`123 (4.5 %)`."""
    return f"{count(some)} ({percent(some / of)})" if of else count(some)


def decimals(value: object) -> str:
    """Two decimals, or a dash where there is no value."""
    return f"{value:.2f}" if isinstance(value, float) and not np.isnan(value) else NO_VALUE


def _spread(values: Floats) -> dict[str, float | None]:
    """Mean, standard deviation (of the rows themselves), least, median and most; None where there are no values."""
    if not len(values):
        return dict.fromkeys(("mean", "sd", "min", "median", "max"))
    measures: Sequence[tuple[str, float]] = [
        ("mean", values.mean()),
        ("sd", values.std()),
        ("min", values.min()),
        ("median", np.median(values)),
        ("max", values.max()),
    ]
    return {name: float(value) for name, value in measures}
