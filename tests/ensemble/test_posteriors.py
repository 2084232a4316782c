from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.extmath import softmax

from medusa.config.schema import MetaConfig, RunPaths
from medusa.corpora.labels import LABELLED, Labels, labels_from_table, read_labels
from medusa.ensemble.member_files import member_files
from medusa.ensemble.posteriors import read_posteriors, stack_members, write_posteriors
from medusa.errors import UserError

EMOTIONS = ("Angry", "Sad", "Neutral")
ATTRIBUTES = ("EmoAct", "EmoVal", "EmoDom")
NAMES = ["b/2.wav", "a.flac", "c.wav", "d.wav", "e.wav"]


def some_labels(source: Path, attributes: tuple[str, ...] = ATTRIBUTES) -> Labels:
    table = pd.DataFrame({"FileName": NAMES})
    table[list(EMOTIONS)] = np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1], [0, 1, 0], [0.5, 0.5, 0]])
    table[list(attributes)] = 4.0
    table["EmoClass"] = ["Angry", "Sad", "Neutral", "Sad", "X"]
    table["SpkrID"] = ["1", "2", "2", "3", "Unknown"]
    table["Partition"] = ["test", "train", "test", "test", "train"]
    return labels_from_table(source, table)


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return some_labels(tmp_path / "labels.csv")


def some_predictions(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(3), rows).astype(np.float32)
    return probabilities, random.uniform(1, 7, (rows, 3)).astype(np.float32)


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    """Rewrite parts of a text file, each of which must stand in it."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path


# --- one file ---------------------------------------------------------------------------------------


def test_float32_values_read_back_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = 2000
    table = pd.DataFrame({"FileName": [f"{row}.wav" for row in range(rows)]})
    table[list(EMOTIONS)] = 0.0
    table["Angry"] = 1.0
    table[list(ATTRIBUTES)] = 4.0
    probabilities = random.dirichlet(np.full(3, 0.05), rows).astype(np.float32)  # many values near 0 and 1
    attributes = random.normal(0, 100, (rows, 3)).astype(np.float32)  # Stage 3's head is not bounded to 1-7
    assert probabilities.min() < 1e-20
    write_posteriors(tmp_path / "p.csv", labels_from_table(tmp_path / "l.csv", table), probabilities, attributes)
    found = read_posteriors(tmp_path / "p.csv", EMOTIONS, ATTRIBUTES)
    np.testing.assert_array_equal(found[list(EMOTIONS)].to_numpy(), probabilities)
    np.testing.assert_array_equal(found[list(ATTRIBUTES)].to_numpy(), attributes)
    assert {str(found[name].dtype) for name in EMOTIONS + ATTRIBUTES} == {"float32"}


def test_values_of_any_type_are_written_as_the_float32_that_is_read(tmp_path: Path, labels: Labels) -> None:
    """What the next float32 to 0.1 is, 0x3dcccccd, takes nine digits."""
    write_posteriors(tmp_path / "p.csv", labels, np.full((5, 3), [0.1, 0.2, 0.7]), np.full((5, 3), 4.0))
    assert pd.read_csv(tmp_path / "p.csv", dtype=str)["Angry"].tolist() == ["0.100000001"] * 5
    found = read_posteriors(tmp_path / "p.csv", EMOTIONS, ATTRIBUTES)
    assert found["Angry"].to_numpy().view(np.uint32).tolist() == [0x3DCCCCCD] * 5


def test_a_posterior_file_has_the_columns_and_rows_of_the_labels(tmp_path: Path, labels: Labels) -> None:
    write_posteriors(tmp_path / "p.csv", labels, *some_predictions(5))
    found = pd.read_csv(tmp_path / "p.csv", dtype=str, keep_default_na=False)
    assert list(found.columns) == list(labels.table.columns)
    for column in ("FileName", "SpkrID", "Gender", "Split_Set", "Partition"):
        assert found[column].tolist() == labels.table[column].tolist()
    best = some_predictions(5)[0].argmax(axis=1)
    assert found["EmoClass"].tolist() == [EMOTIONS[index] for index in best]
    assert labels.table["EmoClass"].tolist() == ["Angry", "Sad", "Neutral", "Sad", "X"]  # the labels are left alone
    assert read_labels(tmp_path / "p.csv").ids == labels.ids


def test_the_share_of_kept_votes_is_no_emotion_of_a_posterior(tmp_path: Path, labels: Labels) -> None:
    table = labels.table.reset_index(drop=True).assign(KeptVotes=[1, 0.5, "", 1, 1])
    weighted = labels_from_table(labels.source, table)
    probabilities, attributes = some_predictions(5)
    write_posteriors(tmp_path / "p.csv", weighted, probabilities, attributes)
    found = read_posteriors(tmp_path / "p.csv", EMOTIONS, ATTRIBUTES)
    np.testing.assert_array_equal(found[list(EMOTIONS)].to_numpy(), probabilities)
    stack = stack_members({"p.csv": [tmp_path / "p.csv"]}, weighted, "test")
    np.testing.assert_array_equal(stack.posteriors[:, 0], probabilities[[0, 2, 3]])


def test_classes_that_are_not_the_argmax_are_kept(tmp_path: Path, labels: Labels) -> None:
    shares = np.full((5, 3), [0.5, 0.5, 0.0])
    write_posteriors(tmp_path / "p.csv", labels, shares, np.full((5, 3), 4.0), predicted=[1, 0, 1, 0, 1])
    found = read_posteriors(tmp_path / "p.csv", EMOTIONS, ATTRIBUTES)
    assert found["EmoClass"].tolist() == ["Sad", "Angry", "Sad", "Angry", "Sad"]


def test_a_corpus_without_attributes(tmp_path: Path) -> None:
    labels = some_labels(tmp_path / "labels.csv", attributes=())
    probabilities, _ = some_predictions(5)
    write_posteriors(tmp_path / "p.csv", labels, probabilities, np.empty((5, 0)))
    stack = stack_members({"p.csv": [tmp_path / "p.csv"]}, labels, "test")
    assert stack.attributes.shape == (3, 1, 0)
    assert stack.inputs.dtype == np.float32
    np.testing.assert_array_equal(stack.inputs, probabilities[[0, 2, 3]])


def test_a_model_without_attribute_head_writes_no_attribute_columns(tmp_path: Path, labels: Labels) -> None:
    probabilities, _ = some_predictions(len(labels))
    write_posteriors(tmp_path / "test.csv", labels, probabilities, np.zeros((len(labels), 0)))
    read = read_posteriors(tmp_path / "test.csv", labels.emotions, ())
    np.testing.assert_array_equal(read[list(labels.emotions)], probabilities.astype(np.float32))
    with pytest.raises(UserError, match="no attributes, from a model trained without them"):
        read_posteriors(tmp_path / "test.csv", labels.emotions, labels.attributes)


def test_a_prediction_that_is_not_finite_is_not_written(tmp_path: Path, labels: Labels) -> None:
    probabilities, attributes = some_predictions(5)
    write_posteriors(tmp_path / "p.csv", labels, probabilities, attributes)
    before = (tmp_path / "p.csv").read_bytes()
    attributes[2, 1] = np.nan
    with pytest.raises(UserError, match=r"p\.csv: not written: the prediction for 'c'"):
        write_posteriors(tmp_path / "p.csv", labels, probabilities, attributes)
    assert (tmp_path / "p.csv").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "p.csv"]


def test_predictions_for_other_rows_are_our_mistake(tmp_path: Path, labels: Labels) -> None:
    with pytest.raises(ValueError, match="for 5 utterances"):
        write_posteriors(tmp_path / "p.csv", labels, *some_predictions(4))


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("\ufeffEmoDom,Neutral,Angry,EmoVal,FileName,Sad,EmoAct\n3,.7,.1,2,x.wav,.2,1\n", encoding="utf-8")
    found = read_posteriors(path, EMOTIONS, ATTRIBUTES)
    assert list(found.columns) == [*EMOTIONS, *ATTRIBUTES, "EmoClass"]
    np.testing.assert_allclose(found.loc["x"].iloc[:6].to_numpy(float), [0.1, 0.2, 0.7, 1, 2, 3], rtol=1e-7)
    assert found.loc["x", "EmoClass"] == "Neutral"


HEADER = "FileName,Angry,Sad,Neutral,EmoAct,EmoVal,EmoDom,EmoClass\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FileName,Angry,Sad,Calm,EmoAct,EmoVal,EmoDom\nx,1,0,0,1,1,1\n", r"missing: Neutral; unknown: Calm"),
        (
            "FileName,Angry,Calm,Glad,EmoAct,EmoVal,EmoDom\nx,1,0,0,1,1,1\n",
            r"missing: Sad, Neutral; unknown: Calm, Glad",
        ),
        ("FileName,Angry,Sad,EmoAct,EmoVal,EmoDom\nx,1,0,1,1,1\n", r"\(missing: Neutral; unknown: none\)"),
        ("FileName,Angry,Sad,Neutral\nx,1,0,0\n", r"no attributes, from a model trained without them"),
        ("Name,Angry,Sad,Neutral\nx,1,0,0\n", r"no column FileName in the header \(Name, Angry, Sad, Neutral\)"),
        ("FileName;Angry;Sad;Neutral\nx;1;0;0\n", r"no column FileName .*comma"),
        (HEADER + "x.wav,1,0,0,1,1,1,Sad\nx.wav,1,0,0,1,1,1,Sad\n", r"line 3 \('x\.wav'\), FileName: .*line 2"),
        (HEADER + "x.wav,1,0,0,1,1,1,Sad\nx.flac,1,0,0,1,1,1,Sad\n", r"line 3 \('x\.flac'\), FileName: .*line 2"),
        (HEADER + ",1,0,0,1,1,1,Sad\n", r"line 2 .*FileName: empty"),
        (HEADER + "x.wav,.5,.5,.2,1,1,1,Sad\n", r"line 2 \('x\.wav'\), .*1\.2.* must be 1"),
        (HEADER + "x.wav,1.5,-.5,0,1,1,1,Sad\n", r"line 2 \('x\.wav'\), Sad: .*negative"),
        (HEADER + "x.wav,1,0,0,1,1,1,Sad\ny.wav,nan,1,0,1,1,1,Sad\n", r"line 3 \('y\.wav'\), Angry: .*finite"),
        (HEADER + "x.wav,,,,1,1,1,Sad\n", r"line 2 \('x\.wav'\), Angry: not a finite number"),
        (HEADER + "x.wav,1,0,zero,1,1,1,Sad\n", r"line 2 \('x\.wav'\), Neutral: .*not a number"),
        (HEADER + "x.wav,1,0,0,1,loud,1,Sad\n", r"line 2 \('x\.wav'\), EmoVal: not a finite number"),
        (HEADER + "x.wav,1,0,0,1,inf,1,Sad\n", r"line 2 \('x\.wav'\), EmoVal: not a finite number"),
        (HEADER + "x.wav,1,0,0,1,1,1,Calm\n", r"line 2 \('x\.wav'\), EmoClass: 'Calm'"),
        (HEADER, "no rows; predict again with the labels in use$"),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=problem) as caught:
        read_posteriors(path, EMOTIONS, ATTRIBUTES)
    assert str(path) in str(caught.value)


def test_attributes_of_a_corpus_that_has_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(HEADER + "x.wav,1,0,0,1,1,1,Sad\n")
    with pytest.raises(UserError, match="missing: none; unknown: EmoAct, EmoDom, EmoVal"):
        read_posteriors(tmp_path / "p.csv", EMOTIONS, ())


# --- the authors' files -----------------------------------------------------------------------------


def test_the_authors_logits_become_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text('FileName,Prediction\ny.wav,"-1.5, 900.0,2e-1,3.5,4.25,-0.5"\nx.wav,"1,2,3,4,5,6"\n')
    found = read_posteriors(path, EMOTIONS, ATTRIBUTES)
    assert found.index.tolist() == ["y", "x"]
    expected = softmax(np.array([[-1.5, 900, 0.2], [1, 2, 3]]))
    np.testing.assert_allclose(found[list(EMOTIONS)].to_numpy(), expected, rtol=1e-6)
    assert found[list(ATTRIBUTES)].to_numpy().tolist() == [[3.5, 4.25, -0.5], [4, 5, 6]]
    assert found["EmoClass"].tolist() == ["Sad", "Neutral"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('y.wav,"1,2,3,4,5"', r"line 3 \('y\.wav'\), Prediction: 5 values, expected 6 \(3 logits, 3 attributes\)"),
        ("y.wav,", r"line 3 \('y\.wav'\), Prediction: 1 values"),
        ('y.wav,"1,2,3,4,five,6"', r"line 3 \('y\.wav'\), EmoVal: not a finite number"),
        ('y.wav,"1,nan,3,4,5,6"', r"line 3 \('y\.wav'\), Sad: not a finite number"),
        ('x.wav,"1,2,3,4,5,6"', r"line 3 \('x\.wav'\), FileName: .*line 2"),
        ("y.wav,1,2,3,4,5,6", "not a CSV table"),
    ],
)
def test_faults_in_the_authors_files(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(f'FileName,Prediction\nx.wav,"1,2,3,4,5,6"\n{row}\n')
    with pytest.raises(UserError, match=problem) as caught:
        read_posteriors(path, EMOTIONS, ATTRIBUTES)
    assert str(path) in str(caught.value)


def test_authors_numbers_without_quotes(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("FileName,Prediction\nx.wav,1,2,3,4,5,6\ny.wav,1,2,3,4,5,6\n")
    with pytest.raises(UserError, match="quote"):
        read_posteriors(path, EMOTIONS, ATTRIBUTES)


# --- several members --------------------------------------------------------------------------------


@pytest.fixture
def members(tmp_path: Path, labels: Labels) -> dict[str, Path]:
    """Two members of the test rows; the second file stands in another order."""
    rows = labels.partition("test")
    files = {name: tmp_path / "runs/members" / name / "posteriors/test.csv" for name in ("one", "two")}
    for seed, path in enumerate(files.values()):
        write_posteriors(path, rows, *some_predictions(3, seed))
    shuffled = pd.read_csv(files["two"], dtype=str, keep_default_na=False).iloc[[2, 0, 1]]
    shuffled.to_csv(files["two"], index=False)
    return files


def listed(members: dict[str, Path]) -> dict[str, list[Path]]:
    return {name: [path] for name, path in members.items()}


def test_members_are_joined_by_utterance_in_the_order_of_the_labels(labels: Labels, members: dict[str, Path]) -> None:
    stack = stack_members(listed(members), labels, "test")
    assert stack.ids == ["b/2", "c", "d"]
    assert stack.members == ("one", "two")
    by_hand = []
    for row in range(3):
        by_hand.append([value for seed in (0, 1) for part in some_predictions(3, seed) for value in part[row]])
    np.testing.assert_array_equal(stack.inputs, np.array(by_hand, dtype=np.float32))
    assert stack.inputs.dtype == np.float32
    np.testing.assert_array_equal(stack.posteriors[:, 1], some_predictions(3, 1)[0])
    np.testing.assert_array_equal(stack.attributes[:, 0], some_predictions(3, 0)[1])


def test_a_missing_row_is_named(labels: Labels, members: dict[str, Path]) -> None:
    lines = members["two"].read_text().splitlines(keepends=True)
    members["two"].write_text("".join(line for line in lines if not line.startswith("c.wav")))
    where = r"two/posteriors/test\.csv: no row for 'c', which test of .*labels\.csv has; "
    with pytest.raises(UserError, match=where + "predict again with the labels in use$"):
        stack_members(listed(members), labels, "test")


def test_of_several_missing_or_extra_rows_the_first_in_the_file_is_named(
    labels: Labels, members: dict[str, Path], tmp_path: Path
) -> None:
    """By name `a` comes before `b/2` and before `e`."""
    few = tmp_path / "few.csv"
    write_posteriors(few, labels, *some_predictions(5))
    lines = few.read_text().splitlines(keepends=True)
    few.write_text("".join([lines[0], *lines[3:]]))
    with pytest.raises(UserError, match=r"no row for 'b/2' \(and 1 more\), which labelled of"):
        stack_members({str(few): [few]}, labels, LABELLED)
    members["one"].write_text("".join([lines[0], *reversed(lines[1:])]))
    with pytest.raises(UserError, match=r"a row for 'e' \(and 1 more\), which test of"):
        stack_members(listed(members), labels, "test")


def test_an_extra_row_is_named(labels: Labels, members: dict[str, Path], tmp_path: Path) -> None:
    write_posteriors(members["one"], labels, *some_predictions(5))
    with pytest.raises(UserError, match=r"one/posteriors/test\.csv: a row for 'a' \(and 1 more\), which test of"):
        stack_members(listed(members), labels, "test")


def test_a_csv_member_holds_all_partitions(labels: Labels, members: dict[str, Path], tmp_path: Path) -> None:
    whole = tmp_path / "all.csv"
    write_posteriors(whole, labels, *some_predictions(5, 7))
    stack = stack_members({"one": [members["one"]], str(whole): [whole]}, labels, "test")
    np.testing.assert_array_equal(stack.posteriors[:, 1], some_predictions(5, 7)[0][[0, 2, 3]])
    with pytest.raises(UserError, match="no row for 'c'"):
        stack_members({str(whole): [edited(whole, ("c.wav", "z.wav"))]}, labels, "test")


def test_a_partition_without_rows(labels: Labels, members: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"labels\.csv: no row in partition 'dev'"):
        stack_members(listed(members), labels, "dev")


def test_member_files_follow_the_config(members: dict[str, Path], tmp_path: Path) -> None:
    whole = tmp_path / "all.csv"
    whole.touch()
    config = MetaConfig(members=["two", str(whole), "one"], paths=RunPaths(runs=tmp_path / "runs"))
    expected = {"two": [members["two"]], str(whole): [whole], "one": [members["one"]]}
    assert list(member_files(config, "test").items()) == list(expected.items())


def test_a_missing_member_file_names_the_command_that_makes_it(members: dict[str, Path], tmp_path: Path) -> None:
    def refused(member: str, partition: str = "test") -> str:
        with pytest.raises(UserError) as caught:
            member_files(MetaConfig(members=[member], paths=RunPaths(runs=tmp_path / "runs")), partition)
        return str(caught.value)

    run = tmp_path / "runs/members/one"
    (run / "config.yaml").touch()
    assert refused("one", "dev").startswith(f"{run}/posteriors/dev.csv: no such file")
    assert refused("one", "dev").endswith(f"python eval_deepser.py {run}/config.yaml")
    assert "train member 'three'" in refused("three")
    assert "gone.csv: no such file" in refused("gone.csv")
    assert "leads outside" in refused("../../one")


def test_a_member_of_several_files_is_their_mean_and_their_union(labels: Labels, members: dict[str, Path]) -> None:
    """As the models of the folds say of test, and as each says of the rows it was not trained on."""
    both = stack_members({"m": [members["one"], members["two"]]}, labels, "test")
    posteriors, attributes = zip(some_predictions(3, 0), some_predictions(3, 1), strict=True)
    np.testing.assert_allclose(both.posteriors[:, 0], np.mean(posteriors, axis=0), atol=1e-6)
    np.testing.assert_allclose(both.attributes[:, 0], np.mean(attributes, axis=0), atol=1e-6)
    assert both.inputs.dtype == np.float32
    whole = stack_members({"m": [members["one"]]}, labels, "test")
    lines = members["one"].read_text().splitlines(keepends=True)
    for name, kept in (("one", lines[1:2]), ("two", lines[2:])):
        members[name].write_text("".join([lines[0], *kept]))
    parts = stack_members({"m": [members["one"], members["two"]]}, labels, "test")
    np.testing.assert_array_equal(parts.inputs, whole.inputs)


def test_a_row_that_stands_in_some_files_only_is_named(labels: Labels, members: dict[str, Path]) -> None:
    lines = members["two"].read_text().splitlines(keepends=True)
    members["two"].write_text("".join(line for line in lines if not line.startswith("c.wav")))
    with pytest.raises(UserError, match=r"one/posteriors: 'c' stands in 1 of its 2 files, 'b/2' in 2; predict again"):
        stack_members({"m": [members["one"], members["two"]]}, labels, "test")
