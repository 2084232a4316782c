"""Score an ensemble: majority and soft voting, single meta-classifiers, their soup (paper, Table 3)."""

from __future__ import annotations

from medusa.config.arguments import parse_script
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import PARTITIONS, read_labels
from medusa.device import describe_device, prepare_device
from medusa.ensemble.evaluate import combine, score_techniques
from medusa.ensemble.posteriors import member_files, stack_members, write_posteriors
from medusa.ensemble.stacking import meta_identity
from medusa.errors import command
from medusa.files import write_csv
from medusa.provenance import note_outputs, write_provenance
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
    selection = selection_partition(labels)
    protocol = "honest" if selection == "dev" else "paper"
    scored = "test" if labels.has("test") else selection

    posteriors = config.run_directory / "posteriors"
    made_from = [config.paths.labels, config.run_directory / "soup" / "model.safetensors"]
    write_provenance(posteriors, config.model_dump(mode="json"), made_from, describe_device(device))

    for name in PARTITIONS:
        rows = labels.partition(name)
        if not len(rows):
            continue
        # 1. Every way of combining the members, on these rows.
        stack = stack_members(member_files(config, name), labels, name)
        combined = combine(config, stack, device)

        # 2. Posteriors of each technique; scores of the rows that are reported.
        for technique, predictions in combined.items():
            write_posteriors(posteriors / technique / f"{name}.csv", rows, *predictions)
        print(f"{name}: {len(rows):,} rows: {posteriors}/*/{name}.csv")
        if name == scored:
            table = score_techniques(combined, require_every_class(labels, name, "class-balanced scoring"))
            table = table.assign(rows=name, protocol=protocol, fit_on=config.fit_on)
            write_csv(config.run_directory / "results.csv", table)
            print(table.to_string(index=False, float_format="%.4f", na_rep=""))
    note_outputs(posteriors)
    print(f"{protocol} protocol: members were selected on {selection} rows, the figures are over {scored} rows")
    if "dev" in (config.fit_on, scored):
        print("dev posteriors are mildly optimistic: members were selected on these rows")


if __name__ == "__main__":
    main()
