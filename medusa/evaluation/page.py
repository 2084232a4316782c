"""A page made of headings, sentences, tables and figures, as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from urllib.parse import quote

import pandas as pd

NO_VALUE = "–"
"""The cell of a table where there is nothing to say."""

WIDE = 7
"""A table of more columns is set smaller, so that a screen holds it."""


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Cards:
    """The figures to remember: (number, what it is)."""

    cards: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Figure:
    """A picture with what it shows."""

    name: str
    """Of the PNG file, without ending."""
    title: str
    alternative: str
    """What a reader who cannot see it should know."""
    png: bytes
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """One table twice: `numbers` in full for CSV, `rows` of text for the page."""

    name: str
    """Of the CSV file, without ending."""
    title: str
    numbers: pd.DataFrame
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    """First cells are row heads; an empty one continues the group above."""
    notes: Sequence[str] = ()
    text: Sequence[int] = (0,)
    """Columns of text; the rest are figures."""
    strong: frozenset[int] = frozenset()
    """Rows that are the point of the table."""


@dataclass(frozen=True)
class Row:
    """Pictures and tables side by side where there is room, and what to know about all of them."""

    items: Sequence[Figure | Table]
    notes: Sequence[str] = ()


Block = Text | Cards | Row


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    key: str
    """Its anchor: letters and hyphens."""
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """The whole."""

    title: str
    sections: Sequence[Section]
    about: str = ""
    """Below the title."""

    @property
    def items(self) -> list[Figure | Table]:
        """All pictures and tables, in order."""
        rows = [block for section in self.sections for block in section.blocks if isinstance(block, Row)]
        return [item for row in rows for item in row.items]


# --- Markdown ---------------------------------------------------------------------------------------


def markdown(page: Page) -> str:
    """The page as Markdown; pictures are the PNG files beside it."""
    parts = [f"# {plain_markdown(page.title)}", *([plain_markdown(page.about)] if page.about else [])]
    for section in page.sections:
        parts += [f"## {plain_markdown(section.title)}", *(_markdown_block(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    if isinstance(block, Text):
        return f"**{plain_markdown(block.text)}**" if block.strong else plain_markdown(block.text)
    if isinstance(block, Cards):
        return "\n".join(f"- **{plain_markdown(number)}** {plain_markdown(what)}" for number, what in block.cards)
    return "\n\n".join([*map(_markdown_item, block.items), *map(plain_markdown, block.notes)])


def _markdown_item(item: Figure | Table) -> str:
    if isinstance(item, Figure):
        image = f"![{plain_markdown(item.alternative)}]({quote(item.name)}.png)"
        return "\n\n".join([f"**{plain_markdown(item.title)}**", image, *map(plain_markdown, item.notes)])
    rule = ["---" if position in item.text else "---:" for position in range(len(item.header))]
    rows = [
        [f"**{plain_markdown(cell)}**" if number in item.strong and cell else plain_markdown(cell) for cell in row]
        for number, row in enumerate(item.rows)
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in ([plain_markdown(cell) for cell in item.header], rule, *rows)]
    return "\n\n".join([f"**{plain_markdown(item.title)}**", "\n".join(lines), *map(plain_markdown, item.notes)])


def plain_markdown(text: str) -> str:
    """Text that Markdown, and the HTML in it, leaves as it is."""
    escaped = escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{character}" if character in "\\`*_[]|#" else character for character in escaped)


# --- HTML -------------------------------------------------------------------------------------------

TEMPLATE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'" />
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$about<nav>$links</nav>
</header>
<main>
$sections
</main>
</body>
</html>
""")

STYLE = """\
:root { color-scheme: light; --ink: #1a1a1a; --soft: #555; --line: #d5d5d5; --ours: #0072b2; --tint: #eef5fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem; max-width: 1280px; background: #fff;
  color: var(--ink); font: 1.0625rem/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .4rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 3rem 0 1rem; padding-top: .9rem; border-top: 2px solid var(--ink); font-size: 1.4rem; line-height: 1.25; }
section:first-child h2 { margin-top: 1.6rem; }
h1, h2, p, td, tbody th, figcaption, .card, nav { overflow-wrap: anywhere; }
p { margin: .7rem 0; max-width: 46rem; }
p.strong { max-width: 60rem; font-size: 1.2rem; font-weight: 600; line-height: 1.4; }
p.note { margin: .4rem 0; color: var(--soft); font-size: .95rem; line-height: 1.4; }
figure > .note { contain: inline-size; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
a { color: var(--ours); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 1rem;
  margin: 1.2rem 0; }
.card { padding: .8rem 1rem 1rem; border-left: 5px solid var(--ours); background: var(--tint); }
.card b { display: block; font-size: 2.3rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: 1rem; line-height: 1.35; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; align-items: flex-start; margin: 1.2rem 0 .5rem; }
.row > * { max-width: 100%; }
.row > .table { flex: 1 1 20rem; min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { padding-bottom: .4rem; text-align: left; font-weight: 600; }
th, td { padding: .32rem 1rem .32rem 0; text-align: left; font-weight: 400; vertical-align: baseline; }
th.number, td.number { padding: .32rem .1rem .32rem .9rem; text-align: right; white-space: nowrap; }
td.number + td:not(.number), th.number + th:not(.number) { padding-left: 1.4rem; }
thead th.number { max-width: 8rem; white-space: normal; overflow-wrap: normal; }
thead th { border-bottom: 1.5px solid var(--ink); color: var(--soft); font-size: .95rem; vertical-align: bottom; }
tbody th, tbody td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
tbody th { min-width: 8.5rem; }
td:not(.number) { min-width: 6rem; }
.wide table { font-size: .875rem; }
.wide thead th { font-size: .8rem; }
.wide th.number, .wide td.number { padding-left: .6rem; }
tbody tr.continued th:first-child { border-bottom-color: transparent; }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
tr.strong > * { font-weight: 700; }
figure { margin: 0; break-inside: avoid; }
figcaption { contain: inline-size; margin-bottom: .4rem; font-weight: 600; }
img { display: block; max-width: 100%; height: auto; }
@media (max-width: 40rem) {
  body { font-size: 1rem; padding-top: 1rem; }
  h1 { font-size: 1.5rem; }
  .card b { font-size: 1.9rem; }
  .cards { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; }
  table { font-size: .94rem; }
  th.number, td.number { padding-left: .9rem; }
  thead th { font-size: .85rem; }
}
@media print {
  html { font-size: 10pt; }
  body { max-width: none; padding: 0; font-size: 1rem; }
  nav { display: none; }
  .cards { grid-template-columns: repeat(4, 1fr); }
  .wide table { font-size: .75rem; }
  .wide thead th { font-size: .7rem; }
  .wide th, .wide td { min-width: 0; padding-right: .4rem; }
  .wide th.number, .wide td.number { padding-left: .3rem; white-space: normal; }
  .card, .table, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


def html(page: Page) -> str:
    """The page as one HTML file: pictures are in it as data URIs, nothing is loaded, all text is escaped."""
    links = " ".join(f'<a href="#{section.key}">{escape(section.title)}</a>' for section in page.sections)
    sections = "\n".join(
        f'<section id="{section.key}">\n<h2>{escape(section.title)}</h2>\n'
        + "\n".join(_html_block(block) for block in section.blocks)
        + "\n</section>"
        for section in page.sections
    )
    about = f"<p>{escape(page.about)}</p>\n" if page.about else ""
    return TEMPLATE.substitute(title=escape(page.title), about=about, style=STYLE, links=links, sections=sections)


def _html_block(block: Block) -> str:
    if isinstance(block, Text):
        return f'<p class="strong">{escape(block.text)}</p>' if block.strong else f"<p>{escape(block.text)}</p>"
    if isinstance(block, Cards):
        cards = [
            f'<div class="card"><b>{escape(one)}</b><span>{escape(what)}</span></div>' for one, what in block.cards
        ]
        return "\n".join(['<div class="cards">', *cards, "</div>"])
    items = [_html_figure(one) if isinstance(one, Figure) else _html_table(one) for one in block.items]
    return "\n".join(['<div class="row">', *items, "</div>", *map(_html_note, block.notes)])


def _html_note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _html_figure(figure: Figure) -> str:
    width, height = _size(figure.png)
    data = base64.b64encode(figure.png).decode("ascii")
    # Two pixels of the file to one of the page, as `plots.DPI` has it.
    return (
        f"<figure><figcaption>{escape(figure.title)}</figcaption>"
        f'<img alt="{escape(figure.alternative)}" width="{width // 2}" height="{height // 2}" '
        f'src="data:image/png;base64,{data}" />{"".join(map(_html_note, figure.notes))}</figure>'
    )


def _size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the PNG's header."""
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def _html_table(table: Table) -> str:
    def cell(tag: str, position: int, text: str, extra: str = "") -> str:
        kind = ' class="number"' if position not in table.text else ""
        return f"<{tag}{extra}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", position, text, ' scope="col"') for position, text in enumerate(table.header))
    lines = []
    for number, row in enumerate(table.rows):
        following = table.rows[number + 1] if number + 1 < len(table.rows) else ["end"]
        kinds = ["strong"] if number in table.strong else []
        kinds += [] if following[0] else ["continued"]
        attribute = f' class="{" ".join(kinds)}"' if kinds else ""
        first = cell("th", 0, row[0], ' scope="row"')
        lines.append(
            f"<tr{attribute}>{first}{''.join(cell('td', at + 1, text) for at, text in enumerate(row[1:]))}</tr>"
        )
    title, kind = escape(table.title), "table wide" if len(table.header) > WIDE else "table"
    return "\n".join(
        [
            f'<div class="{kind}">\n<div class="scroll" role="region" tabindex="0" aria-label="{title}">',
            f"<table>\n<caption>{title}</caption>\n<thead><tr>{head}</tr></thead>",
            "<tbody>",
            *lines,
            "</tbody>\n</table>\n</div>",
            *map(_html_note, table.notes),
            "</div>",
        ]
    )
