import json
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from medusa.ensemble.soup import cook_soup, soup
from medusa.errors import UserError


def linears(count: int) -> list[torch.nn.Linear]:
    torch.manual_seed(0)
    return [torch.nn.Linear(5, 3) for _ in range(count)]


def test_soup_of_linear_layers_is_the_mean_of_their_logits() -> None:
    layers, x = linears(6), torch.randn(10, 5)
    mixed = torch.nn.Linear(5, 3)
    mixed.load_state_dict(soup([layer.state_dict() for layer in layers]))
    expected = torch.stack([layer(x) for layer in layers]).mean(dim=0)
    torch.testing.assert_close(mixed(x), expected, atol=1e-6, rtol=0)


def test_soup_of_one_is_itself_and_leaves_the_ingredients_alone() -> None:
    weights = linears(1)[0].state_dict()
    before = {key: tensor.clone() for key, tensor in weights.items()}
    mixed = soup([weights])
    assert list(mixed) == list(weights)
    for key, tensor in mixed.items():
        assert tensor.data_ptr() != weights[key].data_ptr()
        assert torch.equal(tensor, before[key])
        assert torch.equal(weights[key], before[key])


def test_sum_is_taken_in_float64() -> None:
    # in float32 the 1 is lost beside 1e8
    ingredients = [{"w": torch.tensor([value])} for value in (1e8, 1.0, -1e8, 1.0)]
    assert soup(ingredients)["w"].item() == 0.5


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"w": torch.zeros(2)}, "b is in only one of models 1 and 3"),
        ({"w": torch.zeros(2), "b": torch.zeros(1), "extra": torch.zeros(1)}, "extra is in only one"),
        ({"w": torch.zeros(3), "b": torch.zeros(1)}, r"w is \(2,\) torch.float32 in model 1, \(3,\)"),
        ({"w": torch.zeros(2).half(), "b": torch.zeros(1)}, "w is .* torch.float16 in model 3"),
    ],
)
def test_models_that_differ_are_refused(other: dict[str, torch.Tensor], problem: str) -> None:
    same = {"w": torch.zeros(2), "b": torch.zeros(1)}
    with pytest.raises(UserError, match=problem):
        soup([same, same, other])


def test_integers_are_refused() -> None:
    with pytest.raises(UserError, match=r"steps is of type torch\.int64"):
        soup([{"steps": torch.tensor([1])}, {"steps": torch.tensor([2])}])


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[Path]:
    """Two folders as a training leaves them."""
    folders = [tmp_path / "run" / f"seed-{seed}" / "best" for seed in (3, 5)]
    for folder, layer in zip(folders, linears(2), strict=True):
        folder.mkdir(parents=True)
        save_file(layer.state_dict(), folder / "model.safetensors")
    return folders


def test_a_soup_is_written_with_its_ingredients_and_a_checksum(checkpoints: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "run" / "soup"
    cook_soup(checkpoints, out)
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "state.json"]
    first, second = (load_file(folder / "model.safetensors") for folder in checkpoints)
    mixed = load_file(out / "model.safetensors")
    assert mixed.keys() == first.keys()
    for key in first:
        torch.testing.assert_close(mixed[key], (first[key] + second[key]) / 2)
    assert json.loads((out / "state.json").read_text()) == {
        "schema": 1,
        "ingredients": ["seed-3/best", "seed-5/best"],
        "crc32": {"model.safetensors": zlib.crc32((out / "model.safetensors").read_bytes())},
    }


def test_a_missing_ingredient_is_named_and_the_soup_of_before_stays(checkpoints: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "run" / "soup"
    cook_soup(checkpoints, out)
    before = (out / "model.safetensors").read_bytes()
    (checkpoints[1] / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"seed-5/best/model\.safetensors: no such file"):
        cook_soup(checkpoints, out)
    assert (out / "model.safetensors").read_bytes() == before
