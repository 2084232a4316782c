"""What the ensemble says along a long recording, as a picture.

Colours as in `medusa.evaluation.plots`; the emotion of a band is also written into it, and the bands lie in one order.
"""

from __future__ import annotations

from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from medusa.app.answers import Answer
from medusa.evaluation.plots import BLUE, GREEN, GREY, INK, ORANGE, SKY, STYLE, VERMILION, png_bytes, short

YELLOW, PURPLE = "#F0E442", "#CC79A7"
BANDS = (VERMILION, BLUE, YELLOW, ORANGE, PURPLE, GREEN, INK, "#c9c9c9", SKY)
"""Okabe and Ito's, so ordered that MSP-Podcast's emotions get the colours readers expect; further ones are hatched."""

DARK = (VERMILION, BLUE, GREEN, INK)
"""Bands on which text is white."""

LINES = {"EmoAct": ("arousal", VERMILION, "-", "o"), "EmoVal": ("valence", BLUE, "--", "s"),
         "EmoDom": ("dominance", GREEN, ":", "^")}  # fmt: skip


def timeline_plot(answer: Answer) -> bytes:
    """Posteriors of each piece as a stack over seconds, unsure pieces marked above, attributes below; PNG."""
    with matplotlib.style.context(["default", STYLE]):
        rows = 2 if answer.labelling.attributes else 1
        figure = Figure(figsize=(10, 3.4 + 1.9 * (rows - 1)), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [2.1, 1][:rows]})[
            :, 0
        ]
        figure.suptitle(short(answer.file.name, 70), x=0.01, ha="left", fontsize=13, fontweight="bold")
        _posteriors(axes[0], answer)
        if rows == 2:
            _attributes(axes[1], answer)
        end = answer.segments[-1].end
        axes[-1].set(xlim=(0, end), xlabel="time (s)" if end < 120 else "time (min:s)")
        if end >= 120:
            axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 1.5, 3, 6]))
            axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value // 60:.0f}:{value % 60:02.0f}"))
        return png_bytes(figure)


def _posteriors(axes: Axes, answer: Answer) -> None:
    starts, lengths = _extent(answer)
    bottom = np.zeros(len(starts))
    end = answer.segments[-1].end
    for place, emotion in enumerate(answer.labelling.emotions):
        share = answer.posteriors[:, place].astype(float)
        colour, hatch = BANDS[place % len(BANDS)], "" if place < len(BANDS) else "///"
        axes.bar(
            starts, share, lengths, bottom, align="edge", color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.8 if len(starts) < 60 else 0, label=short(emotion, 14),
        )  # fmt: skip
        for start, length, low, height in zip(starts, lengths, bottom, share, strict=True):
            if height > 0.13 and length / end > 0.011 * len(short(emotion, 14)):
                axes.text(
                    start + length / 2, low + height / 2, short(emotion, 14), ha="center", va="center", fontsize=9.5,
                    color="white" if colour in DARK else INK,
                )  # fmt: skip
        bottom += share
    unsure = [row["Unsure"] for row in answer.pieces()]
    _mark_unsure(axes, starts, lengths, unsure)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=10)
    axes.set(ylim=(0, 1), ylabel="posterior")
    axes.set_yticks([0, 0.5, 1])


def _mark_unsure(axes: Axes, starts: Any, lengths: Any, unsure: list[bool]) -> None:
    """A hatched bar above each piece of which the ensemble is unsure."""
    for start, length, marked in zip(starts, lengths, unsure, strict=True):
        if marked:
            axes.bar(
                start, 0.045, length, 1.02, align="edge", color="white", hatch="/////", edgecolor=GREY, linewidth=0.8,
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
    if any(unsure):
        axes.annotate(
            "unsure", (1.008, 1.042), xycoords="axes fraction", va="center", fontsize=10, color="#555555",
            annotation_clip=False,
        )  # fmt: skip


def _attributes(axes: Axes, answer: Answer) -> None:
    starts, lengths = _extent(answer)
    middles = starts + lengths / 2
    for place, name in enumerate(answer.labelling.attributes):
        label, colour, line, marker = LINES[name]
        axes.plot(
            middles, answer.attributes[:, place], line, color=colour, marker=marker if len(starts) < 60 else "",
            markersize=5.5, linewidth=1.8, label=label,
        )  # fmt: skip
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=10)
    axes.set(ylim=(0.8, 7.2), ylabel="1 to 7")
    axes.set_yticks([1, 4, 7])
    axes.grid(axis="y")


def _extent(answer: Answer) -> tuple[Any, Any]:
    """Starts and lengths of the pieces in seconds."""
    starts = np.array([segment.start for segment in answer.segments])
    return starts, np.array([segment.end for segment in answer.segments]) - starts
