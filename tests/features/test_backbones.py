"""Features of tiny models of the real classes, against the models called by hand, one clip at a time."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.backbones import WORDS, write_backbone
from medusa.config.schema import ExtractConfig
from medusa.errors import UserError
from medusa.features.backbones import FeatureBackbone, load_backbone, pool_time
from medusa.features.convolution import convolve_by_products
from medusa.features.wavlm import fuse_attention
from tests.features.conftest import text

hf: Any = transformers  # partly untyped

WIDTH, LAYERS = 16, 3
KINDS = {
    "wavlm": "speech",
    "hubert": "speech",
    "wav2vec2": "speech",
    "whisper": "whisper",
    "roberta": "text",
    "modernbert": "text",
    "bert": "text",
}
SPEECH = [name for name, kind in KINDS.items() if kind == "speech"]
TEXT = [name for name, kind in KINDS.items() if kind == "text"]

Checkpoint = Callable[[str], Path]
Clips = list[np.ndarray | str]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """One layer of the true model's width."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = write_backbone(tmp_path_factory.mktemp(name), name, layers=1)
        return folders[name]

    return folder


def load(folder: Path, kind: str, **options: Any) -> FeatureBackbone:
    config = {"name": "tiny", "backbone": {"kind": kind, "model": str(folder)}, **options}
    return load_backbone(ExtractConfig.model_validate(config), torch.device("cpu"))


def clips(kind: str) -> Clips:
    if kind == "text":
        return ["kids are talking by the door", "dogs", "", "a b c d e f g h", "the door"]
    draws = np.random.default_rng(0)
    return [
        draws.normal(0.1, scale, samples).astype(np.float32)
        for samples, scale in ((9_000, 0.1), (700, 0.5), (4_321, 0.01), (15_999, 0.2), (5, 0.1), (1, 0.3))
    ]


@pytest.mark.parametrize("name", KINDS)
def test_a_clip_does_not_depend_on_its_batch(checkpoint: Checkpoint, name: str) -> None:
    """Batches as on a GPU; wav2vec2's group norm would see the padding, so that it never has any."""
    layers = {"take": [0, 1, 2, 3], "combine": "concat"}
    backbone = load(checkpoint(name), KINDS[name], layers=layers, batch_size=4)
    backbone.one_by_one = name == "wav2vec2"
    batch = clips(KINDS[name])
    together = backbone.features(batch)
    turned = backbone.features(batch[::-1])[::-1]
    for clip, values, other in zip(batch, together, turned, strict=True):
        alone = backbone.features([clip])[0]
        assert values.dtype == np.float32
        assert values.shape == alone.shape
        assert values.shape[1] == backbone.dim == 4 * WIDTH
        np.testing.assert_allclose(values, alone, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(other, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "float32"])
@pytest.mark.parametrize("name", [*SPEECH, "whisper"])
def test_on_a_cpu_a_recording_has_the_same_bits_in_every_batch(
    checkpoint: Checkpoint, name: str, precision: str
) -> None:
    options: dict[str, Any] = {"layers": {"take": [-1]}, "compute": {"precision": precision}}
    one, four = (load(checkpoint(name), KINDS[name], batch_size=size, **options) for size in (1, 4))
    batch = clips(KINDS[name])
    alone = [one.features([clip])[0] for clip in batch]
    for together in (four.features(batch), four.features(batch[::-1])[::-1]):
        assert all(map(np.array_equal, together, alone))


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 1e-2), ("float32", 1e-5)])
@pytest.mark.parametrize("name", ["roberta", "modernbert"])
def test_at_its_true_width_a_text_is_the_same_in_every_batch_to_rounding(
    wide: Checkpoint, name: str, precision: str, tolerance: float
) -> None:
    """Where products are wide enough that their size decides the order of adding; texts as long as MSP-Podcast's."""
    backbone = load(wide(name), "text", layers={"take": [-1]}, compute={"precision": precision}, batch_size=32)
    draws = np.random.default_rng(0)
    texts = [" ".join(draws.choice(WORDS, words)) for words in draws.integers(3, 46, 32)]
    together = backbone.features(texts)
    alone = [backbone.features([text])[0] for text in texts]
    largest = max(np.abs(values).max() for values in alone)
    for values, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("conv_bias", [False, True])
def test_convolutions_by_products_are_the_models_own(conv_bias: bool) -> None:
    """Kernels that overlap, as all of WavLM's but the last two, and one that does not; the least clip there is."""
    sizes: dict[str, Any] = {"conv_dim": [4, 6, 8], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2]}
    sizes |= {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    torch.manual_seed(0)
    own, changed = (
        hf.HubertModel(
            hf.HubertConfig(feat_extract_norm="layer", conv_bias=conv_bias, num_conv_pos_embedding_groups=2, **sizes)
        ).eval()
        for _ in range(2)
    )
    with torch.no_grad():
        for parameter in own.parameters():  # norms and biases start at 1 and 0
            parameter.add_(0.1 * torch.randn_like(parameter))
    changed.load_state_dict(own.state_dict())
    convolve_by_products(changed)
    for samples in (30, 1_000, 1_003):
        clips = torch.randn(2, samples)
        with torch.no_grad():
            expected, found = own.feature_extractor(clips), changed.feature_extractor(clips)
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_wavlms_fused_attention_is_its_own(checkpoint: Checkpoint) -> None:
    """Attention alone, with padding; whole models are compared below."""
    model, fused = (hf.AutoModel.from_pretrained(checkpoint("wavlm")).eval() for _ in range(2))
    fuse_attention(fused)
    torch.manual_seed(0)
    states, mask = torch.randn(3, 20, WIDTH), torch.arange(20) < torch.tensor([[20], [11], [1]])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        expected, found = (
            made.encoder.layers[0].attention(states, attention_mask=mask.long())[0] for made in (model, fused)
        )
    assert (expected[1] - expected[0]).abs().max() > 0.01
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SPEECH)
def test_speech_states_are_the_models_own(checkpoint: Checkpoint, name: str) -> None:
    backbone = load(checkpoint(name), "speech", layers={"take": [-4, -3, -2, -1]})
    samples = np.asarray(clips("speech")[0])
    model = hf.AutoModel.from_pretrained(checkpoint(name)).eval()
    normalised = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    with torch.no_grad():
        output = model(torch.from_numpy(normalised[None]), output_hidden_states=True)
    states = [*output.hidden_states[:-1], output.last_hidden_state]
    assert len(states) == LAYERS + 1
    np.testing.assert_allclose(backbone.features([samples])[0], sum(states)[0].numpy(), atol=1e-4)
    assert backbone.frame_rate == 16_000 / (5 * 8 * 8)


@pytest.mark.parametrize("name", SPEECH)
def test_one_frame_is_the_least(checkpoint: Checkpoint, name: str) -> None:
    backbone = load(checkpoint(name), "speech", layers={"take": [1]})
    # kernels 10, 8, 4 with strides 5, 8, 8 see 10 + 5 * (7 + 8 * 3) = 165 samples
    frames = {n: len(backbone.features([np.ones(n, np.float32) * 0.1])[0]) for n in (1, 164, 165, 484, 485)}
    assert frames == {1: 1, 164: 1, 165: 1, 484: 1, 485: 2}


def test_loudness_is_normalised_by_the_checkpoint_and_padding_comes_after(checkpoint: Checkpoint) -> None:
    backbone = load(checkpoint("wavlm"), "speech", layers={"take": [-1]})
    quiet = np.asarray(clips("speech")[0])
    loud, longer = 4 * quiet + 0.3, np.asarray(clips("speech")[3])
    values = backbone.features([quiet, loud, longer])
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("name", ["wavlm", "hubert"])
def test_a_clip_is_prepared_as_the_checkpoints_own_extractor_does(
    checkpoint: Checkpoint, tmp_path: Path, name: str, normalise: bool
) -> None:
    folder = copy_without(checkpoint(name), tmp_path)
    extractor = hf.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=True)
    extractor.save_pretrained(folder)
    backbone = load(folder, "speech", layers={"take": [-1]})
    model = hf.AutoModel.from_pretrained(folder).eval()
    batch = [np.asarray(clip) for clip in clips("speech")[:4]]
    for samples, values in zip(batch, backbone.features(batch), strict=True):
        inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            expected = model(inputs.input_values).last_hidden_state[0].numpy()
        np.testing.assert_allclose(values, expected, atol=1e-4)


@pytest.mark.parametrize("name", [*SPEECH, "whisper", "logmel"])
def test_silence_has_finite_features_beside_speech(checkpoint: Checkpoint, name: str) -> None:
    silent, spoken = np.zeros(8_000, np.float32), np.asarray(clips("speech")[0])
    if name == "logmel":
        config = ExtractConfig.model_validate({"name": "tiny", "backbone": {"kind": "logmel"}})
        backbone = load_backbone(config, torch.device("cpu"))
    else:
        backbone = load(checkpoint(name), KINDS[name], layers={"take": [0, -1], "combine": "concat"})
    values = backbone.features([silent, spoken])
    assert len(values[0]) == 25
    assert all(np.isfinite(value).all() for value in values)


def test_whisper_trims_the_frames_of_padding(checkpoint: Checkpoint) -> None:
    trimmed = load(checkpoint("whisper"), "whisper", layers={"take": [-1]})
    whole = load(checkpoint("whisper"), "whisper", layers={"take": [-1]}, trim=False)
    samples = np.asarray(clips("whisper")[2])
    (short,), (full,) = trimmed.features([samples]), whole.features([samples])
    assert short.shape == (-(-4_321 // 320), WIDTH)
    assert full.shape == (50, WIDTH)
    np.testing.assert_array_equal(short, full[: len(short)])
    assert trimmed.frame_rate == 50


def test_whisper_takes_the_encoders_output_as_the_last_state(checkpoint: Checkpoint) -> None:
    backbone = load(checkpoint("whisper"), "whisper", layers={"take": [-1]}, trim=False)
    samples = np.asarray(clips("whisper")[0])
    model = hf.WhisperForConditionalGeneration.from_pretrained(checkpoint("whisper")).eval()
    spectrogram = hf.AutoFeatureExtractor.from_pretrained(checkpoint("whisper"))
    inputs = spectrogram(samples, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        expected = model.model.encoder(inputs).last_hidden_state[0].numpy()
    np.testing.assert_allclose(backbone.features([samples])[0], expected, atol=1e-5)


def test_whisper_reads_long_clips_in_windows(checkpoint: Checkpoint) -> None:
    backbone = load(checkpoint("whisper"), "whisper", layers={"take": [-1]}, batch_size=2)
    samples = np.random.default_rng(1).normal(0, 0.1, 40_000).astype(np.float32)
    windows = [samples[:16_000], samples[16_000:32_000], samples[32_000:]]
    long, first = backbone.features([samples, windows[0]])
    np.testing.assert_allclose(long, np.concatenate(backbone.features(windows)), atol=1e-5)
    assert len(long) == 125
    np.testing.assert_allclose(first, long[:50], atol=1e-5)


@pytest.mark.parametrize("name", TEXT)
def test_text_has_one_frame_a_word_and_drops_special_tokens(checkpoint: Checkpoint, name: str) -> None:
    backbone = load(checkpoint(name), "text", layers={"take": [2, 3], "combine": "concat"})
    values = backbone.features(clips("text"))
    assert [len(value) for value in values] == [6, 1, 1, 8, 2]
    assert backbone.frame_rate is None
    model = hf.AutoModel.from_pretrained(checkpoint(name)).eval()
    tokens = torch.tensor([[0, 8, 9, 2]])  # <s> the door </s>
    states = []
    for layer in (model.layers if name == "modernbert" else model.encoder.layer)[1:]:
        layer.register_forward_hook(lambda module, inputs, output: states.append(output))
    with torch.no_grad():
        model(tokens)
    np.testing.assert_allclose(values[4], torch.cat(states, dim=-1)[0, 1:-1].numpy(), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_layers_above_the_deepest_one_taken_are_not_run_and_change_nothing(checkpoint: Checkpoint, name: str) -> None:
    """A state in the middle is the same when the model goes on above it: before the norm that ends the model."""
    batch = clips(KINDS[name])[:3]
    whole = load(checkpoint(name), KINDS[name], layers={"take": [0, 1, 2, 3], "combine": "concat"}).features(batch)
    for layer in (0, 1, 2, -1, -2, -3):
        cut: Any = load(checkpoint(name), KINDS[name], layers={"take": [layer]})
        state = layer % (LAYERS + 1)
        assert sum(isinstance(part, type(layers_of(cut)[0])) for part in cut.model.modules()) == max(1, state)
        for values, every in zip(cut.features(batch), whole, strict=True):
            np.testing.assert_array_equal(values, every[:, state * WIDTH : (state + 1) * WIDTH])


def layers_of(backbone: Any) -> Any:
    """The list of layers, by the names that the model classes give it."""
    stack = getattr(backbone.model, "encoder", backbone.model)
    return stack.layer if hasattr(stack, "layer") else stack.layers


@pytest.mark.parametrize("name", TEXT)
def test_an_empty_transcript_is_one_zero_frame(checkpoint: Checkpoint, name: str) -> None:
    backbone = load(checkpoint(name), "text", layers={"take": [-1]})
    for batch in ([""], ["", "dogs are sitting"]):
        assert np.array_equal(backbone.features(batch)[0], np.zeros((1, WIDTH)))


@pytest.mark.parametrize("name", TEXT)
def test_long_text_is_cut_at_the_models_maximum_and_counted(checkpoint: Checkpoint, name: str) -> None:
    backbone = load(checkpoint(name), "text", layers={"take": [-1]})
    fits, long = " ".join(["dogs"] * 18), " ".join(["dogs"] * 19)
    values = backbone.features([fits, long, "dogs", long])
    assert [len(value) for value in values] == [18, 18, 1, 18]
    assert backbone.truncated == 2
    np.testing.assert_allclose(values[1], values[0], atol=1e-5)


def test_logmel_needs_no_weights() -> None:
    config = {"name": "logmel", "backbone": {"kind": "logmel"}, "time_stride": 4}
    backbone = load_backbone(ExtractConfig.model_validate(config), torch.device("cpu"))
    values = backbone.features([np.zeros(16_000, np.float32), np.ones(8_000, np.float32)])
    assert [value.shape for value in values] == [(13, backbone.dim), (7, backbone.dim)]
    assert backbone.frame_rate == 12.5


@pytest.mark.parametrize("name", ["wavlm", "whisper", "roberta"])
def test_bf16_stays_near_float32(checkpoint: Checkpoint, name: str) -> None:
    exact, rough = (
        load(checkpoint(name), KINDS[name], layers={"take": [-1]}, compute={"precision": precision})
        for precision in ("float32", "bf16")
    )
    batch = clips(KINDS[name])[:2]
    for a, b in zip(exact.features(batch), rough.features(batch), strict=True):
        assert b.dtype == np.float32
        assert np.abs(a - b).max() > 0
        assert np.abs(a - b).mean() < 0.02 * np.abs(a).max()


@given(
    frames=st.integers(1, 30),
    stride=st.integers(1, 9),
)
def test_pooling_averages_each_window(frames: int, stride: int) -> None:
    values = np.random.default_rng(frames).standard_normal((frames, 3)).astype(np.float32)
    slow = [values[start : start + stride].astype(np.float64).mean(axis=0) for start in range(0, frames, stride)]
    pooled = pool_time(values, stride)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, slow, atol=1e-6)


def test_the_stride_pools_after_combining(checkpoint: Checkpoint) -> None:
    options: dict[str, Any] = {"layers": {"take": [1, 2], "combine": "concat"}}
    every = load(checkpoint("wavlm"), "speech", **options)
    fourth = load(checkpoint("wavlm"), "speech", **options, time_stride=4)
    batch = clips("speech")
    for a, b in zip(every.features(batch), fourth.features(batch), strict=True):
        np.testing.assert_allclose(b, pool_time(a, 4), atol=1e-6)
    assert (every.frame_rate, fourth.frame_rate) == (50, 12.5)


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_named(checkpoint: Checkpoint, layer: int) -> None:
    with pytest.raises(UserError, match=rf"layers\.take: {layer} .*0 to 3"):
        load(checkpoint("wavlm"), "speech", layers={"take": [1, layer]})


@pytest.mark.parametrize(("name", "kind"), [("roberta", "speech"), ("wavlm", "whisper"), ("whisper", "text")])
def test_a_model_of_another_kind_is_refused(checkpoint: Checkpoint, name: str, kind: str) -> None:
    with pytest.raises(UserError, match=rf"backbone\.kind: {kind} does not fit"):
        load(checkpoint(name), kind, layers={"take": [1]})


def test_a_model_for_another_sampling_rate_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_without(checkpoint("wavlm"), tmp_path)
    hf.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(UserError, match=rf"{folder}: made for 8000 Hz; take a model for 16000 Hz"):
        load(folder, "speech", layers={"take": [1]})


def test_a_model_that_runs_one_layer_again_and_again_stays_whole(tmp_path: Path) -> None:
    sizes = {"embedding_size": 8, "max_position_embeddings": 20}
    torch.manual_seed(1)
    text(hf.AlbertConfig, hf.AlbertModel, **sizes)(tmp_path)
    values = load(tmp_path, "text", layers={"take": [1, 3], "combine": "concat"}).features(["the door"])
    model = hf.AlbertModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        states = model(torch.tensor([[0, 8, 9, 2]]), output_hidden_states=True).hidden_states  # <s> the door </s>
    np.testing.assert_allclose(values[0], torch.cat([states[1], states[3]], dim=-1)[0, 1:-1].numpy(), atol=1e-5)


def test_a_folder_that_is_not_there_is_no_hub_id(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder .*nowhere.*demo-weights"):
        load(tmp_path / "nowhere", "speech")


def copy_without(checkpoint: Path, target: Path, *names: str) -> Path:
    for file in checkpoint.iterdir():
        if file.name not in names:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_only_safetensors_weights_are_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_without(checkpoint("bert"), tmp_path, "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load(folder, "text")


def test_damaged_weights_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_without(checkpoint("bert"), tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be loaded"):
        load(folder, "text")


def test_weights_that_are_not_in_the_checkpoint_are_not_made_up(checkpoint: Checkpoint, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_without(checkpoint("bert"), tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in tensors.items() if "layer.2.output.dense" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(UserError, match=r"does not hold all weights.*layer\.2\.output\.dense\.bias"):
        load(folder, "text")


@pytest.mark.parametrize(("name", "prefix"), [("wavlm", ""), ("hubert", "hubert.")])
def test_names_of_older_checkpoints_are_understood(
    checkpoint: Checkpoint, tmp_path: Path, name: str, prefix: str
) -> None:
    """As on the hub: weight norm as weight_g and weight_v, HuBERT below the head it was fine-tuned with."""
    from safetensors.torch import load_file, save_file

    folder = copy_without(checkpoint(name), tmp_path)
    parametrised = "parametrizations.weight.original"
    tensors = {
        prefix + key.replace(f"{parametrised}0", "weight_g").replace(f"{parametrised}1", "weight_v"): value
        for key, value in load_file(folder / "model.safetensors").items()
    }
    assert sum(key.endswith(("weight_g", "weight_v")) for key in tensors) == 2
    head = {"lm_head.weight": torch.ones(4, WIDTH), "lm_head.bias": torch.ones(4)} if prefix else {}
    save_file(tensors | head, folder / "model.safetensors", {"format": "pt"})
    samples = clips("speech")[0]
    layers = {"take": [0, -1], "combine": "concat"}
    expected = load(checkpoint(name), "speech", layers=layers).features([samples])[0]
    np.testing.assert_array_equal(load(folder, "speech", layers=layers).features([samples])[0], expected)
