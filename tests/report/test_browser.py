"""The pages in Chromium, as a reader has them: on a phone and a desktop, in the dark and by day."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_support import BAD_NAME, entries, record, summary, write_faces

from vidfacedeblur.report import RunRecord, write_index, write_page

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update")
VIEWS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    api = pytest.importorskip("playwright.sync_api")
    with tempfile.TemporaryDirectory() as folder, api.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            folder, executable_path=CHROMIUM, args=list(FLAGS), headless=True
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind of page, by name."""
    folder = tmp_path_factory.mktemp("pages")
    made, faces = record(600, tracks=20), write_faces(folder / "faces", sharp=frozenset({2}))
    known: dict[str, Any] = {"record": made, "summary": summary(made, losses=("one",))}
    known |= {"provenance": {"options": {"strength": 1.0}}, "index_link": "index.html"}
    write_page(folder / "run.html", title="clip.mp4", faces=faces, **known)
    failed = {"record": record(40), "summary": None, "error": BAD_NAME}
    write_page(folder / "failed.html", title=BAD_NAME, **failed)  # type: ignore[arg-type]
    still = record(1, tracks=1)
    write_page(folder / "still.html", title="p.png", record=still, summary=summary(still))
    write_page(folder / "nothing.html", title="no", record=RunRecord(), summary=None, error="no")
    write_index(folder / "index.html", entries(1000), title="archive", seconds=100)
    return folder


@pytest.fixture
def opened(browser: BrowserContext, pages: Path) -> Iterator[Open]:
    """Open a page; it may say nothing on the console and ask for nothing but itself."""
    said: list[str] = []
    shown: list[Page] = []

    def open_page(name: str, width: int = 1440, scheme: Any = "light") -> Page:
        page = browser.new_page()
        shown.append(page)
        address = (pages / f"{name}.html").as_uri()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        own = (address, "data:")
        page.on("request", lambda r: None if r.url.startswith(own) else said.append(r.url))
        page.goto(address)
        return page

    yield open_page
    for page in shown:
        page.close()
    assert said == []


def axe_script() -> str:
    import importlib.util

    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no axe-playwright-python")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("name", ["run", "failed", "still", "nothing", "index"])
def test_it_fits_and_axe_finds_nothing(opened: Open, name: str, width: int, scheme: str) -> None:
    page = opened(name, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(axe_script())  # not as a script element, which the page's policy forbids
    found = page.evaluate("axe.run().then((r) => r.violations)")
    assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found] == []


def test_before_and_after(opened: Open) -> None:
    page = opened("run", 390)
    slider = page.get_by_label("Face 1, picture 1: before and after")
    assert page.locator(".compare input").count() == 2  # the sharp face has none
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "51"
    assert slider.get_attribute("aria-valuetext") == "51 percent before, 49 percent after"
    page.keyboard.press("Home")
    now = page.locator(".compare .now").first
    assert now.evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0px 0px 0%)"
    slider.scroll_into_view_if_needed()
    place = slider.bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + 0.75 * place["width"], place["y"] + 20)
    assert abs(int(slider.input_value()) - 75) <= 1
    at = float(now.evaluate("e => getComputedStyle(e).clipPath").split()[-1].rstrip("%)"))
    assert abs(at - 75) <= 1
    # The slider is seen to have the focus.
    outline = "e => getComputedStyle(e.parentElement).outlineStyle"
    page.keyboard.press("ArrowLeft")
    assert slider.evaluate(outline) == "solid"


@pytest.mark.parametrize("width", [390, 1440])
def test_the_timeline_tells_what_is_pointed_at(opened: Open, width: int) -> None:
    page = opened("run", width)
    slider = page.get_by_label("Moment in the timeline")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    told = "0:00.3, frames 8 to 9: Face 1 weight 0.97, sharpness 0.40 to 0.50"
    assert slider.get_attribute("aria-valuetext") == told
    assert page.locator("#lanes .here").first.inner_text() == "0.97 · 0.40 → 0.50"
    assert page.locator("#stack .moment").inner_text() == "0:00.3, frames 8 to 9"
    assert page.locator(".stages td.now").first.inner_text() == "1.0"
    slider.scroll_into_view_if_needed()
    place = slider.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 0.5 * place["width"], place["y"] + place["height"] / 2)
    assert page.locator("#lanes .moment").inner_text() == "0:12.0, frames 300 to 301"
    cursor = page.locator("#lanes .cursor").bounding_box()
    assert cursor is not None
    assert abs(cursor["x"] - place["x"] - 0.5 * place["width"]) < 3
    page.get_by_role("button", name="Show 4 more").click()
    assert page.locator("#lanes li:visible").count() == 20


def test_the_keyboard_reaches_everything(opened: Open) -> None:
    page = opened("run")
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                "(e => e.getAttribute('aria-label') || e.textContent)(document.activeElement)"
            )
        )
    assert names[:4] == [
        *("Skip to the content", "All files"),
        *("Face 1, picture 1: before and after", "Face 1, picture 2: before and after"),
    ]
    for name in ("Moment in the timeline", "Show 4 more", "The same as a table"):
        assert name in names
    page.get_by_role("button", name="Show 4 more").focus()
    page.keyboard.press("Enter")  # the button goes, and the focus to what it has opened
    assert page.evaluate("document.activeElement.textContent").startswith("Face 17")


def test_colours_that_mean_something_stay_where_others_are_replaced(opened: Open) -> None:
    page = opened("run")
    page.emulate_media(forced_colors="active")
    keys = page.locator(".stages .key").all()
    seen = {key.evaluate("e => getComputedStyle(e).backgroundColor") for key in keys}
    assert len(seen) == len(keys) == 5
    index = opened("index")
    index.emulate_media(forced_colors="active")
    chosen, other = (
        index.get_by_role("radio", name=name)
        .locator("+ span")
        .evaluate("e => getComputedStyle(e).backgroundColor")
        for name in ("all", "failed")
    )
    assert chosen != other


def test_the_index_filters_and_sorts(opened: Open) -> None:
    page = opened("index")
    rows, count = page.locator("tbody tr"), page.locator("#count")
    assert rows.count() == 100
    assert count.inner_text() == "1 to 100 of 1,000 files"
    assert rows.first.inner_text().startswith("cam 3/clip-00003.mp4")  # failures come first
    page.get_by_role("button", name="Next").click()
    assert count.inner_text() == "101 to 200 of 1,000 files"
    page.get_by_label("Find a name or a reason").fill("stream 903")
    assert count.inner_text() == "1 file"
    page.get_by_label("Find a name or a reason").fill("")
    page.get_by_role("radio", name="damaged").check()
    assert count.inner_text() == "10 files"
    page.get_by_role("radio", name="all").check()
    page.get_by_role("button", name="Frames").focus()
    page.keyboard.press("Enter")
    assert (
        page.get_by_role("columnheader", name="Frames").get_attribute("aria-sort") == "descending"
    )
    assert rows.first.locator("th").inner_text() == "cam 5/clip-00999.mp4"
    page.keyboard.press("Enter")
    assert rows.first.locator("th").inner_text() == "cam 0/clip-00000.mp4"
    page.get_by_role("button", name="File").click()
    assert rows.first.locator("th").inner_text() == "cam 0/clip-00000.mp4"
    target = rows.first.locator("a").first.get_attribute("href")
    assert target == "pages/clip%2000000%23.html"
    page.get_by_label("Find a name or a reason").fill("no such name")
    assert count.inner_text() == "No file fits."


def test_an_archive_opens_at_once(browser: BrowserContext, tmp_path: Path) -> None:
    write_index(tmp_path / "index.html", entries(10_000), title="large")
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert page.locator("tbody tr").count() == 100
    page.close()
    print(f"DOMContentLoaded after {ready:.0f} ms")
    assert ready < 1000


def test_on_paper(opened: Open) -> None:
    page = opened("run", 1000)
    page.emulate_media(media="print")
    assert not page.locator(".field").first.is_visible()
    assert page.locator("#lanes li svg").first.is_visible()
