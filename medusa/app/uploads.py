"""What becomes of the recordings that the page was given: how many of them it keeps, and for how long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class RoomLimit:
    """Refuses uploads (507) while the files below a folder have `most` bytes or more."""

    def __init__(self, app: ASGIApp, folder: Path, most: int) -> None:
        self._app, self._folder, self._most = app, folder, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        uploads = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload")
        if not uploads or sum(stat.st_size for _, stat in _files(self._folder)) < self._most:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 507, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"this page has no room for more recordings; try later"})


def keep_swept(folder: Path, age: float, every: float) -> None:
    """`sweep` for ever; `every` and `age` in seconds."""
    while True:
        time.sleep(every)
        sweep(folder, age)


def sweep(folder: Path, age: float) -> None:
    """Delete files below the folder into which nothing was written for `age` seconds.

    Those of uploads that broke off are among them: gradio forgets these, so that its own sweeping would leave them.
    """
    oldest = time.time() - age
    for file, stat in _files(folder):
        if stat.st_mtime < oldest:
            file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All but folders; links as what they are."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # gradio moves uploads when they are whole
            if not path.is_dir():
                yield path, path.lstat()
