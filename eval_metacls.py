"""Score an ensemble: majority and soft voting, single meta-classifiers, their soup (paper, Table 3)."""

from __future__ import annotations

from medusa.config.arguments import parse_script
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import PARTITIONS, read_labels
from medusa.device import prepare_device
from medusa.ensemble.evaluate import combine, score_techniques
from medusa.ensemble.posteriors import member_files, stack_members, write_posteriors
from medusa.ensemble.stacking import meta_identity
from medusa.errors import command
from medusa.files import write_csv
from medusa.training.checkpoint import require_same_config
from medusa.training.evaluate import selection_partition
from medusa.training.member import require_every_class


@command
def main() -> None:
    """Evaluate the trained ensemble that the config describes."""
    config = parse_script(MetaConfig, __doc__)
    device = prepare_device(config.compute)
    labels = read_labels(config.paths.labels)
    require_same_config(config.run_directory, meta_identity(config, member_files(config, config.fit_on)))
    protocol = "honest (selected on dev)" if selection_partition(labels) == "dev" else "paper (selected on test)"

    for name in PARTITIONS:
        rows = labels.partition(name)
        if not len(rows):
            continue
        # 1. Every way of combining the members, on these rows.
        stack = stack_members(member_files(config, name), labels, name)
        combined = combine(config, stack, device)

        # 2. Posteriors of each technique; scores where there are labels.
        for technique, predictions in combined.items():
            path = config.run_directory / "posteriors" / technique / f"{name}.csv"
            write_posteriors(path, rows, *predictions)
        if name == "test":
            table = score_techniques(combined, require_every_class(labels, name, "class-balanced scoring"))
            write_csv(config.run_directory / "results.csv", table)
            print(f"{len(rows):,} test rows, protocol: {protocol}")
            print(table.to_string(index=False, float_format="%.4f", na_rep=""))


if __name__ == "__main__":
    main()
