"""What a pipeline will cost: operations against torch's own counter and numbers worked out by hand, and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers.modeling_outputs import BaseModelOutput

from benchmarks.backbones import _SPEECH, _TEXT, _WHISPER
from medusa.__main__ import main
from medusa.config.schema import DeepSERConfig, ExtractConfig, Model, TranscribeConfig
from medusa.errors import UserError
from medusa.models.deepser import DeepSER
from medusa.workflow.cost import Assumptions, Cost, counted, job_cost, longest_chain
from medusa.workflow.jobs import Job, JobConfig, read_pipeline
from medusa.workflow.operations import (
    BACKBONES,
    Sequences,
    deepser_encoders,
    deepser_forward,
    deepser_parameters,
    deepser_training,
    encoder_forward,
    layers_forward,
    speech_forward,
    whisper_decoding,
    whisper_forward,
)

ROOT = Path(__file__).parents[2]
hf: Any = transformers  # its constructors are partly untyped


def operations(run: Callable[[], object]) -> int:
    """By torch's counter."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


# --- DeepSER ----------------------------------------------------------------------------------------


def test_an_encoder_by_hand() -> None:
    model = Model(hidden_dim=4, feedforward_dim=8, num_layers=1)
    w1, w2 = 2 * 3 * 5 * 4, 2 * 3 * 4 * 4
    attention = 4 * 2 * 3 * 4 * 4 + 2 * 2 * 3 * 3 * 4  # four projections; queries by keys, shares by values
    feedforward = 2 * 2 * 3 * 4 * 8
    assert encoder_forward(model, Sequences(3, 5)) == w1 + w2 + attention + feedforward == 1128


def test_level_k_reads_k_times_the_frames_of_all_modalities() -> None:
    own = [Sequences(100, 7), Sequences(20, 9)]
    model = Model(hidden_dim=4, num_layers=3)
    assert deepser_encoders(model, own) == [*own, Sequences(120, 4), Sequences(240, 4), Sequences(360, 4)]
    assert deepser_encoders(model.model_copy(update={"fusion": "late"}), own) == own


@pytest.mark.parametrize("fusion", ["deep", "late"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("own", [[Sequences(9, 6)], [Sequences(9, 6), Sequences(4, 10), Sequences(1, 3)]])
def test_the_network_does_as_many_operations_as_torch_counts(own: list[Sequences], layers: int, fusion: Any) -> None:
    settings = Model(hidden_dim=8, feedforward_dim=12, num_layers=layers, num_heads=2, dropout=0.1, fusion=fusion)
    model = DeepSER([one.width for one in own], 8, layers, 2, 12, 0.1, fusion)
    batch = 3
    features = [torch.randn(batch * int(one.frames), one.width) for one in own]
    lengths = [torch.full((batch,), int(one.frames)) for one in own]

    def train() -> None:
        prediction = model(features, lengths)
        torch.autograd.backward(prediction.logits.sum() + prediction.attributes.sum())

    with torch.no_grad():
        forward = operations(lambda: model(features, lengths))
    assert forward == batch * deepser_forward(settings, own)
    assert operations(train) == batch * deepser_training(settings, own)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == deepser_parameters(settings, [one.width for one in own])


# --- pretrained models ------------------------------------------------------------------------------


@torch.no_grad()
def on_meta(build: Callable[[], Any], run: Callable[[Any], object]) -> int:
    """Operations of a model of true size that takes no memory."""
    with torch.device("meta"):
        model = build().eval()
        return operations(lambda: run(model))


def tokens(count: int) -> torch.Tensor:
    return torch.ones(1, count, dtype=torch.long)


EAGER = {"attn_implementation": "eager"}
WHISPER = hf.WhisperConfig(
    **{**_WHISPER, "encoder_layers": 32, "decoder_layers": 32, "vocab_size": 51_866}, **EAGER
)  # fmt: skip


@pytest.mark.parametrize(
    ("build", "run", "ours"),
    [
        pytest.param(
            lambda: hf.WavLMModel(hf.WavLMConfig(num_hidden_layers=24, **_SPEECH, **EAGER)),
            lambda model: model(torch.zeros(1, 89_600)),
            speech_forward(BACKBONES["wavlm-large"], 5.6, 50), id="wavlm",
        ),
        pytest.param(
            lambda: hf.HubertModel(hf.HubertConfig(num_hidden_layers=24, **_SPEECH, **EAGER)),
            lambda model: model(torch.zeros(1, 89_600)),
            speech_forward(BACKBONES["hubert-large-ls960-ft"], 5.6, 50), id="hubert",
        ),
        pytest.param(
            lambda: hf.WhisperForConditionalGeneration(WHISPER).get_encoder(),
            lambda model: model(torch.zeros(1, 128, 3_000)),
            whisper_forward(BACKBONES["whisper-large-v3"], 5.6, 50), id="whisper's encoder",
        ),
        pytest.param(
            lambda: hf.WhisperForConditionalGeneration(WHISPER),
            lambda model: model(
                encoder_outputs=BaseModelOutput(torch.zeros(1, 1_500, 1_280)), decoder_input_ids=tokens(20)
            ),
            whisper_decoding(BACKBONES["whisper-large-v3"], 5.6, 50, 20), id="whisper's decoder",
        ),
        pytest.param(
            lambda: hf.RobertaModel(
                hf.RobertaConfig(num_hidden_layers=24, intermediate_size=4096, **_TEXT, **EAGER),
                add_pooling_layer=False,
            ),
            lambda model: model(tokens(22)),
            layers_forward(BACKBONES["roberta-large"], 22), id="roberta",
        ),
        pytest.param(
            lambda: hf.ModernBertModel(
                hf.ModernBertConfig(
                    num_hidden_layers=28, intermediate_size=2624, cls_token_id=0, sep_token_id=2, **_TEXT, **EAGER
                )
            ),
            lambda model: model(tokens(22)),
            layers_forward(BACKBONES["ModernBERT-large"], 22), id="modernbert",
        ),
    ],
)  # fmt: skip
def test_pretrained_models_do_as_many_operations_as_torch_counts(
    build: Callable[[], Any], run: Callable[[Any], object], ours: float
) -> None:
    # what is left out: convolutions that give positions, Whisper's two below the first layer
    assert ours == pytest.approx(on_meta(build, run), rel=0.03)


def test_every_backbone_of_the_papers_configs_is_known() -> None:
    for file in (ROOT / "configs/features").glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        assert any(f"/{name}\n" in text for name in BACKBONES), file


# --- jobs -------------------------------------------------------------------------------------------

TEN = Assumptions(
    clips=10, train=0.8, selection=0.1, smallest_class=0.05, seconds=2.0, text_tokens=6.0, emotions=4, attributes=3,
    gpu_tflops=1e-3, gpu_tflops_bf16=2e-3,
)  # fmt: skip


def job(config: JobConfig | None, needs: list[Job] | None = None, name: str = "members/x") -> Job:
    return Job(name, "x", [], needs or [], [], config)


def features(name: str, kind: str, model: str, **settings: Any) -> Job:
    values = {"name": name, "backbone": {"kind": kind, "model": model}, **settings}
    return job(ExtractConfig.model_validate(values), name=f"features/{name}")


SPEECH, TEXT = features("s", "speech", "microsoft/wavlm-large"), features("t", "text", "models/all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("store", "bytes_"),
    [
        (SPEECH, 10 * (2 * 50) * 1024 * 2),
        (features("s", "speech", "x/wavlm-large", time_stride=2), 10 * 50 * 1024 * 2),
        (features("s", "speech", "x/wavlm-large", layers={"combine": "concat"}), 10 * 100 * 4096 * 2),
        (features("w", "whisper", "openai/whisper-large-v3"), 10 * 100 * 1280 * 2),
        (features("w", "whisper", "openai/whisper-large-v3", trim=False), 10 * 1500 * 1280 * 2),
        (TEXT, 10 * 6 * 384 * 2),
    ],
)
def test_a_store_holds_two_bytes_a_value(store: Job, bytes_: int) -> None:
    assert job_cost(store, TEN).disk == bytes_


def test_features_take_their_operations_at_the_rate_of_their_precision() -> None:
    done = 10 * layers_forward(BACKBONES["all-MiniLM-L6-v2"], 6 + 2)
    assert job_cost(TEXT, TEN)[:2] == pytest.approx((done, done / 1e9 / 3600))
    halved = features("t", "text", "models/all-MiniLM-L6-v2", compute={"precision": "bf16"})
    assert job_cost(halved, TEN).gpu_hours == pytest.approx(done / 2e9 / 3600)


def test_transcripts_wait_for_one_token_after_the_other() -> None:
    asr = {"name": "a", "asr": {"model": "models/whisper-tiny.en"}, "batch_size": 5}
    fast = TEN._replace(gpu_tflops=1e9)
    # 10 / 5 batches of 2 x 6 steps each, 30 a second
    assert job_cost(job(TranscribeConfig.model_validate(asr)), fast).gpu_hours == pytest.approx(2 * 12 / 30 / 3600)


def member(**changes: Any) -> Job:
    values: dict[str, Any] = {"features": ["s", "t"], "model": {"hidden_dim": 16}} | changes
    return job(DeepSERConfig.model_validate(values), [SPEECH, TEXT])


OWN = [Sequences(100, 1024), Sequences(6, 384)]


@pytest.mark.parametrize(
    ("changes", "visited", "evaluated"),
    [
        # 4 epochs of 8 clips, 46 of (4 + 1) x 0.4; every epoch scored on 1; all 10 predicted
        ({}, 4 * 8 + 46 * 2, 50 * 1 + 10),
        ({"training": {"max_epochs": 6, "stage1_epochs": 5}}, 5 * 8 + 2, 6 + 10),
        ({"training": {"max_epochs": 6, "stage2": False}}, 6 * 8, 6 + 10),
        # of 8 a fold leaves 6, an eighth of which are selected on; what it was not trained on is predicted
        ({"crossfit": {"folds": 4, "fold": 0}}, (4 + 46 * 5 * 0.05) * 5.25, 50 * 0.75 + 4),
    ],
)
def test_a_member_visits_and_evaluates_clips(changes: dict[str, Any], visited: float, evaluated: float) -> None:
    model, found = Model(hidden_dim=16), job_cost(member(**changes), TEN)
    step, forward = deepser_training(model, OWN, 4 + 3), deepser_forward(model, OWN, 4 + 3)
    assert found.operations == pytest.approx(visited * step + evaluated * forward)
    assert found.gpu_hours == pytest.approx(found.operations / 1e9 / 3600)
    rows = 10 * (80 + 12 * 7)
    assert found.disk == 2 * 3 * 4 * deepser_parameters(model, [1024, 384]) + rows


def test_epochs_can_be_fewer_but_not_more_than_a_config_allows() -> None:
    half = TEN._replace(epochs=25)
    assert job_cost(member(), half).operations < job_cost(member(), TEN).operations
    assert job_cost(member(training={"max_epochs": 20}), half) == job_cost(member(training={"max_epochs": 20}), TEN)


def test_a_job_without_a_gpu_takes_no_gpu_hours() -> None:
    on_cpu = job_cost(member(compute={"device": "cpu"}), TEN)
    assert on_cpu.gpu_hours == 0
    assert on_cpu.operations == job_cost(member(), TEN).operations
    assert job_cost(job(None), TEN) == Cost(0, 0, 0)


def test_a_model_of_unknown_size_is_named() -> None:
    with pytest.raises(
        UserError, match=r"^x/new-model: what this model costs is not known; add .* \(known: wavlm-large"
    ):
        job_cost(features("s", "speech", "x/new-model"), TEN)


def test_the_longest_chain_is_what_must_be_waited_for() -> None:
    a, b = job(None, name="a"), job(None, name="b")
    c, d = job(None, [a, b], "c"), job(None, [b], "d")
    assert longest_chain([a, b, c, d], {"a": 1.0, "b": 3.0, "c": 1.0, "d": 0.5}) == 4.0


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the project's configs and nothing prepared."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


DEMO = Path("configs/pipelines/demo.yaml")


def test_the_plan_counts_jobs_by_kind_and_says_what_it_assumes(
    configs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", str(DEMO), "--gpus", "1", "3", "--seconds", "3.5", "--decode-steps", "40"])
    out = capsys.readouterr().out
    jobs = read_pipeline(DEMO).jobs.values()
    rows = {line.split()[0]: line.split() for line in out.splitlines()[3:] if line[:1].isalpha()}
    for kind in {one.kind for one in jobs}:
        assert int(rows[kind][1]) == sum(one.kind == kind for one in jobs)
    assert f"in all {len(jobs):>11}" in out
    assert "Assumed, not measured:\n  --gpu-tflops-bf16 60" in out
    assert "--decode-steps 40" in out
    assert "--seconds 3.5" in out
    assert "MSP-Podcast's; nothing is prepared yet" in out
    assert [line[:6] for line in out.splitlines() if "at least" in line] == ["1 GPU ", "3 GPUs"]


def test_the_documentation_shows_what_the_command_prints(configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "python -m medusa plan configs/pipelines/paper.yaml"
    main(command.split()[3:])
    text = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    assert f"$ {command}\n{capsys.readouterr().out}```\n" in text


def test_clips_are_counted_where_the_corpus_is_prepared(configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "X", "train"), ("b", "Sad", "train"), ("c", "Sad", "train"), ("d", "Happy", "train")]
    rows += [("e", "Sad", "dev"), ("f", "Sad", "test"), ("g", "Sad", "test"), ("h", "", "")]
    lines = [f"{name}.wav,{'' if not emotion else 0.5},{'' if not emotion else 0.5},{emotion},{partition}"
             for name, emotion, partition in rows]  # fmt: skip
    (configs / "data/demo").mkdir(parents=True)
    labels = configs / "data/demo/labels.csv"
    labels.write_text("FileName,Happy,Sad,EmoClass,Partition\n" + "\n".join(lines) + "\n", encoding="utf-8")
    found = counted(labels)
    assert found == Assumptions(clips=8, train=0.5, selection=0.125, smallest_class=0.25, emotions=2, attributes=0)
    main(["plan", str(DEMO), "--selection", "0.5"])
    out = capsys.readouterr().out
    assert "--clips 8, shares of them --train 0.5 --selection 0.5" in out
    assert "counted in data/demo/labels.csv, if not given" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "1.5"], "--train 1.5: must be 0 to 1"),
        (["--seconds", "0"], "--seconds 0: must be above 0"),
        (["--gpu-tflops", "nan"], "--gpu-tflops nan: must be above 0"),
        (["--gpus", "0"], "--gpus 0: must be at least 1"),
        (["--epochs", "-1"], "--epochs -1: must be 0 or more"),
    ],
)
def test_impossible_assumptions_are_one_line(
    configs: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["plan", str(DEMO), *words])
    assert capsys.readouterr().err == f"error: {message}\n"
