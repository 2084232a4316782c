"""The report on a set of ensembles: what came out, most important first; report.md, report.html, plots and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medusa.evaluation.datacard import read_about
from medusa.evaluation.headline import headline
from medusa.evaluation.latex import latex
from medusa.evaluation.page import Figure, Page, Section, Text, html, markdown
from medusa.evaluation.paper import BY_NAME, Beside
from medusa.evaluation.result_sections import (
    ablations_section,
    ambiguity_section,
    attributes_section,
    confusion_section,
    members_section,
    speakers_section,
    techniques_section,
)
from medusa.evaluation.results import Results, read_results
from medusa.evaluation.speakers_table import speakers_numbers
from medusa.evaluation.tables import weights_numbers
from medusa.evaluation.training_sections import classes_section, curves_section, weights_section
from medusa.files import atomic_path, write_csv, write_text
from medusa.provenance import provenance, write_provenance


def write_report(
    runs: Path, ensembles: Sequence[Path], changes: Sequence[str], out: Path, about: str = "", beside: Beside = BY_NAME
) -> list[str]:
    """Write the report on some ensembles of one folder of runs.

    Args:
        runs: Folder with `members/` and `ensembles/`.
        ensembles: One YAML each; the first is the one the headline, the confusion matrix and the weights are about.
        changes: Overlays and `key=value` words, applied to each of them.
        out: Folder for report.html, report.md, PNG, CSV and LaTeX files; report.html is written last.
        about: What a reader should know of the runs before all else; what their corpus says of itself follows it.
        beside: Which of the paper's rows ours are put beside.

    Returns:
        The headline, as sentences.

    Raises:
        UserError: a run is missing or does not fit; names the command that makes it.
    """
    results = read_results(runs, ensembles, changes, beside)
    page = report(results, " ".join(one for one in (about, read_about(results.labels.source)) if one))
    for item in page.items:
        if isinstance(item, Figure):
            with atomic_path(out / f"{item.name}.png") as temporary:
                temporary.write_bytes(item.png)
        else:
            write_csv(out / f"{item.name}.csv", item.numbers)
            write_text(out / f"{item.name}.tex", latex(item))
    write_csv(out / "speakers.csv", speakers_numbers(results, results.ensembles[0]))
    weights = weights_numbers(results.ensembles[0], results.labels)
    if weights is not None:
        write_csv(out / "meta_weights.csv", weights)
    configs = {ensemble.name: ensemble.config.model_dump(mode="json") for ensemble in results.ensembles}
    identities = [ensemble.config.run_directory / "identity.json" for ensemble in results.ensembles]
    write_provenance(out, configs, [results.labels.source, *identities], "cpu")
    write_text(out / "report.md", markdown(page))
    write_text(out / "report.html", html(page))
    return [block.text for block in page.sections[0].blocks if isinstance(block, Text)]


def report(results: Results, about: str = "") -> Page:
    """The page; `about` stands below its title."""
    main = results.ensembles[0]
    sections = [
        headline(results, main),
        members_section(results),
        ablations_section(results),
        techniques_section(results),
        confusion_section(results, main),
        ambiguity_section(results, main),
        speakers_section(results, main),
        curves_section(results),
        weights_section(results, main),
        classes_section(results),
    ]
    if results.labels.attributes:
        sections.insert(5, attributes_section(results, main))
    return Page(f"MEDUSA on {results.runs}", [*sections, origin_section(results)], about)


def origin_section(results: Results) -> Section:
    """Code, versions, data."""
    made = provenance({}, [results.labels.source], "")
    code = f"MEDUSA {made['medusa']}"
    if made["git"] is not None:
        code += f", commit {made['git']['commit'][:12]}" + (" with changes" if made["git"]["dirty"] else "")
    libraries = ", ".join(
        f"{name} {made['libraries'][name]}" for name in ("torch", "numpy") if name in made["libraries"]
    )
    (labels,) = made["inputs"]
    text = (
        f"{code}; Python {made['python']}, {libraries}. Labels: {labels['file']} (SHA-256 {labels['sha256'][:12]}…). "
        "provenance.json beside this report has the rest; each run's folder has its own, and its config.yaml. "
        "Every plot is a PNG, every table a CSV and a LaTeX file in the report's folder."
    )
    left_out = [Text(f"Left out of this report: {reason}") for reason in results.left_out]
    return Section("origin", "How this was made", [Text(text), *left_out])
