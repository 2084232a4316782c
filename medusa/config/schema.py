"""What a YAML config may say: every key, its type, its range, and the paper's value as the default.

Four kinds of config share the sections below: `TranscribeConfig` (the transcripts of a corpus), `ExtractConfig` (one
feature store), `DeepSERConfig` (one ensemble member, Stages 1 and 2) and `MetaConfig` (one ensemble, Stages 3 and 4).
`PipelineConfig` names such configs: all that the workflow runs, from recordings to the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name that becomes a folder: letters, digits, dot, underscore, hyphen."""

Positive = Annotated[int, Field(ge=1, lt=2**31)]
Width = Annotated[int, Field(ge=1, le=65_536)]
"""Of a layer."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
PathLike = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    """Strict and closed: no unknown keys, no "16" for 16, no true for 1.0, no NaN; immutable once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Compute(Section):
    """Where and how precisely to compute; `--device` on the command line overrides `device`.

    Precision auto is bf16 where the device has instructions for it, else float32; what it came to is kept with what
    was made. Without such instructions bf16 is emulated, many times slower than float32.
    """

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    precision: Literal["auto", "float32", "bf16"] = "float32"


# --- features ---------------------------------------------------------------------------------------

Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
"""Of a hub repository: a commit (40 hex digits), which pins it; else a branch, tag or refs/pr/N, which may move."""


class Backbone(Section):
    """A pretrained model (hub id or local folder) or the weightless log-mel front end."""

    kind: Literal["speech", "whisper", "text", "logmel"]
    model: str | None = None
    revision: Revision | None = None

    @model_validator(mode="after")
    def _weights_are_named(self) -> Backbone:
        if (self.kind == "logmel") != (self.model is None):
            raise ValueError("model: names a hub id or a folder for every kind but logmel, which has no weights")
        return self


class Layers(Section):
    """Which hidden states become the feature.

    Hidden state 0 is the input embedding, 1 … L the layers' outputs; negative numbers count from the
    end. The last one is the model's output, after the final layer norm where there is one, but for ModernBERT
    before it.
    """

    take: Annotated[list[int], Field(min_length=1, max_length=100)] = [-4, -3, -2, -1]
    combine: Literal["sum", "concat"] = "sum"


class CorpusPaths(Section):
    """A corpus, relative to the folder the command runs in."""

    labels: PathLike = Path("data/msp-podcast/labels.csv")
    audio: PathLike = Path("data/msp-podcast/Audios")
    transcripts: PathLike = Path("data/msp-podcast/transcripts.csv")


class ExtractPaths(CorpusPaths):
    """A corpus and its feature stores."""

    features: PathLike = Path("data/msp-podcast/features")


class ExtractConfig(Section):
    """One feature store: one backbone over one corpus (paper 3.3)."""

    name: Name
    backbone: Backbone
    layers: Layers = Layers()
    time_stride: Positive = 1
    trim: bool = True
    resampler: Literal["librosa", "torchaudio"] = "librosa"
    batch_size: Positive = 8
    shard_size: Positive = 256
    compute: Compute = Compute()
    paths: ExtractPaths = ExtractPaths()


class Guards(Section):
    """When the text of a window of 30 s is taken for invented and left out; null: never.

    `no_speech`: its probability of silence is above this, unless `log_probability` is given and the mean
    log-probability of its tokens is above that (Whisper's rule). `compression_ratio`: its text repeats itself,
    bytes by compressed bytes are above this.
    """

    no_speech: Fraction | None = None
    log_probability: Annotated[float, Field(le=0.0)] | None = None
    compression_ratio: Annotated[float, Field(gt=0.0)] | None = None

    @model_validator(mode="after")
    def _log_probability_belongs_to_no_speech(self) -> Guards:
        if self.log_probability is not None and self.no_speech is None:
            raise ValueError("log_probability: excuses what no_speech refuses; set no_speech, or leave it null")
        return self


class Asr(Section):
    """Speech recognition by Whisper (paper 3.3), greedily with `beam_size` 1.

    `engine` faster-whisper needs that package and a model in CTranslate2's format, such as
    Systran/faster-whisper-large-v3. `language` is a code such as "en"; null lets a multilingual model detect it
    window by window, and is what an English-only model takes. `max_new_tokens` holds for each window of 30 s.
    """

    engine: Literal["transformers", "faster-whisper"] = "transformers"
    model: str
    revision: Revision | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    beam_size: Annotated[int, Field(ge=1, le=100)] = 1
    max_new_tokens: Positive = 224
    guards: Guards = Guards()


class TranscribeConfig(Section):
    """transcripts.csv of one corpus, which the text backbones read."""

    name: Name
    asr: Asr
    resampler: Literal["librosa", "torchaudio"] = "librosa"
    batch_size: Positive = 8
    shard_size: Positive = 256
    compute: Compute = Compute()
    paths: CorpusPaths = CorpusPaths()


# --- training ---------------------------------------------------------------------------------------


class RunPaths(Section):
    """Inputs and outputs, relative to the folder the command runs in."""

    labels: PathLike = Path("data/msp-podcast/labels.csv")
    features: PathLike = Path("data/msp-podcast/features")
    runs: PathLike = Path("runs/paper")


class Model(Section):
    """DeepSER (paper 3.4, 4)."""

    hidden_dim: Width = 1024
    num_layers: Annotated[int, Field(ge=1, le=100)] = 2
    num_heads: Width = 1
    feedforward_dim: Width = 2048
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    fusion: Literal["deep", "late"] = "deep"
    standardize: bool = False

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Model:
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"num_heads: must divide hidden_dim ({self.hidden_dim})")
        return self


class Loss(Section):
    """Equation (1): emotion * CE + attributes * MSE; Stage 1 weights CE by (N / (|C| f_c)) ** exponent."""

    emotion: NonNegative = 1.5
    attributes: NonNegative = 0.4
    class_weight_exponent: NonNegative = 0.5


class MixUp(Section):
    """Manifold MixUp (paper 3.7): with this probability a batch is mixed, lambda ~ Beta(alpha, alpha)."""

    probability: Fraction = 0.3
    alpha: Annotated[float, Field(gt=0.0)] = 0.2


class Training(Section):
    """Stages 1 and 2 (paper 3.6, 4)."""

    batch_size: Positive = 16
    accumulation_steps: Positive = 1
    learning_rate: LearningRate = 1e-5
    stage2_learning_rate: LearningRate = 1e-5
    weight_decay: NonNegative = 0.01
    max_epochs: Positive = 50
    stage1_epochs: Annotated[int, Field(ge=0)] = 4
    stage2: bool = True
    patience: Positive = 8

    @model_validator(mode="after")
    def _steps_divide_batch(self) -> Training:
        if self.accumulation_steps > self.batch_size:
            raise ValueError(f"accumulation_steps: at most batch_size ({self.batch_size})")
        return self


class Crossfit(Section):
    """The model of one fold, for an ensemble with `fit_on: crossfit`: it never sees that fold's training speakers.

    `folds` is how many there are, `fold` which one, 0 … folds - 1; null: the ordinary member.
    """

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    fold: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _fold_exists(self) -> Crossfit:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold: there are {self.folds} folds, 0 … {self.folds - 1}")
        return self


class DeepSERConfig(Section):
    """One ensemble member: Stages 1 and 2."""

    name: Name = "deepser"
    variant: Name | None = None
    features: Annotated[list[Name], Field(min_length=1)] = ["wavlm-large", "roberta-large"]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    targets: Literal["soft", "soft_consensus", "one_hot", "argmax"] = "soft"
    weight_by_kept_votes: bool = False
    model: Model = Model()
    loss: Loss = Loss()
    mixup: MixUp = MixUp()
    training: Training = Training()
    crossfit: Crossfit = Crossfit()
    compute: Compute = Compute()
    paths: RunPaths = RunPaths()

    @property
    def run_directory(self) -> Path:
        """`<runs>/members/<name>`, or `<name>-<variant>` for an ablation; that of one fold: `crossfit_run`."""
        folder = f"{self.name}-{self.variant}" if self.variant else self.name
        if self.crossfit.fold is not None:
            return crossfit_run(self.paths.runs, folder, self.crossfit.folds, self.crossfit.fold)
        return self.paths.runs / "members" / folder


def crossfit_run(runs: Path, member: str, folds: int, fold: int) -> Path:
    """`<runs>/crossfit/<member>/fold-<fold>-of-<folds>`."""
    return runs / "crossfit" / member / f"fold-{fold}-of-{folds}"


# --- ensemble ---------------------------------------------------------------------------------------


class MetaTraining(Section):
    """Stage 3 (paper 3.5, 3.6, 4)."""

    batch_size: Positive = 128
    learning_rate: LearningRate = 1e-3
    weight_decay: NonNegative = 0.01
    max_epochs: Positive = 50
    patience: Positive = 8
    inner_folds: Annotated[int, Field(ge=2)] = 4


class MetaConfig(Section):
    """One ensemble: Stage 3 (a linear meta-classifier per seed) and Stage 4 (their soup)."""

    name: Name = "metacls"
    variant: Name | None = None
    members: Annotated[list[str], Field(min_length=1)] = [f"{number:02d}" for number in range(1, 15)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)] = [1, 2, 3, 4, 5, 6]
    fit_on: Literal["train", "dev", "crossfit", "released"] = "train"
    crossfit_folds: Annotated[int, Field(ge=2, le=100)] = 5
    start: Literal["random", "vote"] = "random"
    hidden_dims: Annotated[list[Width], Field(max_length=10)] = []
    loss: Loss = Loss()
    training: MetaTraining = MetaTraining()
    compute: Compute = Compute()
    paths: RunPaths = RunPaths()

    @model_validator(mode="after")
    def _no_repeats(self) -> MetaConfig:
        for key in ("members", "seeds"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: each may stand there once")
        return self

    @model_validator(mode="after")
    def _a_vote_is_linear(self) -> MetaConfig:
        if self.start == "vote" and self.hidden_dims:
            raise ValueError("start: only a linear meta-classifier (hidden_dims: []) can start from the vote")
        return self

    @property
    def run_directory(self) -> Path:
        """`<runs>/ensembles/<name>`, or `<name>-<variant>`."""
        return self.paths.runs / "ensembles" / (f"{self.name}-{self.variant}" if self.variant else self.name)


# --- workflow ---------------------------------------------------------------------------------------


class Ablations(Section):
    """Table 2: each member once more under each overlay, trained from `seeds` seeds, as the member itself is.

    An overlay sets `variant`. `unimodal` adds each member on each of its features alone. The seeds are the member's
    own, and that plus 1000, 2000, …
    """

    members: Annotated[list[Name], Field(min_length=1)]
    overlays: Annotated[list[PathLike], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    unimodal: bool = False


class StandsFor(Section):
    """Which rows of the paper's tables ours are put beside: member → Id of Table 1, ensemble → members in Table 3."""

    members: dict[Name, Annotated[int, Field(ge=1, le=14)]] = {}
    ensembles: dict[Name, Literal[5, 7, 14]] = {}


class PipelineConfig(Section):
    """Everything from recordings to the report, as `python -m medusa run` runs it.

    `prepare` holds the words after `python -m medusa prepare`, `afterwards` those after `python`. `{fold}` in `prepare`
    and `overlays` stands for each of `folds` in turn. Overlays without it go over every config, those with it over
    members and ensembles: transcripts and features are computed once, from the first fold's labels. The
    first ensemble is trained once more under each of `ensemble_overlays`, and with `leave_one_out` without each member.
    With `leave_out_failures` recordings that could not be used are left out of everything after the features; without,
    they end the run there.
    """

    name: Name
    title: Annotated[str, Field(min_length=1)]
    demo_weights: PathLike | None = None
    folds: list[Name] = []
    prepare: Annotated[str, Field(min_length=1)]
    transcribe: PathLike | None = None
    features: Annotated[list[PathLike], Field(min_length=1)]
    members: Annotated[list[PathLike], Field(min_length=1)]
    ensembles: list[PathLike] = []
    overlays: list[str] = []
    ablations: Ablations | None = None
    ensemble_overlays: list[PathLike] = []
    leave_one_out: bool = False
    leave_out_failures: bool = False
    stands_for: StandsFor = StandsFor()
    report: bool = True
    afterwards: list[str] = []

    @model_validator(mode="after")
    def _there_is_an_ensemble_to_vary(self) -> PipelineConfig:
        for key in ("ensemble_overlays", "leave_one_out"):
            if getattr(self, key) and not self.ensembles:
                raise ValueError(f"{key}: varies the first of `ensembles`, and there is none")
        return self

    @model_validator(mode="after")
    def _folds_differ_and_are_used(self) -> PipelineConfig:
        if len(set(self.folds)) != len(self.folds):
            raise ValueError("folds: each may stand there once")
        used = ["{fold}" in self.prepare, any("{fold}" in overlay for overlay in self.overlays)]
        if used != [bool(self.folds)] * 2:
            raise ValueError("folds: goes together with {fold} in prepare and in an overlay that sets paths")
        return self
