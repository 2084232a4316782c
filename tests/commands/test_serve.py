from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from medusa.__main__ import main


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(["serve", *arguments])
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_without_gradio_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    error = "error: the page needs the package gradio; run: pip install -r requirements-app.txt\n"
    assert error_of([str(tmp_path)], capsys) == error


def test_a_folder_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of([str(tmp_path), "--port", "0"], capsys).startswith(f"error: {tmp_path}: not a bundle")


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        error = error_of([str(tmp_path), "--port", port], capsys)
    assert error.startswith(f"error: --host 127.0.0.1 --port {port}: cannot listen there (Address already in use")


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_page_that_others_reach_is_warned_of(
    host: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = error_of([str(tmp_path), "--host", host, "--port", "0"], capsys).splitlines()
    warning = f"warning: --host {host}: the page has no password; whoever reaches this address can use it"
    assert lines[:-1] == [warning] * warned


@pytest.mark.parametrize("port", ["99999", "-5"])
def test_a_port_that_is_none(port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = f"error: --port {port}: must be 0 ... 65535 (0: any free one)\n"
    assert error_of([str(tmp_path), f"--port={port}"], capsys) == error
