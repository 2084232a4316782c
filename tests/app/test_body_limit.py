from __future__ import annotations

import asyncio
from typing import Any

from medusa.app.body_limit import BodyLimit


def test_a_body_that_grows_too_large_without_saying_so_is_cut_off() -> None:
    taken = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            taken.append(len(message["body"]))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 40, "more_body": True}

    asyncio.run(BodyLimit(app, most=100)({"type": "http", "headers": []}, receive, app))  # type: ignore[arg-type]
    assert taken == [40, 40]


def test_what_is_no_request_passes_as_it_is() -> None:
    """Such as the server's start and end."""
    met: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        met.append((scope, receive, send))

    given = {"type": "lifespan"}, object(), object()
    asyncio.run(BodyLimit(app, most=100)(*given))  # type: ignore[arg-type]
    assert met == [given]
