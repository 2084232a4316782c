"""Which rows each model of a cross-fit trains on, is selected on, and never hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medusa.config.schema import Crossfit
from medusa.corpora.labels import Labels, labels_from_table
from medusa.errors import UserError
from medusa.training.folds import fold_labels, out_of_fold, speaker_folds

EMOTIONS = ("Angry", "Sad", "Neutral")
COUNTS = {"train": 160, "dev": 24, "test": 24, "": 4}
INSTEAD = "use fit_on: train"


def made_labels(counts: dict[str, int] | None = None, speakers: int = 16) -> Labels:
    """Every speaker says every class; some rows have no consensus; each partition has speakers of its own."""
    tables = []
    for partition, rows in (counts or COUNTS).items():
        table = pd.DataFrame({"FileName": [f"{partition or 'open'}{row:03d}.wav" for row in range(rows)]})
        classes = (np.arange(rows) + np.arange(rows) // speakers) % 3
        table[list(EMOTIONS)] = 0.7 * np.eye(3)[classes] + 0.1 if partition else ""
        table["EmoClass"] = np.asarray(EMOTIONS)[classes] if partition else ""
        table.loc[table.index[:2], "EmoClass"] = "X" if partition else ""
        table["SpkrID"] = [f"{partition}-{row % speakers}" for row in range(rows)]
        tables.append(table.assign(Partition=partition))
    return labels_from_table(Path("labels.csv"), pd.concat(tables, ignore_index=True))


def changed(labels: Labels, **columns: list[str]) -> Labels:
    return labels_from_table(labels.source, labels.table.reset_index(drop=True).assign(**columns))


def speakers_of(labels: Labels) -> set[str]:
    return set(labels.table["SpkrID"])


# --- folds ------------------------------------------------------------------------------------------


def test_folds_are_speaker_disjoint_and_leave_every_row_out_once() -> None:
    labels = made_labels({"dev": 64}, speakers=8)
    folds = speaker_folds(labels, 4, "folds", INSTEAD)
    assert len(folds) == 4
    assert sorted(np.concatenate(folds)) == list(range(64))
    speakers = labels.table["SpkrID"].to_numpy()
    for rows in folds:
        assert 8 <= len(rows) <= 24
        assert not set(speakers[rows]) & set(np.delete(speakers, rows))


def test_folds_need_known_speakers_and_enough_of_them() -> None:
    labels, text = made_labels({"dev": 64}, speakers=8), "4 needs at least as many speakers in dev, found"
    speakers = labels.table["SpkrID"].tolist()
    with pytest.raises(UserError, match=rf"SpkrID: inner: {text} 8, and 1 rows without one; .*, or use fit_on: train"):
        speaker_folds(changed(labels, SpkrID=["", *speakers[1:]]), 4, "inner", INSTEAD)
    with pytest.raises(UserError, match=r"inner: 4 is more than the 2 dev rows of the largest class"):
        speaker_folds(made_labels({"dev": 8}, speakers=8), 4, "inner", INSTEAD)
    with pytest.raises(UserError, match=f"{text} 3, and 0 rows without one; lower it, add speakers"):
        speaker_folds(made_labels({"dev": 64}, speakers=3), 4, "inner", INSTEAD)


def test_a_class_that_one_speaker_alone_says_is_refused_by_name() -> None:
    labels = made_labels({"dev": 64}, speakers=8)
    first = labels.table["SpkrID"] == "dev-0"
    only_first = ["Sad" if mine else "Angry" if row % 2 else "Neutral" for row, mine in enumerate(first)]
    with pytest.raises(UserError, match=r"labels\.csv: all dev rows of class Sad fall into one of the 4 speaker-disj"):
        speaker_folds(changed(labels, EmoClass=only_first), 4, "inner", INSTEAD)


# --- what the model of one fold sees ----------------------------------------------------------------


def test_the_ordinary_member_sees_the_corpus_as_it_is() -> None:
    labels = made_labels()
    assert fold_labels(labels, Crossfit()) is labels


def test_every_training_row_is_left_out_by_one_model_that_never_hears_its_speaker() -> None:
    labels, train = made_labels(), made_labels().partition("train")
    left_out = [out_of_fold(labels, Crossfit(folds=4, fold=fold)) for fold in range(4)]
    assert sorted(row for part in left_out for row in part.ids) == sorted(train.ids)
    for fold, part in enumerate(left_out):
        seen = fold_labels(labels, Crossfit(folds=4, fold=fold))
        own = speakers_of(seen.partition("train")), speakers_of(seen.partition("dev")), speakers_of(part)
        assert set.union(*own) == speakers_of(train)
        assert sum(map(len, own)) == len(speakers_of(train)), "a speaker stands on two sides"
        assert seen.ids == labels.ids
        assert {*seen.partition("train").ids, *seen.partition("dev").ids, *part.ids} == set(train.ids)
        np.testing.assert_array_equal(seen.targets(), labels.targets())


def test_a_model_of_a_fold_is_selected_on_rows_of_every_class() -> None:
    """Class Sad is said by four of sixteen speakers: some parts of the speakers have none of it."""
    labels = made_labels()
    rare = labels.table["SpkrID"].isin(["train-1", "train-6", "train-9", "train-14"])
    classes = [
        name if name != "Sad" or mine or not who.startswith("train") else "Neutral"
        for name, mine, who in zip(labels.table["EmoClass"], rare, labels.table["SpkrID"], strict=True)
    ]
    labels = changed(labels, EmoClass=classes)
    for fold in range(2):
        seen = fold_labels(labels, Crossfit(folds=2, fold=fold))
        for partition in ("train", "dev"):
            assert set(seen.partition(partition).table["EmoClass"]) >= set(EMOTIONS)


def test_training_speakers_of_whom_one_alone_says_a_class_cannot_be_divided() -> None:
    """Two say Sad, one in each of two folds: beside either fold is left one, who cannot stand on both sides."""
    labels = made_labels()
    classes = [
        "Neutral" if name == "Sad" and who not in ("train-1", "train-6") else name
        for name, who in zip(labels.table["EmoClass"], labels.table["SpkrID"], strict=True)
    ]
    labels = changed(labels, EmoClass=classes)
    for fold in range(2):
        with pytest.raises(
            UserError, match=rf"crossfit\.fold: {fold}: .* no part has rows of every class .*; use fit_on"
        ):
            fold_labels(labels, Crossfit(folds=2, fold=fold))


def test_few_speakers_are_divided_as_far_as_they_go() -> None:
    assert len(speakers_of(fold_labels(made_labels(speakers=4), Crossfit(folds=2, fold=0)).partition("dev"))) == 1
