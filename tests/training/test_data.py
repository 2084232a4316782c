"""Targets of each kind, and batches of padded feature sequences."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from medusa.corpora.labels import Labels, labels_from_table
from medusa.errors import UserError
from medusa.features.store import FeatureStore, StoreWriter
from medusa.training.data import (
    AHEAD,
    Batch,
    FeatureExamples,
    TargetKind,
    Targets,
    batches,
    make_targets,
)
from medusa.training.loss import class_weights

SHARES = [[0.6, 0.4, 0.0], [0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]
CLASSES = ["Angry", "X", "Neutral", "O", "Sad"]


@pytest.fixture
def labels() -> Labels:
    table = pd.DataFrame({"FileName": [f"clips/{name}.wav" for name in "abcde"]})
    table[["Angry", "Sad", "Neutral"]] = SHARES
    for column, name in enumerate(("EmoAct", "EmoVal", "EmoDom")):
        table[name] = [1.0 + column + row / 10 for row in range(5)]
    table["EmoClass"], table["Partition"] = CLASSES, "train"
    return labels_from_table(Path("labels.csv"), table)


@pytest.mark.parametrize(
    ("kind", "ids", "probabilities", "classes"),
    [
        ("soft", "abcde", SHARES, [0, -1, 2, -1, 1]),
        ("soft_consensus", "ace", [SHARES[0], SHARES[2], SHARES[4]], [0, 2, 1]),
        ("one_hot", "ace", [[1, 0, 0], [0, 0, 1], [0, 1, 0]], [0, 2, 1]),
        # b is a tie: the first of equals; d is O, its most voted emotion is Neutral
        ("argmax", "abcde", [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]], [0, -1, 2, -1, 1]),
    ],
)
def test_target_kinds(
    labels: Labels, kind: TargetKind, ids: str, probabilities: list[list[float]], classes: list[int]
) -> None:
    targets = make_targets(labels, kind)
    assert targets.ids == [f"clips/{name}" for name in ids]
    np.testing.assert_array_equal(targets.probabilities, np.array(probabilities, dtype=np.float32))
    assert targets.classes.tolist() == classes
    rows = ["abcde".index(name) for name in ids]
    np.testing.assert_allclose(targets.attributes[:, 2], [3 + row / 10 for row in rows], rtol=1e-6)
    assert targets.probabilities.dtype == targets.attributes.dtype == np.dtype(np.float32)
    assert len(targets) == len(ids)


def test_one_hot_follows_the_consensus_class_not_the_shares(labels: Labels) -> None:
    """The file's EmoClass may differ from the shares: O votes count in a consensus, and are dropped from shares."""
    table = labels.table.reset_index(drop=True).assign(EmoClass=["Sad", *CLASSES[1:]])
    changed = labels_from_table(labels.source, table)
    assert make_targets(changed, "one_hot").probabilities[0].tolist() == [0, 1, 0]
    assert make_targets(changed, "argmax").probabilities[0].tolist() == [1, 0, 0]


def test_a_row_weighs_the_share_of_its_votes_that_was_kept(labels: Labels) -> None:
    """Weighted by hand: each row's own loss times its share; frequencies count the same shares."""
    table = labels.table.reset_index(drop=True).assign(KeptVotes=[1.0, 0.5, "", 0.25, 0.75])
    changed, shares = labels_from_table(labels.source, table), np.array([1, 0.5, 1, 0.25, 0.75])
    weighted, plain = make_targets(changed, weight_by_kept_votes=True), make_targets(changed)
    np.testing.assert_array_equal(plain.probabilities, np.array(SHARES, dtype=np.float32))
    np.testing.assert_allclose(weighted.probabilities.sum(axis=1), shares)
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32))
    each = torch.nn.functional.cross_entropy(logits, torch.from_numpy(plain.probabilities), reduction="none")
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(weighted.probabilities))
    assert loss.item() == pytest.approx(float((each.numpy() * shares).mean()), rel=1e-6)
    np.testing.assert_allclose(
        class_weights(weighted.probabilities, 1.0), 5 / (3 * (np.array(SHARES) * shares[:, None]).sum(0))
    )
    assert make_targets(changed, "one_hot", weight_by_kept_votes=True).probabilities.tolist() == [
        [1, 0, 0], [0, 0, 1], [0, 0.75, 0],
    ]  # fmt: skip


def test_weighting_needs_the_shares(labels: Labels) -> None:
    with pytest.raises(UserError, match=r"labels\.csv: no column KeptVotes"):
        make_targets(labels, weight_by_kept_votes=True)


def test_subset_keeps_the_given_order(labels: Labels) -> None:
    subset = make_targets(labels).subset(np.array([4, 0]))
    assert subset.ids == ["clips/e", "clips/a"]
    assert subset.classes.tolist() == [1, 0]
    np.testing.assert_array_equal(subset.probabilities, np.array([SHARES[4], SHARES[0]], dtype=np.float32))
    np.testing.assert_allclose(subset.attributes[:, 0], [1.4, 1.0])


# --- features ---------------------------------------------------------------------------------------

FRAMES = {"speech": [3, 1, 4, 2, 5], "text": [2, 2, 1, 6, 1]}
DIMS = {"speech": 3, "text": 2}


@pytest.fixture
def features() -> dict[str, dict[str, np.ndarray]]:
    draws = np.random.default_rng(0)
    return {
        name: {f"clips/{clip}": draws.normal(size=(FRAMES[name][row], dim)) for row, clip in enumerate("abcde")}
        for name, dim in DIMS.items()
    }


@pytest.fixture
def stores(tmp_path: Path, features: dict[str, dict[str, np.ndarray]]) -> list[FeatureStore]:
    for name, values in features.items():
        writer = StoreWriter(tmp_path / name, {"name": name, "dim": DIMS[name], "shard_size": 2}, list(values))
        for index, ids in enumerate(writer.shards):
            writer.write(index, {utterance: values[utterance] for utterance in ids})
    return [FeatureStore(tmp_path / name) for name in features]


def test_a_batch_is_the_stores_features_one_row_after_the_other(
    labels: Labels, stores: list[FeatureStore], features: dict[str, dict[str, np.ndarray]]
) -> None:
    examples = FeatureExamples(make_targets(labels), stores)
    assert examples.lengths.tolist() == [[FRAMES[name][row] for name in FRAMES] for row in range(5)]
    order = np.array([3, 0, 2])
    batch = examples.batch(order)
    values, lengths = batch.inputs
    assert [one.tolist() for one in lengths] == [[2, 3, 4], [6, 2, 1]]
    for modality, name in enumerate(("speech", "text")):
        stored = np.concatenate([features[name][f"clips/{'abcde'[row]}"] for row in order]).astype(np.float16)
        np.testing.assert_array_equal(values[modality], stored)
        assert values[modality].dtype == torch.float16
    assert batch.rows.tolist() == [3, 0, 2]
    torch.testing.assert_close(batch.targets, torch.tensor([SHARES[row] for row in order]))
    torch.testing.assert_close(batch.attributes[:, 0], torch.tensor([1.3, 1.0, 1.2]))


def test_an_utterance_without_features_is_named_with_its_store(
    labels: Labels, stores: list[FeatureStore], tmp_path: Path
) -> None:
    targets = make_targets(labels)
    other = Targets(["clips/z", *targets.ids[1:]], targets.probabilities, targets.attributes, targets.classes)
    with pytest.raises(UserError, match=r"speech: no features for 'clips/z' \(1 of 5 utterances\)"):
        FeatureExamples(other, stores)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(1, [[[4, 2]], [[0, 1, 3]]]), (2, [[[4], [2]], [[0, 1], [3]]]), (9, [[[4], [2]], [[0], [1], [3]]])],
)
def test_each_batch_comes_in_its_parts(
    labels: Labels, stores: list[FeatureStore], steps: int, expected: list[list[list[int]]]
) -> None:
    examples = FeatureExamples(make_targets(labels), stores)
    found = list(batches(examples, [np.array([4, 2]), np.array([0, 1, 3])], steps))
    assert [[part.rows.tolist() for part in parts] for parts in found] == expected
    for part in (part for parts in found for part in parts):
        assert torch.equal(part.inputs[0][0], examples.batch(part.rows).inputs[0][0])


class Slow:
    """Rows that take the longer to read the earlier they are asked for."""

    def __init__(self, rows: int) -> None:
        self.targets = Targets([], np.zeros((rows, 1)), np.zeros((rows, 1)), np.zeros(rows))
        self.lengths = np.ones((rows, 1), np.int64)
        self.asked: list[int] = []

    def batch(self, rows: np.ndarray) -> Batch:
        self.asked.append(int(rows[0]))
        time.sleep(0.02 / (1 + rows[0]))
        if rows[0] == 15:
            raise UserError("clip15: gone")
        return Batch(rows, (), torch.zeros(1), torch.zeros(1))


def test_reading_ahead_keeps_the_order_and_stops_with_the_one_who_asks() -> None:
    examples = Slow(40)
    coming = batches(examples, [np.array([row]) for row in range(40)])
    assert [int(next(coming)[0].rows[0]) for _ in range(10)] == list(range(10))
    with contextlib.closing(coming):
        pass
    assert len(examples.asked) <= 10 + AHEAD
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_an_error_of_reading_comes_with_its_batch() -> None:
    coming = batches(Slow(20), [np.array([row]) for row in range(20)])
    assert [int(next(coming)[0].rows[0]) for _ in range(15)] == list(range(15))
    with pytest.raises(UserError, match="clip15"):
        next(coming)


def test_lengths_stay_where_the_model_lays_out_its_frames(labels: Labels, stores: list[FeatureStore]) -> None:
    batch = FeatureExamples(make_targets(labels), stores).batch(np.array([0, 1])).to(torch.device("meta"))
    values, lengths = batch.inputs
    assert {one.device.type for one in (*values, batch.targets, batch.attributes)} == {"meta"}
    assert {one.device.type for one in lengths} == {"cpu"}
