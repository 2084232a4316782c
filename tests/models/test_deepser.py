"""DeepSER against an independent network put together from torch's own transformer layers, as the authors do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.naive import ATTRIBUTES, EMOTIONS, NaiveDeepSER
from medusa.models.deepser import DeepSER


def small_deepser(input_dims: list[int], **settings: object) -> DeepSER:
    torch.manual_seed(1)
    arguments = {"hidden_dim": 16, "feedforward_dim": 24, "num_emotions": EMOTIONS, "num_attributes": ATTRIBUTES}
    return DeepSER(input_dims, **(arguments | settings)).eval()  # type: ignore[arg-type]


def random_batch(input_dims: list[int], lengths: list[list[int]]) -> tuple[list[Tensor], list[Tensor]]:
    """One (sum of lengths, D) tensor per modality, and its lengths."""
    torch.manual_seed(2)
    features = [torch.randn(sum(of_rows), dim) for dim, of_rows in zip(input_dims, lengths, strict=True)]
    return features, [torch.tensor(of_rows) for of_rows in lengths]


@pytest.mark.parametrize("input_dims", [[7], [7, 5], [7, 5, 6]])
def test_equals_the_authors_network_at_full_lengths(input_dims: list[int]) -> None:
    model, reference = small_deepser(input_dims), NaiveDeepSER(input_dims, 16, 24).eval()
    ours, theirs = list(model.parameters()), list(reference.parameters())
    assert [tensor.shape for tensor in ours] == [tensor.shape for tensor in theirs]
    with torch.no_grad():
        for mine, other in zip(ours, theirs, strict=True):
            other.copy_(mine)
    features, lengths = random_batch(input_dims, [[4 + index] * 3 for index in range(len(input_dims))])
    prediction = model(features, lengths)
    logits, attributes = reference([values.view(3, -1, values.shape[1]) for values in features])
    torch.testing.assert_close(prediction.logits, logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.attributes, attributes, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion", ["deep", "late"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_a_batch_gives_the_numbers_of_the_clips_alone(fusion: str, num_layers: int) -> None:
    model = small_deepser([7, 5], fusion=fusion, num_layers=num_layers, num_heads=2)
    features, lengths = random_batch([7, 5], [[9, 1, 4], [2, 6, 1]])
    together = model(features, lengths)
    clips = [torch.split(values, of_rows.tolist()) for values, of_rows in zip(features, lengths, strict=True)]
    for row in range(3):
        alone = model([own[row] for own in clips], [of_rows[row : row + 1] for of_rows in lengths])
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.attributes[row], alone.attributes[0], atol=1e-5, rtol=0)


def test_a_clips_gradient_is_its_own() -> None:
    model = small_deepser([7])
    features, lengths = random_batch([7], [[5, 2]])
    features[0].requires_grad_()
    model(features, lengths).logits[0].sum().backward()
    assert features[0].grad is not None
    assert torch.equal(features[0].grad[5:], torch.zeros(2, 7))
    assert features[0].grad[:5].abs().sum() > 0


def test_features_of_a_store_need_no_conversion() -> None:
    model = small_deepser([7])
    features, lengths = random_batch([7], [[3, 2]])
    stored = features[0].half()
    assert torch.equal(model([stored], lengths).logits, model([stored.float()], lengths).logits)


def test_late_fusion_has_no_fusion_encoders() -> None:
    deep, late = small_deepser([7, 5]), small_deepser([7, 5], fusion="late")
    assert not any(name.startswith("fusion") for name, _ in late.named_parameters())
    assert late.w.in_features == 2 * 16
    assert deep.w.in_features == 3 * 16


def test_attributes_stay_on_the_scale_and_may_be_absent() -> None:
    features, lengths = random_batch([7], [[3, 2]])
    attributes = small_deepser([7])([100 * features[0]], lengths).attributes
    assert ((attributes >= 1) & (attributes <= 7)).all()
    without = small_deepser([7], num_attributes=0)(features, lengths)
    assert without.attributes.shape == (2, 0)


def test_forward_is_the_head_of_encode() -> None:
    model = small_deepser([7, 5])
    features, lengths = random_batch([7, 5], [[3, 2], [1, 4]])
    x = model.encode(features, lengths)
    assert x.shape == (2, 16)
    for whole, halves in zip(model(features, lengths), model.head(x), strict=True):
        assert torch.equal(whole, halves)


def test_modules_stand_in_the_documented_order() -> None:
    names = list(dict.fromkeys(name.split(".")[0] for name, _ in small_deepser([7, 5]).named_parameters()))
    assert names == ["modality_encoders", "fusion_encoders", "w", "w_c", "w_r"]


def test_standardised_inputs_equal_a_network_fed_with_standardised_features() -> None:
    torch.manual_seed(3)
    statistics = [(torch.randn(7), torch.rand(7) + 0.5), (torch.randn(5), torch.rand(5) + 0.5)]
    plain, standardising = small_deepser([7, 5]), small_deepser([7, 5], standardize=True)
    standardising.set_input_statistics(statistics)
    features, lengths = random_batch([7, 5], [[3, 2], [1, 4]])
    by_hand = [(x - mean) / deviation for x, (mean, deviation) in zip(features, statistics, strict=True)]
    torch.testing.assert_close(standardising(features, lengths).logits, plain(by_hand, lengths).logits)


def test_a_constant_feature_is_not_blown_up() -> None:
    model = small_deepser([7], standardize=True)
    model.set_input_statistics([(torch.zeros(7), torch.zeros(7))])
    features, lengths = random_batch([7], [[3, 2]])
    assert model(features, lengths).logits.isfinite().all()


def test_statistics_without_a_place_for_them_are_refused() -> None:
    with pytest.raises(ValueError, match="built without standardize=True"):
        small_deepser([7]).set_input_statistics([(torch.zeros(7), torch.ones(7))])
