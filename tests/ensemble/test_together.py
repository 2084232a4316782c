"""Seeds trained side by side, against each trained alone by a plain loop over torch's own layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medusa.config.schema import Loss, MetaConfig, MetaTraining
from medusa.ensemble.together import Fit, Rows, predict_together, train_epoch
from medusa.errors import UserError
from medusa.models.metaclassifier import MetaClassifier
from medusa.training.data import Targets
from medusa.training.sampling import balanced_rows

CPU, CLASSES, INPUTS, EPOCHS = torch.device("cpu"), 3, 12, 5


def made_rows(count: int = 70, attributes: int = 3, spoil: int | None = None) -> Rows:
    draws = np.random.default_rng(0)
    classes = np.resize(np.array([0, 1, 2, 0, -1, 2]), count)
    soft = draws.dirichlet(np.ones(CLASSES), count).astype(np.float32)
    corpus = draws.uniform(1, 7, (count, attributes)).astype(np.float32)
    inputs = draws.normal(size=(count, INPUTS)).astype(np.float32)
    if spoil is not None:
        inputs[spoil] = np.inf
    return Rows(Targets([f"clip{row}" for row in range(count)], soft, corpus, classes), inputs, CPU)


def made_config(loss: Loss | None = None, learning_rate: float = 0.02) -> MetaConfig:
    training = MetaTraining(batch_size=16, learning_rate=learning_rate, weight_decay=0.1)
    return MetaConfig(members=["a"], seeds=[1, 2, 3], loss=loss or Loss(), training=training)


def made_model(seed: int, hidden: tuple[int, ...] = (), attributes: int = 3) -> MetaClassifier:
    torch.manual_seed(seed)
    return MetaClassifier(INPUTS, CLASSES, attributes, hidden)


def made_fits(hidden: tuple[int, ...] = (), attributes: int = 3) -> list[Fit]:
    models = {seed: made_model(seed, hidden, attributes) for seed in (1, 2, 3)}
    return [Fit(seed, model, torch.optim.AdamW(model.parameters())) for seed, model in models.items()]


def alone(seed: int, hidden: tuple[int, ...], rows: Rows, attributes: int) -> tuple[MetaClassifier, float]:
    """The plain loop, and the mean emotion loss of its last epoch."""
    model, targets = made_model(seed, hidden, attributes), rows.targets
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)
    for epoch in range(EPOCHS):
        order, total = balanced_rows(targets.classes, CLASSES, seed, epoch), 0.0
        for chosen in np.split(order, range(16, len(order), 16)):
            outputs = model.layers(rows.inputs[chosen])
            entropy = F.cross_entropy(outputs[:, :CLASSES], rows.soft[chosen])
            loss = 1.5 * entropy
            if attributes:
                loss = loss + 0.4 * F.mse_loss(outputs[:, CLASSES:], rows.attributes[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += entropy.item() * len(chosen)
    return model, total / len(order)


@pytest.mark.parametrize(("hidden", "attributes"), [((), 3), ((), 0), ((8,), 3), ((8, 5), 3)])
def test_every_seed_trains_as_it_would_alone(hidden: tuple[int, ...], attributes: int) -> None:
    rows, fits, config = made_rows(attributes=attributes), made_fits(hidden, attributes), made_config()
    for epoch in range(EPOCHS):
        losses = train_epoch(fits, rows, config, epoch)
    for fit, loss in zip(fits, losses, strict=True):
        expected, entropy = alone(fit.seed, hidden, rows, attributes)
        for name, weight in expected.state_dict().items():
            start = made_model(fit.seed, hidden, attributes).state_dict()[name]
            assert (weight - start).abs().max() > 0.05
            torch.testing.assert_close(fit.model.state_dict()[name], weight, atol=1e-5, rtol=0)
        assert loss["loss_emotion"] == pytest.approx(entropy, abs=1e-5)
        assert loss["rows"] == 3 * 12 + 11  # 12 clips of class 1, 11 without consensus


def test_a_seed_alone_is_a_seed_among_others() -> None:
    """Whoever else trains, and whether the optimiser's moments went through their own fits in between."""
    rows, config = made_rows(), made_config()
    together, (single, *_) = made_fits(), made_fits()
    for epoch in range(EPOCHS):
        train_epoch(together, rows, config, epoch)
        train_epoch([single], rows, config, epoch)
    for name, weight in single.model.state_dict().items():
        torch.testing.assert_close(together[0].model.state_dict()[name], weight, atol=1e-6, rtol=0)


def test_predictions_are_each_models_own() -> None:
    models, rows = [made_model(seed, (8,)) for seed in (1, 2, 3)], made_rows()
    for model, found in zip(models, predict_together(models, rows.inputs), strict=True):
        logits, attributes = model(rows.inputs)
        np.testing.assert_allclose(found.probabilities, logits.softmax(dim=1).detach(), atol=1e-6)
        np.testing.assert_allclose(found.attributes, attributes.detach(), atol=1e-5)


def test_linear_stage_three_does_not_depend_on_the_attribute_weight() -> None:
    """One linear layer has separate rows for emotions and attributes, and AdamW acts on each weight alone."""
    results = []
    for attribute_weight in (0.0, 0.4, 7.0):
        fits = made_fits()
        for epoch in range(EPOCHS):
            train_epoch(fits, made_rows(), made_config(Loss(attributes=attribute_weight)), epoch)
        results.append(fits[0].model.state_dict()["layers.0.weight"].clone())
    assert torch.equal(results[0][:CLASSES], results[1][:CLASSES])
    assert torch.equal(results[1][:CLASSES], results[2][:CLASSES])
    assert not torch.equal(results[0][CLASSES:], results[2][CLASSES:])


def test_a_loss_that_is_not_finite_names_the_seed() -> None:
    spoilt = made_rows(spoil=1)  # a clip of the smallest class, all of which every draw has
    with pytest.raises(
        UserError,
        match=r"seed 1: loss .* epoch 1, step 2, utterances clip1, .*lower training\.learning_rate",
    ):
        train_epoch(made_fits(), spoilt, made_config(), 0)
