"""Draws of speakers as products of matrices, against the plain bootstrap that scores every draw's rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medusa.corpora.labels import Labels, labels_from_table
from medusa.evaluation import bootstrap
from medusa.evaluation.bootstrap import SpeakerDraws
from medusa.metrics import balanced_macro_f1, cluster_bootstrap

EMOTIONS = ("Angry", "Sad", "Neutral")


def made_rows(speakers: int, rare: bool = False) -> tuple[Labels, np.ndarray]:
    """Rows of some speakers, each tenth without consensus, and guesses that are right half of the time."""
    random = np.random.default_rng(0)
    count = 40 * speakers
    classes = random.integers(3, size=count)
    if rare:
        classes = np.where((classes == 2) & (np.arange(count) % speakers > 1), 0, classes)
    table = pd.DataFrame({"FileName": [f"{row}.wav" for row in range(count)]})
    table[list(EMOTIONS)] = np.eye(3)[classes]
    table["EmoClass"] = np.where(np.arange(count) % 10 == 0, "X", np.asarray(EMOTIONS, dtype=object)[classes])
    table["SpkrID"] = [f"s{row % speakers}" for row in range(count)]
    table["Partition"] = "test"
    guesses = np.where(random.uniform(size=count) < 0.5, classes, random.integers(3, size=count))
    return labels_from_table(Path("labels.csv"), table), guesses


@pytest.mark.parametrize("rare", [False, True], ids=["every class in every draw", "a class that draws may miss"])
def test_intervals_are_those_of_the_plain_bootstrap(rare: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    rows, guesses = made_rows(7, rare)
    scored = rows.class_indices() >= 0
    true, speakers = rows.class_indices()[scored], rows.table["SpkrID"].to_numpy()[scored]
    draws = SpeakerDraws(rows)
    value, drawn = draws.balanced_f1(guesses)
    assert value == pytest.approx(balanced_macro_f1(true, guesses[scored], 3), abs=1e-12)
    plain = cluster_bootstrap(
        speakers, lambda kept: balanced_macro_f1(true[kept], guesses[scored][kept], 3), draws=300, seed=0
    )
    assert draws.interval(drawn) == pytest.approx(plain, abs=1e-12)
    assert plain[0] < value < plain[1]


def test_one_speaker_or_a_class_that_most_draws_miss_give_no_interval() -> None:
    one, guesses = made_rows(1)
    assert not SpeakerDraws(one).possible
    assert SpeakerDraws(one).interval(SpeakerDraws(one).balanced_f1(guesses)[1]) is None
    rows, _ = made_rows(12)
    only_first = np.where(rows.table["SpkrID"] == "s0", "Sad", "Angry").astype(object)
    only_first[1:24:12] = "Neutral"
    changed = rows.table.reset_index(drop=True).assign(EmoClass=only_first)
    assert not SpeakerDraws(labels_from_table(rows.source, changed)).possible
