"""What a pipeline will cost: jobs, GPU-hours and disk, computed from its configs and from stated assumptions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medusa.config.schema import DeepSERConfig, ExtractConfig, MetaConfig, TranscribeConfig
from medusa.corpora.labels import read_labels
from medusa.errors import UserError
from medusa.features import logmel
from medusa.training.folds import SELECTION_SPLITS
from medusa.workflow.jobs import Job, JobConfig, Pipeline
from medusa.workflow.operations import (
    BACKBONES,
    WINDOW_SECONDS,
    Backbone,
    Sequences,
    deepser_forward,
    deepser_parameters,
    deepser_training,
    layers_forward,
    speech_forward,
    whisper_decoding,
    whisper_forward,
)
from medusa.workflow.resources import request

SPECIAL_TOKENS = 2
"""Around every text; they are computed and dropped."""
LONGEST_TEXT = 2
"""Tokens of the longest text in a batch, for which all others wait, by those of the mean one."""
BYTES_A_NUMBER = 12
"""Of a posterior file, with its comma."""
BYTES_A_NAME = 80
"""Of a row's file name, speaker and other text."""
CHECKPOINTS = 2
"""`last/` and `best/`, each with the weights and AdamW's two moments as float32."""


class Assumptions(NamedTuple):
    """What the configs do not say. Clips and lengths: MSP-Podcast as the challenge gave it out."""

    clips: int = 84_260 + 31_961 + 3_200
    """All that have features: the challenge's training, development and Test3 clips."""
    train: float = 0.83
    """Share of the clips that members train on: the first two less 10 % test and 5 % dev."""
    selection: float = 0.05
    """Share of the clips that an epoch is scored on."""
    smallest_class: float = 0.01
    """Share of the training clips in the smallest class: Stage 2 draws so many of each class, and of X and O."""
    seconds: float = 5.6
    """Mean length of a clip."""
    frame_rate: float = 50.0
    """Frames a second of the speech models, before `time_stride`."""
    text_tokens: float = 20.0
    """Mean number of tokens in a transcript."""
    emotions: int = 8
    attributes: int = 3
    epochs: int = 0
    """Of a member; 0: all that its config allows, though patience ends most runs earlier."""
    gpu_tflops: float = 10.0
    """10¹² operations a second that a GPU sustains in float32: half of what an A100 can."""
    gpu_tflops_bf16: float = 60.0
    """The same in bf16: a fifth of what an A100 can."""
    decode_steps: float = 30.0
    """Tokens a second and batch in speech recognition, which waits for memory and Python, not for operations."""


class Cost(NamedTuple):
    """Of one job."""

    operations: float
    """0 for jobs that are not worth counting: preparation, Stages 3 and 4, reports."""
    gpu_hours: float
    """0 for jobs that take no GPU."""
    disk: float
    """Bytes."""


def counted(labels: Path) -> Assumptions:
    """What a prepared corpus says of its clips, in place of what is assumed of MSP-Podcast's.

    Raises:
        UserError: the file is wrong.
    """
    corpus = read_labels(labels)
    train = corpus.partition("train")
    classes = train.class_indices()
    counts = np.bincount(classes[classes >= 0], minlength=len(corpus.emotions))
    return Assumptions(
        clips=len(corpus),
        train=len(train) / len(corpus),
        selection=len(corpus.partition("dev" if corpus.has("dev") else "test")) / len(corpus),
        smallest_class=float(counts.min()) / max(1, len(train)),
        emotions=len(corpus.emotions),
        attributes=len(corpus.attributes),
    )


def job_cost(job: Job, assumed: Assumptions) -> Cost:
    """What one job takes.

    Raises:
        UserError: it needs a pretrained model whose dimensions are not known here.
    """
    config = job.config
    if isinstance(config, TranscribeConfig):
        operations, waiting = _transcribe(config, assumed)
        disk = assumed.clips * (BYTES_A_NAME + 5 * assumed.text_tokens)
    elif isinstance(config, ExtractConfig):
        operations, waiting = _extract(config, assumed), 0.0
        frames, width = stored(config, assumed)
        disk = 2.0 * assumed.clips * frames * width
    elif isinstance(config, DeepSERConfig):
        operations, waiting = _train(job, config, assumed), 0.0
        parameters = deepser_parameters(config.model, [one.width for one in _modalities(job, config, assumed)])
        disk = CHECKPOINTS * 3 * 4 * parameters + _posteriors(assumed)
    else:
        operations, waiting = 0.0, 0.0
        # All of `medusa.ensemble.evaluate.TECHNIQUES`, with each seed for `single`.
        techniques = 5 + len(config.seeds) if isinstance(config, MetaConfig) else 0
        disk = techniques * _posteriors(assumed)
    if not request(job).gpu or config is None:
        return Cost(operations, 0.0, disk)
    rate = assumed.gpu_tflops_bf16 if gpu_precision(config) == "bf16" else assumed.gpu_tflops
    return Cost(operations, (operations / (rate * 1e12) + waiting) / 3600, disk)


def gpu_precision(config: JobConfig) -> str:
    """float32 or bf16, which auto is on a GPU."""
    return "bf16" if config.compute.precision == "auto" else config.compute.precision


def longest_chain(jobs: Iterable[Job], hours: dict[str, float]) -> float:
    """GPU-hours of the jobs that must wait for each other, where that is longest: no number of GPUs is faster."""
    until: dict[str, float] = {}
    for job in jobs:  # in the order of `Pipeline.jobs` what a job needs comes before it
        until[job.name] = hours[job.name] + max((until[need.name] for need in job.needs), default=0.0)
    return max(until.values(), default=0.0)


def costs(pipeline: Pipeline, assumed: Assumptions) -> dict[str, Cost]:
    """`job_cost` of every job, by name."""
    return {name: job_cost(job, assumed) for name, job in pipeline.jobs.items()}


def stored(config: ExtractConfig, assumed: Assumptions) -> Sequences:
    """Frames of the mean clip in a feature store, and their width.

    Raises:
        UserError: as `job_cost`.
    """
    if config.backbone.kind == "logmel":
        return Sequences(assumed.seconds * logmel.FRAME_RATE / config.time_stride, logmel.DIM)
    frames = assumed.text_tokens if config.backbone.kind == "text" else assumed.seconds * assumed.frame_rate
    if config.backbone.kind == "whisper" and not config.trim:
        frames = WINDOW_SECONDS * assumed.frame_rate
    width = _known(config.backbone.model).width
    copies = len(config.layers.take) if config.layers.combine == "concat" else 1
    return Sequences(frames / config.time_stride, width * copies)


def _known(model: str | None) -> Backbone:
    name = Path(str(model)).name
    if name not in BACKBONES:
        raise UserError(
            f"{model}: what this model costs is not known; add its dimensions to BACKBONES in "
            f"medusa/workflow/operations.py (known: {', '.join(BACKBONES)})"
        )
    return BACKBONES[name]


def _transcribe(config: TranscribeConfig, assumed: Assumptions) -> tuple[float, float]:
    """Operations, and seconds of waiting for one token after the other."""
    backbone = _known(config.asr.model.replace("faster-", ""))
    encoding = whisper_forward(backbone, assumed.seconds, assumed.frame_rate)
    steps = LONGEST_TEXT * assumed.text_tokens * assumed.clips / config.batch_size
    decoding = config.asr.beam_size * whisper_decoding(
        backbone, assumed.seconds, assumed.frame_rate, assumed.text_tokens
    )
    return assumed.clips * (encoding + decoding), steps / assumed.decode_steps


def _extract(config: ExtractConfig, assumed: Assumptions) -> float:
    if config.backbone.kind == "logmel":
        return 0.0
    backbone = _known(config.backbone.model)
    if config.backbone.kind == "text":
        return assumed.clips * layers_forward(backbone, assumed.text_tokens + SPECIAL_TOKENS)
    forward = speech_forward if config.backbone.kind == "speech" else whisper_forward
    return assumed.clips * forward(backbone, assumed.seconds, assumed.frame_rate)


def _train(job: Job, config: DeepSERConfig, assumed: Assumptions) -> float:
    """Stages 1 and 2, an evaluation after each epoch, and the posteriors of all clips at the end."""
    modalities = _modalities(job, config, assumed)
    outputs = assumed.emotions + (assumed.attributes if config.loss.attributes > 0 else 0)
    forward = deepser_forward(config.model, modalities, outputs)
    trained, selected, predicted = _rows(config, assumed)
    training = config.training
    epochs = min(assumed.epochs or training.max_epochs, training.max_epochs)
    first = min(training.stage1_epochs, epochs) if training.stage2 else epochs
    balanced = min(trained, (assumed.emotions + 1) * assumed.smallest_class * trained)
    visited = first * trained + (epochs - first) * balanced
    step = deepser_training(config.model, modalities, outputs)
    return visited * step + (epochs * selected + predicted) * forward


def _rows(config: DeepSERConfig, assumed: Assumptions) -> tuple[float, float, float]:
    """Clips that are trained on, selected on, and predicted; for the model of a fold as `medusa.training.folds`."""
    trained, selected = assumed.train * assumed.clips, assumed.selection * assumed.clips
    if config.crossfit.fold is None:
        return trained, selected, assumed.clips
    own = trained * (1 - 1 / config.crossfit.folds)
    return own - own / SELECTION_SPLITS, own / SELECTION_SPLITS, assumed.clips - own


def _modalities(job: Job, config: DeepSERConfig, assumed: Assumptions) -> list[Sequences]:
    stores = {need.config.name: need.config for need in job.needs if isinstance(need.config, ExtractConfig)}
    return [stored(stores[name], assumed) for name in config.features]


def _posteriors(assumed: Assumptions) -> float:
    """Bytes of one technique's, or one member's, posteriors of all clips."""
    return assumed.clips * (BYTES_A_NAME + BYTES_A_NUMBER * (assumed.emotions + assumed.attributes))
