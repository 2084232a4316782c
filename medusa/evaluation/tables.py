"""Figures of the paper's tables that are computed from other figures."""

from __future__ import annotations


def paper_delta(full: float, ablated: float) -> float:
    """Table 2's Δ as the paper prints it, in percent: the loss relative to the *ablated* score.

    -(F1_full - F1_ablated) / F1_ablated; applied to the printed averages it gives every printed Δ.
    """
    return -100 * (full - ablated) / ablated


def conventional_delta(full: float, ablated: float) -> float:
    """The loss relative to the full model's score, in percent, negative where ablating hurts."""
    return -100 * (full - ablated) / full
