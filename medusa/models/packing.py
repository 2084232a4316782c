"""A batch of sequences as one row after the other, with no padding: only attention needs the padded form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """Which frame of which utterance each packed row is: (frames of all, D) ↔ padded (B, T, D).

    Linear layers, norms and dropout act on every frame by itself, so they run on packed rows and compute nothing for
    padding; in attention, the small part, padding is computed and masked.
    """

    lengths: Tensor
    """Frames of each utterance, (B,) int64, each ≥ 1."""
    utterance: Tensor
    """Of each packed row, (rows,) int64."""
    frame: Tensor
    """Of each packed row within its utterance, (rows,) int64."""
    time: int
    """T: frames of the longest utterance."""

    @classmethod
    def of(cls, lengths: Tensor) -> Packing:
        """(B,) lengths → the packing of utterances one after the other, laid out on the CPU.

        Raises:
            ValueError: an utterance has no frame; stores hold none such, and its mean would be 0 / 0.
        """
        lengths = lengths.cpu()  # where batches leave them: a look at them waits for no GPU
        if int(lengths.min()) < 1:
            raise ValueError(f"utterance {int(lengths.argmin())} of the batch has no frame; each must have one")
        utterance = torch.arange(len(lengths)).repeat_interleave(lengths)
        frame = torch.arange(len(utterance)) - (lengths.cumsum(0) - lengths)[utterance]
        return cls(lengths, utterance, frame, int(lengths.max()))

    @classmethod
    def joined(cls, packings: Sequence[Packing]) -> Packing:
        """‖ over time: the packing of rows that are put together with `torch.cat`, in this order."""
        lengths = torch.zeros_like(packings[0].lengths)
        frames = []
        for packing in packings:
            frames.append(packing.frame + lengths[packing.utterance])
            lengths = lengths + packing.lengths
        utterance = torch.cat([packing.utterance for packing in packings])
        return cls(lengths, utterance, torch.cat(frames), int(lengths.max()))

    def to(self, device: torch.device) -> Packing:
        """The same packing for rows on `device`."""
        lengths, utterance, frame = (
            part.to(device, non_blocking=True) for part in (self.lengths, self.utterance, self.frame)
        )
        return Packing(lengths, utterance, frame, self.time)

    @cached_property
    def mask(self) -> Tensor:
        """(B, T) bool, True where a frame is real."""
        return torch.arange(self.time, device=self.lengths.device) < self.lengths[:, None]

    @cached_property
    def _places(self) -> Tensor:
        """Of the packed rows among all B x T frames."""
        return self.utterance * self.time + self.frame

    def pack(self, padded: Tensor) -> Tensor:
        """(B, ≥ T, D) → (rows, D)."""
        places = self.utterance * padded.shape[1] + self.frame
        return padded.flatten(0, 1).index_select(0, places)

    def pad(self, packed: Tensor) -> Tensor:
        """(rows, D) → (B, T, D), zeros where there is no frame."""
        padded = packed.new_zeros(len(self.lengths) * self.time, packed.shape[1])
        return padded.index_copy(0, self._places, packed).view(len(self.lengths), self.time, -1)

    def mean(self, packed: Tensor) -> Tensor:
        """POOL of Algorithm 1: (rows, D) → (B, D), the mean over each utterance's frames."""
        return self.pad(packed).sum(dim=1) / self.lengths[:, None]
