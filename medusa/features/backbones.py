"""Frozen pretrained models as feature extractors (paper 3.3), through one small interface.

    backbone = load_backbone(config, device)
    backbone.features(batch)    one (frames, dim) float32 array for each waveform or text

The feature of a clip does not depend on the clips it is batched with, but for rounding. On a CPU speech models run one
clip at a time, whatever `batch_size` says, as fast (benchmarks/README.md), so that a corpus, a folder and a single clip
give the same bits there; texts run in batches, whose products round by their size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

from medusa.audio import SAMPLE_RATE
from medusa.config.schema import ExtractConfig
from medusa.errors import UserError
from medusa.features import logmel
from medusa.features.convolution import convolve_by_products
from medusa.features.pretrained import from_pretrained, load_weights, open_checkpoint, require_window, torch_dtype
from medusa.features.sources import Clip
from medusa.features.wavlm import fuse_attention
from medusa.features.windows import by_window, full_windows


def load_backbone(config: ExtractConfig, device: torch.device) -> FeatureBackbone:
    """Load the model a config names.

    Raises:
        UserError: the weights or the layers it names are not there.
    """
    kinds: dict[str, type[FeatureBackbone]] = {
        "speech": SpeechBackbone,
        "whisper": WhisperBackbone,
        "text": TextBackbone,
        "logmel": LogMelBackbone,
    }
    return kinds[config.backbone.kind](config, device)


class FeatureBackbone(ABC):
    """What extraction needs to know of a model.

    Attributes:
        dim: Values a frame.
        frame_rate: Frames a second after `time_stride`; None for text.
        commit: The hub's commit of the weights, None for a local folder and for logmel.
        truncated: How many clips were longer than the model can take, so far.
    """

    dim: int
    frame_rate: float | None
    commit: str | None = None
    truncated: int = 0

    def __init__(self, config: ExtractConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.one_by_one = device.type == "cpu"

    def features(self, batch: Sequence[Clip]) -> list[np.ndarray]:
        """Features of a batch of clips, each of shape = (frames, dim), float32."""
        with torch.inference_mode():
            return [pool_time(values, self.config.time_stride) for values in self._frames(batch)]

    @abstractmethod
    def _frames(self, batch: Sequence[Any]) -> list[np.ndarray]:
        """Features before pooling over time."""


class LogMelBackbone(FeatureBackbone):
    """Log-mel, energy and F0 at 50 frames a second; no weights."""

    def __init__(self, config: ExtractConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.dim = logmel.DIM
        self.frame_rate = logmel.FRAME_RATE / config.time_stride

    def _frames(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [logmel.logmel(samples) for samples in batch]


class _Pretrained(FeatureBackbone):
    """Loading and layer selection, common to all models with weights."""

    def __init__(self, config: ExtractConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.checkpoint = open_checkpoint(str(config.backbone.model), config.backbone.revision)
        self.commit = self.checkpoint.commit
        self.dtype = torch_dtype(config.compute)
        self.model: Any = load_weights(AutoModel, self.checkpoint, self.dtype)

    def _use(self, module: Any, num_layers: int, width: int) -> None:
        """Keep `module`, the part of the model that runs, and of its layers those up to the deepest one taken."""
        layers, num_states = self.config.layers, num_layers + 1
        for layer in layers.take:
            if not -num_states <= layer < num_states:
                raise UserError(
                    f"layers.take: {layer} is not there, {self.config.backbone.model} has hidden states "
                    f"0 to {num_layers} (or -{num_states} to -1)"
                )
        self.taken = [layer % num_states for layer in layers.take]
        kept = _cut(module, num_layers, max(self.taken))
        self.num_states = kept + 1
        # Where the last hidden state is taken, before or after the final layer norm, differs between versions of
        # transformers; this is where version 4 took it, which the paper's features come from.
        module.config.tie_last_hidden_states = kept == num_layers and module.config.model_type != "modernbert"
        self.model = module.eval().to(self.device)
        self.dim = width * (len(layers.take) if layers.combine == "concat" else 1)

    def _states(self, **inputs: Any) -> torch.Tensor:
        """Run the model; the layers taken, combined, shape = (batch, frames, dim), float32."""
        output = self.model(**inputs, output_hidden_states=True)
        states = output.hidden_states
        if len(states) != self.num_states:
            raise ValueError(f"{self.config.backbone.model}: {len(states)} hidden states, expected {self.num_states}")
        return combine([states[layer] for layer in self.taken], self.config.layers.combine)


class SpeechBackbone(_Pretrained):
    """wav2vec 2.0 and its descendants (WavLM, HuBERT): waveform in, one frame per 20 ms.

    The checkpoint's own normalisation is applied to each clip before padding. Models whose convolutions
    end in layer norm get an attention mask and agree with single clips; in models with group norm (the
    "base" ones) padding would change the statistics of the whole clip, so those run one clip at a time.
    """

    def __init__(self, config: ExtractConfig, device: torch.device) -> None:
        super().__init__(config, device)
        model = self.model.config
        if not hasattr(model, "conv_stride"):
            raise _wrong_kind(config, model.model_type)
        self.normalise: Any = from_pretrained(AutoFeatureExtractor, self.checkpoint)
        if self.normalise.sampling_rate != SAMPLE_RATE:
            made_for = self.normalise.sampling_rate
            raise UserError(f"{config.backbone.model}: made for {made_for} Hz; take a model for {SAMPLE_RATE} Hz")
        self.one_by_one |= model.feat_extract_norm == "group"
        self.shortest = _receptive_field(model.conv_kernel, model.conv_stride)
        self.frame_rate = SAMPLE_RATE / prod(model.conv_stride) / config.time_stride
        if model.feat_extract_norm == "layer":
            convolve_by_products(self.model)
        if model.model_type == "wavlm":
            fuse_attention(self.model)
        self._use(self.model, model.num_hidden_layers, model.hidden_size)

    def _frames(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        clips = [self._prepare(samples) for samples in batch]
        if self.one_by_one:
            singly = (self._states(input_values=clip[None].to(self.device, self.dtype)) for clip in clips)
            return [states[0].cpu().numpy() for states in singly]
        lengths = torch.tensor([len(clip) for clip in clips])
        padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        states = self._states(
            input_values=padded.to(self.device, self.dtype), attention_mask=mask.to(self.device, torch.long)
        )
        frames = self.model._get_feat_extract_output_lengths(lengths)
        return [values[: int(count)].cpu().numpy() for values, count in zip(states, frames, strict=True)]

    def _prepare(self, samples: np.ndarray) -> torch.Tensor:
        """Zero padded to the convolutions' receptive field and normalised."""
        samples = np.pad(samples, (0, max(0, self.shortest - len(samples))))
        return torch.from_numpy(self.normalise(samples, sampling_rate=SAMPLE_RATE).input_values[0].astype(np.float32))


class WhisperBackbone(_Pretrained):
    """Whisper's encoder: windows of 30 s, 50 frames a second.

    Longer clips are cut into windows whose frames are put one after the other. With `trim` the frames of
    the padding are dropped; without it every window keeps its 1,500 frames, as the authors' release did.
    """

    def __init__(self, config: ExtractConfig, device: torch.device) -> None:
        super().__init__(config, device)
        model = self.model.config
        if model.model_type != "whisper":
            raise _wrong_kind(config, model.model_type)
        self.spectrogram: Any = from_pretrained(AutoFeatureExtractor, self.checkpoint)
        self.window = int(self.spectrogram.n_samples)
        require_window(str(config.backbone.model), self.window)
        self.hop = self.window // model.max_source_positions
        self.frame_rate = SAMPLE_RATE / self.hop / config.time_stride
        self._use(self.model.get_encoder(), model.encoder_layers, model.d_model)

    def _frames(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        windows = [full_windows(clip, self.window) for clip in batch]
        at_once = 1 if self.one_by_one else self.config.batch_size
        return [np.concatenate(states) for states in by_window(windows, at_once, self._encode)]

    def _encode(self, windows: list[np.ndarray]) -> list[np.ndarray]:
        inputs = self.spectrogram(windows, sampling_rate=SAMPLE_RATE, return_tensors="pt", device=str(self.device))
        states = self._states(input_features=inputs.input_features.to(self.device, self.dtype))
        counts = [-(-len(window) // self.hop) if self.config.trim else states.shape[1] for window in windows]
        return [values[:count].cpu().numpy() for values, count in zip(states, counts, strict=True)]


class TextBackbone(_Pretrained):
    """Text encoders (RoBERTa, ModernBERT, BERT): one frame per token, special tokens dropped.

    An empty transcript gives one frame of zeros. A text longer than the model can take is cut there and
    counted in `truncated`.
    """

    frame_rate = None

    def __init__(self, config: ExtractConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.tokenizer: Any = from_pretrained(AutoTokenizer, self.checkpoint)
        model = self.model.config
        if not hasattr(model, "max_position_embeddings") or not self.tokenizer.is_fast:
            raise _wrong_kind(config, model.model_type)
        highest, embedded = max(self.tokenizer.get_vocab().values()), self.model.get_input_embeddings().num_embeddings
        if highest >= embedded:
            raise UserError(
                f"model: {config.backbone.model}: its tokenizer has a token {highest}, its weights {embedded}; "
                "get a copy in which they belong together"
            )
        positions = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding = getattr(positions, "padding_idx", None)
        # RoBERTa numbers its positions from the padding id + 1 on.
        usable = model.max_position_embeddings - (0 if padding is None else padding + 1)
        self.longest = min(self.tokenizer.model_max_length, usable)
        self._use(self.model, model.num_hidden_layers, model.hidden_size)

    def _frames(self, batch: Sequence[str]) -> list[np.ndarray]:
        inputs = self.tokenizer(
            list(batch),
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        self.truncated += sum(bool(encoding.overflowing) for encoding in inputs.encodings)
        words = inputs.pop("special_tokens_mask") == 0
        states = self._states(**inputs.to(self.device)).cpu()
        zero = np.zeros((1, self.dim), np.float32)
        return [values[kept].numpy() if kept.any() else zero for values, kept in zip(states, words, strict=True)]


def combine(states: Sequence[torch.Tensor], how: Literal["sum", "concat"]) -> torch.Tensor:
    """Sum of hidden states, or the states side by side; (batch, frames, dim), float32."""
    taken = [state.float() for state in states]
    return torch.cat(taken, dim=-1) if how == "concat" else torch.stack(taken).sum(dim=0)


def pool_time(values: np.ndarray, stride: int) -> np.ndarray:
    """Average of every `stride` frames; the last window averages what is left.

    shape: (frames, dim) → (ceil(frames / stride), dim), float32.
    """
    starts = np.arange(0, len(values), stride)
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts, axis=0) / counts[:, None], dtype=np.float32)


def _cut(module: Any, num_layers: int, deepest: int) -> int:
    """Remove a model's layers above `deepest`, which nobody reads; how many are left, at least one.

    Models that run the same layer again and again (ALBERT) stay whole.
    """
    lists = [part for part in getattr(module, "encoder", module).modules() if isinstance(part, torch.nn.ModuleList)]
    layers = next((part for part in reversed(lists) if len(part) == num_layers), None)
    if layers is None:
        return num_layers
    del layers[max(1, deepest) :]  # transformers records hidden states where a layer runs
    return len(layers)


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that give exactly one frame."""
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def _wrong_kind(config: ExtractConfig, found: str) -> UserError:
    return UserError(
        f"backbone.kind: {config.backbone.kind} does not fit {config.backbone.model}, a model of type {found}"
    )
