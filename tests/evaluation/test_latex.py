"""Tables as LaTeX: whole, aligned, and with nothing that LaTeX would obey."""

from __future__ import annotations

import re

import pandas as pd

from medusa.evaluation.latex import latex, plain_latex
from medusa.evaluation.page import Table

TABLE = Table(
    "t", "A table of 50 %\n of it", pd.DataFrame(), ["model", "F1 & more"],
    [["a_b", "+0.012 ± 0.003"], ["soup", "−1"], ["", "–"]], ["One\nnote."], strong=frozenset({1}),
)  # fmt: skip


def test_a_table_is_booktabs_with_its_title_and_notes_as_comments() -> None:
    assert latex(TABLE).splitlines() == [
        "% A table of 50 % of it",
        "% One note.",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"model & F1 \& more \\",
        r"\midrule",
        r"a\_b & +0.012 $\pm$ 0.003 \\",
        r"\textbf{soup} & \textbf{$-$1} \\",
        r" & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_nothing_that_latex_obeys_is_left() -> None:
    hostile = r"\input{x} $ # ^ ~ { } % & _ < > |"
    escaped = plain_latex(hostile)
    names = "textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar"
    bare = re.sub(rf"\\({names})\{{\}}|\\[&%$#_{{}}]", "", escaped)
    assert not set(bare) & set("\\$#^~{}%&_<>|")
    assert "input" in bare
