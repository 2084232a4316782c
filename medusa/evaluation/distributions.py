"""What the histograms of a data card show: durations, attributes, annotators, entropy, as far as a corpus has them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from medusa.corpora.agreement import entropy, raters
from medusa.corpora.labels import ATTRIBUTE_NAMES, Labels
from medusa.corpora.votes import Votes
from medusa.evaluation.corpus_plots import Distribution
from medusa.evaluation.datacard_tables import ALL, Corpus

Floats = npt.NDArray[np.float64]

BINS = 24
OUTLIERS = 0.5
"""Percent of the longest recordings that may fall beyond the last bin, so that they do not squeeze the rest."""


def distributions_of(corpus: Corpus) -> dict[str, Distribution]:
    """Each by its name; a kind of which the corpus has no value is not there."""
    found = [
        _of_durations(corpus),
        _of_attributes(corpus.labels),
        None if corpus.votes is None else _of_annotators(corpus.votes),
        _of_entropy(corpus.labels),
    ]
    return {one.name: one for one in found if one is not None}


def _of_durations(corpus: Corpus) -> Distribution | None:
    if corpus.durations is None:
        return None
    seconds = corpus.durations.seconds
    panels = {name: seconds[rows & ~np.isnan(seconds)] for name, rows in corpus.partitions.items()}
    panels = {name: values for name, values in panels.items() if len(values)}
    if not panels:
        return None
    most = max(1, math.ceil(max(float(np.percentile(values, 100 - OUTLIERS)) for values in panels.values())))
    longer = any((values > most).any() for values in panels.values())
    xlabel = "length (s), longer ones in the last bar" if longer else "length (s)"
    return Distribution("durations", xlabel, np.linspace(0, most, BINS + 1), panels)


def _of_attributes(labels: Labels) -> Distribution | None:
    values = labels.attribute_values()
    rated = values[~np.isnan(values).any(axis=1)]
    if not rated.size:
        return None
    panels = {ATTRIBUTE_NAMES[name]: rated[:, column] for column, name in enumerate(labels.attributes)}
    return Distribution("attributes", "mean over annotators (scale 1–7)", np.linspace(1, 7, BINS + 1), panels)


def _of_annotators(votes: Votes) -> Distribution | None:
    given = raters(votes.counts)
    given = given[given > 0]
    if not len(given):
        return None
    edges = np.arange(math.floor(given.min()), math.ceil(given.max()) + 2) - 0.5
    return Distribution("annotators", "votes for an utterance", edges, {ALL: given})


def _of_entropy(labels: Labels) -> Distribution | None:
    targets = labels.targets()
    bits = entropy(targets[~np.isnan(targets[:, 0])])
    if not bits.any():
        return None
    edges = np.linspace(0, np.log2(len(labels.emotions)), BINS + 1)
    return Distribution("entropy", "entropy of the soft target (bits)", edges, {ALL: bits})
