"""Score an ensemble: majority and soft voting, single meta-classifiers, their soup (paper, Table 3)."""

from __future__ import annotations

from medusa.config.arguments import parse_script
from medusa.config.schema import MetaConfig
from medusa.corpora.labels import PARTITIONS, read_labels
from medusa.device import describe_device, prepare
from medusa.ensemble.controls import fit_controls
from medusa.ensemble.evaluate import combine, score_techniques
from medusa.ensemble.member_files import fitted_files, fitted_partition, member_files
from medusa.ensemble.posteriors import stack_members, write_posteriors
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
    config, device = prepare(parse_script(MetaConfig, __doc__))
    labels = read_labels(config.paths.labels)
    fitted = fitted_files(config, labels)
    require_same_config(config.run_directory, meta_identity(config, fitted))
    selection, partition = selection_partition(labels), fitted_partition(config)
    protocol = "honest" if selection == "dev" else "paper"
    scored = "test" if labels.has("test") else selection

    # 1. What the meta-classifiers are compared with, beside the votes: fitted on the same rows, and on those held out.
    stacks = {name: stack_members(member_files(config, name), labels, name) for name in PARTITIONS if labels.has(name)}
    classes = [require_every_class(labels, name, "Stage 3").class_indices() for name in (partition, selection)]
    controls = fit_controls(stack_members(fitted, labels, partition), classes[0], stacks[selection], classes[1])

    # 2. Every way of combining the members.
    everything = {name: combine(config, stack, controls, device) for name, stack in stacks.items()}

    # 3. Posteriors of each technique; scores of the rows that are reported.
    posteriors = config.run_directory / "posteriors"
    made_from = [config.paths.labels, config.run_directory / "soup" / "model.safetensors"]
    write_provenance(posteriors, config.model_dump(mode="json"), made_from, describe_device(device))
    for name, combined in everything.items():
        rows = labels.partition(name)
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
    if config.fit_on == "released":
        print("fit_on: released: these figures are over rows that Stage 3 was fitted on; a diagnostic, no result")
    if "dev" in (config.fit_on, scored):
        print("dev posteriors are mildly optimistic: members were selected on these rows")


if __name__ == "__main__":
    main()
