"""Train an ensemble: Stage 3, one meta-classifier per seed, and Stage 4, the soup of their weights (paper 3.6)."""

from __future__ import annotations

from itertools import chain

from medusa.config.arguments import parse_script
from medusa.config.load import dump_config
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import read_labels
from medusa.device import describe_device, prepare
from medusa.ensemble.member_files import fitted_files, fitted_partition, member_files
from medusa.ensemble.posteriors import stack_members
from medusa.ensemble.soup import cook_soup
from medusa.ensemble.stacking import cross_validated_epochs, fit_seeds, meta_identity
from medusa.ensemble.together import Rows
from medusa.errors import command
from medusa.provenance import write_provenance
from medusa.training.checkpoint import RunDirectory, open_run
from medusa.training.data import make_targets
from medusa.training.evaluate import selection_partition
from medusa.training.member import require_every_class


@command
def main() -> None:
    """Train, or continue training, the ensemble that the config describes."""
    config, device = prepare(parse_script(MetaConfig, __doc__))

    # 1. The members' predictions for the rows to fit on.
    labels = read_labels(config.paths.labels)
    partition = fitted_partition(config)
    rows = require_every_class(labels, partition, "balanced training (Stage 3)")
    files = fitted_files(config, labels)
    stack = stack_members(files, labels, partition)
    fitted = Rows(make_targets(rows), stack.inputs, device)
    print(f"ensemble {config.run_directory.name}: {len(files)} members, fitted on {len(rows):,} {partition} rows")
    if config.fit_on == "released":
        print("fit_on: released: rows that are reported are fitted on; a diagnostic, no result")

    with open_run(config.run_directory, meta_identity(config, files), dump_config(config)) as run:
        seed_runs = {seed: RunDirectory(run.path / f"seed-{seed}") for seed in config.seeds}
        if all(seed_run.finished for seed_run in seed_runs.values()):
            print("finished already; nothing is trained")
        else:
            inputs = [config.paths.labels, *chain(*files.values())]
            write_provenance(run.path, config.model_dump(mode="json"), inputs, describe_device(device))

        # 2. How long to train: watched on rows not fitted on, or cross-validated inside them.
        held_out, epochs = None, config.training.max_epochs
        if config.fit_on == "dev":
            epochs = cross_validated_epochs(config, rows, stack, device, run.path / "inner_folds.json")
            print(f"{epochs} epochs, from {config.training.inner_folds} speaker-disjoint folds of the dev rows")
        else:
            selection = selection_partition(labels)
            selection_rows = require_every_class(labels, selection, "model selection")
            selection_stack = stack_members(member_files(config, selection), labels, selection)
            held_out = Rows(make_targets(selection_rows), selection_stack.inputs, device)

        # 3. Stage 3: one meta-classifier per seed, all at once.
        for seed, state in fit_seeds(config, stack, fitted, seed_runs, epochs, held_out).items():
            chosen = f"best macro-F1 {state.best_score:.4f} at" if held_out is not None else "fitted for"
            print(f"seed {seed}: {chosen} epoch {state.best_epoch + 1}")

        # 4. Stage 4: their soup.
        cook_soup([seed_run.path / "best" for seed_run in seed_runs.values()], run.path / "soup")
    print(f"soup of {len(config.seeds)} meta-classifiers: {run.path / 'soup'}")


if __name__ == "__main__":
    main()
