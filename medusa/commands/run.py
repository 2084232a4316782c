"""`python -m medusa run PIPELINE`: everything a pipeline's YAML describes, from recordings to the report."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HELP = "run a pipeline: what is not done yet, several jobs at a time"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("pipeline", type=Path, metavar="PIPELINE.yaml", help="for example configs/pipelines/demo.yaml")
    parser.add_argument(
        "--cores", type=int, metavar="N", help="CPU cores to use (default: all, or what a profile says)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only count the jobs that would run, by kind")
    parser.add_argument("--job", metavar="NAME", help="run this one job, whatever it needs being done")
    parser.add_argument(
        "--snakemake", default="", metavar="'OPTIONS'",
        help="passed on, for example '--profile workflow/profiles/multi-gpu' (docs/cluster.md)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Run the pipeline and say what came out, or one job of it."""
    from medusa.workflow.jobs import read_pipeline

    pipeline = read_pipeline(args.pipeline)
    if args.job is not None:
        from medusa.workflow.step import run_job

        run_job(pipeline, args.job)
        return

    import subprocess

    from medusa.errors import UserError
    from medusa.workflow.run import headline, run_pipeline, snakemake
    from medusa.workflow.words import shell_words

    options = shell_words(args.snakemake, "--snakemake") if args.snakemake else []
    cores: int | None = args.cores
    if cores is not None and cores < 1:
        raise UserError(f"--cores {cores}: must be at least 1")
    if cores is None and not any(word.startswith("--profile") for word in options):
        cores = os.cpu_count()
    if args.dry_run:
        dry = subprocess.run(snakemake(pipeline, cores, ["--dry-run", "--quiet", "rules", *options]), check=False)
        if dry.returncode:
            raise UserError(f"Snakemake ended with exit code {dry.returncode}; what it says stands above")
        return
    print(f"{pipeline.config.name}: {pipeline.config.title}")
    if not run_pipeline(pipeline, cores, options):
        print("nothing to do: all is as the configs ask")
    print(headline(pipeline))
