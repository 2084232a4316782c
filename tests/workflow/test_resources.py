"""What jobs ask for, what Snakemake is told of it, and that each job on a host of several GPUs has its own."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from medusa.config.load import load_config
from medusa.config.schema import DeepSERConfig, ExtractConfig, MetaConfig, TranscribeConfig
from medusa.errors import UserError
from medusa.workflow import devices
from medusa.workflow.devices import devices_for, visible_devices
from medusa.workflow.jobs import Job, JobConfig, Pipeline, read_pipeline
from medusa.workflow.resources import request
from medusa.workflow.step import WATCHED, run_job, watched_here

ROOT = Path(__file__).parents[2]
PROFILES = sorted(file.parent for file in (ROOT / "workflow/profiles").glob("*/config.yaml"))

needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="snakemake is not installed: requirements-workflow.txt"
)

MEMBER = DeepSERConfig()


def job(config: JobConfig | None, name: str = "members/x") -> Job:
    return Job(name, "x", [], [], [], config)


def on(device: str, threads: int = 0) -> DeepSERConfig:
    return MEMBER.model_copy(
        update={"compute": MEMBER.compute.model_copy(update={"device": device, "threads": threads})}
    )


# --- requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "kind", "gpu"),
    [
        ("configs/features/whisper-asr.yaml", TranscribeConfig, 1),
        ("configs/features/wavlm-large.yaml", ExtractConfig, 1),
        ("configs/features/whisper-large-v3.yaml", ExtractConfig, 1),
        ("configs/features/roberta-large.yaml", ExtractConfig, 1),
        ("configs/ravdess/features/logmel.yaml", ExtractConfig, 0),
        ("configs/members/08.yaml", DeepSERConfig, 1),
        ("configs/metacls.yaml", MetaConfig, 0),
    ],
)
def test_pretrained_models_and_training_take_a_gpu(file: str, kind: type[JobConfig], gpu: int) -> None:
    asked = request(job(load_config(kind, [ROOT / file])))
    assert asked.gpu == gpu
    assert asked.threads >= 1
    assert asked.mem_mb >= 1_000
    assert asked.runtime >= 60


def test_a_job_without_a_config_takes_none() -> None:
    assert request(job(None)).gpu == 0


@pytest.mark.parametrize(("device", "gpu"), [("auto", 1), ("cpu", 0), ("cuda", 1), ("cuda:1", 1)])
def test_a_config_that_names_its_device_decides(device: str, gpu: int) -> None:
    assert request(job(on(device))).gpu == gpu


def test_threads_of_the_config_come_before_those_of_the_table() -> None:
    assert request(job(on("auto", 3))).threads == 3


# --- profiles ---------------------------------------------------------------------------------------


def test_a_profile_for_each_kind_of_place() -> None:
    assert [folder.name for folder in PROFILES] == ["multi-gpu", "one-gpu", "slurm"]


@needs_snakemake
@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_snakemake_knows_every_key_of_a_profile(folder: Path) -> None:
    parser: argparse.ArgumentParser = importlib.import_module("snakemake.cli").get_argument_parser()
    options = {option.removeprefix("--") for action in parser._actions for option in action.option_strings}
    keys = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")).keys()
    assert keys <= options
    assert {"resources", "cores", "rerun-incomplete", "nolock", "rerun-triggers"} <= keys


def shown(folder: Path, pipeline: str, *options: str) -> dict[str, dict[str, str]]:
    """Of a dry run: a rule's threads and resources as Snakemake shows them, of its first job."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "workflow/Snakefile"), "-n", "--cores", "16"]
    command += ["--config", f"pipeline={pipeline}", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    jobs: dict[str, dict[str, str]] = {}
    for block in re.split(r"^rule ", out, flags=re.MULTILINE)[1:]:
        found = re.findall(r"(threads|gpu|mem_mb|runtime)[=:] *(\d+)", block)
        jobs.setdefault(block.partition(":")[0], {"threads": "1", **dict(found)})
    return jobs


@needs_snakemake
def test_snakemake_is_told_what_a_job_asks_for(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    profile = str(ROOT / "workflow/profiles/multi-gpu")
    jobs = shown(tmp_path, "configs/pipelines/demo.yaml", "--profile", profile)
    assert jobs["transcripts"]["gpu"] == "1"
    assert jobs["report"] == {"gpu": "0", "threads": "2", "mem_mb": "16000", "runtime": "720"}


@needs_snakemake
def test_an_open_number_of_threads_is_all_cores_but_where_gpus_are_counted(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    demo = (ROOT / "configs/pipelines/demo.yaml").read_text(encoding="utf-8")
    (tmp_path / "open.yaml").write_text("compute: {threads: 0}\n", encoding="utf-8")
    (tmp_path / "pipeline.yaml").write_text(f"{demo}overlays: [open.yaml]\n", encoding="utf-8")
    assert shown(tmp_path, "pipeline.yaml")["members"]["threads"] == "16"
    assert shown(tmp_path, "pipeline.yaml", "--resources", "gpu=2")["members"]["threads"] == "8"


# --- one GPU for each job ---------------------------------------------------------------------------


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with GPUs "7" and "GPU-b" and nobody on them; the folder of their locks."""
    monkeypatch.setattr(devices, "lock_folder", lambda: tmp_path / "locks")
    monkeypatch.setattr(devices, "WAIT_SECONDS", 0.01)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7, GPU-b")
    return tmp_path / "locks"


def test_jobs_side_by_side_have_different_gpus_and_the_next_one_waits(locks: Path) -> None:
    said, third = list[str](), list[str]()

    def wait_for_one() -> None:
        with devices_for(job(MEMBER), said.append) as given:
            third.append(given["CUDA_VISIBLE_DEVICES"])

    with ExitStack() as first, ExitStack() as second:
        assert first.enter_context(devices_for(job(MEMBER), pytest.fail)) == {"CUDA_VISIBLE_DEVICES": "7"}
        assert second.enter_context(devices_for(job(MEMBER), pytest.fail)) == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
        waiting = threading.Thread(target=wait_for_one)
        waiting.start()
        while not said:
            waiting.join(0.01)
        assert third == []
        second.close()
        waiting.join()
    assert third == ["GPU-b"]
    assert said == ["waits: all of 2 GPUs are in use\n"]


def test_the_gpu_of_a_job_that_was_killed_is_free_again(locks: Path) -> None:
    locks.mkdir()
    program = (
        f"import filelock, time; held = filelock.FileLock({str(locks / '7.lock')!r}); held.acquire(); "
        "print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.read(1)
    with devices_for(job(MEMBER), pytest.fail) as given:
        assert given == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    holder.kill()
    holder.communicate()
    with devices_for(job(MEMBER), pytest.fail) as given:
        assert given == {"CUDA_VISIBLE_DEVICES": "7"}


def test_waiting_ends_with_the_workflow(locks: Path) -> None:
    def killed() -> None:
        raise UserError("killed")

    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(devices_for(job(MEMBER), pytest.fail))
        with pytest.raises(UserError, match="killed"), devices_for(job(MEMBER), lambda line: None, killed):
            pytest.fail("there was none")


@pytest.mark.parametrize(
    ("config", "visible", "given"),
    [
        (on("cuda:1"), "0,1", {}),  # the user has chosen
        (on("cpu"), "0,1", {"CUDA_VISIBLE_DEVICES": ""}),
        (MetaConfig(), "0,1", {"CUDA_VISIBLE_DEVICES": ""}),
        (None, "0,1", {}),
        (MEMBER, "3", {}),  # what a cluster has allotted
        (MEMBER, "", {}),
    ],
)
def test_all_other_jobs_are_left_alone_or_see_no_gpu(
    locks: Path, monkeypatch: pytest.MonkeyPatch, config: JobConfig | None, visible: str, given: dict[str, str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with devices_for(job(config), pytest.fail) as found:
        assert found == given
    assert not locks.exists()


def test_without_the_variable_the_driver_is_asked_for_uuids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == []  # no driver
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "GPU-1a ($1 $2)"\necho\necho GPU-2b\n', encoding="utf-8")
    tool.chmod(0o755)
    assert visible_devices() == ["GPU-1a (--query-gpu=uuid --format=csv,noheader)", "GPU-2b"]
    tool.write_text("#!/bin/sh\necho no driver; exit 9\n", encoding="utf-8")
    assert visible_devices() == []


# --- jobs on this and on other hosts ----------------------------------------------------------------


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The demo's, in a folder of its own."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return read_pipeline(Path("configs/pipelines/demo.yaml"))


def with_program(pipeline: Pipeline, program: str, config: JobConfig | None) -> Job:
    made = Job("members/x", "x", [["-c", program]], [], [], config)
    pipeline.jobs[made.name] = made
    return made


def test_the_commands_of_a_job_see_its_gpu(locks: Path, pipeline: Pipeline) -> None:
    with devices_for(job(MEMBER), pytest.fail):
        with_program(pipeline, "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])", MEMBER)
        run_job(pipeline, "members/x")
    assert pipeline.log("members/x").read_text(encoding="utf-8").splitlines()[-1] == "GPU-b"


def test_a_log_keeps_every_line_of_every_command(pipeline: Pipeline) -> None:
    made = Job("members/x", "x", [["-c", "print('first')"], ["-c", "print('second')"]], [], [])
    pipeline.jobs[made.name] = made
    for _ in range(2):  # what an earlier run printed is gone
        run_job(pipeline, "members/x")
        lines = ["x", "$ python -c print('first')", "first", "$ python -c print('second')", "second"]
        assert pipeline.log("members/x").read_text(encoding="utf-8").splitlines() == lines


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_job_on_another_host_is_not_ended_by_a_process_number_that_means_nothing_there(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WATCHED, f"{gone()}@another-host")
    with_program(pipeline, "print('done')", None)
    run_job(pipeline, "members/x")
    assert pipeline.done("members/x").exists()


def test_on_its_own_host_the_workflow_is_watched(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WATCHED, watched_here())
    with_program(pipeline, "print('done')", None)
    run_job(pipeline, "members/x")
    monkeypatch.setenv(WATCHED, watched_here().replace(str(os.getpid()), str(gone())))
    with pytest.raises(UserError, match="the workflow was stopped"):
        run_job(pipeline, "members/x")


@pytest.mark.parametrize(
    ("before", "lives", "ends"),
    [
        ("", True, 0),
        ("", False, -signal.SIGINT),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)", False, -signal.SIGTERM),  # as in a shell's background
    ],
)
def test_snakemake_itself_ends_with_the_workflow(before: str, lives: bool, ends: int) -> None:
    program = (
        "import os, pathlib, signal, sys, time; from medusa.workflow import step\n"
        "from medusa.workflow.jobs import Pipeline, PipelineConfig\n"
        "none = pathlib.Path()\n"
        "config = PipelineConfig(name='x', title='x', prepare='x', features=[none], members=[none])\n"
        "pipeline = Pipeline(pathlib.Path('none'), config)\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        f"{before}\nstep.WATCH_SECONDS = 0.01; step.end_with_the_workflow(pipeline); time.sleep(float(sys.argv[1]))"
    )
    watched = watched_here() if lives else watched_here().replace(str(os.getpid()), str(gone()))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), WATCHED: watched}
    command = [sys.executable, "-c", program, "0.2" if lives else "60"]
    assert subprocess.run(command, env=environment, check=False).returncode == ends


def test_every_job_writes_events_of_its_own(pipeline: Pipeline) -> None:
    with_program(pipeline, "print('done')", None)
    run_job(pipeline, "members/x")
    (file,) = pipeline.events.rglob("*.jsonl")
    assert file == pipeline.events / "members/x.jsonl"
    assert [line.split('"')[7] for line in file.read_text(encoding="utf-8").splitlines()] == ["started", "finished"]


@needs_snakemake
def test_a_job_of_a_cluster_forgets_no_result_that_its_host_cannot_see_yet(pipeline: Pipeline) -> None:
    done = pipeline.done("corpus/synthetic")
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "workflow/Snakefile"), "-n", "--cores", "1"]
    command += ["--config", f"pipeline={pipeline.file}"]
    for mode, kept in ((["--mode", "remote"], True), ([], False)):
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()  # and no data/demo/labels.csv
        subprocess.run(command + mode, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
        assert done.exists() == kept
