"""The meta-classifier, and the vote it can start from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medusa.models.metaclassifier import MetaClassifier


def test_it_is_one_linear_layer_and_its_attributes_are_raw() -> None:
    model = MetaClassifier(input_dim=2 * (3 + 2), num_emotions=3, num_attributes=2)
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(5, 10), (5,)]
    inputs = torch.randn(4, 10) * 100
    weight, bias = model.parameters()
    expected = inputs @ weight.T + bias
    prediction = model(inputs)
    torch.testing.assert_close(torch.cat([prediction.logits, prediction.attributes], dim=1), expected)
    assert prediction.attributes.abs().max() > 7  # neither squashed nor rectified


def test_hidden_layers_are_rectified_but_the_output_is_not() -> None:
    torch.manual_seed(0)
    model = MetaClassifier(10, 3, 2, hidden_dims=[4])
    assert [type(layer) for layer in model.layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert (torch.cat(model(torch.randn(50, 10)), dim=1) < 0).any()


@pytest.mark.parametrize("num_attributes", [0, 2])
def test_starting_from_the_vote_gives_the_soft_vote_and_the_mean_attributes(num_attributes: int) -> None:
    torch.manual_seed(0)
    posteriors, attributes = torch.rand(20, 4, 3).softmax(dim=-1), torch.rand(20, 4, num_attributes)
    model = MetaClassifier(4 * (3 + num_attributes), 3, num_attributes)
    model.start_from_vote()
    prediction = model(torch.cat([posteriors, attributes], dim=2).flatten(1))
    torch.testing.assert_close(prediction.logits, 10 * posteriors.mean(dim=1))
    torch.testing.assert_close(prediction.attributes, attributes.mean(dim=1))


def test_hidden_layers_cannot_be_a_vote() -> None:
    with pytest.raises(ValueError, match="only a linear"):
        MetaClassifier(10, 3, 2, hidden_dims=[4]).start_from_vote()
