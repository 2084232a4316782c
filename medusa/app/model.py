"""A bundle, loaded: recordings in, emotions out.

from medusa import Medusa

medusa = Medusa.from_pretrained("bundle")          # a folder, or a hub id
medusa.predict(["a.wav", "b.mp3"])                 # a pandas.DataFrame, one row a recording
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import HFValidationError

from medusa.app.answers import Answer, Labelling
from medusa.app.description import BACKBONES, FILE, BundledMember, Description, copy_bundle, read_description
from medusa.app.segments import Segment, Segmenter, windows
from medusa.audio import SAMPLE_RATE, read_audio
from medusa.config.schema import Compute, ExtractConfig, TranscribeConfig
from medusa.device import Config, fastest_precision, prepare_device, with_precision
from medusa.ensemble.posteriors import Stack
from medusa.ensemble.stacking import build_metaclassifier
from medusa.ensemble.together import predict_together
from medusa.errors import UserError, reason
from medusa.features.asr import load_recognizer
from medusa.features.backbones import FeatureBackbone, load_backbone
from medusa.features.recognizer import Recognizer
from medusa.features.store import storable
from medusa.models.deepser import DeepSER
from medusa.models.metaclassifier import MetaClassifier
from medusa.training.checkpoint import load_weights, require_architecture
from medusa.training.data import FeatureExamples, Targets
from medusa.training.evaluate import predict
from medusa.training.member import build_model

BATCH = 8
"""Pieces of recordings that are worked on at once."""

TRIAL_SOUND, TRIAL_TEXT = np.zeros(SAMPLE_RATE // 2, np.float32), "one two three " * 20
"""What every pretrained model is tried with when it is loaded: then the first answer takes no longer than the next.

Shorter than the window of any model that has one, so that padding is tried as well.
"""


class Medusa(ModelHubMixin, library_name="medusa-ser", tags=["speech-emotion-recognition"]):
    """A trained ensemble; make one with `Medusa.from_pretrained`.

    Args:
        folder: The bundle.
        device: auto, cpu, cuda or cuda:1.
        threads: CPU threads, 0: as torch has it.

    Raises:
        UserError: not a bundle, or one that is damaged; or a pretrained model cannot be loaded.
    """

    def __init__(self, folder: Path, device: str = "auto", threads: int = 0) -> None:
        # The mixin would keep these words in a config.json of its own; bundle.json says all.
        self._hub_mixin_config = None
        self.folder, self.description = Path(folder), read_description(Path(folder))
        self.device = prepare_device(Compute(device=device, threads=threads))
        description = self.description
        names = [member.name for member in description.members]
        self.labelling = Labelling(
            description.emotions, description.attributes, names, description.abstention.threshold
        )
        self._resampler = _resampler(description)
        self._backbones = {name: self._load_backbone(config) for name, config in description.features.items()}
        self._recognizer = None
        if description.transcripts is not None:
            self._recognizer = self._load_recognizer(description.transcripts)
        self._members = [self._load_member(member) for member in description.members]
        self._soup = self._load_soup()

    # --- as models on a hub ---

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *, force_download: bool = False,
        token: str | bool | None = None, cache_dir: str | Path | None = None, local_files_only: bool = False,
        revision: str | None = None, **options: Any,
    ) -> Medusa:  # fmt: skip
        """Load a bundle: a folder, or a hub id at a revision (null: main); `options` are those of the class.

        Raises:
            UserError: as the class, or there is neither a folder nor such a repository.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            folder = _download(
                str(pretrained_model_name_or_path), revision=revision, cache_dir=cache_dir, token=token,
                force_download=force_download, local_files_only=local_files_only,
            )  # fmt: skip
        # Not by the mixin's own way, which would take options from a config.json that anybody may have written.
        return cls(folder, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        copy_bundle(self.folder, self.description, save_directory)

    # --- predicting ---

    def predict(self, paths: str | Path | Sequence[str | Path], cut: Segmenter = windows) -> pd.DataFrame:
        """What the ensemble says of recordings, one row each (columns as `medusa.app.answers.Answer.summary`).

        Args:
            paths: Recordings in any format that libsndfile reads.
            cut: How long recordings are cut.

        Raises:
            UserError: a recording is missing or cannot be decoded; `answers` goes on with the others instead.
        """
        rows = []
        paths = [paths] if isinstance(paths, str | Path) else paths
        for answer in self.answers(map(Path, paths), cut):
            if isinstance(answer, UserError):
                raise answer
            rows.append(answer.summary())
        return pd.DataFrame(rows)

    def answers(self, paths: Iterable[Path], cut: Segmenter = windows) -> Iterator[Answer | UserError]:
        """For each recording, in order, the answer, or the error that says why there is none.

        A few recordings are held at a time, so that a folder of any size takes the same memory.
        """
        waiting: list[tuple[Path, list[Segment] | UserError]] = []
        for path in paths:
            try:
                waiting.append((path, cut(read_audio(path, self._resampler))))
            except UserError as error:
                waiting.append((path, error))
            if sum(1 if isinstance(one, UserError) else len(one) for _, one in waiting) >= BATCH:
                yield from self._answer(waiting)
                waiting = []
        yield from self._answer(waiting)

    def _answer(self, recordings: list[tuple[Path, list[Segment] | UserError]]) -> Iterator[Answer | UserError]:
        readable = [(path, segments) for path, segments in recordings if not isinstance(segments, UserError)]
        try:
            answers = iter(self._judge(readable) if readable else [])
        except UserError as error:  # of one recording: features that are not finite
            if len(recordings) == 1:
                yield error
                return
            for one in recordings:
                yield from self._answer([one])
            return
        for _, segments in recordings:
            yield segments if isinstance(segments, UserError) else next(answers)

    def _judge(self, recordings: list[tuple[Path, list[Segment]]]) -> list[Answer]:
        pieces = [
            (f"{path}, {segment.start:.1f} s", segment.samples) for path, segments in recordings for segment in segments
        ]
        # A long recording alone is many pieces: their features are never held all at once.
        said = [self._judge_pieces(pieces[start : start + BATCH]) for start in range(0, len(pieces), BATCH)]
        texts = [text for one in said for text in one.texts]
        answers, first = [], 0
        for path, segments in recordings:
            part = slice(first, first + len(segments))
            first += len(segments)
            values = (
                np.concatenate([getattr(one, name) for one in said])[part]
                for name in ("posteriors", "attributes", "member_posteriors")
            )
            answers.append(Answer(path, self.labelling, segments, texts[part], *values))
        return answers

    def _judge_pieces(self, pieces: list[tuple[str, np.ndarray]]) -> _Said:
        clips = [samples for _, samples in pieces]
        texts = self._transcribe(clips)
        ids = [str(number) for number in range(len(pieces))]
        stores = self._features([name for name, _ in pieces], clips, texts)
        stack = self._stack(ids, stores)
        (soup,) = predict_together([self._soup], torch.from_numpy(stack.inputs).to(self.device))
        # A linear layer may leave the scale; what is reported stays on it.
        return _Said(texts, soup.probabilities, soup.attributes.clip(1, 7), stack.posteriors)

    def _transcribe(self, clips: list[np.ndarray]) -> list[str]:
        if self._recognizer is None:
            return [""] * len(clips)
        return [transcript.text for transcript in self._recognizer.transcribe(clips)]

    def _features(self, names: list[str], clips: list[np.ndarray], texts: list[str]) -> dict[str, _Held]:
        """One store of features for each that a member reads; `names` are for messages."""
        stores = {}
        for store, backbone in self._backbones.items():
            values = backbone.features(texts if backbone.config.backbone.kind == "text" else clips)
            stores[store] = _Held(store, backbone.dim, names, values)
        return stores

    def _stack(self, ids: list[str], stores: Mapping[str, _Held]) -> Stack:
        predictions = []
        for member, model in zip(self.description.members, self._members, strict=True):
            examples = FeatureExamples(self._nothing(ids), [stores[name] for name in member.config.features])
            bf16 = self._fit(member.config).compute.precision == "bf16"
            predictions.append(predict(model, examples, member.config.training.batch_size, bf16))
        posteriors, attributes = (np.stack(values, axis=1) for values in zip(*predictions, strict=True))
        return Stack(ids, posteriors, attributes, tuple(self.labelling.members))

    def _nothing(self, ids: list[str]) -> Targets:
        """Rows whose targets nobody knows."""
        rows, emotions, attributes = len(ids), len(self.labelling.emotions), len(self.labelling.attributes)
        unknown = np.full(rows, -1)
        return Targets(ids, np.zeros((rows, emotions), np.float32), np.zeros((rows, attributes), np.float32), unknown)

    # --- loading ---

    def _load_recognizer(self, config: TranscribeConfig) -> Recognizer:
        placed = config.asr.model_copy(update={"model": self._model(config.asr.model)})
        with _usable(placed.model):
            recognizer = load_recognizer(self._fit(config.model_copy(update={"asr": placed})), self.device)
            recognizer.transcribe([TRIAL_SOUND])
        return recognizer

    def _load_backbone(self, config: ExtractConfig) -> FeatureBackbone:
        backbone = config.backbone
        if backbone.model is not None:
            backbone = backbone.model_copy(update={"model": self._model(backbone.model)})
        with _usable(str(backbone.model)):
            loaded = load_backbone(self._fit(config.model_copy(update={"backbone": backbone})), self.device)
            loaded.features([TRIAL_TEXT if backbone.kind == "text" else TRIAL_SOUND])
            loaded.truncated = 0
        return loaded

    def _fit(self, config: Config) -> Config:
        """The config in float32 where it wants bf16 and the device would have to emulate that, many times slower."""
        emulated = config.compute.precision == "bf16" and fastest_precision(self.device) != "bf16"
        return with_precision(config, "float32") if emulated else config

    def _model(self, name: str) -> str:
        return str(self.folder / name) if name.startswith(f"{BACKBONES}/") else name

    def _load_member(self, member: BundledMember) -> DeepSER:
        dims = [self._backbones[name].dim for name in member.config.features]
        if dims != member.input_dims:
            raise UserError(
                f"{self.folder / FILE}: members: {member.name}: input_dims are {member.input_dims}, but its features "
                f"have {dims} values a frame; make the bundle anew"
            )
        stores = [_Held(name, dim, [], []) for name, dim in zip(member.config.features, dims, strict=True)]
        weights = self.folder / "members" / member.name
        return _loaded(
            lambda device: build_model(member.config, self.description, stores, device), weights, self.device
        )

    def _load_soup(self) -> MetaClassifier:
        names, emotions = self.labelling.members, len(self.labelling.emotions)
        posteriors = np.zeros((1, len(names), emotions), np.float32)
        attributes = np.zeros((1, len(names), len(self.labelling.attributes)), np.float32)
        one_row = Stack(["any"], posteriors, attributes, tuple(names))
        # No ingredient's start matters, as the weights come from the file.
        config = self.description.ensemble.model_copy(update={"start": "random"})
        build = partial(build_metaclassifier, config, one_row, config.seeds[0])
        return _loaded(build, self.folder / "soup", self.device)


@contextmanager
def _usable(model: str) -> Iterator[None]:
    """Turns whatever a pretrained model that may come from anybody fails with when it is tried into one line."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        # A panic of the tokenizers' Rust is no Exception, and no module exports its class.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(f"{model}: loaded, but does not compute ({reason(error)}); get the bundle anew") from None


Network = TypeVar("Network", bound=torch.nn.Module)


def _loaded(build: Callable[[torch.device], Network], weights: Path, device: torch.device) -> Network:
    """A network with the weights of a folder; one of another size than they are is refused before it takes memory."""
    with torch.device("meta"):
        require_architecture(build(torch.device("meta")), weights)
    network = build(device)
    load_weights(network, weights)
    return network


def _download(model_id: str, **options: Any) -> Path:
    try:
        return Path(snapshot_download(model_id, **options))
    except (OSError, HFValidationError) as error:
        raise UserError(
            f"{model_id}: no such folder, and not to be had from the hub ({reason(error)}); "
            "make a bundle with: python -m medusa bundle RUNS --out DIR"
        ) from None


def _resampler(description: Description) -> Literal["librosa", "torchaudio"]:
    """The one that the features and transcripts were made with."""
    used = {one.resampler for one in description.features.values() if one.backbone.kind != "text"}
    if description.transcripts is not None:
        used.add(description.transcripts.resampler)
    if len(used) > 1:
        raise UserError(
            f"bundle {description.name}: features resampled in two ways; extract them anew with one resampler"
        )
    return used.pop() if used else "librosa"


class _Said(NamedTuple):
    """Of a few pieces; fields as in `Answer`."""

    texts: list[str]
    posteriors: np.ndarray
    attributes: np.ndarray
    member_posteriors: np.ndarray


class _Held:
    """Features of a few clips in memory, in the place of a feature store; values pass through float16 as there.

    A clip's key is its number as text.
    """

    def __init__(self, name: str, dim: int, clips: Sequence[str], values: Sequence[np.ndarray]) -> None:
        self.path, self.dim = Path(name), dim
        self._values = [storable(clip, own) for clip, own in zip(clips, values, strict=True)]

    def __contains__(self, clip: object) -> bool:
        return isinstance(clip, str) and int(clip) < len(self._values)

    def frames(self, clip: str) -> int:
        """Of one clip."""
        return len(self._values[int(clip)])

    def read(self, clip: str) -> np.ndarray:
        """Shape = (frames, dim), float16."""
        return self._values[int(clip)]
