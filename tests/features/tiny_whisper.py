"""A tiny Whisper with random weights and windows of one second that writes one word a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

hf: Any = transformers  # its constructors are partly untyped

WORDS = ['kids "a", b', "@are", "NA", "=1+1", "the", "door", "dogs", "sitting", "c", "d", "-e", "f", "g", "+h"]
END, START, NO_TIMESTAMPS = len(WORDS), len(WORDS) + 1, len(WORDS) + 2
GENERATION = {
    "bos_token_id": END,
    "eos_token_id": END,
    "pad_token_id": END,
    "decoder_start_token_id": START,
    "no_timestamps_token_id": NO_TIMESTAMPS,
    "is_multilingual": False,
}
SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}


def write_whisper(path: Path) -> None:
    """English only; weights so large that every clip has its own text, some of them ending early."""
    torch.manual_seed(28)
    sizes = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in SIZES.items()}
    model = hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(
            d_model=16,
            num_mel_bins=10,
            max_source_positions=50,
            max_target_positions=24,
            vocab_size=len(WORDS) + 3,
            pad_token_id=END,
            bos_token_id=END,
            eos_token_id=END,
            decoder_start_token_id=START,
            begin_suppress_tokens=None,
            suppress_tokens=None,
            **sizes,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(18)
        model.model.decoder.layers[0].encoder_attn.out_proj.weight.mul_(2)
    model.save_pretrained(path)
    (path / "generation_config.json").write_text(json.dumps(GENERATION))
    hf.WhisperFeatureExtractor(feature_size=10, chunk_length=1).save_pretrained(path)
    vocabulary = {word: number for number, word in enumerate([*WORDS, "<end>", "<start>", "<plain>"])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(["<end>", "<start>", "<plain>"])
    hf.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<end>").save_pretrained(path)
