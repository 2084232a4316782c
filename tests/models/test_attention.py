"""The transformer layer against torch's own, dropout included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medusa.models.attention import TransformerLayer
from medusa.models.packing import Packing


@pytest.mark.parametrize("num_heads", [1, 4])
def test_equals_torchs_layer_with_its_state_dict(num_heads: int) -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(16, num_heads, 32, dropout=0.0, batch_first=True)
    ours = TransformerLayer(16, num_heads, 32, dropout=0.0)
    ours.load_state_dict(theirs.state_dict())
    x, packing = torch.randn(3, 6, 16), Packing.of(torch.tensor([6, 2, 4]))
    mask = torch.tensor([[1] * 6, [1] * 2 + [0] * 4, [1] * 4 + [0] * 2]).bool()
    expected = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(x[mask], packing), expected[mask], atol=1e-5, rtol=1e-5)


def test_initial_weights_follow_torchs_distributions() -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(64, 1, 128, batch_first=True).state_dict()
    ours = TransformerLayer(64, 1, 128, dropout=0.1).state_dict()
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].abs().max().item() == pytest.approx(expected.abs().max().item(), rel=0.05), name
        assert ours[name].std().item() == pytest.approx(expected.std().item(), rel=0.15), name


@pytest.mark.parametrize("where", ["dropout", "self_attn.dropout"])
def test_each_dropout_acts_in_training_only(where: str) -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(8, 1, 16, dropout=0.0)
    setattr(layer.get_submodule(where), "p", 0.5)  # noqa: B010 - of a module mypy knows no attributes
    x, packing = torch.randn(5, 8), Packing.of(torch.tensor([3, 2]))
    assert not torch.equal(layer(x, packing), layer(x, packing))
    layer.eval()
    assert torch.equal(layer(x, packing), layer(x, packing))


def test_attention_in_training_without_a_dropped_share_equals_the_evaluated() -> None:
    """The steps taken for dropout on a CPU, with a probability too small to drop anything, against torch's kernel."""
    torch.manual_seed(0)
    layer = TransformerLayer(16, 2, 32, dropout=1e-9)
    x, packing = torch.randn(12, 16), Packing.of(torch.tensor([6, 2, 4]))
    trained = layer(x, packing)
    torch.testing.assert_close(trained, layer.eval()(x, packing), atol=1e-6, rtol=1e-6)
