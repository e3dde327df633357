"""The built site in headless Chromium: links, search, pictures, colours; phone and desktop."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.docs.browser import PROGRAM, SCHEMES, SIZES, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]
ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "_build"
PROGRAMS = ("_sources", "_static", "_downloads")

PICTURES = """(async () => {
    const shown = [...document.images].filter(i => i.closest('article'));
    for (const i of shown) { i.loading = 'eager'; await i.decode().catch(() => 0); }
    return shown.map(i => [  // a card of the gallery says its title beside the picture
        i.src, i.closest('.sphx-glr-thumbcontainer')?.innerText ?? i.alt,
        i.naturalWidth, i.getBoundingClientRect().width]);
})()"""
# Words whose contrast with what is behind them is below WCAG's 4.5 (3 where they are large).
PALE = """(() => {
    const rgb = c => c.match(/[\\d.]+/g).map(Number);
    const light = c => {
        const [r, g, b] = c.map(v => v / 255).map(
            v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const found = new Set();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let t; (t = texts.nextNode());) {
        const e = t.parentElement, style = getComputedStyle(e);
        if (!t.data.trim() || !e.checkVisibility({visibilityProperty: true}) ||
            e.closest('.headerlink, svg, script, style, .visually-hidden')) continue;
        const [a, b] = [light(rgb(style.color).slice(0, 3)), light(behind(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const large = parseFloat(style.fontSize) >= 24;
        if (contrast < (large ? 3 : 4.5))
            found.add(`${e.className || e.tagName}: ${t.data.trim().slice(0, 30)}: ` +
                      contrast.toFixed(2));
    }
    return [...found];
})()"""

FACTS = {
    "links": "[...document.querySelectorAll('a[href]')].map(a => a.href)",
    "ids": "[...document.querySelectorAll('[id]')].map(e => e.id)",
}
BY_SIZE = {
    "pictures": PICTURES,
    "width": "[document.scrollingElement.scrollWidth, innerWidth]",
}
BY_SCHEME = {
    "ground": "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
    ".reduce((sum, c) => sum + Number(c), 0)",
    "pale": PALE,
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """Addresses of the site's pages, built anew where anything changed."""
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "docs", SITE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(
        page.relative_to(SITE).as_posix()
        for page in SITE.rglob("*.html")
        if page.relative_to(SITE).parts[0] not in PROGRAMS
    )


@pytest.fixture(scope="module")
def address(pages: list[str]) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


@pytest.fixture(scope="module")
def seen(browser: Browser, pages: list[str], address: str) -> dict[str, dict[str, Any]]:
    """What the browser says of each page, which it opens once."""
    found = {}
    for page in pages:
        browser.look("desktop", "light")
        facts: dict[str, Any] = {"events": [*browser.open(address + page)]}
        facts |= {name: browser.run(script) for name, script in FACTS.items()}
        for size in SIZES:
            browser.look(size, "light")
            facts |= {(name, size): browser.run(script) for name, script in BY_SIZE.items()}
        for scheme in SCHEMES:
            browser.look("desktop", scheme)
            facts |= {(name, scheme): browser.run(script) for name, script in BY_SCHEME.items()}
        found[page] = facts
    return found


def test_links_lead_to_pages_and_places_that_exist(
    seen: dict[str, dict[str, Any]], address: str
) -> None:
    broken = []
    for page, facts in seen.items():
        for link in facts["links"]:
            if link.startswith(address):
                target, _, place = unquote(link.removeprefix(address)).partition("#")
                there = (SITE / target).is_file()
                known = not place or (target in seen and place in seen[target]["ids"])
            else:
                there = known = link.startswith(("https://", "mailto:"))
            if not (there and known):
                broken.append((page, link))
    assert not broken
    assert sum(len(facts["links"]) for facts in seen.values()) > 1000


def test_nothing_is_fetched_from_elsewhere_and_nothing_fails(
    seen: dict[str, dict[str, Any]], address: str
) -> None:
    for page, facts in seen.items():
        said = {kind: [] for kind in ("requestWillBeSent", "responseReceived", "exceptionThrown")}
        for event in facts["events"]:
            said.setdefault(event["method"].partition(".")[2], []).append(event["params"])
        asked = [event["request"]["url"] for event in said["requestWillBeSent"]]
        assert len(asked) > 3
        assert all(url.startswith((address, "data:")) for url in asked), page
        answers = [event["response"] for event in said["responseReceived"]]
        assert not [answer["url"] for answer in answers if answer["status"] >= 400], page
        assert not said["exceptionThrown"], page


@pytest.mark.parametrize("size", SIZES)
def test_pictures_load_are_described_and_large_enough(
    seen: dict[str, dict[str, Any]], size: str
) -> None:
    pictures = [(page, *one) for page, facts in seen.items() for one in facts["pictures", size]]
    assert len(pictures) > 50
    for page, source, description, width, shown in pictures:
        assert width > 0, f"{page}: {source} does not load"
        assert description.strip(), f"{page}: {source} has no description"
        assert 150 <= shown <= SIZES[size][0], f"{page}: {source} is {shown} px wide"


@pytest.mark.parametrize("size", SIZES)
def test_no_page_is_wider_than_the_screen(seen: dict[str, dict[str, Any]], size: str) -> None:
    width = SIZES[size][0]
    assert {page: facts["width", size] for page, facts in seen.items()} == {
        page: [width, width] for page in seen
    }


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_can_be_read_in_light_and_in_the_dark(
    seen: dict[str, dict[str, Any]], scheme: str
) -> None:
    for page, facts in seen.items():
        assert (facts["ground", scheme] < 384) == (scheme == "dark"), page
        assert not facts["pale", scheme], page


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("words", "target"),
    [("sharp_bounds", "reference/estimators.html"), ("front door", "gallery/front_door.html")],
)
def test_search_finds_a_name_and_an_example(
    browser: Browser, address: str, size: str, words: str, target: str
) -> None:
    browser.look(size, "dark")
    browser.open(f"{address}search.html?q={words.replace(' ', '+')}")
    found = browser.run(
        """new Promise(done => {
            const look = () => document.querySelector('#search-results p')?.innerText.match(/\\d+/)
                ? done([...document.querySelectorAll('#search-results a')].map(a => a.href))
                : setTimeout(look, 50);
            look();
        })"""
    )
    assert any(link.startswith(address + target) for link in found[:10]), found[:10]
