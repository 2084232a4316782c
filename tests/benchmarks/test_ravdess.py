import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score

from benchmarks import ravdess
from medusa.corpora.labels import Labels, labels_from_table, read_labels, write_labels
from medusa.ensemble.posteriors import write_posteriors
from medusa.errors import UserError
from medusa.features.store import FeatureStore

EMOTIONS = ("Angry", "Sad", "Happy")
PARTITIONS = {"fold0": ("test", "test", "train", "train", "dev"), "fold1": ("train", "dev", "test", "test", "train")}
"""Of actors 01 … 05."""
CLIPS = 3
"""Of each emotion and actor."""
TECHNIQUES = ("majority", "soft", "seed-1", "seed-2", "soup")


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Labels]:
    """Two folds of five actors, and features in which the class shows but actors differ in scale."""
    random = np.random.default_rng(0)
    (tmp_path / "features/speech").mkdir(parents=True)
    rows = []
    for actor in range(5):
        for index, emotion in enumerate(EMOTIONS):
            for clip in range(CLIPS):
                name = f"{emotion}-{clip}-{actor + 1:02d}"
                onehot = {other: float(other == emotion) for other in EMOTIONS}
                rows.append({"FileName": f"{name}.wav", **onehot, "EmoClass": emotion, "SpkrID": f"{actor + 1:02d}"})
                frames = random.normal(np.eye(3)[index], 0.7, size=(4 + clip, 3)) * (actor + 1)
                np.save(tmp_path / "features/speech" / f"{name}.npy", frames.astype(np.float32))
    for fold, partitions in PARTITIONS.items():
        split = [partitions[int(str(row["SpkrID"])) - 1] for row in rows]
        source = tmp_path / fold / "labels.csv"
        write_labels(source, labels_from_table(source, pd.DataFrame(rows).assign(Partition=split)))
    return ravdess.read_folds([tmp_path / fold / "labels.csv" for fold in PARTITIONS])


def noisy(true: np.ndarray, seed: int, right: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.where(random.random(len(true)) < right, true, random.integers(0, len(EMOTIONS), len(true)))


def evaluate(root: Path, folds: dict[str, Labels]) -> None:
    """Write what eval_deepser.py and eval_metacls.py would, for one member `a`."""
    folders = ["members/a", *(f"ensembles/metacls/{technique}" for technique in TECHNIQUES)]
    for fold, labels in folds.items():
        for seed, folder in enumerate(folders):
            for partition in ("dev", "test"):
                rows = labels.partition(partition)
                predicted = noisy(rows.class_indices(), seed, right=0.8)
                parent, _, technique = folder.rpartition("/")
                below = f"{folder}/posteriors" if parent == "members" else f"{parent}/posteriors/{technique}"
                # The posteriors favour another class than EmoClass names, as after a tie in a majority vote.
                shares = np.roll(np.eye(len(EMOTIONS)), 1, axis=1)[predicted]
                path = root / "runs" / fold / below / f"{partition}.csv"
                write_posteriors(path, rows, shares, np.empty((len(rows), 0)), predicted)


def run(root: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> str:
    """The report of the command line."""
    (root / "metacls.yaml").write_text("name: metacls\nmembers: [a]\nseeds: [1, 2]\nfit_on: dev\n")
    labels = [str(root / fold / "labels.csv") for fold in PARTITIONS]
    arguments = ["--labels", *labels, "--features", str(root / "features"), "--stores", "speech", "speech+speech"]
    monkeypatch.setattr(sys, "argv", ["ravdess.py", *arguments, *more, "--out", str(root / "out.md")])
    monkeypatch.setattr(ravdess, "DRAWS", 40)
    ravdess.main()
    return (root / "out.md").read_text(encoding="utf-8")


def cells(report: str, label: str) -> list[list[str]]:
    """All table rows of that label, without the label."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]
    return [row[1:] for row in rows if row[0] == label]


def entry(*predicted: np.ndarray) -> ravdess.Entry:
    return ravdess.Entry("entry", np.stack(predicted), None)


def rows_of(actors: np.ndarray, true: np.ndarray) -> ravdess.Rows:
    return ravdess.Rows(np.repeat("fold0", len(true)), actors, true, len(EMOTIONS))


# --- logistic regressions ---------------------------------------------------------------------------


def test_summaries_are_mean_and_population_deviation_over_time(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.array([[1, 2], [3, 6]], dtype=np.float32))
    np.save(tmp_path / "a.npy", np.array([[5, 7]], dtype=np.float32))
    summaries = ravdess.summarise(FeatureStore(tmp_path), ["b", "a"])
    assert list(summaries.loc["b"]) == [2, 4, 1, 2]
    assert list(summaries.loc["a"]) == [5, 7, 0, 0]


def test_sets_stand_side_by_side_and_join_by_utterance(corpus: dict[str, Labels], tmp_path: Path) -> None:
    other = tmp_path / "features/other"
    other.mkdir()
    for number, utterance in enumerate(reversed(corpus["fold0"].ids)):
        np.save(other / f"{utterance}.npy", np.full((2, 1), number, dtype=np.float32))
    found = ravdess.read_summaries(corpus, tmp_path / "features", ["speech", "other+speech"])
    assert found["other+speech"].shape == (45, 2 * 1 + 2 * 3)
    for number, utterance in enumerate(reversed(corpus["fold0"].ids)):
        assert list(found["other+speech"].loc[utterance]) == [number, 0, *found["speech"].loc[utterance]]


def test_regressions_are_fitted_on_the_rows_they_name(corpus: dict[str, Labels], tmp_path: Path) -> None:
    summaries = ravdess.read_summaries(corpus, tmp_path / "features", ["speech"])["speech"]
    entries = ravdess.regress(corpus, "speech", summaries)
    assert entries["train+dev"].dev is None
    for name, partitions in (("train", ["train"]), ("train+dev", ["train", "dev"])):
        expected = []
        for labels in corpus.values():
            table = labels.table[labels.table["Partition"].isin(partitions)]
            x, test = summaries.loc[table.index], summaries.loc[labels.partition("test").ids]
            model = LogisticRegression(C=0.01, solver="newton-cg", tol=1e-8)
            model.fit(((x - x.mean()) / x.std(ddof=0)).to_numpy(), table["EmoClass"])
            expected += model.predict(((test - x.mean()) / x.std(ddof=0)).to_numpy()).tolist()
        assert [EMOTIONS[index] for index in entries[name].test[0]] == expected
    assert (entries["train"].test != entries["train+dev"].test).any()  # else the loop could not tell them apart


# --- posteriors -------------------------------------------------------------------------------------


def test_predicted_classes_are_joined_by_utterance(corpus: dict[str, Labels], tmp_path: Path) -> None:
    rows, path = corpus["fold0"].partition("test"), tmp_path / "test.csv"
    predicted = noisy(rows.class_indices(), seed=1, right=0.5)
    write_posteriors(path, rows, np.eye(len(EMOTIONS))[predicted], np.empty((len(rows), 0)))
    table = pd.read_csv(path)
    table.sample(frac=1, random_state=3).to_csv(path, index=False)
    np.testing.assert_array_equal(ravdess.read_classes(path, rows), predicted)

    table.drop(index=4).to_csv(path, index=False)
    with pytest.raises(UserError, match=rf"test\.csv: '{rows.ids[4]}' is not in both"):
        ravdess.read_classes(path, rows)


def test_a_fold_counts_only_with_all_its_seeds(corpus: dict[str, Labels], tmp_path: Path) -> None:
    evaluate(tmp_path, corpus)
    folders = [f"ensembles/metacls/posteriors/seed-{seed}" for seed in (1, 2)]
    assert (ravdess.read_predictions(corpus, tmp_path / "runs", folders, "test") >= 0).all()
    (tmp_path / "runs/fold1" / folders[1] / "test.csv").unlink()
    predicted = ravdess.read_predictions(corpus, tmp_path / "runs", folders, "test")
    of_fold0 = ravdess.pool(corpus, "test").folds == "fold0"
    assert predicted.shape == (2, len(of_fold0))
    np.testing.assert_array_equal(predicted >= 0, np.stack([of_fold0, of_fold0]))


def test_an_actor_is_tested_once(corpus: dict[str, Labels], tmp_path: Path) -> None:
    again = tmp_path / "again/labels.csv"
    write_labels(again, read_labels(corpus["fold0"].source))
    with pytest.raises(UserError, match=r"speaker 01 is in test here and in .*fold0"):
        ravdess.read_folds([corpus["fold0"].source, again])
    with pytest.raises(UserError, match="is called fold0 too"):
        ravdess.read_folds([corpus["fold0"].source, corpus["fold0"].source])


# --- figures ----------------------------------------------------------------------------------------


def test_differences_are_those_of_summed_confusion_matrices_of_whole_actors() -> None:
    actors = np.repeat([f"{actor:02d}" for actor in range(8)], 15)
    true = np.random.default_rng(5).integers(0, len(EMOTIONS), len(actors))
    one, other = noisy(true, 1, right=0.7), noisy(true, 2, right=0.6)

    def matrices(predicted: np.ndarray) -> np.ndarray:
        of_actor = [actors == actor for actor in np.unique(actors)]
        return np.stack([confusion_matrix(true[a], predicted[a], labels=range(len(EMOTIONS))) for a in of_actor])

    def f1(counts: np.ndarray) -> float:
        return float(np.mean(2 * counts.diagonal() / (counts.sum(axis=0) + counts.sum(axis=1))))

    first, second = matrices(one), matrices(other)
    random, gains = np.random.default_rng(ravdess.SEED), []
    for _ in range(200):
        times = np.bincount(random.integers(8, size=8), minlength=8)
        gains.append(f1(np.tensordot(times, first, 1)) - f1(np.tensordot(times, second, 1)))
    gain, low, high = ravdess.difference(rows_of(actors, true), entry(one), entry(other), draws=200)
    expected = f1_score(true, one, average="macro") - f1_score(true, other, average="macro")
    assert gain == pytest.approx(expected)
    assert (low, high) == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])))
    assert low < gain < high


def test_differences_ignore_rows_that_one_side_lacks() -> None:
    actors = np.repeat(["01", "02", "03", "04"], 12)
    true = np.tile(np.arange(len(EMOTIONS)), 16)
    one, other = noisy(true, 1, right=0.7), noisy(true, 2, right=0.6)
    partly = np.where(np.isin(actors, ["01", "02", "03"]), one, -1)
    kept = partly >= 0
    assert ravdess.difference(rows_of(actors, true), entry(partly), entry(other), draws=30) == pytest.approx(
        ravdess.difference(rows_of(actors[kept], true[kept]), entry(one[kept]), entry(other[kept]), draws=30)
    )


def test_seeds_count_as_their_mean_not_as_one_vote() -> None:
    actors, true = np.repeat(["01", "02"], 6), np.tile(np.arange(len(EMOTIONS)), 4)
    right, wrong = true, (true + 1) % len(EMOTIONS)
    rows, seeds = rows_of(actors, true), entry(right, right, wrong)
    assert ravdess.score(rows, seeds, ravdess.covered(seeds)) == pytest.approx(2 / 3)
    assert ravdess.interval(rows, seeds, draws=20) == pytest.approx((2 / 3, 2 / 3))


# --- the command ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("corpus")
def test_without_an_ensemble_the_baselines_stand_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(tmp_path, monkeypatch)
    assert "No ensemble has been evaluated yet" in report
    assert len(cells(report, "LR speech, train")) == len(["figures", "by fold"])
    assert "The soup against" not in report


def test_figures_are_over_the_pooled_rows_of_all_folds(
    corpus: dict[str, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(tmp_path, corpus)
    report = run(tmp_path, monkeypatch, "--runs", str(tmp_path / "runs"), "--ensemble", str(tmp_path / "metacls.yaml"))
    true = [labels.partition("test").class_indices() for labels in corpus.values()]

    def expected(seed: int) -> float:
        pooled = np.concatenate([noisy(fold, seed, right=0.8) for fold in true])
        return float(f1_score(np.concatenate(true), pooled, average="macro"))

    (member, member_folds), (soup, *_) = cells(report, "member a"), cells(report, "soup")
    assert member[:2] == [str(sum(map(len, true))), f"{expected(0):.3f}"]
    assert member_folds == [f"{f1_score(fold, noisy(fold, 0, 0.8), average='macro'):.3f}" for fold in true]
    assert soup[1] == f"{expected(5):.3f}"
    assert (member[-1] != "–", soup[-1]) == (True, "–")  # Stage 3 was fitted on dev
    (single, _) = cells(report, "meta-classifier, 2 seeds")
    seeds = [expected(3), expected(4)]
    assert single[1] == f"{np.mean(seeds):.3f} ± {np.std(seeds):.3f}"
    assert "Incomplete" not in report
    assert "**Soup − best logistic regression on the same training actors" in report


def test_folds_that_are_still_missing_are_named(
    corpus: dict[str, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(tmp_path, {"fold0": corpus["fold0"]})
    report = run(tmp_path, monkeypatch, "--runs", str(tmp_path / "runs"), "--ensemble", str(tmp_path / "metacls.yaml"))
    assert "Incomplete: no soup yet for fold1." in report
    rows = len(corpus["fold0"].partition("test"))
    assert [cells(report, "soup")[0][0], cells(report, "LR speech, train")[0][0]] == [str(rows), "36"]
    assert cells(report, "soup")[1][1] == ""
