"""Votes of utterances: they say what labels.csv and the annotators say."""

from collections import Counter
from pathlib import Path

import numpy as np

from medusa.corpora.labels import ATTRIBUTES
from medusa.corpora.msp_layout import EMOTIONS, labels_of, votes_of
from medusa.corpora.synthetic import plan
from medusa.corpora.votes import OTHER


def test_votes_are_counted_and_give_the_labels() -> None:
    corpus = [clip.utterance for clip in plan(120, 1)]
    labels, votes = labels_of(corpus, Path("labels.csv")).table, votes_of(corpus)
    labelled = labels[labels["Partition"] != ""]
    assert votes.counts.index.tolist() == labelled["FileName"].tolist()
    np.testing.assert_allclose(votes.soft_targets(), labelled[list(EMOTIONS)].to_numpy(), atol=1e-12)
    np.testing.assert_allclose(votes.mean_ratings(), labelled[list(ATTRIBUTES)].to_numpy(), atol=1e-12)
    assert votes.consensus() == labelled["EmoClass"].tolist()
    for utterance in corpus[:20]:
        said = Counter(vote.primary.split("-")[0] for vote in utterance.votes)
        row = votes.counts.loc[utterance.file_name]
        assert {name: row[name] for name in (*EMOTIONS, OTHER) if row[name]} == said
        arousal = Counter(vote.attributes[0] for vote in utterance.votes)
        rated = votes.ratings["EmoAct"].loc[utterance.file_name]
        assert {value: count for value, count in rated.items() if count} == arousal
