"""Tables as LaTeX, to be pasted into a paper."""

from __future__ import annotations

from medusa.evaluation.page import Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "±": r"$\pm$", "…": r"\dots{}", "Δ": r"$\Delta$",
    "λ": r"$\lambda$", "–": "--", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


def latex(table: Table) -> str:
    """A table as LaTeX, for `booktabs`; its caption and notes are comments."""
    columns = "".join("l" if position in table.text else "r" for position in range(len(table.header)))
    rows = [
        [rf"\textbf{{{plain_latex(cell)}}}" if number in table.strong and cell else plain_latex(cell) for cell in row]
        for number, row in enumerate(table.rows)
    ]
    lines = [" & ".join(cells) + r" \\" for cells in ([plain_latex(cell) for cell in table.header], *rows)]
    comments = [f"% {' '.join(text.split())}" for text in (table.title, *table.notes)]
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*comments, *body, r"\end{tabular}"]) + "\n"


def plain_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
