"""Where and how precisely to compute: what `auto` comes to on processors of several kinds."""

from __future__ import annotations

import sys
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from medusa import device as devices
from medusa.config.schema import Compute, MetaConfig
from medusa.device import fastest_precision, prepare

CPU = torch.device("cpu")
KINDS = {
    "Zen 3": ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
    "Zen 4": ({"architecture": "x86_64", "avx2": True, "avx512_bf16": True, "amx_bf16": False}, "bf16"),
    "Sapphire Rapids": ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
    "Cortex-A72": ({"architecture": "arm64", "neon": True, "bf16": False}, "float32"),
    "Neoverse V1": ({"architecture": "arm64", "neon": True, "bf16": True}, "bf16"),
    "unknown to torch": ({}, "float32"),
}
"""What torch says of a processor, and the precision that is fastest there."""


def be(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Let torch describe another processor."""
    monkeypatch.setattr(devices, "cpu_capabilities", lambda: MappingProxyType(KINDS[kind][0]))
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.mark.parametrize("kind", KINDS)
def test_auto_is_bf16_where_the_processor_computes_in_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, kind)
    settled, device = prepare(MetaConfig(members=["a"], compute=Compute(device="cpu", precision="auto")))
    assert (settled.compute.precision, device) == (KINDS[kind][1], CPU)


def test_a_mac_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "Neoverse V1")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fastest_precision(CPU) == "float32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_gpus_since_ampere_compute_in_bf16(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fastest_precision(torch.device("cuda:0")) == expected


@pytest.mark.parametrize("kind", ["Zen 3", "Zen 4"])
def test_bf16_that_must_be_emulated_is_done_as_asked_and_told(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, kind)
    config = MetaConfig(members=["a"], compute=Compute(device="cpu", precision="bf16"))
    assert prepare(config)[0] == config
    told = capsys.readouterr().err
    assert ("compute.precision: bf16" in told and "auto" in told) if kind == "Zen 3" else told == ""


def test_what_torch_says_of_this_processor_is_what_the_kernel_says() -> None:
    """Linux lists the same instructions under other names."""
    listed = Path("/proc/cpuinfo")
    flags = listed.read_text(encoding="utf-8").split() if listed.exists() else []
    if {"avx512_bf16", "amx_bf16"} & set(flags):
        assert fastest_precision(CPU) == "bf16"
    elif "avx" in flags:
        assert fastest_precision(CPU) == "float32"
