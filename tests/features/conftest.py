"""Tiny checkpoints of the real model classes, random weights, written as ordinary model folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from benchmarks.backbones import word_tokenizer

hf: Any = transformers  # its constructors are partly untyped

WIDTH, LAYERS = 16, 3
WORDS = ["kids", "are", "talking", "by", "the", "door", "dogs", "sitting", "a", "b", "c", "d", "e", "f", "g", "h"]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny model: wavlm, hubert, wav2vec2 (group norm), whisper, roberta, modernbert or bert."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            torch.manual_seed(1)
            {**SPEECH, "whisper": whisper, **TEXT}[name](folders[name])
        return folders[name]

    return folder


def speech(config: Any, model: Any, norm: str, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        sizes = {
            "hidden_size": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 2,
            "conv_dim": [8, 8, 8],
            "conv_kernel": [10, 8, 4],
            "conv_stride": [5, 8, 8],
            "feat_extract_norm": norm,
        }
        module = model(config(**sizes, **options))
        # biases and norms start at 0 and 1, which would hide a mask that is not applied
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        module.save_pretrained(path)
        hf.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer").save_pretrained(path)

    return write


def whisper(path: Path) -> None:
    sizes = {
        "d_model": WIDTH,
        "encoder_layers": LAYERS,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "num_mel_bins": 10,
        "max_source_positions": 50,
        "vocab_size": 20,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "decoder_start_token_id": 0,
    }
    hf.WhisperForConditionalGeneration(hf.WhisperConfig(**sizes)).save_pretrained(path)
    # windows of one second instead of thirty
    hf.WhisperFeatureExtractor(feature_size=10, chunk_length=1).save_pretrained(path)


def text(config: Any, model: Any, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        sizes = {
            "hidden_size": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": len(WORDS) + 4,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        }
        model(config(**sizes | options)).save_pretrained(path)
        word_tokenizer(WORDS).save_pretrained(path)

    return write


SPEECH = {
    "wavlm": speech(hf.WavLMConfig, hf.WavLMModel, "layer", do_stable_layer_norm=True),
    "hubert": speech(hf.HubertConfig, hf.HubertModel, "layer", do_stable_layer_norm=True),
    "wav2vec2": speech(hf.Wav2Vec2Config, hf.Wav2Vec2Model, "group"),
}
TEXT = {
    "roberta": text(hf.RobertaConfig, hf.RobertaForMaskedLM, max_position_embeddings=22, type_vocab_size=1),
    "modernbert": text(
        hf.ModernBertConfig,
        hf.ModernBertModel,
        max_position_embeddings=20,
        local_attention=4,
        global_attn_every_n_layers=2,
        cls_token_id=0,
        sep_token_id=2,
    ),
    "bert": text(hf.BertConfig, hf.BertModel, max_position_embeddings=20),
}
