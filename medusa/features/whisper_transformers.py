"""Speech recognition by transformers, on any device torch knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from medusa.audio import SAMPLE_RATE
from medusa.config.schema import TranscribeConfig
from medusa.errors import UserError
from medusa.features.guards import Heard
from medusa.features.pretrained import (
    from_pretrained,
    library_versions,
    load_weights,
    open_checkpoint,
    quiet,
    require_window,
    torch_dtype,
    weights_checksum,
)
from medusa.features.recognizer import Recognizer, require_fit

_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
"""The same token; tokenizers before large-v3 have the second name."""


class TransformersRecognizer(Recognizer):
    """Whisper as `WhisperForConditionalGeneration`.

    Raises:
        UserError: the model cannot be loaded, or does not fit `asr.language`, `asr.max_new_tokens` or `asr.guards`.
    """

    def __init__(self, config: TranscribeConfig, device: torch.device) -> None:
        super().__init__(config)
        checkpoint = open_checkpoint(config.asr.model, config.asr.revision)
        model_type = from_pretrained(AutoConfig, checkpoint).model_type
        if model_type != "whisper":
            raise UserError(f"asr.model: {config.asr.model} is a model of type {model_type}, not whisper")
        self.device, self.dtype = device, torch_dtype(config.compute)
        self.model: Any = load_weights(WhisperForConditionalGeneration, checkpoint, self.dtype).eval().to(device)
        self.spectrogram: Any = from_pretrained(AutoFeatureExtractor, checkpoint)
        self.tokenizer: Any = from_pretrained(AutoTokenizer, checkpoint)
        self.options = _decoding_options(config, self.model)
        self.no_speech = None if config.asr.guards.no_speech is None else self._no_speech_token()
        self.window = int(self.spectrogram.n_samples)
        require_window(config.asr.model, self.window)
        self.commit, self.weights_sha256 = checkpoint.commit, weights_checksum(config.asr.model)
        self.libraries = library_versions()

    def _hear(self, windows: list[np.ndarray]) -> list[Heard]:
        inputs = self.spectrogram(windows, sampling_rate=SAMPLE_RATE, return_tensors="pt", device=str(self.device))
        features = inputs.input_features.to(self.device, self.dtype)
        with torch.inference_mode(), quiet():
            encoded = self.model.get_encoder()(features).last_hidden_state
            tokens = self.model.generate(encoder_outputs=BaseModelOutput(encoded), **self.options).sequences
            texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            if self.no_speech is None:
                return [Heard(text) for text in texts]
            no_speech, log_probabilities = self._measure(encoded, tokens)
        return [Heard(*measured) for measured in zip(texts, no_speech, log_probabilities, strict=True)]

    def _measure(self, encoded: torch.Tensor, tokens: torch.Tensor) -> tuple[list[float], list[float]]:
        """Per window, what `Heard` says, from one pass over the finished tokens: prompt, text, end and padding."""
        output = self.model(encoder_outputs=BaseModelOutput(encoded), decoder_input_ids=tokens[:, :-1])
        logits = output.logits.float()
        no_speech = logits[:, 0].softmax(dim=-1)[:, self.no_speech]
        generation = self.model.generation_config
        first = tokens[0].tolist().index(generation.no_timestamps_token_id) + 1
        text = tokens[:, first:]
        # Tokens that decoding may not choose have no share in the probabilities.
        logits[:, :, generation.suppress_tokens or []] = -torch.inf
        logits[:, first - 1, generation.begin_suppress_tokens or []] = -torch.inf
        chosen = logits[:, first - 1 :].log_softmax(dim=-1).gather(-1, text[..., None])[..., 0]
        ends = text == generation.eos_token_id
        counted = ends.cumsum(dim=1) - ends.long() == 0  # up to the first end token, which counts
        means = (chosen * counted).sum(dim=1) / counted.sum(dim=1)
        return no_speech.tolist(), means.tolist()

    def _no_speech_token(self) -> int:
        vocabulary = self.tokenizer.get_vocab()
        for name in _NO_SPEECH:
            if name in vocabulary:
                return int(vocabulary[name])
        raise UserError(f"asr.guards.no_speech: {self.config.asr.model} has no token {_NO_SPEECH[0]}; set it to null")


def _decoding_options(config: TranscribeConfig, model: Any) -> dict[str, Any]:
    """What `generate` is told; all else stands in the checkpoint's generation_config.json."""
    asr, generation = config.asr, model.generation_config
    languages = generation.lang_to_id if getattr(generation, "is_multilingual", False) else {}
    require_fit(config, [name.strip("<|>") for name in languages], model.config.max_target_positions)
    options = {
        "max_new_tokens": asr.max_new_tokens,
        "num_beams": asr.beam_size,
        "do_sample": False,
        "return_timestamps": False,
        "return_dict_in_generate": True,
        # Else a model whose token ids are wrong is asked again and again for the rest of its window, without end.
        "force_unique_generate_call": True,
    }
    return options | ({"language": asr.language, "task": "transcribe"} if languages else {})
