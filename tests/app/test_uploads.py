from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from medusa.app.uploads import RoomLimit, sweep


def test_what_is_old_is_deleted_wherever_it_lies(tmp_path: Path) -> None:
    outside, recordings = tmp_path / "outside.wav", tmp_path / "recordings"
    old = [recordings / "0a1b" / "clip.wav", recordings / "tmp_broken_off", recordings / "link.wav"]
    fresh = recordings / "2c3d" / "clip.wav"
    for file in (outside, old[0], old[1], fresh):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"RIFF")
    old[2].symlink_to(outside)
    for file in (outside, *old):
        os.utime(file, (time.time() - 101,) * 2, follow_symlinks=False)
    os.utime(fresh, (time.time() - 90,) * 2)
    sweep(recordings, 100)
    assert [path for path in recordings.rglob("*") if not path.is_dir()] == [fresh]
    assert outside.exists()


@pytest.mark.parametrize(
    ("method", "path", "kept", "status"),
    [
        ("POST", "/gradio_api/upload", 100, 507),
        ("POST", "/gradio_api/upload", 99, 200),
        ("POST", "/gradio_api/queue/join", 100, 200),
        ("GET", "/gradio_api/upload", 100, 200),
    ],
)
def test_uploads_wait_until_there_is_room(method: str, path: str, kept: int, status: int, tmp_path: Path) -> None:
    (tmp_path / "0a1b").write_bytes(bytes(kept))
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path}
    asyncio.run(RoomLimit(app, tmp_path, most=100)(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == status
