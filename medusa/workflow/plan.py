"""The cost of a pipeline as text: a table by kind of job, how long it takes on so many GPUs, and what was assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medusa.workflow.cost import Assumptions, Cost, costs, counted, gpu_precision, longest_chain
from medusa.workflow.jobs import STAGES, Pipeline
from medusa.workflow.resources import request


def plan(pipeline: Pipeline, given: Mapping[str, Any], gpus: Sequence[int]) -> str:
    """All that `python -m medusa plan` prints.

    Args:
        pipeline: What is to be run.
        given: Fields of `Assumptions` that the user has set; the others are counted in labels.csv where it is there.
        gpus: Numbers of GPUs to tell the time for.

    Raises:
        UserError: a job needs a pretrained model whose dimensions are not known, or labels.csv is wrong.
    """
    labels = next(job.config.paths.labels for job in pipeline.jobs.values() if job.config is not None)
    assumed = (counted(labels) if labels.exists() else Assumptions())._replace(**given)
    by_job = costs(pipeline, assumed)
    lines = [f"{pipeline.config.name}: {pipeline.config.title}", "", *_table(pipeline, by_job), ""]
    hours = {name: cost.gpu_hours for name, cost in by_job.items()}
    total, chain = sum(hours.values()), longest_chain(pipeline.jobs.values(), hours)
    if total:
        lines += [
            f"{count} GPU{'s' if count > 1 else ' '}  {max(total / count, chain):8.1f} h at least" for count in gpus
        ]
        lines += [f"The longest chain of jobs that wait for each other takes {chain:.1f} h.", ""]
    return "\n".join([*lines, *_assumptions(pipeline, assumed, labels)])


def _table(pipeline: Pipeline, by_job: dict[str, Cost]) -> list[str]:
    lines = [f"{'kind':<12}{'jobs':>6}{'on a GPU':>10}{'PFLOP':>12}{'GPU-hours':>12}{'disk, GB':>11}"]
    present = [kind for kind in STAGES if any(job.kind == kind for job in pipeline.jobs.values())]
    for kind in [*present, "in all"]:
        jobs = [job for job in pipeline.jobs.values() if kind in (job.kind, "in all")]
        of_kind = [by_job[job.name] for job in jobs]
        petaflop, hours = sum(cost.operations for cost in of_kind) / 1e15, sum(cost.gpu_hours for cost in of_kind)
        disk, on_gpu = sum(cost.disk for cost in of_kind) / 1e9, sum(request(job).gpu for job in jobs)
        figures = f"{_figure(petaflop, 0):>12}{_figure(hours, 1):>12}{_figure(disk, 1):>11}"
        lines.append(f"{kind:<12}{len(jobs):>6}{on_gpu or '–':>10}{figures}")
    return lines


def _figure(value: float, digits: int) -> str:
    """A dash for nothing, and no zero for what is only little."""
    if not value:
        return "–"
    least = 10.0**-digits
    return f"{value:,.{digits}f}" if value >= least / 2 else f"<{least:g}"


def _assumptions(pipeline: Pipeline, assumed: Assumptions, labels: Path) -> list[str]:
    """Each with the option that changes it."""
    used = {gpu_precision(job.config) for job in pipeline.jobs.values() if job.config and request(job).gpu}
    rates = {"float32": ("--gpu-tflops", assumed.gpu_tflops), "bf16": ("--gpu-tflops-bf16", assumed.gpu_tflops_bf16)}
    lines = [
        f"  {option} {rate:g}: 10¹² operations a second that a GPU sustains in {precision}"
        for precision, (option, rate) in rates.items()
        if precision in used
    ]
    if any(job.kind == "transcripts" for job in pipeline.jobs.values()):
        lines.append(f"  --decode-steps {assumed.decode_steps:g}: tokens a second and batch in speech recognition")
    source = f"counted in {labels}, if not given" if labels.exists() else "MSP-Podcast's; nothing is prepared yet"
    return [
        *(["Assumed, not measured:", *lines] if lines else []),
        f"The corpus ({source}):",
        f"  --clips {assumed.clips}, shares of them --train {assumed.train:.3g} --selection {assumed.selection:.3g},",
        f"  share of the training clips --smallest-class {assumed.smallest_class:.3g}, {assumed.emotions} emotions",
        "Assumed of its clips:",
        f"  --seconds {assumed.seconds:g} and --text-tokens {assumed.text_tokens:g} on average; "
        f"{assumed.frame_rate:g} frames a second before time_stride",
        "Assumed of a run:",
        f"  --epochs {assumed.epochs or '0, all that a config allows'}; patience ends most runs earlier",
        "Not counted: recordings, pretrained weights, time of jobs without a GPU",
    ]
