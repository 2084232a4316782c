"""The figures that a bundle reports, against scikit-learn on the files that eval_metacls.py wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from medusa.app.figures import read_abstention, read_scores
from medusa.config.load import load_config
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import read_labels
from medusa.errors import UserError
from tests.app.conftest import EMOTIONS, Trained

SOUP = Path("runs/ensembles/both/posteriors/soup")


@pytest.fixture
def config(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MetaConfig:
    """Of `both`, in a copy whose soup is uncertain and sometimes wrong; the current folder."""
    for name in ("runs/ensembles/both", "labels.csv"):
        copy = shutil.copytree if (trained.folder / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(trained.folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for number, partition in enumerate(("dev", "test")):
        table = pd.read_csv(SOUP / f"{partition}.csv")
        table[list(EMOTIONS)] = np.random.default_rng(number).dirichlet(np.ones(3), len(table))
        table["EmoClass"] = np.asarray(EMOTIONS)[table[list(EMOTIONS)].to_numpy().argmax(axis=1)]
        # in another order than the labels: rows are joined by name
        table.iloc[::-1].to_csv(SOUP / f"{partition}.csv", index=False)
    labels = pd.read_csv("labels.csv")
    labels.loc[labels["FileName"] == "clip_19.wav", "EmoClass"] = "X"
    labels.to_csv("labels.csv", index=False)
    return load_config(MetaConfig, [Path("runs/ensembles/both/config.yaml")])


def joined(partition: str, consensus: bool = True) -> pd.DataFrame:
    """Labels beside what the soup says (columns with _soup)."""
    table = pd.read_csv("labels.csv").merge(
        pd.read_csv(SOUP / f"{partition}.csv"), on="FileName", suffixes=("", "_soup")
    )
    return table[table["EmoClass"] != "X"] if consensus else table


def test_scores_are_those_of_results_csv_and_scikit_learn(config: MetaConfig) -> None:
    scores = read_scores(config, read_labels(config.paths.labels))
    results = pd.read_csv("runs/ensembles/both/results.csv").set_index("technique")
    assert [one.technique for one in scores.techniques] == ["majority", "soft", "bias", "logistic", "single", "soup"]
    for one in scores.techniques:
        for key in ("macro_f1", "balanced_f1", "accuracy"):
            assert getattr(one, key) == results.loc[one.technique, key]
    told = joined("test")
    assert (scores.partition, scores.selected_on, scores.rows) == ("test", "dev", len(told))
    pair = told["EmoClass"], told["EmoClass_soup"]
    assert scores.confusion == confusion_matrix(*pair, labels=EMOTIONS).tolist()
    assert sum(map(sum, scores.confusion)) == 5
    assert scores.emotion_f1 == pytest.approx(f1_score(*pair, labels=EMOTIONS, average=None))


def test_attributes_agree_by_lins_concordance_over_all_rows(config: MetaConfig) -> None:
    told = joined("test", consensus=False)
    scores = read_scores(config, read_labels(config.paths.labels))
    for name, found in zip(("EmoAct", "EmoVal"), scores.attribute_ccc, strict=False):
        true, said = told[name], told[f"{name}_soup"]
        between = 2 * np.cov(true, said, ddof=0)[0, 1]
        expected = between / (true.var(ddof=0) + said.var(ddof=0) + (true.mean() - said.mean()) ** 2)
        assert found == pytest.approx(expected)


def test_unsure_is_the_share_with_the_smallest_posteriors_on_rows_not_fitted_on(config: MetaConfig) -> None:
    found = read_abstention(config, read_labels(config.paths.labels))
    told = joined("dev")
    largest = told[[f"{name}_soup" for name in EMOTIONS]].max(axis=1)
    right = told["EmoClass"] == told["EmoClass_soup"]
    assert found.partition == "dev"
    assert found.threshold == pytest.approx(np.quantile(largest, 0.2), abs=1e-6)
    assert found.accuracy_sure == pytest.approx(right[largest >= found.threshold].mean())
    assert found.accuracy_unsure == pytest.approx(right[largest < found.threshold].mean())


@pytest.mark.parametrize(
    ("fit_on", "without", "partition"),
    [
        ("train", "", "dev"),
        ("dev", "", "test"),
        ("train", "dev", "test"),
        ("train", "test", "dev"),
        ("dev", "test", "dev"),  # nothing else is left; the card says so
    ],
)
def test_which_rows_the_threshold_comes_from(config: MetaConfig, fit_on: str, without: str, partition: str) -> None:
    labels = pd.read_csv("labels.csv")
    labels[labels["Partition"] != without].to_csv("labels.csv", index=False)
    config = config.model_copy(update={"fit_on": fit_on})
    assert read_abstention(config, read_labels(config.paths.labels)).partition == partition


def test_a_corpus_without_attributes_has_none(config: MetaConfig) -> None:
    for file in (Path("labels.csv"), SOUP / "test.csv"):
        table = pd.read_csv(file).drop(columns=["EmoAct", "EmoVal", "EmoDom"])
        table.to_csv(file, index=False)
    assert read_scores(config, read_labels(config.paths.labels)).attribute_ccc == []


def test_results_that_are_gone_or_of_other_rows_are_one_line(config: MetaConfig) -> None:
    labels = read_labels(config.paths.labels)
    pd.read_csv(SOUP / "test.csv").iloc[1:].to_csv(SOUP / "test.csv", index=False)
    with pytest.raises(UserError, match=r"soup/test.csv: other rows than test of labels.csv"):
        read_scores(config, labels)
    (SOUP / "test.csv").unlink()
    with pytest.raises(UserError, match=r"soup/test.csv: no such file"):
        read_scores(config, labels)
    Path("runs/ensembles/both/results.csv").unlink()
    with pytest.raises(UserError, match=r"results.csv: no such file; write it with eval_metacls.py"):
        read_scores(config, labels)
