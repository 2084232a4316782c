"""Write the posteriors of one trained member for every partition, and print its scores."""

from __future__ import annotations

from medusa.config.arguments import parse_script
from medusa.config.schema import DeepSERConfig
from medusa.corpora.labels import Labels
from medusa.device import describe_device, prepare
from medusa.ensemble.posteriors import write_posteriors
from medusa.errors import command
from medusa.metrics import accuracy, macro_f1
from medusa.provenance import note_outputs, write_provenance
from medusa.training.checkpoint import load_weights, require_same_config
from medusa.training.data import FeatureExamples, make_targets
from medusa.training.evaluate import Predictions, predict
from medusa.training.member import build_model, identity, open_stores, predicted_rows


@command
def main() -> None:
    """Evaluate the best checkpoint of the member that the config describes."""
    config, device = prepare(parse_script(DeepSERConfig, __doc__))

    # 1. Rows, features, best weights.
    rows_of = predicted_rows(config)
    stores = open_stores(config)
    require_same_config(config.run_directory, identity(config, stores))
    model = build_model(config, next(iter(rows_of.values())), stores, device)
    load_weights(model, config.run_directory / "best")

    posteriors = config.run_directory / "posteriors"
    made_from = [config.paths.labels, config.run_directory / "best" / "model.safetensors"]
    write_provenance(posteriors, config.model_dump(mode="json"), made_from, describe_device(device))

    # 2. One posterior file per partition.
    for name, rows in rows_of.items():
        examples = FeatureExamples(make_targets(rows), stores)
        bf16 = config.compute.precision == "bf16"
        predictions = predict(model, examples, config.training.batch_size, bf16, name)
        path = posteriors / f"{name}.csv"
        write_posteriors(path, rows, *predictions)
        print(f"{name}: {len(rows):,} rows{scores_of(rows, predictions)}: {path}")
    note_outputs(posteriors)


def scores_of(rows: Labels, predictions: Predictions) -> str:
    """Plain macro-F1 and accuracy over the rows with consensus, as text; nothing where there are none."""
    classes, predicted = rows.class_indices(), predictions.probabilities.argmax(axis=1)
    scored = classes >= 0
    if not scored.any():
        return ""
    pair = classes[scored], predicted[scored], len(rows.emotions)
    return f", plain macro-F1 {macro_f1(*pair):.4f}, accuracy {accuracy(*pair):.4f}"


if __name__ == "__main__":
    main()
