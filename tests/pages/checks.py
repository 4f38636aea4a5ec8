"""What every screen in every state must hold: accessible, narrow, reachable by keyboard, silent about people.

axe does not see sideways scrolling, small targets or a number in a title; those are checked here.
"""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from nodes.bsn import BadBsn, Bsn

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"
SMALL_TARGETS = """
[...document.querySelectorAll(
    'button, summary, .vw-button, .vw-tile, .vw-menu a, .vw-tools a, .vw-brand, .vw-text-link, ' +
    '.vw-option, .vw-input'
)].filter(e => e.offsetParent !== null).filter(e => {
    const box = e.getBoundingClientRect();
    return box.height < 43.5 || box.width < 43.5;
}).map(e => e.outerHTML.slice(0, 120))
"""


def broken_rules(page: Page) -> list[str]:
    """Everything that is wrong with the page as it is shown now; each a sentence for the report."""
    page.wait_for_load_state()
    page.evaluate(OPEN_ALL)
    return [
        *_axe(page),
        *_narrow(page),
        *_one_heading(page),
        *_first_tab(page),
        *_people(page),
        *[f"target too small: {html}" for html in page.evaluate(SMALL_TARGETS)],
    ]


def _axe(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"axe {rule['id']}: {rule['help']} at {node['html'][:120]}"
        for rule in found
        for node in rule["nodes"]
    ]


def _narrow(page: Page) -> list[str]:
    """320 px is 400 % zoom of 1280."""
    before = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 700})
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    if before:
        page.set_viewport_size(before)
    return [f"scrolls sideways at 320 px: {wide} > {room}"] if wide > room else []


def _one_heading(page: Page) -> list[str]:
    count = page.locator("h1").count()
    return [] if count == 1 else [f"{count} first headings"]


def _first_tab(page: Page) -> list[str]:
    page.evaluate("document.activeElement && document.activeElement.blur()")
    page.keyboard.press("Tab")
    where = page.evaluate("document.activeElement.getAttribute('href')")
    return [] if where == "#inhoud" else [f"first Tab reaches {where}"]


def _people(page: Page) -> list[str]:
    """No number of a person in address, title or page."""
    for text in (page.url, page.title(), page.content()):
        if numbers_in(text):
            return ["shows a number of a person"]
    return []


def numbers_in(text: str) -> int:
    """How many citizen service numbers stand in a text."""
    found = 0
    for digits in re.findall(r"(?<!\d)\d{9}(?!\d)", text):
        try:
            Bsn.parse(digits)
        except BadBsn:
            continue
        found += 1
    return found
