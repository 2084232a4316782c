"""Stage 4: one model whose weights are the mean of several (model soup, paper 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from medusa.errors import UserError
from medusa.files import atomic_folder, write_json
from medusa.training.checkpoint import CHECKSUMS, STATE, WEIGHTS, crc32, read_tensors, write_tensors


def soup(state_dicts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Uniform mean of the weights, summed in float64 and given back in their own type.

    Raises:
        UserError: the models differ in a key, a shape or a type, or hold integers, which have no mean.
    """
    first = state_dicts[0]
    for number, weights in enumerate(state_dicts[1:], start=2):
        _check_same(first, weights, number)
    return {key: _mean(key, [weights[key] for weights in state_dicts]) for key in first}


def cook_soup(checkpoints: Sequence[Path], out: Path) -> None:
    """Average the `model.safetensors` of several checkpoint folders into `out/`, and note there what went in.

    Raises:
        UserError: a checkpoint is missing or differs from the others in a tensor.
    """
    weights = soup([read_tensors(checkpoint / WEIGHTS) for checkpoint in checkpoints])
    ingredients = [checkpoint.relative_to(out.parent).as_posix() for checkpoint in checkpoints]
    with atomic_folder(out) as fresh:
        write_tensors(fresh / WEIGHTS, weights)
        checksums = {WEIGHTS: crc32(fresh / WEIGHTS)}
        write_json(fresh / STATE, {"schema": 1, "ingredients": ingredients, CHECKSUMS: checksums})


def _mean(key: str, tensors: list[torch.Tensor]) -> torch.Tensor:
    dtype = tensors[0].dtype
    if not dtype.is_floating_point:
        raise UserError(f"soup: {key} is of type {dtype}, which has no mean; only floating-point weights can be souped")
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor in tensors:
        total += tensor
    return (total / len(tensors)).to(dtype)


def _check_same(first: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], number: int) -> None:
    """Raise unless the `number`-th ingredient has the keys, shapes and types of the first."""
    unpaired = sorted(first.keys() ^ other.keys())
    if unpaired:
        raise UserError(f"soup: {unpaired[0]} is in only one of models 1 and {number}; mix models of one architecture")
    for key, tensor in first.items():
        ours, theirs = (tuple(t.shape) for t in (tensor, other[key]))
        if (ours, tensor.dtype) != (theirs, other[key].dtype):
            found = f"{ours} {tensor.dtype} in model 1, {theirs} {other[key].dtype} in model {number}"
            raise UserError(f"soup: {key} is {found}; mix models of one architecture")
