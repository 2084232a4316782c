"""`medusa runs` and `medusa diff` on runs written by hand, whose figures are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medusa.__main__ import main
from medusa.config.load import dump_config
from medusa.config.schema import DeepSERConfig, MetaConfig
from medusa.corpora.labels import read_labels
from medusa.ensemble.posteriors import write_posteriors
from medusa.errors import UserError
from medusa.evaluation.comparison import compare, differences
from medusa.evaluation.listing import list_runs
from medusa.evaluation.one_run import open_run_folder
from medusa.evaluation.plain import aligned
from medusa.files import read_csv, sha256, write_csv, write_json, write_text

# Of speaker A everything is heard right, of B only the first row.
TEST = [("h1", "Happy", "A"), ("h2", "Happy", "A"), ("s1", "Sad", "A")]
TEST += [("h3", "Happy", "B"), ("h4", "Happy", "B"), ("s2", "Sad", "B"), ("x1", "X", "B")]
RIGHT = [0, 0, 1, 0, 0, 1, 0]
HEARD = [0, 0, 1, 0, 1, 0, 0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with labels.csv and no run."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{name}.wav,0.5,0.5,{emotion},{speaker},test" for name, emotion, speaker in TEST]
    rows += ["t.wav,0.5,0.5,Sad,C,train", "d.wav,0.5,0.5,Sad,D,dev"]
    Path("labels.csv").write_text("FileName,Happy,Sad,EmoClass,SpkrID,Partition\n" + "\n".join(rows) + "\n")
    return tmp_path


def write_checkpoints(folder: Path, scores: list[float], finished: bool = True) -> None:
    """`last/` and `best/` after one epoch for each score."""
    best = int(np.argmax(scores))
    lines = [json.dumps({"epoch": epoch, "stage": 1, "macro_f1": score}) for epoch, score in enumerate(scores)]
    write_text(folder / "metrics.jsonl", "\n".join(lines) + "\n")
    write_json(folder / "last/state.json", {"epoch": len(scores) - 1, "finished": finished})
    write_json(folder / "best/state.json", {"best_epoch": best, "finished": finished})


def write_predictions(file: Path, predicted: list[int]) -> None:
    """Certain of what they say."""
    test = read_labels(Path("labels.csv")).partition("test")
    write_posteriors(file, test, np.eye(2)[predicted], np.zeros((len(test), 0)))


def member(name: str, scores: list[float], predicted: list[int] | None, finished: bool = True, **changes: Any) -> Path:
    paths = {"labels": "labels.csv", "runs": "runs/x"}
    config = DeepSERConfig.model_validate({"name": name, "features": ["speech"], "paths": paths} | changes)
    run = config.run_directory
    write_text(run / "config.yaml", dump_config(config))
    write_json(run / "identity.json", {"name": name, "labels_sha256": sha256(Path("labels.csv"))})
    write_json(run / "provenance.json", {"schema": 1, "git": {"commit": "0123456789abcdef", "dirty": False}})
    if scores:
        write_checkpoints(run, scores, finished)
    if predicted is not None:
        write_predictions(run / "posteriors/test.csv", predicted)
    return run


def ensemble(name: str, predicted: dict[str, list[int]]) -> Path:
    paths = {"labels": "labels.csv", "runs": "runs/x"}
    config = MetaConfig.model_validate({"name": name, "members": ["a", "b"], "seeds": [1, 2], "paths": paths})
    run = config.run_directory
    write_text(run / "config.yaml", dump_config(config))
    write_checkpoints(run / "seed-1", [0.2, 0.4])
    write_checkpoints(run / "seed-2", [0.1, 0.2, 0.6])
    for technique, classes in predicted.items():
        write_predictions(run / "posteriors" / technique / "test.csv", classes)
    return run


# row-normalised, Happy is heard as Happy 3/4, Sad as Happy 1/2; F1 2 · 0.75 / 2.25 and 2 · 0.5 / 1.75
BALANCED = (2 / 3 + 4 / 7) / 2
PLAIN = (6 / 8 + 2 / 4) / 2
ACCURACY = 4 / 6


# --- the list ---------------------------------------------------------------------------------------


def test_the_list_has_every_run_with_its_figures(here: Path) -> None:
    member("a", [0.2, 0.5, 0.3], HEARD, seed=7, features=["speech", "text"])
    member("b", [0.2, 0.1], None, finished=False, training={"max_epochs": 20})
    member("c", [], None)
    run = ensemble("e", {})
    table = "technique,macro_f1,balanced_f1,accuracy,rows\nsoft,0.1,0.2,0.3,test\nsoup,0.4,0.51234,0.6,test\n"
    write_text(run / "results.csv", table)
    rows = list_runs(Path("runs")).set_index("run")
    assert list(rows.index) == ["x/ensembles/e", "x/members/a", "x/members/b", "x/members/c"]
    assert list(rows["state"]) == ["finished", "finished", "epoch 2 of 20", "not started"]
    assert list(rows["best_f1"]) == ["0.5000", "0.5000", "0.2000", ""]  # of the ensemble (0.4 + 0.6) / 2
    assert list(rows["best_epoch"]) == ["2.5", "2", "1", ""]
    assert list(rows["test_f1"]) == ["0.5123", f"{BALANCED:.4f}", "", ""]
    assert list(rows["seed"]) == ["1 2", "7", "42", "42"]
    assert list(rows["inputs"])[:2] == ["a + b", "speech + text"]
    assert list(rows["commit"]) == ["", *["0123456"] * 3]
    assert (rows["problem"] == "").all()
    assert rows["when"]["x/members/a"].startswith("20")
    assert rows["when"]["x/members/c"] == ""


def test_figures_over_other_rows_than_test_are_not_called_so(here: Path) -> None:
    run = ensemble("e", {})
    write_text(run / "results.csv", "technique,balanced_f1,rows\nsoup,0.5,dev\n")
    assert list(list_runs(Path("runs"))["test_f1"]) == [""]


def test_an_ensemble_that_left_no_rows_to_select_on_has_no_best_epoch(here: Path) -> None:
    """Fitted on dev: its metrics hold no score."""
    run = ensemble("e", {})
    for seed in (1, 2):
        write_text(run / f"seed-{seed}/metrics.jsonl", "".join(f'{{"epoch": {epoch}}}\n' for epoch in range(3)))
    (row,) = list_runs(Path("runs")).to_dict("records")
    assert [row[key] for key in ("state", "best_f1", "best_epoch", "problem")] == ["finished", "", "", ""]


def test_a_dirty_checkout_and_the_models_of_folds_are_told(here: Path) -> None:
    run = member("a", [0.1], None, crossfit={"folds": 3, "fold": 1})
    write_json(run / "provenance.json", {"git": {"commit": "fedcba9876", "dirty": True}})
    (row,) = list_runs(Path("runs")).to_dict("records")
    assert (row["run"], row["commit"]) == ("x/crossfit/a/fold-1-of-3", "fedcba9+")


def test_what_is_wrong_with_a_run_stands_beside_it(here: Path) -> None:
    broken = {name: member(name, [0.3], HEARD) for name in ("config", "json", "lines", "key", "rows", "labels", "none")}
    member("well", [0.3], HEARD)
    (broken["config"] / "config.yaml").write_text("features: [a]\nsede: 3\n")
    (broken["json"] / "last/state.json").write_text("{")
    (broken["lines"] / "metrics.jsonl").write_text("?")
    write_json(broken["key"] / "best/state.json", {})
    write_csv(broken["rows"] / "posteriors/test.csv", read_csv(broken["rows"] / "posteriors/test.csv")[:3])
    write_json(broken["labels"] / "identity.json", {"labels_sha256": "0"})
    (broken["none"] / "config.yaml").unlink()
    (here / "runs/x/members/empty").mkdir()
    (here / "runs/x/members/.hidden").mkdir()
    rows = list_runs(Path("runs")).set_index("run")
    problems = {str(name).rpartition("/")[2]: text for name, text in rows["problem"].items() if text}
    assert set(problems) == set(broken)
    assert "sede: unknown key; did you mean 'seed'?" in problems["config"]
    assert "not readable as JSON" in problems["json"]
    assert "metrics.jsonl: not a row an epoch" in problems["lines"]
    assert "best/state.json: no key 'best_epoch', expected a whole number" in problems["key"]
    assert "holds other utterances than these rows of labels.csv" in problems["rows"]
    assert "trained on other labels than labels.csv" in problems["labels"]
    assert "config.yaml: no such file" in problems["none"]
    assert rows["state"]["x/members/config"] == rows["state"]["x/members/none"] == "broken"
    assert rows["state"]["x/members/rows"] == "finished"  # what could be read is shown
    assert rows["best_f1"]["x/members/labels"] == "0.3000"
    assert rows["state"]["x/members/empty"] == "not started"


def test_labels_that_are_gone_are_a_problem_of_the_runs_that_need_them(here: Path) -> None:
    member("a", [0.3], HEARD)
    member("b", [0.3], None)
    Path("labels.csv").unlink()
    rows = list_runs(Path("runs"))
    assert ["labels.csv: no such file" in text for text in rows["problem"]] == [True, False]


def test_the_list_as_a_table_and_as_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    member("a", [0.3, 0.2], HEARD)
    (member("b", [0.3], None) / "config.yaml").unlink()
    main(["runs", "--csv", "list.csv"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["run", "state", "best", "F1", "epoch", "test", "F1", "seed", "inputs", "commit", "when"]
    assert out[1].split()[:5] == ["x/members/a", "finished", "0.3000", "1", f"{BALANCED:.4f}"]
    assert out[2].split() == ["x/members/b", "broken", "!"]
    assert out[-1].startswith("! x/members/b: runs/x/members/b/config.yaml: no such file")
    assert list(read_csv(Path("list.csv"))["test_f1"]) == [f"{BALANCED:.4f}", ""]


def test_a_folder_without_runs_and_no_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "runs").mkdir()
    main(["runs"])
    assert capsys.readouterr().out == "runs: no runs\n"
    with pytest.raises(SystemExit):
        main(["runs", "nowhere"])
    assert capsys.readouterr().err.startswith("error: nowhere: no such folder")


# --- the difference ---------------------------------------------------------------------------------


def test_two_members_config_and_figures_side_by_side(here: Path) -> None:
    first = member("a", [0.2, 0.5], HEARD)
    second = member("a", [0.6], RIGHT, variant="late", model={"fusion": "late"}, loss={"attributes": 0.0})
    found = compare(open_run_folder(first), open_run_folder(second))
    assert found["config"] == [
        ("variant", "null", "late", ""),
        ("model.fusion", "deep", "late", ""),
        ("loss.attributes", "0.4", "0.0", ""),
    ]
    assert found["made from"] == found["made by"] == []
    assert found["selection"] == [("best class-balanced macro-F1", "0.5000 at epoch 2", "0.6000 at epoch 1", "+0.1000")]
    # Draws of two speakers are AA, AB, BA, BB. On A alone the first run is right as well; on B alone half of Happy
    # and nothing of Sad: F1 (2 · 0.5 / 2.5 + 0) / 2 = 0.2.
    assert found["test"] == [
        ("class-balanced macro-F1", f"{BALANCED:.4f}", "1.0000", f"{1 - BALANCED:+.4f} [+0.0000, +0.8000]"),
        ("macro-F1", f"{PLAIN:.4f}", "1.0000", f"{1 - PLAIN:+.4f}"),
        ("accuracy", f"{ACCURACY:.4f}", "1.0000", f"{1 - ACCURACY:+.4f}"),
    ]


def test_an_ensemble_technique_by_technique_and_against_a_member(here: Path) -> None:
    right = dict.fromkeys(["majority", "soft", "seed-1", "soup"], RIGHT)
    first, second = ensemble("e", right | {"seed-2": HEARD}), ensemble("f", right | {"seed-2": RIGHT, "soft": HEARD})
    found = compare(open_run_folder(first), open_run_folder(second))
    tests = [heading for heading in found if heading.startswith("test")]
    assert tests == ["test, majority", "test, soft", "test, single", "test, soup"]
    assert found["test, single"][0][1:3] == (f"{(1 + BALANCED) / 2:.4f}", "1.0000")
    assert found["test, soft"][0][1:3] == ("1.0000", f"{BALANCED:.4f}")
    assert found["selection"][0][1] == "0.5000 at epoch 2.5"
    against = compare(open_run_folder(member("a", [0.5], HEARD)), open_run_folder(first))
    assert against["test, soup"][0][1:3] == (f"{BALANCED:.4f}", "1.0000")
    keys = [row[0] for row in against["config"]]
    assert "training.batch_size" in keys
    assert "seeds" not in keys


def test_a_run_without_posteriors_is_compared_all_the_same(here: Path) -> None:
    first, second = member("a", [0.5], HEARD), member("b", [], None)
    found = compare(open_run_folder(first), open_run_folder(second))
    assert found["selection"] == [("best class-balanced macro-F1", "0.5000 at epoch 1", "–", "")]
    assert found["test"][0] == ("class-balanced macro-F1", f"{BALANCED:.4f}", "–", "")
    assert compare(open_run_folder(second), open_run_folder(second))["test"][0][0] == "no posteriors of test rows"


def test_runs_on_other_labels_get_no_paired_interval(here: Path) -> None:
    first, second = member("a", [0.5], HEARD), member("b", [0.5], RIGHT)
    text = Path("labels.csv").read_text().replace(",A,test", ",B,test")
    Path("others.csv").write_text(text)
    config = (second / "config.yaml").read_text().replace("labels.csv", "others.csv")
    (second / "config.yaml").write_text(config)
    with pytest.raises(UserError, match=r"trained on other labels than others\.csv"):
        compare(open_run_folder(first), open_run_folder(second))
    write_json(second / "identity.json", {"name": "b", "labels_sha256": sha256(Path("others.csv"))})
    found = compare(open_run_folder(first), open_run_folder(second))
    assert found["test"][0][3] == f"{1 - BALANCED:+.4f}"
    assert [row[0] for row in found["made from"]] == ["labels_sha256"]


def test_origins_differ_by_key(here: Path) -> None:
    first, second = member("a", [0.5], HEARD), member("b", [0.5], HEARD)
    write_json(second / "provenance.json", {"git": {"commit": "fedcba9876543210", "dirty": False}, "device": "cpu"})
    found = compare(open_run_folder(first), open_run_folder(second))
    assert found["made by"] == [("git.commit", "0123456789", "fedcba9876", ""), ("device", "–", "cpu", "")]


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}, "c": None}, [("a.b", "1", "2", ""), ("c", "–", "null", "")]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", "[1, 2]", "[2, 1]", "")]),
        ({"a": True}, {"a": {}}, [("a", "true", "{}", "")]),
    ],
)
def test_trees_differ_by_dotted_key(first: dict[str, Any], second: dict[str, Any], rows: list[Any]) -> None:
    assert differences(first, second) == rows


def test_a_class_without_test_rows_is_said(here: Path) -> None:
    text = Path("labels.csv").read_text().replace("s1.wav,0.5,0.5,Sad", "s1.wav,0.5,0.5,X")
    Path("labels.csv").write_text(text.replace("s2.wav,0.5,0.5,Sad", "s2.wav,0.5,0.5,X"))
    run = open_run_folder(member("a", [0.5], HEARD))
    assert compare(run, run)["test"] == [("not scored: no test row of class Sad", "–", "–", "")]
    assert "no test row of class Sad" in list_runs(Path("runs"))["problem"][0]


def test_the_command_prints_both_sides(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = member("a", [0.5], HEARD), member("b", [0.25], RIGHT, seed=3)
    main(["diff", str(first), str(second)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["runs/x/members/a", "runs/x/members/b", "difference"]
    assert ["seed", "42", "3"] in [line.split() for line in lines]
    assert lines[-1].startswith("[…]: 95 % interval")
    with pytest.raises(SystemExit):
        main(["diff", str(first), "runs"])
    assert capsys.readouterr().err.startswith("error: runs/config.yaml: no such file; name the folder of a run")


def test_a_table_is_aligned_cut_and_cannot_steer_the_terminal() -> None:
    assert aligned([["a", "1"], ["bcd", "23"], ["e"]], right=[1]) == "a     1\nbcd  23\ne"
    assert aligned([["  x\x1b[31m\ny"]]) == "  x\\x1b[31m y"
    assert len(aligned([["x" * 100]])) == 60
