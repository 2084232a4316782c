"""How much a request to the page may bring."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSAL: dict[str, Message] = {
    "http.response.start": {"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]},
    "http.response.body": {"type": "http.response.body", "body": b"more than this page takes"},
}


class BodyLimit:
    """Refuses a body of more than `most` bytes (413): before it comes if the request says so, else on the way."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        from starlette.requests import ClientDisconnect

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._most:
            for message in REFUSAL.values():
                await send(message)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= self._most else {"type": "http.disconnect"}

        async def answered(message: Message) -> None:
            await send(message if taken <= self._most else REFUSAL[message["type"]])

        with suppress(ClientDisconnect):  # else a traceback for whoever closes the page too early
            await self._app(scope, limited, answered)
