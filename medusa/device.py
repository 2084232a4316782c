"""Choose where and how precisely to compute, and say it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from medusa.errors import UserError

if TYPE_CHECKING:
    from medusa.config.schema import Compute, DeepSERConfig, ExtractConfig, MetaConfig, TranscribeConfig

Config = TypeVar("Config", "DeepSERConfig", "ExtractConfig", "MetaConfig", "TranscribeConfig")
"""One that says where and how precisely to compute."""

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""As torch names them, of x86 and ARM; a CPU needs one."""


def prepare(config: Config) -> tuple[Config, torch.device]:
    """The config with its precision settled, and the device; sets the number of CPU threads.

    Raises:
        UserError: the config asks for a CUDA device that is not there.
    """
    device = prepare_device(config.compute)
    if config.compute.precision == "auto":
        return with_precision(config, fastest_precision(device)), device
    if config.compute.precision == "bf16" and fastest_precision(device) != "bf16":
        print(
            f"warning: compute.precision: bf16, but {device.type} here has no instructions for it: it will take many "
            "times longer than float32; compute.precision=auto takes what is fastest",
            file=sys.stderr,
        )
    return config, device


def with_precision(config: Config, precision: str) -> Config:
    """The config computing in another precision, float32 or bf16."""
    return config.model_copy(update={"compute": config.compute.model_copy(update={"precision": precision})})


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


def fastest_precision(device: torch.device) -> str:
    """bf16 where the device has instructions for it, else float32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    able = cpu_capabilities()
    # On a Mac torch's products in bf16 do not use them (not measured; float32 is safe).
    return "bf16" if sys.platform != "darwin" and any(able.get(name) for name in BF16_INSTRUCTIONS) else "float32"


def cpu_capabilities() -> Mapping[str, Any]:
    """Of this CPU, by torch's names; nothing where this torch cannot tell."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def describe_device(device: torch.device) -> str:
    """For provenance: the GPU's name or "cpu", and the number of CPU threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return f"{name}, {torch.get_num_threads()} CPU threads"
