"""The paper's five pretrained models at their true widths with random weights, as model folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

hf: Any = transformers  # partly untyped
KINDS = {"wavlm": "speech", "hubert": "speech", "whisper": "whisper", "roberta": "text", "modernbert": "text"}
DEPTHS = {"wavlm": 24, "hubert": 24, "whisper": 32, "roberta": 24, "modernbert": 28}
WORDS = [f"w{number}" for number in range(996)]
_SPEECH = {
    "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, "feat_extract_norm": "layer",
    "do_stable_layer_norm": True, "conv_bias": True,
}  # fmt: skip
_WHISPER = {
    "d_model": 1280, "decoder_layers": 1, "encoder_attention_heads": 20, "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120, "num_mel_bins": 128, "vocab_size": 1000, "pad_token_id": 0,
    "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
_TEXT = {
    "vocab_size": 1000, "hidden_size": 1024, "num_attention_heads": 16, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip


def write_backbone(folder: Path, name: str, layers: int | None = None) -> Path:
    """One of `KINDS` with random weights and as many layers as asked for (default: all), ready for `load_backbone`.

    Vocabularies are cut to 1,000 words: an embedding takes no time.
    """
    depth = layers or DEPTHS[name]
    torch.manual_seed(0)
    built = {
        "wavlm": lambda: hf.WavLMModel(hf.WavLMConfig(num_hidden_layers=depth, **_SPEECH)),
        "hubert": lambda: hf.HubertModel(hf.HubertConfig(num_hidden_layers=depth, **_SPEECH)),
        "whisper": lambda: hf.WhisperModel(hf.WhisperConfig(encoder_layers=depth, **_WHISPER)),
        "roberta": lambda: hf.RobertaModel(
            hf.RobertaConfig(num_hidden_layers=depth, intermediate_size=4096, max_position_embeddings=514, **_TEXT)
        ),
        "modernbert": lambda: hf.ModernBertModel(
            hf.ModernBertConfig(
                num_hidden_layers=depth, intermediate_size=2624, max_position_embeddings=8192, cls_token_id=0,
                sep_token_id=2, **_TEXT,
            )
        ),
    }[name]()  # fmt: skip
    built.save_pretrained(folder)
    if KINDS[name] == "text":
        word_tokenizer(WORDS).save_pretrained(folder)
    elif KINDS[name] == "whisper":
        hf.WhisperFeatureExtractor(feature_size=128).save_pretrained(folder)
    else:
        hf.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


def word_tokenizer(words: Sequence[str]) -> Any:
    """One token a word; <s> … </s> around the text."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    splitter = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    splitter.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    splitter.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=splitter, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
