"""The figures of a report, as PNG bytes: the same data give the same bytes.

Okabe and Ito's colours and single-hue or two-hue maps, which colour-blind readers can tell apart; what colour says is
said by shape, position or text as well, so that a grey print keeps it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Floats = npt.NDArray[np.float64]

BLUE, SKY, ORANGE, VERMILION, GREEN, GREY, INK = (
    *("#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73"),
    *("#767676", "#1a1a1a"),
)
DPI = 192
"""Twice the 96 of a CSS pixel: sharp on a dense screen and in print."""

STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a name with dollar signs is a name
}


Kind = Literal["member", "vote", "control", "single", "soup"]


@dataclass(frozen=True)
class Mark:
    """One line of `overview`."""

    label: str
    kind: Kind
    value: float
    interval: tuple[float, float] | None
    seeds: Sequence[float] = ()
    """The scores that `value` is the mean of."""


def overview(marks: Sequence[Mark], classes: int, score: str) -> bytes:
    """Members, votes, single meta-classifiers and soup on one axis."""
    look = {
        "member": ("o", GREY),
        "vote": ("s", ORANGE),
        "control": ("v", VERMILION),
        "single": ("^", GREEN),
        "soup": ("D", BLUE),
    }
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(5.7, 1.3 + 0.42 * len(marks)), layout="constrained")
        axes = figure.subplots()
        for line, mark in enumerate(marks):
            shape, colour = look[mark.kind]
            if mark.interval is not None:
                axes.plot(mark.interval, [line, line], color=colour, linewidth=2.5, solid_capstyle="butt", zorder=2)
            if mark.seeds:
                axes.plot(mark.seeds, [line] * len(mark.seeds), "|", color=colour, markersize=11, zorder=3)
            axes.plot(mark.value, line, shape, color=colour, markersize=9, markeredgecolor="white", zorder=4)
            axes.annotate(
                f"{mark.value:.3f}", (1.02, line), xycoords=axes.get_yaxis_transform(), va="center",
                fontweight="bold" if mark.kind == "soup" else "normal",
            )  # fmt: skip
        axes.axvline(1 / classes, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
        axes.annotate(
            "chance", (1 / classes, 1), xycoords=axes.get_xaxis_transform(), xytext=(3, 3), textcoords="offset points",
            color="#555555", fontsize=9.5,
        )  # fmt: skip
        axes.set_yticks(range(len(marks)), [short(mark.label, 36) for mark in marks])
        for text, mark in zip(axes.get_yticklabels(), marks, strict=True):
            text.set_fontweight("bold" if mark.kind == "soup" else "normal")
        axes.set(ylim=(len(marks) - 0.4, -0.6), xlabel=score)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return png_bytes(figure)


def confusion_matrix(counts: npt.NDArray[np.int64], emotions: Sequence[str], shares: bool) -> bytes:
    """Counts, or shares of each true class in percent; shape (C, C), true class by row."""
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    values = 100 * counts / totals if shares else counts.astype(np.float64)
    size, most = len(emotions), 100.0 if shares else float(values.max())
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(1.7 + 0.46 * size, 1.2 + 0.42 * size), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=most)
        for row, column in np.ndindex(size, size):
            colour = "white" if values[row, column] > 0.55 * most else INK
            if counts[row, column] or row == column:
                text = f"{values[row, column]:,.0f}"
                axes.text(column, row, text, fontsize=10, ha="center", va="center", color=colour)
        names = [short(name, 14) for name in emotions]
        axes.set_xticks(range(size), names, rotation=40, ha="right", rotation_mode="anchor")
        rows = [f"{name} ({total:,})" for name, total in zip(names, counts.sum(axis=1), strict=True)]
        axes.set_yticks(range(size), rows)
        axes.set(xlabel="predicted class", ylabel="true class (rows)")
        white_cells(axes, size, size)
        bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02, aspect=28)
        bar.set_label("share of the true class (%)" if shares else "rows")
        bar.outline.set_visible(False)
        return png_bytes(figure)


@dataclass(frozen=True)
class Reliability:
    """One line of `reliability`: bins of confidence, as `medusa.metrics.expected_calibration_error` has them."""

    label: str
    confidence: Floats
    """Mean largest posterior of each bin, (bins,); NaN where it is empty."""
    accuracy: Floats
    rows: npt.NDArray[np.int64]


def reliability(lines: Sequence[Reliability]) -> bytes:
    """Accuracy over confidence, and below how many rows are that sure; on the diagonal posteriors are honest."""
    looks = ((BLUE, "D", "-", ""), (ORANGE, "s", "--", "////"), (GREEN, "^", ":", "...."))
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
        for number, (line, (colour, marker, dashes, hatch)) in enumerate(zip(lines, looks, strict=False)):
            full = line.rows > 0
            above.plot(
                line.confidence[full], line.accuracy[full], color=colour, marker=marker, linestyle=dashes,
                markersize=6, label=line.label,
            )  # fmt: skip
            width = 1 / len(line.rows) / len(lines)
            left = np.arange(len(line.rows)) / len(line.rows) + number * width
            below.bar(
                left, line.rows, width=0.92 * width, align="edge", color=colour, hatch=hatch, edgecolor="white",
                linewidth=0,
            )  # fmt: skip
        above.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), ylabel="accuracy")
        below.set(xlabel="confidence: largest posterior", ylabel="rows")
        for axes in (above, below):
            axes.grid(axis="y")
        above.legend(loc="upper left", frameon=False, fontsize=10)
        figure.align_ylabels((above, below))
        return png_bytes(figure)


@dataclass(frozen=True)
class Gain:
    """One line of `gains`."""

    label: str
    value: float
    interval: tuple[float, float] | None
    seeds: Sequence[float] = ()
    printed: float | None = None
    """The paper's."""


def gains(lines: Sequence[Gain], xlabel: str) -> bytes:
    """Differences with intervals around 0; the paper's beside ours."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(6.4, 1.5 + 0.46 * len(lines)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for line, one in enumerate(lines):
            if one.interval is not None:
                axes.plot(one.interval, [line, line], color=BLUE, linewidth=2.5, solid_capstyle="butt", zorder=2)
            axes.plot(one.seeds, [line] * len(one.seeds), "|", color=SKY, markersize=13, markeredgewidth=1.6, zorder=3)
            axes.plot(
                one.value, line, "D", color=BLUE, markersize=8, markeredgecolor="white", zorder=4,
                label="ours, 95 % over speakers; ticks: seeds" if line == 0 else None,
            )  # fmt: skip
        printed = [(one.printed, line) for line, one in enumerate(lines) if one.printed is not None]
        if printed:
            axes.plot(
                *zip(*printed, strict=True), linestyle="", marker="o", markersize=9, markerfacecolor="none",
                markeredgecolor=VERMILION, markeredgewidth=2, zorder=5, label="paper (MSP-Podcast)",
            )  # fmt: skip
        axes.set_yticks(range(len(lines)), [short(one.label, 38) for one in lines])
        axes.set(ylim=(len(lines) - 0.4, -0.6), xlabel=xlabel)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", frameon=False, ncols=2, fontsize=10)
        return png_bytes(figure)


def speakers(scores: Sequence[float], rows: Sequence[int], whole: float, score: str) -> bytes:
    """One dot for every speaker, best first, its area the number of rows; the dashed line is all of them together."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        sizes = 20 + 220 * np.asarray(rows) / max(rows)
        axes.scatter(np.arange(1, len(scores) + 1), scores, s=sizes, color=BLUE, alpha=0.75, edgecolor="white")
        axes.axhline(whole, color=INK, linestyle="--", linewidth=1.2)
        axes.annotate(
            "all speakers", (1, whole), xycoords=axes.get_yaxis_transform(), xytext=(0, 4),
            textcoords="offset points", ha="right", fontsize=9.5,
        )  # fmt: skip
        axes.set(xlabel="speakers of test, best first", ylabel=score, ylim=(0, 1), xlim=(0.4, len(scores) + 0.6))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(axis="y")
        return png_bytes(figure)


def training_curves(
    history: Sequence[Mapping[str, Any]],
    best_epoch: int,
    selection: str,
    limits: tuple[tuple[float, float], tuple[float, float]],
    chance: float,
) -> bytes:
    """Loss on the training rows above, macro-F1 on the selection rows below, over one axis of epochs.

    Args:
        history: Rows of metrics.jsonl.
        best_epoch: From 0.
        selection: Name of the partition that the epoch was chosen on.
        limits: Ranges of loss and of F1, common to all members so that their figures compare.
        chance: F1 of guessing.
    """
    epochs = np.array([row["epoch"] + 1 for row in history])
    stages = np.array([row["stage"] for row in history])
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(5.5, 4.5), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        above.plot(epochs, [row["loss"] for row in history], color=VERMILION, marker="o", markersize=3.5)
        scores = [row["macro_f1"] for row in history]
        below.plot(epochs, scores, color=BLUE, marker="o", markersize=3.5)
        best = scores[best_epoch]
        below.plot(best_epoch + 1, best, "*", color=ORANGE, markersize=17, markeredgecolor=INK, zorder=4)
        below.set_title(f"★ best: {best:.3f}, epoch {best_epoch + 1}", loc="right", fontsize=10.5, fontweight="normal")
        below.axhline(chance, color=GREY, linestyle=":", linewidth=1.2)
        for axes, (low, high) in zip((above, below), limits, strict=True):
            axes.set(ylim=(low, high), xlim=(0.4, epochs[-1] + 0.6))
            axes.grid(axis="y")
            _mark_stages(axes, epochs, stages, named=axes is above)
        above.set_ylabel("training loss")
        below.set(xlabel="epoch", ylabel=f"macro-F1 on {selection}")
        below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        figure.align_ylabels((above, below))
        return png_bytes(figure)


def meta_weights(weights: Floats, members: Sequence[str], emotions: Sequence[str], attributes: Sequence[str]) -> bytes:
    """One block per member: what each of its outputs adds to each class; weights of shape (members, C, C + A)."""
    columns = 2 if len(members) <= 4 else 3 if len(members) <= 9 else 4
    lines = -(-len(members) // columns)
    inputs = [short(name, 12) for name in (*emotions, *attributes)]
    with matplotlib.style.context(["default", STYLE]):
        width, height = 2.1 + 0.215 * len(inputs) * columns, 1.3 + (0.215 * len(emotions) + 0.42) * lines
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        most = float(np.abs(weights).max()) or 1.0
        for position, axes in enumerate(grid.flat):
            if position >= len(members):
                axes.set_visible(False)
                continue
            image = axes.imshow(weights[position], cmap="PuOr_r", vmin=-most, vmax=most)
            axes.set_title(short(members[position], 26), fontsize=10.5)
            axes.set_yticks(range(len(emotions)), [short(name, 12) for name in emotions], fontsize=9.5)
            axes.set_xticks(range(len(inputs)), inputs, rotation=90, fontsize=9.5)
            axes.tick_params(labelbottom=position + columns >= len(members))
            white_cells(axes, len(inputs), len(emotions))
            if attributes:
                axes.axvline(len(emotions) - 0.5, color=INK, linewidth=1.4)
        figure.supxlabel(
            "input: the member's posterior of …" + (", then its attributes" if attributes else ""), fontsize=11
        )
        figure.supylabel("adds to the logit of …", fontsize=11)
        bar = figure.colorbar(image, ax=grid, shrink=min(1.0, 0.6 + 0.2 / lines), pad=0.02, aspect=25)
        bar.set_label("weight (logit per unit of input)")
        bar.outline.set_visible(False)
        return png_bytes(figure)


def class_counts(classes: Sequence[str], every: Sequence[int], drawn: Sequence[int]) -> bytes:
    """Training rows of each class in a Stage 1 epoch and in a Stage 2 epoch."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(6.6, 1.4 + 0.52 * len(classes)), layout="constrained")
        axes = figure.subplots()
        lines = np.arange(len(classes))
        for counts, offset, colour, hatch, label in (
            (every, -0.2, SKY, "", "all rows: every Stage 1 epoch"),
            (drawn, 0.2, BLUE, "////", "balanced draw: every Stage 2 epoch"),
        ):
            bars = axes.barh(
                lines + offset,
                counts,
                height=0.38,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                label=label,
            )
            axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize=9.5)
        axes.set_yticks(lines, [short(name, 22) for name in classes])
        axes.set(ylim=(len(classes) - 0.45, -0.55), xlabel="training rows", xlim=(0, 1.1 * max(*every, *drawn)))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        figure.legend(loc="outside upper left", frameon=False, ncols=2, fontsize=10)
        return png_bytes(figure)


def short(name: str, most: int) -> str:
    """A name that fits a figure; the end is kept, since names differ there (`…/authors-2.csv`)."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _mark_stages(axes: Axes, epochs: npt.NDArray[np.int64], stages: npt.NDArray[np.int64], named: bool) -> None:
    """Shade every second stage and draw a line where the stage changes."""
    starts = [0, *(int(place) + 1 for place in np.flatnonzero(np.diff(stages)))]
    for start, end in zip(starts, [*starts[1:], len(epochs)], strict=True):
        left, right = epochs[start] - 0.5, epochs[end - 1] + 0.5
        if start:
            axes.axvline(left, color=INK, linestyle="--", linewidth=1.3)
            axes.axvspan(left, right, color="#f1f1f1", zorder=0)
        if named:
            axes.annotate(
                f"Stage {stages[start]}", ((left + right) / 2, 1), xycoords=axes.get_xaxis_transform(),
                xytext=(0, 3), textcoords="offset points", ha="center", fontweight="bold", fontsize=10,
            )  # fmt: skip


def white_cells(axes: Axes, columns: int, rows: int) -> None:
    """White lines between the cells of an image, no frame."""
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def png_bytes(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
