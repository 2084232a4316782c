"""What a pipeline runs, as jobs: public commands, what they need, what they make."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import medusa
from medusa.config.load import dump_config, load_config
from medusa.config.schema import (
    Crossfit,
    DeepSERConfig,
    ExtractConfig,
    MetaConfig,
    PipelineConfig,
    Section,
    TranscribeConfig,
)
from medusa.corpora.leave_out import LEFT_OUT
from medusa.errors import UserError
from medusa.files import write_text
from medusa.workflow.words import shell_words

ROOT = Path(medusa.__file__).resolve().parents[1]
STAGES = {
    "weights": "models",
    "corpus": "corpus",
    "transcripts": "transcripts",
    "features": "features",
    "usable": "usable rows",
    "members": "Stages 1, 2",
    "crossfit": "Stages 1, 2 by fold",
    "ensembles": "Stages 3, 4",
    "report": "report",
    "afterwards": "afterwards",
}
"""Kinds of jobs, in the order a pipeline goes through them, and what a reader calls them."""

SEED_STEP = 1000
"""Between the seeds of the runs behind one cell of Table 2, so that they meet those of no other member."""

JobConfig = ExtractConfig | TranscribeConfig | DeepSERConfig | MetaConfig
Config = TypeVar("Config", bound=Section)
Runs = TypeVar("Runs", DeepSERConfig, MetaConfig)


@dataclass(frozen=True)
class Job:
    """One unit of work, finished or not."""

    name: str
    """`<kind>/<id>`, with `@<fold>` behind it where there are folds."""
    title: str
    commands: list[list[str]]
    """Words after the interpreter."""
    needs: list[Job]
    makes: list[Path]
    """What must be there once it is done."""
    config: JobConfig | None = None
    begins: tuple[Path, ...] = ()
    """Folders and files that are put aside if they were begun from another recipe."""
    partly: bool = False
    """Whether it is done where some recordings failed and are listed (exit code 3)."""

    @property
    def kind(self) -> str:
        """One of `STAGES`."""
        return self.name.partition("/")[0]

    @property
    def threads(self) -> int:
        """CPU threads it computes with; 0: all."""
        return self.config.compute.threads if self.config is not None else 1

    @cached_property
    def recipe(self) -> str:
        """SHA-256 of all that its result depends on: its config or words, and the recipes of what it needs."""
        own = self.commands if self.config is None else _settings(self.config)
        parts = [own, [(need.name, need.recipe) for need in self.needs]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's jobs and where the workflow keeps its own small files: `runs/<name>/workflow`."""

    file: Path
    config: PipelineConfig
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Configs, logs and completion files."""
        return Path("runs") / self.config.name / "workflow"

    @property
    def events(self) -> Path:
        """What the jobs report while they run: a file for each, for jobs of several hosts cannot append to one."""
        return self.folder / "events"

    def done(self, name: str) -> Path:
        """The completion file of a job: written last, holds its recipe."""
        return self.folder / "done" / f"{name}.json"

    @property
    def stopping(self) -> Path:
        """There while the workflow is being stopped: its jobs end when they see it."""
        return self.folder / "stopping"

    def log(self, name: str) -> Path:
        """What a job's commands print."""
        return self.folder / "logs" / f"{name}.log"

    def config_file(self, name: str) -> Path:
        """The resolved config a job is given."""
        return self.folder / "configs" / f"{name}.yaml"

    def refresh(self) -> None:
        """Write the jobs' configs that have changed, and forget jobs whose results have been removed."""
        for job in self.jobs.values():
            file = self.config_file(job.name)
            if job.config is not None and _text(file) != dump_config(job.config):
                write_text(file, dump_config(job.config))
            if not all(path.exists() for path in job.makes):
                self.done(job.name).unlink(missing_ok=True)


def read_pipeline(file: Path) -> Pipeline:
    """Read a pipeline and every config it names.

    Raises:
        UserError: a file is missing or wrong, two jobs share a name, or one asks for what no other makes.
    """
    pipeline = Pipeline(file, load_config(PipelineConfig, [file]))
    for job in _Planner(pipeline).plan():
        if job.name in pipeline.jobs:
            raise UserError(f"{file}: {job.name} stands there twice; give one of the two another name")
        pipeline.jobs[job.name] = job
    return pipeline


class _Planner:
    """Turns the pipeline's keys into jobs, in the order of `STAGES`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.file, self.config = pipeline, pipeline.file, pipeline.config

    def plan(self) -> Iterator[Job]:
        config = self.config
        weights = [self._weights(config.demo_weights)] if config.demo_weights is not None else []
        yield from weights
        corpora = {fold: self._corpus(fold) for fold in config.folds or [""]}
        yield from corpora.values()
        first = next(iter(corpora.values()))
        transcripts = [self._transcripts(config.transcribe, [first, *weights])] if config.transcribe else []
        yield from transcripts
        stores: dict[Path, Job] = {}
        for file in config.features:
            store = self._features(file, first, weights, transcripts)
            stores[store.makes[0].parent] = store
            yield store
        last: list[Job] = []
        for fold, prepared in corpora.items():
            corpus = prepared
            if config.leave_out_failures:
                corpus = self._usable(fold, prepared, [*transcripts, *stores.values()])
                yield corpus
            asked = [(file, self._load(DeepSERConfig, file, fold)) for file in config.members]
            members = [self._member(*one, fold, corpus, stores) for one in asked]
            yield from members
            varied = [self._member(*one, fold, corpus, stores) for one in self._ablations(asked, fold)]
            yield from varied
            metas = [(file, self._load(MetaConfig, file, fold)) for file in config.ensembles]
            metas += self._varied_ensembles(fold)
            by_fold = {
                (name, count): [self._member(file, one, fold, corpus, stores) for one in of_folds]
                for file, name, count, of_folds in self._crossfits(metas, asked)
            }
            yield from chain(*by_fold.values())
            stacked = [self._ensemble(*one, fold, corpus, members, by_fold) for one in metas]
            yield from stacked
            ensembles, varied = stacked[: len(config.ensembles)], [*varied, *stacked[len(config.ensembles) :]]
            without = [self._ensemble(*one, fold, corpus, members, by_fold) for one in self._leave_one_out(metas)]
            yield from without
            last += ensembles or members
            if config.report:
                report = self._report(fold, members, ensembles, [*varied, *without])
                last.append(report)
                yield report
        for number, line in enumerate(config.afterwards, start=1):
            words = shell_words(line, f"{self.file}: afterwards")
            yield Job(f"afterwards/{number}", words[0], [words], last, [])

    def _weights(self, out: Path) -> Job:
        command = ["-m", "medusa", "demo-weights", "--out", str(out)]
        return Job("weights/demo", str(out), [command], [], [out])

    def _corpus(self, fold: str) -> Job:
        words = shell_words(self.config.prepare.replace("{fold}", fold), f"{self.file}: prepare")
        if "--out" not in words[:-1]:
            raise UserError(f"{self.file}: prepare: {self.config.prepare!r} lacks --out DIR, the folder of labels.csv")
        out = Path(words[words.index("--out") + 1])
        # Its recordings are made too, and all of the folder follows from these words.
        begins = (out,) if words[0] == "synthetic" else ()
        command, makes = ["-m", "medusa", "prepare", *words], [out / "labels.csv"]
        return Job(_named("corpus", words[0], fold), f"{words[0]}{_of(fold)}", [command], [], makes, begins=begins)

    def _transcripts(self, file: Path, needs: list[Job]) -> Job:
        config = self._load(TranscribeConfig, file)
        self._require_labels(file, config.paths.labels, needs[0])
        name, path = f"transcripts/{config.name}", config.paths.transcripts
        commands = [self._script("extract_features.py", name)]
        begins = (path, path.with_suffix(".json"), path.with_suffix(".parts"))
        partly = self.config.leave_out_failures
        return Job(name, config.name, commands, needs, [path], config, begins, partly)

    def _features(self, file: Path, corpus: Job, weights: list[Job], transcripts: list[Job]) -> Job:
        config = self._load(ExtractConfig, file)
        self._require_labels(file, config.paths.labels, corpus)
        name, store = f"features/{config.name}", config.paths.features / config.name
        needs = [corpus, *weights] if config.backbone.model else [corpus]
        if config.backbone.kind == "text":
            needs += transcripts
        commands = [self._script("extract_features.py", name)]
        partly = self.config.leave_out_failures
        return Job(name, config.name, commands, needs, [store / "manifest.json"], config, (store,), partly)

    def _usable(self, fold: str, corpus: Job, computed: list[Job]) -> Job:
        """The rows of the corpus without those of which a recording could not be used."""
        labels = corpus.makes[0]
        failed = [
            job.makes[0].with_suffix(".parts") if job.kind == "transcripts" else job.begins[0] for job in computed
        ]
        makes = [labels.parent / "usable" / name for name in ("labels.csv", LEFT_OUT)]
        words = ["-m", "medusa", "leave-out", "--labels", str(labels), "--failed", *map(str, failed)]
        command = [*words, "--out", str(makes[0].parent)]
        name = _named("usable", corpus.name.partition("/")[2].partition("@")[0], fold)
        return Job(name, f"{makes[0]}", [command], [corpus, *computed], makes)

    def _ablations(self, asked: list[tuple[Path, DeepSERConfig]], fold: str) -> Iterator[tuple[Path, DeepSERConfig]]:
        """The cells of Table 2 that are not members already."""
        ablations = self.config.ablations
        if ablations is None:
            return
        by_name = {config.run_directory.name: (file, config) for file, config in asked}
        for name in ablations.members:
            if name not in by_name:
                raise UserError(f"{self.file}: ablations.members: {name}: not the name of one under `members`")
            file, full = by_name[name]
            variants = [full, *(self._varied(file, full, overlay, fold) for overlay in ablations.overlays)]
            if ablations.unimodal and len(full.features) > 1:
                variants += [
                    full.model_copy(update={"features": [one], "variant": f"only-{one}"}) for one in full.features
                ]
            for variant in variants:
                for number in range(ablations.seeds):
                    if variant is not full or number > 0:
                        yield file, with_seed(variant, number)

    def _varied(self, file: Path, full: DeepSERConfig, overlay: Path, fold: str) -> DeepSERConfig:
        """The member's config under one more overlay."""
        config = self._load(DeepSERConfig, file, fold, overlay)
        if config.variant is None or config.variant == full.variant:
            raise UserError(f"{overlay}: variant: missing; an ablation needs one, for the name of its run")
        return config

    def _crossfits(
        self, metas: list[tuple[Path, MetaConfig]], asked: list[tuple[Path, DeepSERConfig]]
    ) -> Iterator[tuple[Path, str, int, list[DeepSERConfig]]]:
        """Of every member that an ensemble is cross-fitted on, the configs of its folds."""
        wanted = {
            (name, meta.crossfit_folds): None for _, meta in metas if meta.fit_on == "crossfit" for name in meta.members
        }
        for file, config in asked:
            name = config.run_directory.name
            for count in [count for member, count in wanted if member == name]:
                folds = [Crossfit(folds=count, fold=fold) for fold in range(count)]
                yield file, name, count, [config.model_copy(update={"crossfit": one}) for one in folds]

    def _varied_ensembles(self, fold: str) -> Iterator[tuple[Path, MetaConfig]]:
        """The first ensemble under each of `ensemble_overlays`."""
        for overlay in self.config.ensemble_overlays:
            config = self._load(MetaConfig, self.config.ensembles[0], fold, overlay)
            if config.variant is None:
                raise UserError(f"{overlay}: variant: missing; the ensemble's run needs one, for its name")
            yield self.config.ensembles[0], config

    def _leave_one_out(self, metas: list[tuple[Path, MetaConfig]]) -> Iterator[tuple[Path, MetaConfig]]:
        """The first ensemble without each of its members."""
        if not self.config.leave_one_out:
            return
        file, config = metas[0]
        for name in config.members if len(config.members) > 1 else []:
            rest = [other for other in config.members if other != name]
            variant = "-".join(filter(None, [config.variant, f"without-{Path(name).stem}"]))
            yield file, config.model_copy(update={"members": rest, "variant": variant})

    def _member(self, file: Path, config: DeepSERConfig, fold: str, corpus: Job, stores: dict[Path, Job]) -> Job:
        config = self._on_rows_of(corpus, file, config)
        needs = [corpus]
        for name in config.features:
            store = config.paths.features / name
            if store not in stores:
                raise UserError(f"{file}: features: {name}: nothing under `features` in {self.file} makes {store}")
            needs.append(stores[store])
        folder, left_out = config.run_directory, config.crossfit.fold
        name, title = _named("members", folder.name, fold), f"member {folder.name}"
        if left_out is not None:
            member = folder.parent.name
            name = _named("crossfit", f"{member}.{folder.name}", fold)
            title = f"member {member} without fold {left_out + 1} of {config.crossfit.folds}"
        commands = [self._script(script, name) for script in ("train_deepser.py", "eval_deepser.py")]
        title = f"{title}{_of(fold)}: {' + '.join(config.features)}"
        return Job(name, title, commands, needs, [folder / "best", folder / "posteriors"], config, (folder,))

    def _ensemble(
        self,
        file: Path,
        config: MetaConfig,
        fold: str,
        corpus: Job,
        members: list[Job],
        by_fold: dict[tuple[str, int], list[Job]],
    ) -> Job:
        config = self._on_rows_of(corpus, file, config)
        trained = {member.begins[0]: member for member in members}
        needs = [corpus]
        for name in config.members:
            run = config.paths.runs / "members" / name
            if run in trained and config.fit_on == "crossfit":
                needs += by_fold[name, config.crossfit_folds]
            elif run in trained:
                needs.append(trained[run])
            elif not name.endswith(".csv"):  # the posteriors of a model from elsewhere
                raise UserError(f"{file}: members: {name}: nothing under `members` in {self.file} trains {run}")
        folder = config.run_directory
        name = _named("ensembles", folder.name, fold)
        commands = [self._script(script, name) for script in ("train_metacls.py", "eval_metacls.py")]
        title = f"ensemble {folder.name}{_of(fold)}: {len(config.members)} members, {len(config.seeds)} seeds"
        return Job(name, title, commands, needs, [folder / "soup", folder / "results.csv"], config, (folder,))

    def _report(self, fold: str, members: list[Job], ensembles: list[Job], beside: list[Job]) -> Job:
        runs = members[0].makes[0].parents[2]
        files = [str(self.pipeline.config_file(job.name)) for job in ensembles]
        command = ["-m", "medusa", "report", "--runs", str(runs), "--out", str(runs / "report")]
        command += ["--about", f"{self.config.title[:1].upper()}{self.config.title[1:]}.", "--ensembles", *files]
        for option in ("members", "ensembles"):
            if rows := getattr(self.config.stands_for, option):
                command += [f"--paper-{option}", *(f"{ours}={theirs}" for ours, theirs in rows.items())]
        makes = [runs / "report" / name for name in ("report.md", "report.html")]
        return Job(
            _named("report", "report", fold), str(runs / "report"), [command], [*members, *ensembles, *beside], makes
        )

    def _load(self, kind: type[Config], file: Path, fold: str | None = None, *more: Path) -> Config:
        """The config with the pipeline's overlays, those with `{fold}` only where a fold is given, and more."""
        overlays = [Path(overlay) for overlay in self.config.overlays if "{fold}" not in overlay]
        if fold:
            overlays = [Path(overlay.replace("{fold}", fold)) for overlay in self.config.overlays]
        return load_config(kind, [file, *overlays, *more])

    def _script(self, name: str, job: str) -> list[str]:
        return [os.path.relpath(ROOT / name), str(self.pipeline.config_file(job))]

    def _on_rows_of(self, corpus: Job, file: Path, config: Runs) -> Runs:
        """The config, which must name the labels that are prepared, with those of their rows that can be used."""
        prepared = corpus.needs[0] if corpus.kind == "usable" else corpus
        self._require_labels(file, config.paths.labels, prepared)
        paths = config.paths.model_copy(update={"labels": corpus.makes[0]})
        return config.model_copy(update={"paths": paths})

    def _require_labels(self, file: Path, labels: Path, corpus: Job) -> None:
        if labels != corpus.makes[0]:
            prepared = corpus.makes[0]
            raise UserError(f"{file}: paths.labels: {labels}, but {self.file} prepares {prepared}; make them agree")


def with_seed(config: DeepSERConfig, number: int) -> DeepSERConfig:
    """The run of one more seed: number 0 is the config itself, the others have a seed and a variant of their own."""
    if number == 0:
        return config
    seed = (config.seed + SEED_STEP * number) % 2**31
    variant = ".".join(filter(None, [config.variant, f"seed-{seed}"]))
    return config.model_copy(update={"seed": seed, "variant": variant})


def _named(kind: str, name: str, fold: str) -> str:
    return f"{kind}/{name}@{fold}" if fold else f"{kind}/{name}"


def _of(fold: str) -> str:
    return f", fold {fold}" if fold else ""


def _settings(config: JobConfig) -> dict[str, Any]:
    """The config without what changes no result."""
    return config.model_dump(mode="json", exclude={"compute": {"device", "threads"}, "batch_size": True})


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None
