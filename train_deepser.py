"""Train one ensemble member: Stage 1 on all rows, Stage 2 on balanced subsets (paper 3.6)."""

from __future__ import annotations

from functools import partial

from tqdm import tqdm

from medusa.config.arguments import parse_script
from medusa.config.load import dump_config
from medusa.config.schema import DeepSERConfig
from medusa.device import describe_device, prepare
from medusa.errors import command
from medusa.provenance import write_provenance
from medusa.training.checkpoint import open_run
from medusa.training.data import FeatureExamples, make_targets
from medusa.training.evaluate import score, selection_partition
from medusa.training.loop import fit
from medusa.training.member import (
    build_model,
    feature_statistics,
    identity,
    open_stores,
    read_member_labels,
    recipe,
    require_every_class,
    training_rows,
)


@command
def main() -> None:
    """Train, or continue training, the member that the config describes."""
    config, device = prepare(parse_script(DeepSERConfig, __doc__))

    # 1. Rows and features.
    labels = read_member_labels(config)
    stores = open_stores(config)
    selection = selection_partition(labels)
    train_rows = training_rows(config, labels)
    selection_rows = require_every_class(labels, selection, "model selection")
    train_targets = make_targets(train_rows, config.targets, config.weight_by_kept_votes)
    train = FeatureExamples(train_targets, stores)
    held_out = FeatureExamples(make_targets(selection_rows), stores)

    # 2. Model.
    model = build_model(config, labels, stores, device)
    if config.model.standardize:
        model.set_input_statistics([feature_statistics(store, train_rows.ids) for store in stores])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"member {config.run_directory.name}: {' + '.join(config.features)}, {parameters:,} parameters")
    print(f"{len(train.targets):,} training rows; selected on {len(held_out.targets):,} {selection} rows; {device}")

    # 3. Stages 1 and 2.
    schedule = recipe(config)
    with open_run(config.run_directory, identity(config, stores), dump_config(config)) as run:
        if run.finished:
            print("finished already; nothing is trained")
        else:
            write_provenance(run.path, config.model_dump(mode="json"), [config.paths.labels], describe_device(device))
        select = partial(score, model, held_out, schedule.batch_size, schedule.bf16, selection)
        state = fit(model, train, schedule, run, select, config.training.patience, report=tqdm.write)
    best = f"best {selection} class-balanced macro-F1 {state.best_score:.4f} at epoch {state.best_epoch + 1}"
    print(f"{best}: {run.path / 'best'}")


if __name__ == "__main__":
    main()
