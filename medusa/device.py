"""Choose where to compute, and say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from medusa.errors import UserError

if TYPE_CHECKING:
    from medusa.config.schema import Compute


def prepare_device(compute: Compute) -> torch.device:
    """Set the number of CPU threads and return the device ("auto": CUDA where there is one).

    Raises:
        UserError: the config asks for a CUDA device that is not there.
    """
    if compute.threads:
        torch.set_num_threads(compute.threads)
    available = torch.cuda.device_count()
    name = compute.device if compute.device != "auto" else ("cuda" if available else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        raise UserError(f"compute.device: {name} is not there (torch sees {available} CUDA devices); use cpu or auto")
    return device


def describe_device(device: torch.device) -> str:
    """For provenance: the GPU's name or "cpu", and the number of CPU threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return f"{name}, {torch.get_num_threads()} CPU threads"
