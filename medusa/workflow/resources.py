"""What a job asks of the machine it runs on: a GPU, CPU threads, memory, time."""

from __future__ import annotations

from typing import NamedTuple

from medusa.config.schema import DeepSERConfig, ExtractConfig, TranscribeConfig
from medusa.workflow.jobs import Job, JobConfig


class Request(NamedTuple):
    """What a scheduler is told of a job."""

    gpu: int
    """GPUs, 0 or 1."""
    threads: int
    """CPU threads where GPUs are counted and the config leaves it open: enough to feed one."""
    mem_mb: int
    """Main memory in MB."""
    runtime: int
    """Minutes, after which a cluster ends the job; extraction and training then go on from there when run again."""


REQUESTS = {
    "transcripts": Request(1, 8, 32_000, 24 * 60),
    "speech": Request(1, 8, 24_000, 24 * 60),
    "whisper": Request(1, 8, 24_000, 24 * 60),
    "text": Request(1, 4, 16_000, 6 * 60),
    "logmel": Request(0, 4, 8_000, 12 * 60),
    "training": Request(1, 8, 24_000, 48 * 60),
    "ensemble": Request(0, 4, 32_000, 6 * 60),
    "other": Request(0, 2, 16_000, 12 * 60),
}
"""Bounds for the size of MSP-Podcast, by what a job computes. Features and batches are read as they are needed, so
memory is that of the libraries, a model and a shard; an ensemble holds the posteriors of all its members."""


def request(job: Job) -> Request:
    """What a job asks for; its config's `compute` decides where it names a device or threads."""
    wanted = REQUESTS[_work(job.config)]
    if job.config is None:
        return wanted
    device = job.config.compute.device
    gpu = wanted.gpu if device == "auto" else int(device.startswith("cuda"))
    return wanted._replace(gpu=gpu, threads=job.threads or wanted.threads)


def _work(config: JobConfig | None) -> str:
    """A key of `REQUESTS`."""
    if config is None:
        return "other"
    if isinstance(config, ExtractConfig):
        return config.backbone.kind
    if isinstance(config, TranscribeConfig):
        return "transcripts"
    return "training" if isinstance(config, DeepSERConfig) else "ensemble"
