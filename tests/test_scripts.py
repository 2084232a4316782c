"""The scripts as a user runs them: processes of their own, on a copy of samples/."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import PROCESSES, Done, Running

ROOT = Path(__file__).parents[1]
SCRIPTS = ("extract_features.py", "train_deepser.py", "eval_deepser.py", "train_metacls.py", "eval_metacls.py")
FOUR_COMMANDS = (
    ("train_deepser.py", "configs/sample/deepser.yaml"),
    ("eval_deepser.py", "configs/sample/deepser.yaml"),
    ("train_metacls.py", "configs/sample/metacls.yaml"),
    ("eval_metacls.py", "configs/sample/metacls.yaml"),
)
TRAIN, EVAL, TRAIN_META, EVAL_META = FOUR_COMMANDS
MEMBER, ENSEMBLE = Path("members/deepser"), Path("ensembles/metacls")


class Script(Running):
    """One script at work in `folder`."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self.log = Path(tempfile.mkdtemp(dir=folder.parent))
        self.process = PROCESSES.Process(target=run_script, args=(folder, name, words, self.log), daemon=True)
        self.process.start()

    def done(self) -> Done:
        self.process.join(timeout=600)
        return Done(self.process.exitcode, (self.log / "out").read_text(), (self.log / "err").read_text())


def run_script(folder: Path, name: str, words: Sequence[str], log: Path) -> None:
    """In the child."""
    os.chdir(folder)
    for stream, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(log / stream, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [name, *words]
    runpy.run_path(str(ROOT / name), run_name="__main__")


def run(folder: Path, name: str, *words: str) -> Done:
    return Script(folder, name, *words).done()


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with samples/ and configs/, and nothing run in it yet."""
    folder = tmp_path_factory.mktemp("scripts") / "a work space"
    for name in ("samples", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


class Sample(NamedTuple):
    folder: Path
    runs: Path
    outputs: list[Done]


@pytest.fixture(scope="session")
def sample(workspace: Path) -> Sample:
    """The four commands of the README, run to their end."""
    return Sample(workspace, workspace / "runs" / "sample", [run(workspace, *words) for words in FOUR_COMMANDS])


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def artefacts(root: Path) -> dict[str, bytes]:
    """What equal runs have in common, wherever and whenever they ran: no times, paths or temporary files."""
    varying = ("timings.jsonl", "provenance.json", "config.yaml", "events.")
    return {
        name: data
        for name, data in contents(root).items()
        if not any(part.startswith((".", *varying)) for part in Path(name).parts)
    }


def refused(done: Done, *parts: str) -> None:
    """Exit code 2 and one line on stderr that holds the parts."""
    assert done.code == 2, done
    assert done.err.startswith("error: "), done.err
    assert done.err.count("\n") == 1, done.err
    for part in parts:
        assert part in done.err


# --- the way it should go ---------------------------------------------------------------------------


def test_the_four_commands_end_in_posteriors_and_scores_above_chance(sample: Sample) -> None:
    assert [(done.code, done.err) for done in sample.outputs] == [(0, "")] * 4
    rows = {"train": 74, "dev": 24, "test": 24, "unlabelled": 6}
    for folder in (MEMBER / "posteriors", *(ENSEMBLE / "posteriors" / name for name in ("majority", "soft", "soup"))):
        for partition, count in rows.items():
            lines = (sample.runs / folder / f"{partition}.csv").read_text().splitlines()
            assert len(lines) == 1 + count
    with (sample.runs / ENSEMBLE / "results.csv").open(newline="") as file:
        results = {row["technique"]: row for row in csv.DictReader(file)}
    assert list(results) == [
        "majority",
        "soft",
        "bias",
        "logistic",
        "single",
        "soup",
        *(f"seed-{seed}" for seed in range(1, 7)),
    ]
    for technique in ("majority", "soft", "single", "soup"):
        assert 3 / 8 < float(results[technique]["macro_f1"]) < 1  # chance is 1/8
        assert technique in sample.outputs[3].out
    assert "honest protocol: members were selected on dev rows, the figures are over test rows" in sample.outputs[3].out


def csv_rows(file: Path) -> dict[str, dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["FileName"]: row for row in csv.DictReader(lines)}


def test_cross_fitted_posteriors_come_from_models_that_never_heard_the_speaker(workspace: Path) -> None:
    """Two folds of the member, then Stage 3 on what each says of the speakers it was not trained on."""
    rows, said = csv_rows(workspace / "samples/labels.csv"), Counter[str]()
    for row in rows.values():  # its own six training speakers do not say every emotion
        said[row["EmoClass"]] += 1
        row["SpkrID"] = f"{row['Partition']}-{said[row['EmoClass']] % 4}" if row["Partition"] else ""
    with (workspace / "samples/more_speakers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(next(iter(rows.values()))))
        writer.writeheader()
        writer.writerows(rows.values())
    quick = ["training.max_epochs=2", "paths.runs=runs/crossfit", "paths.labels=samples/more_speakers.csv"]
    ensemble = [EVAL_META[1], "members=[deepser]", "seeds=[1, 2]", "crossfit_folds=2", "fit_on=crossfit", *quick]
    remedy = "ITS_CONFIG crossfit.folds=2 crossfit.fold=0, then python eval_deepser.py with the same words"
    refused(run(workspace, TRAIN_META[0], *ensemble), "fold-0-of-2/posteriors/out_of_fold.csv: no such file", remedy)
    for fold in range(2):
        words = [TRAIN[1], "crossfit.folds=2", f"crossfit.fold={fold}", *quick]
        for script in (TRAIN[0], EVAL[0]):
            done = run(workspace, script, *words)
            assert done.code == 0, done.err
    for name, _ in (TRAIN_META, EVAL_META):
        done = run(workspace, name, *ensemble)
        assert done.code == 0, done.err
    assert "fitted on 74 train rows" in run(workspace, TRAIN_META[0], *ensemble).out

    runs = workspace / "runs/crossfit"
    folds = [runs / f"crossfit/deepser/fold-{fold}-of-2/posteriors" for fold in range(2)]
    left_out = [csv_rows(folder / "out_of_fold.csv") for folder in folds]
    train = {name: row["SpkrID"] for name, row in rows.items() if row["Partition"] == "train"}
    assert left_out[0].keys().isdisjoint(left_out[1])
    assert {**left_out[0], **left_out[1]}.keys() == train.keys()
    heard = [{train[name] for name in part} for part in left_out]
    assert heard[0].isdisjoint(heard[1])
    assert not (folds[0] / "train.csv").exists()
    soft = csv_rows(runs / "ensembles/metacls/posteriors/soft/test.csv")
    both = [csv_rows(folder / "test.csv") for folder in folds]
    for name, row in soft.items():
        for emotion in ("Angry", "Contempt"):
            mean = sum(float(one[name][emotion]) for one in both) / 2
            assert float(row[emotion]) == pytest.approx(mean, abs=1e-6)


def test_a_fit_on_the_reported_rows_is_called_no_result(sample: Sample) -> None:
    words = ["fit_on=released", "variant=released", "training.max_epochs=2"]
    outputs = [run(sample.folder, script, config, *words) for script, config in (TRAIN_META, EVAL_META)]
    for done in outputs:
        assert done.code == 0, done.err
        assert "a diagnostic, no result" in done.out
    assert "fitted on 122 labelled rows" in outputs[0].out
    shutil.rmtree(sample.runs / "ensembles/metacls-released")  # other tests compare the folder


def test_the_member_went_through_both_stages_and_says_what_made_it(sample: Sample) -> None:
    history = [json.loads(line) for line in (sample.runs / MEMBER / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == list(range(len(history)))
    assert {row["stage"] for row in history} == {1, 2}
    made_by = json.loads((sample.runs / MEMBER / "provenance.json").read_text())
    assert made_by["device"] == "cpu, 1 CPU threads"
    assert [entry["file"] for entry in made_by["inputs"]] == ["samples/labels.csv"]


def test_a_second_run_changes_no_byte_and_says_that_it_is_finished(sample: Sample) -> None:
    before = contents(sample.runs)
    again = [run(sample.folder, *words) for words in FOUR_COMMANDS]
    assert [(done.code, done.err) for done in again] == [(0, "")] * 4
    assert "finished already" in again[0].out
    assert "finished already" in again[2].out
    assert "finished already" not in sample.outputs[0].out + sample.outputs[2].out
    assert contents(sample.runs) == before


def epoch_of(run_directory: Path) -> int:
    """Last epoch that is safely saved there."""
    try:
        return int(json.loads((run_directory / "last" / "state.json").read_text())["epoch"])
    except FileNotFoundError:  # not yet, or just being replaced
        return -1


def test_killed_runs_go_on_and_end_with_the_same_bytes(sample: Sample) -> None:
    elsewhere = sample.folder / "killed"
    override = f"paths.runs={elsewhere.name}"

    def kill_when(words: tuple[str, ...], run_directory: Path, epoch: int) -> None:
        script = Script(sample.folder, *words, override)
        script.wait_for(lambda: epoch_of(elsewhere / run_directory) >= epoch)
        script.signal(signal.SIGKILL)
        assert script.done().code == -signal.SIGKILL

    kill_when(TRAIN, MEMBER, 0)
    kill_when(TRAIN, MEMBER, 4)
    for words in (TRAIN, EVAL):
        assert run(sample.folder, *words, override).code == 0
    kill_when(TRAIN_META, ENSEMBLE / "seed-3", 2)
    for words in (TRAIN_META, EVAL_META):
        assert run(sample.folder, *words, override).code == 0

    uninterrupted, resumed = artefacts(sample.runs), artefacts(elsewhere)
    assert {"members/deepser/best/model.safetensors", "ensembles/metacls/soup/model.safetensors"} <= resumed.keys()
    assert sorted(resumed) == sorted(uninterrupted)
    assert [name for name in resumed if resumed[name] != uninterrupted[name]] == []


# --- what a user may get wrong ----------------------------------------------------------------------


def test_the_second_of_two_processes_on_one_run_refuses(sample: Sample) -> None:
    words = (*TRAIN, "paths.runs=two")
    first = Script(sample.folder, *words)
    try:
        first.wait_for(lambda: epoch_of(sample.folder / "two" / MEMBER) >= 0)
        first.signal(signal.SIGSTOP)
        before = contents(sample.folder / "two")
        refused(run(sample.folder, *words), "two/members/deepser: another process is training here")
        assert contents(sample.folder / "two") == before
    finally:
        first.signal(signal.SIGKILL)
        first.done()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["training.bach_size=8"], ["training.bach_size=8: training.bach_size: unknown key", "'batch_size'"]),
        (["--device", "gpu"], ["compute.device: 'gpu' is not allowed here"]),
        (["--device=cuda:99", "seed=1"], ["compute.device: cuda:99 is not there"]),
        (["configs/ablations/none.yaml"], ["configs/ablations/none.yaml: no such config file"]),
        (["features=[speech,texts]"], ["samples/features/texts: no such feature store"]),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(workspace: Path, words: list[str], parts: list[str]) -> None:
    refused(run(workspace, *TRAIN, *words, "paths.runs=mistaken"), *parts)
    assert not (workspace / "mistaken").exists()


@pytest.mark.parametrize(
    ("command", "word", "difference"),
    [
        (
            TRAIN,
            "seed=7",
            "members/deepser: holds a run with another config (first difference: seed is 42 there, 7 here",
        ),
        (
            TRAIN_META,
            "hidden_dims=[4]",
            "ensembles/metacls: holds a run with another config (first difference: hidden_d",
        ),
    ],
)
def test_a_run_directory_with_another_config_is_left_alone(
    sample: Sample, command: tuple[str, str], word: str, difference: str
) -> None:
    before = contents(sample.runs)
    refused(run(sample.folder, *command, word), difference, "give this one another name or variant, or delete")
    assert contents(sample.runs) == before


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (EVAL, ["empty/members/deepser: nothing is trained here yet; run the train script"]),
        (TRAIN_META, ["empty/members/deepser/posteriors/train.csv: no such file", "python eval_deepser.py"]),
    ],
)
def test_a_step_taken_too_early_names_the_one_before(
    workspace: Path, command: tuple[str, str], parts: list[str]
) -> None:
    refused(run(workspace, *command, "paths.runs=empty"), *parts)


def test_the_paper_config_without_a_corpus_names_the_file_and_the_command_that_makes_it(workspace: Path) -> None:
    """The plain way, once: a new interpreter."""
    command = [sys.executable, str(ROOT / "train_deepser.py"), "configs/deepser.yaml"]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    refused(
        Done(done.returncode, done.stdout, done.stderr),
        "data/msp-podcast/labels.csv: no such file",
        "python -m medusa prepare",
    )
    assert done.stdout == ""
    assert not (workspace / "runs" / "paper").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_how_to_call_it(workspace: Path, script: str) -> None:
    done = run(workspace, script, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"usage: {script}" in done.out
    for word in ("OVERLAY.yaml | key=value", "--device"):
        assert word in done.out
