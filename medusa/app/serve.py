"""A bundle as a page in the browser: record or upload a clip, see what the ensemble says of it.

The page loads nothing from elsewhere, sends nothing elsewhere and hands out no file but the recordings it was given.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medusa.app.body_limit import BodyLimit
from medusa.app.model import Medusa
from medusa.app.page import EMPTY, STYLE, answer_html, intro_html, limits_html, problem_html, timeline_html
from medusa.app.uploads import RoomLimit, keep_swept
from medusa.audio import UNKNOWN, read_header
from medusa.errors import UserError

if TYPE_CHECKING:
    import gradio
    from fastapi import FastAPI

MEGABYTES = 50
"""Size of an upload at most."""

MINUTES = 10
"""Length of a recording at most."""

SAMPLES = 2 * 48_000 * 60 * MINUTES
"""Of all channels of a recording at most: stereo at 48 kHz."""

QUEUE = 20
"""Clips that wait at most; one is worked on at a time."""

ROOM = QUEUE * MEGABYTES * 2**20
"""Bytes of all recordings that are kept; uploads are refused where there are as many."""

CONNECTIONS = 200
"""To browsers at once; a page needs up to six."""

GRACE = 3
"""Seconds that pages which are still open get before the end."""

KEPT = 3600
"""Seconds that a recording is kept."""

SWEEP = 60
"""Seconds between two looks for recordings that are older."""


def serve(bundle: str, host: str = "127.0.0.1", port: int = 7860, device: str = "auto") -> None:
    """Serve the page until Ctrl-C or SIGTERM; then every recording is deleted.

    Args:
        bundle: A folder, or a hub id.
        host: Address to listen on.
        port: 0: any that is free.
        device: auto, cpu, cuda or cuda:1.

    Raises:
        UserError: gradio is not installed, the address is not free, or the bundle cannot be loaded.
    """
    _require_gradio()
    with _listen(host, port) as listener, tempfile.TemporaryDirectory(prefix="medusa-") as recordings:
        os.environ["GRADIO_TEMP_DIR"] = recordings
        app = build_page(Medusa.from_pretrained(bundle, device=device), Path(recordings))
        named = f"[{host}]" if ":" in host else host
        print(f"page: http://{named}:{listener.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        # uvicorn raises anew the signal that stopped it: as KeyboardInterrupt, so that the recordings are deleted.
        for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # SIGINT is ignored in a shell's background
            signal.signal(ending, signal.default_int_handler)
        threading.Thread(target=keep_swept, args=(Path(recordings), KEPT, SWEEP), daemon=True).start()
        with suppress(KeyboardInterrupt):
            _run(app, listener)


def build_page(medusa: Medusa, recordings: Path) -> FastAPI:
    """The page as a web application; `recordings` is the folder GRADIO_TEMP_DIR."""
    import gradio
    from fastapi import FastAPI

    description = medusa.description
    with gradio.Blocks(title=f"MEDUSA: {description.name}", analytics_enabled=False) as blocks:
        gradio.HTML(intro_html(description), padding=False)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=300):
                clip = gradio.Audio(sources=["upload", "microphone"], type="filepath", label="Clip", buttons=[])
                _refuse_links(clip)
                button = gradio.Button("Which emotion?", variant="primary", interactive=False)
                gradio.HTML(limits_html(MEGABYTES, MINUTES), padding=False)
            with gradio.Column(scale=3, min_width=300):
                answer = gradio.HTML(EMPTY, padding=False)
        timeline = gradio.HTML(padding=False)
        said = [answer, timeline]
        button.click(functools.partial(judge, medusa), clip, said, api_visibility="private", show_progress_on=answer)
        # Who asks before a recording has arrived would see the answer replaced by nothing when it does.
        clip.change(
            lambda recording: (EMPTY, "", gradio.Button(interactive=recording is not None)),
            clip, [*said, button], api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip
    blocks.queue(default_concurrency_limit=1, max_size=QUEUE, api_open=False)
    # Else gradio would take and hand out any file that a request names: it checks that a file was uploaded here only
    # where it started the server itself.
    blocks.has_launched = True
    # Fonts of the system, because a theme may name some that are loaded from elsewhere; and every switch that gradio
    # would take from a variable of the environment.
    theme = gradio.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    ).set(
        button_primary_background_fill="#0072b2",
        button_primary_background_fill_hover="#005c8f",
        button_primary_background_fill_dark="#0072b2",
        button_primary_background_fill_hover_dark="#005c8f",
    )
    app: FastAPI = gradio.mount_gradio_app(
        FastAPI(openapi_url=None), blocks, path="/", allowed_paths=[], max_file_size=f"{MEGABYTES}mb", show_error=False,
        footer_links=[], run_history=False, ssr_mode=False, mcp_server=False, pwa=False, enable_monitoring=False,
        theme=theme, css=STYLE,
    )  # fmt: skip
    # gradio limits each file, not how many a request brings, nor how many requests.
    app.add_middleware(BodyLimit, most=(MEGABYTES + 1) * 2**20)
    app.add_middleware(RoomLimit, folder=recordings, most=ROOM)
    return app


def _refuse_links(clip: gradio.Audio) -> None:
    """Else gradio fetches what a request names by its address, from wherever that is."""
    from gradio import Error

    keep = clip.async_move_resource_to_block_cache

    async def keep_file(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise Error("The page takes files, no links.")
        return await keep(url_or_file_path)

    clip.async_move_resource_to_block_cache = keep_file  # type: ignore[method-assign]


def judge(medusa: Medusa, recording: str | None) -> tuple[str, str]:
    """The page's answer to a recording and its timeline, as HTML; None: there is no recording yet."""
    if recording is None:
        return problem_html("Record or upload a clip first."), ""
    path = Path(recording)
    try:
        _require_length(path)
        (answer,) = medusa.answers([path])
        if isinstance(answer, UserError):
            raise answer
    except UserError as error:
        return problem_html(str(error).replace(recording, path.name)), ""
    features = {member.name: member.config.features for member in medusa.description.members}
    return answer_html(answer, medusa.description.abstention, features), timeline_html(answer)


def _run(app: FastAPI, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE, limit_concurrency=CONNECTIONS)
    uvicorn.Server(config).run(sockets=[listener])


def _require_length(path: Path) -> None:
    """Refuse by the header what would take too long, or more memory than an upload of that size lets expect."""
    header = read_header(path)
    if header.frames >= UNKNOWN:
        raise UserError(f"{path}: does not say how long it is; save it as WAV, or take `medusa predict`")
    if header.seconds > MINUTES * 60:
        raise UserError(
            f"{path}: {header.seconds / 60:.1f} minutes long; this page takes {MINUTES}, `medusa predict` any length"
        )
    if header.frames * header.channels > SAMPLES:
        raise UserError(
            f"{path}: {header.channels} channels at {header.rate} Hz; this page takes {SAMPLES / 1e6:.0f} million "
            "samples, `medusa predict` any number"
        )


def _require_gradio() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs the package gradio; run: pip install -r requirements-app.txt")


def _listen(host: str, port: int) -> socket.socket:
    """A socket that connections already wait at while the bundle is loaded."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: must be 0 ... 65535 (0: any free one)")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: cannot listen there ({error.strerror}); choose others") from None
