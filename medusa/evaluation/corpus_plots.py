"""The figures of a data card, as PNG bytes, in the look of `plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from medusa.evaluation.plots import BLUE, GREY, INK, STYLE, VERMILION, png_bytes, short, white_cells

Floats = npt.NDArray[np.float64]

SHADES = ("#08306b", "#2171b5", "#6baed6", "#c6dbef", "#E69F00", "#bbbbbb")
"""From strong to weak agreement in one hue, then ties and single votes, which are no agreement."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """Values of one kind in one or several groups of rows, over common bins."""

    name: str
    xlabel: str
    edges: Floats
    """(bins + 1,), ascending; values beyond them count in the outermost bins."""
    panels: Mapping[str, Floats]
    """Group → values, none NaN, at least one."""

    def counts(self, panel: str) -> list[int]:
        """Rows in each bin."""
        values = np.clip(self.panels[panel], self.edges[0], self.edges[-1])
        return [int(count) for count in np.histogram(values, self.edges)[0]]


def classes_by_partition(classes: Sequence[str], counts: Mapping[str, Sequence[int]], emotions: int) -> bytes:
    """Share of each class in each partition, with counts; the first `emotions` classes are emotions."""
    lines, most = range(len(classes)), max(max(values) / max(sum(values), 1) for values in counts.values())
    colours = [BLUE if line < emotions else GREY for line in lines]
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(1.7 + 2.3 * len(counts), 0.95 + 0.31 * len(classes)), layout=_apart())
        grid = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)
        for axes, (name, values) in zip(grid.flat, counts.items(), strict=True):
            shares = 100 * np.array(values) / max(sum(values), 1)
            bars = axes.barh(lines, shares, height=0.72, color=colours)
            axes.bar_label(bars, [f"{count:,}" for count in values], padding=3, fontsize=9.5)
            axes.set_title(f"{name} ({sum(values):,} rows)")
            axes.set_yticks(lines, [short(one, 22) for one in classes])
            axes.set(ylim=(len(classes) - 0.45, -0.55), xlim=(0, 134 * most))
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        figure.supxlabel("share of the partition's rows (%)", fontsize=11)
        return png_bytes(figure)


def histograms(distribution: Distribution) -> bytes:
    """One panel per group, side by side on common axes, with a line at the mean."""
    panels = distribution.panels
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(max(5.2, 1.0 + 2.6 * len(panels)), 3.0), layout=_apart())
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)
        for axes, (name, values) in zip(grid.flat, panels.items(), strict=True):
            shares = 100 * np.array(distribution.counts(name)) / len(values)
            edges, mean = distribution.edges, float(values.mean())
            axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=BLUE, edgecolor="white", linewidth=0.7)
            axes.axvline(mean, color=VERMILION, linestyle="--", linewidth=1.6)
            axes.set_title(f"{short(name, 24)}\nmean {mean:.2f}" if len(panels) > 1 else f"mean {mean:.2f}")
            axes.set_xlim(edges[0], edges[-1])
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(integer=edges[-1] - edges[0] >= 5, nbins=7))
        grid[0, 0].set_ylabel("share of rows (%)")
        figure.supxlabel(distribution.xlabel, fontsize=11)
        return png_bytes(figure)


def strengths(names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> bytes:
    """How strong the consensus is: one bar per group of rows, cut into shares; `names` from strong to weak."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(8.6, 1.55 + 0.46 * len(counts)), layout="constrained")
        axes = figure.subplots()
        shares = np.array([100 * np.array(values) / max(sum(values), 1) for values in counts.values()])
        left = np.zeros(len(counts))
        for position, (name, colour) in enumerate(zip(names, SHADES, strict=True)):
            part = shares[:, position]
            look: dict[str, Any] = {"color": colour, "edgecolor": "white", "linewidth": 1, "label": name}
            bars = axes.barh(range(len(counts)), part, left=left, height=0.72, **look)
            texts = [f"{share:.0f}" if share >= 2.5 else "" for share in part]
            axes.bar_label(bars, texts, label_type="center", color="white" if position < 2 else INK, fontsize=10)
            left += part
        labels = [f"{name} ({sum(values):,})" for name, values in counts.items()]
        axes.set_yticks(range(len(counts)), labels)
        axes.set(ylim=(len(counts) - 0.45, -0.55), xlim=(0, 100), xlabel="share of utterances with votes (%)")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", frameon=False, ncols=3, fontsize=10)
        return png_bytes(figure)


def vote_shares(shares: Floats, classes: Sequence[str], rows: Sequence[int], choices: Sequence[str]) -> bytes:
    """What annotators say where the consensus is some class, in percent.

    Args:
        shares: Mean share of the votes, 0 ... 1, (classes, choices).
        classes: The consensus.
        rows: Utterances of each class.
        choices: What an annotator can say.
    """
    percent = 100 * shares
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(2.2 + 0.6 * len(choices), 1.3 + 0.42 * len(classes)), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(*percent.shape):
            colour = "white" if percent[row, column] > 55 else INK
            axes.text(column, row, f"{percent[row, column]:.0f}", ha="center", va="center", color=colour)
        names = [short(name, 14) for name in choices]
        axes.set_xticks(range(len(choices)), names, rotation=40, ha="right", rotation_mode="anchor")
        heads = [f"{short(name, 18)} ({count:,})" for name, count in zip(classes, rows, strict=True)]
        axes.set_yticks(range(len(classes)), heads)
        axes.set(xlabel="what annotators said", ylabel="most votes for (utterances)")
        white_cells(axes, len(choices), len(classes))
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02, aspect=28)
        bar.set_label("mean share of votes (%)")
        bar.outline.set_visible(False)
        return png_bytes(figure)


def _apart() -> ConstrainedLayoutEngine:
    """Room between panels, so that the last tick of one does not run into the first of the next."""
    return ConstrainedLayoutEngine(wspace=0.06)
