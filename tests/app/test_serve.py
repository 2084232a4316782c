"""The page as its users meet it: the command runs in a process of its own, Debian's Chromium opens what it serves.

Where there is no Chromium the tests that need it are skipped: `browser` in tests/conftest.py.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile
from playwright.sync_api import Browser, Page, expect

from medusa.app import serve
from medusa.app.model import Medusa
from tests.app.conftest import RATE, ROOT, Trained, clip_name, sound
from tests.test_audio import write_stream

WAIT = 30_000
"""Milliseconds; a prediction takes a second where nothing else runs."""


@dataclass
class Served:
    """A page that is being served."""

    url: str
    recordings: Path
    """What becomes of the folder of uploads."""


@dataclass
class Visit:
    """A page opened in the browser, and the addresses that it asked for."""

    page: Page
    asked: list[str] = field(default_factory=list)

    def choose(self, clip: Path) -> None:
        """Upload a clip and wait until the page holds it."""
        self.page.set_input_files("input[type=file]", clip)
        expect(self.page.get_by_label("Clear")).to_be_visible(timeout=WAIT)

    def ask(self) -> None:
        self.page.get_by_role("button", name="Which emotion?").click()


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The command, but that it looks for old recordings more often; SIGTERM ends it and deletes all."""
    folder = tmp_path_factory.mktemp("temporary")
    code = "import sys; from medusa import __main__; from medusa.app import serve; serve.SWEEP = 0.2; __main__.main()"
    command = [sys.executable, "-c", code, "serve", str(bundle), "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "no_proxy": "*"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("page: http://127.0.0.1:"), line
            yield Served(line.split()[1], folder)
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not list(folder.glob("medusa-*"))


@pytest.fixture
def visit(served: Served, browser: Browser) -> Iterator[Visit]:
    """In a context of its own: a visitor who comes for the first time."""
    with browser.new_context() as context:
        opened = Visit(context.new_page())
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(served.url)
        yield opened


# --- in the browser ---


def test_a_clip_gets_its_answer(visit: Visit, medusa: Medusa, trained: Trained) -> None:
    clip = trained.audio / clip_name(12)
    (expected,) = medusa.predict([clip]).to_dict("records")
    visit.choose(clip)
    visit.ask()
    expect(visit.page.locator(".verdict b")).to_have_text(expected["Emotion"], timeout=WAIT)
    bars = {
        row.locator("th").inner_text(): (row.locator(".number").inner_text(), row.locator(".bar").bounding_box())
        for row in visit.page.locator(".bars tr").all()
    }
    assert {name: number for name, (number, _) in bars.items()} == {
        name: f"{expected[name]:.0%}" for name in medusa.labelling.emotions
    }
    assert all(box is not None and box["width"] > 100 for _, box in bars.values())
    assert visit.page.locator(".transcript").inner_text() == expected["Transcript"]
    assert visit.page.locator(".members tr").count() == 2
    assert visit.page.locator(".pieces").count() == 0
    visit.page.set_viewport_size({"width": 390, "height": 844})
    scale = visit.page.locator(".scale > span").first.bounding_box()
    assert scale is not None
    assert scale["width"] > 100
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
    own = visit.page.url.rstrip("/")
    assert [url for url in visit.asked if not url.startswith((f"{own}/", f"blob:{own}", "data:"))] == []
    assert any("/gradio_api/upload" in url for url in visit.asked)


def test_a_long_clip_is_told_piece_by_piece(visit: Visit, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    scipy.io.wavfile.write(long, RATE, np.concatenate([sound(number, 4.5) for number in range(3)]))
    visit.choose(long)
    visit.ask()
    expect(visit.page.locator(".pieces tbody th")).to_have_text(["0:00–0:04", "0:04–0:09", "0:09–0:14"], timeout=WAIT)


def test_what_is_no_recording_gets_a_message_and_the_page_goes_on(
    visit: Visit, trained: Trained, tmp_path: Path
) -> None:
    rubbish = tmp_path / "rubbish.wav"
    rubbish.write_text("Traceback (most recent call last)? No: no audio at all.\n" * 50)
    visit.choose(rubbish)
    visit.ask()
    problem = visit.page.get_by_role("alert").filter(has_text="rubbish.wav")
    expect(problem).to_contain_text("rubbish.wav: cannot be decoded", timeout=WAIT)
    assert "Traceback" not in visit.page.inner_text("body")
    assert "gradio/" not in problem.inner_text()
    visit.page.get_by_label("Clear").click()
    expect(visit.page.locator(".answer.empty")).to_be_visible(timeout=WAIT)
    visit.choose(trained.audio / clip_name(13))
    visit.ask()
    expect(visit.page.locator(".verdict")).to_be_visible(timeout=WAIT)


def test_a_file_that_is_too_large_gets_a_message(visit: Visit, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    scipy.io.wavfile.write(large, RATE, np.zeros((serve.MEGABYTES + 1) * 2**19, np.int16))
    visit.page.set_input_files("input[type=file]", large)
    expect(visit.page.get_by_text(f"maximum allowed size of {serve.MEGABYTES}.0 Mb")).to_be_visible(timeout=WAIT)


def test_the_microphone_records_and_the_page_waits_for_a_slow_upload(visit: Visit) -> None:
    expect(visit.page.get_by_role("button", name="Which emotion?")).to_be_disabled()
    visit.page.get_by_label("Record audio").click()
    visit.page.get_by_role("button", name="Record", exact=True).click()
    visit.page.wait_for_timeout(700)
    network = visit.page.context.new_cdp_session(visit.page)
    network.send("Network.emulateNetworkConditions", conditions(latency=300))
    visit.page.get_by_role("button", name="Stop").click()
    expect(visit.page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=WAIT)
    button = visit.page.get_by_role("button", name="Which emotion?")
    expect(button).to_be_enabled(timeout=WAIT)
    # The answer comes as a stream, which Chromium has been seen to hold back for ever while it emulates.
    network.send("Network.emulateNetworkConditions", conditions(latency=0))
    visit.ask()
    expect(visit.page.locator(".verdict")).to_be_visible(timeout=WAIT)


def conditions(latency: int) -> dict[str, Any]:
    """Of a network, for Chromium; milliseconds of latency, 0: as it is."""
    return {"offline": False, "latency": latency, "downloadThroughput": -1, "uploadThroughput": -1}


# --- over the wire ---


def test_no_file_but_an_upload_is_handed_out(served: Served, bundle: Path, trained: Trained) -> None:
    clip = trained.audio / clip_name(0)
    uploaded = upload(served.url, clip)
    assert status(served.url, uploaded) == 200
    folder, secret = Path(uploaded).parent, bundle / "bundle.json"
    for link, target in {"link.wav": secret, "folder": bundle, "clip.wav": clip}.items():
        (folder / link).symlink_to(target)
    up = "../" * (len(folder.parts) - 1)  # to the root
    quoted = urllib.parse.quote(str(secret), safe="")
    for path in (
        *(f"{folder}/{name}" for name in ("link.wav", "folder/bundle.json", "clip.wav", "")),
        str(secret), f"/{secret}", f"file://{secret}", quoted, f"{folder}/{up}{secret}",
        f"{folder}/{up.replace('/', '%2F')}{quoted}", f"{up}{str(secret)[1:]}", "README.md", f"{ROOT}/README.md",
        str(clip),
    ):  # fmt: skip
        assert status(served.url, path) in {403, 404}, path


def test_a_request_brings_no_more_than_one_upload_may_have(served: Served) -> None:
    """Several files that are each small enough."""
    for headers in ({"Content-Length": str(60 * 10**6)}, {"Content-Length": "1" * 5000}, {"Content-Length": "-1"}):
        connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=10)
        connection.putrequest("POST", "/gradio_api/upload")
        for name, value in (headers | {"Content-Type": "multipart/form-data; boundary=x"}).items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status in (400, 413)
        connection.close()


def test_an_upload_that_does_not_say_how_large_it_is_is_cut_off_on_the_way(served: Served) -> None:
    """Five files of 30 MB, so that each is small enough; the end of the last never comes."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    parts = [head, *[bytes(2**20)] * 30, b"\r\n"] * 5
    with connected(served.url) as wire:
        wire.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: page\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        with suppress(ConnectionError):
            for part in parts:
                wire.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        assert wire.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("stream", [False, True])
def test_no_recording_but_an_upload_is_judged(stream: bool, served: Served, trained: Trained) -> None:
    clip = trained.audio / clip_name(0)
    assert "verdict" in asked_directly(served.url, upload(served.url, clip), stream)
    refused = asked_directly(served.url, str(clip), stream)
    assert '"success":false' in refused
    assert "verdict" not in refused


def test_no_link_is_followed(served: Served) -> None:
    assert "no links" in asked_directly(served.url, "https://example.invalid/clip.wav", stream=False)


def test_only_so_many_clips_wait_and_only_so_many_connections_are_open(served: Served, trained: Trained) -> None:
    clip = upload(served.url, trained.audio / clip_name(0))
    answers = [joined(served.url, clip, f"waiting-{number}") for number in range(2 * serve.QUEUE)]
    assert set(answers) == {200, 503}
    assert answers.count(200) >= serve.QUEUE
    with ExitStack() as open_ones:
        for _ in range(serve.CONNECTIONS):
            open_ones.enter_context(connected(served.url))
        assert status(served.url, clip) == 503
    deadline = time.monotonic() + 20
    while status(served.url, clip) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status(served.url, clip) == 200


def test_an_upload_waits_until_there_is_room(served: Served, trained: Trained) -> None:
    (folder,) = served.recordings.glob("medusa-*")
    much = folder / "much"
    with much.open("wb") as file:
        file.truncate(serve.ROOM)
    with pytest.raises(urllib.error.HTTPError, match="507") as refused:
        upload(served.url, trained.audio / clip_name(0))
    refused.value.close()
    much.unlink()
    assert upload(served.url, trained.audio / clip_name(0))


def test_recordings_are_deleted_when_they_are_old(served: Served, trained: Trained) -> None:
    old, fresh = (Path(upload(served.url, trained.audio / clip_name(number))) for number in (7, 8))
    assert old.is_relative_to(served.recordings)
    os.utime(old, (time.time() - serve.KEPT - 1,) * 2)
    deadline = time.monotonic() + 20
    while old.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not old.exists()
    assert fresh.exists()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_recordings_are_deleted_whatever_signal_ends_the_page(
    ending: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, in place of uvicorn, which raises anew what ended it; the whole: `served`."""

    def run(app: Any, listener: Any) -> None:
        (folder,) = tmp_path.iterdir()
        (folder / "clip.wav").write_bytes(b"RIFF")
        signal.raise_signal(ending)
        pytest.fail("goes on")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "restored")
    monkeypatch.setattr(Medusa, "from_pretrained", lambda *given, **named: None)
    monkeypatch.setattr(serve, "build_page", lambda *given: None)
    monkeypatch.setattr(serve, "_run", run)
    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        serve.serve("any", port=0)
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
    assert not list(tmp_path.iterdir())


def upload(url: str, clip: Path) -> str:
    """Where the page keeps the clip."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n%b\r\n--x--\r\n'
        % clip.read_bytes()
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    (path,) = json.loads(fetched(urllib.request.Request(f"{url}/gradio_api/upload", body, kind)))
    return str(path)


def status(url: str, path: str) -> int:
    try:
        fetched(f"{url}/gradio_api/file={path}")
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def joined(url: str, path: str, session: str, stream: bool = False) -> int:
    """Ask about a recording by gradio's own protocol, in which any path can be named; the status."""
    clip: dict[str, Any] = {"path": path, "is_stream": stream, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [clip], "fn_index": 0, "session_hash": session}).encode()
    try:
        fetched(urllib.request.Request(f"{url}/gradio_api/queue/join", body, {"Content-Type": "application/json"}))
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def asked_directly(url: str, path: str, stream: bool) -> str:
    """What the page's server sends back about a recording."""
    session = f"session-{abs(hash((path, stream)))}"
    assert joined(url, path, session, stream) == 200
    return fetched(f"{url}/gradio_api/queue/data?session_hash={session}").decode()


def fetched(request: str | urllib.request.Request) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return bytes(response.read())


# --- what it says ---


def test_without_a_clip_it_asks_for_one(medusa: Medusa) -> None:
    assert "Record or upload a clip first." in serve.judge(medusa, None)[0]


def test_a_recording_that_does_not_say_how_long_it_is_is_refused(medusa: Medusa, tmp_path: Path) -> None:
    said, timeline = serve.judge(medusa, str(write_stream(tmp_path / "stream.flac")))
    assert 'role="alert">stream.flac: does not say how long it is; save it as WAV' in said
    assert timeline == ""


def test_a_recording_whose_header_alone_is_sound_gets_a_message(medusa: Medusa, tmp_path: Path) -> None:
    scipy.io.wavfile.write(tmp_path / "empty.wav", RATE, np.zeros(0, np.int16))
    said, _ = serve.judge(medusa, str(tmp_path / "empty.wav"))
    assert 'role="alert">empty.wav: holds no samples' in said


def test_a_clip_that_is_too_long_is_refused_before_it_is_decoded(
    medusa: Medusa, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = str(trained.audio / clip_name(20))
    assert "verdict" in serve.judge(medusa, clip)[0]
    monkeypatch.setattr(serve, "MINUTES", 0.02)  # 1.2 s; the clip lasts 1.3
    monkeypatch.setattr(Medusa, "answers", None)
    said, _ = serve.judge(medusa, clip)
    assert f'role="alert">{clip_name(20)}: 0.0 minutes long; this page takes 0.02' in said


@pytest.mark.parametrize(("channels", "rate", "seconds"), [(8, 48_000, 200), (1, 655_350, 100), (1, 8_000, 601)])
def test_what_decodes_to_far_more_than_its_size_is_refused_before_it_is(
    medusa: Medusa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, rate: int, seconds: int
) -> None:
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", rate, channels, format="FLAC") as file:
        for _ in range(seconds):
            file.write(np.zeros((rate, channels), np.int16))
    assert path.stat().st_size < serve.MEGABYTES * 10**6
    monkeypatch.setattr(Medusa, "answers", None)
    said, _ = serve.judge(medusa, str(path))
    assert 'role="alert">silence.flac: ' in said
    assert "this page takes" in said
