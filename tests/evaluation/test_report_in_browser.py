"""The report as its readers meet it: Chromium opens the file; nothing is loaded, nothing is missing, nothing spills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page

from medusa.evaluation import bootstrap
from medusa.evaluation.paper import Beside
from medusa.evaluation.report import write_report

if TYPE_CHECKING:
    from tests.evaluation.conftest import Runs

WIDTHS = {"a screen": 1280, "a telephone": 390}
PLACE = f"The recordings lie in {'/somewhere' * 20}."
"""A path breaks nowhere by itself, and runs and labels may lie in as deep a folder."""


@pytest.fixture(scope="module")
def file(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "DRAWS", 50)
        write_report(runs.folder, runs.ensembles, [], out, PLACE, Beside({"plain": 8}, {"three": 14}))
    return out / "report.html"


@pytest.fixture(params=list(WIDTHS.values()), ids=list(WIDTHS))
def page(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Page]:
    """Opened; whatever the console says or the page asks for is kept in its attributes."""
    with browser.new_context(viewport={"width": request.param, "height": 900}) as context:
        opened = context.new_page()
        complaints: list[str] = []
        asked: list[str] = []
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("requestfailed", lambda failed: complaints.append(f"failed: {failed.url[:80]}"))
        opened.on("request", lambda sent: asked.append(sent.url))
        opened.goto(file.as_uri())
        yield opened
        assert complaints == []
        assert [url for url in asked if url != file.as_uri() and not url.startswith("data:image/png")] == []


def test_every_picture_is_there_and_nothing_spills(page: Page) -> None:
    sizes = page.evaluate("[...document.images].map(one => [one.complete, one.naturalWidth, one.clientWidth])")
    assert len(sizes) == 10
    width = page.viewport_size["width"] if page.viewport_size else 0
    for complete, natural, shown in sizes:
        assert complete
        assert natural > 500
        assert 200 < shown <= width
    assert page.evaluate("document.documentElement.scrollWidth") == width, "only tables may scroll, in their own boxes"


def test_every_section_is_reached_from_the_top(page: Page) -> None:
    for link in page.locator("nav a").all():
        link.click()
        name = page.evaluate("location.hash").removeprefix("#")
        box = page.locator(f"section#{name} h2").bounding_box()
        assert box is not None
        assert -20 < box["y"] < 900


def test_the_three_tables_have_no_empty_cell(page: Page) -> None:
    for caption in ("Table 1", "Table 2. What", "Table 2, cell", "Table 3"):
        table = page.locator("table").filter(has=page.locator("caption", has_text=caption))
        assert table.count() == 1
        cells = table.locator("tbody td").all_inner_texts()
        assert len(cells) > 10
        assert all(cells)


def test_a_sheet_of_paper_holds_every_table(browser: Browser, file: Path) -> None:
    """A4 upright with the browser's margins; what does not fit would be cut off, for paper does not scroll."""
    with browser.new_context(viewport={"width": 718, "height": 1000}) as context:
        opened = context.new_page()
        opened.emulate_media(media="print")
        opened.goto(file.as_uri())
        boxes = (
            "[...document.querySelectorAll('.scroll')].map(one => [one.scrollWidth, one.clientWidth, one.innerText])"
        )
        for needed, there, text in opened.evaluate(boxes):
            assert needed <= there, text.splitlines()[0]


def test_a_page_that_asks_for_more_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    """The three tests above can fail: a picture that is missing and a script are told by the console."""
    broken = tmp_path / "broken.html"
    broken.write_text("<img src='gone.png'><script>throw new Error('no')</script>", encoding="utf-8")
    with browser.new_context() as context:
        opened = context.new_page()
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(broken.as_uri())
    assert any("ERR_FILE_NOT_FOUND" in text for text in said)
    assert any("no" in text for text in said)
