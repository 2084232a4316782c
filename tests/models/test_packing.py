"""Packed and padded frames by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medusa.models.packing import Packing

LENGTHS = torch.tensor([2, 3])


def numbered(rows: int) -> Tensor:
    return torch.arange(1.0, rows + 1)[:, None]


def test_pads_and_packs_in_the_order_of_utterances() -> None:
    packing = Packing.of(LENGTHS)
    padded = packing.pad(numbered(5))
    assert padded[:, :, 0].tolist() == [[1, 2, 0], [3, 4, 5]]
    assert packing.mask.tolist() == [[True, True, False], [True, True, True]]
    assert torch.equal(packing.pack(padded), numbered(5))
    longer = torch.cat([padded, torch.full((2, 1, 1), 9.0)], dim=1)  # more padding than it needs
    assert torch.equal(packing.pack(longer), numbered(5))


def test_joined_puts_an_utterances_parts_one_after_the_other() -> None:
    joined = Packing.joined([Packing.of(LENGTHS), Packing.of(torch.tensor([3, 1]))])
    padded = joined.pad(numbered(9))
    assert padded[:, :, 0].tolist() == [[1, 2, 6, 7, 8], [3, 4, 5, 9, 0]]
    again = Packing.joined([joined, Packing.of(torch.tensor([1, 1]))])
    assert again.pad(numbered(11))[:, :, 0].tolist() == [[1, 2, 6, 7, 8, 10], [3, 4, 5, 9, 11, 0]]


@pytest.mark.parametrize("lengths", [[2, 0, 3], [-1]])
def test_an_utterance_without_a_frame_is_refused(lengths: list[int]) -> None:
    place = 1 if len(lengths) > 1 else 0
    with pytest.raises(ValueError, match=f"utterance {place} of the batch has no frame"):
        Packing.of(torch.tensor(lengths))


def test_the_mean_counts_real_frames_only() -> None:
    assert Packing.of(LENGTHS).mean(numbered(5))[:, 0].tolist() == [1.5, 4.0]


def test_gradients_come_back_to_their_frames() -> None:
    rows = numbered(5).requires_grad_()
    weights = torch.tensor([[[1.0], [2.0], [100.0]], [[3.0], [4.0], [5.0]]])
    torch.autograd.backward((Packing.of(LENGTHS).pad(rows) * weights).sum())
    assert rows.grad is not None
    assert rows.grad[:, 0].tolist() == [1, 2, 3, 4, 5]
