"""The page as its users meet it: the command runs in a process of its own, Debian's Chromium opens what it serves.

Where there is no Chromium the tests that need it are skipped, with that reason in pytest's summary; in CI they fail.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
from playwright.sync_api import Page, expect, sync_playwright

from medusa.app import serve
from medusa.app.model import Medusa
from tests.app.conftest import RATE, ROOT, Trained, clip_name, sound

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
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


def start(bundle: Path, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The command and the address it prints; `folder` is where temporary files go."""
    command = [sys.executable, "-m", "medusa", "serve", str(bundle), "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "no_proxy": "*"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("page: http://127.0.0.1:"), line
    return process, line.split()[1]


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("temporary")
    process, url = start(bundle, folder)
    with process:
        try:
            yield Served(url, folder)
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.fixture
def visit(served: Served) -> Iterator[Visit]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium; run: apt-get install chromium")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET + MICROPHONE)
        opened = Visit(browser.new_page())
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(served.url)
        yield opened
        browser.close()


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


def test_the_microphone_records(visit: Visit) -> None:
    visit.page.get_by_label("Record audio").click()
    visit.page.get_by_role("button", name="Record", exact=True).click()
    visit.page.wait_for_timeout(1500)
    visit.page.get_by_role("button", name="Stop").click()
    expect(visit.page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=WAIT)
    visit.ask()
    expect(visit.page.locator(".verdict")).to_be_visible(timeout=WAIT)


# --- over the wire ---


def test_no_file_but_an_upload_is_handed_out(served: Served, bundle: Path, trained: Trained) -> None:
    clip = trained.audio / clip_name(0)
    uploaded = upload(served.url, clip)
    assert status(served.url, uploaded) == 200
    for path in (
        "/etc/passwd", "//etc/passwd", "../../../../etc/passwd", "%2Fetc%2Fpasswd", "..%2F..%2Fetc%2Fpasswd",
        f"{Path(uploaded).parent}/../../../../../../etc/passwd", "README.md", f"{ROOT}/README.md",
        f"{bundle}/bundle.json", str(clip),
    ):  # fmt: skip
        assert status(served.url, path) in {403, 404}, path


@pytest.mark.parametrize("stream", [False, True])
def test_no_recording_but_an_upload_is_judged(stream: bool, served: Served, trained: Trained) -> None:
    clip = trained.audio / clip_name(0)
    assert "verdict" in asked_directly(served.url, upload(served.url, clip), stream)
    refused = asked_directly(served.url, str(clip), stream)
    assert '"success":false' in refused
    assert "verdict" not in refused


def test_no_link_is_followed(served: Served) -> None:
    assert "no links" in asked_directly(served.url, "https://example.invalid/clip.wav", stream=False)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_recordings_are_deleted_when_the_page_stops(
    bundle: Path, trained: Trained, tmp_path: Path, ending: signal.Signals
) -> None:
    process, url = start(bundle, tmp_path)
    with process:
        kept = Path(upload(url, trained.audio / clip_name(0)))
        assert kept.is_relative_to(tmp_path)
        assert kept.is_file()
        process.send_signal(ending)
    assert process.returncode == 0
    assert not list(tmp_path.glob("medusa-*"))


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


def asked_directly(url: str, path: str, stream: bool) -> str:
    """What the page's server sends back about a recording, by gradio's own protocol; any path can be named there."""
    session = f"session-{abs(hash((path, stream)))}"
    clip: dict[str, Any] = {"path": path, "is_stream": stream, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [clip], "fn_index": 0, "session_hash": session}).encode()
    fetched(urllib.request.Request(f"{url}/gradio_api/queue/join", body, {"Content-Type": "application/json"}))
    return fetched(f"{url}/gradio_api/queue/data?session_hash={session}").decode()


def fetched(request: str | urllib.request.Request) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return bytes(response.read())


# --- what it says ---


def test_without_a_clip_it_asks_for_one(medusa: Medusa) -> None:
    assert "Record or upload a clip first." in serve.judge(medusa, None)[0]


def test_a_clip_that_is_too_long_is_refused_before_it_is_decoded(
    medusa: Medusa, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = str(trained.audio / clip_name(20))
    assert "verdict" in serve.judge(medusa, clip)[0]
    monkeypatch.setattr(serve, "MINUTES", 0.02)  # 1.2 s; the clip lasts 1.3
    monkeypatch.setattr(Medusa, "answers", None)
    said, _ = serve.judge(medusa, clip)
    assert f'role="alert">{clip_name(20)}: 0.0 minutes long; this page takes 0.02' in said
